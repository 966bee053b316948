//! Quotas and preconditions hold however many calls arrive at once.

use std::time::Duration;

use futures_util::future::join_all;
use serde_json::{Value, json};
use tidelog::limits::ControlLimits;
use tidelog::ops::Fault;

use crate::START_MS;
use crate::broker::Broker;

/// A broker whose quotas are those of AWS with these changes, without rates.
async fn broker(directory: &std::path::Path, limits: ControlLimits) -> Broker {
    let limits = ControlLimits { rates: false, ..limits };
    Broker::start_with(directory, START_MS, |config| config.control_limits = limits).await
}

/// The answers of calls that run at once.
async fn at_once(
    broker: &Broker,
    operation: &str,
    bodies: impl Iterator<Item = Value>,
) -> Vec<Result<Value, Fault>> {
    join_all(bodies.map(|body| broker.call(operation, body))).await
}

/// How many calls were let through; the others exceed a limit in words that contain these.
fn passed(answers: &[Result<Value, Fault>], words: &str) -> usize {
    let refused = |answer: &&Result<Value, Fault>| match answer {
        Ok(_) => false,
        Err(fault) => {
            assert!(matches!(fault, Fault::LimitExceeded(_) | Fault::InvalidArgument(_)), "{fault:?}");
            assert!(fault.exception().text().contains(words), "{fault:?}");
            true
        }
    };
    answers.len() - answers.iter().filter(refused).count()
}

#[tokio::test]
async fn concurrent_streams_keep_the_quota_of_shards() {
    let directory = tempfile::tempdir().unwrap();
    let broker =
        broker(directory.path(), ControlLimits { shards_max: Some(3), ..ControlLimits::aws() }).await;
    let create = |index| json!({"StreamName": format!("s{index}"), "ShardCount": 1});
    let answers = at_once(&broker, "CreateStream", (0..8).map(create)).await;
    let words = "This request would exceed the shard limit for the account 000000000000 in us-east-1. Current shard count \
                 for the account: 3. Limit: 3. Number of additional shards that would have resulted from this request: 1.";
    assert_eq!(passed(&answers, words), 3);
    broker.stop().await;
}

#[tokio::test]
async fn concurrent_streams_keep_the_quotas_of_streams() {
    let directory = tempfile::tempdir().unwrap();
    let limits = ControlLimits { on_demand_streams_max: Some(2), ..ControlLimits::aws() };
    let broker = Broker::start_with(directory.path(), START_MS, |config| {
        config.control_limits = ControlLimits { rates: false, ..limits };
        config.transitions.create_stream = Duration::from_secs(600);
    })
    .await;
    let on_demand = |index| json!({"StreamName": format!("o{index}")});
    let answers = at_once(&broker, "CreateStream", (0..5).map(on_demand)).await;
    assert_eq!(passed(&answers, "the limit of 2 on-demand streams"), 2);
    let create = |index| json!({"StreamName": format!("s{index}"), "ShardCount": 1});
    let answers = at_once(&broker, "CreateStream", (0..8).map(create)).await;
    assert_eq!(passed(&answers, "the limit of 5 streams in the CREATING state"), 3);
    let same = |_| json!({"StreamName": "o0", "ShardCount": 1});
    for answer in at_once(&broker, "CreateStream", (0..3).map(same)).await {
        assert!(matches!(&answer, Err(Fault::ResourceInUse(_))), "{answer:?}");
    }
    broker.stop().await;
}

#[tokio::test]
async fn concurrent_consumers_keep_their_quota() {
    let directory = tempfile::tempdir().unwrap();
    let limits = ControlLimits { creating_consumers_max: None, ..ControlLimits::aws() };
    let broker = broker(directory.path(), limits).await;
    broker.create("a").await;
    let register = |index| json!({"StreamARN": ARN, "ConsumerName": format!("c{index}")});
    let answers = at_once(&broker, "RegisterStreamConsumer", (0..40).map(register)).await;
    assert_eq!(passed(&answers, "Stream a under account 000000000000 has its 20 consumers already."), 20);
    broker.stop().await;
}

#[tokio::test]
async fn concurrent_tags_keep_their_quota() {
    let directory = tempfile::tempdir().unwrap();
    let broker = broker(directory.path(), ControlLimits::off()).await;
    broker.create("a").await;
    let tag = |index| json!({"StreamName": "a", "Tags": {format!("k{index}"): "v"}});
    let answers = at_once(&broker, "AddTagsToStream", (0..60).map(tag)).await;
    let words = "Failed to add tags to stream a under account 000000000000 because a given stream cannot have more than 50 \
                 tags associated with it.";
    assert_eq!(passed(&answers, words), 50);
    broker.stop().await;
}

#[tokio::test]
async fn a_reshard_in_transition_counts() {
    let directory = tempfile::tempdir().unwrap();
    let broker = Broker::start_with(directory.path(), START_MS, |config| {
        config.control_limits = ControlLimits { rates: false, shards_max: Some(4), ..ControlLimits::aws() };
        config.transitions.split_shard = Duration::from_secs(600);
    })
    .await;
    for name in ["a", "b", "c"] {
        broker.create(name).await;
    }
    let split = |name: &str| {
        json!({
            "StreamName": name,
            "ShardToSplit": "shardId-000000000000",
            "NewStartingHashKey": "170141183460469231731687303715884105728",
        })
    };
    let answers = at_once(&broker, "SplitShard", ["a", "b", "c"].into_iter().map(split)).await;
    assert_eq!(passed(&answers, "Current shard count for the account: 4. Limit: 4."), 1);
    let refused = broker.call("CreateStream", json!({"StreamName": "d", "ShardCount": 1})).await;
    assert!(matches!(&refused, Err(Fault::LimitExceeded(_))), "{refused:?}");
    broker.stop().await;
}

#[tokio::test]
async fn concurrent_changes_of_a_retention_never_shorten_one_that_was_to_grow() {
    let directory = tempfile::tempdir().unwrap();
    let broker = broker(directory.path(), ControlLimits::off()).await;
    for round in 0..10 {
        let name = format!("s{round}");
        broker.create(&name).await;
        let hours = [100, 30, 90, 40, 80, 50, 70, 60];
        let increase = |hours: u32| json!({"StreamName": name, "RetentionPeriodHours": hours});
        let answers =
            at_once(&broker, "IncreaseStreamRetentionPeriod", hours.into_iter().map(increase)).await;
        passed(&answers, "can not be shorter than existing retention period");
        let summary = broker.ok("DescribeStreamSummary", json!({"StreamName": name})).await;
        assert_eq!(summary["StreamDescriptionSummary"]["RetentionPeriodHours"], 100, "{answers:?}");
    }
    broker.stop().await;
}

#[tokio::test]
async fn concurrent_changes_of_shard_level_metrics_do_not_undo_each_other() {
    let directory = tempfile::tempdir().unwrap();
    let broker = broker(directory.path(), ControlLimits::off()).await;
    broker.create("a").await;
    let names = ["IncomingBytes", "IncomingRecords", "OutgoingBytes", "OutgoingRecords"];
    let enable = |name: &str| json!({"StreamName": "a", "ShardLevelMetrics": [name]});
    for answer in at_once(&broker, "EnableEnhancedMonitoring", names.into_iter().map(enable)).await {
        answer.expect("metrics are enabled");
    }
    let summary = broker.ok("DescribeStreamSummary", json!({"StreamName": "a"})).await;
    let enabled = &summary["StreamDescriptionSummary"]["EnhancedMonitoring"][0]["ShardLevelMetrics"];
    assert_eq!(*enabled, json!(names));
    broker.stop().await;
}

#[tokio::test]
async fn a_deletion_and_a_registration_at_once_do_not_both_pass() {
    let directory = tempfile::tempdir().unwrap();
    let broker = broker(directory.path(), ControlLimits::off()).await;
    for round in 0..20 {
        let name = format!("s{round}");
        broker.create(&name).await;
        let arn = format!("arn:aws:kinesis:us-east-1:000000000000:stream/{name}");
        let register = json!({"StreamARN": arn, "ConsumerName": "app"});
        let (deleted, registered) = tokio::join!(
            broker.call("DeleteStream", json!({"StreamName": name})),
            broker.call("RegisterStreamConsumer", register),
        );
        assert!(deleted.is_err() || registered.is_err(), "{name}: {deleted:?}, {registered:?}");
    }
    broker.stop().await;
}

const ARN: &str = "arn:aws:kinesis:us-east-1:000000000000:stream/a";
