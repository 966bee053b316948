"""Reshards at random under load: nothing is lost, doubled or out of order, whatever splits and merges go on.

Producers are the program on the AWS SDK for Rust, consumers are of the same SDK: some poll, some are pushed
to. Everybody follows the stream from parents to children while it is split, merged and scaled.
"""

import hashlib
import random
import signal
import subprocess
import threading
import time
from dataclasses import dataclass

import pytest

from . import checker, data_set
from .boto3_client import connect
from .clients import CLIENTS
from .following import Poller, Subscriber
from .player import is_open

STREAM = "resharded"
SHARDS = 4
OPEN_SHARDS_MIN, OPEN_SHARDS_MAX = 3, 10
RESHARDS = 30
PRODUCERS = 8
RECORDS_PER_REQUEST = 50
PAUSE_MILLISECONDS = 25
POLLERS = 4
SUBSCRIBERS = 2
SECONDS_MAX = 240
RESHARD_SECONDS_MAX = 30
# Acknowledgements around a reshard are looked at from this long before it to this long after it.
SECONDS_AROUND = 0.2
# How long there is load before the first reshard.
SECONDS_BEFORE = 1


@dataclass
class Reshard:
    """One reshard: what was asked for, when, and the hash keys whose shards it closed."""

    words: str
    began: float
    ended: float
    ranges: list


class Consumer:
    """A program of its own that reads in a thread until it is told how many records there are."""

    def __init__(self, make, program):
        self.program, self.following, self.fault, self.target = program, make(program), None, None
        self.thread = threading.Thread(target=self.run)
        self.thread.start()

    def run(self):
        try:
            while self.target is None:
                if isinstance(self.following, Poller):
                    self.following.poll()
                    time.sleep(0.05)
                else:
                    self.following.turn()
            finish = getattr(self.following, "drain", None) or self.following.receive
            finish(self.target)
        except BaseException as error:
            self.fault = error
            raise

    def finish(self, count):
        """Lets it read `count` records in all and ends it."""
        self.target = count
        self.thread.join()
        self.program.close()
        if self.fault is not None:
            raise self.fault


def shards_of(client):
    return client.list_shards(StreamName=STREAM)["Shards"]


def summary_of(client):
    return client.describe_stream_summary(StreamName=STREAM)["StreamDescriptionSummary"]


def hashes(shard):
    return int(shard["HashKeyRange"]["StartingHashKey"]), int(shard["HashKeyRange"]["EndingHashKey"])


def choose(client, generator):
    """The next reshard: its operation and members."""
    shards = sorted(filter(is_open, shards_of(client)), key=hashes)
    count = len(shards)
    kind = generator.choice(("SplitShard", "MergeShards", "UpdateShardCount"))
    if kind == "SplitShard" and count < OPEN_SHARDS_MAX:
        shard = generator.choice(shards)
        first, last = hashes(shard)
        if last - first > 2**64:
            middle = generator.randrange(first + 2, last)
            return kind, {"ShardToSplit": shard["ShardId"], "NewStartingHashKey": str(middle)}
    if kind == "MergeShards" and count > OPEN_SHARDS_MIN:
        below = generator.randrange(count - 1)
        pair = {"ShardToMerge": shards[below], "AdjacentShardToMerge": shards[below + 1]}
        return kind, {name: shard["ShardId"] for name, shard in pair.items()}
    fewest, most = max(-(-count // 2), OPEN_SHARDS_MIN), min(2 * count, OPEN_SHARDS_MAX)
    targets = [target for target in range(fewest, most + 1) if target != count]
    scaling = {"TargetShardCount": generator.choice(targets), "ScalingType": "UNIFORM_SCALING"}
    return "UpdateShardCount", scaling


def reshard(client, generator):
    """Reshards once and waits for its end."""
    operation, members = choose(client, generator)
    before = {shard["ShardId"]: shard for shard in shards_of(client) if is_open(shard)}
    began = time.time()
    method = {"SplitShard": client.split_shard, "MergeShards": client.merge_shards}
    method.get(operation, client.update_shard_count)(StreamName=STREAM, **members)
    while summary_of(client)["StreamStatus"] != "ACTIVE":
        assert time.time() < began + RESHARD_SECONDS_MAX, f"{operation} {members} does not end"
        time.sleep(0.01)
    ended = time.time()
    still = {shard["ShardId"] for shard in shards_of(client) if is_open(shard)}
    closed = [hashes(shard) for name, shard in before.items() if name not in still]
    words = " ".join(str(value) for value in members.values() if value != "UNIFORM_SCALING")
    return Reshard(f"{operation} {words}", began, ended, closed)


def longest_pause(attempts, ranges, start, end):
    """Milliseconds of the longest time without an acknowledgement on the keys of some ranges."""
    times = [
        attempt.acknowledged_at
        for attempt in attempts
        if start <= attempt.acknowledged_at <= end and in_ranges(attempt.key, ranges)
    ]
    times.sort()
    return max((after - before for before, after in zip(times, times[1:])), default=end - start) * 1000


def in_ranges(key, ranges):
    hashed = int.from_bytes(hashlib.md5(key.encode()).digest(), "big")
    return any(first <= hashed <= last for first, last in ranges)


@pytest.fixture
def rust():
    return next(client for client in CLIENTS if client.name == "rust")


def test_under_load(broker, rust, rows, tmp_path):
    seed = random.SystemRandom().randrange(2**32)
    print(f"seed {seed}")
    generator = random.Random(seed)
    client = connect(broker.endpoint)
    client.create_stream(StreamName=STREAM, ShardCount=SHARDS)
    client.get_waiter("stream_exists").wait(StreamName=STREAM)
    consumers = start_consumers(client, broker, rust, tmp_path)
    attempts_file, reshards = tmp_path / "attempts.jsonl", []
    producers = start_producers(broker, rust, rows, tmp_path, attempts_file)
    try:
        time.sleep(SECONDS_BEFORE)
        for _ in range(RESHARDS):
            time.sleep(generator.uniform(0.05, 0.3))
            reshards.append(reshard(client, generator))
        time.sleep(0.5)
        assert producers.poll() is None, "the producers ended by themselves"
        producers.send_signal(signal.SIGTERM)
        assert producers.wait(SECONDS_MAX) == 0
    finally:
        producers.kill()
        producers.wait()
    attempts = checker.load_attempts(attempts_file)
    refused = [attempt.attempt_id for attempt in attempts if attempt.acknowledged is None]
    assert not refused, f"{len(refused)} puts failed because of a reshard: {refused[:5]}"
    for consumer in consumers:
        consumer.finish(len(attempts))
    report(attempts, reshards)
    ranges = {shard["ShardId"]: hashes(shard) for shard in shards_of(client)}
    for consumer in consumers:
        records = consumer.following.records
        violations = checker.check(attempts, records, ranges)
        checker.assert_no_violations(violations + list(checker.check_order_of_keys(attempts, records)))


def start_consumers(client, broker, rust, directory):
    """Pollers and subscribers; each subscriber is a registered consumer of its own."""
    shards = shards_of(client)
    stream_arn = summary_of(client)["StreamARN"]
    makers = [lambda program: Poller(program, STREAM, shards)] * POLLERS
    for number in range(SUBSCRIBERS):
        arn = registered(client, stream_arn, f"subscriber-{number}")
        makers.append(lambda program, arn=arn: Subscriber(program, arn, shards))
    return [Consumer(make, rust.start(broker.endpoint, None, directory)) for make in makers]


def registered(client, stream_arn, name):
    """The ARN of a new consumer that is ready."""
    arn = client.register_stream_consumer(StreamARN=stream_arn, ConsumerName=name)["Consumer"]["ConsumerARN"]
    while client.describe_stream_consumer(ConsumerARN=arn)["ConsumerDescription"]["ConsumerStatus"] != "ACTIVE":
        time.sleep(0.02)
    return arn


def start_producers(broker, rust, rows, directory, attempts):
    program = rust.prepare(None, directory)[0]
    rows_file = directory / "rows.jsonl"
    data_set.write_rows(rows, rows_file)
    words = [program, "--endpoint", broker.endpoint, "--stream", STREAM, "load"]
    words += ["--rows", rows_file, "--attempts", attempts, "--seconds", SECONDS_MAX, "--producers", PRODUCERS]
    words += ["--records-per-request", RECORDS_PER_REQUEST, "--pause-milliseconds", PAUSE_MILLISECONDS]
    return subprocess.Popen(list(map(str, words)))


def report(attempts, reshards):
    """Prints what each reshard cost those who put meanwhile."""
    first, last = reshards[0], reshards[-1]
    print(f"{len(attempts)} records put, {len(reshards)} reshards in {last.ended - first.began:.1f} s")
    usual = longest_pause(attempts, first.ranges, first.began - SECONDS_BEFORE, first.began)
    print(f"{usual:6.0f} ms at most between two acknowledgements before the first reshard")
    for one in reshards:
        around = (one.began - SECONDS_AROUND, one.ended + SECONDS_AROUND)
        pause, took = longest_pause(attempts, one.ranges, *around), (one.ended - one.began) * 1000
        print(f"{pause:6.0f} ms without acknowledgement, {took:5.0f} ms until ACTIVE: {one.words}")
