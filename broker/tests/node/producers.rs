//! Batches of producers that are sent again: written once, answered with their places, also when their shard was
//! split or merged.

use std::sync::Arc;

use serde_json::json;
use tidelog::limits::ShardLimits;
use tidelog::model::hash_key;
use tidelog::model::producer::Stamp;
use tidelog::model::stream::Stream;
use tidelog::service::{AppendFailure, AppendedRecord, NewRecord, Payload, Service};

use crate::START_MS;
use crate::broker::Broker;
use crate::cluster::Cluster;

/// The lowest key of the upper half.
const MIDDLE: &str = "170141183460469231731687303715884105728";

pub fn stamp(producer: u64, batch: u64, settled_below: u64) -> Stamp {
    Stamp::new(producer, batch, settled_below).expect("a stamp")
}

fn stream(service: &Service) -> Arc<Stream> {
    service.catalog().streams().values().next().expect("the stream").clone()
}

/// Sends a batch of records under those keys.
pub async fn send(
    service: &Service,
    keys: &[&str],
    stamp: Stamp,
) -> Vec<Result<AppendedRecord, AppendFailure>> {
    let record = |key| NewRecord {
        hash_key: hash_key::of_partition_key(key),
        partition_key: Some(key),
        data: Payload::Raw(b"data"),
    };
    let records: Vec<_> = keys.iter().map(|key| record(*key)).collect();
    service.appender().append(&stream(service), &records, Some(&stamp)).await
}

async fn placed(broker: &Broker, keys: &[&str], stamp: Stamp) -> Vec<AppendedRecord> {
    let results = send(&broker.node.service(), keys, stamp).await;
    results.into_iter().map(|result| result.expect("written or known")).collect()
}

/// How many records the stream holds.
async fn count(broker: &Broker) -> u64 {
    let service = broker.node.service();
    let stream = stream(&service);
    let key = |shard| tidelog_storage::shard::ShardKey { stream_uid: stream.uid, shard };
    let logs = stream.shards.iter().filter_map(|shard| service.groups().shard(key(shard.index)));
    logs.map(|log| log.bounds().next_ordinal - 1).sum()
}

const KEYS: [&str; 8] = ["a", "b", "c", "d", "e", "f", "g", "h"];

#[tokio::test(flavor = "multi_thread")]
async fn a_batch_that_is_sent_again_is_answered_alike_through_splits_merges_and_restarts() {
    let directory = tempfile::tempdir().expect("a directory");
    let mut broker = Broker::start(directory.path(), START_MS).await;
    broker.create("events").await;
    let first = placed(&broker, &KEYS, stamp(7, 1, 1)).await;
    let second = placed(&broker, &KEYS[..5], stamp(7, 2, 1)).await;
    let other = placed(&broker, &KEYS, stamp(8, 1, 1)).await;
    let split = json!({"StreamName": "events", "ShardToSplit": "shardId-0", "NewStartingHashKey": MIDDLE});
    let merge =
        json!({"StreamName": "events", "ShardToMerge": "shardId-1", "AdjacentShardToMerge": "shardId-2"});
    let grow = json!({"StreamName": "events", "TargetShardCount": 2, "ScalingType": "UNIFORM_SCALING"});
    for (operation, body) in [
        ("ListStreams", json!({})),
        ("SplitShard", split),
        ("MergeShards", merge),
        ("UpdateShardCount", grow),
    ] {
        broker.ok(operation, body).await;
        for _ in 0..2 {
            assert_eq!(placed(&broker, &KEYS, stamp(7, 1, 1)).await, first, "after {operation}");
            assert_eq!(placed(&broker, &KEYS[..5], stamp(7, 2, 1)).await, second, "after {operation}");
            assert_eq!(placed(&broker, &KEYS, stamp(8, 1, 1)).await, other, "after {operation}");
            broker.stop().await;
            broker = Broker::start(directory.path(), START_MS).await;
        }
        assert_eq!(count(&broker).await, 21);
    }
    // A child remembers the batches that it has written itself, too.
    let third = placed(&broker, &KEYS, stamp(7, 3, 3)).await;
    assert!(third.iter().all(|placed| placed.shard > 3), "{third:?}");
    assert_eq!(placed(&broker, &KEYS, stamp(7, 3, 3)).await, third);
    let stale = send(&broker.node.service(), &KEYS, stamp(7, 2, 1)).await;
    assert_eq!(stale, vec![Err(AppendFailure::ProducerStale); 8]);
    assert_eq!(count(&broker).await, 29);
    broker.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn records_that_a_first_attempt_has_not_written_are_written_by_the_next() {
    let directory = tempfile::tempdir().expect("a directory");
    let broker = Broker::start(directory.path(), START_MS).await;
    broker.ok("CreateStream", json!({"StreamName": "events", "ShardCount": 2})).await;
    let service = broker.node.service();
    // Positions are those in the batch: of this attempt only the first half has come.
    let half = placed(&broker, &KEYS[..4], stamp(7, 1, 1)).await;
    let shards: std::collections::BTreeSet<_> = half.iter().map(|placed| placed.shard).collect();
    assert_eq!(shards.len(), 2, "keys of both shards");
    let merge =
        json!({"StreamName": "events", "ShardToMerge": "shardId-0", "AdjacentShardToMerge": "shardId-1"});
    broker.ok("MergeShards", merge).await;
    let whole = placed(&broker, &KEYS, stamp(7, 1, 1)).await;
    assert_eq!(whole[..4], half);
    let child = stream(&service).open_shards().next().expect("the child").clone();
    for (placed, ordinal) in whole[4..].iter().zip(1..) {
        assert_eq!((placed.shard, placed.created_s, placed.ordinal), (2, child.created_s, ordinal));
    }
    assert_eq!(placed(&broker, &KEYS, stamp(7, 1, 1)).await, whole);
    assert_eq!(count(&broker).await, 8);
    drop(service);
    broker.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn batches_without_room_are_refused_until_others_are_settled_or_old() {
    let directory = tempfile::tempdir().expect("a directory");
    let broker = Broker::start(directory.path(), START_MS).await;
    broker.create("events").await;
    let service = broker.node.service();
    for batch in 1..=64 {
        placed(&broker, &["a"], stamp(7, batch, 1)).await;
    }
    let full = vec![Err(AppendFailure::ProducerTableFull)];
    assert_eq!(send(&service, &["a"], stamp(7, 65, 1)).await, full);
    placed(&broker, &["a"], stamp(7, 64, 1)).await;
    placed(&broker, &["a"], stamp(7, 65, 2)).await;
    assert_eq!(count(&broker).await, 65);
    // Time passes by the records that arrive, a minute at a time at most.
    for _ in 0..61 {
        broker.pass(60_000);
        broker.put("events", "eA==").await;
    }
    placed(&broker, &["a"], stamp(7, 65, 2)).await;
    assert_eq!(count(&broker).await, 65 + 61 + 1, "forgotten an hour later");
    drop(service);
    broker.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_records_of_a_shard_are_throttled_together() {
    let directory = tempfile::tempdir().expect("a directory");
    let limits = ShardLimits { write_records_per_second: Some(10), ..ShardLimits::off() };
    let broker = Broker::start_with(directory.path(), START_MS, |config| config.limits = limits).await;
    broker.create("events").await;
    let service = broker.node.service();
    let first = placed(&broker, &KEYS, stamp(7, 1, 1)).await;
    let second = placed(&broker, &KEYS, stamp(7, 2, 1)).await;
    let throttled = vec![Err(AppendFailure::Throttled { shard: 0 }); 8];
    assert_eq!(send(&service, &KEYS, stamp(7, 3, 1)).await, throttled);
    // A batch that is known is charged as well.
    assert_eq!(send(&service, &KEYS, stamp(7, 2, 1)).await, throttled);
    broker.pass(1_000);
    assert_eq!(placed(&broker, &KEYS, stamp(7, 2, 1)).await, second);
    assert_eq!(first.len() as u64 + second.len() as u64, count(&broker).await);
    drop(service);
    broker.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn records_without_keys_come_to_where_they_are_known() {
    let directory = tempfile::tempdir().expect("a directory");
    let broker = Broker::start(directory.path(), START_MS).await;
    broker.ok("CreateStream", json!({"StreamName": "events", "ShardCount": 4})).await;
    let service = broker.node.service();
    let auto = Stream { is_auto_distributed: true, ..Stream::clone(&stream(&service)) };
    let keyless = |hash_key| NewRecord { hash_key, partition_key: None, data: Payload::Raw(b"data") };
    let mut answers = Vec::new();
    for attempt in 0..3 {
        // Hash keys are drawn anew each time, like those of an operation.
        let records: Vec<_> = (0..20_u128).map(|at| keyless((at + attempt) << 121)).collect();
        answers.push(service.appender().append(&auto, &records, Some(&stamp(7, 1, 1))).await);
    }
    assert!(answers[0].iter().all(Result::is_ok) && answers.iter().all(|answer| *answer == answers[0]));
    let shards: std::collections::BTreeSet<_> =
        answers[0].iter().flatten().map(|placed| placed.shard).collect();
    assert!(shards.len() > 1, "they are spread");
    assert_eq!(count(&broker).await, 20);
    drop(service);
    broker.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_batch_is_known_to_the_next_leader_and_to_every_gateway() {
    let mut cluster = Cluster::start().await;
    cluster.create_stream(0, "events", 6).await;
    let sent = |producer, batch| (KEYS, stamp(producer, batch, 1));
    let first = cluster.append(0, sent(7, 1)).await;
    for at in [1, 2, 0] {
        assert_eq!(cluster.append(at, sent(7, 1)).await, first, "at {at}");
    }
    // By hand, and by death.
    for group in 1..=6 {
        let to = (cluster.leader(group).await + 1) % 3;
        let groups = cluster.node(0).service().groups().clone();
        groups.leadership().transfer(group, to as u64 + 1).await;
    }
    for at in 0..3 {
        assert_eq!(cluster.append(at, sent(7, 1)).await, first, "at {at} after the transfers");
    }
    let split = json!({"StreamName": "events", "ShardToSplit": "shardId-0", "NewStartingHashKey": "7"});
    cluster.persist(1, "SplitShard", split).await;
    let second = cluster.append(1, sent(7, 2)).await;
    cluster.kill(0).await;
    for at in [1, 2] {
        assert_eq!(cluster.append(at, sent(7, 1)).await, first, "at {at} after a death");
        assert_eq!(cluster.append(at, sent(7, 2)).await, second, "at {at} after a death");
    }
    cluster.restart(0).await;
    cluster.settled().await;
    cluster.kill(1).await;
    assert_eq!(cluster.append(0, sent(7, 2)).await, second, "at the node that came back");
    cluster.end().await;
}
