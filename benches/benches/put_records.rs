//! PutRecords below HTTP: parse, route, encode, replicate, sync, answer. One request at a time.

use std::sync::Arc;

use bytes::Bytes;
use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use tidelog::clock::Clock;
use tidelog::limits::{ControlLimits, ShardLimits};
use tidelog::node::{Node, NodeConfig};
use tidelog::ops::{Call, Codec, dispatch};
use tidelog::replication::Durability;
use tidelog::service::{Pace, Transitions};

fn call(operation: &str, body: impl Into<Bytes>) -> Call {
    Call {
        operation: operation.into(),
        account: "000000000000".into(),
        region: "us-east-1".into(),
        codec: Codec::Json,
        body: body.into(),
    }
}

fn put_body(records: usize, record_bytes: usize) -> String {
    let data = base64_simd::STANDARD.encode_to_string(vec![7; record_bytes]);
    let entries: Vec<String> =
        (0..records).map(|key| format!(r#"{{"Data":"{data}","PartitionKey":"key-{key}"}}"#)).collect();
    format!(r#"{{"StreamName":"bench","Records":[{}]}}"#, entries.join(","))
}

fn put_records(criterion: &mut Criterion) {
    let runtime = tokio::runtime::Runtime::new().expect("a runtime");
    let directory = tempfile::tempdir().expect("a directory");
    let config = NodeConfig {
        data_dir: directory.path().to_owned(),
        limits: ShardLimits::off(),
        control_limits: ControlLimits::off(),
        transitions: Transitions::default(),
        pace: Pace::default(),
        durability: Durability::Fsync,
        clock: Clock::System,
    };
    let node = runtime.block_on(Node::start(config)).expect("a node");
    let service = node.service();
    let create = call("CreateStream", r#"{"StreamName":"bench","ShardCount":8}"#);
    runtime.block_on(dispatch(&service, create)).expect("a stream");

    let mut group = criterion.benchmark_group("PutRecords of 1 KiB, 8 shards, synced");
    for records in [1, 500] {
        let body = Bytes::from(put_body(records, 1_024));
        group.throughput(Throughput::Elements(records as u64));
        group.bench_function(BenchmarkId::from_parameter(records), |bencher| {
            bencher.to_async(&runtime).iter(|| {
                let (service, put) = (Arc::clone(&service), call("PutRecords", body.clone()));
                async move { dispatch(&service, put).await.expect("an answer") }
            });
        });
    }
    group.finish();
    drop(service);
    runtime.block_on(node.shutdown()).expect("a checkpoint");
}

criterion_group!(benches, put_records);
criterion_main!(benches);
