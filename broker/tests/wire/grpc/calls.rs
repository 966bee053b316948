//! A broker and its clients, and how its errors are read.

use std::time::Duration;

use tidelog::clock::Clock;
use tidelog::limits::ShardLimits;
use tidelog::wire::Bounds;
use tidelog_proto::v1::cluster_client::ClusterClient;
use tidelog_proto::v1::records_client::RecordsClient;
use tidelog_proto::v1::streams_client::StreamsClient;
use tidelog_proto::v1::*;
use tokio::time::timeout;
use tonic::transport::{Channel, Endpoint};
use tonic::{Code, Status};
use tonic_types::StatusExt;

use crate::broker::{Broker, PATIENCE};

/// A broker of its own with an active stream `S`.
pub struct Grpc {
    pub broker: Broker,
    pub channel: Channel,
}

pub async fn channel(address: std::net::SocketAddr) -> Channel {
    Endpoint::from_shared(format!("http://{address}")).unwrap().connect().await.unwrap()
}

pub fn records(channel: &Channel) -> RecordsClient<Channel> {
    RecordsClient::new(channel.clone())
        .max_decoding_message_size(16 << 20)
        .max_encoding_message_size(64 << 20)
}

impl Grpc {
    pub async fn new(shards: u32) -> Self {
        Self::with(shards, Bounds::default(), ShardLimits::off()).await
    }

    pub async fn with(shards: u32, bounds: Bounds, limits: ShardLimits) -> Self {
        let broker = Broker::start_as(bounds, limits, Clock::System).await;
        let channel = channel(broker.address()).await;
        let grpc = Self { broker, channel };
        grpc.create("S", shards).await;
        grpc
    }

    pub async fn create(&self, name: &str, shard_count: u32) -> Stream {
        let request = CreateStreamRequest { name: name.into(), shard_count, ..Default::default() };
        self.streams().create_stream(request).await.unwrap().into_inner().stream.unwrap()
    }

    pub fn streams(&self) -> StreamsClient<Channel> {
        StreamsClient::new(self.channel.clone())
    }

    pub fn records(&self) -> RecordsClient<Channel> {
        records(&self.channel)
    }

    pub fn cluster(&self) -> ClusterClient<Channel> {
        ClusterClient::new(self.channel.clone())
    }

    /// Puts records and returns where they are; all are written.
    pub async fn put(&self, records: Vec<NewRecord>) -> Vec<AppendedRecord> {
        let request = PutRequest { stream: "S".into(), records, producer: None };
        let answer = self.records().put(request).await.unwrap().into_inner();
        answer.results.into_iter().map(placed).collect()
    }

    /// Splits a shard in the middle and waits for the stream to be active again.
    pub async fn split(&self, shard: u32) {
        let shard_id = shard_id(shard);
        let request = SplitShardRequest { stream: "S".into(), shard_id, ..Default::default() };
        self.streams().split_shard(request).await.unwrap();
        self.until_active().await;
    }

    pub async fn until_active(&self) {
        let active = async {
            while self.describe().await.status() != StreamStatus::Active {
                tokio::time::sleep(Duration::from_millis(60)).await;
            }
        };
        timeout(PATIENCE, active).await.unwrap();
    }

    pub async fn describe(&self) -> Stream {
        let request = DescribeStreamRequest { stream: "S".into() };
        self.streams().describe_stream(request).await.unwrap().into_inner().stream.unwrap()
    }

    /// Reads to the tip.
    pub async fn read(&self, shard: u32, from: position::At, records_max: u64) -> Vec<ReadResponse> {
        let request = read(shard, from, records_max);
        all(self.records().read(request).await.unwrap().into_inner()).await.unwrap()
    }

    pub async fn stop(self) {
        drop(self.channel);
        self.broker.stop().await;
    }
}

pub fn read(shard: u32, from: position::At, records_max: u64) -> ReadRequest {
    ReadRequest { stream: "S".into(), shard_id: shard_id(shard), from: at(from), records_max }
}

pub fn at(at: position::At) -> Option<Position> {
    Some(Position { at: Some(at) })
}

pub fn horizon() -> position::At {
    position::At::TrimHorizon(TrimHorizon {})
}

pub fn shard_id(index: u32) -> String {
    format!("shardId-{index:012}")
}

pub fn record(key: &str, data: impl Into<Vec<u8>>) -> NewRecord {
    NewRecord { partition_key: Some(key.into()), explicit_hash_key: None, data: data.into().into() }
}

pub fn placed(result: PutResult) -> AppendedRecord {
    match result.result {
        Some(put_result::Result::Record(record)) => record,
        other => panic!("{other:?}"),
    }
}

pub fn failed(result: PutResult) -> Failure {
    match result.result {
        Some(put_result::Result::Failure(failure)) => failure,
        other => panic!("{other:?}"),
    }
}

/// All messages of a call that ends, or its status.
pub async fn all<T>(mut messages: tonic::Streaming<T>) -> Result<Vec<T>, Status> {
    let mut all = Vec::new();
    while let Some(message) = timeout(PATIENCE, messages.message()).await.expect("a message in time")? {
        all.push(message);
    }
    Ok(all)
}

pub fn data(responses: &[ReadResponse]) -> Vec<String> {
    let records = responses.iter().flat_map(|response| &response.records);
    records.map(|record| String::from_utf8_lossy(&record.data).into_owned()).collect()
}

/// The code, the reason, and whether it says when to try again.
pub fn failure_of<T: std::fmt::Debug>(answer: Result<T, Status>) -> (Code, String, bool) {
    let status = answer.expect_err("an error");
    let details = status.get_error_details();
    let info = details.error_info().unwrap_or_else(|| panic!("a reason: {status:?}"));
    assert_eq!(info.domain, "tidelog", "{status:?}");
    assert!(!status.message().is_empty());
    (status.code(), info.reason.clone(), details.retry_info().is_some())
}
