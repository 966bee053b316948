"""Clients that put records while faults go on, and their account of every attempt.

Three kinds, all on unmodified SDKs: probes, one for each part of the hash keys, whose acknowledgements say how long
puts were not possible; writers whose every try is an attempt of its own; and writers with the retries that their SDK
makes by default, from whom a planned restart must be hidden. A name of the network stands for all nodes, as behind a
load balancer; after a failed request a client goes on through another one.
"""

import base64
import hashlib
import itertools
import threading
import time
from collections import Counter

import boto3
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError
from clients.checker import Attempt
from clients.program import CallFailed

PROBES = 6
PROBE_SECONDS_BETWEEN = 0.1
PROBE_CONFIG = Config(
    retries={"total_max_attempts": 1, "mode": "standard"}, connect_timeout=0.5, read_timeout=1
)
ONE_TRY = Config(retries={"total_max_attempts": 1, "mode": "standard"}, connect_timeout=2, read_timeout=15)
DEFAULT = Config()
# Tries of the SDKs by default; the answer of boto3 has the number of its tries.
TRIES_OF_BOTO3_MAX, TRIES_OF_GO_MAX = 3, 3
JOIN_SECONDS_MAX = 150
PARTIAL = "a record of a request:"
# Answers that say that the client is wrong, which no fault excuses.
REPROACHES = ("ResourceNotFoundException", "ValidationException", "InvalidArgumentException", "AccessDeniedException")


def connect(endpoint, config):
    """A client of its own session, so that threads may each have one."""
    session = boto3.session.Session("test", "test", region_name="us-east-1")
    return session.client("kinesis", endpoint_url=endpoint, config=config)


class ByBoto3:
    """Sends records by boto3: results, and how often it tried."""

    def __init__(self, endpoint, config, tries_max):
        self.client, self.tries_max = connect(endpoint, config), tries_max

    def send(self, stream, attempts):
        entries = [{"PartitionKey": attempt.key, "Data": attempt.data} for attempt in attempts]
        if len(entries) == 1:
            answer = self.client.put_record(StreamName=stream, **entries[0])
            results = [answer]
        else:
            answer = self.client.put_records(StreamName=stream, Records=entries)
            results = answer["Records"]
        return results, 1 + answer["ResponseMetadata"]["RetryAttempts"]


class ByProgram:
    """Sends records by a client program; it does not tell how often its SDK tried."""

    def __init__(self, program, tries_max):
        self.program, self.tries_max = program, tries_max

    def send(self, stream, attempts):
        entries = [{"PartitionKey": a.key, "Data": base64.b64encode(a.data).decode()} for a in attempts]
        if len(entries) == 1:
            results = [self.program.call("PutRecord", StreamName=stream, **entries[0])]
        else:
            results = self.program.call("PutRecords", StreamName=stream, Records=entries)["Records"]
        return results, self.tries_max


class Writer:
    """Puts records in a thread until told to end; one of `senders` at a time, the next one after a failure."""

    def __init__(self, name, senders, stream, batches, seconds_between, clock):
        self.name, self.stream, self.clock = name, stream, clock
        self.senders, self.batches, self.seconds_between = itertools.cycle(senders), batches, seconds_between
        self.attempts, self.failures, self.reproaches = [], [], []
        self.acknowledged_at = []
        self.ending = threading.Event()
        self.thread = threading.Thread(target=self.run, name=name, daemon=True)

    def run(self):
        sender = next(self.senders)
        try:
            while not self.ending.is_set():
                if not self.put(sender, next(self.batches)):
                    sender = next(self.senders)
                    # A node that refuses at once must not be asked a thousand times a second.
                    self.ending.wait(self.seconds_between)
                self.ending.wait(self.seconds_between)
        except BaseException as error:
            self.reproaches.append(error)
            raise

    def put(self, sender, rows):
        """One request; whether all of it was acknowledged."""
        sent, made = self.clock.tick(), []
        for position, row in enumerate(rows):
            attempt_id = f"{self.name}-{len(self.attempts)}"
            made.append(Attempt(attempt_id, self.name, row.key, attempt_id.encode() + b"|" + row.data, sent, position))
            made[-1].tries = sender.tries_max
            self.attempts.append(made[-1])
        try:
            results, tries = sender.send(self.stream, made)
        except (BotoCoreError, ClientError, CallFailed) as error:
            self.note(error)
            return False
        acknowledged, now = self.clock.tick(), time.time()
        for attempt, result in zip(made, results, strict=True):
            attempt.tries = tries
            if result.get("ErrorCode"):
                self.failures.append((now, f"{PARTIAL} {result['ErrorCode']}"))
                continue
            attempt.acknowledged, attempt.acknowledged_at = acknowledged, now
            attempt.shard, attempt.sequence_number = result["ShardId"], result["SequenceNumber"]
        if all(attempt.acknowledged for attempt in made):
            self.acknowledged_at.append(now)
            return True
        return False

    def note(self, error):
        self.failures.append((time.time(), f"{type(error).__name__}: {error}"))
        if code(error) in REPROACHES:
            self.reproaches.append(error)


def code(error):
    """AWS's name of an error, where it has one."""
    if isinstance(error, ClientError):
        return error.response["Error"]["Code"]
    return getattr(error, "code", None)


class Load:
    """All who put to one stream."""

    def __init__(self, stream, rows, clock, nodes, names, programs, generator):
        """`nodes` are the addresses of single nodes, `names` those that stand for all."""

        def senders(config, tries_max, endpoints=names):
            return [ByBoto3(one, config, tries_max) for one in generator.sample(endpoints, len(endpoints))]

        def batches(size, start):
            return ([rows[(at + offset) % len(rows)] for offset in range(size)] for at in itertools.count(start, size))

        def writer(name, ways, size, seconds_between):
            made = batches(size, generator.randrange(len(rows)))
            return Writer(name, ways, stream, made, seconds_between, clock)

        self.probes = []
        for part in range(PROBES):
            lane = ([Probe(f"probe-{part}-{number}", part)] for number in itertools.count())
            ways = senders(PROBE_CONFIG, 1, nodes)
            self.probes.append(Writer(f"probe-{part}", ways, stream, lane, PROBE_SECONDS_BETWEEN, clock))
        self.retrying = [
            writer("boto3-retrying", senders(DEFAULT, TRIES_OF_BOTO3_MAX), 1, 0.1),
            writer("go-retrying", [ByProgram(program, TRIES_OF_GO_MAX) for program in programs], 5, 0.1),
        ]
        self.single = [writer(f"boto3-{number}", senders(ONE_TRY, 1), (1, 40)[number], 0.1) for number in range(2)]
        self.writers = [*self.probes, *self.retrying, *self.single]

    def __enter__(self):
        for writer in self.writers:
            writer.thread.start()
        return self

    def __exit__(self, *_):
        for writer in self.writers:
            writer.ending.set()
        deadline = time.monotonic() + JOIN_SECONDS_MAX
        for writer in self.writers:
            writer.thread.join(max(0, deadline - time.monotonic()))

    def check(self):
        """No thread has failed, and nobody was told that the client is wrong."""
        for writer in self.writers:
            assert not writer.reproaches, f"{writer.name}: {writer.reproaches[:3]}"

    def check_ended(self):
        """All have ended; after that the account of attempts is final."""
        still = [writer.name for writer in self.writers if writer.thread.is_alive()]
        assert not still, f"requests without an answer after {JOIN_SECONDS_MAX} s: {still}"
        self.check()

    def attempts(self):
        return [attempt for writer in self.writers for attempt in list(writer.attempts)]

    def acknowledged_count(self):
        return sum(attempt.acknowledged is not None for attempt in self.attempts())

    def await_puts(self, since, seconds_max):
        """Waits until every probe has had an acknowledgement after that moment."""
        while True:
            self.check()
            waiting = [probe.name for probe in self.probes if not any(at > since for at in probe.acknowledged_at[-1:])]
            if not waiting:
                return
            reasons = [probe.failures[-1:] for probe in self.probes if probe.name in waiting]
            assert time.time() < since + seconds_max, f"no put of {waiting} after {seconds_max} s: {reasons[:2]}"
            time.sleep(0.05)

    def longest_pause(self, begin, end):
        """Seconds of the longest time without an acknowledgement on some part of the hash keys."""
        longest = 0
        for probe in self.probes:
            around = [at for at in probe.acknowledged_at if begin <= at <= end]
            before = [at for at in probe.acknowledged_at if at < begin][-1:]
            after = [at for at in probe.acknowledged_at if at > end][:1]
            times = [*before, *around, *after]
            longest = max([longest, *(two - one for one, two in itertools.pairwise(times))])
        return longest

    def failures_by_kind(self):
        """Counts failures by kind, for the report."""
        kinds = Counter(f"{w.name.rstrip('0123456789-')}: {text[:160]}" for w in self.writers for _, text in w.failures)
        return [f"{count} × {kind}" for kind, count in kinds.most_common(12)]

    def planned_failures(self, begin, end):
        """Requests that failed although the SDK made its default retries, and records in answers to the others that
        are to be sent again, which SDKs leave to their users."""
        failed = [(w.name, text) for w in self.retrying for at, text in list(w.failures) if begin <= at <= end]
        partial = [one for one in failed if one[1].startswith(PARTIAL)]
        return [one for one in failed if one not in partial], len(partial)


class Probe:
    """A small record whose key lies in one part of the hash keys."""

    KEYS = {}

    def __init__(self, text, part):
        self.data, self.key = text.encode(), self.key_of(part)

    @classmethod
    def key_of(cls, part):
        """Any key that is hashed into that part."""
        if part not in cls.KEYS:
            keys = (f"probe-{number}" for number in itertools.count())
            cls.KEYS[part] = next(key for key in keys if part_of(key) == part)
        return cls.KEYS[part]


def part_of(key):
    return int.from_bytes(hashlib.md5(key.encode()).digest(), "big") * PROBES >> 128
