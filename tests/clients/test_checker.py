"""Plants each violation the checker claims to find, and makes sure it is found and named."""

import copy
import json
from dataclasses import asdict, replace

import pytest

from . import checker, data_set
from .checker import Attempt, Record

SHARDS = ("shardId-000000000000", "shardId-000000000001")


def history():
    """Two producers, two shards: 12 acknowledged attempts, one unknown that was stored, one that was not."""
    attempts, records = [], []
    clock = checker.Clock()
    for number in range(12):
        producer = f"p{number % 2}"
        attempt = Attempt(
            f"{producer}-{number}", producer, f"k{number % 3}", b"data %d" % number, clock.tick()
        )
        attempt.acknowledged = clock.tick()
        attempt.shard = SHARDS[number % 3 % 2]
        attempt.sequence_number = str(10**55 + number)
        attempts.append(attempt)
        records.append(
            Record(attempt.shard, attempt.sequence_number, attempt.key, attempt.data, 5.0 + number)
        )
    attempts.append(Attempt("p0-lost", "p0", "k0", b"lost", clock.tick()))
    attempts.append(Attempt("p1-unknown", "p1", "k0", b"unknown", clock.tick()))
    records.append(Record(SHARDS[0], str(10**55 + 12), "k0", b"unknown", 20.0))
    records.sort(key=lambda record: record.shard)
    return attempts, records


def kinds(attempts, records, hash_ranges=None):
    return {violation.kind for violation in checker.check(attempts, records, hash_ranges)}


def swap(records, first, second):
    """Exchanges what two records hold, each keeping its place and number."""
    one, two = records[first], records[second]
    records[first] = replace(one, key=two.key, data=two.data)
    records[second] = replace(two, key=one.key, data=one.data)


def test_a_lawful_history_has_no_violations():
    assert kinds(*history()) == set()


def test_a_lawful_retry_is_not_a_duplicate():
    attempts, records = history()
    retry = Attempt("p1-retry", "p1", "k0", b"unknown, again", 1000, 0, 1001, SHARDS[0], str(10**55 + 13))
    records.insert(9, Record(SHARDS[0], retry.sequence_number, "k0", retry.data, 21.0))
    assert kinds([*attempts, retry], records) == set()


def test_missing():
    attempts, records = history()
    del records[3]
    assert kinds(attempts, records) == {"acknowledged record missing"}


def test_refused_record_stored():
    attempts, records = history()
    assert attempts[-1].data == b"unknown"
    attempts[-1].refused = True
    assert kinds(attempts, records) == {"refused record stored"}


def test_same_sequence_number_read_twice():
    attempts, records = history()
    records.insert(1, copy.copy(records[0]))
    assert "sequence number read twice" in kinds(attempts, records)


def test_same_attempt_stored_twice():
    attempts, records = history()
    records.append(replace(records[-1], sequence_number=str(10**55 + 50)))
    assert "attempt stored twice" in kinds(attempts, records)


def test_unacknowledged_attempt_stored_twice():
    attempts, records = history()
    index = next(i for i, record in enumerate(records) if record.data == b"unknown")
    records.insert(index + 1, replace(records[index], sequence_number=str(10**55 + 13)))
    assert kinds(attempts, records) == {"attempt stored twice"}


def sent_again():
    """An attempt that an SDK sent three times: two tries were stored, the later one was acknowledged."""
    attempts, records = history()
    again = Attempt("p1-again", "p1", "k0", b"again", 1000, 0, 1001, SHARDS[0], str(10**55 + 14), tries=3)
    at = 1 + max(index for index, record in enumerate(records) if record.shard == SHARDS[0])
    stored = [Record(SHARDS[0], str(10**55 + 13 + copy), "k0", b"again", 21.0) for copy in range(2)]
    records[at:at] = stored
    return [*attempts, again], records, at


def test_what_an_sdk_sent_again_may_be_there_once_for_each_try():
    attempts, records, at = sent_again()
    assert kinds(attempts, records) == set()
    assert list(checker.check_order_of_keys(attempts, records)) == []
    attempts[-1].tries = 1
    assert kinds(attempts, records) == {"attempt stored twice"}


def test_what_an_sdk_sent_again_is_there_as_acknowledged():
    attempts, records, at = sent_again()
    del records[at + 1]
    assert kinds(attempts, records) == {"wrong sequence number"}


def test_what_an_sdk_sent_again_is_never_below_what_was_acknowledged_before():
    attempts, records, at = sent_again()
    earlier = next(attempt for attempt in attempts if attempt.data == records[at - 2].data)
    earlier.sequence_number = str(10**55 + 15)
    late = replace(records.pop(at - 2), sequence_number=earlier.sequence_number, arrival=22.0)
    records.insert(at + 1, late)
    assert kinds(attempts, records) == {"order across requests"}


def numbered(*ordinals, shard=SHARDS[0], second=1):
    """Records of a shard with these counts in their sequence numbers."""
    numbers = [2 << 184 | second << 148 | ordinal << 80 | 2 for ordinal in ordinals]
    return [Record(shard, str(number), "k", b"%d" % number) for number in numbers]


@pytest.mark.parametrize("ordinals", [(2, 3), (1, 3), (1, 1), (1, 2, 2, 3)])
def test_gap_within_shard(ordinals):
    assert list(checker.check_ordinals(numbered(1, 2, 3) + numbered(1, 2, shard=SHARDS[1]))) == []
    found = checker.check_ordinals(numbered(1, 2, shard=SHARDS[1]) + numbered(*ordinals))
    assert [violation.kind for violation in found] == ["gap within shard"]


def test_child_before_parent():
    parents = {SHARDS[1]: [SHARDS[0]]}
    lawful = numbered(1, 2, second=1) + numbered(1, 2, shard=SHARDS[1], second=2)
    assert list(checker.check_children(lawful, parents)) == []
    found = checker.check_children(numbered(1, 2, second=2) + numbered(1, 2, shard=SHARDS[1], second=1), parents)
    assert [violation.kind for violation in found] == ["child before parent"]


def test_number_acknowledged_twice():
    attempts, records = history()
    attempts[3].sequence_number = attempts[0].sequence_number
    assert "number acknowledged twice" in kinds(attempts, records)


@pytest.mark.parametrize("data", [b"", b"data", b"data 0\0", b"Data 0"])
def test_wrong_bytes(data):
    attempts, records = history()
    records[0] = replace(records[0], data=data)
    assert kinds(attempts, records) == {"wrong bytes"}


def test_record_nobody_sent():
    attempts, records = history()
    records.append(replace(records[-1], sequence_number=str(10**55 + 50), data=b"invented"))
    assert kinds(attempts, records) == {"record nobody sent"}


def test_wrong_key():
    attempts, records = history()
    records[0] = replace(records[0], key="k9")
    assert kinds(attempts, records) == {"wrong key"}


def test_wrong_sequence_number():
    attempts, records = history()
    attempts[11].sequence_number = str(10**55 + 99)
    assert kinds(attempts, records) == {"wrong sequence number"}


def test_wrong_shard():
    attempts, records = history()
    records[-1] = replace(records[-1], shard="shardId-000000000002")
    assert kinds(attempts, records) == {"wrong shard"}


def test_order_within_shard():
    attempts, records = history()
    records[0], records[1] = records[1], records[0]
    assert "order within shard" in kinds(attempts, records)


def test_arrival_decreased():
    attempts, records = history()
    records[1] = replace(records[1], arrival=1.0)
    assert kinds(attempts, records) == {"arrival decreased"}


def exchange_numbers(attempts, records, first, second):
    """Lets two attempts have been stored in the other's place, consistently in answers and reads."""
    one, two = attempts[first], attempts[second]
    one.sequence_number, two.sequence_number = two.sequence_number, one.sequence_number
    places = [next(i for i, r in enumerate(records) if r.data == a.data) for a in (one, two)]
    swap(records, *places)


def test_order_of_a_key():
    attempts, records = history()
    exchange_numbers(attempts, records, 0, 6)
    assert "order of a key" in kinds(attempts, records)


def test_order_across_producers():
    attempts, records = history()
    exchange_numbers(attempts, records, 0, 5)
    assert "order across requests" in kinds(attempts, records)


def test_concurrent_requests_may_be_stored_in_any_order():
    attempts, records = history()
    exchange_numbers(attempts, records, 0, 2)
    for tick, attempt in enumerate(attempts[:3]):
        attempt.sent, attempt.acknowledged = tick, 6
    assert kinds(attempts, records) == set()


def test_an_unacknowledged_record_that_was_read_takes_part_in_the_order():
    attempts, records = history()
    attempts[2].acknowledged = attempts[2].shard = attempts[2].sequence_number = None
    attempts[2].sent = 1000
    assert kinds(attempts, records) == {"order of a key"}


def test_order_within_a_request():
    attempts, records = history()
    exchange_numbers(attempts, records, 0, 6)
    for position, attempt in enumerate(attempts[:12]):
        attempt.producer, attempt.sent, attempt.acknowledged, attempt.position = "p", 1, 2, position
    assert kinds(attempts, records) == {"order within a request"}


def test_placement():
    attempts, records = history()
    everything, nothing = (0, 2**128 - 1), (1, 0)
    assert kinds(attempts, records, {SHARDS[0]: everything, SHARDS[1]: everything}) == set()
    found = kinds(attempts, records, {SHARDS[0]: everything, SHARDS[1]: nothing})
    assert found == {"shard does not hold the key"}


def moved_to_a_child():
    """A key whose records lie in a shard and then in its child, as a consumer reads them."""
    attempts, records = [], []
    for number in range(6):
        shard, sequence_number = SHARDS[number // 3], str(10**55 + number)
        tick = 2 * number
        data = b"data %d" % number
        attempts.append(Attempt(str(number), "p", "k", data, tick, 0, tick + 1, shard, sequence_number))
        records.append(Record(shard, sequence_number, "k", data))
    return attempts, records


def test_order_of_a_key_across_shards():
    attempts, records = moved_to_a_child()
    assert list(checker.check_order_of_keys(attempts, records)) == []
    child_first = records[3:] + records[:3]
    assert kinds(attempts, child_first) == set(), "within each shard all is well"
    found = {violation.kind for violation in checker.check_order_of_keys(attempts, child_first)}
    assert found == {"order of a key"}


def test_numbers_of_a_key_increase_across_shards():
    attempts, records = moved_to_a_child()
    for attempt, record in zip(attempts[3:], records[3:], strict=True):
        attempt.sequence_number = record.sequence_number = str(int(record.sequence_number) - 10)
    assert kinds(attempts, records) == set(), "within each shard all is well"
    found = {violation.kind for violation in checker.check_order_of_keys(attempts, records)}
    assert found == {"order of a key"}


def test_read_records_must_stay():
    _, records = history()
    assert list(checker.check_still_there(records[:5], records)) == []
    shorter = [record for record in records if record != records[2]]
    assert [v.kind for v in checker.check_still_there(records, shorter)] == ["read before, changed after"]
    later = [replace(records[0], arrival=99.0), *records[1:]]
    assert [v.kind for v in checker.check_still_there(records, later)] == ["read before, changed after"]
    assert len(list(checker.check_still_there(records, []))) == 2


def test_attempts_must_be_tellable_apart():
    attempts, records = history()
    with pytest.raises(AssertionError):
        checker.check([*attempts, replace(attempts[0], attempt_id="other")], records)


def test_rows_in_order():
    rows = [data_set.Row("a", b"1"), data_set.Row("b", b"2"), data_set.Row("a", b"3")]
    records = [Record("s", str(n), row.key, row.data) for n, row in enumerate(rows)]
    checker.assert_rows_in_order(rows, [records[1], records[0], records[2]])
    for wrong in ([records[2], records[1], records[0]], records[:2], [*records, records[2]]):
        with pytest.raises(AssertionError):
            checker.assert_rows_in_order(rows, wrong)


def test_lines_of_other_languages(tmp_path):
    attempts, records = history()
    path = tmp_path / "attempts.jsonl"
    path.write_text("".join(line(asdict(attempt)) for attempt in attempts))
    assert checker.load_attempts(path) == attempts
    path.write_text("".join(line(asdict(r) | {"consumer": c}) for r in records for c in (1, 0)))
    assert checker.load_records(path) == [records, records]


def line(values):
    values["data"] = checker.base64.b64encode(values["data"]).decode()
    return json.dumps(values) + "\n"


def test_the_data_set_is_thousands_of_rows_over_many_keys():
    rows = data_set.load_rows()
    assert len(rows) == 3376
    assert len({row.key for row in rows}) > 50
    assert rows[0] == data_set.Row("MS", b"00M,Thigpen,Bay Springs,MS,USA,31.95376472,-89.23450472")
