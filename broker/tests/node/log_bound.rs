//! The bound of the write-ahead log: puts wait for checkpoints there, and a start gets away from it.

use std::time::{Duration, Instant};

use base64_simd::STANDARD;
use futures_util::future::join_all;
use serde_json::{Value, json};
use tidelog::replication::Sizes;
use tokio::runtime::Builder;
use tokio::time::sleep;

use crate::START_MS;
use crate::broker::Broker;
use crate::cluster::Cluster;

/// Longer than anything takes that goes well.
const PATIENCE: Duration = Duration::from_secs(60);
const MIB: usize = 1 << 20;

/// A log of small files whose bound is 16 MiB.
fn small() -> Sizes {
    Sizes {
        wal_file_bytes: 4 << 20,
        wal_first_file_bytes: 1 << 20,
        wal_live_bytes_max: 16 << 20,
        wal_live_bytes_max_in_cluster: 16 << 20,
        ..Sizes::default()
    }
}

fn put(number: usize, bytes: usize) -> Value {
    let data = STANDARD.encode_to_string(vec![number as u8; bytes]);
    json!({"StreamName": "events", "PartitionKey": format!("key-{number}"), "Data": data})
}

#[tokio::test(flavor = "multi_thread")]
async fn puts_wait_for_checkpoints_at_the_bound_and_none_fails() {
    let directory = tempfile::tempdir().expect("a directory");
    let broker = Broker::start_with(directory.path(), START_MS, |config| config.sizes = small()).await;
    broker.create("events").await;
    for round in 0..20 {
        join_all((0..4).map(|at| broker.ok("PutRecord", put(4 * round + at, MIB / 2)))).await;
    }
    assert_eq!(broker.node.service().put_refusal(), None);
    broker.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn puts_wait_in_a_cluster_too() {
    let cluster = Cluster::start_with(|config| config.sizes = small()).await;
    cluster.create_stream(0, "events", 3).await;
    for round in 0..20 {
        join_all((0..3).map(|at| cluster.ok(at, "PutRecord", put(3 * round + at, MIB / 2)))).await;
    }
    cluster.end().await;
}

#[test]
fn a_start_that_finds_much_of_the_log_checkpoints_at_once() {
    let directory = tempfile::tempdir().expect("a directory");
    let runtime = || Builder::new_multi_thread().worker_threads(2).enable_all().build().expect("a runtime");
    let roomy = || Sizes { wal_live_bytes_max: 1 << 30, ..small() };
    let life = runtime();
    let killed = life.block_on(async {
        let broker = Broker::start_with(directory.path(), START_MS, |config| config.sizes = roomy()).await;
        broker.create("events").await;
        for number in 0..14 {
            broker.ok("PutRecord", put(number, MIB / 2)).await;
        }
        assert!(broker.node.service().groups().disk().log_bound().live_bytes() > 6 * MIB as u64);
        broker
    });
    life.shutdown_timeout(Duration::from_secs(5));
    drop(killed);

    runtime().block_on(async {
        let broker = Broker::start_with(directory.path(), START_MS, |config| config.sizes = small()).await;
        let service = broker.node.service();
        let began = Instant::now();
        while service.groups().disk().log_bound().live_bytes() > 4 * MIB as u64 {
            assert!(began.elapsed() < PATIENCE, "the log is not checkpointed");
            sleep(Duration::from_millis(20)).await;
        }
        drop(service);
        broker.stop().await;
    });
}
