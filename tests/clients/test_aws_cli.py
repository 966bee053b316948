"""aws-cli: the quick start as a user types it, then slices of the data set, before and after kill -9."""

import base64
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from . import checker, data_set
from .availability import missing
from .checker import Attempt, Clock, Record

STREAM = "airports-cli"
ROWS_PER_REQUEST = 120
CALL_SECONDS_MAX = 60


class Shell:
    """Runs `aws kinesis …` against one broker, as the account `test`."""

    def __init__(self, executable, broker, directory):
        self.executable, self.broker, self.directory = executable, broker, directory

    def __call__(self, operation, *arguments):
        """Runs a command and returns its parsed output; None if it printed nothing."""
        words = [self.executable, "kinesis", operation, *arguments]
        done = subprocess.run(
            words, capture_output=True, text=True, timeout=CALL_SECONDS_MAX, env=self.environment()
        )
        assert done.returncode == 0, f"{' '.join(words[1:])}\n{done.stdout}{done.stderr}"
        return json.loads(done.stdout) if done.stdout.strip() else None

    def environment(self):
        own = {
            "AWS_ENDPOINT_URL_KINESIS": self.broker.endpoint,
            "AWS_ACCESS_KEY_ID": "test",
            "AWS_SECRET_ACCESS_KEY": "test",
            "AWS_DEFAULT_REGION": "us-east-1",
            "AWS_DEFAULT_OUTPUT": "json",
            "AWS_MAX_ATTEMPTS": "1",
            "AWS_PAGER": "",
            # No file of the user's home takes part.
            "AWS_CONFIG_FILE": str(self.directory / "no-config"),
            "AWS_SHARED_CREDENTIALS_FILE": str(self.directory / "no-credentials"),
        }
        return {name: value for name, value in os.environ.items() if not name.startswith("AWS_")} | own


@pytest.fixture(scope="class")
def aws(broker, tmp_path_factory):
    beside = Path(sys.executable).parent / "aws"
    executable = str(beside) if beside.exists() else shutil.which("aws")
    if executable is None:
        missing("aws-cli")
    return Shell(executable, broker, tmp_path_factory.mktemp("aws"))


class TestQuickStart:
    """The steps of the quick start, one process per call."""

    @pytest.fixture(scope="class")
    @classmethod
    def slice_of_rows(cls, rows):
        return rows[: data_set.ROWS_OF_THE_COMMAND_LINE]

    @pytest.fixture(scope="class")
    @classmethod
    def attempts(cls):
        return []

    @pytest.fixture(scope="class")
    @classmethod
    def clock(cls):
        return Clock()

    def test_create_and_wait(self, aws):
        aws("create-stream", "--stream-name", STREAM, "--shard-count", "2")
        aws("wait", "stream-exists", "--stream-name", STREAM)
        summary = aws("describe-stream-summary", "--stream-name", STREAM)["StreamDescriptionSummary"]
        assert (summary["StreamStatus"], summary["OpenShardCount"]) == ("ACTIVE", 2)
        assert STREAM in aws("list-streams")["StreamNames"]

    def test_put_record_from_a_file(self, aws, slice_of_rows, attempts, clock):
        for row in slice_of_rows[:3]:
            self.put_record(aws, row, attempts, clock)

    def test_put_records_from_a_file(self, aws, slice_of_rows, attempts, clock):
        middle = len(slice_of_rows) // 2
        self.put_records(aws, slice_of_rows[3:middle], attempts, clock)
        checker.assert_rows_in_order(slice_of_rows[:middle], self.compare(aws, attempts))

    def test_read_back_after_kill9_in_the_middle(self, aws, broker, slice_of_rows, attempts, clock):
        before = self.compare(aws, attempts)
        broker.restart_after_kill9()
        assert self.compare(aws, attempts) == before
        self.put_records(aws, slice_of_rows[len(slice_of_rows) // 2 :], attempts, clock)
        after = self.compare(aws, attempts, before)
        checker.assert_rows_in_order(slice_of_rows, after)

    def test_read_back_after_kill9_at_the_end(self, aws, broker, slice_of_rows, attempts):
        before = self.read(aws)
        broker.restart_after_kill9()
        assert self.compare(aws, attempts, before) == before
        checker.assert_rows_in_order(slice_of_rows, before)

    @staticmethod
    def put_record(aws, row, attempts, clock):
        path = aws.directory / "record"
        path.write_bytes(row.data)
        attempt = Attempt(f"cli-{len(attempts)}", "cli", row.key, row.data, clock.tick())
        key = ["--partition-key", row.key, "--data", f"fileb://{path}"]
        acknowledge([attempt], [aws("put-record", "--stream-name", STREAM, *key)], clock)
        attempts.append(attempt)

    @staticmethod
    def put_records(aws, rows, attempts, clock):
        path = aws.directory / "records.json"
        for start in range(0, len(rows), ROWS_PER_REQUEST):
            chunk = rows[start : start + ROWS_PER_REQUEST]
            # The command line takes the data of a JSON file as text and encodes it itself.
            records = [{"PartitionKey": row.key, "Data": row.data.decode()} for row in chunk]
            path.write_text(json.dumps(records))
            sent, first = clock.tick(), len(attempts)
            made = [
                Attempt(f"cli-{first + position}", "cli", row.key, row.data, sent, position)
                for position, row in enumerate(chunk)
            ]
            answer = aws("put-records", "--stream-name", STREAM, "--records", f"file://{path}")
            assert answer["FailedRecordCount"] == 0
            acknowledge(made, answer["Records"], clock)
            attempts += made

    def compare(self, aws, attempts, before=()):
        records = self.read(aws)
        violations = checker.check(attempts, records)
        checker.assert_no_violations(violations + list(checker.check_still_there(before, records)))
        return records

    @staticmethod
    def read(aws):
        shards = [shard["ShardId"] for shard in aws("list-shards", "--stream-name", STREAM)["Shards"]]
        return [record for shard in shards for record in read_shard(aws, shard)]


def acknowledge(made, results, clock):
    """Notes the shard and number that each record was given."""
    tick = clock.tick()
    for attempt, result in zip(made, results, strict=True):
        attempt.acknowledged = tick
        attempt.shard, attempt.sequence_number = result["ShardId"], result["SequenceNumber"]


def read_shard(aws, shard):
    """All records of one shard, a page of 100 at a time."""
    at = ["--stream-name", STREAM, "--shard-id", shard, "--shard-iterator-type", "TRIM_HORIZON"]
    iterator, records = aws("get-shard-iterator", *at)["ShardIterator"], []
    while True:
        answer = aws("get-records", "--shard-iterator", iterator, "--limit", "100")
        records += [
            Record(shard, record["SequenceNumber"], record["PartitionKey"], base64.b64decode(record["Data"]))
            for record in answer["Records"]
        ]
        if not answer["Records"] and answer["MillisBehindLatest"] == 0:
            return records
        iterator = answer["NextShardIterator"]
