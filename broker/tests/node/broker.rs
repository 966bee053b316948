//! A node whose clock the tests set, and the calls that they make.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use serde_json::{Value, json};
use tidelog::clock::Clock;
use tidelog::node::{Node, NodeConfig};
use tidelog::ops::api::Operation;
use tidelog::ops::{Call, Fault, Reply, dispatch};
use tidelog_testkit::node::{self as testkit, call, unlimited};

/// A node in a directory, and the clock it goes by.
pub struct Broker {
    pub node: Node,
    now_ms: Arc<AtomicU64>,
}

impl Broker {
    pub async fn start(directory: &Path, now_ms: u64) -> Self {
        Self::start_with(directory, now_ms, |_| {}).await
    }

    /// With settings of its own: limits are off and nothing is delayed unless it changes that.
    pub async fn start_with(directory: &Path, now_ms: u64, change: impl FnOnce(&mut NodeConfig)) -> Self {
        Self::attempt(directory, now_ms, change).await.expect("a node")
    }

    /// The words of a refusal otherwise.
    pub async fn try_start(directory: &Path, now_ms: u64) -> Result<Self, String> {
        Self::attempt(directory, now_ms, |_| {}).await
    }

    async fn attempt(
        directory: &Path,
        now_ms: u64,
        change: impl FnOnce(&mut NodeConfig),
    ) -> Result<Self, String> {
        let now_ms = Arc::new(AtomicU64::new(now_ms));
        let mut config = NodeConfig { clock: Clock::Manual(now_ms.clone()), ..unlimited(directory) };
        change(&mut config);
        let node = Node::start(config).await.map_err(|error| error.to_string())?;
        Ok(Self { node, now_ms })
    }

    pub async fn call(&self, operation: &str, body: Value) -> Result<Value, Fault> {
        self.call_as(("000000000000", "us-east-1"), operation, body).await
    }

    /// Calls as a caller of that account and region.
    pub async fn call_as(&self, caller: (&str, &str), operation: &str, body: Value) -> Result<Value, Fault> {
        let Some(body) = testkit::body(self.reply(caller, operation, body).await?) else {
            panic!("{operation} answered with an event stream");
        };
        Ok(if body.is_empty() { Value::Null } else { serde_json::from_slice(&body).expect("JSON") })
    }

    /// The outcome of a call.
    pub async fn reply(
        &self,
        (account, region): (&str, &str),
        operation: &str,
        body: Value,
    ) -> Result<Reply, Fault> {
        let call = Call { account: account.into(), region: region.into(), ..call(body.to_string()) };
        dispatch(&self.node.service(), &call, Operation::named(operation)).await
    }

    pub async fn ok(&self, operation: &str, body: Value) -> Value {
        self.call(operation, body).await.unwrap_or_else(|fault| panic!("{operation}: {fault:?}"))
    }

    pub async fn create(&self, name: &str) {
        self.ok("CreateStream", json!({"StreamName": name, "ShardCount": 1})).await;
    }

    pub async fn put(&self, name: &str, data: &str) -> String {
        let put = json!({"StreamName": name, "PartitionKey": "key", "Data": data});
        let placed = self.ok("PutRecord", put).await;
        placed["SequenceNumber"].as_str().expect("a sequence number").to_owned()
    }

    pub async fn iterator(&self, name: &str) -> String {
        let from = json!({"StreamName": name, "ShardId": "shardId-000000000000", "ShardIteratorType": "TRIM_HORIZON"});
        let iterator = self.ok("GetShardIterator", from).await;
        iterator["ShardIterator"].as_str().expect("an iterator").to_owned()
    }

    /// Sequence numbers and data of the stream's records, from the oldest on.
    pub async fn read(&self, name: &str) -> Vec<(String, String)> {
        let read = self.ok("GetRecords", json!({"ShardIterator": self.iterator(name).await})).await;
        let records = read["Records"].as_array().expect("records").iter();
        let text = |record: &Value, member: &str| record[member].as_str().expect("text").to_owned();
        records.map(|record| (text(record, "SequenceNumber"), text(record, "Data"))).collect()
    }

    pub fn pass(&self, ms: u64) {
        self.now_ms.fetch_add(ms, Ordering::SeqCst);
    }

    pub async fn trim(&self) -> usize {
        self.node.service().trim_expired().await.expect("a trim")
    }

    pub async fn stop(self) {
        self.node.shutdown().await.expect("a checkpoint");
    }
}

/// The exception and the sentence of a refusal, as its client reads them.
pub fn said<T: std::fmt::Debug>(result: Result<T, Fault>) -> (&'static str, String) {
    let exception = result.expect_err("a refusal").exception();
    (exception.name, exception.text().to_owned())
}
