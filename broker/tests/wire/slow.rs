//! Clients that take their answers slowly or not at all, and the memory that the broker keeps for them.

use std::time::{Duration, Instant};

use hyper::body::Body;
use hyper::client::conn::http2;
use hyper_util::rt::{TokioExecutor, TokioIo};
use serde_json::json;
use tidelog::limits::ShardLimits;
use tidelog::room::{Class, Shares};
use tidelog::service::Pace;
use tidelog::wire::Bounds;
use tokio::net::TcpStream;
use tokio::time::timeout;

use crate::broker::PATIENCE;
use crate::scene::{HTTP1_AND_2, Scene, horizon, latest};
use tidelog_testkit::subscriber::{post, request, take_all};

#[tokio::test]
async fn a_subscriber_without_room_gets_empty_events_until_there_is_room() {
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
async fn a_slow_client_is_disconnected_in_the_middle_of_an_event_after_the_end() {
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

/// A scene with that many MiB for answers, whose stream has 8 MB of records, and a request that reads them.
async fn with_8_mb(answers_mib: usize, pace: Duration) -> (Scene, serde_json::Value) {
    let memory = Shares::default().with(Class::Answers, answers_mib << 20);
    let bounds = Bounds { memory, pace, ..Bounds::default() };
    let scene = Scene::bounded(bounds, ShardLimits::off()).await;
    let large = "x".repeat(1_000_000);
    for _ in 0..8 {
        scene.put(&large).await;
    }
    let horizon = json!({"StreamName": "S", "ShardId": "shardId-0", "ShardIteratorType": "TRIM_HORIZON"});
    let iterator = scene.call("GetShardIterator", horizon).await;
    (scene, json!({"ShardIterator": iterator["ShardIterator"]}))
}

#[tokio::test]
async fn a_slow_reader_is_cut_while_answers_are_short_of_memory() {
    let pace = Duration::from_secs(5);
    let cut = HTTP1_AND_2.map(|is_http2| async move {
        // One answer of 11 MiB takes more than half of the 19 MiB that are neither reserved nor for small answers.
        let (scene, read) = with_8_mb(58, pace).await;
        let ask = async || post(scene.address(), is_http2, "GetRecords", &read).await.into_body();
        let mut slow = ask().await;
        let length = slow.size_hint().exact().expect("a length") as usize;
        assert!(length > 8_000_000);
        let mut steady = ask().await;
        let steady_length = steady.size_hint().exact().expect("a length") as usize;
        assert_eq!(take_all(&mut steady, Duration::from_millis(10)).await, steady_length);
        // Far from the time after which a client that takes nothing is disconnected in any case.
        tokio::time::sleep(pace * 5 / 2).await;
        assert!(take_all(&mut slow, Duration::ZERO).await < length, "HTTP/2: {is_http2}: it was never cut");
        scene.broker.stop().await;
    });
    futures_util::future::join_all(cut).await;
}

#[tokio::test]
async fn the_last_bytes_of_an_answer_are_charged_and_watched_until_they_are_taken() {
    let stall = Duration::from_millis(1_500);
    let bounds = Bounds { stall, ..Bounds::default() };
    let scene = Scene::bounded(bounds, ShardLimits::off()).await;
    scene.put(&"x".repeat(60_000)).await;
    let horizon = json!({"StreamName": "S", "ShardId": "shardId-0", "ShardIteratorType": "TRIM_HORIZON"});
    let iterator = scene.call("GetShardIterator", horizon).await;
    let read = json!({"ShardIterator": iterator["ShardIterator"]});
    // A window of one frame and a byte: all but the last frame goes, and a byte of that.
    let io = TokioIo::new(TcpStream::connect(scene.address()).await.unwrap());
    let (mut sender, connection) = http2::Builder::new(TokioExecutor::new())
        .initial_stream_window_size((64 << 10) + 1)
        .handshake(io)
        .await
        .unwrap();
    tokio::spawn(connection);
    let request = request(scene.address(), "GetRecords", &read);
    let mut answer = timeout(PATIENCE, sender.send_request(request)).await.unwrap().unwrap().into_body();
    let length = answer.size_hint().exact().expect("a length") as usize;
    assert!((70_000..120_000).contains(&length), "{length}");
    tokio::time::sleep(stall * 2).await;
    assert!(take_all(&mut answer, Duration::ZERO).await < length, "the stream was cut");
    scene.broker.stop().await;
}
