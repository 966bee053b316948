//! Damaged segment files: an error or the right records, never wrong ones. And the bytes of format version 1.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::model::{ALL, Model, SHARDS, body, file_bytes, key, segment_path, small_options};
use tidelog_storage::flusher::Flusher;
use tidelog_storage::shard::{ShardCheckpoint, ShardError, ShardLog, ShardStore};
use tidelog_storage::{Disk, SimDisk, disk::Open};

/// A sealed segment of one block, an open one of a block and a remainder, and their records.
struct Files {
    disk: SimDisk,
    checkpoint: ShardCheckpoint,
    model: Model,
    sealed: PathBuf,
    open: PathBuf,
}

fn files() -> Files {
    let disk = SimDisk::new(1);
    let store = crate::model::open(&disk, small_options(), Vec::new());
    let log = store.create(key(0));
    let mut model = Model::default();
    let batches = [(1_000, 3, 40), (1_250, 1, 0), (2_000, 2, 700), (11_000, 3, 30), (11_001, 4, 1_100)];
    for (seed, (time_ms, count, data_bytes)) in batches.into_iter().enumerate() {
        let (body, checksum) = body(seed as u64, count, data_bytes);
        model.apply(time_ms, body.clone());
        log.apply(time_ms, count, body, checksum);
    }
    let mut shards = Flusher::new(store).checkpoint(vec![log.snapshot()]).expect("there is space");
    let names = crate::model::segments_of(&disk, key(0));
    assert_eq!(names, ["00000000000000000001.seg", "00000000000000000007.seg"]);
    let path = |number: usize| segment_path(key(0), &names[number]);
    Files { sealed: path(0), open: path(1), disk, checkpoint: shards.remove(0), model }
}

impl Files {
    fn reopen(&self) -> Result<(Arc<ShardStore>, Arc<ShardLog>), ShardError> {
        let disk = Arc::new(self.disk.clone());
        let store = ShardStore::open(disk, SHARDS.into(), small_options(), vec![self.checkpoint.clone()])?;
        let log = store.get(key(0)).expect("the checkpoint has the shard");
        Ok((store, log))
    }

    /// Reads everything from `from` on; every record must be right. Returns whether nothing damaged was met: bytes
    /// that are not a record's are noted, and the records are given.
    fn read_all(&self, from: u64) -> bool {
        let mut is_noted = false;
        let read = self.reopen().and_then(|(store, log)| {
            let mut batch = log.read(from, ALL)?;
            assert_eq!(log.time_of(2)?, Some(self.model.records[1].0));
            assert_eq!(log.ordinal_at_time(1_001)?, 4);
            batch.records.extend(log.read(batch.next_ordinal, ALL)?.records);
            is_noted = !store.damaged().is_empty();
            Ok(batch.records)
        });
        let records = match read {
            Ok(records) => records,
            Err(ShardError::Damaged { .. }) => return false,
            Err(other) => panic!("damage is called damage, not {other}"),
        };
        assert_eq!(records.len() as u64, self.model.next_ordinal() - from);
        for record in records {
            let (time_ms, key, data) = &self.model.records[record.ordinal as usize - 1];
            assert_eq!((record.time_ms, &record.record.data[..]), (*time_ms, &data[..]));
            assert_eq!(record.record.partition_key.as_deref(), key.as_deref());
        }
        !is_noted
    }
}

#[test]
fn every_flipped_bit_of_a_sealed_segment_is_noticed() {
    let files = files();
    assert!(files.read_all(1));
    for bit in 0..file_bytes(&files.disk, &files.sealed).len() as u64 * 8 {
        files.disk.flip_bit(&files.sealed, bit);
        assert!(!files.read_all(1), "bit {bit}");
        files.disk.flip_bit(&files.sealed, bit);
    }
    assert!(files.read_all(1));
}

#[test]
fn every_flipped_bit_of_an_open_segment_is_noticed() {
    let files = files();
    let mut bits = 0;
    for bit in 0..file_bytes(&files.disk, &files.open).len() as u64 * 8 {
        files.disk.flip_bit(&files.open, bit);
        assert!(!files.read_all(1), "bit {bit}");
        files.disk.flip_bit(&files.open, bit);
        bits += 1;
    }
    assert_eq!(bits, 4_096 * 8);
}

#[test]
fn every_flipped_bit_of_the_remainder_is_noticed() {
    let mut files = files();
    let whole = files.checkpoint.clone();
    let remainder = whole.open.clone().expect("a segment is open").remainder;
    assert!(!remainder.is_empty());
    for bit in 0..remainder.len() * 8 {
        let mut flipped = remainder.to_vec();
        flipped[bit / 8] ^= 1 << (bit % 8);
        files.checkpoint.open.as_mut().expect("a segment is open").remainder = flipped.into();
        assert!(!files.read_all(1), "bit {bit}");
    }
}

#[test]
fn every_cut_of_a_segment_is_noticed() {
    let files = files();
    for path in [&files.sealed, &files.open] {
        let whole = file_bytes(&files.disk, path);
        for length in 0..whole.len() as u64 {
            let file = files.disk.open(path, Open::Write).expect("the file is there");
            file.set_len(length).expect("cut");
            assert!(!files.read_all(1), "{} cut to {length}", path.display());
            file.set_len(0).and_then(|()| file.write_all_at(&whole, 0)).expect("restored");
        }
        assert!(files.read_all(1));
    }
}

#[test]
fn bytes_behind_the_checkpoint_are_truncated_and_strange_files_go() {
    let files = files();
    let whole = file_bytes(&files.disk, &files.open);
    let file = files.disk.open(&files.open, Open::Write).expect("the file is there");
    file.write_all_at(&[0xAA; 9_000], whole.len() as u64).expect("written");
    let newer = segment_path(key(0), "00000000000000000099.seg");
    let other_stream = Path::new(SHARDS).join("12345/0");
    files.disk.open(&newer, Open::Create).expect("created");
    files.disk.create_dir_all(&other_stream).expect("created");
    assert!(files.read_all(1));
    assert_eq!(file_bytes(&files.disk, &files.open), whole);
    assert!(files.disk.open(&newer, Open::Read).is_err());
    assert!(files.disk.list(&other_stream).is_err());
}

#[test]
fn segments_of_format_version_1_have_these_bytes_and_are_readable() {
    let files = files();
    let golden = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden/segment-v1.seg");
    let written = file_bytes(&files.disk, &files.sealed);
    if std::env::var_os("TIDELOG_WRITE_GOLDEN").is_some() {
        std::fs::write(&golden, &written).expect("the golden file is written");
    }
    let golden = std::fs::read(golden).expect("the golden file is there");
    assert!(written == golden, "the bytes of segments have changed: raise the format's version");
    let file = files.disk.open(&files.sealed, Open::Create).expect("created");
    file.write_all_at(&golden, 0).expect("written");
    assert!(files.read_all(1));
}
