//! One suite for all disks, and tests that only the simulated one can run: crashes, damage, full space, failed
//! syncs.

use std::io::ErrorKind;
use std::path::Path;

use tidelog_storage::disk::{Open, VolatileDisk};
use tidelog_storage::{Blocks, Disk, RealDisk, SimDisk};

fn on_all(check: impl Fn(&dyn Disk, &Path)) {
    let directory = tempfile::tempdir().expect("a temporary directory");
    check(&RealDisk, directory.path());
    let directory = tempfile::tempdir().expect("a temporary directory");
    check(&VolatileDisk, directory.path());
    let disk = SimDisk::new(1);
    disk.create_dir_all(Path::new("/data")).expect("a simulated directory");
    check(&disk, Path::new("/data"));
}

fn read(disk: &dyn Disk, path: &Path) -> Vec<u8> {
    let file = disk.open(path, Open::Read).expect("the file exists");
    let mut bytes = vec![0; usize::try_from(file.len().expect("a length")).expect("fits")];
    file.read_exact_at(&mut bytes, 0).expect("the file has its length");
    bytes
}

fn write(disk: &dyn Disk, path: &Path, bytes: &[u8]) {
    disk.open(path, Open::Create).expect("created").write_all_at(bytes, 0).expect("written");
}

#[test]
fn files_are_written_read_and_cut() {
    on_all(|disk, root| {
        let path = root.join("file");
        let file = disk.open(&path, Open::Create).expect("created");
        file.write_all_at(b"hello", 3).expect("written");
        assert_eq!(file.len().expect("a length"), 8);
        assert_eq!(read(disk, &path), b"\0\0\0hello");
        let mut beyond = [0; 6];
        let error = file.read_exact_at(&mut beyond, 3).expect_err("the file is shorter");
        assert_eq!(error.kind(), ErrorKind::UnexpectedEof);
        file.set_len(4).expect("cut");
        file.set_len(6).expect("extended");
        file.sync_data().expect("synced");
        assert_eq!(read(disk, &path), b"\0\0\0h\0\0");
        disk.open(&path, Open::Write).expect("opened").write_all_at(b"x", 0).expect("written");
        assert_eq!(read(disk, &path)[0], b'x');
        disk.open(&path, Open::Create).expect("emptied");
        assert_eq!(read(disk, &path), b"");
    });
}

#[test]
fn a_handle_allows_the_access_it_was_opened_for() {
    on_all(|disk, root| {
        let path = root.join("file");
        write(disk, &path, &[0; 8192]);
        let reader = disk.open(&path, Open::Read).expect("opened");
        assert!(reader.write_all_at(b"x", 0).is_err());
        let direct = disk.open(&path, Open::WriteDirect).expect("opened");
        assert!(direct.read_exact_at(&mut [0; 16], 0).is_err());
        let mut blocks = Blocks::new();
        blocks.extend_from_slice(&[9; 4096]);
        direct.write_all_at(blocks.as_slice(), 4096).expect("an aligned block");
        direct.sync_data().expect("synced");
        assert_eq!(read(disk, &path)[4095..4097], [0, 9]);
    });
}

#[test]
fn names_are_listed_renamed_and_removed() {
    on_all(|disk, root| {
        let deep = root.join("a/b");
        disk.create_dir_all(&deep).expect("created");
        disk.create_dir_all(&deep).expect("an existing directory is fine");
        write(disk, &deep.join("two"), b"2");
        write(disk, &deep.join("one"), b"1");
        assert_eq!(disk.list(&deep).expect("listed"), ["one", "two"]);
        assert_eq!(disk.list(root).expect("listed"), ["a"]);
        disk.rename(&deep.join("one"), &deep.join("two")).expect("renamed over");
        disk.sync_dir(&deep).expect("synced");
        assert_eq!(read(disk, &deep.join("two")), b"1");
        assert_eq!(disk.list(&deep).expect("listed"), ["two"]);
        disk.remove_file(&deep.join("two")).expect("removed");
        let error = disk.remove_file(&deep.join("two")).expect_err("it is gone");
        assert_eq!(error.kind(), ErrorKind::NotFound);
        write(disk, &deep.join("three"), b"3");
        disk.remove_dir_all(&root.join("a")).expect("removed");
        disk.remove_dir_all(&root.join("a")).expect("a missing one is fine");
        assert!(disk.list(root).expect("listed").is_empty());
        let space = disk.space(root).expect("known");
        assert!(0 < space.free_bytes && space.free_bytes <= space.total_bytes, "{space:?}");
    });
}

#[test]
fn missing_things_are_not_found() {
    on_all(|disk, root| {
        let missing = root.join("missing");
        for how in [Open::Read, Open::Write, Open::WriteDirect] {
            let error = disk.open(&missing, how).err().expect("there is no file");
            assert_eq!(error.kind(), ErrorKind::NotFound);
        }
        for path in [root.join("none/file"), root.join("none/deep/file")] {
            let error = disk.open(&path, Open::Create).err().expect("there is no directory");
            assert_eq!(error.kind(), ErrorKind::NotFound);
        }
        assert_eq!(disk.list(&missing).expect_err("missing").kind(), ErrorKind::NotFound);
        assert_eq!(disk.rename(&missing, &root.join("x")).expect_err("missing").kind(), ErrorKind::NotFound);
    });
}

#[test]
fn an_unlinked_file_lives_while_it_is_open() {
    on_all(|disk, root| {
        let path = root.join("file");
        write(disk, &path, b"kept");
        let file = disk.open(&path, Open::Read).expect("opened");
        assert_eq!(file.links().expect("known"), 1);
        disk.remove_file(&path).expect("removed");
        assert_eq!(file.links().expect("known"), 0);
        let mut bytes = [0; 4];
        file.read_exact_at(&mut bytes, 0).expect("still readable");
        assert_eq!(&bytes, b"kept");
    });
}

#[test]
fn files_of_a_real_disk_are_private_and_never_behind_a_link() {
    use std::os::unix::fs::{PermissionsExt, symlink};
    let directory = tempfile::tempdir().expect("a temporary directory");
    let (deep, other) = (directory.path().join("a/b"), directory.path().join("other"));
    RealDisk.create_dir_all(&deep).expect("created");
    std::fs::write(&other, "kept").expect("written");
    let mode = |path: &Path| std::fs::metadata(path).expect("there").permissions().mode() & 0o777;
    assert_eq!((mode(&deep), mode(&directory.path().join("a"))), (0o700, 0o700));
    let file = deep.join("file");
    for link in [symlink::<&Path, &Path>, std::fs::hard_link] {
        link(&other, &file).expect("linked");
        RealDisk.open(&file, Open::Create).expect("created anew").write_all_at(b"new", 0).expect("written");
        assert_eq!(mode(&file), 0o600);
        assert_eq!(std::fs::read(&other).expect("there"), b"kept");
        RealDisk.remove_file(&file).expect("removed");
    }
    symlink(&other, &file).expect("linked");
    for how in [Open::Read, Open::Write, Open::WriteDirect] {
        let error = RealDisk.open(&file, how).err().expect("a link is no file");
        assert!(error.to_string().contains("symbolic link"), "{error}");
    }
}

fn simulated(seed: u64) -> SimDisk {
    let disk = SimDisk::new(seed);
    disk.create_dir_all(Path::new("/data")).expect("created");
    disk
}

#[test]
fn a_crash_keeps_synced_bytes_and_each_unsynced_sector_or_not() {
    let path = Path::new("/data/file");
    let (mut lost, mut kept, mut torn) = (0, 0, 0);
    for seed in 0..200 {
        let disk = simulated(seed);
        let file = disk.open(path, Open::Create).expect("created");
        file.write_all_at(&[1; 4096], 0).expect("written");
        file.sync_data().expect("synced");
        disk.sync_dir(Path::new("/data")).expect("synced");
        file.write_all_at(&[2; 1024], 512).expect("written");
        disk.crash();
        assert!(file.len().is_err(), "a handle from before the crash is dead");
        let bytes = read(&disk, path);
        assert!(bytes[..512].iter().chain(&bytes[1536..]).all(|byte| *byte == 1));
        match bytes[512..1536].iter().filter(|byte| **byte == 2).count() {
            0 => lost += 1,
            1024 => kept += 1,
            _ => torn += 1,
        }
    }
    assert!(lost > 20 && kept > 20 && torn > 20, "{lost} lost, {kept} kept, {torn} torn");
}

#[test]
fn a_name_is_durable_only_with_its_directory() {
    let (mut lost, mut kept) = (0, 0);
    for seed in 0..100 {
        let disk = simulated(seed);
        write(&disk, Path::new("/data/old"), b"1");
        disk.sync_dir(Path::new("/data")).expect("synced");
        disk.rename(Path::new("/data/old"), Path::new("/data/new")).expect("renamed");
        disk.crash();
        match disk.list(Path::new("/data")).expect("listed").as_slice() {
            [name] if name == "old" => lost += 1,
            [name] if name == "new" => kept += 1,
            names => panic!("a rename is one change, not {names:?}"),
        }
    }
    assert!(lost > 20 && kept > 20, "{lost} lost, {kept} kept");
}

#[test]
fn the_same_seed_gives_the_same_crash() {
    let run = |seed| {
        let disk = simulated(seed);
        let file = disk.open(Path::new("/data/file"), Open::Create).expect("created");
        disk.sync_dir(Path::new("/data")).expect("synced");
        file.write_all_at(&[3; 64 * 1024], 0).expect("written");
        disk.crash();
        read(&disk, Path::new("/data/file"))
    };
    assert!((0..20).all(|seed| run(seed) == run(seed)));
    assert!((1..20).any(|seed| run(seed) != run(0)));
}

#[test]
fn a_full_disk_takes_as_much_as_fits() {
    let disk = simulated(0);
    disk.set_capacity(6);
    let file = disk.open(Path::new("/data/file"), Open::Create).expect("created");
    file.write_all_at(b"1234", 0).expect("fits");
    let error = file.write_all_at(b"5678", 4).expect_err("two bytes too many");
    assert_eq!(error.kind(), ErrorKind::StorageFull);
    assert_eq!(read(&disk, Path::new("/data/file")), b"123456");
    file.write_all_at(b"xx", 0).expect("what is there is overwritten");
    disk.set_capacity(7);
    let space = disk.space(Path::new("/data")).expect("known");
    assert_eq!(space.free_bytes, 1);
}

#[test]
fn a_failed_sync_leaves_data_that_no_later_sync_saves() {
    let disk = simulated(1);
    let file = disk.open(Path::new("/data/file"), Open::Create).expect("created");
    file.write_all_at(b"old", 0).expect("written");
    file.sync_data().expect("synced");
    disk.sync_dir(Path::new("/data")).expect("synced");
    file.write_all_at(b"new", 0).expect("written");
    disk.fail_next_sync();
    file.sync_data().expect_err("the planted failure");
    file.sync_data().expect("the failure is reported once");
    assert_eq!(read(&disk, Path::new("/data/file")), b"new");
    disk.crash();
    assert_eq!(read(&disk, Path::new("/data/file")), b"old");
}

#[test]
fn the_power_goes_after_the_planned_number_of_changes() {
    let disk = simulated(0);
    disk.cut_power_after(2);
    let file = disk.open(Path::new("/data/file"), Open::Create).expect("the first change");
    file.write_all_at(b"x", 0).expect("the second change");
    assert!(file.sync_data().is_err());
    assert!(disk.list(Path::new("/data")).is_err());
    disk.crash();
    disk.list(Path::new("/data")).expect("the power is back");
}

#[test]
fn a_flipped_bit_is_read_flipped() {
    let disk = simulated(0);
    write(&disk, Path::new("/data/file"), &[0, 0]);
    disk.flip_bit(Path::new("/data/file"), 11);
    assert_eq!(read(&disk, Path::new("/data/file")), [0, 8]);
}
