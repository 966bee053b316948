//! The expected state of a shard, as plain vectors; and the steps the broker takes around a store.
#![allow(dead_code, reason = "every test file uses its part")]

use std::path::Path;
use std::sync::Arc;

use bytes::Bytes;
use tidelog_storage::checkpoint::{self, Checkpoint, GroupCheckpoint};
use tidelog_storage::flusher::Flusher;
use tidelog_storage::record::RecordRef;
use tidelog_storage::shard::{
    ReadLimit, ReadRecord, ShardCheckpoint, ShardError, ShardKey, ShardLog, ShardStore, StoreOptions,
};
use tidelog_storage::{Disk, SimDisk, disk::Open};

pub const SHARDS: &str = "data/shards";
pub const CHECKPOINTS: &str = "data/checkpoint";
pub const ALL: ReadLimit = ReadLimit { records: usize::MAX, bytes: usize::MAX };

pub fn small_options() -> StoreOptions {
    StoreOptions {
        segment_bytes: 20_000,
        segment_age_ms: 10_000,
        flush_until_bytes: 8_192,
        tail_bytes_max: 8_192,
        open_files_max: 3,
        ..StoreOptions::default()
    }
}

pub fn key(shard: u32) -> ShardKey {
    ShardKey { stream_uid: 7 + u64::from(shard) % 2, shard }
}

/// A sub-batch with records that tell their place; every third has no key.
pub fn body(seed: u64, count: u32, data_bytes: usize) -> (Bytes, u32) {
    let mut out = Vec::new();
    for number in 0..count {
        let partition_key = format!("key-{seed}-{number}");
        let mut data = format!("{seed}/{number}/").into_bytes();
        data.resize(data_bytes, (seed as u8).wrapping_mul(31).wrapping_add(number as u8));
        let key = (number % 3 != 2).then_some(partition_key.as_bytes());
        RecordRef { key, data: &data }.encode(&mut out);
    }
    let checksum = crc32fast::hash(&out);
    (out.into(), checksum)
}

pub fn apply(log: &ShardLog, seed: u64, time_ms: u64, count: u32, data_bytes: usize) {
    let (body, checksum) = body(seed, count, data_bytes);
    log.apply(time_ms, count, body, checksum);
}

/// A shard as plain vectors.
#[derive(Clone, Debug, Default)]
pub struct Model {
    pub records: Vec<(u64, Option<Vec<u8>>, Vec<u8>)>,
    pub trim_ordinal: u64,
}

impl Model {
    pub fn apply(&mut self, time_ms: u64, body: Bytes) {
        let time_ms = time_ms.max(self.records.last().map_or(0, |record| record.0));
        for record in tidelog_storage::record::Records::new(body) {
            let record = record.expect("a body this test encoded");
            let key = record.partition_key.map(|key| key.to_vec());
            self.records.push((time_ms, key, record.data.to_vec()));
        }
    }

    pub fn trim(&mut self, ordinal: u64) {
        self.trim_ordinal = self.trim_ordinal.max(ordinal.min(self.next_ordinal()));
    }

    pub fn next_ordinal(&self) -> u64 {
        self.records.len() as u64 + 1
    }

    pub fn first_ordinal(&self) -> u64 {
        self.trim_ordinal.max(1)
    }

    /// Whether this is the record with that ordinal.
    pub fn is_same(&self, read: &ReadRecord) -> bool {
        let (time_ms, key, data) = &self.records[read.ordinal as usize - 1];
        (*time_ms, key.as_deref(), &data[..])
            == (read.time_ms, read.record.partition_key.as_deref(), &read.record.data[..])
    }

    /// Reads the shard from `from` to its end in steps of `limit` and compares all of it.
    pub fn check_reads(&self, log: &ShardLog, from: u64, limit: ReadLimit) {
        let mut expected = from.max(self.first_ordinal());
        let mut next = from;
        while expected < self.next_ordinal() {
            let batch = log.read(next, limit).expect("an undamaged shard is readable");
            assert!(!batch.records.is_empty(), "there is a record at {expected}");
            assert!(batch.records.len() <= limit.records.max(1));
            let bytes: usize = batch.records.iter().map(|record| record.record.charged_bytes()).sum();
            assert!(bytes <= limit.bytes || batch.records.len() == 1);
            if let Some(memory) = log.read_memory(next, limit) {
                assert_eq!(memory.records[0], batch.records[0]);
            }
            for record in &batch.records {
                assert_eq!(record.ordinal, expected);
                assert!(self.is_same(record), "ordinal {expected}");
                expected += 1;
            }
            assert_eq!(batch.next_ordinal, expected);
            next = expected;
        }
        assert!(log.read(next, limit).expect("the end is readable").records.is_empty());
        assert!(log.read_memory(next, limit).expect("the end is in memory").records.is_empty());
    }

    /// Compares bounds, times and the search by time.
    pub fn check_times(&self, log: &ShardLog) {
        let bounds = log.bounds();
        assert_eq!((bounds.first_ordinal, bounds.next_ordinal), (self.first_ordinal(), self.next_ordinal()));
        assert_eq!(bounds.last_time_ms, self.records.last().map_or(0, |record| record.0));
        let first = self.records.get(self.first_ordinal() as usize - 1).map(|record| record.0);
        assert_eq!(bounds.oldest_time_ms.is_some(), first.is_some());
        assert!(bounds.oldest_time_ms <= first);
        let step = (self.records.len() / 12).max(1);
        for (number, record) in self.records.iter().enumerate().step_by(step) {
            let ordinal = number as u64 + 1;
            let readable = ordinal >= self.first_ordinal();
            assert_eq!(log.time_of(ordinal).expect("readable"), readable.then_some(record.0));
            for time_ms in [record.0, record.0 + 1] {
                let after = self.records.partition_point(|record| record.0 < time_ms) as u64 + 1;
                let found = log.ordinal_at_time(time_ms).expect("readable");
                assert_eq!(found, after.max(self.first_ordinal()), "time {time_ms}");
            }
        }
        assert_eq!(log.time_of(self.next_ordinal()).expect("readable"), None);
    }
}

pub fn open(disk: &SimDisk, options: StoreOptions, shards: Vec<ShardCheckpoint>) -> Arc<ShardStore> {
    ShardStore::open(Arc::new(disk.clone()), SHARDS.into(), options, shards).expect("the directory is whole")
}

/// Cuts the shards and makes a checkpoint of them durable.
pub fn checkpoint(
    disk: &SimDisk,
    flusher: &mut Flusher,
    logs: &[Arc<ShardLog>],
    (sequence, index): (u64, u64),
) -> Result<Vec<ShardCheckpoint>, ShardError> {
    let shards = flusher.checkpoint(logs.iter().map(|log| log.snapshot()).collect())?;
    let group =
        GroupCheckpoint { group: 1, applied: Some((1, index)), state: Bytes::new(), shards: shards.clone() };
    let whole = Checkpoint { sequence, durable_lsn: 0, groups: vec![group] };
    checkpoint::write(disk, Path::new(CHECKPOINTS), &whole).map_err(|_| ShardError::Io {
        action: "write",
        path: CHECKPOINTS.into(),
        source: std::io::Error::other("no checkpoint"),
    })?;
    Ok(shards)
}

pub fn file_bytes(disk: &dyn Disk, path: &Path) -> Vec<u8> {
    let file = disk.open(path, Open::Read).expect("the file is there");
    let mut bytes = vec![0; file.len().expect("a length") as usize];
    file.read_exact_at(&mut bytes, 0).expect("the file is readable");
    bytes
}

pub fn segments_of(disk: &dyn Disk, key: ShardKey) -> Vec<String> {
    disk.list(&Path::new(SHARDS).join(format!("{}/{}", key.stream_uid, key.shard))).unwrap_or_default()
}

pub fn segment_path(key: ShardKey, name: &str) -> std::path::PathBuf {
    Path::new(SHARDS).join(format!("{}/{}/{name}", key.stream_uid, key.shard))
}
