"""The network between nodes and clients: a namespace per node, a bridge, and cuts in one direction at a time.

It lives in the network namespace of the run, where the clients are too, and is gone with it. A cut from one node to
another sends what the one has for the other to an address that nobody has. Both stay up, nothing is refused, and
nobody is told, just as when a cable or a switch fails in one direction.
"""

import subprocess
from pathlib import Path

from .volume import run

CLIENTS = 0  # The place of the clients among the nodes, whose places count from 1.
PREFIX = "10.77.0."
NOBODY = "02:00:00:00:00:ff"
CLIENT_PORT, PEER_PORT = 4567, 4568


def address(place):
    """The address of a node, or of the clients. None is nearer to the clients' than another, so that the resolver
    leaves the order of names as it is."""
    return f"{PREFIX}{place or 128}"


def hardware(place):
    return f"02:00:00:00:00:{place:02x}"


def namespace(place):
    return f"node-{place}"


class Network:
    """All cables and names, for `count` nodes."""

    def __init__(self, count, directory):
        self.places = range(1, count + 1)
        self.cuts = set()
        self.hosts = Path(directory) / "hosts"
        self.hosts.write_text("127.0.0.1 localhost\n")
        Path("/run/netns").mkdir(exist_ok=True)
        run("mount", "-t", "tmpfs", "none", "/run/netns")
        run("mount", "--bind", self.hosts, "/etc/hosts")
        run("ip", "link", "set", "lo", "up")
        run("ip", "link", "add", "bridge", "address", hardware(CLIENTS), "type", "bridge")
        run("ip", "address", "add", f"{address(CLIENTS)}/24", "dev", "bridge")
        run("ip", "link", "set", "bridge", "up")
        for place in self.places:
            self.connect(place)
        for one in (CLIENTS, *self.places):
            for other in (CLIENTS, *self.places):
                if one != other:
                    self.point(one, other, hardware(other))

    def connect(self, place):
        """A namespace with its end of a cable to the bridge."""
        name = namespace(place)
        run("ip", "netns", "add", name)
        ends = ["type", "veth", "peer", "name", "eth0", "address", hardware(place), "netns", name]
        run("ip", "link", "add", f"port-{place}", *ends)
        run("ip", "link", "set", f"port-{place}", "master", "bridge", "up")
        run("ip", "-n", name, "address", "add", f"{address(place)}/24", "dev", "eth0")
        run("ip", "-n", name, "link", "set", "lo", "up")
        run("ip", "-n", name, "link", "set", "eth0", "up")

    def point(self, sender, receiver, to):
        """Sets where the sender's frames for the receiver go, for connections old and new."""
        where = ["dev", "bridge"] if sender == CLIENTS else ["dev", "eth0"]
        inside = [] if sender == CLIENTS else ["-n", namespace(sender)]
        entry = [address(receiver), "lladdr", to, "nud", "permanent"]
        run("ip", *inside, "neighbour", "replace", *entry, *where)

    def cut(self, sender, receiver):
        self.cuts.add((sender, receiver))
        self.point(sender, receiver, NOBODY)

    def mend(self, sender, receiver):
        self.cuts.discard((sender, receiver))
        self.point(sender, receiver, hardware(receiver))

    def slow(self, place):
        """Makes a node's link slow in both directions; in which way, in words."""
        words = ""
        for inside, device in self.ends(place):
            words = slow_down(inside, device)
        return words

    def quicken(self, place):
        for inside, device in self.ends(place):
            run("tc", *inside, "qdisc", "del", "dev", device, "root")

    def ends(self, place):
        """Both ends of a node's cable; what an end sends is what can be slowed down."""
        return (("-n", namespace(place)), "eth0"), ((), f"port-{place}")

    def name(self, name, places):
        """Makes a name of all these nodes; clients try the first one first, and the others when it refuses."""
        with open(self.hosts, "a", encoding="ascii") as hosts:
            hosts.writelines(f"{address(place)} {name}\n" for place in places)
        return f"http://{name}:{CLIENT_PORT}"


def slow_down(inside, device):
    """50 ms and 1 Mbit/s, or that rate alone, with a queue of 400 ms, where the kernel has no module for delays."""
    begin = ["tc", *inside, "qdisc", "add", "dev", device, "root"]
    try:
        run(*begin, "netem", "delay", "50ms", "rate", "1mbit")
        return "50 ms and 1 Mbit/s"
    except OSError:
        run(*begin, "tbf", "rate", "1mbit", "burst", "3000", "latency", "400ms")
        return "1 Mbit/s"


def inside(place, words):
    """The words that run a program at a node's place, in its network alone, without a process between."""
    return ["nsenter", f"--net=/run/netns/{namespace(place)}", "--", *map(str, words)]


def missing():
    """Names the tools that this machine lacks for such a network and such disks; empty if none."""
    probe = ["unshare", "--mount", "--net", "--pid", "--fork", "--mount-proc"]
    script = "ip link add one type bridge && ip link add two type veth && test -c /dev/loop-control"
    try:
        for tool in (["ip", "-V"], ["tc", "-V"], ["mkfs.ext4", "-V"], ["nsenter", "-V"]):
            subprocess.run(tool, check=True, capture_output=True)
        done = subprocess.run([*probe, "sh", "-c", script], capture_output=True, text=True, timeout=20)
    except FileNotFoundError as error:
        return f"the program {error.filename} (Debian has it in iproute2, e2fsprogs or util-linux)"
    return f"root, namespaces, veth, bridges and loop devices: {done.stderr.strip()}" if done.returncode else ""
