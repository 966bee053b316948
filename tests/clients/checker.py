"""Compares what was sent with what was read, and names every promise that was broken.

Every client reports attempts (one per record and request) and records (one per record and consumer). The
bytes of every attempt are its own, so a record read back belongs to exactly one attempt, and a lawful retry
is not taken for a duplicate.
"""

import base64
import hashlib
import itertools
import json
import threading
from collections import defaultdict
from dataclasses import dataclass

# Where a sequence number of 186 bits holds the count of the shard's records, in 63 bits.
ORDINAL_AT, ORDINAL_MASK = 80, 2**63 - 1


@dataclass
class Attempt:
    """One record sent once. `sent` and `acknowledged` are ticks of one clock for all producers of a test."""

    attempt_id: str
    producer: str
    key: str
    data: bytes
    sent: int
    position: int = 0  # The record's place within its request.
    acknowledged: int | None = None
    shard: str | None = None
    sequence_number: str | None = None
    acknowledged_at: float | None = None  # Seconds since 1970, by the clients' own clock.
    refused: bool = False  # The answer was a refusal that promises that nothing was stored.
    # How often the SDK has sent it, or may have. What became of all but the last try nobody knows.
    tries: int = 1


@dataclass
class Record:
    """One record as a consumer read it, in the order in which it was read."""

    shard: str
    sequence_number: str
    key: str
    data: bytes
    arrival: float | None = None


class Clock:
    """Orders requests and answers of all threads: a tick is larger than every earlier one."""

    def __init__(self):
        self.lock = threading.Lock()
        self.now = 0

    def tick(self):
        with self.lock:
            self.now += 1
            return self.now


@dataclass(frozen=True)
class Violation:
    """A broken promise: which one, and the evidence."""

    kind: str
    detail: str


def check(attempts, records, hash_ranges=None):
    """All violations found in one consumer's complete read of a stream.

    `hash_ranges` maps a shard to its first and last hash key; with it, each record's shard is checked too.
    """
    by_data = {attempt.data: attempt for attempt in attempts}
    assert len(by_data) == len(attempts), "attempts must differ in their bytes"
    found = []
    found += check_numbers(records)
    found += check_contents(attempts, by_data, records)
    found += check_acknowledged(attempts, records)
    found += check_order(attempts, records)
    if hash_ranges is not None:
        found += check_placement(records, hash_ranges)
    return found


def check_numbers(records):
    """Within a shard sequence numbers strictly increase and arrival times never decrease."""
    newest = {}
    seen = {}
    for record in records:
        if record.sequence_number in seen:
            yield Violation("sequence number read twice", describe(record))
        seen[record.sequence_number] = record
        before = newest.get(record.shard)
        if before is not None:
            if int(record.sequence_number) <= int(before.sequence_number):
                yield Violation("order within shard", f"{describe(record)} after {before.sequence_number}")
            if None not in (record.arrival, before.arrival) and record.arrival < before.arrival:
                yield Violation("arrival decreased", f"{describe(record)} after {before.arrival}")
        newest[record.shard] = record


def check_contents(attempts, by_data, records):
    """Every record is some attempt's, with its key, and no attempt is there twice."""
    by_number = {a.sequence_number: a for a in attempts if a.acknowledged is not None}
    times_read = defaultdict(set)
    for record in records:
        attempt = by_data.get(record.data)
        promised = by_number.get(record.sequence_number)
        if promised is not None and promised is not attempt:
            yield Violation("wrong bytes", f"{describe(record)} was acknowledged for {promised.attempt_id}")
        elif attempt is None:
            yield Violation("record nobody sent", describe(record))
        if attempt is None:
            continue
        if attempt.refused:
            yield Violation("refused record stored", describe(record))
        if record.key != attempt.key:
            yield Violation("wrong key", f"{describe(record)} was sent with key {attempt.key!r}")
        times_read[attempt.attempt_id].add(record.sequence_number)
    tries = {attempt.attempt_id: attempt.tries for attempt in attempts}
    for attempt_id, numbers in times_read.items():
        if len(numbers) > tries[attempt_id]:
            detail = f"{attempt_id}, sent {tries[attempt_id]} times, under {sorted(numbers)}"
            yield Violation("attempt stored twice", detail)


def check_acknowledged(attempts, records):
    """Every acknowledged attempt is there, in its shard and under its number; no number was given twice."""
    by_data = copies_of(records)
    numbers = {record.sequence_number for record in records}
    given = {}
    for attempt in attempts:
        if attempt.acknowledged is None:
            continue
        if attempt.sequence_number in given:
            earlier = given[attempt.sequence_number]
            yield Violation("number acknowledged twice", f"{attempt.attempt_id} and {earlier}")
        given[attempt.sequence_number] = attempt.attempt_id
        copies = by_data.get(attempt.data)
        if copies is None:
            # Other bytes under the number are already reported as wrong bytes.
            if attempt.sequence_number not in numbers:
                yield Violation(
                    "acknowledged record missing", f"{attempt.attempt_id} {attempt.sequence_number}"
                )
            continue
        record = next((r for r in copies if r.sequence_number == attempt.sequence_number), copies[-1])
        if record.sequence_number != attempt.sequence_number:
            detail = f"{attempt.attempt_id}: {attempt.sequence_number}, read as {record.sequence_number}"
            yield Violation("wrong sequence number", detail)
        if record.shard != attempt.shard:
            yield Violation("wrong shard", f"{attempt.attempt_id}: {attempt.shard}, read from {record.shard}")


def check_order(attempts, records):
    """Checks that a record acknowledged before another was sent to the same shard has the lower number.

    It holds for all producers together, and so for each key of each producer. Records of one request keep
    their places among themselves. An attempt without an acknowledgement takes part once it has been read.
    """
    read = copies_of(records)
    placed = defaultdict(list)
    for attempt in attempts:
        for record in read.get(attempt.data, ()):
            placed[record.shard].append((attempt, int(record.sequence_number)))
    for shard in placed.values():
        yield from check_order_across_requests(shard)
        yield from check_order_within_requests(shard)


def check_order_of_keys(attempts, records):
    """Per key, what was acknowledged before another was sent has the lower number and was read earlier.

    It holds across shards, whatever splits and merges went on, for a consumer that reads a shard's children
    after the shard; `records` are in the order in which that consumer read them.
    """
    read = copies_of(records)
    places = {record.sequence_number: place for place, record in enumerate(records)}
    placed = defaultdict(list)
    for attempt in attempts:
        for record in read.get(attempt.data, ()):
            placed[attempt.key].append((attempt, int(record.sequence_number)))
    for key in placed.values():
        yield from check_order_across_requests(key)
        yield from check_order_across_requests(key, lambda number: places[str(number)])


def copies_of(records):
    """The records that hold the same bytes."""
    copies = defaultdict(list)
    for record in records:
        copies[record.data].append(record)
    return copies


def check_order_across_requests(shard, rank=lambda number: number):
    """Checks attempts and the numbers they are stored under, which stand in the order of their ranks.

    Where an attempt is stored several times, only the number that was acknowledged was given before the answer.
    """
    acknowledged = sorted(
        ((a.acknowledged, rank(number), a) for a, number in shard if is_acknowledged_as(a, number)),
        key=lambda item: item[0],
    )
    highest, next_index = None, 0
    for attempt, number in sorted(shard, key=lambda item: item[0].sent):
        while next_index < len(acknowledged) and acknowledged[next_index][0] < attempt.sent:
            candidate = acknowledged[next_index]
            if highest is None or candidate[1] > highest[1]:
                highest = candidate
            next_index += 1
        if highest is not None and highest[1] >= rank(number):
            kind = "order of a key" if highest[2].key == attempt.key else "order across requests"
            detail = f"{attempt.attempt_id} was sent after {highest[2].attempt_id} but has {number}"
            yield Violation(kind, detail)


def is_acknowledged_as(attempt, number):
    return attempt.acknowledged is not None and attempt.sequence_number in (None, str(number))


def check_order_within_requests(shard):
    requests = defaultdict(list)
    for attempt, number in shard:
        # Records that were sent again may be there partly from the one try and partly from the other.
        if attempt.tries > 1:
            continue
        requests[attempt.producer, attempt.sent].append((attempt.position, number, attempt))
    for members in requests.values():
        members.sort(key=lambda member: member[0])
        for (_, before, first), (_, after, second) in itertools.pairwise(members):
            if after <= before:
                yield Violation("order within a request", f"{second.attempt_id} before {first.attempt_id}")


def check_ordinals(records):
    """Within a shard records are numbered 1, 2, 3, … in the bits of the sequence number that are for it."""
    for shard, mine in by_shard(records).items():
        for expected, record in enumerate(mine, 1):
            ordinal = int(record.sequence_number) >> ORDINAL_AT & ORDINAL_MASK
            if ordinal != expected:
                yield Violation("gap within shard", f"{describe(record)} is {ordinal}, not {expected}")
                break


def check_children(records, parents):
    """Every record of a shard has a higher number than all records of its parents; `parents` are by shard."""
    shards = by_shard(records)
    for shard, mine in shards.items():
        for parent in parents.get(shard, ()):
            theirs = [int(record.sequence_number) for record in shards.get(parent, ())]
            if theirs and int(mine[0].sequence_number) <= max(theirs):
                yield Violation("child before parent", f"{describe(mine[0])} is not above {parent}")


def check_placement(records, hash_ranges):
    """Every record lies in the shard whose range holds the MD5 of its key."""
    for record in records:
        first, last = hash_ranges[record.shard]
        hashed = int.from_bytes(hashlib.md5(record.key.encode()).digest(), "big")
        if not first <= hashed <= last:
            yield Violation("shard does not hold the key", describe(record))


def check_still_there(before, after):
    """Checks that records once read stay readable: same shard, number, key, bytes and arrival, nothing between."""
    earlier, later = by_shard(before), by_shard(after)
    for shard, records in earlier.items():
        kept = later.get(shard, [])[: len(records)]
        for index, record in enumerate(records):
            if index >= len(kept) or kept[index] != record:
                found = describe(kept[index]) if index < len(kept) else "nothing"
                yield Violation("read before, changed after", f"{describe(record)} is now {found}")
                break


def by_shard(records):
    """Records of each shard, in the order in which they were read."""
    shards = defaultdict(list)
    for record in records:
        shards[record.shard].append(record)
    return shards


def assert_rows_in_order(rows, records):
    """Per key, the data are exactly the rows put under that key, in the order of the data set."""
    expected, actual = defaultdict(list), defaultdict(list)
    for row in rows:
        expected[row.key].append(row.data)
    for record in records:
        actual[record.key].append(record.data)
    different = [key for key in expected.keys() | actual.keys() if expected[key] != actual[key]]
    assert not different, f"keys whose rows differ from the data set: {sorted(different)[:10]}"


def assert_no_violations(violations):
    """Fails with the first violations as text."""
    violations = list(violations)
    lines = [f"{violation.kind}: {violation.detail}" for violation in violations[:20]]
    assert not violations, f"{len(violations)} violations\n" + "\n".join(lines)


def describe(record):
    return f"{record.shard} {record.sequence_number} key={record.key!r} data={record.data[:60]!r}"


def load_attempts(path):
    """Attempts written as JSON lines by a client in another language."""
    return [Attempt(**line | {"data": base64.b64decode(line["data"])}) for line in load_lines(path)]


def load_records(path):
    """Records written as JSON lines by a client in another language, one list per consumer."""
    consumers = defaultdict(list)
    for line in load_lines(path):
        consumer = line.pop("consumer")
        consumers[consumer].append(Record(**line | {"data": base64.b64decode(line["data"])}))
    return [consumers[consumer] for consumer in sorted(consumers)]


def load_lines(path):
    with open(path, encoding="utf-8") as file:
        return [json.loads(line) for line in file]
