"""Starts, kills and restarts a broker for a test; the one place that knows how.

The command comes from TIDELOG_TEST_BROKER, or is the binary of the dev profile. `{data}`, `{port}` and
`{limits}` in it are filled in. A command with `{port}` is given a free port and is ready when that port
accepts a connection; one without chooses its own port and says so by a URL on its standard output.
A restart keeps port and data directory, as a supervisor would.
"""

import atexit
import os
import re
import shlex
import signal
import socket
import subprocess
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
URL = re.compile(rb"http://127\.0\.0\.1:(\d+)")
START_SECONDS_MAX = 60
STOP_SECONDS_MAX = 30


def default_command():
    """The command of the broker under test, as a template."""
    chosen = os.environ.get("TIDELOG_TEST_BROKER")
    if chosen:
        return shlex.split(chosen)
    target = Path(os.environ.get("CARGO_TARGET_DIR", ROOT / "target"))
    binary = str(target / "debug" / "tidelog")
    limits = ["--limits", "{limits}", "--control-limits", "off"]
    return [binary, "serve", "--listen", "127.0.0.1:0", "--data", "{data}", *limits]


def free_port():
    """A loopback port that nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


class BrokerFailed(Exception):
    """The broker did not start or stop as it should; the text carries the end of its log."""


class Broker:
    """One broker process on one data directory."""

    def __init__(self, directory, limits="off", command=None):
        self.directory = Path(directory)
        self.directory.mkdir(parents=True, exist_ok=True)
        self.command = command or default_command()
        self.limits = limits
        self.port = free_port() if any("{port}" in word for word in self.command) else 0
        self.tells_its_port = self.port == 0
        self.process = None
        self.starts = 0
        atexit.register(self.discard)

    @property
    def endpoint(self):
        return f"http://127.0.0.1:{self.port}"

    def start(self):
        """Starts the process and returns once it accepts connections."""
        self.spawn()
        self.await_readiness()
        return self

    def spawn(self):
        assert self.process is None, "the broker runs already"
        self.starts += 1
        self.standard_output = self.directory / f"stdout-{self.starts}.log"
        with open(self.standard_output, "wb") as out, open(self.directory / "stderr.log", "ab") as err:
            self.process = subprocess.Popen(self.words(), stdout=out, stderr=err, stdin=subprocess.DEVNULL)

    def await_readiness(self):
        deadline = time.monotonic() + START_SECONDS_MAX
        while not self.is_ready():
            if self.process.poll() is not None:
                code, self.process = self.process.returncode, None
                raise BrokerFailed(f"ended with {code} while starting\n{self.log_end()}")
            if time.monotonic() > deadline:
                self.discard()
                raise BrokerFailed(f"not ready after {START_SECONDS_MAX} s\n{self.log_end()}")
            time.sleep(0.02)

    def words(self):
        """The command with everything filled in; once known, the port is asked for by number."""
        values = {"data": str(self.directory / "data"), "port": str(self.port), "limits": self.limits}
        words = [re.sub(r"\{(\w+)\}", lambda match: values[match[1]], word) for word in self.command]
        return [f"127.0.0.1:{self.port}" if word == "127.0.0.1:0" else word for word in words]

    def is_ready(self):
        if self.tells_its_port:
            said = URL.search(self.standard_output.read_bytes())
            if said is None:
                return False
            assert self.port in (0, int(said[1])), "the broker came back on another port"
            self.port = int(said[1])
        try:
            socket.create_connection(("127.0.0.1", self.port), timeout=1).close()
            return True
        except OSError:
            return False

    def kill9(self):
        """Kills the process on the spot. It must have been alive: a crash of its own is a failure."""
        if self.process.poll() is not None:
            code, self.process = self.process.returncode, None
            raise BrokerFailed(f"had ended by itself with {code} before it was killed\n{self.log_end()}")
        self.process.kill()
        self.process.wait()
        self.process = None

    def kill9_while_starting(self, seconds):
        """Starts the process and kills it `seconds` later, most likely in the middle of its recovery."""
        self.spawn()
        time.sleep(seconds)
        self.kill9()

    def restart_after_kill9(self):
        """kill -9 and a start on the same data directory and port."""
        self.kill9()
        return self.start()

    def stop(self):
        """Asks for an orderly end, which must come in time and with exit code 0."""
        if self.process is None:
            return
        process, self.process = self.process, None
        process.send_signal(signal.SIGTERM)
        try:
            code = process.wait(STOP_SECONDS_MAX)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
            raise BrokerFailed(f"did not stop within {STOP_SECONDS_MAX} s\n{self.log_end()}") from None
        # Only our own broker promises an exit code.
        if self.tells_its_port and code != 0:
            raise BrokerFailed(f"stopped with exit code {code}\n{self.log_end()}")

    def discard(self):
        """Ends the process without asking, for the end of a failed test."""
        if self.process is not None:
            self.process.kill()
            self.process.wait()
            self.process = None

    def log_end(self, bytes_max=4000):
        """The end of what the process wrote."""
        parts = []
        for name in [f"stdout-{self.starts}.log", "stderr.log"]:
            path = self.directory / name
            if path.exists():
                parts.append(f"--- {path} ---\n{path.read_bytes()[-bytes_max:].decode(errors='replace')}")
        return "\n".join(parts)
