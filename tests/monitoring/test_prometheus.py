"""The files of deploy/ for Prometheus, and the pages of real nodes, judged by Debian's promtool and read by its
Prometheus."""

import json
import shutil
import subprocess
import time
import urllib.error
import urllib.parse
import urllib.request

import pytest

from clients.broker import ROOT, default_command, free_port

DEPLOY = ROOT / "deploy"
WAIT_SECONDS_MAX = 120

pytestmark = pytest.mark.skipif(
    shutil.which("promtool") is None or shutil.which("prometheus") is None,
    reason="promtool and prometheus are not installed",
)


def promtool(*words, text=None):
    done = subprocess.run(["promtool", *map(str, words)], input=text, capture_output=True, text=True, timeout=60)
    return done.returncode, done.stdout + done.stderr


def get(url):
    try:
        with urllib.request.urlopen(url, timeout=10) as answer:
            return answer.status, answer.read().decode()
    except urllib.error.HTTPError as error:
        return error.code, error.read().decode()
    except OSError as error:
        return None, str(error)


def wait_for(condition):
    """Returns the condition's first true value."""
    deadline = time.monotonic() + WAIT_SECONDS_MAX
    while time.monotonic() < deadline:
        value = condition()
        if value:
            return value
        time.sleep(0.2)
    raise AssertionError(f"not within {WAIT_SECONDS_MAX} s: {condition.__doc__}")


class Node:
    """A node of a cluster, or a node on its own, on loopback ports."""

    def __init__(self, directory, place=None, peers=None):
        self.port = free_port()
        binary = default_command()[0]
        words = [binary, "serve", "--listen", f"127.0.0.1:{self.port}", "--data", directory / f"node-{place}"]
        if place is not None:
            members = ",".join(f"{node}=127.0.0.1:{port}" for node, port in peers.items())
            words += ["--node-id", place, "--cluster", members]
        self.log = (directory / f"node-{place}.log").open("wb")
        self.process = subprocess.Popen(list(map(str, words)), stdout=self.log, stderr=self.log)

    def ask(self, page):
        return get(f"http://127.0.0.1:{self.port}{page}")

    def await_page(self, page, wanted):
        def answered():
            """the page answers as wanted"""
            assert self.process.poll() is None, f"the node has ended: see {self.log.name}"
            return self.ask(page)[0] == wanted

        wait_for(answered)

    def kill(self):
        self.process.kill()
        self.process.wait()
        self.log.close()


@pytest.fixture
def nodes():
    """Nodes of a test, which are killed at its end."""
    started = []
    yield started
    for node in started:
        node.kill()


@pytest.fixture
def cluster(nodes, tmp_path):
    peers = {place: free_port() for place in (1, 2, 3)}
    nodes.extend(Node(tmp_path, place, peers) for place in peers)
    for node in nodes:
        node.await_page("/ready", 200)
    return nodes


def assert_clean(node):
    status, page = node.ask("/metrics")
    assert status == 200
    assert "tidelog_groups_leaderless" in page or node.ask("/ready")[0] == 503
    assert promtool("check", "metrics", text=page) == (0, "")


def test_the_rules_and_the_configuration_are_valid():
    code, words = promtool("check", "config", DEPLOY / "prometheus.yaml")
    assert code == 0, words
    code, words = promtool("check", "rules", "--lint=all", "--lint-fatal", DEPLOY / "alerts.yaml")
    assert code == 0, words


def test_each_alert_fires_when_it_should():
    code, words = promtool("test", "rules", DEPLOY / "alerts.test.yaml")
    assert code == 0, words


def test_a_planted_fault_of_a_rule_is_found(tmp_path):
    """The tests of the rules fail when an alert fires never, and when it fires always."""
    rules = (DEPLOY / "alerts.yaml").read_text()
    (tmp_path / "alerts.test.yaml").write_text((DEPLOY / "alerts.test.yaml").read_text())
    for wrong in ("tidelog_clock_unusable == 2", "tidelog_clock_unusable >= 0"):
        (tmp_path / "alerts.yaml").write_text(rules.replace("tidelog_clock_unusable == 1", wrong))
        code, words = promtool("test", "rules", tmp_path / "alerts.test.yaml")
        assert code != 0
        assert "TidelogClockUnusable" in words


def test_the_page_of_one_node_is_clean(nodes, tmp_path):
    nodes.append(Node(tmp_path))
    nodes[0].await_page("/ready", 200)
    assert_clean(nodes[0])


def test_the_page_of_a_node_that_forms_is_clean(nodes, tmp_path):
    nodes.append(Node(tmp_path, 1, {1: free_port(), 2: free_port(), 3: free_port()}))
    nodes[0].await_page("/livez", 200)
    assert nodes[0].ask("/ready")[0] == 503
    assert_clean(nodes[0])


def test_prometheus_scrapes_three_nodes_and_reports_one_that_dies(cluster, tmp_path):
    for node in cluster:
        assert_clean(node)
    port = free_port()
    text = (DEPLOY / "prometheus.yaml").read_text()
    for node, address in zip(cluster, ("tidelog-1:4567", "tidelog-2:4567", "tidelog-3:4567")):
        assert address in text
        text = text.replace(address, f"127.0.0.1:{node.port}")
    (tmp_path / "prometheus.yaml").write_text(text.replace("interval: 15s", "interval: 1s"))
    (tmp_path / "alerts.yaml").write_text((DEPLOY / "alerts.yaml").read_text().replace("for: 1m\n", "for: 2s\n"))
    words = ["prometheus", f"--config.file={tmp_path}/prometheus.yaml", f"--storage.tsdb.path={tmp_path}/tsdb"]
    log = (tmp_path / "prometheus.log").open("wb")
    prometheus = subprocess.Popen([*words, f"--web.listen-address=127.0.0.1:{port}"], stdout=log, stderr=log)
    try:
        watch(prometheus, f"http://127.0.0.1:{port}", cluster)
    finally:
        prometheus.kill()
        prometheus.wait()
        log.close()


def watch(prometheus, address, cluster):
    def query(expression):
        status, page = get(f"{address}/api/v1/query?query={urllib.parse.quote(expression)}")
        return json.loads(page)["data"]["result"] if status == 200 else []

    def scraped():
        """Prometheus has scraped three nodes that lead the groups together"""
        assert prometheus.poll() is None, "Prometheus has ended"
        led = query('sum(tidelog_groups_led{job="tidelog"})')
        return len(query('up{job="tidelog"} == 1')) == 3 and led and led[0]["value"][1] == "7"

    def fired():
        """the alert of the node that died fires, and no alert of that name fires for another node"""
        firing = query('ALERTS{alertname="TidelogNodeDown",alertstate="firing"}')
        return [alert["metric"]["instance"] for alert in firing]

    wait_for(scraped)
    assert fired() == []
    cluster[2].process.kill()
    assert wait_for(fired) == [f"127.0.0.1:{cluster[2].port}"]
