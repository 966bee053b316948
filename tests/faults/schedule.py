"""Which fault follows which; the seed alone decides it."""

import random

from .injections import (
    FlippedBitInCheckpoint,
    FlippedBitInLog,
    FlippedBitInSegment,
    FullDisk,
    Isolation,
    Kill,
    KillLeader,
    Partition,
    Pause,
    PowerLoss,
    PowerLossOfAll,
    RollingRestart,
    SlowLink,
    Transfer,
    Wipe,
)

# How often each comes in one passage through all of them.
PASSAGE = {
    KillLeader: 4,
    Kill: 2,
    Pause: 3,
    Partition: 6,
    Isolation: 1,
    SlowLink: 2,
    PowerLoss: 4,
    PowerLossOfAll: 2,
    FullDisk: 2,
    FlippedBitInLog: 2,
    FlippedBitInSegment: 2,
    FlippedBitInCheckpoint: 2,
    Wipe: 1,
    RollingRestart: 2,
    Transfer: 2,
}
SHORT = [KillLeader, Partition, PowerLoss, FlippedBitInSegment, RollingRestart]
BY_NAME = {kind.__name__: kind for kind in PASSAGE}


def endless(seed):
    """Kinds without end: every passage holds each of them, in an order of its own."""
    number = 0
    while True:
        kinds = [kind for kind, times in PASSAGE.items() for _ in range(times)]
        random.Random(f"{seed} passage {number}").shuffle(kinds)
        yield from kinds
        number += 1


class Schedule:
    """Makes the faults of a run one after the other."""

    def __init__(self, cluster, kinds, seed):
        self.cluster, self.kinds, self.seed, self.number = cluster, iter(kinds), seed, 0
        self.kind = next(self.kinds, None)

    def has_more(self):
        return self.kind is not None

    def next(self):
        """The next fault, whose own draws depend on the seed and its number alone; None at the end."""
        if self.kind is None:
            return None
        self.number += 1
        fault = self.kind(self.cluster, random.Random(f"{self.seed} fault {self.number}"))
        self.kind = next(self.kinds, None)
        return fault
