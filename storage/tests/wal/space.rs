//! A full disk: nothing is acknowledged, nothing is lost, and the log goes on when there is space.

use std::path::Path;

use crate::fixture::*;
use tidelog_storage::{Disk, SimDisk, WalError};

fn used_bytes(disk: &SimDisk) -> u64 {
    let names = disk.list(Path::new(DIR)).expect("listed");
    let files = names.iter().map(|name| Path::new(DIR).join(name)).chain([MARK.into()]);
    files.map(|path| file_bytes(disk, &path).len() as u64).sum()
}

#[test]
fn a_full_disk_refuses_commits_until_there_is_space() {
    let disk = SimDisk::new(0);
    let (mut wal, reader, _) = open(&disk, options(32 * KIB)).expect("a new log");
    disk.set_capacity(used_bytes(&disk) + 10 * KIB);
    let mut index = 0;
    let error = loop {
        index += 1;
        match wal.commit(&[append(0, 1, index, 3000)]) {
            Ok(_) => {}
            Err(error) => break error,
        }
    };
    assert!(matches!(error, WalError::NoSpace { .. }), "{error}");
    assert_eq!(index, 4, "three blocks are left in the first file");
    assert_eq!(reader.state(0).last, Some(position(1, 3)));
    assert!(matches!(wal.commit(&[append(0, 1, 4, 9000)]), Err(WalError::NoSpace { .. })));
    assert_eq!(used_bytes(&disk), (24 + 8) * KIB, "a file that could not be filled gives its space back");
    disk.set_capacity(200 * KIB);
    for index in 4..=10 {
        wal.commit(&[append(0, 1, index, 3000)]).expect("there is space again");
    }
    disk.crash();
    let (_, reader, _) = open(&disk, options(32 * KIB)).expect("reopened");
    assert_eq!(reader.read(0, 0..100, 1 << 20).expect("readable").len(), 10);
}

#[test]
fn a_call_that_needs_more_files_than_fit_writes_nothing() {
    let disk = SimDisk::new(0);
    let (mut wal, reader, _) = open(&disk, options(32 * KIB)).expect("a new log");
    disk.set_capacity(used_bytes(&disk) + 40 * KIB);
    let many: Vec<_> = (1..=20).map(|index| append(0, 1, index, 5000)).collect();
    assert!(matches!(wal.commit(&many), Err(WalError::NoSpace { .. })));
    assert_eq!(reader.state(0).last, None);
    wal.commit(&many[..4]).expect("fewer fit");
    disk.set_capacity(u64::MAX);
    wal.commit(&many[4..]).expect("there is space again");
    disk.crash();
    let (_, reader, _) = open(&disk, options(32 * KIB)).expect("reopened");
    assert_eq!(reader.state(0).last, Some(position(1, 20)));
}

#[test]
fn a_spare_file_carries_the_log_over_a_full_disk() {
    let disk = SimDisk::new(0);
    let (mut wal, _, _) = open(&disk, options(40 * KIB)).expect("a new log");
    let spares = wal.spare_files();
    assert!(spares.prepare().expect("prepared"));
    assert!(!spares.prepare().expect("one is enough"));
    disk.set_capacity(used_bytes(&disk));
    for index in 1..=10 {
        wal.commit(&[append(0, 1, index, 3000)]).expect("the files are there already");
    }
    assert!(matches!(wal.commit(&[append(0, 1, 11, 3000)]), Err(WalError::NoSpace { .. })));
    assert!(matches!(spares.prepare(), Err(WalError::NoSpace { .. })));
}

#[test]
fn a_write_that_fails_in_the_middle_is_never_found_again() {
    // A file system that copies on write can run out of space inside a file: the file is truncated to show it.
    let disk = SimDisk::new(3);
    let (mut wal, reader, _) = open(&disk, options(32 * KIB)).expect("a new log");
    let spares = wal.spare_files();
    spares.prepare().expect("prepared");
    wal.commit(&[append(0, 1, 1, 100)]).expect("committed");
    let path = log_files(&disk).pop().expect("the current file");
    let file = disk.open(&path, tidelog_storage::disk::Open::Write).expect("opened");
    file.set_len(16 * KIB).expect("cut");
    disk.set_capacity(used_bytes(&disk) + 4 * KIB);
    let error = wal.commit(&[append(0, 1, 2, 6000)]).expect_err("the write fails after a block");
    assert!(matches!(error, WalError::NoSpace { .. }), "{error}");
    assert_eq!(reader.state(0).last, Some(position(1, 1)));
    wal.commit(&[append(0, 2, 2, 50), vote(1, 1)]).expect("the spare file takes it");
    wal.commit(&[append(0, 2, 3, 50)]).expect("committed");
    let before = Model::read(&reader).expect("readable");
    disk.set_capacity(u64::MAX);
    file.set_len(24 * KIB).expect("as long as it was made");
    disk.crash();
    let (_, reader, recovery) = open(&disk, options(32 * KIB)).expect("reopened");
    assert_eq!(Model::read(&reader).expect("readable"), before);
    assert_eq!(recovery.torn_tail, None);
}

#[test]
fn live_bytes_are_those_written_and_the_files_of_many_starts_are_small() {
    let disk = SimDisk::new(0);
    for life in 0..8 {
        let (mut wal, reader, _) = open(&disk, options(1024 * KIB)).expect("reopened");
        for index in 1..=5 {
            wal.commit(&[append(0, 1, life * 5 + index, 3000)]).expect("committed");
        }
        // A block for each commit, and three at the beginning of each of the two files.
        let blocks = (life + 1) * (5 + 2 * 3);
        assert!(reader.live_bytes() <= blocks * 4 * KIB, "life {life}: {}", reader.live_bytes());
        // A first file of 24 KiB and one of four times that.
        assert_eq!(reader.allocated_bytes(), (life + 1) * 120 * KIB);
        disk.crash();
    }
    let (_, reader, _) = open(&disk, options(1024 * KIB)).expect("reopened");
    assert!(reader.live_bytes() >= 8 * 5 * 4 * KIB, "what was written before the start counts");
}
