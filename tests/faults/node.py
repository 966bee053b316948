"""One node: its process, in its network and on its disk, and what an operator does to it."""

import os
import shutil
import signal
import subprocess
import time
from pathlib import Path

from .network import CLIENT_PORT, PEER_PORT, address, inside

ROOT = Path(__file__).resolve().parents[2]
READY_SECONDS_MAX = 60
STOP_SECONDS_MAX = 30
# The output of a node that serves clients, and of one that must not go on under its id.
READY = "listening on"
REPLACE = "tidelog cluster replace"


class NodeFailed(Exception):
    """A node did what it must not: ended by itself, did not stop, or did not become ready."""


class Refused(NodeFailed):
    """The node refused to start and named `tidelog cluster replace`."""


def binary():
    """The program under test: TIDELOG_BINARY, or that of the dev profile."""
    target = Path(os.environ.get("CARGO_TARGET_DIR", ROOT / "target"))
    return os.environ.get("TIDELOG_BINARY", str(target / "debug" / "tidelog"))


def peer_address(place):
    return f"{address(place)}:{PEER_PORT}"


class Node:
    """The node at a place: the place keeps its address and its disk, while its id changes when it is replaced."""

    def __init__(self, place, volume, logs):
        self.place, self.identity, self.volume = place, place, volume
        self.log = Path(logs) / f"node-{place}.log"
        self.process = None
        # Whether the process may end by itself, because its disk fails under it.
        self.may_end = False
        # Files of it that were damaged since all it has was last read.
        self.damages = 0

    def __str__(self):
        return f"node {self.identity}"

    def words(self, members):
        """Returns the node's command; `members` are the nodes of the cluster."""
        cluster = ",".join(f"{node.identity}={peer_address(node.place)}" for node in members)
        words = [binary(), "serve", "--node-id", self.identity, "--cluster", cluster, "--data", self.volume.data]
        # Their networks are their own.
        words += ["--cluster-insecure"]
        words += ["--listen", f"{address(self.place)}:{CLIENT_PORT}"]
        return [*words, "--limits", "off", "--control-limits", "off"]

    def spawn(self, members):
        assert self.process is None, f"{self} runs already"
        with open(self.log, "ab") as log:
            log.write(f"--- {time.strftime('%H:%M:%S')} start of {self}\n".encode())
            log.flush()
            self.said_from = log.tell()
            self.process = subprocess.Popen(
                inside(self.place, self.words(members)),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                env=environment(),
                start_new_session=True,
            )

    def await_readiness(self):
        """Returns once it serves clients; Refused if it named the way out."""
        deadline = time.monotonic() + READY_SECONDS_MAX
        while READY not in self.said():
            code = self.process.poll()
            if code is not None:
                self.process = None
                kind = Refused if REPLACE in self.said() else NodeFailed
                raise kind(f"{self} ended with {code} while starting\n{self.log_end()}")
            if time.monotonic() > deadline:
                raise NodeFailed(f"{self} is not ready after {READY_SECONDS_MAX} s\n{self.log_end()}")
            time.sleep(0.02)

    def said(self):
        """Returns the output of the node since its start."""
        with open(self.log, "rb") as log:
            log.seek(self.said_from)
            return log.read().decode(errors="replace")

    def start(self, members):
        self.spawn(members)
        self.await_readiness()

    def check(self):
        """It runs, unless somebody has stopped it."""
        if self.process is not None and self.process.poll() is not None and not self.may_end:
            raise NodeFailed(f"{self} ended by itself with {self.process.returncode}\n{self.log_end()}")

    def check_log(self):
        """No thread or task of it has panicked, which the process may have outlived."""
        if b" panicked at " in self.log.read_bytes():
            raise NodeFailed(f"{self} has panicked, see {self.log}")

    def kill(self):
        self.check()
        if self.process is not None:
            self.process.kill()
            self.process.wait()
            self.process = None

    def pause(self):
        self.check()
        self.process.send_signal(signal.SIGSTOP)

    def go_on(self):
        self.process.send_signal(signal.SIGCONT)

    def stop(self):
        """An orderly end, which must come in time and with exit code 0."""
        self.check()
        process, self.process = self.process, None
        process.send_signal(signal.SIGTERM)
        try:
            code = process.wait(STOP_SECONDS_MAX)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
            raise NodeFailed(f"{self} did not stop within {STOP_SECONDS_MAX} s\n{self.log_end()}") from None
        if code != 0:
            raise NodeFailed(f"{self} stopped with exit code {code}\n{self.log_end()}")

    def log_end(self, bytes_max=2000):
        return self.log.read_bytes()[-bytes_max:].decode(errors="replace")

    def keep(self, directory):
        """Copies what is on its disk, for whoever looks for the cause."""
        shutil.copytree(self.volume.data, Path(directory) / f"data-{self.place}", dirs_exist_ok=True)


def environment():
    """Nothing of the user's own settings but what is logged; a crash tells where."""
    kept = {
        name: value
        for name, value in os.environ.items()
        if name == "TIDELOG_LOG" or not name.startswith(("AWS_", "TIDELOG_"))
    }
    return kept | {"RUST_BACKTRACE": "1"}
