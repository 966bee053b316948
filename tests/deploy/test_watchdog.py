"""The watchdog of systemd is fed by a sync of the log, and a log that hangs does not feed it."""

import os
import re
import shutil
import signal
import socket
import subprocess
import time
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
WATCHDOG_USEC = 600_000
PATIENCE_SECONDS = 60
# Reports come three times in the watchdog's time: in this time there would be nine.
SILENCE_SECONDS = 3 * WATCHDOG_USEC / 1e6
REPORTS_ON_THEIR_WAY = 10

pytestmark = pytest.mark.skipif(
    os.geteuid() != 0 or not all(map(shutil.which, ("fsfreeze", "mkfs.ext4", "mount"))),
    reason="a disk that hangs needs root, mkfs.ext4 and fsfreeze",
)


class Disk:
    """A file system in a file, which can be frozen: writes and syncs then wait."""

    def __init__(self, directory):
        self.at = directory / "disk"
        self.at.mkdir()
        image = directory / "image"
        with image.open("wb") as file:
            file.truncate(1 << 30)
        subprocess.run(["mkfs.ext4", "-q", "-F", image], check=True)
        if subprocess.run(["mount", "-o", "loop", image, self.at], check=False, capture_output=True).returncode != 0:
            pytest.skip("this machine mounts no file system from a file")
        self.is_frozen = False

    def freeze(self):
        subprocess.run(["fsfreeze", "--freeze", self.at], check=True)
        self.is_frozen = True

    def thaw(self):
        if self.is_frozen:
            subprocess.run(["fsfreeze", "--unfreeze", self.at], check=True)
            self.is_frozen = False

    def remove(self):
        self.thaw()
        subprocess.run(["umount", self.at], check=True)


@pytest.fixture
def disk(tmp_path):
    disk = Disk(tmp_path)
    yield disk
    disk.remove()


def assignments(manager, seconds):
    """The assignments of the next notification, or none when none comes in time."""
    manager.settimeout(max(seconds, 0.001))
    try:
        return manager.recv(4096).decode().splitlines()
    except TimeoutError:
        return []


def wait_for(manager, assignment):
    ends = time.monotonic() + PATIENCE_SECONDS
    while assignment not in assignments(manager, ends - time.monotonic()):
        assert time.monotonic() < ends, f"{assignment} never came"


def wait_for_silence(manager):
    """Takes the reports that were on their way: a few, because even an idle node writes now and then and hangs at last."""
    for _ in range(REPORTS_ON_THEIR_WAY):
        if not assignments(manager, WATCHDOG_USEC / 1e6):
            return
    raise AssertionError("the watchdog is fed while the log hangs")


def address(broker):
    """The address for clients, which the broker prints."""
    for line in broker.stdout:
        if found := re.search(r"http://(127\.0\.0\.1:\d+)", line):
            return found[1]
    raise AssertionError("the broker printed no address")


def client(binary, endpoint, *arguments):
    return subprocess.Popen([binary, *arguments, "--endpoint", f"http://{endpoint}"], stdin=subprocess.PIPE, text=True,
                            stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)


def test_a_log_that_hangs_does_not_feed_the_watchdog(disk, tmp_path):
    binary = Path(os.environ.get("CARGO_TARGET_DIR", ROOT / "target")) / "debug" / "tidelog"
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager, (tmp_path / "log").open("w") as log:
        manager.bind(str(tmp_path / "notify"))
        environment = {name: value for name, value in os.environ.items() if not name.startswith("TIDELOG_")}
        environment |= {"NOTIFY_SOCKET": str(tmp_path / "notify"), "WATCHDOG_USEC": str(WATCHDOG_USEC)}
        arguments = [binary, "serve", "--listen", "127.0.0.1:0", "--data", disk.at / "data"]
        broker = subprocess.Popen(arguments, env=environment, stdout=subprocess.PIPE, stderr=log, text=True)
        try:
            wait_for(manager, "READY=1")
            endpoint = address(broker)
            assert client(binary, endpoint, "stream", "create", "watched", "--shards", "1").wait(PATIENCE_SECONDS) == 0
            # Two reports from now on: after the first one the log of the idle node has nothing to sync, so that the
            # watchdog itself has to ask the disk.
            while assignments(manager, 0):
                pass
            for _ in range(2):
                wait_for(manager, "WATCHDOG=1")
            disk.freeze()
            wait_for_silence(manager)
            assert assignments(manager, SILENCE_SECONDS) == []
            assert broker.poll() is None, "it is the service manager that ends the process"
            put = client(binary, endpoint, "put", "watched")
            put.stdin.write("a record\n")
            put.stdin.close()
            disk.thaw()
            wait_for(manager, "WATCHDOG=1")
            assert put.wait(PATIENCE_SECONDS) == 0
        finally:
            disk.thaw()
            broker.send_signal(signal.SIGTERM)
            broker.wait(PATIENCE_SECONDS)
