//! The time of a synced commit: the floor under every put.

use std::sync::Arc;
use std::time::Instant;

use bytes::Bytes;
use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use tidelog_storage::disk::RealDisk;
use tidelog_storage::wal::{LogPosition, Wal, WalOp, WalOptions};

fn synced_commits(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("synced commit");
    for bytes in [1 << 10, 64 << 10, 1 << 20] {
        let directory = tempfile::tempdir().expect("a directory");
        let (mut wal, _, _) =
            Wal::open(Arc::new(RealDisk), &directory.path().join("wal"), WalOptions::default())
                .expect("a new log");
        let spares = wal.spare_files();
        let payload = Bytes::from(vec![7; bytes]);
        let mut index = 0;
        let started = Instant::now();
        group.throughput(Throughput::Bytes(bytes as u64));
        group.bench_function(BenchmarkId::from_parameter(bytes), |bencher| {
            bencher.iter(|| {
                index += 1;
                let position = LogPosition { term: 1, index };
                let append = WalOp::Append { group: 1, position, payload: vec![payload.clone()] };
                wal.commit_at_time(&[append], started.elapsed()).expect("a commit");
                if index % 1_024 == 0 {
                    wal.commit(&[WalOp::Purge { group: 1, upto: position }]).expect("a purge");
                    while spares.prepare().expect("spare files") {}
                }
            });
        });
    }
}

criterion_group!(benches, synced_commits);
criterion_main!(benches);
