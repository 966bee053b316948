//! The bytes of format version 1, as they were released: what is written today must equal them, and they must be
//! read for as long as the version is. `TIDELOG_WRITE_GOLDEN=1` writes the file anew.

mod wal_fixture;

use std::path::{Path, PathBuf};
use std::sync::Arc;

use tidelog_storage::disk::Open;
use tidelog_storage::wal::{Wal, WalOp};
use tidelog_storage::{Disk, SimDisk};
use wal_fixture::*;

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

fn golden_path(file: usize) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("tests/golden/wal-version-1-file-{file}.bin"))
}

fn written_today() -> SimDisk {
    let disk = SimDisk::new(0);
    let options = options(24 * KIB);
    let (mut wal, _, _) =
        Wal::open_seeded(Arc::new(disk.clone()), Path::new(DIR), options, 42).expect("a new log");
    for ops in commits() {
        wal.commit(&ops).expect("committed");
    }
    disk
}

#[test]
fn the_bytes_written_are_those_of_version_1() {
    let disk = written_today();
    let files = log_files(&disk);
    assert_eq!(files.len(), 2);
    for (number, path) in files.iter().enumerate() {
        let bytes = file_bytes(&disk, path);
        if std::env::var_os("TIDELOG_WRITE_GOLDEN").is_some() {
            std::fs::write(golden_path(number), &bytes).expect("the golden file is written");
        }
        let golden = std::fs::read(golden_path(number)).expect("the golden file is there");
        assert!(bytes == golden, "the bytes of {} differ from the golden ones", path.display());
    }
}

#[test]
fn the_bytes_of_version_1_are_read() {
    let disk = SimDisk::new(0);
    disk.create_dir_all(Path::new(DIR)).expect("created");
    for number in 0..2 {
        let bytes = std::fs::read(golden_path(number)).expect("the golden file is there");
        let path = Path::new(DIR).join(format!("{:016}.wal", number + 1));
        disk.open(&path, Open::Create).expect("created").write_all_at(&bytes, 0).expect("written");
    }
    let (_, reader, recovery) = open(&disk, options(24 * KIB)).expect("opened");
    assert_eq!(Model::read(&reader).expect("readable"), expected());
    assert_eq!(reader.state(6).committed, Some(position(3, 0)));
    assert_eq!((recovery.entries, recovery.files, recovery.torn_tail), (2, 2, None));
}
