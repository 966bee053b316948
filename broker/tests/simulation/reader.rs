//! Reading streams through the protocol: complete reads for the checker, and a follower that reads while faults go on.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use base64_simd::STANDARD;
use serde_json::{Value, json};
use tokio::time::sleep;

use crate::client::Answer;
use crate::dice::Dice;
use crate::history::{Record, ShardRead, StreamRead, attempt_of};
use crate::workload::{forbid_denial, hash_range};
use crate::world::World;

/// Reads of one shard of which none brings the reader on, before it gives up.
const IDLE_READS_MAX: usize = 40;

/// Reads a whole stream through one node. `None` when the node does not answer in the end.
pub async fn read_stream(world: &World, node: usize, stream: &str) -> Option<StreamRead> {
    let mut shards = Vec::new();
    for listed in list(world, node, stream).await? {
        let mut shard = shard_of(&listed);
        let mut iterator = iterator(world, node, stream, &shard.id, None).await?;
        let mut idle = 0;
        loop {
            let answer = persist(world, node, "GetRecords", json!({"ShardIterator": iterator})).await?;
            let found = records_of(&answer);
            let is_tip = found.is_empty() && answer["MillisBehindLatest"] == 0;
            idle = if found.is_empty() { idle + 1 } else { 0 };
            shard.records.extend(found);
            match answer["NextShardIterator"].as_str() {
                Some(next) if (!is_tip || shard.is_closed) && idle < IDLE_READS_MAX => {
                    iterator = next.to_owned();
                }
                Some(_) if shard.is_closed => return None,
                _ => break,
            }
        }
        shards.push(shard);
    }
    Some(shards)
}

/// Calls until there is an answer, for a while.
async fn persist(world: &World, node: usize, operation: &str, body: Value) -> Option<Value> {
    for _ in 0..20 {
        match world.call(node, operation, body.clone(), Duration::from_secs(5)).await {
            Answer::Done(document) => return Some(document),
            answer => forbid_denial(world, operation, &answer),
        }
        sleep(Duration::from_millis(100)).await;
    }
    None
}

/// The listed shards of a stream, closed ones too.
pub async fn list(world: &World, node: usize, stream: &str) -> Option<Vec<Value>> {
    let listed = persist(world, node, "ListShards", json!({"StreamName": stream})).await?;
    listed["Shards"].as_array().cloned()
}

/// A listed shard, nothing of which has been read.
pub fn shard_of(listed: &Value) -> ShardRead {
    let parents = ["ParentShardId", "AdjacentParentShardId"];
    ShardRead {
        id: listed["ShardId"].as_str().unwrap_or_default().to_owned(),
        parents: parents.iter().filter_map(|member| listed[member].as_str().map(str::to_owned)).collect(),
        range: hash_range(listed),
        is_closed: listed["SequenceNumberRange"].get("EndingSequenceNumber").is_some(),
        records: Vec::new(),
    }
}

async fn iterator(
    world: &World,
    node: usize,
    stream: &str,
    shard: &str,
    after: Option<&str>,
) -> Option<String> {
    let answer = persist(world, node, "GetShardIterator", position(stream, shard, after)).await?;
    answer["ShardIterator"].as_str().map(str::to_owned)
}

fn position(stream: &str, shard: &str, after: Option<&str>) -> Value {
    match after {
        None => json!({"StreamName": stream, "ShardId": shard, "ShardIteratorType": "TRIM_HORIZON"}),
        Some(number) => json!({
            "StreamName": stream, "ShardId": shard, "ShardIteratorType": "AFTER_SEQUENCE_NUMBER",
            "StartingSequenceNumber": number,
        }),
    }
}

fn records_of(answer: &Value) -> Vec<Record> {
    let text = |record: &Value, member: &str| record[member].as_str().unwrap_or_default().to_owned();
    let read = |record: &Value| {
        let data = STANDARD.decode_to_vec(text(record, "Data")).unwrap_or_default();
        Record {
            number: text(record, "SequenceNumber"),
            key: text(record, "PartitionKey"),
            attempt: attempt_of(&data),
            arrival_ms: (record["ApproximateArrivalTimestamp"].as_f64().unwrap_or_default() * 1000.0).round()
                as u64,
        }
    };
    answer["Records"].as_array().into_iter().flatten().map(read).collect()
}

/// Reads a stream as it grows, going on after the last record it has read, each time through any node.
pub struct Follower {
    /// The stream's name.
    pub stream: String,
    /// The records that it has read, by shard.
    pub shards: BTreeMap<String, Vec<Record>>,
    ended: BTreeSet<String>,
}

impl Follower {
    /// From the beginning.
    pub fn new(stream: &str) -> Self {
        Self { stream: stream.to_owned(), shards: BTreeMap::new(), ended: BTreeSet::new() }
    }

    /// Reads once from each shard that has not ended. A node that does not answer is asked another time.
    pub async fn round(&mut self, world: &World, dice: &mut Dice, patience: Duration) {
        let body = json!({"StreamName": self.stream});
        let answer = world.call(world.any_node(dice), "ListShards", body, patience).await;
        forbid_denial(world, &self.stream, &answer);
        let Some(listed) = answer.document() else { return };
        for shard in listed["Shards"].as_array().into_iter().flatten().map(shard_of) {
            if !self.ended.contains(&shard.id) && !world.is_over.get() {
                self.read(world, dice, patience, &shard.id).await;
            }
        }
    }

    async fn read(&mut self, world: &World, dice: &mut Dice, patience: Duration, shard: &str) {
        let read = self.shards.entry(shard.to_owned()).or_default();
        let body = position(&self.stream, shard, read.last().map(|record| record.number.as_str()));
        let answer = world.call(world.any_node(dice), "GetShardIterator", body, patience).await;
        forbid_denial(world, &self.stream, &answer);
        let Some(iterator) = answer.document() else { return };
        let body = json!({"ShardIterator": iterator["ShardIterator"], "Limit": dice.between(1, 200)});
        let answer = world.call(world.any_node(dice), "GetRecords", body, patience).await;
        forbid_denial(world, &self.stream, &answer);
        let Some(answer) = answer.document() else { return };
        for record in records_of(&answer) {
            let due = read.len() as u64 + 1;
            if record.ordinal() != due {
                world.violation(format!(
                    "{} {shard}: a follower read {record:?} where {due} was due",
                    self.stream
                ));
            }
            read.push(record);
        }
        if answer["NextShardIterator"].is_null() {
            self.ended.insert(shard.to_owned());
        }
    }
}
