"""Kills a broker at random moments while something puts records, then compares.

One round, for the tests and for the stress loop: however often and whenever the broker was killed, every
acknowledged record is there once, under its number, in order, with its bytes; and what a consumer has seen
has not changed.
"""

import time

from . import checker
from .boto3_client import Load, connect, read_all, shard_ranges
from .data_set import CONSUMERS, SECONDS_BETWEEN_KILLS

# How long the load may take to get a first record acknowledged after a start.
RECOVERY_SECONDS_MAX = 30

# The share of restarts that are killed as well, before they are ready.
KILLED_WHILE_STARTING = 0.4


def kill_under_load(broker, random, kills, progress):
    """Kills and restarts `kills` times; `progress()` is a count that grows with each acknowledged record."""
    for _ in range(kills):
        await_progress(progress)
        kill_at_random(broker, random)
    await_progress(progress)


def kill_at_random(broker, random):
    """Lets the broker live for a moment, kills it, now and then once more while it starts, and starts it."""
    time.sleep(random.uniform(*SECONDS_BETWEEN_KILLS))
    broker.kill9()
    time.sleep(random.uniform(0, 0.2))
    if random.random() < KILLED_WHILE_STARTING:
        broker.kill9_while_starting(random.uniform(0, 0.1))
    broker.start()


def await_progress(progress):
    """Returns once another record has been acknowledged."""
    before, deadline = progress(), time.monotonic() + RECOVERY_SECONDS_MAX
    while progress() == before:
        assert time.monotonic() < deadline, f"nothing was acknowledged for {RECOVERY_SECONDS_MAX} s"
        time.sleep(0.02)


def run_round(broker, stream, rows, random, kills):
    """One load with `kills` kills and the comparison after it; how many records were acknowledged and read."""
    with Load(broker.endpoint, stream, rows, seed=random.randrange(len(rows))) as load:
        kill_under_load(broker, random, kills, load.acknowledged_count)
    assert not load.faults, f"unexpected answers: {load.faults[:3]}"
    # Once more without any load, so that the final read sees nothing but what was recovered.
    broker.restart_after_kill9()
    records = compare(broker, stream, load.attempts(), load.consumed())
    return load.acknowledged_count(), len(records)


def compare(broker, stream, attempts, consumed=()):
    """Reads everything with several consumers and checks it against the attempts; the records read."""
    reads = read_all(broker.endpoint, stream, CONSUMERS)
    assert all(read == reads[0] for read in reads), "consumers read different records"
    ranges = shard_ranges(connect(broker.endpoint), stream)
    violations = checker.check(attempts, reads[0], ranges)
    violations += checker.check_still_there(consumed, reads[0])
    checker.assert_no_violations(violations)
    return reads[0]
