"""Lease tables: boto3's DynamoDB client, and workers of the Kinesis Client Library that have no service but the broker.

`tidelog group` sees the application of the workers with its lag, and sends it back to its beginning.
"""

import json
import subprocess
import threading
import time

import boto3
import pytest
from botocore.exceptions import ClientError

from .broker import default_command
from .clients import HERE, environment, installed, need, run

KEY = {"KeySchema": [{"AttributeName": "leaseKey", "KeyType": "HASH"}]}
KEY |= {"AttributeDefinitions": [{"AttributeName": "leaseKey", "AttributeType": "S"}]}
KEY |= {"BillingMode": "PAY_PER_REQUEST"}
WORKER_SECONDS_MAX = 240


def client(broker, service):
    return boto3.client(
        service,
        endpoint_url=broker.endpoint,
        region_name="us-east-1",
        aws_access_key_id="key",
        aws_secret_access_key="secret",
    )


class TestBoto3:
    def test_a_table_lives_from_its_creation_to_its_end(self, broker):
        tables = client(broker, "dynamodb")
        made = tables.create_table(TableName="leases", **KEY)["TableDescription"]
        assert made["TableStatus"] == "ACTIVE"
        tables.get_waiter("table_exists").wait(TableName="leases")
        with pytest.raises(tables.exceptions.ResourceInUseException, match="Table already exists: leases"):
            tables.create_table(TableName="leases", **KEY)
        item = {"leaseKey": {"S": "a"}, "leaseCounter": {"N": "1.50"}, "parents": {"SS": ["x", "y"]}}
        absent = {"leaseKey": {"Exists": False}}
        tables.put_item(TableName="leases", Item=item, Expected=absent)
        with pytest.raises(tables.exceptions.ConditionalCheckFailedException, match="The conditional request failed"):
            tables.put_item(TableName="leases", Item=item, Expected=absent)
        found = tables.get_item(TableName="leases", Key={"leaseKey": {"S": "a"}}, ConsistentRead=True)["Item"]
        assert found["leaseCounter"] == {"N": "1.5"}
        changed = tables.update_item(
            TableName="leases",
            Key={"leaseKey": {"S": "a"}},
            UpdateExpression="SET leaseOwner = :w, leaseCounter = leaseCounter + :one REMOVE parents",
            ConditionExpression="attribute_not_exists(leaseOwner) AND leaseCounter < :two",
            ExpressionAttributeValues={":w": {"S": "w"}, ":one": {"N": "1"}, ":two": {"N": "2"}},
            ReturnValues="ALL_NEW",
        )["Attributes"]
        assert changed == {"leaseKey": {"S": "a"}, "leaseCounter": {"N": "2.5"}, "leaseOwner": {"S": "w"}}
        assert tables.scan(TableName="leases")["Items"] == [changed]
        assert "leases" in tables.list_tables()["TableNames"]
        tables.delete_table(TableName="leases")
        tables.get_waiter("table_not_exists").wait(TableName="leases")

    def test_an_operation_that_is_not_there_says_what_this_is(self, broker):
        with pytest.raises(ClientError, match="Tidelog") as refused:
            client(broker, "dynamodb").list_backups()
        assert refused.value.response["Error"]["Code"] == "UnknownOperationException"


@pytest.fixture(scope="module")
def worker():
    """The command of a worker of KCL."""
    sources = [HERE / "kcl" / "pom.xml", *sorted((HERE / "kcl" / "src").glob("*.java"))]

    def install(directory):
        goals = ["compiler:compile", "dependency:build-classpath"]
        places = [f"-Doutput={directory}", f"-Dmdep.outputFile={directory / 'classpath'}"]
        run("mvn", "--quiet", "--batch-mode", *places, *goals, directory=HERE / "kcl")

    need("java", "mvn")
    built = installed("kcl", sources, install)
    return ["java", "-cp", f"{built / 'classes'}:{(built / 'classpath').read_text().strip()}", "Worker"]


class Running:
    """A worker that runs, and the lines that it has printed."""

    def __init__(self, command, broker, directory, stream, application):
        own = environment(broker.endpoint, None, directory) | {"AWS_ENDPOINT_URL": broker.endpoint}
        # KCL is to retry as it does everywhere.
        del own["AWS_MAX_ATTEMPTS"]
        self.process = subprocess.Popen(
            [*command, stream, application],
            env=own,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
        )
        self.lines = []
        self.reader = threading.Thread(target=self.read, daemon=True)
        self.reader.start()

    def read(self):
        for line in self.process.stdout:
            self.lines.append(line.split())

    def kill(self):
        self.process.kill()
        self.process.wait()

    def stop(self):
        """A graceful stop."""
        self.process.stdin.close()
        self.process.wait(timeout=WORKER_SECONDS_MAX)


def until(what, workers, condition):
    ends = time.monotonic() + WORKER_SECONDS_MAX
    while not condition():
        seen = [running.lines for running in workers]
        assert time.monotonic() < ends, f"{what}: not after {WORKER_SECONDS_MAX} s; the workers printed {seen}"
        time.sleep(0.2)


def group(broker, *arguments):
    command = [default_command()[0], "group", *arguments, "--endpoint", broker.endpoint]
    return subprocess.run(command, capture_output=True, text=True, check=False)


def listed(broker, name):
    rows = json.loads(group(broker, "list", "--output", "json").stdout)
    return next((row for row in rows if row["name"] == name), None)


class TestKcl:
    """KCL 3.5.1 with fan-out, whose consumer tells the application's stream."""

    def test_a_worker_goes_on_where_another_has_stopped_follows_a_split_and_is_sent_back(
        self, broker, worker, tmp_path
    ):
        kinesis = client(broker, "kinesis")
        kinesis.create_stream(StreamName="kcl", ShardCount=2)
        kinesis.get_waiter("stream_exists").wait(StreamName="kcl", WaiterConfig={"Delay": 1})
        put = []

        def put_some(count):
            for _ in range(count):
                number = str(len(put))
                kinesis.put_record(StreamName="kcl", PartitionKey=number, Data=number.encode())
                put.append(number)

        workers = [Running(worker, broker, tmp_path, "kcl", "application")]

        def lines(kind):
            return [words for running in workers for words in running.lines if words[0] == kind]

        def read():
            return {words[3] for words in lines("record")}

        try:
            until("the first lease of each shard", workers, lambda: len(lines("begin")) == 2)
            put_some(50)
            shard = kinesis.list_shards(StreamName="kcl")["Shards"][0]
            lower, upper = (int(shard["HashKeyRange"][end]) for end in ("StartingHashKey", "EndingHashKey"))
            middle = str((lower + upper) // 2)
            kinesis.split_shard(StreamName="kcl", ShardToSplit=shard["ShardId"], NewStartingHashKey=middle)
            kinesis.get_waiter("stream_exists").wait(StreamName="kcl", WaiterConfig={"Delay": 1})
            put_some(50)
            until("the records after the split", workers, lambda: read() == set(put))
            events = [tuple(words[:2]) for words in workers[0].lines]
            child = f"shardId-{2:012}"
            assert events.index(("end", shard["ShardId"])) < events.index(("begin", child)), events
            row = listed(broker, "application")
            assert (row["kind"], row["stream"]) == ("kcl", "kcl")
            until("a living worker", workers, lambda: listed(broker, "application")["members"] == 1)
            refused = group(broker, "reset", "application", "--to", "trim")
            assert refused.returncode == 1, refused
            workers[0].stop()
            put_some(50)
            assert listed(broker, "application")["records_behind"] == 50
            workers.append(Running(worker, broker, tmp_path, "kcl", "application"))
            until("the records after the change of workers", workers, lambda: read() == set(put))
            again = {words[3] for words in workers[1].lines if words[0] == "record"} - set(put[100:])
            assert again == set(), "a graceful stop checkpoints"
            workers[1].stop()
            trial = group(broker, "reset", "application", "--to", "trim", "--dry-run")
            assert trial.returncode == 0 and "TRIM_HORIZON" in trial.stdout, trial

            def is_reset():
                return group(broker, "reset", "application", "--to", "trim").returncode == 0

            until("the reset, once no lease was renewed for 30 s", workers, is_reset)
            parents = {f"shardId-{index:012}" for index in range(2)}
            of_parents = {words[3] for words in lines("record") if words[1] in parents}
            assert listed(broker, "application")["records_behind"] == len(of_parents)
            workers.append(Running(worker, broker, tmp_path, "kcl", "application"))

            def has_read_again():
                return {words[3] for words in workers[2].lines if words[0] == "record"} == set(put)

            until("everything again, the parents first", workers, has_read_again)
            events = [tuple(words[:2]) for words in workers[2].lines]
            assert events.index(("end", shard["ShardId"])) < events.index(("begin", child)), events
        finally:
            for running in workers:
                running.kill()
