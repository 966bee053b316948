"""The program of docs/kcl.md, built and run exactly as it stands there: Maven, KCL 3, and no service but Tidelog."""

import os
import re
import signal
import subprocess
import time

import boto3

from .broker import ROOT
from .clients import need

PAGE = ROOT / "docs" / "kcl.md"
BLOCK = re.compile(r"^```(\w+)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
SECONDS_MAX = 600
# Lines of the class that are not blank: it is a quick start.
LINES_MAX = 25
NUMBER = re.compile(r"\d{50,}")


def blocks(language):
    return [text for found, text in BLOCK.findall(PAGE.read_text()) if found == language]


def connect(service, broker):
    return boto3.client(
        service,
        endpoint_url=broker.endpoint,
        region_name="us-east-1",
        aws_access_key_id="any",
        aws_secret_access_key="any",
    )


def checkpoints(broker, application):
    """The sequence numbers that the application has checkpointed."""
    items = connect("dynamodb", broker).scan(TableName=application)["Items"]
    found = [item["checkpoint"]["S"] for item in items if "checkpoint" in item]
    return [checkpoint for checkpoint in found if NUMBER.fullmatch(checkpoint)]


def test_the_program_reads_records(broker, tmp_path):
    need("java", "mvn")
    (project,), (program,), (command,) = blocks("xml"), blocks("java"), blocks("sh")
    ((stream, application),) = re.findall(r'SingleStreamTracker\("([\w-]+)", oldest\), "([\w-]+)"', program)
    (name,) = re.findall(r"public class (\w+)", program)
    lines = [line for line in program.split("public class")[1].splitlines() if line.strip()]
    assert len(lines) <= LINES_MAX, len(lines)
    place = tmp_path / "src" / "main" / "java"
    place.mkdir(parents=True)
    (place / f"{name}.java").write_text(program)
    (tmp_path / "pom.xml").write_text(project)
    own = {
        "AWS_ENDPOINT_URL": broker.endpoint,
        "AWS_REGION": "us-east-1",
        "AWS_ACCESS_KEY_ID": "any",
        "AWS_SECRET_ACCESS_KEY": "any",
    }
    others = {key: value for key, value in os.environ.items() if not key.startswith("AWS_")}
    client = connect("kinesis", broker)
    client.create_stream(StreamName=stream, ShardCount=2)
    put = [f"page-{number}" for number in range(20)]
    for data in put:
        client.put_record(StreamName=stream, PartitionKey=data, Data=data.encode())
    printed, log = tmp_path / "printed", tmp_path / "log"
    with open(printed, "wb") as output, open(log, "wb") as errors:
        process = subprocess.Popen(
            ["bash", "-c", command],
            cwd=tmp_path,
            env=others | own,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=errors,
            start_new_session=True,
        )
    try:
        deadline = time.monotonic() + SECONDS_MAX
        while not (set(printed.read_text().split()) == set(put) and checkpoints(broker, application)):
            assert process.poll() is None, log.read_text()[-3000:] + printed.read_text()[-3000:]
            assert time.monotonic() < deadline, log.read_text()[-3000:]
            time.sleep(0.2)
    finally:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()
