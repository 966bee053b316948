//! Administration of streams, the cluster's status, health and reflection; and how calls are refused.

use std::collections::BTreeMap;

use tidelog::limits::ShardLimits;
use tidelog::wire::Bounds;
use tidelog_proto::v1::*;
use tonic::{Code, Request};
use tonic_health::pb::HealthCheckRequest;
use tonic_health::pb::health_check_response::ServingStatus;
use tonic_health::pb::health_client::HealthClient;
use tonic_reflection::pb::v1::ServerReflectionRequest;
use tonic_reflection::pb::v1::server_reflection_client::ServerReflectionClient;
use tonic_reflection::pb::v1::server_reflection_request::MessageRequest;
use tonic_reflection::pb::v1::server_reflection_response::MessageResponse;

use super::*;

const S: &str = "S";

#[tokio::test]
async fn a_stream_lives_from_its_creation_to_its_end() {
    let grpc = Grpc::new(1).await;
    let mut streams = grpc.streams();
    let tags = BTreeMap::from([("team".to_owned(), "a".to_owned())]);
    let request = CreateStreamRequest {
        name: "other".into(),
        shard_count: 2,
        record_kib_max: 2_048,
        tags: tags.clone(),
        ..Default::default()
    };
    let created = streams.create_stream(request).await.unwrap().into_inner().stream.unwrap();
    assert_eq!((created.status(), created.mode()), (StreamStatus::Active, StreamMode::Provisioned));
    assert_eq!((created.open_shards, created.record_kib_max, created.retention_hours), (2, 2_048, 24));
    let arn = created.arn.clone();
    assert_eq!(arn, "arn:aws:kinesis:us-east-1:000000000000:stream/other");
    let described = streams.describe_stream(DescribeStreamRequest { stream: arn.clone() }).await.unwrap();
    assert_eq!(described.into_inner().stream, Some(Stream { tags, ..created }));

    for retention_hours in [48, 48, 25] {
        let request = SetRetentionRequest { stream: arn.clone(), retention_hours };
        streams.set_retention(request).await.unwrap();
        let described = streams.describe_stream(DescribeStreamRequest { stream: arn.clone() }).await.unwrap();
        assert_eq!(described.into_inner().stream.unwrap().retention_hours, retention_hours);
    }

    let page = |page_size, page_token| ListStreamsRequest { page_size, page_token };
    let first = streams.list_streams(page(1, String::new())).await.unwrap().into_inner();
    assert_eq!(first.names, [S]);
    let second = streams.list_streams(page(0, first.next_page_token)).await.unwrap().into_inner();
    assert_eq!((second.names, second.next_page_token), (vec!["other".to_owned()], String::new()));

    streams.delete_stream(DeleteStreamRequest { stream: arn, with_consumers: false }).await.unwrap();
    grpc.stop().await;
}

#[tokio::test]
async fn shards_are_split_merged_and_scaled() {
    let grpc = Grpc::new(1).await;
    let mut streams = grpc.streams();
    grpc.split(0).await;
    let request = ListShardsRequest { stream: S.into(), page_size: 2, page_token: String::new() };
    let first = streams.list_shards(request).await.unwrap().into_inner();
    let request = ListShardsRequest { stream: S.into(), page_size: 0, page_token: first.next_page_token };
    let second = streams.list_shards(request).await.unwrap().into_inner();
    let shards = [first.shards, second.shards].concat();
    let middle = 1u128 << 127;
    assert_eq!(shards.iter().map(|shard| &*shard.shard_id).collect::<Vec<_>>(), [0, 1, 2].map(shard_id));
    assert!(shards[0].sequence_number_end.is_some() && shards[0].parent.is_none());
    assert_eq!(shards[1].hash_key_end, (middle - 1).to_string());
    assert_eq!(shards[2].hash_key_start, middle.to_string());
    assert_eq!(shards[2].parent, Some(shard_id(0)));

    let request =
        SplitShardRequest { stream: S.into(), shard_id: shard_id(2), new_hash_key_start: "7".into() };
    let refused = failure_of(streams.split_shard(request).await);
    assert_eq!(refused, (Code::InvalidArgument, "INVALID_ARGUMENT".into(), false));
    let request =
        MergeShardsRequest { stream: S.into(), shard_id: shard_id(1), adjacent_shard_id: shard_id(2) };
    streams.merge_shards(request).await.unwrap();
    grpc.until_active().await;
    let request = UpdateShardCountRequest { stream: S.into(), target: 2 };
    assert_eq!(streams.update_shard_count(request).await.unwrap().into_inner().open_shards_before, 1);
    grpc.until_active().await;
    assert_eq!(grpc.describe().await.open_shards, 2);

    let request = SetModeRequest { stream: S.into(), mode: StreamMode::OnDemand.into() };
    streams.set_mode(request).await.unwrap();
    grpc.until_active().await;
    assert_eq!(grpc.describe().await.mode(), StreamMode::OnDemand);
    grpc.stop().await;
}

#[tokio::test]
async fn refusals_name_their_reason() {
    let grpc = Grpc::new(1).await;
    let mut streams = grpc.streams();
    let create = |name: &str, shard_count| CreateStreamRequest {
        name: name.into(),
        shard_count,
        ..Default::default()
    };
    let describe = |stream: &str| DescribeStreamRequest { stream: stream.into() };
    let invalid = (Code::InvalidArgument, "INVALID_ARGUMENT".to_owned(), false);
    assert_eq!(
        failure_of(streams.create_stream(create(S, 1)).await),
        (Code::AlreadyExists, "IN_USE".into(), false)
    );
    assert_eq!(failure_of(streams.create_stream(create("a b", 1)).await), invalid);
    assert_eq!(failure_of(streams.create_stream(create("b", 0)).await), invalid);
    assert_eq!(failure_of(streams.describe_stream(describe("")).await), invalid);
    let missing = (Code::NotFound, "STREAM_NOT_FOUND".to_owned(), false);
    assert_eq!(failure_of(streams.describe_stream(describe("b")).await), missing);
    let split = |shard: &str| SplitShardRequest {
        stream: S.into(),
        shard_id: shard.into(),
        new_hash_key_start: String::new(),
    };
    let no_shard = (Code::NotFound, "SHARD_NOT_FOUND".to_owned(), false);
    assert_eq!(failure_of(streams.split_shard(split("shardId-7")).await), no_shard);
    let retention = SetRetentionRequest { stream: S.into(), retention_hours: 23 };
    assert_eq!(failure_of(streams.set_retention(retention).await), invalid);
    let token = ListStreamsRequest { page_size: 0, page_token: "x".into() };
    assert_eq!(failure_of(streams.list_streams(token).await), invalid);

    // An account of its own does not see the stream; malformed ones are refused.
    for (account, expected) in [("123456789012", missing), ("12", invalid)] {
        let mut request = Request::new(describe(S));
        request.metadata_mut().insert("tidelog-account", account.parse().unwrap());
        assert_eq!(failure_of(streams.describe_stream(request).await), expected);
    }
    let splitting = split("shardId-0");
    streams.split_shard(splitting.clone()).await.unwrap();
    let refused = failure_of(streams.split_shard(splitting).await);
    // It may be done already.
    assert!(refused.1 == "NOT_ACTIVE" || refused.1 == "INVALID_ARGUMENT", "{refused:?}");
    grpc.stop().await;
}

#[tokio::test]
async fn watches_of_health_are_bounded() {
    let grpc = Grpc::with(1, Bounds::default(), ShardLimits::off()).await;
    let mut health = HealthClient::new(grpc.channel.clone());
    let mut watches = Vec::new();
    let refused = loop {
        match health.watch(HealthCheckRequest::default()).await {
            Ok(watch) => watches.push(watch.into_inner()),
            Err(refused) => break refused,
        }
    };
    assert_eq!((refused.code(), watches.len()), (Code::Unavailable, 1_024), "{refused:?}");
    health.check(HealthCheckRequest::default()).await.expect("a check takes no place");
    watches.pop();
    // The broker hears of the end of a watch a moment later.
    while let Err(refused) = health.watch(HealthCheckRequest::default()).await {
        assert_eq!(refused.code(), Code::Unavailable);
    }
    drop(watches);
    grpc.stop().await;
}

#[tokio::test]
async fn the_cluster_its_health_and_its_api_are_described() {
    let grpc = Grpc::with(1, Bounds::default(), ShardLimits::off()).await;
    let status = grpc.cluster().cluster_status(ClusterStatusRequest {}).await.unwrap().into_inner();
    assert_eq!((status.node, status.nodes.len()), (1, 1));
    assert!(status.nodes[0].is_reachable && !status.nodes[0].version.is_empty());
    assert!(status.leaders.len() > 1 && status.leaders.iter().all(|leader| *leader == 1), "{status:?}");

    let mut health = HealthClient::new(grpc.channel.clone());
    for service in ["", "tidelog.v1.Streams", "tidelog.v1.Records", "tidelog.v1.Groups", "tidelog.v1.Cluster"]
    {
        let answer = health.check(HealthCheckRequest { service: service.into() }).await.unwrap();
        assert_eq!(answer.into_inner().status(), ServingStatus::Serving, "{service}");
    }
    let unknown = health.check(HealthCheckRequest { service: "x".into() }).await.unwrap_err();
    assert_eq!(unknown.code(), Code::NotFound);
    let mut watch = health.watch(HealthCheckRequest::default()).await.unwrap().into_inner();
    assert_eq!(watch.message().await.unwrap().unwrap().status(), ServingStatus::Serving);

    let mut reflection = ServerReflectionClient::new(grpc.channel.clone());
    let asked = ServerReflectionRequest {
        host: String::new(),
        message_request: Some(MessageRequest::ListServices(String::new())),
    };
    let asked = futures_util::stream::iter([asked]);
    let mut answers = reflection.server_reflection_info(asked).await.unwrap().into_inner();
    let answer = answers.message().await.unwrap().unwrap().message_response;
    let Some(MessageResponse::ListServicesResponse(services)) = answer else { panic!("{answer:?}") };
    let names: Vec<String> = services.service.into_iter().map(|service| service.name).collect();
    for name in ["tidelog.v1.Streams", "tidelog.v1.Records", "tidelog.v1.Cluster", "grpc.health.v1.Health"] {
        assert!(names.iter().any(|own| own == name), "{name} of {names:?}");
    }

    // Watchers of the health learn of a stop.
    let Grpc { broker, channel } = grpc;
    let stop = tokio::spawn(broker.stop());
    let ends = loop {
        match watch.message().await {
            Ok(Some(message)) => assert_eq!(message.status(), ServingStatus::NotServing),
            end => break end,
        }
    };
    assert_eq!(failure_of(ends), (Code::Unavailable, "UNAVAILABLE".into(), true));
    drop((channel, watch, health, reflection, answers));
    stop.await.unwrap();
}
