//! Clients that take their answers slowly or not at all, and what the broker keeps for them.

use std::time::{Duration, Instant};

use hyper::body::Body;
use serde_json::json;
use tidelog::limits::ShardLimits;
use tidelog::service::Pace;
use tidelog::wire::Bounds;

use crate::scene::{HTTP1_AND_2, Scene, horizon, latest};
use crate::subscriber::{post, take_all};

#[tokio::test]
async fn who_finds_no_room_for_records_has_empty_events_until_another_is_done_with_its_own() {
    for is_http2 in HTTP1_AND_2 {
        // Room for one event of any size.
        let pace = Pace { pause: Duration::from_millis(200), run_bytes_in_flight_max: 0, ..Pace::default() };
        let scene = Scene::with(pace, ShardLimits::off()).await;
        scene.put_3_records_of_10_mb().await;
        let idle = scene.subscribe(is_http2, "a", horizon()).await;
        let mut other = scene.subscribe(is_http2, "b", horizon()).await;
        assert_eq!(other.event().await.numbers().len(), 1, "the one that both have");
        for _ in 0..3 {
            assert_eq!(other.event().await.numbers().len(), 0);
        }
        drop(idle);
        while other.event().await.numbers().is_empty() {}
        drop(other);
        scene.broker.stop().await;
    }
}

#[tokio::test]
async fn a_client_that_takes_nothing_is_cut_and_a_slow_one_is_not() {
    for is_http2 in HTTP1_AND_2 {
        let stall = Duration::from_millis(400);
        let bounds = Bounds { stall, ..Bounds::default() };
        let scene = Scene::bounded(bounds, ShardLimits::off()).await;
        // More than the buffers of the kernel on both sides take.
        let large = "x".repeat(1_000_000);
        for _ in 0..32 {
            scene.put(&large).await;
        }
        let mut slow = scene.subscribe(is_http2, "a", horizon()).await;
        let mut idle = scene.subscribe(is_http2, "b", horizon()).await;
        let began = Instant::now();
        let mut given = 0;
        while given < 32 {
            tokio::time::sleep(stall / 8).await;
            given += slow.event().await.numbers().len();
        }
        assert!(began.elapsed() > stall * 2);
        assert!(idle.take_all().await < 32 * large.len(), "its rest was never sent");
        drop(slow);
        scene.broker.stop().await;
    }
}

#[tokio::test]
async fn who_takes_little_is_cut_in_the_middle_of_an_event_when_it_is_over() {
    let (stall, life) = (Duration::from_millis(1_500), Duration::from_millis(500));
    for is_http2 in HTTP1_AND_2 {
        for is_taken_over in [false, true] {
            let subscriptions =
                if is_taken_over { Pace::default() } else { Pace { life, ..Pace::default() } };
            let bounds = Bounds { stall, subscriptions, ..Bounds::default() };
            let scene = Scene::bounded(bounds, ShardLimits::off()).await;
            scene.put_3_records_of_10_mb().await;
            let mut slow = scene.subscribe(is_http2, "a", horizon()).await;
            scene.pass(5_000);
            let later = if is_taken_over { "a" } else { "b" };
            let _later = scene.subscribe(is_http2, later, latest()).await;
            assert!(!slow.dawdle(life * 2 + stall).await, "{is_http2} {is_taken_over}");
            scene.broker.stop().await;
        }
    }
}

#[tokio::test]
async fn a_complete_answer_that_nobody_takes_is_cut_and_a_slow_one_is_not() {
    let stall = Duration::from_millis(400);
    let scene = Scene::bounded(Bounds { stall, ..Bounds::default() }, ShardLimits::off()).await;
    let large = "x".repeat(1_000_000);
    for _ in 0..8 {
        scene.put(&large).await;
    }
    let horizon = json!({"StreamName": "S", "ShardId": "shardId-0", "ShardIteratorType": "TRIM_HORIZON"});
    let iterator = scene.call("GetShardIterator", horizon).await;
    let read = json!({"ShardIterator": iterator["ShardIterator"]});
    let ask = async || post(scene.address(), true, "GetRecords", &read).await.into_body();
    let (mut slow, mut idle) = (ask().await, ask().await);
    let length = slow.size_hint().exact().expect("a length") as usize;
    assert_eq!(idle.size_hint().exact(), Some(length as u64));
    assert!(length > 8 * large.len());
    let began = Instant::now();
    assert_eq!(take_all(&mut slow, stall / 40).await, length);
    assert!(began.elapsed() > stall * 2);
    assert!(take_all(&mut idle, Duration::ZERO).await < length, "its rest was never sent");
    drop((slow, idle));
    scene.broker.stop().await;
}
