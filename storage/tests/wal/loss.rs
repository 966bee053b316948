//! The end of the log that is gone without a trace in the rest: a start that finds it refuses, and changes nothing.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use crate::fixture::*;
use tidelog_storage::disk::Open;
use tidelog_storage::wal::{FoundWal, WalOp, WalOptions};
use tidelog_storage::{Disk, SimDisk, WalError};

/// A log of three files with entries 1 to `entries` of group 0, one of a block in each commit.
fn log_of(entries: u64) -> SimDisk {
    let disk = SimDisk::new(0);
    let (mut wal, _, _) = open(&disk, small()).expect("a new log");
    for index in 1..=entries {
        wal.commit(&[append(0, 1, index, 100)]).expect("committed");
    }
    disk
}

/// Three commits of a block in each file.
fn small() -> WalOptions {
    options(24 * KIB)
}

fn newest(disk: &SimDisk) -> PathBuf {
    log_files(disk).pop().expect("a log file")
}

fn zero_from(disk: &SimDisk, path: &Path, offset: u64) {
    let file = disk.open(path, Open::Write).expect("opened");
    let bytes = vec![0; usize::try_from(file.len().expect("a length") - offset).expect("fits")];
    file.write_all_at(&bytes, offset).expect("written");
}

/// All files of the log and its mark, with their bytes.
fn contents(disk: &SimDisk) -> Vec<(PathBuf, Vec<u8>)> {
    let names = disk.list(Path::new(DIR)).unwrap_or_default();
    let files = names.iter().map(|name| Path::new(DIR).join(name)).chain([PathBuf::from(MARK)]);
    files.map(|path| (path.clone(), file_bytes(disk, &path))).collect()
}

/// Verifies that the log is refused for a loss, as often as it is tried, and that nothing changes.
fn require_refused(disk: &SimDisk, harm: &str) -> WalError {
    let before = contents(disk);
    for _ in 0..2 {
        let error = open(disk, small()).err().unwrap_or_else(|| panic!("{harm}: the loss went unnoticed"));
        assert!(error.is_loss(), "{harm}: {error}");
        assert!(contents(disk) == before, "{harm}: a start that was refused changed the directory");
    }
    open(disk, small()).err().expect("refused as before")
}

#[test]
fn a_missing_newest_file_is_damage() {
    let disk = log_of(8);
    disk.remove_file(&newest(&disk)).expect("removed");
    let error = require_refused(&disk, "newest file removed");
    assert!(error.to_string().contains("0000000000000003.wal"), "{error}");
}

#[test]
fn a_log_without_any_file_is_damage_with_and_without_its_directory() {
    let disk = log_of(8);
    for path in log_files(&disk) {
        disk.remove_file(&path).expect("removed");
    }
    require_refused(&disk, "all files removed");
    disk.remove_dir_all(Path::new(DIR)).expect("removed");
    require_refused(&disk, "directory removed");
    assert!(disk.list(Path::new(DIR)).is_err(), "a refused start makes no directory");
}

#[test]
fn a_file_that_is_shorter_than_it_was_made_is_damage() {
    let disk = log_of(8);
    for path in log_files(&disk) {
        let fork = disk.fork();
        let file = fork.open(&path, Open::Write).expect("opened");
        for bytes in [20 * KIB, 12 * KIB, 4 * KIB, 0] {
            file.set_len(bytes).expect("cut");
            require_refused(&fork, &format!("{} cut to {bytes} bytes", path.display()));
        }
    }
}

#[test]
fn every_zeroed_end_but_the_last_commit_is_damage() {
    // The newest file holds commits 7 to 9.
    for (entries, last) in [(8_u64, 1_u64), (9, 2)] {
        let disk = log_of(entries);
        let path = newest(&disk);
        for offset in (0..=COMMITS_AT + last * 4096).step_by(4096) {
            let fork = disk.fork();
            zero_from(&fork, &path, offset);
            if offset == COMMITS_AT + last * 4096 {
                // FORMAT.md: the last commit cannot be told from a write that was not finished.
                let (_, reader, _) = open(&fork, small()).expect("no damage can be seen");
                assert_eq!(reader.state(0).last, Some(position(1, entries - 1)));
            } else {
                require_refused(&fork, &format!("zeros from {offset} on, {entries} entries"));
            }
        }
    }
}

#[test]
fn the_mark_of_a_stop_in_order_covers_the_last_commit_as_well() {
    let disk = SimDisk::new(0);
    let (mut wal, _, _) = open(&disk, small()).expect("a new log");
    wal.commit(&[append(0, 1, 1, 100)]).expect("committed");
    assert_eq!(wal.sync_and_mark().expect("marked"), 1);
    drop(wal);
    zero_from(&disk, &newest(&disk), COMMITS_AT);
    let error = require_refused(&disk, "the only commit zeroed after a stop in order");
    assert!(matches!(error, WalError::EndMissing { end_lsn: 0, synced_lsn: 1, .. }), "{error}");
}

#[test]
fn commits_within_ten_milliseconds_share_a_sync_point_and_a_mebibyte_has_its_own() {
    let disk = SimDisk::new(0);
    let options = options(8 * 1024 * KIB);
    let (mut wal, _, _) = open(&disk, options).expect("a new log");
    let at = Duration::from_millis;
    // The first commit begins the second file: the first one takes three blocks.
    wal.commit_at_time(&[append(0, 1, 1, 20_000)], at(0)).expect("committed");
    for (index, ms) in [(2, 1), (3, 2), (4, 11), (5, 12)] {
        wal.commit_at_time(&[append(0, 1, index, 100)], at(ms)).expect("committed");
    }
    let sync_points = |disk: &SimDisk| {
        let bytes = file_bytes(disk, &newest(disk));
        let lsn = |at: usize| u64::from_le_bytes(bytes[at + 24..at + 32].try_into().expect("8 bytes"));
        (lsn(4096), lsn(8192))
    };
    assert_eq!(sync_points(&disk), (1, 3), "beside commits 2 and 4");
    for index in 6..=16 {
        wal.commit_at_time(&[append(0, 1, index, 150_000)], at(12)).expect("committed");
    }
    let (one, other) = sync_points(&disk);
    assert!(one.max(other) > 5, "{one}, {other}");
    let fork = disk.fork();
    zero_from(&fork, &newest(&disk), COMMITS_AT + 24_576 + 4096);
    require_refused(&fork, "zeros from commit 3 on");
}

#[test]
fn a_vote_outlives_the_end_of_its_log() {
    let disk = SimDisk::new(0);
    let (mut wal, _, _) = open(&disk, small()).expect("a new log");
    wal.commit(&[append(2, 1, 1, 100)]).expect("committed");
    wal.commit(&[vote(2, 7)]).expect("committed");
    drop(wal);
    let path = newest(&disk);
    for offset in (0..=COMMITS_AT + 4096).step_by(4096) {
        let fork = disk.fork();
        zero_from(&fork, &path, offset);
        match open(&fork, small()) {
            Err(error) => assert!(error.is_loss(), "{error}"),
            Ok((_, reader, _)) => {
                let known = reader.state(2).vote.map(|vote| vote.term);
                assert_eq!(known, Some(7), "zeros from {offset} on: the vote was forgotten");
            }
        }
    }
}

#[test]
fn a_damaged_mark_is_refused_only_when_both_of_its_blocks_are() {
    let disk = log_of(8);
    for place in [0, 1] {
        let fork = disk.fork();
        fork.flip_bit(Path::new(MARK), place * 4096 * 8 + 200);
        open(&fork, small()).expect("the other block is intact");
    }
    disk.flip_bit(Path::new(MARK), 200);
    disk.flip_bit(Path::new(MARK), 4096 * 8 + 200);
    require_refused(&disk, "both blocks of the mark damaged");
}

#[test]
fn each_start_is_a_life_of_its_own() {
    let disk = SimDisk::new(0);
    for life in 1..=4 {
        let (mut wal, reader, _) = open(&disk, small()).expect("opened");
        assert_eq!(reader.life(), life);
        wal.commit(&[append(0, 1, life, 10)]).expect("committed");
        if life == 2 {
            disk.crash();
        }
    }
}

#[test]
fn a_log_that_was_only_read_is_as_it_was() {
    let disk = log_of(5);
    let before = contents(&disk);
    let found = FoundWal::read(Arc::new(disk.clone()), Path::new(DIR)).expect("intact");
    assert_eq!((found.end_lsn(), found.state(0).last), (5, Some(position(1, 5))));
    found.require(5, "it says").expect("it reaches that");
    let error = found.require(6, "the checkpoint says").expect_err("it ends before");
    assert!(error.to_string().contains("ends at commit 5, and the checkpoint says"), "{error}");
    assert!(contents(&disk) == before && !found.is_new());
    let new = FoundWal::read(Arc::new(SimDisk::new(0)), Path::new(DIR)).expect("there is none");
    assert!(new.is_new() && new.end_lsn() == 0);
}

#[test]
fn a_vote_is_a_commit_of_its_own_in_the_mark() {
    let disk = SimDisk::new(0);
    let (mut wal, _, _) = open(&disk, small()).expect("a new log");
    let mark = file_bytes(&disk, Path::new(MARK));
    wal.commit(&[append(0, 1, 1, 10)]).expect("committed");
    assert!(file_bytes(&disk, Path::new(MARK)) == mark, "an append does not write the mark");
    wal.commit(&[vote(1, 1)]).expect("committed");
    let with_vote = file_bytes(&disk, Path::new(MARK));
    assert!(with_vote != mark);
    wal.commit(&[WalOp::Committed { group: 0, position: position(1, 1) }]).expect("committed");
    assert!(file_bytes(&disk, Path::new(MARK)) == with_vote);
}
