"""The gRPC API by Python's own client, generated from the .proto files."""

import time
from types import SimpleNamespace

import grpc
import pytest
from google.rpc import error_details_pb2
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha.proto_reflection_descriptor_database import ProtoReflectionDescriptorDatabase

from . import grpc_stubs

STREAM = "grpc"
SECONDS_MAX = 60


@pytest.fixture(scope="module")
def api():
    return SimpleNamespace(**grpc_stubs.make())


@pytest.fixture
def services(api, broker):
    with grpc_stubs.channel(broker) as channel:
        yield SimpleNamespace(
            channel=channel,
            streams=api.streams_grpc.StreamsStub(channel),
            records=api.records_grpc.RecordsStub(channel),
            cluster=api.cluster_grpc.ClusterStub(channel),
        )


def await_active(api, services):
    deadline = time.monotonic() + SECONDS_MAX
    request = api.streams.DescribeStreamRequest(stream=STREAM)
    while services.streams.DescribeStream(request).stream.status != api.streams.ACTIVE:
        assert time.monotonic() < deadline, "the stream is not active again"
        time.sleep(0.05)


def put(api, services, texts):
    records = [api.records.NewRecord(partition_key=text, data=text.encode()) for text in texts]
    answer = services.records.Put(api.records.PutRequest(stream=STREAM, records=records))
    assert [result.WhichOneof("result") for result in answer.results] == ["record"] * len(texts)
    return [result.record for result in answer.results]


class TestGrpc:
    def test_a_stream_is_created_written_and_read(self, api, services):
        request = api.streams.CreateStreamRequest(name=STREAM, shard_count=1, tags={"team": "a"})
        created = services.streams.CreateStream(request).stream
        assert (created.status, created.open_shards) == (api.streams.ACTIVE, 1)
        assert dict(created.tags) == {"team": "a"}
        appended = put(api, services, ["one", "two", "three"])
        numbers = [record.sequence_number for record in appended]
        assert numbers == sorted(numbers) and {len(number) for number in numbers} == {56}
        start = api.records.Position(trim_horizon=api.records.TrimHorizon())
        request = api.records.ReadRequest(stream=STREAM, shard_id=appended[0].shard_id)
        getattr(request, "from").CopyFrom(start)
        responses = list(services.records.Read(request))
        read = [record for response in responses for record in response.records]
        assert [record.data for record in read] == [b"one", b"two", b"three"]
        assert [record.sequence_number for record in read] == numbers
        assert responses[-1].continuation
        assert abs(read[0].approximate_arrival.ToSeconds() - time.time()) < SECONDS_MAX

    def test_messages_of_a_stream_are_answered_in_order(self, api, services):
        def messages():
            for number in range(100):
                record = api.records.NewRecord(partition_key="k", data=b"stream %d" % number)
                yield api.records.PutStreamRequest(
                    stream=STREAM if number == 0 else "",
                    records=[record],
                    acknowledgement=api.records.FAILED,
                )

        answers = list(services.records.PutStream(messages()))
        assert [answer.position for answer in answers] == list(range(100))
        assert not any(answer.failures or answer.results for answer in answers)

    def test_a_subscription_goes_across_a_split(self, api, services):
        start = api.records.Position(trim_horizon=api.records.TrimHorizon())
        request = api.records.SubscribeRequest(stream=STREAM, consumer="python", follow_reshards=True)
        getattr(request, "from").CopyFrom(start)
        call = services.records.Subscribe(request, timeout=SECONDS_MAX)
        found, ended, has_split = [], [], False
        for message in call:
            if message.WhichOneof("event") == "end":
                ended.append(message.shard_id)
                assert len(message.end.children) == 2
            found += [record.data for record in message.records.records]
            if len(found) == 103 and not has_split:
                has_split = True
                split = api.streams.SplitShardRequest(stream=STREAM, shard_id=message.shard_id)
                services.streams.SplitShard(split)
                await_active(api, services)
                put(api, services, [f"child {number}" for number in range(20)])
            if len(found) == 123:
                call.cancel()
                break
        assert ended == ["shardId-000000000000"]
        assert all(data.startswith(b"child ") for data in found[103:])

    def test_errors_say_why_and_when_to_try_again(self, api, services):
        for act, expected in [
            (
                lambda: services.streams.DescribeStream(api.streams.DescribeStreamRequest(stream="none")),
                (grpc.StatusCode.NOT_FOUND, "STREAM_NOT_FOUND"),
            ),
            (
                lambda: services.streams.CreateStream(
                    api.streams.CreateStreamRequest(name=STREAM, shard_count=1)
                ),
                (grpc.StatusCode.ALREADY_EXISTS, "IN_USE"),
            ),
            (
                lambda: services.records.Put(api.records.PutRequest(stream=STREAM)),
                (grpc.StatusCode.INVALID_ARGUMENT, "INVALID_ARGUMENT"),
            ),
        ]:
            with pytest.raises(grpc.RpcError) as caught:
                act()
            assert grpc_stubs.reason(caught.value) == expected
            assert grpc_stubs.detail(caught.value, error_details_pb2.RetryInfo) is None

    def test_a_message_that_is_too_large_is_refused(self, api, services):
        record = api.records.NewRecord(partition_key="k", data=bytes(17 << 20))
        with pytest.raises(grpc.RpcError) as caught:
            services.records.Put(api.records.PutRequest(stream=STREAM, records=[record]))
        assert grpc_stubs.reason(caught.value) == (grpc.StatusCode.INVALID_ARGUMENT, "INVALID_ARGUMENT")

    def test_the_api_its_health_and_its_cluster_are_described(self, api, services):
        names = ProtoReflectionDescriptorDatabase(services.channel).get_services()
        assert {"tidelog.v1.Streams", "tidelog.v1.Records", "tidelog.v1.Cluster"} <= set(names)
        health = health_pb2_grpc.HealthStub(services.channel)
        answer = health.Check(health_pb2.HealthCheckRequest(service="tidelog.v1.Records"))
        assert answer.status == health_pb2.HealthCheckResponse.SERVING
        status = services.cluster.ClusterStatus(api.cluster.ClusterStatusRequest())
        assert [node.id for node in status.nodes] == [status.node]
        assert set(status.leaders) == {status.node}
