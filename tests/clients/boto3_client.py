"""Puts and reads a stream with boto3, and keeps account of every attempt.

Used by the tests and by the stress loop. Retries are off: one inside the SDK would be an attempt that
nobody counted.
"""

import threading
import time
from concurrent.futures import ThreadPoolExecutor

import boto3
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError

from .checker import Attempt, Clock, Record

RECORDS_PER_PUT_MAX = 500
RECORDS_PER_CALL = 400
CONFIG = Config(
    retries={"total_max_attempts": 1, "mode": "standard"},
    connect_timeout=2,
    read_timeout=15,
    max_pool_connections=64,
)


def connect(endpoint):
    """A client of its own session, so that threads may each have one."""
    session = boto3.session.Session("test", "test", region_name="us-east-1")
    return session.client("kinesis", endpoint_url=endpoint, config=CONFIG)


def create_stream(client, stream, shards):
    """Creates a stream and waits until it is ACTIVE."""
    client.create_stream(StreamName=stream, ShardCount=shards)
    client.get_waiter("stream_exists").wait(StreamName=stream)


def shard_ranges(client, stream):
    """The first and last hash key of each shard."""
    shards = client.list_shards(StreamName=stream)["Shards"]
    ranges = {shard["ShardId"]: shard["HashKeyRange"] for shard in shards}
    return {shard: (int(r["StartingHashKey"]), int(r["EndingHashKey"])) for shard, r in ranges.items()}


def entry(attempt):
    return {"PartitionKey": attempt.key, "Data": attempt.data}


class Producer:
    """Sends one request after another and notes what became of each record."""

    def __init__(self, client, stream, name, clock):
        self.client, self.stream, self.name, self.clock = client, stream, name, clock
        self.attempts = []

    def put(self, rows, marked=False):
        """Sends rows by one request; the attempts. With `marked`, each attempt's id is part of its data."""
        sent = self.clock.tick()
        made = []
        for position, row in enumerate(rows):
            attempt_id = f"{self.name}-{len(self.attempts) + position}"
            data = attempt_id.encode() + b"|" + row.data if marked else row.data
            made.append(Attempt(attempt_id, self.name, row.key, data, sent, position))
        self.attempts += made
        try:
            results = self.send(made)
        except ClientError as error:
            status = error.response["ResponseMetadata"]["HTTPStatusCode"]
            for attempt in made:
                attempt.refused = status == 400
            raise
        acknowledged = self.clock.tick()
        for attempt, result in zip(made, results, strict=True):
            if "ErrorCode" in result:
                attempt.refused = result["ErrorCode"] == "ProvisionedThroughputExceededException"
                continue
            attempt.acknowledged = acknowledged
            attempt.shard, attempt.sequence_number = result["ShardId"], result["SequenceNumber"]
        return made

    def send(self, made):
        if len(made) == 1:
            return [self.client.put_record(StreamName=self.stream, **entry(made[0]))]
        answer = self.client.put_records(StreamName=self.stream, Records=[entry(attempt) for attempt in made])
        failed = sum("ErrorCode" in result for result in answer["Records"])
        assert failed == answer["FailedRecordCount"], "FailedRecordCount is not the number of failed records"
        return answer["Records"]


def position_of(client, stream, shard, kind="TRIM_HORIZON", **arguments):
    """A shard iterator."""
    answer = client.get_shard_iterator(StreamName=stream, ShardId=shard, ShardIteratorType=kind, **arguments)
    return answer["ShardIterator"]


def records_of(shard, answer):
    return [
        Record(
            shard,
            record["SequenceNumber"],
            record["PartitionKey"],
            record["Data"],
            record["ApproximateArrivalTimestamp"].timestamp(),
        )
        for record in answer["Records"]
    ]


def read_from(client, shard, iterator):
    """All records from an iterator to the shard's tip."""
    records = []
    while iterator is not None:
        answer = client.get_records(ShardIterator=iterator, Limit=RECORDS_PER_CALL)
        records += records_of(shard, answer)
        if not answer["Records"] and answer["MillisBehindLatest"] == 0:
            break
        iterator = answer.get("NextShardIterator")
    return records


def read_all(endpoint, stream, consumers=1):
    """One list of records per consumer; each consumer reads every shard on a thread of its own."""
    shards = sorted(shard_ranges(connect(endpoint), stream))

    def read_shard(shard):
        client = connect(endpoint)
        return read_from(client, shard, position_of(client, stream, shard))

    with ThreadPoolExecutor(consumers * len(shards)) as threads:
        reads = [[threads.submit(read_shard, shard) for shard in shards] for _ in range(consumers)]
        return [[record for read in reads_of_one for record in read.result()] for reads_of_one in reads]


class Load:
    """Producers and consumers that go on whatever happens to the broker, until told to end."""

    def __init__(self, endpoint, stream, rows, producers=6, seed=0):
        self.endpoint, self.stream, self.rows, self.seed = endpoint, stream, rows, seed
        self.clock = Clock()
        self.ending = threading.Event()
        client = connect(endpoint)
        self.producers = [Producer(client, stream, f"p{index}", self.clock) for index in range(producers)]
        self.consumers = {shard: [] for shard in shard_ranges(client, stream)}
        self.faults = []
        self.threads = [
            threading.Thread(target=self.produce, args=item) for item in enumerate(self.producers)
        ]
        self.threads += [threading.Thread(target=self.consume, args=(shard,)) for shard in self.consumers]

    def __enter__(self):
        for thread in self.threads:
            thread.start()
        return self

    def __exit__(self, *_):
        self.ending.set()
        for thread in self.threads:
            thread.join()

    def produce(self, index, producer):
        """Even producers put records one by one, odd ones many at a time."""
        size = 1 if index % 2 == 0 else 5 * index
        start = index * 97 + self.seed
        while not self.ending.is_set():
            batch = [self.rows[(start + offset) % len(self.rows)] for offset in range(size)]
            start += size
            try:
                producer.put(batch, marked=True)
            except (BotoCoreError, ClientError) as error:
                self.note(error)
                time.sleep(0.02)
            except BaseException as error:
                self.faults.append(error)
                raise

    def consume(self, shard):
        """Follows a shard with one chain of iterators, which must outlive every restart."""
        client, iterator = connect(self.endpoint), None
        while not self.ending.is_set():
            try:
                iterator = iterator or position_of(client, self.stream, shard)
                answer = client.get_records(ShardIterator=iterator)
            except (BotoCoreError, ClientError) as error:
                self.note(error)
                time.sleep(0.05)
                continue
            self.consumers[shard] += records_of(shard, answer)
            iterator = answer["NextShardIterator"]
            time.sleep(0.05)

    def note(self, error):
        """A broken connection is expected; an answer that says the client is wrong is not."""
        if isinstance(error, ClientError) and error.response["ResponseMetadata"]["HTTPStatusCode"] == 400:
            self.faults.append(error)

    def attempts(self):
        """Every attempt of every producer so far."""
        return [attempt for producer in self.producers for attempt in producer.attempts]

    def acknowledged_count(self):
        return sum(attempt.acknowledged is not None for attempt in self.attempts())

    def consumed(self):
        """Returns the records that the consumers saw while the load ran."""
        return [record for records in self.consumers.values() for record in records]
