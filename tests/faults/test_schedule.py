"""A seed decides which faults come, and when a cluster counts as healthy; both without a cluster."""

import copy
import itertools
import random

import pytest

from . import damage, schedule
from .cluster import why_reluctant, why_unhealthy

MEMBERS = [1, 2, 3]


def test_the_same_seed_makes_the_same_faults():
    def drawn(seed):
        return list(itertools.islice(schedule.endless(seed), 100))

    assert drawn(7) == drawn(7)
    assert drawn(7) != drawn(8)
    assert set(drawn(7)[: sum(schedule.PASSAGE.values())]) == set(schedule.PASSAGE)


def statuses():
    """The statuses of three healthy nodes."""
    nodes = [
        {"id": member, "is_voter": True, "is_reachable": True, "reluctance": ""} for member in MEMBERS
    ]
    groups = [
        {"group": group, "leader": 1 + group % 3, "term": 4, "last_index": 9, "applied_index": 9} for group in range(7)
    ]
    return [{"nodes": copy.deepcopy(nodes), "groups": copy.deepcopy(groups)} for _ in MEMBERS]


def test_a_healthy_cluster():
    assert why_unhealthy(statuses(), MEMBERS, {}) == ""


@pytest.mark.parametrize(
    "spoil",
    [
        lambda views: views.__setitem__(1, None),
        lambda views: views[1]["nodes"].pop(),
        lambda views: views[1]["nodes"][2].update(is_voter=False),
        lambda views: views[1]["nodes"][2].update(is_reachable=False),
        lambda views: views[1]["groups"][5].update(leader=None),
        lambda views: views[1]["groups"][5].update(leader=2),
        lambda views: views[1]["groups"][5].update(applied_index=8),
    ],
)
def test_an_unhealthy_cluster(spoil):
    views = statuses()
    spoil(views)
    assert why_unhealthy(views, MEMBERS, {}) != ""


def test_a_node_that_would_rather_not_lead():
    views = statuses()
    assert why_reluctant(views) == ""
    views[1]["nodes"][2].update(reluctance="slow disk")
    assert why_reluctant(views) == "slow disk"


def test_a_bit_is_flipped_where_something_stands(tmp_path):
    path = tmp_path / "file"
    path.write_bytes(bytes(40_960) + b"something" + bytes(40_960))
    generator = random.Random(1)
    for _ in range(20):
        assert 40_960 <= damage.place(path, generator) < 40_969
