"""KCL 3.5.1 on three nodes, one of which is killed while the application runs."""

import pytest

from .cluster import Cluster
from .proxies import Forwarder
from .scenario import Scenario
from .test_kcl import APPLICATION, BY_NAME, STREAM


@pytest.fixture
def cluster(tmp_path):
    nodes = Cluster(tmp_path)
    yield nodes.await_health()
    nodes.discard()


@pytest.mark.parametrize("addressed", [False, True], ids=["another-node-killed", "addressed-node-killed"])
@pytest.mark.parametrize("name", ["kcl-3.5.1-fan-out", "kcl-3.5.1-polling"], ids=lambda name: f"three-nodes-{name}")
def test_a_node_is_killed(name, addressed, cluster, report, tmp_path):
    """The clients know one address, that of a proxy, which goes on with the next node when the first one is dead."""
    proxy = Forwarder([cluster.ports[node] for node in (1, 2, 3)])
    start = BY_NAME[name].starter(proxy.endpoint, tmp_path)
    scenario = Scenario(STREAM, APPLICATION, proxy.endpoint, start)
    try:
        scenario.create_stream()
        scenario.begin()
        scenario.split()
        victim = 1 if addressed else 3
        cluster.kill(victim)
        scenario.say(f"node {victim} was killed")
        scenario.read_on()
        scenario.kill_worker()
        scenario.merge()
        what = "the node that the clients address" if addressed else "another node"
        report(f"{name}, three nodes", scenario.stop(), f"{what} killed, worker killed, split, merge")
    finally:
        scenario.discard()
        proxy.close()
