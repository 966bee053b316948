"""Three broker processes on loopback ports that form a cluster, and can be killed one by one."""

import subprocess
import time
import urllib.request
from pathlib import Path

from clients.broker import default_command, free_port

START_SECONDS_MAX = 90
NODES = (1, 2, 3)


class Cluster:
    """Three nodes, each with its port for clients and its port for the other nodes."""

    def __init__(self, directory):
        self.directory = Path(directory)
        self.ports = {node: free_port() for node in NODES}
        peers = {node: free_port() for node in NODES}
        members = ",".join(f"{node}=127.0.0.1:{port}" for node, port in peers.items())
        binary = default_command()[0]
        self.processes = {}
        for node in NODES:
            words = [binary, "serve", "--node-id", str(node), "--cluster", members, "--cluster-insecure"]
            words += ["--listen", f"127.0.0.1:{self.ports[node]}", "--data", str(self.directory / f"node-{node}")]
            words += ["--limits", "off", "--control-limits", "off"]
            with open(self.log(node), "wb") as log:
                self.processes[node] = subprocess.Popen(
                    words, stdout=log, stderr=subprocess.STDOUT, stdin=subprocess.DEVNULL
                )

    def log(self, node):
        return self.directory / f"node-{node}.log"

    def endpoint(self, node):
        return f"http://127.0.0.1:{self.ports[node]}"

    def await_health(self):
        """Returns once each node serves clients."""
        deadline = time.monotonic() + START_SECONDS_MAX
        for node in NODES:
            while not self.is_healthy(node):
                assert self.processes[node].poll() is None, self.log(node).read_text()[-3000:]
                assert time.monotonic() < deadline, f"node {node} is not healthy: {self.log(node).read_text()[-3000:]}"
                time.sleep(0.1)
        return self

    def is_healthy(self, node):
        try:
            with urllib.request.urlopen(f"{self.endpoint(node)}/health", timeout=2) as answer:
                return answer.status == 200
        except OSError:
            return False

    def kill(self, node):
        """SIGKILL; the node must have been alive."""
        assert self.processes[node].poll() is None, f"node {node} had ended by itself"
        self.processes[node].kill()
        self.processes[node].wait()

    def discard(self):
        for process in self.processes.values():
            process.kill()
            process.wait()
