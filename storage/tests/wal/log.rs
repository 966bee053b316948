//! The log as its callers see it: entries, votes, truncation, purging, files that come and go.

use std::path::Path;
use std::sync::Arc;

use crate::fixture::*;
use tidelog_storage::wal::{Commit, ENTRY_BYTES_MAX, Wal, WalOp};
use tidelog_storage::{RealDisk, SimDisk, WalError};

#[test]
fn appended_entries_are_read_now_and_after_a_restart() {
    let disk = SimDisk::new(0);
    let (mut wal, reader, recovery) = open(&disk, options(64 * KIB)).expect("a new log");
    assert_eq!((recovery.entries, recovery.files, recovery.torn_tail), (0, 0, None));
    let ops = [append(0, 1, 0, 10), append(6, 1, 0, 0), append(0, 1, 1, 9000), vote(3, 7)];
    let commit = wal.commit(&ops).expect("committed");
    assert_eq!(commit, Commit { bytes_written: 12 * KIB, synced: true });
    let mut model = Model::default();
    ops.iter().for_each(|op| model.apply(op));
    assert_eq!(Model::read(&reader).expect("readable"), model);
    disk.crash();
    let (_, reader, recovery) = open(&disk, options(64 * KIB)).expect("reopened");
    assert_eq!((recovery.entries, recovery.files, recovery.torn_tail), (3, 1, None));
    assert_eq!(Model::read(&reader).expect("readable"), model);
}

#[test]
fn a_read_is_bounded_and_never_empty_when_an_entry_exists() {
    let disk = SimDisk::new(0);
    let (mut wal, reader, _) = open(&disk, options(64 * KIB)).expect("a new log");
    let ops: Vec<WalOp> = (1..=9).map(|index| append(2, 1, index, 1000)).collect();
    wal.commit(&ops).expect("committed");
    let indexes = |range, bytes| -> Vec<u64> {
        let entries = reader.read(2, range, bytes).expect("readable");
        entries.iter().map(|entry| entry.position.index).collect()
    };
    assert_eq!(indexes(3..100, 1), [3]);
    assert_eq!(indexes(0..3, 100_000), [1, 2]);
    assert_eq!(indexes(5..100, 2999), [5, 6]);
    assert_eq!(indexes(5..7, 100_000), [5, 6]);
    assert!(indexes(10..100, 100).is_empty() && indexes(7..7, 100).is_empty());
    assert!(reader.read(1, 0..100, 100).expect("readable").is_empty());
}

#[test]
fn operations_out_of_order_are_refused_and_change_nothing() {
    let disk = SimDisk::new(0);
    let (mut wal, reader, _) = open(&disk, options(64 * KIB)).expect("a new log");
    wal.commit(&[append(1, 2, 1, 5), append(1, 2, 2, 5), append(1, 3, 3, 5)]).expect("committed");
    wal.commit(&[purge(1, 2, 1)]).expect("committed");
    let before = Model::read(&reader).expect("readable");
    let truncate = |after| WalOp::Truncate { group: 1, after };
    let refused = [
        vec![append(1, 3, 3, 5)],
        vec![append(1, 3, 5, 5)],
        vec![append(1, 2, 4, 5)],
        vec![append(1, 3, 4, 5), append(1, 3, 4, 5)],
        vec![truncate(None)],
        vec![truncate(Some(position(1, 0)))],
        vec![truncate(Some(position(9, 2)))],
        vec![truncate(Some(position(3, 4)))],
        vec![append(1, 4, 4, 5), truncate(Some(position(3, 4)))],
        vec![truncate(Some(position(2, 2))), append(1, 3, 4, 5)],
        vec![purge(1, 9, 3)],
    ];
    for ops in refused {
        let error = wal.commit(&ops).expect_err("out of order");
        assert!(matches!(error, WalError::OutOfOrder { group: 1, .. }), "{error} for {ops:?}");
        assert_eq!(Model::read(&reader).expect("readable"), before);
    }
    let allowed = [append(1, 4, 4, 5), truncate(Some(position(2, 2))), append(1, 5, 3, 6), purge(1, 5, 3)];
    wal.commit(&allowed).expect("in order");
    assert_eq!(reader.state(1).last, Some(position(5, 3)));
}

#[test]
fn truncation_and_purges_hold_after_a_restart() {
    let disk = SimDisk::new(0);
    let (mut wal, _, _) = open(&disk, options(64 * KIB)).expect("a new log");
    let mut model = Model::default();
    let steps = [
        vec![append(0, 1, 1, 100), append(0, 1, 2, 100), append(0, 1, 3, 100), append(5, 1, 0, 9)],
        vec![WalOp::Truncate { group: 0, after: Some(position(1, 1)) }, append(0, 2, 2, 50)],
        vec![WalOp::Truncate { group: 5, after: None }, append(5, 2, 0, 11)],
        vec![purge(0, 1, 1), purge(4, 9, 1000), append(4, 9, 1001, 3)],
        vec![WalOp::Committed { group: 0, position: position(2, 1000) }],
    ];
    for ops in &steps {
        wal.commit(ops).expect("committed");
        ops.iter().for_each(|op| model.apply(op));
    }
    let (_, reader, _) = open(&disk, options(64 * KIB)).expect("reopened");
    assert_eq!(Model::read(&reader).expect("readable"), model.without_hints());
    assert_eq!(reader.state(0).committed, Some(position(2, 2)), "the hint is clamped to the last entry");
    assert_eq!(reader.state(4).purged, Some(position(9, 1000)));
}

#[test]
fn purged_files_are_recycled_over_many_rolls() {
    let disk = SimDisk::new(0);
    let (mut wal, reader, _) = open(&disk, options(40 * KIB)).expect("a new log");
    let spares = wal.spare_files();
    wal.commit(&[append(6, 1, 1, 10), vote(6, 4)]).expect("committed");
    let mut model = Model::default();
    for op in [append(6, 1, 1, 10), vote(6, 4)] {
        model.apply(&op);
    }
    for index in 1..=300 {
        let mut ops = vec![append(0, 1, index, 3000), append(6, 1, index + 1, 10)];
        if index > 10 {
            ops.extend([purge(0, 1, index - 10), purge(6, 1, index - 5)]);
        }
        wal.commit(&ops).expect("committed");
        ops.iter().for_each(|op| model.apply(op));
        if index % 3 == 0 {
            while spares.prepare().expect("prepared") {}
        }
        if index % 50 == 0 {
            assert_eq!(Model::read(&reader).expect("readable"), model);
        }
    }
    assert!(log_files(&disk).len() <= 4, "{:?}", log_files(&disk));
    assert!((1..=4 * 40 * KIB).contains(&reader.live_bytes()), "{}", reader.live_bytes());
    disk.crash();
    let (_, reader, recovery) = open(&disk, options(40 * KIB)).expect("reopened");
    assert_eq!(Model::read(&reader).expect("readable"), model);
    assert!(recovery.files <= 4);
    assert_eq!(reader.state(6).vote.expect("the vote outlives its file").term, 4);
}

#[test]
fn a_group_that_does_not_purge_keeps_its_files() {
    let disk = SimDisk::new(0);
    let (mut wal, reader, _) = open(&disk, options(32 * KIB)).expect("a new log");
    wal.commit(&[append(3, 1, 1, 10)]).expect("committed");
    for index in 1..=40 {
        wal.commit(&[append(0, 1, index, 3000)]).expect("committed");
    }
    wal.commit(&[purge(0, 1, 40)]).expect("committed");
    assert_eq!(reader.live_bytes(), 24 * KIB, "only the first file holds an entry");
    for index in 41..=60 {
        wal.commit(&[append(0, 1, index, 3000)]).expect("committed");
    }
    assert!(log_files(&disk)[0].ends_with("0000000000000001.wal"));
    let entries = reader.read(3, 0..9, 100).expect("readable");
    assert_eq!(entries[0].payload, payload(3, position(1, 1), 10));
}

#[test]
fn large_entries_and_long_calls_are_split_over_files() {
    let disk = SimDisk::new(0);
    let (mut wal, reader, _) = open(&disk, options(64 * KIB)).expect("a new log");
    let ops: Vec<WalOp> = (1..=40).map(|index| append(0, 1, index, 9000)).collect();
    let commit = wal.commit(&ops).expect("committed");
    assert!(commit.bytes_written >= 40 * 9000);
    let mut model = Model::default();
    ops.iter().for_each(|op| model.apply(op));
    assert_eq!(Model::read(&reader).expect("readable"), model);
    let bytes_max = 64 * 1024 - 12288 - 64 - 32;
    wal.commit(&[append(1, 1, 0, bytes_max)]).expect("the largest entry fits a file");
    let error = wal.commit(&[append(1, 1, 1, bytes_max + 1)]).expect_err("one byte too many");
    assert!(matches!(error, WalError::EntryTooLarge { .. }), "{error}");
    wal.commit(&[append(1, 1, 1, 1)]).expect("the log goes on");
    disk.crash();
    let (_, reader, _) = open(&disk, options(64 * KIB)).expect("reopened");
    assert_eq!(reader.state(1).last, Some(position(1, 1)));
}

#[test]
fn restarts_without_commits_leave_one_file() {
    let disk = SimDisk::new(0);
    for _ in 0..5 {
        drop(open(&disk, options(32 * KIB)).expect("opened"));
    }
    assert_eq!(log_files(&disk).len(), 1);
}

#[test]
fn the_log_works_on_a_real_disk_with_a_reader_on_another_thread() {
    let directory = tempfile::tempdir().expect("a temporary directory");
    let dir = directory.path().join("wal");
    let options = tidelog_storage::wal::WalOptions { file_bytes: 40 << 20, ..options(128 * KIB) };
    let (mut wal, reader, _) = Wal::open(Arc::new(RealDisk), &dir, options).expect("a new log");
    let spares = wal.spare_files();
    let largest = usize::try_from(ENTRY_BYTES_MAX).expect("fits");
    wal.commit(&[append(1, 1, 0, largest)]).expect("the largest entry is committed");
    let (done, is_done) = std::sync::mpsc::sync_channel::<()>(1);
    let racing = {
        let reader = reader.clone();
        std::thread::spawn(move || {
            let mut entries_read = 0;
            while is_done.try_recv() == Err(std::sync::mpsc::TryRecvError::Empty) {
                for entry in reader.read(0, 0..u64::MAX, 1 << 20).expect("never damaged") {
                    let expected = payload(0, entry.position, entry.payload.len());
                    assert!(entry.payload == expected, "a wrong entry at {:?}", entry.position);
                    entries_read += 1;
                }
            }
            entries_read
        })
    };
    for index in 1..=100 {
        let mut ops = vec![append(0, 1, index, 600_000)];
        if index > 4 {
            ops.push(purge(0, 1, index - 4));
        }
        wal.commit(&ops).expect("committed");
        if index == 30 {
            wal.commit(&[purge(1, 1, 0)]).expect("committed");
        }
        if index % 10 == 0 {
            spares.prepare().expect("prepared");
        }
    }
    drop(done);
    assert!(racing.join().expect("the reader saw no wrong entry") > 0);
    drop(wal);
    let (_, reader, recovery) = Wal::open(Arc::new(RealDisk), &dir, options).expect("reopened");
    assert_eq!(recovery.entries, 4);
    assert_eq!(reader.read(0, 0..u64::MAX, 1 << 30).expect("readable").len(), 4);
    assert!(std::fs::read_dir(Path::new(&dir)).expect("listed").count() <= 6);
}

#[test]
fn every_use_of_a_file_has_its_own_salt() {
    let disk = SimDisk::new(0);
    let mut salts = std::collections::BTreeSet::new();
    let mut files = 0;
    for term in 1..=3 {
        let (mut wal, _, _) = open(&disk, options(24 * KIB)).expect("opened");
        for index in 0..9 {
            wal.commit(&[append(0, term, (term - 1) * 9 + index, 10)]).expect("committed");
        }
    }
    for path in log_files(&disk) {
        salts.insert(file_bytes(&disk, &path)[16..24].to_vec());
        files += 1;
    }
    assert!(files >= 9 && salts.len() == files, "{files} files, {} salts", salts.len());
}
