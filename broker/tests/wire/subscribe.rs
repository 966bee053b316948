//! SubscribeToShard at the wire, over HTTP/1.1 and HTTP/2: the messages that a subscriber gets, when, and how the
//! stream ends.

use std::time::{Duration, Instant};

use serde_json::{Value, json};
use tidelog::limits::ShardLimits;
use tidelog::service::Pace;
use tidelog::wire::Bounds;

use crate::scene::{HTTP1_AND_2, STREAM, Scene, at, horizon, latest};
use tidelog_testkit::subscriber::{Received, Subscriber, call};

#[tokio::test]
async fn a_record_is_pushed_as_it_is_put() {
    for is_http2 in HTTP1_AND_2 {
        let scene = Scene::new().await;
        let mut subscriber = scene.subscribe(is_http2, "a", latest()).await;
        let mut waits = Vec::new();
        for data in ["one", "two", "three", "four", "five"] {
            let put = Instant::now();
            let number = scene.put(data).await;
            let event = subscriber.event().await;
            waits.push(put.elapsed());
            assert_eq!((event.data(), event.numbers()), (vec![data.to_owned()], vec![number.clone()]));
            assert_eq!(event.payload["MillisBehindLatest"], 0);
            assert!(event.continuation().unwrap() > &*number);
            assert!(event.payload.get("ChildShards").is_none());
        }
        waits.sort_unstable();
        assert!(waits[2] < Duration::from_millis(250), "pushed, not polled: {waits:?}");
        drop(subscriber);
        scene.broker.stop().await;
    }
}

#[tokio::test]
async fn subscribers_of_one_shard_are_given_the_same_and_a_late_one_everything() {
    let scene = Scene::new().await;
    let mut early = scene.subscribe(false, "a", horizon()).await;
    let mut numbers = Vec::new();
    for round in 0..20 {
        numbers.push(scene.put(&format!("{round}")).await);
    }
    let mut late = scene.subscribe(true, "b", horizon()).await;
    for subscriber in [&mut early, &mut late] {
        let mut found = Vec::new();
        while found.len() < numbers.len() {
            found.extend(subscriber.event().await.numbers());
        }
        assert_eq!(found, numbers);
    }
    drop((early, late));
    scene.broker.stop().await;
}

#[tokio::test]
async fn a_quiet_subscription_has_empty_events_and_then_ends() {
    let (pause, life) = (Duration::from_millis(100), Duration::from_millis(1_050));
    let pace = Pace { pause, life, ..Pace::default() };
    for is_http2 in HTTP1_AND_2 {
        let scene = Scene::with(pace, ShardLimits::aws()).await;
        scene.put("before").await;
        let began = Instant::now();
        let mut subscriber = scene.subscribe(is_http2, "a", latest()).await;
        let mut events = 0;
        while let Some(told) = subscriber.next_message().await {
            let Received::Event(event) = told else { panic!("{told:?}") };
            assert_eq!((event.numbers().len(), &event.payload["MillisBehindLatest"]), (0, &json!(0)));
            assert!(event.continuation().is_some());
            events += 1;
        }
        assert!((3..=10).contains(&events), "{events}");
        assert!(began.elapsed() >= pace.life);
        scene.broker.stop().await;
    }
}

#[tokio::test]
async fn a_continuation_goes_on_where_the_last_event_ended() {
    let scene = Scene::new().await;
    let first = scene.put("first").await;
    let mut subscriber = scene.subscribe(false, "a", at("AT_SEQUENCE_NUMBER", &first)).await;
    let continuation = subscriber.event().await.continuation().unwrap().to_owned();
    drop(subscriber);
    let second = scene.put("second").await;
    for kind in ["AT_SEQUENCE_NUMBER", "AFTER_SEQUENCE_NUMBER"] {
        scene.pass(5_000);
        let mut subscriber = scene.subscribe(true, "a", at(kind, &continuation)).await;
        assert_eq!(subscriber.event().await.numbers(), vec![second.clone()], "{kind}");
        let iterator = json!({
            "StreamName": "S", "ShardId": "shardId-0", "ShardIteratorType": kind,
            "StartingSequenceNumber": continuation,
        });
        let iterator = scene.call("GetShardIterator", iterator).await;
        let read = scene.call("GetRecords", json!({"ShardIterator": iterator["ShardIterator"]})).await;
        assert_eq!(read["Records"][0]["SequenceNumber"], second, "{kind}");
    }
    scene.broker.stop().await;
}

#[tokio::test]
async fn a_later_subscription_takes_over() {
    for is_http2 in HTTP1_AND_2 {
        let scene = Scene::new().await;
        let mut first = scene.subscribe(is_http2, "a", latest()).await;
        let input = scene.input("a", latest()).await;
        for _ in 0..2 {
            let (status, answer) = call(scene.address(), "SubscribeToShard", &input).await;
            assert_eq!((status, &answer["__type"]), (400, &json!("ResourceInUseException")), "{answer}");
        }
        // Another consumer has a subscription of its own.
        let _other = scene.subscribe(is_http2, "b", latest()).await;
        scene.pass(5_000);
        let mut second = Subscriber::begin(scene.address(), is_http2, &input).await;
        first.assert_ends_with("ResourceInUseException").await;
        scene.put("x").await;
        assert_eq!(second.event().await.data(), ["x"]);
        scene.broker.stop().await;
    }
}

#[tokio::test]
async fn a_deletion_ends_the_subscriptions() {
    for (operation, input) in [
        ("DeregisterStreamConsumer", json!({"StreamARN": STREAM, "ConsumerName": "a"})),
        ("DeleteStream", json!({"StreamName": "S", "EnforceConsumerDeletion": true})),
    ] {
        let scene = Scene::new().await;
        let mut subscriber = scene.subscribe(true, "a", horizon()).await;
        scene.call(operation, input).await;
        subscriber.assert_ends_with("ResourceNotFoundException").await;
        scene.broker.stop().await;
    }
}

#[tokio::test]
async fn a_closed_shard_is_given_to_its_end_and_names_its_children() {
    for is_http2 in HTTP1_AND_2 {
        let scene = Scene::new().await;
        let number = scene.put("last").await;
        let mut open = scene.subscribe(is_http2, "a", horizon()).await;
        assert_eq!(open.event().await.numbers(), [number]);
        let middle = (1u128 << 127).to_string();
        let split = json!({"StreamName": "S", "ShardToSplit": "shardId-0", "NewStartingHashKey": middle});
        scene.call("SplitShard", split).await;
        let mut closed = scene.subscribe(is_http2, "b", latest()).await;
        for subscriber in [&mut open, &mut closed] {
            let end = subscriber.event().await;
            assert_eq!((end.numbers().len(), end.continuation()), (0, None), "{end:?}");
            let children = end.payload["ChildShards"].as_array().unwrap();
            let ids = children.iter().map(|child| child["ShardId"].as_str().unwrap()).collect::<Vec<_>>();
            assert_eq!(ids, ["shardId-000000000001", "shardId-000000000002"]);
            assert!(subscriber.next_message().await.is_none(), "the stream ends");
        }
        scene.broker.stop().await;
    }
}

#[tokio::test]
async fn a_consumer_is_limited_to_its_share() {
    let limits = ShardLimits { fanout_bytes_per_second: Some(1_000), ..ShardLimits::aws() };
    let scene = Scene::with(Pace { pause: Duration::from_millis(100), ..Pace::default() }, limits).await;
    let mut subscriber = scene.subscribe(false, "a", horizon()).await;
    scene.put(&"x".repeat(3_000)).await;
    assert_eq!(subscriber.event().await.numbers().len(), 1);
    scene.put("held").await;
    let waiting = subscriber.event().await;
    assert_eq!(waiting.numbers().len(), 0);
    scene.pass(2_002);
    let mut found = Vec::new();
    while found.is_empty() {
        found = subscriber.event().await.data();
    }
    assert_eq!(found, ["held"]);
    scene.broker.stop().await;
}

#[tokio::test]
async fn a_stopping_broker_ends_its_subscriptions_at_once() {
    for is_http2 in HTTP1_AND_2 {
        let scene = Scene::new().await;
        let mut subscriber = scene.subscribe(is_http2, "a", latest()).await;
        let began = Instant::now();
        let end = tokio::spawn(async move { subscriber.next_message().await.is_none() });
        scene.broker.stop().await;
        assert!(began.elapsed() < Bounds::default().drain / 2, "{:?}", began.elapsed());
        assert!(end.await.unwrap(), "it ends without an exception");
    }
}

#[tokio::test]
async fn faults_at_the_beginning_are_ordinary_answers() {
    let scene = Scene::new().await;
    let good = scene.input("a", latest()).await;
    let with = |member: &str, value: Value| {
        let mut input = good.clone();
        input[member] = value;
        input
    };
    let gone = good["ConsumerARN"].as_str().unwrap().replace("consumer/a", "consumer/c");
    for (input, expected) in [
        (with("ConsumerARN", gone.into()), "ResourceNotFoundException"),
        (with("ConsumerARN", "x".into()), "ValidationException"),
        (with("ShardId", "shardId-000000000009".into()), "ResourceNotFoundException"),
        (with("StartingPosition", at("AT_SEQUENCE_NUMBER", "5")), "InvalidArgumentException"),
        (with("StartingPosition", json!({"Type": "AFTER_SEQUENCE_NUMBER"})), "InvalidArgumentException"),
        (with("StartingPosition", json!({"Type": "AT_TIMESTAMP"})), "InvalidArgumentException"),
        (with("StartingPosition", json!({})), "ValidationException"),
        (with("DryRun", true.into()), "DryRunOperationException"),
    ] {
        let (status, answer) = call(scene.address(), "SubscribeToShard", &input).await;
        assert_eq!((status, &answer["__type"]), (400, &json!(expected)), "{input}");
    }
    // None of them took over the subscription; a StreamId is accepted.
    let mut subscriber =
        Subscriber::begin(scene.address(), false, &with("StreamId", "abcdefghijklmnopqrst-abc".into())).await;
    let answer = call(scene.address(), "SubscribeToShard", &with("DryRun", true.into())).await;
    assert_eq!(answer.1["__type"], "ResourceInUseException");
    scene.put("x").await;
    assert_eq!(subscriber.event().await.data(), ["x"]);
    scene.broker.stop().await;
}
