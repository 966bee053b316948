//! Bits that flip, files that go, writes that are torn: a valid prefix where nothing proves more, else damage, and
//! never a wrong entry.

use std::path::{Path, PathBuf};

use crate::fixture::*;
use tidelog_storage::disk::Open;
use tidelog_storage::wal::{WalOp, WalOptions};
use tidelog_storage::{Disk, SimDisk, WalError};

/// A log of two files, and its states before and after the last commit.
fn small_log() -> (SimDisk, Model, Model) {
    let disk = SimDisk::new(0);
    let (mut wal, _, _) = open(&disk, options(24 * KIB)).expect("a new log");
    let mut model = Model::default();
    let commits: Vec<Vec<WalOp>> = vec![
        vec![append(0, 1, 0, 40), vote(2, 3)],
        vec![append(0, 1, 1, 60), append(3, 1, 0, 10)],
        vec![append(0, 1, 2, 50), WalOp::Truncate { group: 3, after: None }],
        vec![purge(0, 1, 0), append(0, 2, 3, 30)],
    ];
    for ops in &commits {
        wal.commit(ops).expect("committed");
        ops.iter().for_each(|op| model.apply(op));
    }
    assert_eq!(log_files(&disk).len(), 2);
    let before = model.clone();
    let last = append(0, 2, 4, 70);
    wal.commit(std::slice::from_ref(&last)).expect("committed");
    model.apply(&last);
    (disk, before, model)
}

#[test]
fn every_flipped_bit_is_noticed_or_harmless() {
    let (disk, before, whole) = small_log();
    let files = log_files(&disk);
    let (mut damaged, mut cut, mut harmless) = (0, 0, 0);
    for (number, path) in files.iter().enumerate() {
        let bytes = file_bytes(&disk, path);
        for bit in 0..bytes.len() * 8 {
            // All bits of headers and frames; of the long rows of zeros every 97th.
            let is_dense = bytes[bit / 8] != 0 || bit / 8 % 4096 < 200 || bit / 8 < 728;
            if !is_dense && bit % 97 != 0 {
                continue;
            }
            let fork = disk.fork();
            fork.flip_bit(path, bit as u64);
            let found = open(&fork, options(24 * KIB)).and_then(|(_, reader, _)| Model::read(&reader));
            match found {
                Err(WalError::Damaged { file, .. }) => {
                    assert_eq!(&file, path);
                    damaged += 1;
                }
                Err(error) => panic!("bit {bit} of {}: {error}", path.display()),
                Ok(found) if found == whole => harmless += 1,
                Ok(found) => {
                    assert_eq!(found, before, "bit {bit} of {}", path.display());
                    let in_last_commit = number == files.len() - 1 && (16384..20480).contains(&(bit / 8));
                    assert!(in_last_commit, "bit {bit} of {} was proved durable", path.display());
                    cut += 1;
                }
            }
        }
    }
    // The last commit: a header of 64 bytes without its 16 unused ones, one frame of 32 + 70 bytes.
    assert_eq!(cut, (64 + 32 + 70) * 8, "{damaged} damaged, {harmless} harmless");
    assert!(damaged > 10_000 && harmless > 100, "{damaged} damaged, {harmless} harmless");
}

#[test]
fn the_last_commit_cut_at_every_length_is_taken_back() {
    let options = options(64 * KIB);
    let disk = SimDisk::new(0);
    let (mut wal, reader, _) = open(&disk, options).expect("a new log");
    wal.commit(&[append(0, 1, 1, 500)]).expect("committed");
    let without = disk.fork();
    let before = Model::read(&reader).expect("readable");
    let ops = [append(0, 1, 2, 6000), append(1, 1, 1, 20), vote(4, 2)];
    wal.commit(&ops).expect("committed");
    let after = Model::read(&reader).expect("readable");
    let path = log_files(&disk).pop().expect("one file");
    let commit = &file_bytes(&disk, &path)[16384..][..64 + 3 * 32 + 6020];
    for cut in 0..=commit.len() {
        let torn = without.fork();
        torn.open(&path, Open::Write).expect("opened").write_all_at(&commit[..cut], 16384).expect("written");
        let (mut wal, reader, recovery) = open(&torn, options).expect("a torn tail is no damage");
        let found = Model::read(&reader).expect("readable");
        // The last bytes of a frame may be zeros by themselves.
        if commit[cut..].iter().all(|byte| *byte == 0) {
            assert_eq!(found, after);
            continue;
        }
        assert_eq!(found, before, "cut at {cut}");
        let tail = recovery.torn_tail.map(|tail| (tail.file, tail.offset));
        // A commit is known by its salt, in bytes 16 to 24.
        if !(17..24).contains(&cut) {
            assert_eq!(tail, (cut >= 24).then(|| (path.clone(), 16384)), "cut at {cut}");
        }
        if cut % 500 == 0 {
            wal.commit(&[append(0, 2, 2, 10)]).expect("the log goes on");
            let (_, reader, recovery) = open(&torn, options).expect("the cut part does not come back");
            assert_eq!(reader.state(0).last, Some(position(2, 2)));
            assert_eq!(recovery.torn_tail, None);
        }
    }
}

fn zero_block(disk: &SimDisk, path: &Path, offset: u64) {
    disk.open(path, Open::Write).expect("opened").write_all_at(&[0; 4096], offset).expect("written");
}

fn damage_of(disk: &SimDisk, options: WalOptions) -> (PathBuf, u64, String) {
    match open(disk, options).err().expect("damage is noticed") {
        error @ WalError::Damaged { .. } => {
            let text = error.to_string();
            let WalError::Damaged { file, offset, .. } = error else { unreachable!() };
            (file, offset, text)
        }
        error => panic!("{error}"),
    }
}

#[test]
fn a_lost_block_below_the_durable_mark_is_damage() {
    let (disk, _, _) = small_log();
    let files = log_files(&disk);
    for (path, offset) in [(&files[0], 16384), (&files[0], 0), (&files[1], 12288)] {
        let fork = disk.fork();
        zero_block(&fork, path, offset);
        let (file, at, text) = damage_of(&fork, options(24 * KIB));
        assert_eq!((&file, at), (path, offset));
        assert!(!text.contains("remov"), "no message says to remove log files: {text}");
    }
}

#[test]
fn an_unsynced_commit_lost_before_a_later_one_is_a_torn_tail() {
    let disk = SimDisk::new(0);
    let options = WalOptions { sync_every_commit: false, ..options(64 * KIB) };
    let (mut wal, _, _) = open(&disk, options).expect("a new log");
    for index in 1..=3 {
        wal.commit(&[append(0, 1, index, 100)]).expect("committed");
    }
    let path = log_files(&disk).pop().expect("one file");
    zero_block(&disk, &path, 16384);
    let (_, reader, recovery) = open(&disk, options).expect("a torn tail");
    assert_eq!(reader.state(0).last, Some(position(1, 1)));
    assert_eq!(recovery.torn_tail.map(|tail| tail.offset), Some(16384));
}

#[test]
fn a_missing_file_is_damage() {
    let disk = SimDisk::new(0);
    let (mut wal, _, _) = open(&disk, options(24 * KIB)).expect("a new log");
    for index in 1..=9 {
        wal.commit(&[append(0, 1, index, 100)]).expect("committed");
    }
    let files = log_files(&disk);
    assert_eq!(files.len(), 3);
    for missing in &files {
        let fork = disk.fork();
        fork.remove_file(missing).expect("removed");
        let (_, _, text) = damage_of(&fork, options(24 * KIB));
        assert!(text.contains("missing"), "{text}");
    }
}

#[test]
fn a_flip_under_a_running_log_is_an_error_and_no_entry() {
    let disk = SimDisk::new(0);
    let (mut wal, reader, _) = open(&disk, options(64 * KIB)).expect("a new log");
    wal.commit(&[append(0, 1, 1, 100), append(0, 1, 2, 100)]).expect("committed");
    let path = log_files(&disk).pop().expect("one file");
    let first = COMMITS_AT + 64;
    for byte in first..first + 132 {
        disk.flip_bit(&path, byte * 8 + byte % 8);
        let error = reader.read(0, 1..3, 1000).expect_err("the entry is damaged");
        assert!(matches!(error, WalError::Damaged { offset, .. } if offset == first), "{error}");
        assert_eq!(reader.read(0, 2..3, 1000).expect("the other one is intact").len(), 1);
        disk.flip_bit(&path, byte * 8 + byte % 8);
    }
    assert_eq!(reader.read(0, 1..3, 1000).expect("readable").len(), 2);
}
