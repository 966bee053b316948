//! Giving up the end of a damaged log: the intact part is kept, the rest is set aside, whenever the power goes.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::fixture::*;
use tidelog_storage::disk::Open;
use tidelog_storage::wal::{FoundWal, Salvage, WalEntry, WalOptions, finish_giving_up};
use tidelog_storage::{Disk, SimDisk, WalError};

const LOST: &str = "/lost";

/// Three commits of a block in each file.
fn small() -> WalOptions {
    options(24 * KIB)
}

/// A log with entries 1 to `entries` of group 0, one in each commit, and a vote.
fn log_of(entries: u64) -> SimDisk {
    let disk = SimDisk::new(0);
    let (mut wal, _, _) = open(&disk, small()).expect("a new log");
    wal.commit(&[vote(0, 1)]).expect("committed");
    for index in 1..=entries {
        wal.commit(&[append(0, 1, index, 100)]).expect("committed");
    }
    wal.sync_and_mark().expect("marked");
    disk
}

fn shared(disk: &SimDisk) -> Arc<dyn Disk> {
    Arc::new(disk.clone())
}

/// Truncates the end of the log as `give-up-log` does, and appends one more entry.
fn give_up(disk: &SimDisk) -> Result<u64, WalError> {
    let mut salvage = Salvage::read(shared(disk), Path::new(DIR))?;
    salvage.set_aside(Path::new(LOST))?;
    let (mut wal, reader) = salvage.into_found().begin(small())?;
    let next = reader.state(0).last.map_or(1, |last| last.index + 1);
    wal.commit(&[append(0, 2, next, 100)])?;
    wal.sync_and_mark()?;
    drop((wal, reader));
    finish_giving_up(shared(disk), Path::new(DIR))?;
    Ok(next - 1)
}

/// The last entry of the first term that is left, once the log opens again; all before it are there.
fn left(disk: &SimDisk) -> u64 {
    let (wal, reader, _) = open(disk, small()).expect("it opens");
    let last = reader.state(0).last.expect("the entry of the second term").index;
    let first = reader.state(0).purged.map_or(1, |purged| purged.index + 1);
    let entries = reader.read(0, first..last + 1, usize::MAX).expect("readable");
    let is_first_term = |(index, entry): &(u64, WalEntry)| {
        let at = position(1, *index);
        entry.position == at && entry.payload == payload(0, at, 100)
    };
    let count = (first..).zip(entries).take_while(is_first_term).count() as u64;
    assert!(reader.state(0).vote.is_some_and(|vote| vote.term >= 1), "votes are kept");
    drop((wal, reader));
    count
}

fn file(disk: &SimDisk, from_end: usize) -> PathBuf {
    let files = log_files(disk);
    files[files.len() - 1 - from_end].clone()
}

fn bytes_of(disk: &SimDisk, path: &Path) -> Vec<u8> {
    file_bytes(disk, path)
}

fn flip(disk: &SimDisk, path: &Path, offset: u64) {
    disk.flip_bit(path, offset * 8);
}

type Harm = fn(&SimDisk);

/// Kinds of damage to a log of entries 1 to 10, and the entry up to which the log is intact then.
fn harms() -> [(&'static str, Harm, u64); 10] {
    [
        ("nothing", |_| {}, 10),
        ("newest file missing", |disk| disk.lose_file(&file(disk, 0)), 8),
        ("all files missing", |disk| log_files(disk).iter().for_each(|path| disk.lose_file(path)), 0),
        ("file in the middle missing", |disk| disk.lose_file(&file(disk, 1)), 5),
        ("oldest file missing", |disk| disk.lose_file(&log_files(disk)[0]), 0),
        ("newest file cut", |disk| disk.truncate(&file(disk, 0), COMMITS_AT + 4 * KIB), 9),
        ("newest file zeroed", |disk| disk.zero_from(&file(disk, 0), COMMITS_AT + 4 * KIB), 9),
        ("commit in the middle flipped", |disk| flip(disk, &file(disk, 1), COMMITS_AT + 4 * KIB + 70), 6),
        ("header flipped", |disk| flip(disk, &file(disk, 1), 20), 5),
        (
            "sync points flipped",
            |disk| [4, 8].iter().for_each(|at| flip(disk, &file(disk, 1), at * KIB + 10)),
            10,
        ),
    ]
}

#[test]
fn the_intact_part_is_kept_whenever_the_power_goes() {
    for (harm, inflict, whole) in harms().into_iter().skip(1) {
        let mut operations = 0;
        loop {
            let disk = log_of(10);
            inflict(&disk);
            let files = log_files(&disk);
            let before: Vec<Vec<u8>> = files.iter().map(|path| bytes_of(&disk, path)).collect();
            assert!(open(&disk, small()).is_err_and(|error| error.is_loss()), "{harm}: it is refused");
            disk.cut_power_after(operations);
            let first = give_up(&disk);
            disk.crash();
            disk.cut_power_after(u64::MAX);
            if first.is_err() {
                // Damage that was not begun to be given up is still a loss; once begun, it is reported as
                // unfinished.
                if let Err(error) = FoundWal::read(shared(&disk), Path::new(DIR)) {
                    let is_reported = error.is_loss() || matches!(error, WalError::GivingUp { .. });
                    assert!(is_reported, "{harm} after {operations}: {error}");
                    give_up(&disk).unwrap_or_else(|error| panic!("{harm} after {operations}: {error}"));
                }
            }
            let salvage = Salvage::read(shared(&disk), Path::new(DIR)).expect("readable");
            assert!(
                salvage.damage().is_none() && !salvage.is_begun(),
                "{harm} after {operations}: it is over"
            );
            drop(salvage);
            assert_eq!(left(&disk), whole, "{harm} after {operations}");
            let names = disk.list(Path::new(LOST)).expect("a directory");
            let kept: Vec<Vec<u8>> =
                names.iter().map(|name| bytes_of(&disk, &Path::new(LOST).join(name))).collect();
            for (path, bytes) in files.iter().zip(&before) {
                let is_there = disk.open(path, Open::Read).is_ok() && bytes_of(&disk, path) == *bytes;
                assert!(
                    is_there || kept.contains(bytes) || bytes.is_empty(),
                    "{harm} after {operations}: {} is neither as it was nor among what was lost",
                    path.display()
                );
            }
            if first.is_ok() {
                break;
            }
            operations += 1;
        }
        assert!(operations > 10, "{harm}: the power went in the middle");
    }
}

#[test]
fn a_whole_log_has_nothing_to_give_up_and_the_mark_counts_where_the_log_does_not() {
    let disk = log_of(10);
    let salvage = Salvage::read(shared(&disk), Path::new(DIR)).expect("readable");
    assert!(salvage.damage().is_none() && salvage.truncated().expect("readable").is_empty());
    drop(salvage);
    for block in [0, 4] {
        flip(&disk, Path::new(MARK), block * KIB + 20);
    }
    let salvage = Salvage::read(shared(&disk), Path::new(DIR)).expect("readable");
    assert!(salvage.damage().is_some() && !salvage.is_begun());
    assert_eq!(give_up(&disk).expect("done"), 10, "the log is whole without its mark");
    assert_eq!(left(&disk), 10);
}

#[test]
fn reading_changes_nothing() {
    for (harm, inflict, _) in harms() {
        let disk = log_of(10);
        inflict(&disk);
        let contents = || {
            let files = log_files(&disk).into_iter().chain([PathBuf::from(MARK)]);
            files.map(|path| (path.clone(), bytes_of(&disk, &path))).collect::<Vec<_>>()
        };
        let before = contents();
        let salvage = Salvage::read(shared(&disk), Path::new(DIR)).expect(harm);
        assert_eq!(salvage.damage().is_some(), harm != "nothing");
        assert!(contents() == before && disk.list(Path::new(LOST)).is_err(), "{harm}");
    }
}
