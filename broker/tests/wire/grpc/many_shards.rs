//! A subscription to more shards than are awake at a time, and the bound of all that are followed.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use tidelog_proto::v1::subscribe_response::Event;
use tidelog_proto::v1::*;

use super::subscribe::Subscriber;
use super::*;

/// Several times as many as are awake at a time.
const SHARDS: u32 = 300;

fn record_of(shard: u32, text: &str) -> NewRecord {
    let hash_key = u128::MAX / u128::from(SHARDS) * u128::from(shard) + u128::from(SHARDS);
    NewRecord { explicit_hash_key: Some(hash_key.to_string()), ..record("k", text) }
}

#[tokio::test]
async fn records_of_all_shards_come_though_few_are_awake() {
    let grpc = Grpc::new(SHARDS).await;
    let before: Vec<_> = (0..SHARDS).map(|shard| record_of(shard, "before")).collect();
    grpc.put(before).await;
    let request = SubscribeRequest {
        stream: "S".into(),
        consumer: "all".into(),
        from: at(horizon()),
        follow_reshards: true,
        ..Default::default()
    };
    let mut subscriber = Subscriber::begin(&grpc, request).await.unwrap();
    let mut shards = BTreeSet::new();
    while shards.len() < SHARDS as usize {
        let (shard, event) = subscriber.next().await.expect("it goes on");
        let Event::Records(records) = event else { panic!("no shard has ended") };
        if !records.records.is_empty() {
            assert_eq!(data(&[records]), ["before"]);
            assert!(shards.insert(shard), "each record comes once");
        }
    }
    // All sources are asleep now, and a record of any of them wakes its source at once.
    let mut waits = Vec::new();
    for shard in [0, SHARDS / 2, SHARDS - 1, 7, 8] {
        let put = Instant::now();
        let placed = grpc.put(vec![record_of(shard, "news")]).await;
        let (texts, ended) = subscriber.take(1).await;
        assert_eq!((texts, ended), (vec!["news".to_owned()], vec![]), "{placed:?}");
        waits.push(put.elapsed());
    }
    waits.sort();
    assert!(waits[2] < Duration::from_millis(500), "pushed, not polled: {waits:?}");
    // So does the end of a shard, and its children follow.
    let split = Instant::now();
    grpc.split(3).await;
    grpc.put(vec![record_of(3, "child")]).await;
    let (texts, ended) = subscriber.take(1).await;
    assert_eq!((texts, ended), (vec!["child".to_owned()], vec![shard_id(3)]));
    assert!(split.elapsed() < Duration::from_secs(15), "{:?}", split.elapsed());
    drop(subscriber);
    grpc.stop().await;
}
