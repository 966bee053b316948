//! One shard from memory to files and back: reads, times, trims, unlinking, a full disk and a failed sync.

use std::sync::Arc;

use crate::model::{ALL, Model, SHARDS, apply, body, checkpoint, key, open, segments_of, small_options};
use tidelog_storage::flusher::Flusher;
use tidelog_storage::shard::{Appended, ReadLimit, ShardError, ShardKey, ShardLog, ShardStore, StoreOptions};
use tidelog_storage::{Disk, RealDisk, SimDisk};

/// Applies batches of three records, a second apart, to a shard and its model.
fn fill(log: &ShardLog, model: &mut Model, batches: std::ops::Range<u64>, data_bytes: usize) {
    for seed in batches {
        let (body, checksum) = body(seed, 3, data_bytes);
        model.apply(seed * 1_000, body.clone());
        let appended = log.apply(seed * 1_000, 3, body, checksum);
        assert_eq!(appended.first_ordinal + 3, model.next_ordinal());
    }
}

fn check(log: &ShardLog, model: &Model) {
    for from in [0, 1, 5, model.next_ordinal() / 2, model.next_ordinal() + 3] {
        model.check_reads(log, from, ALL);
        model.check_reads(log, from, ReadLimit { records: 7, bytes: 10_000 });
        model.check_reads(log, from, ReadLimit { records: 100, bytes: 0 });
    }
    model.check_times(log);
}

#[test]
fn records_are_the_same_in_memory_flushed_and_evicted() {
    for options in [small_options(), StoreOptions { segment_bytes: 300_000, ..small_options() }] {
        let disk = SimDisk::new(1);
        let options = StoreOptions { segment_age_ms: 100_000, ..options };
        let store = open(&disk, options, Vec::new());
        let log = store.create(key(0));
        let mut flusher = Flusher::new(store.clone());
        let mut model = Model::default();
        check(&log, &model);
        fill(&log, &mut model, 1..40, 1_100);
        fill(&log, &mut model, 40..45, 24_000);
        check(&log, &model);
        assert!(log.read_memory(1, ALL).is_some());
        assert_eq!(store.tail_bytes(), 0);
        assert!(flusher.flush_some().expect("there is space") > 100_000);
        assert!(store.unflushed_bytes() < 4_096);
        assert!(store.tail_bytes() <= options.tail_bytes_max);
        assert!(log.read_memory(1, ALL).is_none(), "the oldest records are in files only");
        check(&log, &model);
        fill(&log, &mut model, 45..46, 10);
        assert_eq!(flusher.flush_some().expect("there is space"), 0, "too little to be worth a write");
        check(&log, &model);
    }
}

#[test]
fn time_never_goes_back() {
    let store = open(&SimDisk::new(2), small_options(), Vec::new());
    let log = store.create(key(0));
    let (body, checksum) = body(1, 1, 1);
    assert_eq!(log.apply(50, 1, body.clone(), checksum), Appended { first_ordinal: 1, time_ms: 50 });
    assert_eq!(log.apply(40, 1, body, checksum), Appended { first_ordinal: 2, time_ms: 50 });
    assert_eq!(log.bounds().last_time_ms, 50);
}

#[test]
fn files_below_the_trim_go_when_no_kept_checkpoint_needs_them() {
    let disk = SimDisk::new(3);
    let store = open(&disk, small_options(), Vec::new());
    let log = store.create(key(0));
    let mut flusher = Flusher::new(store.clone());
    let mut model = Model::default();
    fill(&log, &mut model, 1..40, 1_000);
    let logs = [log.clone()];
    checkpoint(&disk, &mut flusher, &logs, (1, 1)).expect("durable");
    assert_eq!(flusher.unlink().expect("unlinked"), 0);
    let before = segments_of(&disk, key(0));
    assert!(before.len() > 4);
    log.trim(60);
    model.trim(60);
    log.trim(50);
    check(&log, &model);
    assert_eq!(flusher.unlink().expect("unlinked"), 0, "no checkpoint carries the trim");
    checkpoint(&disk, &mut flusher, &logs, (2, 2)).expect("durable");
    flusher.unlink().expect("unlinked");
    assert_eq!(segments_of(&disk, key(0)), before, "the first checkpoint is kept and lists them");
    let shards = checkpoint(&disk, &mut flusher, &logs, (3, 3)).expect("durable");
    assert!(flusher.unlink().expect("unlinked") > 20_000);
    let after = segments_of(&disk, key(0));
    assert!(after.len() < before.len());
    check(&log, &model);
    // The last checkpoint was made before the files went: that they are missing is normal.
    let reopened = open(&disk, small_options(), shards.clone());
    check(&reopened.get(key(0)).expect("the shard is in the checkpoint"), &model);
    disk.remove_file(&crate::model::segment_path(key(0), &after[0])).expect("removed");
    let damaged = open(&disk, small_options(), shards);
    assert_eq!(damaged.damaged().len(), 1, "a file with readable records is missing");
}

#[test]
fn a_shard_that_is_trimmed_to_its_end_keeps_no_file() {
    let disk = SimDisk::new(4);
    let store = open(&disk, small_options(), Vec::new());
    let log = store.create(key(0));
    let mut flusher = Flusher::new(store.clone());
    let mut model = Model::default();
    fill(&log, &mut model, 1..20, 1_000);
    log.trim(u64::MAX);
    model.trim(u64::MAX);
    for sequence in 1..3 {
        checkpoint(&disk, &mut flusher, std::slice::from_ref(&log), (sequence, 1)).expect("durable");
        flusher.unlink().expect("unlinked");
    }
    assert_eq!(segments_of(&disk, key(0)), Vec::<String>::new());
    assert_eq!(store.unflushed_bytes(), 0);
    check(&log, &model);
    fill(&log, &mut model, 20..30, 1_000);
    checkpoint(&disk, &mut flusher, std::slice::from_ref(&log), (3, 1)).expect("durable");
    check(&log, &model);
}

#[test]
fn a_removed_stream_goes_after_two_checkpoints_without_it() {
    let disk = SimDisk::new(5);
    let store = open(&disk, small_options(), Vec::new());
    let (removed, stays) = (store.create(key(0)), store.create(key(1)));
    let mut flusher = Flusher::new(store.clone());
    for seed in 1..20 {
        apply(&removed, seed, seed, 2, 2_000);
        apply(&stays, seed, seed, 2, 2_000);
    }
    checkpoint(&disk, &mut flusher, &[removed.clone(), stays.clone()], (1, 1)).expect("durable");
    apply(&removed, 99, 99, 2, 9_000);
    let snapshot = removed.snapshot();
    store.remove_stream(key(0).stream_uid);
    drop(removed);
    assert!(store.get(key(0)).is_none());
    let shards =
        flusher.checkpoint(vec![snapshot, stays.snapshot()]).expect("a snapshot outlives the stream");
    assert_eq!(shards.len(), 2);
    for (sequence, stands) in [(2, true), (3, true), (4, false)] {
        flusher.unlink().expect("unlinked");
        assert_eq!(!segments_of(&disk, key(0)).is_empty(), stands, "before checkpoint {sequence}");
        checkpoint(&disk, &mut flusher, std::slice::from_ref(&stays), (sequence, 1)).expect("durable");
    }
    let bytes = store.unflushed_bytes() + store.tail_bytes();
    assert!(bytes < 4_096 + small_options().tail_bytes_max, "the memory is given back");
}

#[test]
fn a_full_disk_loses_nothing_and_a_retry_goes_on() {
    let disk = SimDisk::new(6);
    let store = open(&disk, small_options(), Vec::new());
    let log = store.create(key(0));
    let mut flusher = Flusher::new(store.clone());
    let mut model = Model::default();
    fill(&log, &mut model, 1..60, 700);
    let applied = store.unflushed_bytes();
    let mut refusals = 0;
    for capacity in [0, 5_000, 20_000, 33_000, 60_000, 100_000] {
        disk.set_capacity(capacity);
        refusals += u32::from(matches!(flusher.flush_some(), Err(ShardError::NoSpace { .. })));
        refusals +=
            u32::from(matches!(flusher.checkpoint(vec![log.snapshot()]), Err(ShardError::NoSpace { .. })));
        assert!(store.unflushed_bytes() + capacity >= applied);
        check(&log, &model);
    }
    assert!(refusals > 6, "{refusals}");
    disk.set_capacity(u64::MAX);
    let shards = flusher.checkpoint(vec![log.snapshot()]).expect("there is space");
    check(&open(&disk, small_options(), shards).get(key(0)).expect("recovered"), &model);
}

#[test]
fn a_failed_sync_is_no_shortage_of_space() {
    let disk = SimDisk::new(7);
    let store = open(&disk, small_options(), Vec::new());
    let log = store.create(key(0));
    apply(&log, 1, 1, 3, 5_000);
    disk.fail_next_sync();
    let failed = Flusher::new(store).checkpoint(vec![log.snapshot()]);
    assert!(matches!(failed.map(drop), Err(ShardError::Io { action: "sync", .. })));
}

#[test]
fn readers_see_no_gap_while_records_are_applied_flushed_and_evicted() {
    let disk = SimDisk::new(8);
    let store = open(&disk, small_options(), Vec::new());
    let log = store.create(key(0));
    let mut model = Model::default();
    let batches: Vec<_> = (1..600).map(|seed| (seed, body(seed, 2, 300))).collect();
    batches.iter().for_each(|(seed, (body, _))| model.apply(*seed * 10, body.clone()));
    let end = model.next_ordinal();
    std::thread::scope(|scope| {
        for step in [3, 40] {
            let (log, model) = (log.clone(), &model);
            scope.spawn(move || {
                let mut next = 1;
                while next < end {
                    let batch = log.read(next, ReadLimit { records: step, bytes: 50_000 }).expect("readable");
                    for record in &batch.records {
                        let expected = &model.records[next as usize - 1];
                        assert_eq!((record.ordinal, &record.record.data[..]), (next, &expected.2[..]));
                        next += 1;
                    }
                    assert_eq!(batch.next_ordinal, next);
                }
            });
        }
        let (flushed_log, mut flusher) = (log.clone(), Flusher::new(store.clone()));
        scope.spawn(move || {
            while flushed_log.bounds().next_ordinal < end {
                flusher.flush_some().expect("there is space");
                flusher.checkpoint(vec![flushed_log.snapshot()]).expect("there is space");
            }
        });
        for (seed, (body, checksum)) in batches {
            log.apply(seed * 10, 2, body, checksum);
        }
    });
}

#[test]
fn real_and_simulated_files_hold_the_same_after_a_restart() {
    let dir = tempfile::tempdir().expect("a directory");
    let real: (Arc<dyn Disk>, _) = (Arc::new(RealDisk), (dir.path().join("shards"), 30));
    let simulated: (Arc<dyn Disk>, _) = (Arc::new(SimDisk::new(9)), (SHARDS.into(), 30));
    simulated.0.create_dir_all("data".as_ref()).expect("created");
    for (disk, (shards_dir, count)) in [real, simulated] {
        let options = StoreOptions { segment_bytes: 9_000, ..StoreOptions::default() };
        let open = |shards| ShardStore::open(disk.clone(), shards_dir.clone(), options, shards);
        let store = open(Vec::new()).expect("an empty directory is whole");
        let keys: Vec<_> =
            (0..count).map(|shard| ShardKey { stream_uid: u64::from(shard / 10), shard }).collect();
        let mut model = Model::default();
        for seed in 0..3 {
            model.apply(seed, body(seed, 2, 2_200).0);
            keys.iter().for_each(|key| apply(&store.create(*key), seed, seed, 2, 2_200));
        }
        let mut flusher = Flusher::new(store.clone());
        let snapshots = keys.iter().map(|key| store.get(*key).expect("created").snapshot()).collect();
        let shards = flusher.checkpoint(snapshots).expect("there is space");
        assert!(shards.iter().all(|shard| shard.segments.len() == 1 && shard.open.is_some()));
        drop((flusher, store));
        let store = open(shards).expect("the directory is whole");
        keys.iter().for_each(|key| check(&store.get(*key).expect("recovered"), &model));
    }
}
