"""One attack on a broker with little memory: what it takes of it, and what a client that behaves notices."""

import threading
import time

from attacks import attacks
from clients.broker import Broker, default_command

MEMORY_MIB = 256
LIMIT_MIB = 512
# Below that many seconds a put is as good as any, however quick it was without the attack.
UNNOTICED_SECONDS = 0.25


class Round:
    """The outcome of one attack."""

    def __init__(self, name, before, during, failed, peak_mib):
        self.name, self.failed, self.peak_mib = name, failed, peak_mib
        self.before, self.during = p99(before), p99(during)
        self.puts = len(during)

    def complaints(self):
        """Lists the bounds that were broken."""
        found = []
        if self.peak_mib >= LIMIT_MIB:
            found.append(f"{self.peak_mib} MiB resident, of {LIMIT_MIB}")
        if self.during > max(10 * self.before, UNNOTICED_SECONDS):
            found.append(f"p99 of puts is {self.during * 1000:.0f} ms, and was {self.before * 1000:.0f} ms")
        if self.failed:
            found.append(f"{len(self.failed)} of {self.puts} puts failed, such as {self.failed[0]}")
        return found

    def __str__(self):
        return (
            f"{self.name:22} peak {self.peak_mib:4} MiB   puts {self.puts:5}   "
            f"p99 {self.before * 1000:6.1f} -> {self.during * 1000:6.1f} ms   failed {len(self.failed)}"
        )


def p99(seconds):
    return seconds[min(len(seconds) - 1, len(seconds) * 99 // 100)]


def play(attack, directory, seconds, quiet_seconds=2):
    """Attacks a broker of its own for that long."""
    command = [*default_command(), "--memory", f"{MEMORY_MIB}MiB"]
    broker = Broker(directory, command=command).start()
    peak, done = [0], threading.Event()

    def sample():
        while not done.is_set():
            peak[0] = max(peak[0], attacks.resident_mib(broker.process.pid))
            time.sleep(0.05)

    sampler = threading.Thread(target=sample)
    sampler.start()
    try:
        attacks.fill(broker.port)
        before, _ = attacks.put_seconds(broker.port, quiet_seconds)
        ends = time.monotonic() + seconds
        errors = []

        def run():
            try:
                attack(broker.port, ends)
            except Exception as error:  # noqa: BLE001, as whatever it was is told below
                errors.append(error)

        attacker = threading.Thread(target=run)
        attacker.start()
        during, failed = attacks.put_seconds(broker.port, seconds)
        attacker.join()
        assert not errors, errors
        assert broker.process.poll() is None, "the broker has ended"
        return Round(attack.__name__, before, during, failed, peak[0])
    finally:
        done.set()
        sampler.join()
        broker.discard()
