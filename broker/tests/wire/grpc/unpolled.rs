//! Clients that take nothing hold up nobody else: neither reads of files, nor puts.

use std::time::Duration;

use tidelog::limits::ShardLimits;
use tidelog::service::Pace;
use tidelog::wire::Bounds;
use tidelog_proto::v1::*;
use tokio::time::timeout;
use tonic::transport::Endpoint;

use super::*;
use crate::broker::{PATIENCE, get};

/// More than the shards of one call that are asked for records at a time, and than the reads of files that may be under
/// way on a node.
const SHARDS: u32 = 70;
/// The smallest window of HTTP/2 that any client may have to begin with.
const WINDOW_BYTES: u32 = 65_535;

/// A record in each of the shards that is larger than the window.
fn a_record_for_each_shard() -> Vec<NewRecord> {
    let record = |shard: u32| NewRecord {
        explicit_hash_key: Some((u128::MAX / u128::from(SHARDS) * u128::from(shard) + 7).to_string()),
        ..record("k", vec![b'x'; 100_000])
    };
    (0..SHARDS).map(record).collect()
}

#[tokio::test]
async fn a_subscriber_that_takes_nothing_holds_up_no_reads_of_files() {
    let grpc = Grpc::new(SHARDS).await;
    grpc.put(a_record_for_each_shard()).await;
    // Afterwards no record is in memory.
    let broker = grpc.broker.restart().await;
    let channel = channel(broker.address()).await;
    let grpc = Grpc { broker, channel };
    let endpoint = Endpoint::from_shared(format!("http://{}", grpc.broker.address())).unwrap();
    let slow = endpoint.initial_stream_window_size(WINDOW_BYTES).connect().await.unwrap();
    for way in ["one call", "calls"] {
        let mut taking_nothing = Vec::new();
        let mut slow = records(&slow);
        if way == "one call" {
            let request = SubscribeRequest { stream: "S".into(), from: at(horizon()), ..Default::default() };
            taking_nothing.push(slow.subscribe(request).await.unwrap().into_inner());
        } else {
            for shard in 0..SHARDS {
                let shards = vec![ShardPosition { shard_id: shard_id(shard), from: at(horizon()) }];
                let request = SubscribeRequest { stream: "S".into(), shards, ..Default::default() };
                taking_nothing.push(slow.subscribe(request).await.unwrap().into_inner());
            }
        }
        // The broker has begun to read by then; if it has not, the checks below hold all the more.
        tokio::time::sleep(Duration::from_millis(300)).await;
        for shard in [0, SHARDS - 1] {
            let reading = grpc.read(shard, horizon(), 1);
            let read = timeout(PATIENCE, reading).await.unwrap_or_else(|_| panic!("{way} holds up a read"));
            assert_eq!(data(&read).len(), 1);
        }
        drop(taking_nothing);
    }
    grpc.stop().await;
}

#[tokio::test]
async fn subscribers_that_take_nothing_leave_others_room_for_their_records() {
    const FEW_SHARDS: u32 = 8;
    let subscriptions = Pace { run_bytes_in_flight_max: 16 << 20, ..Pace::default() };
    let grpc =
        Grpc::with(FEW_SHARDS, Bounds { subscriptions, ..Bounds::default() }, ShardLimits::off()).await;
    for shard in 0..FEW_SHARDS {
        let hash = u128::MAX / u128::from(FEW_SHARDS) * u128::from(shard) + 7;
        let large =
            || NewRecord { explicit_hash_key: Some(hash.to_string()), ..record("k", vec![b'x'; 1_000_000]) };
        grpc.put(vec![large(), large()]).await;
    }
    let request = || SubscribeRequest { stream: "S".into(), from: at(horizon()), ..Default::default() };
    let mut taking_nothing = Vec::new();
    for _ in 0..4 {
        let endpoint = Endpoint::from_shared(format!("http://{}", grpc.broker.address())).unwrap();
        let slow = endpoint.initial_stream_window_size(WINDOW_BYTES).connect().await.unwrap();
        taking_nothing.push(records(&slow).subscribe(request()).await.unwrap().into_inner());
        // It has the room that it gets by then; if it has not, the checks below hold all the more.
        tokio::time::sleep(Duration::from_millis(300)).await;
    }
    let mut other = grpc.records().subscribe(request()).await.unwrap().into_inner();
    let given = async {
        loop {
            let message = other.message().await.unwrap().expect("it goes on");
            if let Some(subscribe_response::Event::Records(records)) = message.event
                && !records.records.is_empty()
            {
                return;
            }
        }
    };
    // Sooner than any of the others is disconnected.
    timeout(Duration::from_secs(12), given).await.expect("its records");
    let metrics = get(grpc.broker.address(), "/metrics").await.body;
    assert!(metrics.contains(r#"class="events""#), "{metrics}");
    drop((taking_nothing, other));
    grpc.stop().await;
}
