"""Consumers that follow a stream across reshards: one polls, one is pushed to.

Both begin a child shard only after the last record of each of its parents, so what they have read is in an
order in which every key's records must stand as they were put.
"""

import base64
import datetime
import queue
import time
import warnings

from .checker import Record
from .program import CallFailed

RECEIVE_SECONDS_MAX = 60
# After a subscription of a consumer to a shard another one is refused for five seconds.
SUBSCRIPTION_PAUSE_SECONDS = 5.2
# How long a subscriber pauses when no event has come.
TURN_SECONDS = 0.01


class Lineage:
    """Which shards have been read to their end, and which may therefore begin."""

    def __init__(self):
        self.ended, self.begun = set(), set()

    def roots(self, shards):
        """The listed shards whose parents are not there any more, or never were."""
        listed = {shard["ShardId"] for shard in shards}
        roots = {s["ShardId"] for s in shards if s.get("ParentShardId") not in listed}
        self.begun |= roots
        return sorted(roots)

    def end(self, shard, children):
        """Notes the end of a shard; those of its children whose parents have all ended."""
        assert children, f"{shard} has ended without children"
        assert shard not in self.ended, f"{shard} has ended twice"
        self.ended.add(shard)
        ready = []
        for child in children:
            assert shard in child["ParentShards"], f"{child['ShardId']} does not name its parent {shard}"
            assert int(child["HashKeyRange"]["EndingHashKey"]) < 2**128
            if self.ended.issuperset(child["ParentShards"]) and child["ShardId"] not in self.begun:
                ready.append(child["ShardId"])
        self.begun.update(ready)
        return ready


class Poller:
    """Reads by GetRecords from the oldest record on."""

    def __init__(self, program, stream, shards):
        self.program, self.stream, self.lineage = program, stream, Lineage()
        self.records, self.iterators, self.behind = [], {}, {}
        for shard in self.lineage.roots(shards):
            self.begin(shard)

    def begin(self, shard):
        at = {"StreamName": self.stream, "ShardId": shard, "ShardIteratorType": "TRIM_HORIZON"}
        self.iterators[shard] = self.program.call("GetShardIterator", **at)["ShardIterator"]

    def poll(self):
        """One call per shard; how many records came."""
        before = len(self.records)
        for shard, iterator in list(self.iterators.items()):
            answer = self.read(iterator)
            self.records += records_of(shard, answer)
            self.behind[shard] = answer["MillisBehindLatest"]
            following = answer.get("NextShardIterator")
            if following is not None:
                assert not answer.get("ChildShards"), f"{shard} has children before its end"
                self.iterators[shard] = following
                continue
            del self.iterators[shard]
            for child in self.lineage.end(shard, answer.get("ChildShards")):
                self.begin(child)
        return len(self.records) - before

    def read(self, iterator):
        """The records there; asked for again when the client has cut its own connection in the middle."""
        try:
            return self.program.call("GetRecords", ShardIterator=iterator)
        except CallFailed as failure:
            if not is_own_break(failure):
                raise
            return self.program.call("GetRecords", ShardIterator=iterator)

    def drain(self, count):
        """Polls until so many records have been read in all, then each shard's tip."""
        deadline = time.monotonic() + RECEIVE_SECONDS_MAX
        while len(self.records) < count:
            self.poll()
            assert time.monotonic() < deadline, f"{len(self.records)} of {count} records were read"
        assert self.poll() == 0, "there are more records than were put"
        assert set(self.behind[shard] for shard in self.iterators if shard in self.behind) <= {0}


class Subscriber:
    """Is pushed to by SubscribeToShard from the oldest record on, as one registered consumer."""

    def __init__(self, program, consumer_arn, shards):
        self.program, self.consumer_arn, self.lineage = program, consumer_arn, Lineage()
        self.records, self.subscriptions, self.began, self.places = [], {}, {}, {}
        for shard in self.lineage.roots(shards):
            self.begin(shard)

    def begin(self, shard):
        self.began[shard] = time.monotonic()
        self.subscriptions[shard] = self.subscribe(shard, "TRIM_HORIZON")

    def begin_again(self, shard):
        """Goes on where a subscription broke off, as soon as a consumer may have another one of the shard."""
        time.sleep(max(0, self.began[shard] + SUBSCRIPTION_PAUSE_SECONDS - time.monotonic()))
        if shard not in self.places:
            self.begin(shard)
            return
        self.began[shard] = time.monotonic()
        place = {"SequenceNumber": self.places[shard]}
        self.subscriptions[shard] = self.subscribe(shard, "AFTER_SEQUENCE_NUMBER", place)

    def subscribe(self, shard, kind, place=None):
        position = {"Type": kind, **(place or {})}
        return self.program.subscribe(
            ConsumerARN=self.consumer_arn, ShardId=shard, StartingPosition=position
        )

    def may_break_off(self, failure):
        """Whether a subscription may end so before the shard's end; None stands for an end without an error."""
        return failure is not None and is_own_break(failure)

    def turn(self):
        """Takes all events that have come so far; without any it pauses."""
        taken = [self.take(shard) for shard in list(self.subscriptions)]
        if not any(taken):
            time.sleep(TURN_SECONDS)

    def take(self, shard):
        """Takes the events of one subscription that have come so far; how many."""
        subscription, taken = self.subscriptions[shard], 0
        while True:
            try:
                event = subscription.next(0)
            except queue.Empty:
                return taken
            except CallFailed as failure:
                if not self.may_break_off(failure):
                    raise
                self.begin_again(shard)
                return taken
            if event is None and self.may_break_off(None):
                self.begin_again(shard)
                return taken
            taken += 1
            assert event is not None, f"the subscription of {shard} ended before the shard's end"
            self.records += records_of(shard, event)
            assert event["MillisBehindLatest"] >= 0
            children = event.get("ChildShards")
            assert bool(children) != ("ContinuationSequenceNumber" in event), f"neither end nor middle: {event}"
            if children:
                self.end(shard, children)
                return taken
            self.places[shard] = event["ContinuationSequenceNumber"]

    def end(self, shard, children):
        """Sees the subscription end behind the shard's last event, and goes on with the children."""
        subscription = self.subscriptions.pop(shard)
        try:
            assert subscription.next(RECEIVE_SECONDS_MAX) is None, "an event after the shard's end"
        except CallFailed as failure:
            if not self.may_break_off(failure):
                raise
        for child in self.lineage.end(shard, children):
            self.begin(child)

    def receive(self, count):
        """Waits until so many records have come in all."""
        deadline = time.monotonic() + RECEIVE_SECONDS_MAX
        while len(self.records) < count:
            self.turn()
            assert time.monotonic() < deadline, f"{len(self.records)} of {count} records were pushed"


def is_own_break(failure):
    """Whether a client closed its own connection.

    The SDK for Go does so when an answer comes so quickly that net/http has written the request but not yet looked
    for the end of its body: the SDK closes the request's body as soon as there is an answer, a closed body gives
    io.EOF as an error of WriteTo (smithy-go 1.28.8, safeWriteToReadCloser), and net/http takes that for a failed
    write and closes the connection under the answer. A consumer reads or subscribes again, as the SDK would if it
    had not been told to try nothing twice, and loses nothing by it.
    """
    own = "use of closed network connection" in (failure.message or "")
    if own:
        warnings.warn(f"the client closed its own connection: {failure.message}", stacklevel=2)
    return own


def records_of(shard, answer):
    """The records of an answer or event."""
    return [
        Record(
            shard,
            record["SequenceNumber"],
            record["PartitionKey"],
            # An empty blob is left out by clients that leave out what is empty.
            base64.b64decode(record.get("Data", "")),
            seconds(record["ApproximateArrivalTimestamp"]),
        )
        for record in answer.get("Records", [])
    ]


def seconds(timestamp):
    """Seconds since 1970 of a timestamp as a program prints it."""
    if not isinstance(timestamp, str):
        return timestamp
    form = "%Y-%m-%dT%H:%M:%S.%fZ" if "." in timestamp else "%Y-%m-%dT%H:%M:%SZ"
    return datetime.datetime.strptime(timestamp, form).replace(tzinfo=datetime.timezone.utc).timestamp()
