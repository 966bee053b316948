//! Rates, quotas and delays of the control plane.

use std::time::{Duration, Instant};

use serde_json::{Value, json};
use tidelog::limits::{ControlLimits, ShardLimits};
use tidelog::ops::Fault;
use tidelog::service::Transitions;

use crate::START_MS;
use crate::broker::{Broker, said};

/// How many of `count` calls are let through; the others are refused by that exception and that sentence.
async fn passed(
    broker: &Broker,
    operation: &str,
    body: &Value,
    count: usize,
    refusal: &(&'static str, String),
) -> usize {
    let mut passed = 0;
    for _ in 0..count {
        match broker.call(operation, body.clone()).await {
            // Found or not: it was let through.
            Ok(_) | Err(Fault::ResourceNotFound(_) | Fault::ResourceInUse(_)) => passed += 1,
            refused => assert_eq!(said(refused), *refusal, "{operation}"),
        }
    }
    passed
}

#[tokio::test]
async fn a_call_too_many_of_a_second_is_refused_in_aws_words() {
    let directory = tempfile::tempdir().unwrap();
    let broker = Broker::start_with(directory.path(), START_MS, |config| {
        config.control_limits = ControlLimits::aws();
    })
    .await;
    let of_stream =
        ("LimitExceededException", "Rate exceeded for stream a under account 000000000000.".to_owned());
    let of_account = ("LimitExceededException", "Rate exceeded for account 000000000000.".to_owned());
    for (operation, body, rate, refusal) in [
        ("CreateStream", json!({"StreamName": "a", "ShardCount": 1}), 5, &of_stream),
        ("DescribeLimits", json!({}), 1, &of_account),
        ("ListStreams", json!({}), 5, &of_account),
        ("DescribeStream", json!({"StreamName": "a"}), 10, &of_stream),
        ("DescribeStreamSummary", json!({"StreamName": "a"}), 20, &of_stream),
        ("ListShards", json!({"StreamName": "a"}), 1_000, &of_stream),
        ("DeleteStream", json!({"StreamName": "a"}), 5, &of_stream),
    ] {
        assert_eq!(passed(&broker, operation, &body, rate + 3, refusal).await, rate, "{operation}");
    }
    broker.pass(1_000);
    assert_eq!(passed(&broker, "DescribeLimits", &json!({}), 2, &of_account).await, 1);
    // A request that is invalid by itself is refused as such, and not counted.
    for _ in 0..7 {
        let refused = broker.call("ListStreams", json!({"Limit": 0})).await;
        assert!(matches!(refused, Err(Fault::Validation(_))), "{refused:?}");
    }
    broker.ok("ListStreams", json!({})).await;
    broker.stop().await;
}

#[tokio::test]
async fn a_subscription_too_soon_after_another_is_refused_and_one_after_a_failure_is_counted() {
    let directory = tempfile::tempdir().unwrap();
    let broker = Broker::start_with(directory.path(), START_MS, |config| {
        config.control_limits = ControlLimits::aws();
    })
    .await;
    broker.create("a").await;
    let stream = "arn:aws:kinesis:us-east-1:000000000000:stream/a";
    let register = json!({"StreamARN": stream, "ConsumerName": "app"});
    let consumer = broker.ok("RegisterStreamConsumer", register).await["Consumer"]["ConsumerARN"].clone();
    let good =
        json!({"ConsumerARN": consumer, "ShardId": "shardId-0", "StartingPosition": {"Type": "LATEST"}});
    let mut bad = good.clone();
    bad["StartingPosition"] = json!({"Type": "AT_TIMESTAMP"});
    // Held, as clients do: a subscription that was left is one that was made as well.
    let mut held = Vec::new();
    for (after_ms, input, expected) in [
        (0, &bad, "InvalidArgument"),
        (999, &bad, "LimitExceeded"),
        (0, &good, "LimitExceeded"),
        (1, &good, "begun"),
        (0, &good, "ResourceInUse"),
        (1, &bad, "ResourceInUse"),
        (4_998, &good, "ResourceInUse"),
        (1, &good, "begun"),
        (0, &good, "ResourceInUse"),
    ] {
        broker.pass(after_ms);
        let found = match broker.reply(("000000000000", "us-east-1"), "SubscribeToShard", input.clone()).await
        {
            Ok(reply) => {
                held.push(reply);
                "begun"
            }
            Err(Fault::InvalidPosition(_)) => "InvalidArgument",
            Err(Fault::LimitExceeded(_)) => "LimitExceeded",
            Err(Fault::ResourceInUse(_)) => "ResourceInUse",
            Err(fault) => panic!("{fault:?}"),
        };
        assert_eq!(found, expected, "{after_ms} ms later: {input}");
    }
    drop(held);
    broker.stop().await;
}

#[tokio::test]
async fn without_limits_nothing_is_refused() {
    let directory = tempfile::tempdir().unwrap();
    let broker = Broker::start(directory.path(), START_MS).await;
    for index in 0..12 {
        broker.create(&format!("s{index}")).await;
        broker.ok("DescribeLimits", json!({})).await;
        broker.iterator("s0").await;
    }
    broker.stop().await;
}

#[tokio::test]
async fn iterators_have_the_rate_of_their_shard() {
    let directory = tempfile::tempdir().unwrap();
    let broker =
        Broker::start_with(directory.path(), START_MS, |config| config.limits = ShardLimits::aws()).await;
    broker.create("a").await;
    let words = "Rate exceeded for shard shardId-000000000000 in stream a under account 000000000000.";
    let refusal = ("ProvisionedThroughputExceededException", words.to_owned());
    let body = json!({"StreamName": "a", "ShardId": "shardId-000000000000", "ShardIteratorType": "LATEST"});
    assert_eq!(passed(&broker, "GetShardIterator", &body, 8, &refusal).await, 5);
    broker.pass(200);
    assert_eq!(passed(&broker, "GetShardIterator", &body, 2, &refusal).await, 1);
    broker.stop().await;
}

#[tokio::test]
async fn five_streams_may_be_creating_at_a_time() {
    let directory = tempfile::tempdir().unwrap();
    let broker = Broker::start_with(directory.path(), START_MS, |config| {
        config.control_limits =
            ControlLimits { rates: false, on_demand_streams_max: Some(1), ..ControlLimits::aws() };
        config.transitions.create_stream = Duration::from_secs(600);
    })
    .await;
    broker.ok("CreateStream", json!({"StreamName": "on-demand"})).await;
    let refused = broker.call("CreateStream", json!({"StreamName": "b"})).await;
    let (name, text) = said(refused);
    assert!(name == "LimitExceededException" && text.contains("1 on-demand"), "{name}: {text}");
    for index in 0..4 {
        broker.create(&format!("s{index}")).await;
    }
    let refused = broker.call("CreateStream", json!({"StreamName": "s4", "ShardCount": 1})).await;
    let (name, text) = said(refused);
    assert!(name == "LimitExceededException" && text.contains("5 streams"), "{name}: {text}");
    broker.ok("DeleteStream", json!({"StreamName": "s0"})).await;
    broker.create("s4").await;
    broker.stop().await;
}

/// The status of stream `a`; `None` when it is gone.
async fn status(broker: &Broker) -> Option<String> {
    match broker.call("DescribeStreamSummary", json!({"StreamName": "a"})).await {
        Ok(summary) => summary["StreamDescriptionSummary"]["StreamStatus"].as_str().map(str::to_owned),
        Err(Fault::ResourceNotFound(_)) => None,
        Err(fault) => panic!("{fault:?}"),
    }
}

/// The time until stream `a` has left `state`, which it is in.
async fn left(broker: &Broker, state: &str) -> Duration {
    let began = Instant::now();
    assert_eq!(status(broker).await.as_deref(), Some(state));
    while status(broker).await.as_deref() == Some(state) {
        assert!(began.elapsed() < Duration::from_secs(20), "still {state}");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    began.elapsed()
}

#[tokio::test]
async fn changes_take_as_long_as_configured() {
    let directory = tempfile::tempdir().unwrap();
    let delay = Duration::from_millis(400);
    let broker =
        Broker::start_with(directory.path(), START_MS, |config| config.transitions = Transitions::all(delay))
            .await;
    // A little less than the delay: it begins before the first look.
    let least = delay / 2;
    broker.create("a").await;
    assert!(left(&broker, "CREATING").await > least);
    let split = json!({
        "StreamName": "a",
        "ShardToSplit": "shardId-000000000000",
        "NewStartingHashKey": "170141183460469231731687303715884105728",
    });
    broker.ok("SplitShard", split).await;
    broker.put("a", "AAAA").await;
    assert!(left(&broker, "UPDATING").await > least);
    broker.ok("DeleteStream", json!({"StreamName": "a"})).await;
    assert!(left(&broker, "DELETING").await > least);
    assert_eq!(status(&broker).await, None);
    broker.stop().await;
}

#[tokio::test]
async fn a_delay_keeps_neither_a_deletion_nor_a_stop_waiting() {
    let directory = tempfile::tempdir().unwrap();
    let began = Instant::now();
    let slow = |config: &mut tidelog::node::NodeConfig| {
        config.transitions.create_stream = Duration::from_secs(600);
    };
    let broker = Broker::start_with(directory.path(), START_MS, slow).await;
    broker.create("a").await;
    broker.ok("DeleteStream", json!({"StreamName": "a"})).await;
    assert_eq!(status(&broker).await, None);
    broker.create("a").await;
    broker.stop().await;
    // The change under way goes on, now without a delay.
    let broker = Broker::start(directory.path(), START_MS).await;
    while status(&broker).await.as_deref() == Some("CREATING") {
        assert!(began.elapsed() < Duration::from_secs(60));
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    assert_eq!(status(&broker).await.as_deref(), Some("ACTIVE"));
    broker.stop().await;
}
