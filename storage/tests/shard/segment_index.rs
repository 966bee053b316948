//! The indexes of sealed segments: bounded in memory, right under concurrent readers, and an error where a mapping
//! would end the process.

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use crate::model::{ALL, Model, body, key, small_options};
use tidelog_storage::flusher::Flusher;
use tidelog_storage::shard::{ReadLimit, ShardError, ShardLog, ShardStore, StoreOptions};
use tidelog_storage::{Disk, RealDisk, SimDisk};

/// A shard of many sealed segments whose records are in files only.
fn sealed(
    disk: Arc<dyn Disk>,
    dir: PathBuf,
    options: StoreOptions,
) -> (Arc<ShardStore>, Arc<ShardLog>, Model) {
    let options = StoreOptions { tail_bytes_max: 0, ..options };
    let store = ShardStore::open(disk, dir, options, Vec::new()).expect("an empty directory");
    let log = store.create(key(0));
    let mut model = Model::default();
    for number in 0..120 {
        let (body, checksum) = body(number, 2, 1_500);
        model.apply(number * 10, body.clone());
        log.apply(number * 10, 2, body, checksum);
    }
    let mut flusher = Flusher::new(store.clone());
    flusher.checkpoint(vec![log.snapshot()]).expect("there is space");
    (store, log, model)
}

#[test]
fn a_sealed_file_that_shrinks_under_its_reader_is_an_error_and_no_signal() {
    let directory = tempfile::tempdir().expect("a temporary directory");
    let dir = directory.path().join("shards");
    let options = StoreOptions { segment_bytes: 1 << 20, ..small_options() };
    let (_store, log, _) =
        sealed(Arc::new(RealDisk), dir.clone(), StoreOptions { segment_age_ms: 1_000, ..options });
    let limit = ReadLimit { records: 1, bytes: usize::MAX };
    assert_eq!(log.read(1, limit).expect("whole").records.len(), 1);
    let path = dir.join(format!("{}/0/{:020}.seg", key(0).stream_uid, 1));
    let file = std::fs::OpenOptions::new().write(true).open(&path).expect("the file is there");
    file.set_len(4_096).expect("cut");
    assert_eq!(log.read(1, limit).expect("in the block that is left").records.len(), 1);
    let error = log.read(150, limit).expect_err("the frames are gone");
    assert!(matches!(error, ShardError::Damaged { .. }), "{error}");
    file.set_len(0).expect("cut");
    assert!(matches!(log.read(1, limit), Err(ShardError::Damaged { .. })));
}

#[test]
fn the_memory_of_open_segments_stays_within_its_bound_under_concurrent_readers() {
    for (open_files_max, index_bytes_max) in [(3, 1 << 20), (512, 2_000), (512, 600), (1, 0)] {
        let disk = Arc::new(SimDisk::new(1));
        let options =
            StoreOptions { segment_bytes: 20_000, open_files_max, index_bytes_max, ..small_options() };
        let (store, log, model) = sealed(disk, "/shards".into(), options);
        let is_done = AtomicBool::new(false);
        std::thread::scope(|scope| {
            let readers: Vec<_> = (0..4)
                .map(|reader| {
                    let (log, model) = (&log, &model);
                    scope.spawn(move || {
                        for from in [1, 60, 100, 7, 180].into_iter().cycle().skip(reader).take(20) {
                            model.check_reads(log, from, ReadLimit { records: 9, bytes: 100_000 });
                        }
                    })
                })
                .collect();
            let watcher = scope.spawn(|| {
                let mut most = 0;
                while !is_done.load(Ordering::Relaxed) {
                    most = most.max(store.index_bytes());
                    std::thread::yield_now();
                }
                most
            });
            readers.into_iter().for_each(|reader| reader.join().expect("every read is right"));
            is_done.store(true, Ordering::Relaxed);
            let most = watcher.join().expect("it only looks");
            assert!(most <= index_bytes_max, "{most} of {index_bytes_max}");
        });
        assert_eq!(log.read(1, ALL).expect("whole").records.len(), 240);
    }
}

#[test]
fn a_sector_that_cannot_be_read_costs_the_records_in_it_and_no_others() {
    let disk = Arc::new(SimDisk::new(1));
    let options = StoreOptions { segment_bytes: 1 << 20, ..small_options() };
    let (store, log, model) =
        sealed(disk.clone(), "/shards".into(), StoreOptions { segment_age_ms: 1_000, ..options });
    let path = PathBuf::from(format!("/shards/{}/0/{:020}.seg", key(0).stream_uid, 1));
    disk.make_unreadable(&path, 100_000..100_512);
    let before = log.read(1, ALL).expect("what stands before is whole");
    assert!((20..100).contains(&before.records.len()), "{}", before.records.len());
    assert!(before.records.iter().all(|record| model.is_same(record)));
    assert!(matches!(log.read(before.next_ordinal, ALL), Err(ShardError::Damaged { .. })));
    assert_eq!(store.damaged(), [(key(0), 1)]);
    disk.make_unreadable(&path, 0..0);
    model.check_reads(&log, 1, ALL);
}
