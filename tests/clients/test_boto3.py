"""boto3: the whole data set, positions, odd payloads, limits, and kill -9 under load."""

import datetime
import random
import time

import pytest
from botocore.exceptions import ClientError

from . import boto3_client, checker, data_set, kill9
from .boto3_client import Producer, connect, position_of, read_all, read_from

STREAM = "airports-boto3"
ROWS_PER_REQUEST = 250
ROWS_PUT_SINGLY = 100


@pytest.fixture(scope="class")
def client(broker):
    return connect(broker.endpoint)


@pytest.fixture(scope="class")
def producer(client):
    return Producer(client, STREAM, "boto3", checker.Clock())


class TestDataSet:
    """The data set goes in once and comes back the same, before and after a crash."""

    def test_create_and_wait(self, client):
        boto3_client.create_stream(client, STREAM, data_set.SHARDS)
        summary = client.describe_stream_summary(StreamName=STREAM)["StreamDescriptionSummary"]
        assert summary["StreamStatus"] == "ACTIVE"
        assert summary["OpenShardCount"] == data_set.SHARDS

    def test_put_and_read_back(self, broker, producer, rows):
        middle = len(rows) // 2
        self.put(producer, rows[:middle])
        checker.assert_rows_in_order(rows[:middle], kill9.compare(broker, STREAM, producer.attempts))

    def test_read_back_after_kill9_in_the_middle(self, broker, producer, rows):
        before = kill9.compare(broker, STREAM, producer.attempts)
        broker.restart_after_kill9()
        kill9.compare(broker, STREAM, producer.attempts, before)
        self.put(producer, rows[len(rows) // 2 :])
        after = kill9.compare(broker, STREAM, producer.attempts, before)
        checker.assert_rows_in_order(rows, after)

    def test_read_back_after_kill9_at_the_end(self, broker, producer, rows):
        before = read_all(broker.endpoint, STREAM)[0]
        broker.restart_after_kill9()
        after = kill9.compare(broker, STREAM, producer.attempts, before)
        checker.assert_rows_in_order(rows, after)
        assert after == before

    def test_read_back_after_an_orderly_stop(self, broker, producer, rows):
        before = read_all(broker.endpoint, STREAM)[0]
        broker.stop()
        broker.start()
        assert kill9.compare(broker, STREAM, producer.attempts, before) == before
        checker.assert_rows_in_order(rows, before)

    @staticmethod
    def put(producer, rows):
        batched, single = rows[:-ROWS_PUT_SINGLY], rows[-ROWS_PUT_SINGLY:]
        for start in range(0, len(batched), ROWS_PER_REQUEST):
            attempts = producer.put(batched[start : start + ROWS_PER_REQUEST])
            assert all(attempt.acknowledged for attempt in attempts)
        for row in single:
            producer.put([row])


class TestPositions:
    """Where a consumer may start."""

    STREAM = "positions"

    @pytest.fixture(scope="class")
    @classmethod
    def written(cls, broker, client, rows):
        """Twenty records in one shard, ten of them at least 50 ms after the other ten, as they are read."""
        boto3_client.create_stream(client, cls.STREAM, 1)
        producer = Producer(client, cls.STREAM, "positions", checker.Clock())
        producer.put(rows[:10])
        time.sleep(0.05)
        producer.put(rows[10:20])
        (records,) = read_all(broker.endpoint, cls.STREAM)
        assert [record.data for record in records] == [row.data for row in rows[:20]]
        return records

    def read(self, client, written, kind, **arguments):
        shard = written[0].shard
        return read_from(client, shard, position_of(client, self.STREAM, shard, kind, **arguments))

    def test_at_sequence_number(self, client, written):
        number = written[7].sequence_number
        found = self.read(client, written, "AT_SEQUENCE_NUMBER", StartingSequenceNumber=number)
        assert found == written[7:]

    def test_after_sequence_number(self, client, written):
        number = written[7].sequence_number
        found = self.read(client, written, "AFTER_SEQUENCE_NUMBER", StartingSequenceNumber=number)
        assert found == written[8:]

    def test_after_the_last_sequence_number(self, client, written):
        number = written[-1].sequence_number
        assert self.read(client, written, "AFTER_SEQUENCE_NUMBER", StartingSequenceNumber=number) == []

    def test_at_timestamp(self, client, written):
        # Milliseconds are what a client can say exactly.
        at = datetime.datetime.fromtimestamp(written[10].arrival - 0.02, datetime.timezone.utc)
        assert self.read(client, written, "AT_TIMESTAMP", Timestamp=at) == written[10:]

    def test_at_a_timestamp_before_everything(self, client, written):
        at = datetime.datetime.fromtimestamp(written[0].arrival - 3600, datetime.timezone.utc)
        assert self.read(client, written, "AT_TIMESTAMP", Timestamp=at) == written

    def test_positions_outlive_kill9(self, broker, client, written):
        number = written[3].sequence_number
        shard = written[0].shard
        iterator = position_of(
            client, self.STREAM, shard, "AT_SEQUENCE_NUMBER", StartingSequenceNumber=number
        )
        broker.restart_after_kill9()
        assert read_from(connect(broker.endpoint), shard, iterator) == written[3:]

    def test_latest(self, client, written, rows):
        shard = written[0].shard
        iterator = position_of(client, self.STREAM, shard, "LATEST")
        assert read_from(client, shard, iterator) == []
        Producer(client, self.STREAM, "latest", checker.Clock()).put(rows[20:21])
        assert [record.data for record in read_from(client, shard, iterator)] == [rows[20].data]


class TestStreams:
    """Streams are listed by pages, deleted and created again."""

    NAMES = [f"listed-{number:02}" for number in range(5)]

    def test_list_by_pages(self, client):
        for name in self.NAMES:
            client.create_stream(StreamName=name, ShardCount=1)
            client.get_waiter("stream_exists").wait(StreamName=name)
        pages = list(client.get_paginator("list_streams").paginate(PaginationConfig={"PageSize": 2}))
        assert [name for page in pages for name in page["StreamNames"]] == self.NAMES
        assert len(pages) == 3

    def test_deleted_and_created_again_is_empty(self, broker, client, rows):
        name = self.NAMES[0]
        old = Producer(client, name, "old", checker.Clock()).put(rows[:1])[0]
        client.delete_stream(StreamName=name)
        client.get_waiter("stream_not_exists").wait(StreamName=name)
        boto3_client.create_stream(client, name, 1)
        assert read_all(broker.endpoint, name) == [[]]
        new = Producer(client, name, "new", checker.Clock()).put(rows[:1])[0]
        assert int(new.sequence_number) > int(old.sequence_number)

    def test_streams_outlive_kill9(self, broker, client):
        broker.restart_after_kill9()
        fresh = connect(broker.endpoint)
        assert fresh.list_streams()["StreamNames"] == self.NAMES
        assert [len(records) for records in read_all(broker.endpoint, self.NAMES[0])] == [1]

    def test_an_unknown_stream_has_its_own_exception(self, broker):
        client = connect(broker.endpoint)
        with pytest.raises(client.exceptions.ResourceNotFoundException) as caught:
            client.put_record(StreamName="nowhere", PartitionKey="k", Data=b"d")
        message = caught.value.response["Error"]["Message"]
        assert message == "Stream nowhere under account 000000000000 not found."


class TestPayloads:
    """Bytes of any kind and keys of any script."""

    STREAM = "payloads"

    @pytest.mark.parametrize("crash", [False, True], ids=["before kill9", "after kill9"])
    def test_bytes_and_keys(self, broker, client, crash):
        payloads = self.payloads()
        if crash:
            broker.restart_after_kill9()
        else:
            boto3_client.create_stream(client, self.STREAM, 2)
            for key, data in payloads:
                client.put_record(StreamName=self.STREAM, PartitionKey=key, Data=data)
        (records,) = read_all(broker.endpoint, self.STREAM)
        assert {(record.key, record.data) for record in records} == set(payloads)
        assert len(records) == len(payloads)

    @staticmethod
    def payloads():
        generator = random.Random(7)
        keys = ["k", "ключ", "鍵", "🗝", 'a "quoted" \\ key\n', "x" * 256]
        data = [b"", bytes(range(256)), b"\xff\xfe", b"\0" * 100, generator.randbytes(4096)]
        data.append(generator.randbytes(1024 * 1024 - len("x" * 256)))
        return list(zip(keys, data, strict=True))


class TestLimits:
    """With the limits of AWS, what is throttled is told per record, is not stored, and goes through later."""

    STREAM = "limited"

    def test_throttled_records_go_through_later(self, limited_broker, rows):
        client = connect(limited_broker.endpoint)
        boto3_client.create_stream(client, self.STREAM, 1)
        producer = Producer(client, self.STREAM, "limited", checker.Clock())
        waiting, throttled, deadline = list(rows[:2500]), 0, time.monotonic() + 60
        while waiting:
            assert time.monotonic() < deadline, f"{len(waiting)} records are throttled for a minute"
            made = producer.put(waiting[:500], marked=True)
            failed = [
                row for row, attempt in zip(waiting[:500], made, strict=True) if attempt.acknowledged is None
            ]
            assert all(attempt.acknowledged or attempt.refused for attempt in made)
            throttled += len(failed)
            waiting = failed + waiting[500:]
            time.sleep(0.1 if failed else 0)
        assert throttled > 0, "2,500 records went through one shard at once"
        # Five reads per second and shard: one call takes all of it.
        shard = "shardId-000000000000"
        answer = client.get_records(ShardIterator=position_of(client, self.STREAM, shard))
        records = boto3_client.records_of(shard, answer)
        checker.assert_no_violations(checker.check(producer.attempts, records))
        assert len(records) == 2500

    def test_reads_are_throttled(self, limited_broker):
        client = connect(limited_broker.endpoint)
        boto3_client.create_stream(client, self.STREAM, 1)
        iterator = position_of(client, self.STREAM, "shardId-000000000000")
        with pytest.raises(ClientError) as caught:
            for _ in range(50):
                client.get_records(ShardIterator=iterator)
        assert caught.value.response["Error"]["Code"] == "ProvisionedThroughputExceededException"


class TestKill9:
    """kill -9 at random moments while threads put and consumers follow."""

    def test_under_load(self, broker, client, rows):
        seed = random.SystemRandom().randrange(2**32)
        print(f"seed {seed}")
        boto3_client.create_stream(client, STREAM, data_set.SHARDS)
        generator = random.Random(seed)
        acknowledged, read = kill9.run_round(broker, STREAM, rows, generator, data_set.KILLS)
        print(f"{acknowledged} acknowledged, {read} read")
