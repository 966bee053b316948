"""The figures of a run, and their table."""

from collections import defaultdict
from dataclasses import dataclass, field


@dataclass
class Outcome:
    """The cost of one fault."""

    kind: str
    pause_seconds: float  # The longest time without an acknowledgement on some part of the hash keys.
    heal_seconds: float  # From the end of the fault until all was well.
    elections: int


@dataclass
class Figures:
    """The counts of a run."""

    outcomes: list = field(default_factory=list)
    acknowledged: int = 0
    unknown: int = 0
    read: int = 0
    doubled: int = 0
    partial: int = 0
    rounds: int = 0
    reshards: int = 0
    segments_compared: int = 0

    def table(self):
        kinds = defaultdict(list)
        for outcome in self.outcomes:
            kinds[outcome.kind].append(outcome)
        lines = [f"{'fault':<28} {'times':>5} {'longest pause':>14} {'longest healing':>16} {'elections':>10}"]
        for kind, mine in sorted(kinds.items()):
            pause, heal = max(one.pause_seconds for one in mine), max(one.heal_seconds for one in mine)
            elections = sum(one.elections for one in mine)
            lines.append(f"{kind:<28} {len(mine):>5} {pause:>12.1f} s {heal:>14.1f} s {elections:>10}")
        pause = max((one.pause_seconds for one in self.outcomes), default=0)
        elections = sum(one.elections for one in self.outcomes)
        lines += [
            f"{self.acknowledged} records acknowledged, {self.unknown} with an unknown outcome, {self.doubled} stored"
            f" more than once by an SDK's retries, {self.read} read in all",
            f"{len(self.outcomes)} faults, {self.reshards} reshards, {self.segments_compared} sealed segments compared,"
            f" {elections} elections, longest pause of puts {pause:.1f} s, {self.rounds} rounds",
            f"planned restarts and handovers: no failed request, {self.partial} records to be sent again",
        ]
        return "\n".join(lines)
