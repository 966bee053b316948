"""The faults of a cluster, each with a beginning and an end.

A fault draws its victim when it begins, harms no more than one node (the power loss of all excepted), and when it
has ended everything is in place again for the cluster to heal by itself, or by what its messages ask an operator for.
"""

import time

from . import damage
from .network import CLIENTS
from .node import NodeFailed, Refused
from .volume import LOG_FLUSH, NO_LOG_FLUSH


class Fault:
    """A fault of one node. `hold_seconds` is between which two bounds it lasts."""

    hold_seconds = (1, 6)
    # Whether clients with the retries of their SDK must see no failure.
    is_planned = False
    # How many elections it must cause at least.
    elections_min = 0

    def __init__(self, cluster, generator, victim=None):
        self.cluster, self.generator = cluster, generator
        self.victim = victim or generator.choice(cluster.nodes)
        self.detail = ""
        # Whether the node refused to go on, so that an operator had to replace it.
        self.is_replaced = False

    def __str__(self):
        return " ".join(filter(None, [self.name, f"of {self.victim}", self.detail]))

    def begin(self):
        raise NotImplementedError

    def end(self):
        """Starts whatever was stopped; a node that refuses and names the way out is replaced."""
        for node, failure in self.cluster.start():
            if not isinstance(failure, Refused):
                raise failure
            self.is_replaced = True
            self.cluster.replace(node)


class Kill(Fault):
    name = "SIGKILL"

    def begin(self):
        self.victim.kill()


class KillLeader(Kill):
    """Kills the node that leads the most groups."""

    name = "SIGKILL"

    def begin(self):
        led = list(self.cluster.leaders().values())
        self.victim = max(self.cluster.nodes, key=lambda node: led.count(node.identity))
        self.detail = f"leading {led.count(self.victim.identity)} groups"
        super().begin()


class Pause(Fault):
    name = "SIGSTOP"

    def begin(self):
        self.victim.pause()

    def end(self):
        self.victim.go_on()


class Partition(Fault):
    """Cuts a node off from both others or from one, in one direction or both; clients reach it now and then."""

    name = "partition"
    hold_seconds = (3, 12)

    def begin(self):
        others = [node for node in self.cluster.nodes if node is not self.victim]
        peers = self.generator.choice((others, others, others[:1], others[1:]))
        direction = self.generator.choice(("in", "out", "both ways"))
        places = [node.place for node in peers]
        with_clients = len(peers) > 1 and direction == "both ways" and self.generator.random() < 0.3
        if with_clients:
            places.append(CLIENTS)
        self.cut(places, direction)
        whom = "all and clients" if with_clients else "all" if len(peers) > 1 else peers[0]
        self.detail = f"{direction} from {whom}"

    def cut(self, places, direction):
        for place in places:
            if direction != "in":
                self.cluster.network.cut(self.victim.place, place)
            if direction != "out":
                self.cluster.network.cut(place, self.victim.place)

    def end(self):
        for sender, receiver in list(self.cluster.network.cuts):
            self.cluster.network.mend(sender, receiver)


class Isolation(Partition):
    """Cuts a node off from both others for long; it must not come back with a higher term."""

    name = "isolation"
    hold_seconds = (30, 30)

    def begin(self):
        self.cut([node.place for node in self.cluster.nodes if node is not self.victim], "both ways")

    def end(self):
        terms = {node: self.terms_of(node) for node in self.cluster.nodes}
        alone = terms.pop(self.victim)
        grown = [group for group in alone if alone[group] > max(others[group] for others in terms.values())]
        assert not grown, f"{self.victim} went on electing while it was alone: groups {grown} of {alone}, not {terms}"
        super().end()

    def terms_of(self, node):
        status = self.cluster.status(node)
        assert status is not None, f"{node} says nothing of the cluster"
        return {group["group"]: group["term"] for group in status["groups"]}


class SlowLink(Fault):
    name = "slow link"
    hold_seconds = (4, 12)

    def begin(self):
        self.detail = self.cluster.network.slow(self.victim.place)

    def end(self):
        self.cluster.network.quicken(self.victim.place)


class PowerLoss(Fault):
    name = "power loss"

    def begin(self):
        self.cut_power([self.victim])

    def cut_power(self, nodes):
        """Cuts all at once, so that none can act on another's end."""
        flag = self.generator.choice((LOG_FLUSH, NO_LOG_FLUSH))
        for node in nodes:
            node.may_end = True
        for node in nodes:
            node.volume.lose_power(flag)
        for node in nodes:
            node.kill()
            node.may_end = False
        for node in nodes:
            node.volume.return_power()


class PowerLossOfAll(PowerLoss):
    name = "power loss of all"
    hold_seconds = (0.5, 2)
    # One in each group: a leader may have lost what it had sent already, so it must not lead on in its old term.
    elections_min = 7

    def __str__(self):
        return self.name

    def begin(self):
        self.cut_power(self.cluster.nodes)


class FullDisk(Fault):
    name = "full disk"
    hold_seconds = (4, 10)

    def begin(self):
        self.victim.volume.fill()

    def end(self):
        self.victim.volume.free()


class FlippedBit(Fault):
    """Stops a node, damages a file and starts it: it comes up repaired, or refuses and is replaced."""

    hold_seconds = (0.2, 1)
    kind = None

    def begin(self):
        # An orderly end writes out what is not yet in segments.
        if self.kind != "segment" and self.generator.random() < 0.5:
            self.victim.kill()
        else:
            self.victim.stop()
        self.detail = damage.flip(self.victim.volume, self.kind, self.generator) or "nothing there to hit"
        self.victim.damages += 1


class FlippedBitInLog(FlippedBit):
    name, kind = "flipped bit in the log", "wal"


class FlippedBitInSegment(FlippedBit):
    name, kind = "flipped bit in a segment", "segment"


class FlippedBitInCheckpoint(FlippedBit):
    name, kind = "flipped bit in a checkpoint", "checkpoint"


class Wipe(Fault):
    """Takes a node's disk away. Under its old id an empty disk must be refused; then it is replaced."""

    name = "wiped disk"
    hold_seconds = (0.2, 2)

    def begin(self):
        self.victim.kill()
        self.victim.volume.wipe()

    def end(self):
        refused = self.cluster.start()
        if [(node, type(failure)) for node, failure in refused] != [(self.victim, Refused)]:
            raise NodeFailed(f"{self.victim} was started on a wiped disk under its old id: {refused or 'not refused'}")
        self.is_replaced = True
        self.cluster.replace(self.victim)


class RollingRestart(Fault):
    """Ends and starts every node in order, each when the one before is well again."""

    name = "rolling restart"
    hold_seconds = (0, 0)
    is_planned = True

    def __str__(self):
        return self.name

    def begin(self):
        for node in self.cluster.nodes:
            node.stop()
            node.start(self.cluster.nodes)
            self.cluster.await_health()


class Transfer(Fault):
    """Hands all groups to one node, as before its peers' maintenance."""

    name = "leader transfer"
    hold_seconds = (0, 1)
    is_planned = True

    def __str__(self):
        return f"{self.name} to {self.victim}"

    def begin(self):
        self.cluster.transfer(self.victim)


def hold(fault):
    """Lets a fault last for a time drawn by its seed."""
    time.sleep(fault.generator.uniform(*fault.hold_seconds))
