"""Makes sure that what a client should not see fails its step."""

import re
from pathlib import Path

import botocore.session
import pytest

from .checker import Record
from .following import Lineage, seconds
from .player import SCENARIO, difference
from .program import without_nulls

HERE = Path(__file__).parent
# Operations of queues and channels: AWS's model has them and the broker has not built them yet, so the scenario does
# not play them.
NOT_BUILT = re.compile("Queue|Channel")
EXPECTED = {"Name": "s", "Count": 0, "List": [{"Key": "k"}], "When": "*"}


@pytest.mark.parametrize(
    ("found", "problem"),
    [
        ({"Name": "s", "Count": 0, "List": [{"Key": "k", "More": 1}], "When": 5, "More": 1}, None),
        ({"Name": "t", "Count": 0, "List": [{"Key": "k"}], "When": 5}, ".Name is 't' instead of 's'"),
        ({"Name": "s", "List": [{"Key": "k"}], "When": 5}, ".Count is None instead of 0"),
        ({"Name": "s", "Count": 0, "List": [{"Key": "l"}], "When": 5}, ".List[].Key is 'l' instead of 'k'"),
        ({"Name": "s", "Count": 0, "List": [], "When": 5}, ".List is [] instead of [{'Key': 'k'}]"),
        ({"Name": "s", "Count": 0, "List": [{"Key": "k"}]}, ".When is absent"),
    ],
)
def test_differences(found, problem):
    assert difference(EXPECTED, found) == problem


def test_an_empty_list_may_be_absent():
    assert difference({"Tags": []}, {}) is None
    assert difference({"Tags": []}, {"Tags": [{"Key": "k"}]}) is not None


def test_nulls_are_absent():
    assert without_nulls({"a": None, "b": [{"c": None, "d": 0}]}) == {"b": [{"d": 0}]}


def child(name, *parents):
    hashes = {"StartingHashKey": "0", "EndingHashKey": "1"}
    return {"ShardId": name, "ParentShards": list(parents), "HashKeyRange": hashes}


def test_a_merged_child_waits_for_both_parents():
    lineage = Lineage()
    shards = [{"ShardId": "a"}, {"ShardId": "b"}, {"ShardId": "c", "ParentShardId": "a"}]
    assert lineage.roots(shards) == ["a", "b"]
    merged = child("c", "a", "b")
    assert lineage.end("a", [merged]) == []
    assert lineage.end("b", [merged]) == ["c"]


def test_an_end_without_children_or_of_others_is_wrong():
    with pytest.raises(AssertionError, match="without children"):
        Lineage().end("a", [])
    with pytest.raises(AssertionError, match="does not name its parent"):
        Lineage().end("a", [child("c", "b")])


@pytest.mark.parametrize("told", [1795315164.905, "2026-11-22T02:39:24.905Z", "2026-11-22T02:39:24.905000Z"])
def test_timestamps_of_all_programs_are_alike(told):
    assert Record("s", "1", "k", b"", seconds(told)).arrival == 1795315164.905


def test_every_operation_is_played():
    text = "".join((HERE / name).read_text() for name in ("scenario.json", "player.py", "following.py"))
    names = botocore.session.get_session().get_service_model("kinesis").operation_names
    unplayed = {name for name in names if f'"{name}"' not in text}
    assert {name for name in unplayed if not NOT_BUILT.search(name)} == set()


def test_each_step_does_something_and_has_its_own_name():
    steps = SCENARIO["steps"]
    assert len({step["name"] for step in steps}) == len(steps)
    assert all("calls" in step or "action" in step for step in steps)
