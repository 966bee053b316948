//! Damage that tests do to a simulated disk lasts: neither a read nor a crash brings back lost bytes.

use std::path::{Path, PathBuf};

use tidelog_storage::Disk;
use tidelog_storage::disk::{Open, SimDisk};

fn path(name: &str) -> PathBuf {
    Path::new("/d").join(name)
}

fn write(disk: &SimDisk, name: &str, bytes: &[u8], is_synced: bool) {
    let file = disk.open(&path(name), Open::Create).expect("a file");
    file.write_all_at(bytes, 0).expect("writable");
    if is_synced {
        file.sync_data().expect("a sync");
        disk.sync_dir(Path::new("/d")).expect("a sync");
    }
}

fn read(disk: &SimDisk, name: &str) -> Option<Vec<u8>> {
    let file = disk.open(&path(name), Open::Read).ok()?;
    let mut bytes = vec![0; usize::try_from(file.len().expect("a length")).expect("short")];
    file.read_exact_at(&mut bytes, 0).expect("readable");
    Some(bytes)
}

fn disk(seed: u64) -> SimDisk {
    let disk = SimDisk::new(seed);
    disk.create_dir_all(Path::new("/d")).expect("a directory");
    disk
}

#[test]
fn truncated_zeroed_or_lost_bytes_stay_so_over_a_crash() {
    for (seed, is_synced) in (0..32).flat_map(|seed| [(seed, true), (seed, false)]) {
        let disk = disk(seed);
        for name in ["cut", "zeroed", "lost"] {
            write(&disk, name, b"12345678", is_synced);
        }
        write(&disk, "renamed", b"12345678", true);
        disk.rename(&path("renamed"), &path("new name")).expect("a name");
        disk.truncate(&path("cut"), 3);
        disk.zero_from(&path("zeroed"), 3);
        disk.lose_file(&path("lost"));
        disk.lose_file(&path("new name"));
        let is_whole = |disk: &SimDisk| {
            let left = |name: &str, bytes: &[u8]| {
                read(disk, name).map_or(!is_synced, |found| found == bytes || !is_synced && found.is_empty())
            };
            left("cut", b"123") && left("zeroed", b"123\0\0\0\0\0")
        };
        let is_gone = |disk: &SimDisk| read(disk, "lost").is_none() && read(disk, "new name").is_none();
        assert!(is_whole(&disk) && is_gone(&disk), "seed {seed} before the crash");
        disk.crash();
        assert!(is_whole(&disk) && is_gone(&disk), "seed {seed} after the crash");
        assert_eq!(read(&disk, "renamed"), None, "seed {seed}: the file has gone under its old name too");
    }
}

#[test]
fn a_disk_that_is_rolled_back_has_the_files_of_the_copy() {
    let disk = disk(7);
    write(&disk, "kept", b"old", true);
    write(&disk, "removed later", b"there", true);
    let copy = disk.fork();
    write(&disk, "kept", b"newer", true);
    write(&disk, "made later", b"new", true);
    disk.remove_file(&path("removed later")).expect("removed");
    let before = disk.open(&path("kept"), Open::Read).expect("a file");
    disk.roll_back(&copy);
    assert!(before.len().is_err(), "a handle outlives the exchange of its disk");
    for _ in 0..2 {
        assert_eq!(read(&disk, "kept").as_deref(), Some(&b"old"[..]));
        assert_eq!(read(&disk, "removed later").as_deref(), Some(&b"there"[..]));
        assert_eq!(read(&disk, "made later"), None);
        disk.crash();
    }
    // The copy stays unchanged, for a second time.
    write(&disk, "kept", b"again", true);
    disk.roll_back(&copy);
    assert_eq!(read(&disk, "kept").as_deref(), Some(&b"old"[..]));
}
