"""A round: a stream of its own, load and readers, faults one after the other, and the comparison at the end."""

import itertools
import random
import threading
import time

from botocore.exceptions import BotoCoreError, ClientError
from clients import boto3_client, checker
from clients.data_set import Row
from clients.following import Poller

from . import reading
from .cluster import HEALTHY_SECONDS_MAX
from .figures import Outcome
from .injections import hold
from .load import ONE_TRY, ByBoto3, Load, Writer, code, connect
from .readers import Anywhere, CallsByBoto3, PatientSubscriber, Reader

SHARDS = 6
QUIET_SECONDS = (0.5, 2)
# An operator's step is in these, and with it the copying of a node's whole data.
REPLACED_SECONDS_MAX = 90
# How long a node has for taking a damaged segment from a peer.
REPAIR_SECONDS = 10
RESHARD_SHARE = 0.3
FINISHED_MAX = 4
ARCHIVE, ARCHIVE_SECONDS_MAX = "archive", 120
ARCHIVE_RECORDS, ARCHIVE_RECORD_BYTES, ARCHIVE_RECORDS_PER_PUT = 72, 1_000_000, 4


class Setting:
    """The state that all rounds share."""

    def __init__(self, cluster, names, programs, rows, figures, seed):
        self.cluster, self.names, self.programs = cluster, names, programs
        self.rows, self.figures, self.seed = rows, figures, seed
        self.clients = [connect(name, ONE_TRY) for name in names]
        self.anywhere = Anywhere([CallsByBoto3(client) for client in self.clients], seed)
        self.finished = {}
        self.began = time.monotonic()

    def say(self, text):
        print(f"{time.monotonic() - self.began:7.1f} s  {text}", flush=True)

    def create(self, stream, shards):
        self.anywhere.call("CreateStream", StreamName=stream, ShardCount=shards)
        self.await_active(stream)

    def await_active(self, stream, seconds_max=HEALTHY_SECONDS_MAX):
        deadline = time.monotonic() + seconds_max
        while self.summary(stream)["StreamStatus"] != "ACTIVE":
            assert time.monotonic() < deadline, f"{stream} is not ACTIVE after {seconds_max} s"
            time.sleep(0.05)

    def keep(self, stream, digest):
        """Remembers what a finished stream holds; there is room for few of them."""
        self.finished[stream] = digest
        if len(self.finished) > FINISHED_MAX:
            oldest = next(name for name in self.finished if name != ARCHIVE)
            del self.finished[oldest]
            self.anywhere.call("DeleteStream", StreamName=oldest, EnforceConsumerDeletion=True)

    def summary(self, stream):
        return self.anywhere.call("DescribeStreamSummary", StreamName=stream)["StreamDescriptionSummary"]


def fill_archive(setting):
    """A stream with a sealed segment, for the whole run: what it holds must never change."""
    setting.create(ARCHIVE, 1)
    generator = random.Random(setting.seed)
    rows = (Row(str(number), generator.randbytes(ARCHIVE_RECORD_BYTES)) for number in itertools.count())
    batches = iter(lambda: list(itertools.islice(rows, ARCHIVE_RECORDS_PER_PUT)), None)
    senders = [ByBoto3(name, ONE_TRY, 1) for name in setting.names]
    writer = Writer("archive", senders, ARCHIVE, batches, 0, checker.Clock())
    deadline = time.monotonic() + ARCHIVE_SECONDS_MAX
    while sum(attempt.acknowledged is not None for attempt in writer.attempts) < ARCHIVE_RECORDS:
        assert time.monotonic() < deadline, f"the archive cannot be filled: {writer.failures[-3:]}"
        writer.put(next(writer.senders), next(batches))
    assert not writer.reproaches, writer.reproaches
    node = setting.cluster.nodes[0]
    records = reading.read_through(node, ARCHIVE)
    checker.assert_no_violations(reading.violations_of(node, ARCHIVE, writer.attempts, records))
    setting.finished[ARCHIVE] = reading.digest(records)
    setting.figures.acknowledged += ARCHIVE_RECORDS
    setting.say(f"archive filled with {len(records)} records, {len(writer.failures)} failures")


class Round:
    """One stream and what is done to it."""

    def __init__(self, setting, number):
        self.setting, self.cluster = setting, setting.cluster
        self.stream = f"round-{number:04}"
        self.generator = random.Random(f"{setting.seed} {self.stream}")
        self.clock = checker.Clock()

    def run(self, schedule, faults_max, deadline):
        """Injects the next faults, until there are none or it is time, then checks everything."""
        self.setting.create(self.stream, SHARDS)
        readers = self.readers()
        setting, nodes = self.setting, [reading.endpoint(node) for node in self.cluster.nodes]
        load = Load(self.stream, setting.rows, self.clock, nodes, setting.names, setting.programs, self.generator)
        with load:
            load.await_puts(time.time(), HEALTHY_SECONDS_MAX)
            for _ in range(faults_max):
                fault = schedule.next() if time.monotonic() < deadline else None
                if fault is None:
                    break
                time.sleep(self.generator.uniform(*QUIET_SECONDS))
                self.inject(fault, load)
                for reader in readers:
                    reader.check()
        load.check_ended()
        for line in load.failures_by_kind():
            self.setting.say(f"    {line}")
        self.verify(load.attempts(), readers)

    def readers(self):
        """Two that poll, by two SDKs, and one that is pushed to."""
        setting = self.setting
        shards = setting.anywhere.call("ListShards", StreamName=self.stream)["Shards"]
        arn = self.consumer()
        by_go = Anywhere(setting.programs, setting.seed)
        return [
            Reader("poller by boto3", Poller(setting.anywhere, self.stream, shards)),
            Reader("poller by Go", Poller(by_go, self.stream, shards)),
            Reader("subscriber by Go", PatientSubscriber(by_go, arn, shards)),
        ]

    def consumer(self):
        """The ARN of a registered consumer that is ready."""
        call = self.setting.anywhere.call
        stream = self.setting.summary(self.stream)["StreamARN"]
        arn = call("RegisterStreamConsumer", StreamARN=stream, ConsumerName="follower")["Consumer"]["ConsumerARN"]
        while call("DescribeStreamConsumer", ConsumerARN=arn)["ConsumerDescription"]["ConsumerStatus"] != "ACTIVE":
            time.sleep(0.05)
        return arn

    def inject(self, fault, load):
        """One fault from its beginning until all is well again, and its line."""
        terms = self.cluster.terms(self.cluster.statuses())
        reshard = self.reshard_meanwhile()
        began = time.time()
        fault.begin()
        what = str(fault)
        hold(fault)
        fault.end()
        ended = time.time()
        if fault.is_replaced:
            what += ", refused and replaced"
        seconds_max = REPLACED_SECONDS_MAX if fault.is_replaced else HEALTHY_SECONDS_MAX
        heal_seconds, statuses = self.cluster.await_health(seconds_max)
        load.await_puts(time.time(), HEALTHY_SECONDS_MAX)
        reshard.join()
        self.setting.await_active(self.stream)
        healed = time.time()
        load.check()
        if fault.is_planned:
            failures, partial = load.planned_failures(began, healed)
            assert not failures, f"{len(failures)} requests failed because of a {fault}: {failures[:3]}"
            self.setting.figures.partial += partial
        outcome = Outcome(
            fault.name, load.longest_pause(began, healed), heal_seconds, self.cluster.terms(statuses) - terms
        )
        assert outcome.elections >= fault.elections_min, f"{what}: only {outcome.elections} elections"
        self.setting.figures.outcomes.append(outcome)
        self.setting.say(
            f"{what}: {ended - began:.1f} s, well {heal_seconds:.1f} s after it, puts paused for"
            f" {outcome.pause_seconds:.1f} s at most, {outcome.elections} elections,"
            f" {load.acknowledged_count()} acknowledged"
        )

    def reshard_meanwhile(self):
        """Now and then a split or a merge is asked for while something happens; it may fail, but not half."""
        thread = threading.Thread(target=self.reshard, args=(self.generator.random(), self.generator.randrange(99)))
        if self.generator.random() >= RESHARD_SHARE:
            thread = threading.Thread(target=lambda: None)
        thread.start()
        return thread

    def reshard(self, seconds, pick):
        time.sleep(seconds)
        client = self.setting.clients[pick % len(self.setting.clients)]
        try:
            shards = client.list_shards(StreamName=self.stream)["Shards"]
            opened = [s for s in shards if "EndingSequenceNumber" not in s["SequenceNumberRange"]]
            opened.sort(key=reading.hash_keys)
            if len(opened) > SHARDS:
                at = pick % (len(opened) - 1)
                pair = {"ShardToMerge": opened[at]["ShardId"], "AdjacentShardToMerge": opened[at + 1]["ShardId"]}
                client.merge_shards(StreamName=self.stream, **pair)
            else:
                shard = opened[pick % len(opened)]
                middle = str(sum(reading.hash_keys(shard)) // 2)
                client.split_shard(StreamName=self.stream, ShardToSplit=shard["ShardId"], NewStartingHashKey=middle)
            self.setting.figures.reshards += 1
        except (BotoCoreError, ClientError) as error:
            # A retry after an unknown outcome finds the stream at work on it.
            if code(error) in ("ResourceNotFoundException", "ValidationException"):
                raise

    def verify(self, attempts, readers):
        """Equal reads through all three nodes, everything in them right, and what was read before still there."""
        figures, first = self.setting.figures, None
        # A node that is alone serves the records up to the last commit that it heard of.
        self.cluster.await_health()
        for node in self.cluster.nodes:
            node.check_log()
            records = self.read_alone(node)
            if first is None:
                first = records
                checker.assert_no_violations(reading.violations_of(node, self.stream, attempts, records))
            checker.assert_no_violations(checker.check_still_there(first, records))
            assert len(records) == len(first), f"{node} has {len(records)} records, not {len(first)}"
            figures.read += len(records)
        for reader in readers:
            read = reader.finish(len(first))
            checker.assert_no_violations(checker.check_still_there(read, first))
            checker.assert_no_violations(checker.check_order_of_keys(attempts, read))
        self.setting.keep(self.stream, reading.digest(first))
        figures.segments_compared += reading.compare_segments(self.cluster)
        figures.acknowledged += sum(attempt.acknowledged is not None for attempt in attempts)
        figures.unknown += sum(attempt.acknowledged is None for attempt in attempts)
        figures.doubled += reading.doubled(first)
        figures.rounds += 1
        self.setting.say(f"{self.stream}: {len(attempts)} attempts, {len(first)} records, equal through every node")

    def read_alone(self, node):
        """Everything that a node has. What was damaged it must refuse to serve, and repair once its peers are back."""
        while True:
            with reading.alone(self.cluster, node):
                try:
                    records = reading.read_through(node, self.stream)
                    self.compare_finished(node)
                    node.damages = 0
                    return records
                except ClientError as error:
                    if node.damages == 0 or code(error) != "InternalFailure":
                        raise
                    node.damages -= 1
            self.setting.say(f"{node} does not serve what is damaged; it has its peers again")
            time.sleep(REPAIR_SECONDS)

    def compare_finished(self, node):
        """No stream of an earlier round may have changed by a single record (I4)."""
        for stream, before in self.setting.finished.items():
            after = reading.digest(reading.read_through(node, stream))
            assert after == before, f"{stream} has changed: {before} before, {after} through {node}"
