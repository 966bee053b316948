"""The comparison sees each violation that is planted."""

import pytest

from . import judgement

OPEN = {"StartingSequenceNumber": "1"}
CLOSED = OPEN | {"EndingSequenceNumber": "9"}
SHARDS = [
    {"ShardId": "a", "SequenceNumberRange": CLOSED},
    {"ShardId": "b", "SequenceNumberRange": OPEN, "ParentShardId": "a"},
]
GOOD = ["begin a", "record a 1 x", "record a 2 y", "end a", "begin b", "record b 3 z"]
LEASES, TIPS = {"a": "SHARD_END", "b": "3"}, {"b": "3"}


def events(lines):
    return [(None, line.split()) for line in lines]


def test_a_good_run():
    assert judgement.outcome({"x", "y", "z"}, events(GOOD)) == judgement.Outcome(3, 0, 0)
    assert list(judgement.violations(SHARDS, events(GOOD))) == []
    assert list(judgement.unfinished_leases(SHARDS, LEASES, TIPS)) == []
    assert list(judgement.unfinished_leases(SHARDS, {"b": "3"}, TIPS)) == []


def test_missing_and_repeated_records_are_counted():
    lines = [line for line in GOOD if line != "record a 2 y"] + ["record b 3 z", "record b 4 unacknowledged"]
    assert judgement.outcome({"x", "y", "z"}, events(lines)) == judgement.Outcome(3, 1, 1)


@pytest.mark.parametrize(
    ("lines", "found"),
    [
        (
            ["begin a", "begin b"],
            ["a is closed and has not ended", "b began before its parent a had ended"],
        ),
        (["begin a", "end a"], ["b has not begun"]),
        (["begin a", "begin b", "end a"], ["b began before its parent a had ended"]),
    ],
)
def test_violations_of_lineage(lines, found):
    assert list(judgement.violations(SHARDS, events(lines))) == found


@pytest.mark.parametrize(
    ("leases", "found"),
    [
        ({"a": "2", "b": "3"}, "a is closed, and its checkpoint is 2"),
        ({"a": "SHARD_END"}, "b has no lease"),
        ({"a": "SHARD_END", "b": "2"}, "b ends with 3, and its checkpoint is 2"),
    ],
)
def test_leases_that_are_behind(leases, found):
    assert list(judgement.unfinished_leases(SHARDS, leases, TIPS)) == [found]
