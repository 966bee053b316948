//! A node as a whole, below HTTP, with a clock that the tests set: retention, iterators, restarts, recreation,
//! reshards, consumers, consumer groups.

#![allow(clippy::disallowed_methods, reason = "the tasks of a test end with it")]

mod accounts;
mod alone;
mod anywhere;
mod applications;
mod broker;
mod catch_up;
mod clocks;
mod cluster;
mod consumers;
mod control;
mod failover;
mod group_failover;
mod groups;
mod lease_tables;
mod log_bound;
mod lost_log;
mod operations;
mod producers;
mod promises;
mod quotas;
mod reshard;

use std::path::Path;

use broker::Broker;
use serde_json::json;
use tidelog::ops::Fault;

const START_MS: u64 = 1_700_000_000_000;
const HOUR_MS: u64 = 3_600_000;

fn segment_files(directory: &Path) -> usize {
    let mut directories = vec![directory.join("shards")];
    let mut files = 0;
    while let Some(directory) = directories.pop() {
        for entry in std::fs::read_dir(directory).expect("a directory").flatten() {
            if entry.path().is_dir() {
                directories.push(entry.path());
            } else {
                files += 1;
            }
        }
    }
    files
}

#[tokio::test(flavor = "multi_thread")]
async fn records_go_when_their_retention_ends_and_no_earlier() {
    let directory = tempfile::tempdir().expect("a directory");
    let broker = Broker::start(directory.path(), START_MS).await;
    broker.create("events").await;
    let large = "A".repeat(40_000);
    let old = broker.put("events", &large).await;
    broker.pass(2 * HOUR_MS);
    let young = broker.put("events", "eW91bmc=").await;

    broker.pass(22 * HOUR_MS - 1);
    assert_eq!(broker.trim().await, 0, "nothing is 24 hours old");
    assert_eq!(broker.read("events").await.len(), 2);

    broker.pass(2);
    assert_eq!(broker.trim().await, 1);
    assert_eq!(broker.read("events").await, [(young.clone(), "eW91bmc=".to_owned())]);
    let at_old = json!({
        "StreamName": "events", "ShardId": "shardId-000000000000",
        "ShardIteratorType": "AT_SEQUENCE_NUMBER", "StartingSequenceNumber": old,
    });
    let iterator = broker.ok("GetShardIterator", at_old).await;
    let read = broker.ok("GetRecords", json!({"ShardIterator": iterator["ShardIterator"]})).await;
    assert_eq!(
        read["Records"][0]["SequenceNumber"], young,
        "a trimmed position goes on at the oldest record kept"
    );

    // The file of the trimmed segment goes an hour after two checkpoints have carried the trim.
    let service = broker.node.service();
    service.groups().checkpoints().make().await.expect("a checkpoint");
    let before = segment_files(directory.path());
    for _ in 0..3 {
        broker.pass(HOUR_MS / 3 - 1);
        service.groups().checkpoints().make().await.expect("a checkpoint");
    }
    assert_eq!(segment_files(directory.path()), before, "the trimmed segment's file is gone too early");
    broker.pass(HOUR_MS / 3 + 3);
    service.groups().checkpoints().make().await.expect("a checkpoint");
    assert!(segment_files(directory.path()) < before, "the trimmed segment's file is still there");
    drop(service);
    broker.stop().await;

    let broker = Broker::start(directory.path(), START_MS + 25 * HOUR_MS + HOUR_MS / 2).await;
    assert_eq!(broker.read("events").await, [(young, "eW91bmc=".to_owned())]);
    broker.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_longer_retention_keeps_records_and_a_shorter_one_lets_them_go() {
    let directory = tempfile::tempdir().expect("a directory");
    let broker = Broker::start(directory.path(), START_MS).await;
    broker.create("events").await;
    broker.put("events", "b25l").await;
    let hours = |hours: u32| json!({"StreamName": "events", "RetentionPeriodHours": hours});
    broker.ok("IncreaseStreamRetentionPeriod", hours(48)).await;
    broker.pass(30 * HOUR_MS);
    assert_eq!(broker.trim().await, 0);
    assert_eq!(broker.read("events").await.len(), 1);
    broker.ok("DecreaseStreamRetentionPeriod", hours(24)).await;
    assert_eq!(broker.trim().await, 1);
    assert_eq!(broker.read("events").await, []);
    broker.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_iterator_lives_for_five_minutes() {
    let directory = tempfile::tempdir().expect("a directory");
    let broker = Broker::start(directory.path(), START_MS).await;
    broker.create("events").await;
    let iterator = json!({"ShardIterator": broker.iterator("events").await});
    broker.pass(300_000);
    broker.ok("GetRecords", iterator.clone()).await;
    broker.pass(1);
    let fault = broker.call("GetRecords", iterator).await.expect_err("an old iterator");
    assert!(matches!(fault, Fault::ExpiredIterator { .. }), "{fault:?}");
    broker.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_restart_keeps_everything_and_the_order_goes_on_even_when_the_clock_went_back() {
    let directory = tempfile::tempdir().expect("a directory");
    let mut placed = Vec::new();
    for (run, start_ms) in [START_MS, START_MS + 1_000, START_MS - 60_000].into_iter().enumerate() {
        let broker = Broker::start(directory.path(), start_ms).await;
        if run == 0 {
            broker.create("events").await;
        }
        assert_eq!(broker.read("events").await, placed, "run {run}");
        for _ in 0..3 {
            placed.push((broker.put("events", "ZGF0YQ==").await, "ZGF0YQ==".to_owned()));
        }
        assert_eq!(broker.read("events").await, placed, "run {run}");
        broker.stop().await;
    }
    // All have 56 digits, so that their order as text is their order as numbers.
    assert!(placed.is_sorted(), "{placed:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_recreated_stream_knows_nothing_of_its_namesake() {
    let directory = tempfile::tempdir().expect("a directory");
    let broker = Broker::start(directory.path(), START_MS).await;
    broker.create("events").await;
    let old = broker.put("events", "b2xk").await;
    let iterator = json!({"ShardIterator": broker.iterator("events").await});
    broker.ok("DeleteStream", json!({"StreamName": "events"})).await;
    let fault = broker.call("GetRecords", iterator.clone()).await.expect_err("a deleted stream");
    assert!(matches!(fault, Fault::ResourceNotFound(_)), "{fault:?}");

    broker.create("events").await;
    assert_eq!(broker.read("events").await, []);
    let fault = broker.call("GetRecords", iterator).await.expect_err("an iterator of the deleted stream");
    assert!(matches!(fault, Fault::ResourceNotFound(_)), "{fault:?}");
    let new = broker.put("events", "bmV3").await;
    assert!(new > old, "{new} does not lie above {old}");
    let after_old = json!({
        "StreamName": "events", "ShardId": "shardId-000000000000",
        "ShardIteratorType": "AFTER_SEQUENCE_NUMBER", "StartingSequenceNumber": old,
    });
    let fault = broker.call("GetShardIterator", after_old).await.expect_err("a number of the namesake");
    assert!(matches!(fault, Fault::InvalidPosition(_)), "{fault:?}");
    broker.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_late_driver_opens_nothing_of_a_stream_that_is_gone() {
    use tidelog_proto::stored::{OpenShards, SealAndOpen, data_command::Command};
    use tidelog_storage::shard::ShardKey;
    let directory = tempfile::tempdir().expect("a directory");
    let mut broker = Broker::start(directory.path(), START_MS).await;
    broker.create("events").await;
    let stream = broker.node.service().catalog().streams().values().next().expect("a stream").clone();
    let (uid, group) = (stream.uid, stream.shards[0].group);
    broker.ok("DeleteStream", json!({"StreamName": "events"})).await;
    for start in 0..2 {
        for late in [
            Command::OpenShards(OpenShards { uid, shards: vec![0] }),
            Command::SealAndOpen(SealAndOpen { uid, sealed: vec![0], opened: vec![1, 2] }),
        ] {
            broker.node.service().groups().proposals().propose_data(group, late).await.expect("an outcome");
        }
        let service = broker.node.service();
        let is_there = |shard| service.groups().shard(ShardKey { stream_uid: uid, shard }).is_some();
        assert!(!(0..3).any(is_there), "after start {start}");
        drop(service);
        // The next start has it from a checkpoint.
        broker.stop().await;
        broker = Broker::start(directory.path(), START_MS).await;
    }
    // Another one is another one.
    broker.create("events").await;
    broker.put("events", "eW91bmc=").await;
    broker.stop().await;
}
