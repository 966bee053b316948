//! Checkpoint files: the newest intact one is loaded, a damaged one is never used, a crash leaves the old or the
//! new one. And the bytes of both format versions.

use std::path::{Path, PathBuf};

use bytes::Bytes;
use tidelog_storage::checkpoint::{Checkpoint, CheckpointError, GroupCheckpoint, Loaded, kept, load, write};
use tidelog_storage::shard::{OpenCheckpoint, SegmentCheckpoint, ShardCheckpoint, ShardKey};
use tidelog_storage::{Disk, SimDisk, disk::Open};

const DIR: &str = "data/checkpoint";

fn checkpoint(sequence: u64) -> Checkpoint {
    let segment = |first_ordinal| SegmentCheckpoint { first_ordinal, file_bytes: 8_192, first_time_ms: 77 };
    let open = OpenCheckpoint {
        first_ordinal: 90,
        first_time_ms: 1_000,
        length: 4_099,
        tail_frame_offset: 4_000,
        tail_frame_ordinal: 99,
        remainder: Bytes::from_static(b"end"),
    };
    let shard = |shard, segments, open| ShardCheckpoint {
        key: ShardKey { stream_uid: 5, shard },
        next_ordinal: 100,
        last_time_ms: 2_000,
        trim_ordinal: 7,
        segments,
        open,
    };
    let shards = vec![shard(0, vec![segment(1), segment(50)], Some(open)), shard(1, Vec::new(), None)];
    let state = Bytes::from_static(b"the broker's state");
    let groups = vec![
        GroupCheckpoint { group: 0, applied: None, state: Bytes::new(), shards: Vec::new() },
        GroupCheckpoint { group: 1, applied: Some((3, sequence * 10)), state, shards },
    ];
    Checkpoint { sequence, durable_lsn: sequence * 100, groups }
}

fn path(sequence: u64) -> PathBuf {
    Path::new(DIR).join(format!("{sequence:020}.checkpoint"))
}

fn disk_with(sequences: &[u64]) -> SimDisk {
    let disk = SimDisk::new(1);
    for sequence in sequences {
        write(&disk, Path::new(DIR), &checkpoint(*sequence)).expect("there is space");
    }
    disk
}

fn load_from(disk: &SimDisk) -> Result<Option<Loaded>, CheckpointError> {
    load(disk, Path::new(DIR))
}

fn file_bytes(disk: &SimDisk, sequence: u64) -> Vec<u8> {
    let file = disk.open(&path(sequence), Open::Read).expect("the file is there");
    let mut bytes = vec![0; file.len().expect("a length") as usize];
    file.read_exact_at(&mut bytes, 0).expect("readable");
    bytes
}

fn put_file(disk: &SimDisk, sequence: u64, bytes: &[u8]) {
    disk.create_dir_all(Path::new(DIR)).expect("created");
    let file = disk.open(&path(sequence), Open::Create).expect("created");
    file.write_all_at(bytes, 0).expect("written");
}

/// The older checkpoint is loaded, and the damage of the newer one is reported.
fn assert_older(disk: &SimDisk, what: &str) {
    let loaded = load_from(disk).expect("the older one is whole").expect("there is one");
    assert_eq!(loaded.checkpoint, checkpoint(1), "{what}");
    let damaged = loaded.damaged_newer.expect("the newer one is damaged");
    assert_eq!((damaged.sequence, damaged.path), (2, path(2)), "{what}");
}

#[test]
fn checkpoints_are_loaded_and_the_two_newest_are_kept() {
    let disk = SimDisk::new(1);
    assert!(load_from(&disk).expect("an empty disk is no error").is_none());
    for sequence in 1..5 {
        write(&disk, Path::new(DIR), &checkpoint(sequence)).expect("there is space");
        let loaded = load_from(&disk).expect("whole").expect("there is one");
        assert_eq!(loaded, Loaded { checkpoint: checkpoint(sequence), damaged_newer: None });
    }
    let names = disk.list(Path::new(DIR)).expect("listed");
    assert_eq!(names, ["00000000000000000003.checkpoint", "00000000000000000004.checkpoint"]);
}

#[test]
fn every_flipped_bit_leads_to_the_older_checkpoint() {
    let disk = disk_with(&[1, 2]);
    for bit in 0..file_bytes(&disk, 2).len() as u64 * 8 {
        disk.flip_bit(&path(2), bit);
        assert_older(&disk, &format!("bit {bit}"));
        disk.flip_bit(&path(2), bit);
    }
}

#[test]
fn a_group_travels_alone_and_every_flipped_bit_and_cut_of_it_is_noticed() {
    let group = checkpoint(7).groups.remove(1);
    let bytes = group.encode();
    assert_eq!(GroupCheckpoint::decode(&bytes), Ok(group));
    assert!(GroupCheckpoint::decode(&file_bytes(&disk_with(&[1]), 1).into()).is_err(), "two groups");
    for length in 0..bytes.len() {
        assert!(GroupCheckpoint::decode(&bytes.slice(..length)).is_err(), "cut to {length}");
    }
    for bit in 0..bytes.len() * 8 {
        let mut flipped = bytes.to_vec();
        flipped[bit / 8] ^= 1 << (bit % 8);
        assert!(GroupCheckpoint::decode(&flipped.into()).is_err(), "bit {bit}");
    }
}

#[test]
fn every_cut_and_every_addition_leads_to_the_older_checkpoint() {
    let disk = disk_with(&[1, 2]);
    let whole = file_bytes(&disk, 2);
    for length in 0..whole.len() {
        put_file(&disk, 2, &whole[..length]);
        assert_older(&disk, &format!("cut to {length}"));
    }
    put_file(&disk, 2, &[&whole[..], &[0]].concat());
    assert_older(&disk, "a byte more");
    put_file(&disk, 2, &file_bytes(&disk, 1));
    assert_older(&disk, "the older one under the newer's name");
}

#[test]
fn a_lone_damaged_checkpoint_is_refused_with_its_name() {
    let disk = disk_with(&[2]);
    for bit in 0..file_bytes(&disk, 2).len() as u64 * 8 {
        disk.flip_bit(&path(2), bit);
        let refused = load_from(&disk).expect_err("nothing is whole");
        assert!(matches!(&refused, CheckpointError::AllDamaged { path: file, .. } if *file == path(2)));
        disk.flip_bit(&path(2), bit);
    }
}

#[test]
fn the_log_may_be_purged_up_to_where_both_files_reach_and_only_while_both_are_whole() {
    let dir = Path::new(DIR);
    let disk = disk_with(&[1]);
    assert_eq!(kept(&disk, dir).expect("whole"), None, "there is only one");
    let with_ends = |sequence, ends: &[(u8, u64)]| Checkpoint {
        sequence,
        durable_lsn: 0,
        groups: ends
            .iter()
            .map(|(group, index)| GroupCheckpoint {
                group: *group,
                applied: Some((1, *index)),
                state: Bytes::new(),
                shards: Vec::new(),
            })
            .collect(),
    };
    write(&disk, dir, &with_ends(2, &[(0, 7), (1, 9)])).expect("written");
    write(&disk, dir, &with_ends(3, &[(0, 8), (1, 8), (2, 5)])).expect("written");
    let ends = kept(&disk, dir).expect("whole").expect("there are two");
    assert_eq!(ends.into_iter().collect::<Vec<_>>(), [(0, 7), (1, 8)]);
    disk.flip_bit(&path(2), 9);
    assert!(matches!(kept(&disk, dir), Err(CheckpointError::AllDamaged { .. })), "nothing may be purged");
    disk.remove_file(&path(2)).expect("removed");
    assert_eq!(kept(&disk, dir).expect("whole"), None);
}

#[test]
fn a_newer_format_is_refused_rather_than_passed_over() {
    let disk = disk_with(&[1, 2]);
    let mut bytes = file_bytes(&disk, 2);
    bytes[8] = 3;
    let checksum = crc32fast::hash(&bytes[..32]);
    bytes[32..36].copy_from_slice(&checksum.to_le_bytes());
    put_file(&disk, 2, &bytes);
    assert!(matches!(load_from(&disk), Err(CheckpointError::UnknownVersion { version: 3, .. })));
}

#[test]
fn a_full_disk_and_a_failed_sync_leave_the_checkpoints_before() {
    let disk = disk_with(&[1]);
    disk.set_capacity(file_bytes(&disk, 1).len() as u64 + 100);
    let refused = write(&disk, Path::new(DIR), &checkpoint(2));
    assert!(matches!(refused, Err(CheckpointError::NoSpace { .. })));
    disk.set_capacity(u64::MAX);
    disk.fail_next_sync();
    let refused = write(&disk, Path::new(DIR), &checkpoint(2));
    assert!(matches!(refused, Err(CheckpointError::Io { action: "sync", .. })));
    disk.crash();
    let loaded = load_from(&disk).expect("whole").expect("there is one");
    assert_eq!(loaded, Loaded { checkpoint: checkpoint(1), damaged_newer: None });
    write(&disk, Path::new(DIR), &checkpoint(3)).expect("there is space again");
    assert_eq!(disk.list(Path::new(DIR)).expect("listed").len(), 2, "nothing unfinished is left");
}

#[test]
fn a_crash_at_any_operation_leaves_the_old_or_the_new_checkpoint() {
    for seed in 0..40 {
        for operations in 0..12 {
            let disk = SimDisk::new(seed);
            for sequence in 1..4 {
                write(&disk, Path::new(DIR), &checkpoint(sequence)).expect("the power is on");
            }
            disk.cut_power_after(operations);
            let written = write(&disk, Path::new(DIR), &checkpoint(4)).is_ok();
            disk.crash();
            let loaded = load_from(&disk).expect("whole").expect("there is one");
            assert_eq!(loaded.damaged_newer, None);
            assert!(loaded.checkpoint == checkpoint(4) || !written && loaded.checkpoint == checkpoint(3));
        }
    }
}

#[test]
fn checkpoints_of_format_version_2_have_these_bytes_and_are_readable() {
    let written = file_bytes(&disk_with(&[9]), 9);
    let golden = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden/checkpoint-v2.checkpoint");
    if std::env::var_os("TIDELOG_WRITE_GOLDEN").is_some() {
        std::fs::write(&golden, &written).expect("the golden file is written");
    }
    let golden = std::fs::read(golden).expect("the golden file is there");
    assert!(written == golden, "the bytes of checkpoints have changed: raise the format's version");
    let disk = SimDisk::new(1);
    put_file(&disk, 9, &golden);
    assert_eq!(load_from(&disk).expect("whole").expect("there is one").checkpoint, checkpoint(9));
}

#[test]
fn checkpoints_of_format_version_1_are_readable_and_say_nothing_of_the_log() {
    let golden = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden/checkpoint-v1.checkpoint");
    let disk = SimDisk::new(1);
    put_file(&disk, 9, &std::fs::read(golden).expect("the golden file is there"));
    let loaded = load_from(&disk).expect("whole").expect("there is one").checkpoint;
    assert_eq!(loaded, Checkpoint { durable_lsn: 0, ..checkpoint(9) });
}
