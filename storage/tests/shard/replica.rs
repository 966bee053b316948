//! A node's storage as the broker drives it, with transfers of files from another one.
#![allow(dead_code, reason = "every test file uses its part")]

use std::collections::BTreeSet;
use std::path::Path;
use std::sync::Arc;

use bytes::Bytes;
use tidelog_storage::checkpoint::{self, Checkpoint, GroupCheckpoint};
use tidelog_storage::flusher::Flusher;
use tidelog_storage::shard::{ShardCheckpoint, ShardError, ShardKey, ShardLog, ShardStore, StoreOptions};
use tidelog_storage::transfer::{Staging, Wanted};
use tidelog_storage::{SimDisk, checkpoint::CheckpointError};

use crate::model::{CHECKPOINTS, SHARDS};

/// The group that is taken over in these tests; group 2 has one shard of its own.
pub const GROUP: u8 = 1;

pub struct Replica {
    pub disk: SimDisk,
    pub options: StoreOptions,
    pub store: Arc<ShardStore>,
    pub flusher: Flusher,
    pub sequence: u64,
}

fn failed(error: CheckpointError) -> ShardError {
    ShardError::Io { action: "write", path: CHECKPOINTS.into(), source: std::io::Error::other(error) }
}

impl Replica {
    pub fn new(seed: u64, options: StoreOptions) -> Replica {
        Replica::open(SimDisk::new(seed), options).expect("an empty disk").0
    }

    /// Recovers the contents of the disk; gives the index up to which group 1 was applied.
    pub fn open(disk: SimDisk, options: StoreOptions) -> Result<(Replica, u64), ShardError> {
        let loaded = checkpoint::load(&disk, Path::new(CHECKPOINTS)).map_err(failed)?;
        let saved = loaded.map(|loaded| loaded.checkpoint);
        let sequence = saved.as_ref().map_or(0, |saved| saved.sequence);
        let groups = saved.map(|saved| saved.groups).unwrap_or_default();
        let index = groups.iter().find(|saved| saved.group == GROUP).and_then(|saved| saved.applied);
        let shards = groups.into_iter().flat_map(|group| group.shards).collect();
        let store = ShardStore::open(Arc::new(disk.clone()), SHARDS.into(), options, shards)?;
        let flusher = Flusher::new(store.clone());
        Ok((Replica { disk, options, store, flusher, sequence }, index.map_or(0, |at| at.1)))
    }

    pub fn shard(&self, key: ShardKey) -> Arc<ShardLog> {
        self.store.create(key)
    }

    /// Makes a checkpoint of these shards durable; returns its part for group 1.
    pub fn checkpoint(&mut self, keys: &[ShardKey], index: u64) -> Result<GroupCheckpoint, ShardError> {
        let logs: Vec<_> = keys.iter().map(|key| self.shard(*key)).collect();
        let shards = self.flusher.checkpoint(logs.iter().map(|log| log.snapshot()).collect())?;
        let group = GroupCheckpoint { group: GROUP, applied: Some((1, index)), state: Bytes::new(), shards };
        self.write(group.clone())?;
        self.flusher.unlink()?;
        Ok(group)
    }

    fn write(&mut self, group: GroupCheckpoint) -> Result<(), ShardError> {
        let newer = Checkpoint { sequence: self.sequence + 1, durable_lsn: 0, groups: vec![group] };
        checkpoint::write(&self.disk, Path::new(CHECKPOINTS), &newer).map_err(failed)?;
        self.sequence += 1;
        Ok(())
    }

    /// Pulls the files that the manifest needs and this node lacks, in pieces; gives the bytes pulled.
    pub fn pull(
        &self,
        from: &ShardStore,
        manifest: &[ShardCheckpoint],
        piece: u64,
    ) -> Result<u64, ShardError> {
        let mut pulled = 0;
        for wanted in self.store.wanted(manifest)? {
            pulled += pull_file(self.store.staging(), from, &wanted, piece)?;
            match self.store.staging().complete(&wanted.need) {
                // A power cut has torn bytes that were staged before it.
                Err(ShardError::Damaged { .. }) if wanted.from > 0 => {
                    pulled +=
                        pull_file(self.store.staging(), from, &Wanted { from: 0, ..wanted.clone() }, piece)?;
                    self.store.staging().complete(&wanted.need)?;
                }
                completed => completed?,
            }
        }
        Ok(pulled)
    }

    /// Pulls and takes over a group's state, as the broker does.
    pub fn install(
        &mut self,
        from: &ShardStore,
        group: &GroupCheckpoint,
        piece: u64,
    ) -> Result<(), ShardError> {
        self.pull(from, &group.shards, piece)?;
        assert!(self.flusher.prepare_install(&group.shards)?, "everything was pulled");
        self.write(group.clone())?;
        let old: BTreeSet<ShardKey> = group.shards.iter().map(|shard| shard.key).collect();
        let old: Vec<ShardKey> = old.into_iter().collect();
        let logs = self.flusher.install(&old, &group.shards)?;
        assert_eq!(logs.len(), group.shards.len());
        Ok(())
    }

    /// Repairs one listed segment from another node. False when there was nothing to repair any more.
    pub fn repair(
        &self,
        from: &ShardStore,
        (key, first_ordinal): (ShardKey, u64),
    ) -> Result<bool, ShardError> {
        let Some(wanted) = self.store.repair_need(key, first_ordinal)? else { return Ok(false) };
        pull_file(self.store.repairs(), from, &wanted, 5_000)?;
        self.store.replace_segment(&wanted.need)
    }
}

pub fn pull_file(
    staging: &Staging,
    from: &ShardStore,
    wanted: &Wanted,
    piece: u64,
) -> Result<u64, ShardError> {
    let Wanted { need, from: start } = wanted;
    let mut offset = *start;
    while offset < need.bytes {
        let bytes = from.read_file(need.key, need.first_ordinal, offset, piece.min(need.bytes - offset))?;
        if bytes.is_empty() {
            break;
        }
        staging.append(need, offset, &bytes)?;
        offset += bytes.len() as u64;
    }
    Ok(offset - start)
}

/// Compares every file of a shard that both have and says how many those are.
pub fn same_files(left: &SimDisk, right: &SimDisk, key: ShardKey, is_sealed: impl Fn(&str) -> bool) -> usize {
    let names = crate::model::segments_of(left, key);
    let common: Vec<_> = names.iter().filter(|name| is_sealed(name)).collect();
    for name in &common {
        let path = crate::model::segment_path(key, name);
        let bytes = [left, right].map(|disk| crate::model::file_bytes(disk, &path));
        assert!(bytes[0] == bytes[1], "{} differs", path.display());
    }
    common.len()
}
