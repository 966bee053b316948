"""CloudWatch's PutMetricData and STS's GetCallerIdentity by boto3, and the refusals of other services."""

import urllib.request

import boto3
import pytest
from botocore.exceptions import ClientError

ACCOUNT = "123456789012"


def connect(service, endpoint, key="key"):
    return boto3.client(
        service,
        endpoint_url=endpoint,
        region_name="us-east-1",
        aws_access_key_id=key,
        aws_secret_access_key="secret",
    )


def sample(endpoint, series):
    with urllib.request.urlopen(f"{endpoint}/metrics", timeout=30) as answer:
        lines = answer.read().decode().splitlines()
    found = [line.rsplit(" ", 1)[1] for line in lines if line.rsplit(" ", 1)[0] == series]
    return float(found[0]) if found else None


class TestOtherServices:
    def test_metrics_become_series(self, broker):
        cloudwatch = connect("cloudwatch", broker.endpoint)
        dimensions = [{"Name": "ShardId", "Value": "shardId-0"}, {"Name": "WorkerIdentifier", "Value": "host:1"}]
        figures = {"SampleCount": 2, "Sum": 30, "Minimum": 10, "Maximum": 20}
        datum = {"MetricName": "Lag", "Unit": "Milliseconds", "Dimensions": dimensions}
        cloudwatch.put_metric_data(
            Namespace="app",
            MetricData=[datum | {"StatisticValues": figures}, datum | {"Values": [1.5, 4], "Counts": [2, 1]}],
        )
        # A larger call, which the SDK compresses.
        many = [datum | {"MetricName": f"m{number}", "Value": number} for number in range(500)]
        cloudwatch.put_metric_data(Namespace="app", MetricData=many)
        labels = 'namespace="app",metric="Lag",unit="Milliseconds",shard="shardId-0"'
        for name, value in [("sum", 37), ("count", 5), ("minimum", 1.5), ("maximum", 4)]:
            assert sample(broker.endpoint, f"tidelog_application_metric_{name}{{{labels}}}") == value, name
        last = labels.replace("Lag", "m499")
        assert sample(broker.endpoint, f"tidelog_application_metric_sum{{{last}}}") == 499

    def test_wrong_metrics_have_the_codes_of_cloudwatch(self, broker):
        cloudwatch = connect("cloudwatch", broker.endpoint)
        with pytest.raises(ClientError) as refused:
            cloudwatch.put_metric_data(Namespace="app", MetricData=[{"MetricName": "m"}])
        assert refused.value.response["Error"]["Code"] in ("MissingParameter", "MissingRequiredParameterException")
        assert "MetricData.member.1.Value" in str(refused.value)

    def test_the_account_is_that_of_the_key(self, broker):
        identity = connect("sts", broker.endpoint, ACCOUNT).get_caller_identity()
        assert identity["Account"] == identity["UserId"] == ACCOUNT
        assert identity["Arn"] == f"arn:aws:iam::{ACCOUNT}:root"

    @pytest.mark.parametrize(
        ("service", "call", "variable"),
        [
            ("sts", lambda sts: sts.get_session_token(), "AWS_ENDPOINT_URL_STS"),
            ("cloudwatch", lambda cloudwatch: cloudwatch.list_metrics(), "AWS_ENDPOINT_URL_CLOUDWATCH"),
            ("sqs", lambda sqs: sqs.list_queues(), "AWS_ENDPOINT_URL_SQS"),
            ("sns", lambda sns: sns.list_topics(), "AWS_ENDPOINT_URL_SNS"),
            ("dynamodbstreams", lambda streams: streams.list_streams(), "AWS_ENDPOINT_URL_DYNAMODB_STREAMS"),
            ("lambda", lambda functions: functions.list_functions(), "AWS_ENDPOINT_URL_LAMBDA"),
        ],
    )
    def test_absent_operations_name_the_variable_to_set(self, broker, service, call, variable):
        with pytest.raises(ClientError) as refused:
            call(connect(service, broker.endpoint))
        assert variable in str(refused.value), str(refused.value)
