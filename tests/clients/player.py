"""Plays the steps of scenario.json by one client, and judges what the client saw.

The assertions are here, once for all clients; a client's program only makes the calls it is told to.
"""

import base64
import datetime
import json
import math
import re
import time
from pathlib import Path

from . import checker
from .checker import Attempt, Clock
from .following import Poller, Subscriber, is_own_break, records_of
from .program import CallFailed

SCENARIO = json.loads(Path(__file__).with_name("scenario.json").read_text())
EVENTUALLY_SECONDS_MAX = 30
VIOLATIONS = re.compile(r"\d+ validation errors? detected: ")
PLACEHOLDER = re.compile(r"\{(\w+)\}")


class Player:
    """One client in the middle of the scenario: what was put so far, and the values that were saved."""

    def __init__(self, client, program):
        self.client, self.program = client, program
        self.values = {"stream": f"scenario-{client.name}"}
        self.attempts, self.clock = [], Clock()
        self.subscriber = None

    def play(self, step):
        """Plays one step; an assertion fails if the client saw anything else than what it should."""
        for call in step.get("calls", []):
            self.make(call)
        if "action" in step:
            getattr(self, step["action"])(step)

    # Calls

    def make(self, call):
        """Makes one call, again and again if its expectation may take a moment."""
        deadline = time.monotonic() + EVENTUALLY_SECONDS_MAX * call.get("eventually", False)
        while True:
            try:
                return self.attempt(call)
            except (AssertionError, CallFailed):
                if time.monotonic() >= deadline:
                    raise
                time.sleep(0.05)

    def attempt(self, call):
        operation, members = call["call"], self.fill(call["input"])
        if "error" in call:
            return self.refused(call, operation, members)
        output = self.program.call(operation, **members)
        problem = difference(self.fill(call.get("expect", {})), output)
        assert problem is None, f"{operation}{problem}\nthe whole output: {output}"
        for name, path in call.get("save", {}).items():
            value = output
            for member in path.split("."):
                value = value[member]
            self.values[name] = value
        return output

    def refused(self, call, operation, members):
        try:
            output = self.program.call(operation, **members)
        except CallFailed as error:
            told = error
        else:
            raise AssertionError(f"{operation} went through: {output}")
        assert call["error"] in (told.code, "*"), f"{told} instead of {call['error']}"
        # A client with types has made one of the error's name, in its language's capitals.
        names = (told.code.lower(), told.code.lower() + "exception")
        assert (told.class_name or told.code).lower() in names, f"{told} came as {told.class_name}"
        if "message" in call:
            assert told.message == self.fill(call["message"])
        if "violations" in call:
            assert VIOLATIONS.match(told.message), told.message
            found = VIOLATIONS.sub("", told.message, count=1).split("; ")
            assert sorted(found) == sorted(call["violations"])

    def fill(self, value):
        """A value with its placeholders replaced."""
        if isinstance(value, dict):
            return {name: self.fill(item) for name, item in value.items()}
        if isinstance(value, list):
            return [self.fill(item) for item in value]
        if isinstance(value, str):
            return PLACEHOLDER.sub(lambda match: self.values[match[1]], value)
        return value

    # Actions

    def put_and_read(self, _step):
        self.put(SCENARIO["records_put_singly"])
        poller = Poller(self.program, self.values["stream"], self.shards())
        poller.drain(len(self.attempts))
        self.judge(poller.records)

    def positions(self, _step):
        """Each of the five positions, in the shard of the first record."""
        shard = self.attempts[0].shard
        whole = self.read(shard, "TRIM_HORIZON")
        assert len(whole) > 10, "the keys leave a shard empty"
        number = whole[5].sequence_number
        assert self.read(shard, "AT_SEQUENCE_NUMBER", StartingSequenceNumber=number) == whole[5:]
        assert self.read(shard, "AFTER_SEQUENCE_NUMBER", StartingSequenceNumber=number) == whole[6:]
        # Milliseconds are left out where the client leaves them out.
        at = whole[5].arrival if self.client.timestamp_seconds < 1 else math.floor(whole[5].arrival)
        told = datetime.datetime.fromtimestamp(at, datetime.timezone.utc).isoformat(timespec="milliseconds")
        later = [record for record in whole if record.arrival >= at]
        assert self.read(shard, "AT_TIMESTAMP", Timestamp=told.replace("+00:00", "Z")) == later
        latest, before = self.iterator(shard, "LATEST"), len(self.attempts)
        self.put(SCENARIO["records_put_singly"])
        new = [attempt.data for attempt in self.attempts[before:] if attempt.shard == shard]
        answer = self.program.call("GetRecords", ShardIterator=latest)
        assert [record.data for record in records_of(shard, answer)] == new

    def fan_out(self, _step):
        """Stored records are pushed, then new ones; a second subscription is refused."""
        self.subscriber = Subscriber(self.program, self.values["consumer_arn"], self.shards())
        self.subscriber.receive(1)
        second = self.subscriber.subscribe(self.subscriber.records[0].shard, "LATEST")
        try:
            event = second.next(EVENTUALLY_SECONDS_MAX)
        except CallFailed as error:
            assert error.code == "ResourceInUseException", str(error)
        else:
            raise AssertionError(f"a second subscription was admitted: {event}")
        self.subscriber.receive(len(self.attempts))
        self.put(SCENARIO["records_put_singly"])
        self.subscriber.receive(len(self.attempts))
        self.judge(self.subscriber.records)

    def reshard(self, step):
        """Puts before, during and after each reshard, while one consumer polls and another is pushed to."""
        poller = Poller(self.program, self.values["stream"], self.shards())
        for call in step["reshards"]:
            self.put(1)
            self.make(call)
            self.put(1)
            poller.poll()
            if self.subscriber:
                self.subscriber.turn()
            summary = {"call": "DescribeStreamSummary", "input": {"StreamName": "{stream}"}}
            active = {"StreamDescriptionSummary": {"StreamStatus": "ACTIVE"}}
            self.make(summary | {"expect": active, "eventually": True})
            if "open" in call:
                opened = [shard for shard in self.shards() if is_open(shard)]
                assert [shard["ShardId"] for shard in opened] == [f"shardId-{n:0>12}" for n in call["open"]]
        self.put(1)
        poller.drain(len(self.attempts))
        self.judge(poller.records)
        if self.subscriber:
            self.subscriber.receive(len(self.attempts))
            self.judge(self.subscriber.records)

    def end_of_a_consumer(self, _step):
        """Open subscriptions end with an error when their consumer is deregistered."""
        assert self.subscriber.subscriptions, "nothing is subscribed any more"
        self.program.call("DeregisterStreamConsumer", ConsumerARN=self.values["consumer_arn"])
        for subscription in self.subscriber.subscriptions.values():
            try:
                while subscription.next(EVENTUALLY_SECONDS_MAX) is not None:
                    pass
            except CallFailed as error:
                assert error.code == "ResourceNotFoundException" or is_own_break(error), str(error)
            else:
                raise AssertionError("a subscription outlived its consumer without an error")

    # Parts of the actions

    def shards(self):
        return self.program.call("ListShards", StreamName=self.values["stream"])["Shards"]

    def iterator(self, shard, kind, **members):
        at = {"StreamName": self.values["stream"], "ShardId": shard, "ShardIteratorType": kind}
        return self.program.call("GetShardIterator", **at, **members)["ShardIterator"]

    def read(self, shard, kind, **members):
        """All there is in a shard from a position on; it fits into one answer."""
        answer = self.program.call("GetRecords", ShardIterator=self.iterator(shard, kind, **members))
        return records_of(shard, answer)

    def put(self, singly):
        """Puts a round of records over all keys: the first `singly` one by one, the others by one call."""
        stream = {"StreamName": self.values["stream"]}
        for _ in range(singly):
            attempt = self.record(self.clock.tick())
            self.acknowledge([attempt], [self.program.call("PutRecord", **stream, **entry(attempt))])
        sent = self.clock.tick()
        made = [self.record(sent, place) for place in range(SCENARIO["records_per_put"] - singly)]
        answer = self.program.call("PutRecords", **stream, Records=[entry(attempt) for attempt in made])
        assert answer["FailedRecordCount"] == 0
        self.acknowledge(made, answer["Records"])

    def record(self, sent, place=None):
        """The next record: every key in turn, with every payload, and bytes that are no other record's."""
        number = len(self.attempts)
        keys, payloads = SCENARIO["keys"], SCENARIO["payloads"]
        payload = payloads[number // len(keys) % len(payloads)]
        as_bytes = place is None or self.client.bytes_in_lists
        data = f"{number}|".encode() + (base64.b64decode(payload) if as_bytes else payload.encode())
        attempt = Attempt(str(number), self.client.name, keys[number % len(keys)], data, sent, place or 0)
        self.attempts.append(attempt)
        return attempt

    def acknowledge(self, attempts, results):
        tick = self.clock.tick()
        for attempt, result in zip(attempts, results, strict=True):
            attempt.acknowledged = tick
            attempt.shard, attempt.sequence_number = result["ShardId"], result["SequenceNumber"]

    def judge(self, records):
        """Everything put is there, once, in order per key, in the right shard, with its bytes."""
        ranges = {}
        for shard in self.shards():
            hashes = shard["HashKeyRange"]
            ranges[shard["ShardId"]] = (int(hashes["StartingHashKey"]), int(hashes["EndingHashKey"]))
        violations = checker.check(self.attempts, records, ranges)
        checker.assert_no_violations(violations + list(checker.check_order_of_keys(self.attempts, records)))


def entry(attempt):
    return {"PartitionKey": attempt.key, "Data": base64.b64encode(attempt.data).decode()}


def is_open(shard):
    return "EndingSequenceNumber" not in shard["SequenceNumberRange"]


def difference(expected, found):
    """Where an output lacks what is expected, as text; None if it has all of it."""
    if expected == "*":
        return None if found is not None else " is absent"
    if isinstance(expected, dict):
        if not isinstance(found, dict):
            return None if found is None and not expected else f" is {found!r} instead of {expected!r}"
        for name, value in expected.items():
            problem = difference(value, found.get(name))
            if problem is not None:
                return f".{name}{problem}"
        return None
    if isinstance(expected, list):
        found = found or []
        if len(expected) != len(found):
            return f" is {found!r} instead of {expected!r}"
        problems = (difference(value, item) for value, item in zip(expected, found, strict=True))
        return next((f"[]{problem}" for problem in problems if problem is not None), None)
    return None if expected == found else f" is {found!r} instead of {expected!r}"
