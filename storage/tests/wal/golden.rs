//! The bytes of the log's format versions: today's bytes must equal those of the newest one, and each must be read
//! for as long as its version is. `TIDELOG_WRITE_GOLDEN=1` writes the files of the newest one anew.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::fixture::*;
use tidelog_storage::disk::Open;
use tidelog_storage::wal::{Wal, WalOp};
use tidelog_storage::{Disk, SimDisk};

fn commits() -> Vec<Vec<WalOp>> {
    vec![
        vec![vote(0, 1), append(0, 1, 0, 20), append(6, 2, 0, 100)],
        vec![append(0, 1, 1, 30), WalOp::Truncate { group: 6, after: None }],
        vec![append(6, 3, 0, 4000), append(6, 3, 1, 90)],
        vec![purge(0, 1, 0), WalOp::Truncate { group: 6, after: Some(position(3, 0)) }],
        vec![WalOp::Committed { group: 6, position: position(3, 0) }],
    ]
}

fn expected() -> Model {
    let mut model = Model::default();
    commits().iter().flatten().for_each(|op| model.apply(op));
    model.without_hints()
}

fn golden_path(version: u32, file: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("tests/golden/wal-version-{version}-{file}.bin"))
}

fn golden(version: u32, file: &str) -> Vec<u8> {
    std::fs::read(golden_path(version, file)).expect("the golden file is there")
}

/// The log's files and its mark, by the names of the golden files.
fn written_today() -> Vec<(String, Vec<u8>)> {
    let disk = SimDisk::new(0);
    let options = options(32 * KIB);
    let (mut wal, _, _) =
        Wal::open_seeded(Arc::new(disk.clone()), Path::new(DIR), options, 42).expect("a new log");
    for ops in commits() {
        wal.commit(&ops).expect("committed");
    }
    assert_eq!(wal.sync_and_mark().expect("marked"), 5);
    let files = log_files(&disk);
    assert_eq!(files.len(), 2);
    let named = (0..).zip(files).map(|(number, path): (u32, _)| (format!("file-{number}"), path));
    let named = named.chain([("mark".to_owned(), PathBuf::from(MARK))]);
    named.map(|(name, path)| (name, file_bytes(&disk, &path))).collect()
}

fn put(disk: &SimDisk, path: &Path, bytes: &[u8]) {
    let file = disk.open(path, Open::Create).expect("created");
    file.write_all_at(bytes, 0).expect("written");
    file.sync_data().expect("synced");
    disk.sync_dir(path.parent().expect("a directory")).expect("synced");
}

#[test]
fn the_bytes_written_are_those_of_version_2() {
    for (name, bytes) in written_today() {
        if std::env::var_os("TIDELOG_WRITE_GOLDEN").is_some() {
            std::fs::write(golden_path(2, &name), &bytes).expect("the golden file is written");
        }
        assert!(bytes == golden(2, &name), "the bytes of {name} differ from the golden ones");
    }
}

#[test]
fn the_bytes_of_both_versions_are_read() {
    for version in [1, 2] {
        let disk = SimDisk::new(0);
        disk.create_dir_all(Path::new(DIR)).expect("created");
        for number in 0..2 {
            let path = Path::new(DIR).join(format!("{:016}.wal", number + 1));
            put(&disk, &path, &golden(version, &format!("file-{number}")));
        }
        if version == 2 {
            put(&disk, Path::new(MARK), &golden(version, "mark"));
        }
        let (_, reader, recovery) = open(&disk, options(32 * KIB)).expect("opened");
        assert_eq!(Model::read(&reader).expect("readable"), expected(), "version {version}");
        assert_eq!(reader.state(6).committed, Some(position(3, 0)));
        assert_eq!((recovery.entries, recovery.files, recovery.torn_tail), (2, 2, None));
        assert_eq!(reader.life(), u64::from(version), "version 1 has no mark: this is the first life");
    }
}

#[test]
fn a_log_of_version_1_goes_on_in_version_2_and_has_a_mark_from_then_on() {
    let disk = SimDisk::new(0);
    disk.create_dir_all(Path::new(DIR)).expect("created");
    for number in 0..2 {
        let path = Path::new(DIR).join(format!("{:016}.wal", number + 1));
        put(&disk, &path, &golden(1, &format!("file-{number}")));
    }
    let (mut wal, _, _) = open(&disk, options(32 * KIB)).expect("opened");
    wal.commit(&[append(6, 4, 1, 10)]).expect("committed");
    drop(wal);
    disk.crash();
    let (_, reader, recovery) = open(&disk, options(32 * KIB)).expect("opened again");
    assert_eq!((recovery.entries, recovery.files), (3, 3));
    assert_eq!((reader.life(), reader.state(6).last), (2, Some(position(4, 1))));
    disk.remove_file(&log_files(&disk)[3]).expect("removed");
    assert!(open(&disk, options(32 * KIB)).is_err_and(|error| error.is_loss()), "the newest file is missing");
}
