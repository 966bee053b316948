"""The AWS SDK for Rust: the whole data set and kill -9 under load. Its client is the crate in rust-sdk/."""

import os
import random
import subprocess
import time
from pathlib import Path

import pytest

from . import checker, data_set, kill9
from .availability import missing
from .boto3_client import connect, shard_ranges
from .broker import ROOT

STREAM = "airports-rust"
PHASE_SECONDS_MAX = 120


@pytest.fixture(scope="session")
def binary():
    target = Path(os.environ.get("CARGO_TARGET_DIR", ROOT / "target"))
    path = target / "debug" / "tidelog-rust-sdk-client"
    if not path.exists():
        missing("the client on the AWS SDK for Rust (cargo build --workspace)")
    return path


class Client:
    """Runs phases of the Rust program against one broker."""

    def __init__(self, binary, broker, directory, rows):
        self.binary, self.broker, self.directory = binary, broker, directory
        self.rows = directory / "rows.jsonl"
        data_set.write_rows(rows, self.rows)

    def words(self, phase, *arguments):
        target = ["--endpoint", self.broker.endpoint, "--stream", STREAM]
        return [self.binary, *target, phase, *map(str, arguments)]

    def run(self, phase, *arguments):
        done = subprocess.run(
            self.words(phase, *arguments), capture_output=True, text=True, timeout=PHASE_SECONDS_MAX
        )
        assert done.returncode == 0, f"{phase} failed\n{done.stdout}{done.stderr}"

    def put(self, rows):
        """Puts rows once; the attempts, whose ticks start again with each call."""
        path, attempts = self.directory / "part.jsonl", self.directory / "attempts.jsonl"
        data_set.write_rows(rows, path)
        self.run("put", "--rows", path, "--attempts", attempts)
        return checker.load_attempts(attempts)

    def read(self):
        """Everything in the stream, as several consumers of the Rust SDK read it and agree on."""
        path = self.directory / "records.jsonl"
        self.run("read", "--records", path, "--consumers", data_set.CONSUMERS)
        reads = checker.load_records(path)
        assert len(reads) == data_set.CONSUMERS
        assert all(read == reads[0] for read in reads), "consumers read different records"
        return reads[0]

    def compare(self, attempts, before=()):
        records = self.read()
        ranges = shard_ranges(connect(self.broker.endpoint), STREAM)
        violations = checker.check(attempts, records, ranges)
        checker.assert_no_violations(violations + list(checker.check_still_there(before, records)))
        return records


@pytest.fixture(scope="class")
def rust(binary, broker, tmp_path_factory, rows):
    return Client(binary, broker, tmp_path_factory.mktemp("rust"), rows)


class TestDataSet:
    """The data set goes in once and comes back the same, before and after a crash."""

    @pytest.fixture(scope="class")
    @classmethod
    def attempts(cls):
        return []

    def test_create_and_wait(self, rust):
        rust.run("create", "--shards", data_set.SHARDS)

    def test_put_and_read_back(self, rust, rows, attempts):
        attempts += rust.put(rows[: len(rows) // 2])
        checker.assert_rows_in_order(rows[: len(rows) // 2], rust.compare(attempts))

    def test_read_back_after_kill9_in_the_middle(self, broker, rust, rows, attempts):
        before = rust.compare(attempts)
        broker.restart_after_kill9()
        assert rust.compare(attempts, before) == before
        attempts += follow(attempts, rust.put(rows[len(rows) // 2 :]))
        checker.assert_rows_in_order(rows, rust.compare(attempts, before))

    def test_read_back_after_kill9_at_the_end(self, broker, rust, rows, attempts):
        before = rust.compare(attempts)
        broker.restart_after_kill9()
        assert rust.compare(attempts, before) == before
        checker.assert_rows_in_order(rows, before)


def follow(earlier, later):
    """Moves the ticks and names of a later run of the program behind those of an earlier one."""
    offset = 1 + max(attempt.acknowledged for attempt in earlier)
    for attempt in later:
        attempt.attempt_id = f"second-{attempt.attempt_id}"
        attempt.sent += offset
        attempt.acknowledged += offset
    return later


class TestKill9:
    """kill -9 at random moments while the Rust program puts."""

    SECONDS = 14
    # The load goes on for so long after the last kill that every producer must get through again.
    SECONDS_AFTER_KILLS = 4

    def test_under_load(self, broker, rust):
        seed = random.SystemRandom().randrange(2**32)
        print(f"seed {seed}")
        rust.run("create", "--shards", data_set.SHARDS)
        path = rust.directory / "load.jsonl"
        arguments = ["--rows", rust.rows, "--attempts", path, "--seconds", self.SECONDS]
        process = subprocess.Popen(rust.words("load", *arguments))
        try:
            generator = random.Random(seed)
            end = time.monotonic() + self.SECONDS - self.SECONDS_AFTER_KILLS
            while time.monotonic() < end:
                kill9.kill_at_random(broker, generator)
            assert process.wait(PHASE_SECONDS_MAX) == 0
        finally:
            process.kill()
            process.wait()
        attempts = checker.load_attempts(path)
        acknowledged = sum(attempt.acknowledged is not None for attempt in attempts)
        print(f"{broker.starts - 1} kills, {acknowledged} of {len(attempts)} attempts acknowledged")
        assert broker.starts > data_set.KILLS
        last = {attempt.producer: attempt for attempt in attempts}
        assert all(attempt.acknowledged is not None for attempt in last.values()), "puts fail after a restart"
        broker.restart_after_kill9()
        rust.compare(attempts)
