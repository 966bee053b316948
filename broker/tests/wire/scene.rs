//! The stage of subscriptions: a stream, its consumers, and a clock that the test turns.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{SystemTime, UNIX_EPOCH};

use serde_json::{Value, json};
use tidelog::clock::Clock;
use tidelog::limits::ShardLimits;
use tidelog::service::Pace;
use tidelog::wire::Bounds;

use crate::broker::Broker;
use tidelog_testkit::subscriber::{Subscriber, call};

/// The protocols that subscribers speak.
pub const HTTP1_AND_2: [bool; 2] = [false, true];

/// A broker with stream `S` of one shard and consumers `a` and `b`, and a clock that the test can advance.
pub struct Scene {
    pub broker: Broker,
    now_ms: Arc<AtomicU64>,
}

impl Scene {
    pub async fn new() -> Self {
        Self::with(Pace::default(), ShardLimits::aws()).await
    }

    pub async fn with(subscriptions: Pace, limits: ShardLimits) -> Self {
        Self::bounded(Bounds { subscriptions, ..Bounds::default() }, limits).await
    }

    pub async fn bounded(bounds: Bounds, limits: ShardLimits) -> Self {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
        let now_ms = Arc::new(AtomicU64::new(now.as_millis() as u64));
        let broker = Broker::start_as(bounds, limits, Clock::Manual(now_ms.clone())).await;
        let scene = Self { broker, now_ms };
        scene.call("CreateStream", json!({"StreamName": "S", "ShardCount": 1})).await;
        for name in ["a", "b"] {
            scene.call("RegisterStreamConsumer", json!({"StreamARN": STREAM, "ConsumerName": name})).await;
        }
        scene
    }

    pub fn address(&self) -> SocketAddr {
        self.broker.address()
    }

    /// Carries out a call that succeeds.
    pub async fn call(&self, operation: &str, input: Value) -> Value {
        let (status, answer) = call(self.address(), operation, &input).await;
        assert_eq!(status, 200, "{operation} {input}: {answer}");
        answer
    }

    pub async fn put(&self, data: &str) -> String {
        let data = base64_simd::STANDARD.encode_to_string(data);
        let put = json!({"StreamName": "S", "PartitionKey": "k", "Data": data});
        self.call("PutRecord", put).await["SequenceNumber"].as_str().unwrap().to_owned()
    }

    /// Each more than the buffers of the kernel and of the client take.
    pub async fn put_3_records_of_10_mb(&self) {
        let larger = json!({"StreamARN": STREAM, "MaxRecordSizeInKiB": 10_240});
        self.call("UpdateMaxRecordSize", larger).await;
        let large = "x".repeat(10_000_000);
        for _ in 0..3 {
            self.put(&large).await;
        }
    }

    pub async fn arn(&self, name: &str) -> String {
        let named = json!({"StreamARN": STREAM, "ConsumerName": name});
        let described = self.call("DescribeStreamConsumer", named).await;
        described["ConsumerDescription"]["ConsumerARN"].as_str().unwrap().to_owned()
    }

    pub async fn input(&self, consumer: &str, position: Value) -> Value {
        let arn = self.arn(consumer).await;
        json!({"ConsumerARN": arn, "ShardId": "shardId-000000000000", "StartingPosition": position})
    }

    /// A subscription that begins.
    pub async fn subscribe(&self, is_http2: bool, consumer: &str, position: Value) -> Subscriber {
        let input = self.input(consumer, position).await;
        Subscriber::begin(self.address(), is_http2, &input).await
    }

    pub fn pass(&self, milliseconds: u64) {
        self.now_ms.fetch_add(milliseconds, Ordering::SeqCst);
    }
}

pub const STREAM: &str = "arn:aws:kinesis:us-east-1:000000000000:stream/S";

pub fn latest() -> Value {
    json!({"Type": "LATEST"})
}

pub fn horizon() -> Value {
    json!({"Type": "TRIM_HORIZON"})
}

pub fn at(kind: &str, number: &str) -> Value {
    json!({"Type": kind, "SequenceNumber": number})
}
