//! Reshards: no put fails, no record is lost or comes twice, each key's order holds, and closed shards go in time.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use serde_json::{Value, json};
use tidelog::model::reshard::Plan;

use crate::broker::Broker;
use crate::{HOUR_MS, START_MS};

/// All that a stream holds, shard by shard from those without parents on, a child after its parents.
async fn read_all(broker: &Broker, name: &str) -> Vec<(String, String)> {
    let listed = broker.ok("ListShards", json!({"StreamName": name})).await;
    let mut records = Vec::new();
    for shard in listed["Shards"].as_array().expect("shards") {
        let from = json!({
            "StreamName": name, "ShardId": shard["ShardId"], "ShardIteratorType": "TRIM_HORIZON",
        });
        let mut next = broker.ok("GetShardIterator", from).await["ShardIterator"].clone();
        loop {
            let read = broker.ok("GetRecords", json!({"ShardIterator": next})).await;
            let found = read["Records"].as_array().expect("records");
            let text = |record: &Value, member: &str| record[member].as_str().expect("text").to_owned();
            records.extend(found.iter().map(|record| (text(record, "PartitionKey"), text(record, "Data"))));
            let is_closed = shard["SequenceNumberRange"].get("EndingSequenceNumber").is_some();
            let children = read.get("ChildShards").and_then(Value::as_array).map_or(0, Vec::len);
            match read.get("NextShardIterator") {
                None => {
                    assert!(is_closed && children > 0, "only a closed shard ends, with children: {read}");
                    break;
                }
                Some(_) if !is_closed && found.is_empty() => break,
                Some(iterator) => next = iterator.clone(),
            }
            assert_eq!(children, 0, "children are told at the end only");
        }
    }
    records
}

fn encoded(number: u64) -> String {
    // Base64 of 12 digits has no padding.
    let digits = format!("{number:012}");
    let alphabet = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut text = String::new();
    for part in digits.as_bytes().chunks(3) {
        let bits = u32::from(part[0]) << 16 | u32::from(part[1]) << 8 | u32::from(part[2]);
        text.extend([18, 12, 6, 0].map(|shift| char::from(alphabet[(bits >> shift & 63) as usize])));
    }
    text
}

/// Puts numbers under one key, one after the other, until told to stop; every put must succeed.
async fn produce(broker: Arc<Broker>, key: u64, stop: Arc<AtomicBool>) -> u64 {
    let mut number = 0;
    while !stop.load(Ordering::SeqCst) {
        let put = json!({
            "StreamName": "events", "PartitionKey": format!("key-{key}"), "Data": encoded(number),
        });
        broker.ok("PutRecord", put).await;
        number += 1;
    }
    number
}

async fn reshard(broker: &Broker, round: usize) {
    let listed =
        broker.ok("ListShards", json!({"StreamName": "events", "ShardFilter": {"Type": "AT_LATEST"}})).await;
    let mut open: Vec<(u128, u128, String)> = Vec::new();
    for shard in listed["Shards"].as_array().expect("shards") {
        let key =
            |member: &str| shard["HashKeyRange"][member].as_str().expect("a key").parse().expect("a number");
        open.push((
            key("StartingHashKey"),
            key("EndingHashKey"),
            shard["ShardId"].as_str().expect("an id").to_owned(),
        ));
    }
    open.sort();
    match round % 3 {
        0 => {
            let (start, end, id) = &open[round % open.len()];
            let at = start + (end - start) / 3;
            let split =
                json!({"StreamName": "events", "ShardToSplit": id, "NewStartingHashKey": at.to_string()});
            broker.ok("SplitShard", split).await;
        }
        1 if open.len() > 1 => {
            let at = round % (open.len() - 1);
            let merge = json!({"StreamName": "events", "ShardToMerge": open[at].2, "AdjacentShardToMerge": open[at + 1].2});
            broker.ok("MergeShards", merge).await;
        }
        _ => {
            let target = [2, 3, 4][round % 3].clamp(open.len().div_ceil(2), 2 * open.len());
            let update = json!({
                "StreamName": "events", "TargetShardCount": target, "ScalingType": "UNIFORM_SCALING",
            });
            broker.ok("UpdateShardCount", update).await;
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn puts_go_on_and_keep_their_order_through_reshards() {
    let directory = tempfile::tempdir().expect("a directory");
    let broker = Arc::new(Broker::start(directory.path(), START_MS).await);
    broker.create("events").await;
    let stop = Arc::new(AtomicBool::new(false));
    let producers: Vec<_> =
        (0..4).map(|key| tokio::spawn(produce(broker.clone(), key, stop.clone()))).collect();
    for round in 0..12 {
        tokio::time::sleep(std::time::Duration::from_millis(20)).await;
        reshard(&broker, round).await;
        let described = broker.ok("DescribeStreamSummary", json!({"StreamName": "events"})).await;
        assert_eq!(described["StreamDescriptionSummary"]["StreamStatus"], "ACTIVE");
    }
    stop.store(true, Ordering::SeqCst);
    let mut put = BTreeMap::new();
    for (key, producer) in producers.into_iter().enumerate() {
        put.insert(format!("key-{key}"), producer.await.expect("a producer"));
    }
    let check = |records: Vec<(String, String)>| {
        let mut next: BTreeMap<String, u64> = BTreeMap::new();
        for (key, data) in records {
            let number = next.entry(key).or_default();
            assert_eq!(data, encoded(*number), "out of order, twice, or lost before");
            *number += 1;
        }
        assert_eq!(next, put);
    };
    check(read_all(&broker, "events").await);
    let broker = Arc::into_inner(broker).expect("the producers have ended");
    broker.stop().await;
    // A sealed shard stays sealed, with and without the checkpoint of the stop.
    let broker = Broker::start(directory.path(), START_MS + 1).await;
    check(read_all(&broker, "events").await);
    broker.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_closed_shard_is_listed_until_its_records_have_expired() {
    let directory = tempfile::tempdir().expect("a directory");
    let broker = Broker::start(directory.path(), START_MS).await;
    broker.create("events").await;
    broker.put("events", "b25l").await;
    let split = json!({"StreamName": "events", "ShardToSplit": "shardId-0", "NewStartingHashKey": "1000"});
    broker.ok("SplitShard", split).await;
    let forget = async || {
        broker.trim().await;
        broker.node.service().forget_expired_shards().await.expect("proposed")
    };
    broker.pass(24 * HOUR_MS);
    assert_eq!(forget().await, 0);
    assert_eq!(broker.read("events").await.len(), 1);
    broker.pass(2);
    assert_eq!(forget().await, 1);
    assert_eq!(forget().await, 0);
    let listed = broker.ok("ListShards", json!({"StreamName": "events"})).await;
    let ids: Vec<_> =
        listed["Shards"].as_array().expect("shards").iter().map(|shard| &shard["ShardId"]).collect();
    assert_eq!(ids, ["shardId-000000000001", "shardId-000000000002"]);
    broker.stop().await;
    let broker = Broker::start(directory.path(), START_MS + 25 * HOUR_MS).await;
    broker.put("events", "dHdv").await;
    broker.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_plan_that_another_reshard_overtook_is_refused() {
    let directory = tempfile::tempdir().expect("a directory");
    let broker = Broker::start(directory.path(), START_MS).await;
    broker.ok("CreateStream", json!({"StreamName": "events", "ShardCount": 3})).await;
    let service = broker.node.service();
    let catalog = service.catalog();
    let stream = catalog.streams().values().next().expect("the stream").clone();
    let stale = Plan::merge(&stream, &stream.shards[1], &stream.shards[2]);
    let split = json!({"StreamName": "events", "ShardToSplit": "shardId-0", "NewStartingHashKey": "1000"});
    broker.ok("SplitShard", split).await;
    let begun = service.begin_reshard(stream.uid, &stale, false).await;
    assert!(begun.is_err(), "its shards' numbers are taken");
    assert_eq!(service.catalog().by_uid(stream.uid).expect("the stream").routes.len(), 4);
    drop(service);
    broker.stop().await;
}
