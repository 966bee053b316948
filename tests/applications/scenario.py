"""The life of an application: two workers, a split, a death, a merge, and a graceful stop, while records are put."""

import itertools
import threading
import time
from dataclasses import dataclass, field

import boto3
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError

from clients import boto3_client

from . import judgement

SHARDS = 2
# KCL 3 gives the part of its leader away over two minutes after that worker has died.
STEP_SECONDS_MAX = 420
PUT_SECONDS_BETWEEN, RECORDS_PER_PUT = 0.1, 5
# Records before a step, so that each shard has some.
RECORDS_BETWEEN = 100
RETRIES = Config(retries={"total_max_attempts": 10, "mode": "standard"}, connect_timeout=5, read_timeout=30)


class Producer:
    """Puts records in a thread of its own, and counts those that were acknowledged."""

    def __init__(self, endpoint, stream):
        self.client, self.stream = boto3_client.connect(endpoint), stream
        self.acknowledged = set()
        self.ending = threading.Event()
        self.thread = threading.Thread(target=self.put, daemon=True)
        self.thread.start()

    def put(self):
        numbers = itertools.count()
        while not self.ending.wait(PUT_SECONDS_BETWEEN):
            made = [str(next(numbers)) for _ in range(RECORDS_PER_PUT)]
            entries = [{"PartitionKey": data, "Data": data.encode()} for data in made]
            try:
                results = self.client.put_records(StreamName=self.stream, Records=entries)["Records"]
            except (BotoCoreError, ClientError):
                # The next records are others; of these it is open whether they are stored.
                continue
            kept = [data for data, result in zip(made, results, strict=True) if "ErrorCode" not in result]
            self.acknowledged.update(kept)

    def snapshot(self):
        return set(self.acknowledged)

    def assert_alive(self):
        assert self.ending.is_set() or self.thread.is_alive(), "the producer has died"

    def stop(self):
        self.ending.set()
        self.thread.join(60)
        assert not self.thread.is_alive(), "the producer does not stop"


def aws(service, endpoint):
    session = boto3.session.Session("test", "test", region_name="us-east-1")
    return session.client(service, endpoint_url=endpoint, config=RETRIES)


@dataclass
class Scenario:
    """One application on one stream. `start_worker` makes a worker that notes its events in the given list."""

    stream: str
    application: str
    endpoint: str
    start_worker: object
    start_producer: object = None
    workers: list = field(default_factory=list)
    events: list = field(default_factory=list)

    def __post_init__(self):
        self.kinesis = aws("kinesis", self.endpoint)
        self.producer = None
        self.began = time.monotonic()

    def say(self, text):
        print(f"{time.monotonic() - self.began:6.1f} s  {text}", flush=True)

    # Steps

    def create_stream(self):
        self.kinesis.create_stream(StreamName=self.stream, ShardCount=SHARDS)
        self.await_active()

    def begin(self, workers=2):
        """Starts the workers, waits until they have all shards, and starts to put.

        Of two workers of KCL 3.5 that create an application in the same millisecond, one gives up: the first one is
        to have its table before the next one starts.
        """
        for _ in range(workers):
            self.workers.append(self.start_worker(self.events))
            self.until("the application has its table", self.has_items)
        names = [shard["ShardId"] for shard in self.shards()]
        self.until("each shard has a worker", lambda: all(self.has("begin", name) for name in names))
        self.begin_to_put()
        self.read_on()

    def begin_to_put(self):
        make = self.start_producer or (lambda: Producer(self.endpoint, self.stream))
        self.producer = make()

    def split(self, has_processors=True):
        """Splits the first shard in the middle, and waits until the workers have followed."""
        shard = self.shards()[0]
        lower, upper = (int(shard["HashKeyRange"][end]) for end in ("StartingHashKey", "EndingHashKey"))
        middle = str((lower + upper) // 2)
        self.kinesis.split_shard(StreamName=self.stream, ShardToSplit=shard["ShardId"], NewStartingHashKey=middle)
        self.await_active()
        self.follow("split", has_processors)

    def merge(self, has_processors=True):
        """Merges the children of the split shard."""
        first, second = [shard["ShardId"] for shard in self.shards() if "ParentShardId" in shard]
        self.kinesis.merge_shards(StreamName=self.stream, ShardToMerge=first, AdjacentShardToMerge=second)
        self.await_active()
        self.follow("merge", has_processors)

    def kill_worker(self):
        """SIGKILL of the worker that has begun most shards; the other one has to read on."""
        victim = max(self.workers, key=lambda worker: len(worker.words("begin")))
        self.workers.remove(victim)
        victim.kill()
        self.say("a worker was killed")
        self.read_on()

    def stop(self, last_word="stopped"):
        """Stops to put, waits for the last record and its checkpoint, and stops the workers gracefully; the outcome.

        `last_word` is the one that the workers print at their end.
        """
        self.producer.stop()
        acknowledged = self.producer.snapshot()
        self.until("every record has been read", lambda: not self.unread(acknowledged))
        tips = self.tips()

        def behind():
            return list(judgement.unfinished_leases(self.shards(), self.leases(), tips))

        self.until("the checkpoints are at the ends of the shards", lambda: not behind())
        for worker in self.workers:
            worker.stop(last_word)
        self.workers = []
        self.say("the workers have stopped")
        found = judgement.outcome(acknowledged, self.events)
        self.say(str(found))
        assert found.missing == 0
        wrong = list(judgement.violations(self.shards(), self.events))
        wrong += behind()
        assert not wrong, wrong
        return found

    # Parts of the steps

    def read_on(self):
        """Waits until all that is acknowledged by now, and some records more, has been read."""
        before = len(self.producer.snapshot())
        self.until("more records are acknowledged", lambda: len(self.producer.snapshot()) >= before + RECORDS_BETWEEN)
        acknowledged = self.producer.snapshot()
        self.until(f"{len(acknowledged)} records are read", lambda: not self.unread(acknowledged))

    def follow(self, reshard, has_processors):
        """Waits until the workers have passed a reshard; record processors say so themselves."""
        def wrong():
            return list(judgement.violations(self.shards(), list(self.events)))

        if has_processors:
            self.until(f"the shards after the {reshard} have workers", lambda: not wrong())
        self.read_on()

    def unread(self, acknowledged):
        return acknowledged - {words[3] for _, words in list(self.events) if words[0] == "record"}

    def has(self, kind, shard):
        return any(words[:2] == [kind, shard] for _, words in list(self.events))

    def shards(self):
        return self.kinesis.list_shards(StreamName=self.stream)["Shards"]

    def await_active(self):
        def status():
            summary = self.kinesis.describe_stream_summary(StreamName=self.stream)
            return summary["StreamDescriptionSummary"]["StreamStatus"]

        self.until("the stream is ACTIVE", lambda: status() == "ACTIVE", quiet=True)

    def until(self, what, condition, quiet=False):
        ends = time.monotonic() + STEP_SECONDS_MAX
        while not condition():
            for process in [*self.workers, *([self.producer] if self.producer else [])]:
                process.assert_alive()
            assert time.monotonic() < ends, f"{what}: not within {STEP_SECONDS_MAX} s; {self.state()}"
            time.sleep(0.2)
        if not quiet:
            self.say(what)

    def state(self):
        """The state of the application for a failure: its events without the records, and the ends of the logs."""
        events = [" ".join(words) for _, words in list(self.events) if words[0] != "record"]
        logs = "\n".join(f"--- {worker.log} ---\n{worker.log_end()}" for worker in self.workers)
        unread = self.unread(self.producer.snapshot()) if self.producer else set()
        return f"{len(unread)} records are not read; events: {events[-40:]}\n{logs}"

    def has_items(self):
        tables = aws("dynamodb", self.endpoint)
        # KCL 3.4 has three tables, and the leases are the last items.
        return any(tables.scan(TableName=name)["Count"] > 0 for name in tables.list_tables()["TableNames"])

    def leases(self):
        """The checkpoint of each shard by the application's lease table."""
        tables = aws("dynamodb", self.endpoint)
        pages = tables.get_paginator("scan").paginate(TableName=self.application, ConsistentRead=True)
        items = [item for page in pages for item in page["Items"]]
        return {item["leaseKey"]["S"]: item["checkpoint"]["S"] for item in items if "checkpoint" in item}

    def tips(self):
        """The last sequence number of each open shard that holds records."""
        found = {}
        for shard in self.shards():
            if "EndingSequenceNumber" not in shard["SequenceNumberRange"]:
                name = shard["ShardId"]
                position = boto3_client.position_of(self.kinesis, self.stream, name)
                if records := boto3_client.read_from(self.kinesis, name, position):
                    found[name] = records[-1].sequence_number
        return found

    def discard(self):
        """Ends everything, for the end of a test that failed."""
        for worker in self.workers:
            worker.kill()
        if isinstance(self.producer, Producer):
            self.producer.ending.set()
