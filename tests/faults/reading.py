"""Reads everything back through every node, and compares it with what was sent, with each other, and with before."""

import contextlib
import hashlib
from collections import Counter
from concurrent.futures import ThreadPoolExecutor

from clients import boto3_client, checker

from .network import CLIENT_PORT, address


def endpoint(node):
    return f"http://{address(node.place)}:{CLIENT_PORT}"


def read_through(node, stream):
    """All records of a stream through one node, parents before their children."""
    with ThreadPoolExecutor(4) as threads:
        def read(shard):
            client = boto3_client.connect(endpoint(node))
            return boto3_client.read_from(client, shard, boto3_client.position_of(client, stream, shard))

        shards = sorted(shard["ShardId"] for shard in shards_of(node, stream))
        return [record for records in threads.map(read, shards) for record in records]


def shards_of(node, stream):
    answer = boto3_client.connect(endpoint(node)).list_shards(StreamName=stream)
    assert "NextToken" not in answer, "more shards than a page holds"
    return answer["Shards"]


@contextlib.contextmanager
def alone(cluster, node):
    """Ends both other nodes for a while: what this one answers then comes from its own files, without any leader."""
    for other in cluster.nodes:
        if other is not node:
            other.kill()
    yield
    for _, failure in cluster.start():
        raise failure
    cluster.await_health()


def digest(records):
    """Reduces the records of a stream to few bytes, to keep for later."""
    made = hashlib.sha256()
    for record in records:
        made.update(repr((record.shard, record.sequence_number, record.key, record.arrival)).encode())
        made.update(hashlib.sha256(record.data).digest())
    return len(records), made.hexdigest()


def violations_of(node, stream, attempts, records):
    """All that is wrong with a complete read of a stream."""
    listed = shards_of(node, stream)
    ranges = {shard["ShardId"]: hash_keys(shard) for shard in listed}
    names = ("ParentShardId", "AdjacentParentShardId")
    parents = {shard["ShardId"]: [shard[name] for name in names if name in shard] for shard in listed}
    found = checker.check(attempts, records, ranges)
    found += checker.check_ordinals(records)
    found += checker.check_children(records, parents)
    found += checker.check_order_of_keys(attempts, records)
    return found


def hash_keys(shard):
    """A shard's first and last hash key."""
    return tuple(int(shard["HashKeyRange"][f"{end}HashKey"]) for end in ("Starting", "Ending"))


def doubled(records):
    """How many attempts are there more than once, as they may be after a retry inside an SDK."""
    return sum(count > 1 for count in Counter(record.data for record in records).values())


def compare_segments(cluster):
    """Sealed segments of the same name are the same bytes on all nodes (I3); how many were compared."""
    seen = {}
    compared = 0
    for node in cluster.nodes:
        for path in sorted(node.volume.data.glob("shards/*/*/*.seg")):
            try:
                content = path.read_bytes()
            except FileNotFoundError:
                continue
            if content[-8:] != b"TIDELEND":
                continue
            name, made = path.relative_to(node.volume.data), hashlib.sha256(content).digest()
            if name in seen:
                compared += 1
                other, theirs = seen[name]
                assert theirs == made, f"{name} differs between {other} and {node}"
            else:
                seen[name] = node, made
    return compared
