"""Lease tables by the aws command line, from creation to deletion."""

import importlib.util
import json
import subprocess
import sys

import pytest

from .availability import missing
from .clients import environment


@pytest.fixture
def aws(broker, tmp_path):
    """Runs `aws dynamodb` with these words; what it printed as JSON, or the text of its error."""
    if importlib.util.find_spec("awscli") is None:
        missing("aws-cli")
    own = environment(broker.endpoint, None, tmp_path) | {"AWS_ENDPOINT_URL": broker.endpoint}

    def run(*words, is_refused=False):
        command = [sys.executable, "-m", "awscli", "dynamodb", *words]
        done = subprocess.run(command, env=own, capture_output=True, text=True, timeout=60)
        assert (done.returncode != 0) == is_refused, done.stdout + done.stderr
        if is_refused:
            return done.stderr
        return json.loads(done.stdout) if done.stdout.strip() else {}

    return run


def test_a_table_from_its_creation_to_its_end(aws):
    key = json.dumps({"leaseKey": {"S": "shardId-0"}})
    table = ["--table-name", "orders"]
    made = aws(
        "create-table",
        *table,
        "--key-schema=AttributeName=leaseKey,KeyType=HASH",
        "--attribute-definitions=AttributeName=leaseKey,AttributeType=S",
        "--billing-mode=PAY_PER_REQUEST",
    )
    assert made["TableDescription"]["TableStatus"] == "ACTIVE"
    item = {"leaseKey": {"S": "shardId-0"}, "leaseCounter": {"N": "1"}, "leaseOwner": {"S": "one"}}
    aws("put-item", *table, "--item", json.dumps(item), "--condition-expression", "attribute_not_exists(leaseKey)")
    change = ["update-item", *table, "--key", key, "--return-values=ALL_NEW"]
    change += ["--update-expression", "SET leaseOwner = :two, leaseCounter = leaseCounter + :once"]
    change += ["--condition-expression", "leaseOwner = :one"]
    change += ["--expression-attribute-values"]
    change += [json.dumps({":one": {"S": "one"}, ":two": {"S": "two"}, ":once": {"N": "1"}})]
    new = item | {"leaseOwner": {"S": "two"}, "leaseCounter": {"N": "2"}}
    assert aws(*change)["Attributes"] == new
    refused = aws(*change, is_refused=True)
    assert "ConditionalCheckFailedException" in refused and "The conditional request failed" in refused
    scanned = aws("scan", *table)
    assert (scanned["Items"], scanned["Count"]) == ([new], 1)
    aws("delete-table", *table)
    assert aws("list-tables")["TableNames"] == []
    assert "Requested resource not found: Table: orders not found" in aws("scan", *table, is_refused=True)
