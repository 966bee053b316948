"""Compares what an application printed with what was put, and with the lineage of the shards."""

from collections import Counter
from dataclasses import dataclass


@dataclass(frozen=True)
class Outcome:
    """How many records were acknowledged, how many of them nobody read, and how often one was read once more."""

    acknowledged: int
    missing: int
    again: int


def outcome(acknowledged, events):
    """Counts the records. One that was put without an answer may be read or not."""
    reads = Counter(words[3] for _, words in events if words[0] == "record")
    missing = sum(data not in reads for data in acknowledged)
    return Outcome(len(acknowledged), missing, sum(times - 1 for times in reads.values()))


def violations(shards, events):
    """Every broken promise about shards: a closed one has ended, and no child began before its parents had ended."""
    first = {}
    for place, (_, words) in enumerate(events):
        if words[0] in ("begin", "end"):
            first.setdefault((words[0], words[1]), place)
    parents = {shard["ShardId"]: parents_of(shard) for shard in shards}
    for shard in shards:
        if "EndingSequenceNumber" in shard["SequenceNumberRange"] and ("end", shard["ShardId"]) not in first:
            yield f"{shard['ShardId']} is closed and has not ended"
    for child, of_child in parents.items():
        begun = first.get(("begin", child))
        if begun is None:
            yield f"{child} has not begun"
            continue
        for parent in of_child:
            if first.get(("end", parent), begun) >= begun:
                yield f"{child} began before its parent {parent} had ended"


def parents_of(shard):
    return [shard[name] for name in ("ParentShardId", "AdjacentParentShardId") if name in shard]


def unfinished_leases(shards, leases, tips):
    """Every lease that a graceful stop left before the end of what its application had read.

    `leases` has a checkpoint for each shard, and `tips` the last sequence number of each open shard with records.
    """
    for shard in shards:
        name, checkpoint = shard["ShardId"], leases.get(shard["ShardId"])
        if "EndingSequenceNumber" in shard["SequenceNumberRange"]:
            # The lease of a shard that has ended goes away after a while.
            if checkpoint not in (None, "SHARD_END"):
                yield f"{name} is closed, and its checkpoint is {checkpoint}"
        elif checkpoint is None:
            yield f"{name} has no lease"
        elif name in tips and checkpoint != tips[name]:
            yield f"{name} ends with {tips[name]}, and its checkpoint is {checkpoint}"
