//! PutRecords below HTTP: parse, route, encode, replicate, sync, answer. One request at a time.

use std::sync::Arc;

use bytes::Bytes;
use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use tidelog::node::Node;
use tidelog::ops::api::Operation;
use tidelog::ops::{Call, Codec, dispatch};
use tidelog_proto::Document;
use tidelog_testkit::node as testkit;

fn call(codec: Codec, body: impl Into<Bytes>) -> Call {
    Call { codec, ..testkit::call(body) }
}

fn put_body(records: usize, record_bytes: usize, codec: Codec) -> Bytes {
    let record = |key| {
        let data = Document::Blob(vec![7; record_bytes].into());
        Document::structure([("Data", data), ("PartitionKey", format!("key-{key}").into())])
    };
    let records = (0..records).map(record).collect::<Vec<_>>();
    codec.encode(&Document::structure([("StreamName", "bench".into()), ("Records", records.into())])).into()
}

fn put_records(criterion: &mut Criterion) {
    let runtime = tokio::runtime::Runtime::new().expect("a runtime");
    let directory = tempfile::tempdir().expect("a directory");
    let config = testkit::unlimited(directory.path());
    let node = runtime.block_on(Node::start(config)).expect("a node");
    let service = node.service();
    let create = call(Codec::Json, r#"{"StreamName":"bench","ShardCount":8}"#);
    runtime.block_on(dispatch(&service, &create, Some(Operation::CreateStream))).expect("a stream");

    let mut group = criterion.benchmark_group("PutRecords of 1 KiB, 8 shards, synced");
    for (codec, records) in [(Codec::Json, 1), (Codec::Cbor, 1), (Codec::Json, 500), (Codec::Cbor, 500)] {
        let body = put_body(records, 1_024, codec);
        group.throughput(Throughput::Elements(records as u64));
        group.bench_function(BenchmarkId::new(format!("{codec:?}"), records), |bencher| {
            bencher.to_async(&runtime).iter(|| {
                let (service, put) = (Arc::clone(&service), call(codec, body.clone()));
                async move { dispatch(&service, &put, Some(Operation::PutRecords)).await.expect("an answer") }
            });
        });
    }
    group.finish();
    drop(service);
    runtime.block_on(node.shutdown()).expect("a checkpoint");
}

criterion_group!(benches, put_records);
criterion_main!(benches);
