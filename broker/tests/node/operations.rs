//! Operations through nodes that do not lead their subjects.

use std::time::Duration;

use futures_util::StreamExt;
use serde_json::{Value, json};
use tidelog::ops::{Fault, Reply};

use crate::cluster::Cluster;

/// Ids of the open shards, as the node at a place lists them.
async fn open_shards(cluster: &Cluster, at: usize) -> Vec<String> {
    let listed = cluster.ok(at, "ListShards", json!({"StreamName": "a"})).await;
    let shards = listed["Shards"].as_array().expect("shards").iter();
    let open = shards.filter(|shard| shard["SequenceNumberRange"].get("EndingSequenceNumber").is_none());
    open.map(|shard| shard["ShardId"].as_str().expect("an id").to_owned()).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn shards_are_changed_through_any_node() {
    let cluster = Cluster::start().await;
    cluster.create_stream(1, "a", 2).await;
    let middle = (u128::MAX / 4).to_string();
    let split = json!({
        "StreamName": "a", "ShardToSplit": "shardId-000000000000", "NewStartingHashKey": middle,
    });
    cluster.ok(2, "SplitShard", split).await;
    let merge = json!({
        "StreamName": "a", "ShardToMerge": "shardId-000000000002",
        "AdjacentShardToMerge": "shardId-000000000003",
    });
    cluster.ok(1, "MergeShards", merge).await;
    let update = json!({"StreamName": "a", "TargetShardCount": 4, "ScalingType": "UNIFORM_SCALING"});
    cluster.ok(2, "UpdateShardCount", update).await;
    for at in 0..3 {
        assert_eq!(open_shards(&cluster, at).await.len(), 4, "at {at}");
        let put = json!({"StreamName": "a", "PartitionKey": "k", "Data": "aGk="});
        cluster.ok(at, "PutRecord", put).await;
    }
    // Every node gives the same denial.
    let mut denials = Vec::new();
    for at in 0..3 {
        let denied = cluster.call(at, "DescribeStream", json!({"StreamName": "b"})).await;
        denials.push(denied.expect_err("no such stream"));
    }
    assert!(matches!(denials[0], Fault::ResourceNotFound(_)), "{denials:?}");
    assert!(denials.iter().all(|denial| *denial == denials[0]), "{denials:?}");
    cluster.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_iterator_of_one_node_reads_on_at_another() {
    let cluster = Cluster::start().await;
    cluster.create_stream(0, "a", 6).await;
    for (at, shard) in (0..6).map(|shard| (shard % 3, shard)) {
        let key = (u128::MAX / 12 * (2 * shard as u128 + 1)).to_string();
        let put = json!({"StreamName": "a", "PartitionKey": "k", "ExplicitHashKey": key, "Data": "aGk="});
        let placed = cluster.ok(at, "PutRecord", put).await;
        let from = json!({
            "StreamName": "a", "ShardId": placed["ShardId"], "ShardIteratorType": "AT_SEQUENCE_NUMBER",
            "StartingSequenceNumber": placed["SequenceNumber"],
        });
        let mut iterator = cluster.ok((at + 1) % 3, "GetShardIterator", from).await["ShardIterator"].clone();
        for (by, expected) in [((at + 2) % 3, 1), (at, 0), ((at + 1) % 3, 0)] {
            let read = cluster.ok(by, "GetRecords", json!({"ShardIterator": iterator})).await;
            let records = read["Records"].as_array().expect("records");
            assert_eq!(records.len(), expected, "shard {shard} by {by}");
            assert!(records.iter().all(|record| record["SequenceNumber"] == placed["SequenceNumber"]));
            iterator = read["NextShardIterator"].clone();
        }
    }
    cluster.end().await;
}

async fn registered(cluster: &Cluster, at: usize) -> Value {
    let arn = "arn:aws:kinesis:us-east-1:000000000000:stream/a";
    let consumer = json!({"StreamARN": arn, "ConsumerName": "app"});
    cluster.ok(at, "RegisterStreamConsumer", consumer).await["Consumer"]["ConsumerARN"].clone()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_subscription_through_another_node_is_pushed_records_and_ends_with_its_leader() {
    let mut cluster = Cluster::start().await;
    cluster.create_stream(0, "a", 1).await;
    let consumer = registered(&cluster, 1).await;
    let shard =
        cluster.node(0).service().catalog().streams().values().next().expect("a stream").shards[0].clone();
    let leader = cluster.leader(shard.group).await;
    let (gateway, other) = ((leader + 1) % 3, (leader + 2) % 3);
    let subscribe = json!({
        "ConsumerARN": consumer, "ShardId": "shardId-0", "StartingPosition": {"Type": "TRIM_HORIZON"},
    });
    let reply = cluster.reply(gateway, "SubscribeToShard", subscribe.clone()).await;
    let Ok(Reply::Events(mut events)) = reply else { panic!("a subscription") };
    // The shard has one subscription per consumer, whichever node is asked.
    let refused = cluster.call(other, "SubscribeToShard", subscribe).await;
    assert!(matches!(refused, Err(Fault::ResourceInUse(_))), "{refused:?}");
    let put = json!({"StreamName": "a", "PartitionKey": "k", "Data": "aGVsbG8="});
    cluster.ok(other, "PutRecord", put).await;
    let seen = async {
        let mut bytes = Vec::new();
        while !String::from_utf8_lossy(&bytes).contains("aGVsbG8=") {
            bytes.extend_from_slice(&events.messages.next().await.expect("an event").expect("no fault"));
        }
    };
    tokio::time::timeout(Duration::from_secs(10), seen).await.expect("the record in time");
    cluster.retire(leader).await;
    let ended = async { while events.messages.next().await.is_some() {} };
    tokio::time::timeout(Duration::from_secs(10), ended).await.expect("an end in time");
    cluster.kill(leader).await;
    cluster.end().await;
}
