"""Three nodes as an operator sees them: what `tidelog cluster` says of them, and when they are healthy again."""

import json
import subprocess
import time
from concurrent.futures import ThreadPoolExecutor

from .node import Node, NodeFailed, binary, environment, peer_address
from .volume import Volume

# I12 gives 10 s once a fault has ended; the rest is for finding out, on a machine that does more than this.
HEALTHY_SECONDS_MAX = 12
RELUCTANT_SECONDS_MAX = 40
FORMING_SECONDS_MAX = 60
STATUS_SECONDS_MAX = 5
CHANGE_SECONDS_MAX = 180
REPEAT_SECONDS_MAX = 30


class Cluster:
    """Three nodes, and which of them nothing bad is done to at the moment."""

    def __init__(self, network, directory, count=3):
        self.network = network
        self.nodes = [Node(place, Volume(directory / f"disk-{place}"), directory) for place in network.places]
        self.identity_last = count
        self.pool = ThreadPoolExecutor(count)

    def start(self):
        """Starts all nodes that do not run, at once; those that have refused, with their reasons."""
        starting = [node for node in self.nodes if node.process is None]
        for node in starting:
            node.spawn(self.nodes)
        refused = []
        for node in starting:
            try:
                node.await_readiness()
            except NodeFailed as failure:
                refused.append((node, failure))
        return refused

    def form(self):
        """Starts a fresh set and waits until it is a cluster."""
        for _, failure in self.start():
            raise failure
        return self.await_health(FORMING_SECONDS_MAX)

    def check(self):
        for node in self.nodes:
            node.check()

    def run(self, *words, at=None):
        """`tidelog cluster WORDS`, asked of a node, or of the first that runs."""
        at = at or next(node for node in self.nodes if node.process is not None)
        command = [binary(), "cluster", *words, "--at", peer_address(at.place)]
        return subprocess.run(
            list(map(str, command)), capture_output=True, text=True, timeout=CHANGE_SECONDS_MAX, env=environment()
        )

    def change(self, *words, at=None):
        """A change of the cluster that must succeed, though perhaps not at once: it is repeated when it says so."""
        deadline = time.monotonic() + REPEAT_SECONDS_MAX
        while True:
            done = self.run(*words, at=at)
            if done.returncode == 0:
                return
            if "may be repeated" not in done.stderr or time.monotonic() > deadline:
                raise NodeFailed(f"tidelog cluster {' '.join(map(str, words))} failed\n{done.stdout}{done.stderr}")
            time.sleep(1)

    def status(self, node):
        """Returns the cluster's status as a node reports it; None if it does not answer in time."""
        command = [binary(), "cluster", "status", "--output", "json", "--at", peer_address(node.place)]
        try:
            done = subprocess.run(command, capture_output=True, timeout=STATUS_SECONDS_MAX, env=environment())
        except subprocess.TimeoutExpired:
            return None
        # 3: something is wrong with the cluster, which the status says.
        return json.loads(done.stdout) if done.returncode in (0, 3) else None

    def statuses(self):
        return list(self.pool.map(self.status, self.nodes))

    def leaders(self):
        """The leading node of each group, as far as anybody knows."""
        found = {}
        for status in filter(None, self.statuses()):
            for group in status["groups"]:
                if group["leader"]:
                    found.setdefault(group["group"], group["leader"])
        return found

    def terms(self, statuses):
        """The sum of all groups' highest terms: it grows with each election."""
        highest = {}
        for status in filter(None, statuses):
            for group in status["groups"]:
                highest[group["group"]] = max(highest.get(group["group"], 0), group["term"])
        return sum(highest.values())

    def await_health(self, seconds_max=HEALTHY_SECONDS_MAX):
        """Waits until every group has a leader and the replicas are equal: seconds it took, and the statuses then.

        A node whose disk was in trouble leads nothing for a while after that; it is waited for as well.
        """
        began, goal, waited = time.monotonic(), {}, None
        while True:
            self.check()
            statuses = self.statuses()
            now = time.monotonic() - began
            sick = why_unhealthy(statuses, [node.identity for node in self.nodes], goal)
            if not sick and waited is None:
                waited = now
            sick = sick or why_reluctant(statuses)
            if not sick:
                return waited, statuses
            if now > (seconds_max if waited is None else RELUCTANT_SECONDS_MAX):
                raise NodeFailed(f"not healthy after {now:.1f} s: {sick}")
            time.sleep(0.1)

    def replace(self, node):
        """Gives a place a new node on an empty disk, under an id that was never used, as an operator would."""
        if node.volume.data.exists():
            node.volume.wipe()
        old, self.identity_last = node.identity, self.identity_last + 1
        node.identity = self.identity_last
        node.spawn(self.nodes)
        helper = next(one for one in self.nodes if one is not node and one.process is not None)
        self.change("replace", old, f"{node.identity}={peer_address(node.place)}", at=helper)
        node.await_readiness()

    def transfer(self, node):
        """Lets one node lead every group."""
        self.change("transfer", "--to", node.identity, at=node)

    def end(self):
        """Ends everything at once and lets go of the disks."""
        for node in self.nodes:
            if node.process is not None:
                node.process.kill()
                node.process.wait()
        self.pool.shutdown()
        for node in self.nodes:
            node.volume.unmount()


def why_reluctant(statuses):
    """Which node would rather not lead, and why; "" if none."""
    reasons = [node["reluctance"] for status in statuses for node in status["nodes"] if node["reluctance"]]
    return "; ".join(sorted(set(reasons)))


def why_unhealthy(statuses, members, goal):
    """Why a cluster is not well yet, or "". `goal` keeps what each group had when it was first asked for."""
    for member, status in zip(members, statuses, strict=True):
        if status is None:
            return f"node {member} does not answer"
        found = {node["id"]: node for node in status["nodes"]}
        if sorted(found) != sorted(members):
            return f"node {member} knows the members {sorted(found)}, not {sorted(members)}"
        for one, node in found.items():
            if not (node["is_voter"] and node["is_reachable"]):
                return f"node {member} says of {one}: {node}"
    groups = [{group["group"]: group for group in status["groups"]} for status in statuses]
    for number in groups[0]:
        views = [view[number] for view in groups]
        leaders = {view["leader"] or None for view in views}
        if len(leaders) != 1 or None in leaders:
            return f"group {number} is led by {sorted(leaders, key=str)}"
        goal.setdefault(number, max(view["last_index"] for view in views))
        behind = [view["applied_index"] for view in views if view["applied_index"] < goal[number]]
        if behind:
            return f"group {number} is applied up to {behind} somewhere, not {goal[number]}"
    return ""
