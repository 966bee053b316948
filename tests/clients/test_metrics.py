"""The page of metrics, judged by the linter of Prometheus (promlint/main.go)."""

import subprocess
import urllib.request

import boto3
import pytest

from .clients import HERE, installed, need, run

STREAM = "metrics"


@pytest.fixture(scope="module")
def promlint():
    sources = [HERE / "promlint" / name for name in ("go.mod", "go.sum", "main.go")]

    def install(directory):
        words = ["go", "build", "-mod=readonly", "-o", directory / "promlint", "."]
        run(*words, directory=HERE / "promlint")

    need("go")
    return installed("promlint", sources, install) / "promlint"


def page(endpoint):
    with urllib.request.urlopen(f"{endpoint}/metrics", timeout=30) as answer:
        return answer.read()


def problems(promlint, text):
    done = subprocess.run([promlint], input=text, capture_output=True, timeout=60, check=False)
    assert done.returncode in (0, 1), done.stderr.decode()
    return done.stdout.decode()


class TestMetrics:
    def test_the_first_page_is_clean(self, broker, promlint):
        assert problems(promlint, page(broker.endpoint)) == ""

    def test_a_page_with_series_of_shards_is_clean(self, broker, promlint):
        client = boto3.client(
            "kinesis",
            endpoint_url=broker.endpoint,
            region_name="us-east-1",
            aws_access_key_id="key",
            aws_secret_access_key="secret",
        )
        client.create_stream(StreamName=STREAM, ShardCount=1)
        client.get_waiter("stream_exists").wait(StreamName=STREAM, WaiterConfig={"Delay": 1})
        client.enable_enhanced_monitoring(StreamName=STREAM, ShardLevelMetrics=["ALL"])
        client.put_record(StreamName=STREAM, Data=b"x", PartitionKey="k")
        shard = client.list_shards(StreamName=STREAM)["Shards"][0]["ShardId"]
        iterator = client.get_shard_iterator(
            StreamName=STREAM, ShardId=shard, ShardIteratorType="TRIM_HORIZON"
        )["ShardIterator"]
        client.get_records(ShardIterator=iterator)
        text = page(broker.endpoint)
        assert b"tidelog_shard_iterator_age_seconds{" in text, text.decode()
        assert problems(promlint, text) == ""

    def test_a_page_with_metrics_of_applications_is_clean(self, broker, promlint):
        cloudwatch = boto3.client(
            "cloudwatch",
            endpoint_url=broker.endpoint,
            region_name="us-west-2",
            aws_access_key_id="123456789012",
            aws_secret_access_key="secret",
        )
        dimensions = [{"Name": "Operation", "Value": 'a"b\\c\n'}, {"Name": "other", "Value": "é"}]
        values = {"Values": [1.5, -2e20], "Unit": "Milliseconds"}
        cloudwatch.put_metric_data(
            Namespace="app", MetricData=[{"MetricName": "m", "Dimensions": dimensions} | values]
        )
        text = page(broker.endpoint)
        assert b'tidelog_application_metric_maximum{namespace="app"' in text, text.decode()
        assert problems(promlint, text) == ""

    def test_the_linter_finds_problems(self, promlint):
        assert "seconds" in problems(promlint, b"# HELP a_milliseconds x\n# TYPE a_milliseconds gauge\na_milliseconds 1\n")
