//! The state of one data group: which applying its log changes.
//!
//! Applying is a pure function of the log: no clock, no random number, no map with a seeded order.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use bytes::Bytes;
use tidelog_proto::stored::{self, data_command};
use tidelog_storage::shard::{Appended, Bounds, ShardKey, ShardLog, ShardSnapshot, ShardStore};
use tidelog_tables::{self as tables, Tables};

use super::deleted_streams::DeletedStreams;
use super::notifications::Notifications;
use super::producers::Producers;
use super::stored::read_producers;
use crate::model::producers::Table;
use crate::replication::types::command::SubBatch;
use crate::replication::types::outcome::{AppendOutcome, Outcome, TableAnswer};

/// The state of one data group.
pub struct DataState {
    /// The node's shards.
    store: Arc<ShardStore>,
    /// This group's shards.
    shards: BTreeMap<ShardKey, Arc<ShardLog>>,
    /// Shards that take no records any more.
    sealed: BTreeSet<ShardKey>,
    deleted: DeletedStreams,
    producers: Producers,
    lease_tables: Tables,
    /// Changes of lease tables since this node runs; no part of the replicated state.
    lease_table_changes: u64,
    notifications: Arc<Notifications>,
}

impl DataState {
    /// The state of a group without shards.
    pub fn new(store: Arc<ShardStore>, notifications: Arc<Notifications>) -> Self {
        Self {
            store,
            shards: BTreeMap::new(),
            sealed: BTreeSet::new(),
            deleted: DeletedStreams::default(),
            producers: Producers::default(),
            lease_tables: Tables::default(),
            lease_table_changes: 0,
            notifications,
        }
    }

    /// Appends the records of a sub-batch to its shard.
    pub fn append(&mut self, batch: &SubBatch) -> AppendOutcome {
        let Some(shard) = self.shards.get(&batch.shard) else { return AppendOutcome::NoSuchShard };
        if self.sealed.contains(&batch.shard) {
            return AppendOutcome::Sealed;
        }
        let write = |count, body, body_crc| shard.apply(batch.time_ms, count, body, body_crc);
        let outcome = match batch.origin.as_deref() {
            None => {
                self.producers.pass(batch.time_ms);
                let Appended { first_ordinal, time_ms } =
                    write(batch.count, batch.body.clone(), batch.body_crc);
                AppendOutcome::Appended { first_ordinal, time_ms }
            }
            Some(origin) => self.producers.append(batch, origin, write),
        };
        self.notifications.notify(batch.shard);
        outcome
    }

    /// Applies a control command.
    ///
    /// # Panics
    /// When a newer version has written the command.
    pub fn control(&mut self, command: &stored::DataCommand) -> Outcome {
        if let Some(outcome) = self.deleted.judge(command) {
            return outcome;
        }
        match command.command.as_ref().expect("a data command of a newer version") {
            data_command::Command::OpenShards(open) => self.open(keys(open.uid, &open.shards)),
            data_command::Command::DropStream(stream) => self.drop_stream(stream.uid),
            data_command::Command::Trim(trim) => self.trim(trim),
            data_command::Command::SkipOrdinals(skip) => self.skip_ordinals(skip),
            data_command::Command::SealAndOpen(step) => return self.seal_and_open(step),
            data_command::Command::DropShards(drop) => self.drop_shards(keys(drop.uid, &drop.shards)),
            data_command::Command::CopyProducers(copy) => self.copy_producers(copy),
            data_command::Command::LeaseTables(command) => return self.change_tables(command),
        }
        Outcome::Done
    }

    fn open(&mut self, keys: impl Iterator<Item = ShardKey>) {
        for key in keys {
            self.shards.insert(key, self.store.create(key));
        }
    }

    fn drop_stream(&mut self, uid: u64) {
        self.shards.retain(|key, _| key.stream_uid != uid);
        self.sealed.retain(|key| key.stream_uid != uid);
        self.producers.forget(|key| key.stream_uid == uid);
        self.store.remove_stream(uid);
    }

    fn trim(&self, trim: &stored::Trim) {
        for point in &trim.points {
            let key = ShardKey { stream_uid: point.uid, shard: point.shard };
            if let Some(shard) = self.shards.get(&key) {
                shard.trim(point.ordinal);
            }
        }
    }

    fn skip_ordinals(&mut self, skip: &stored::SkipOrdinals) {
        for point in &skip.points {
            let key = ShardKey { stream_uid: point.uid, shard: point.shard };
            // One whose opening was given up as well is opened again later, and goes on from there.
            let shard = self.shards.entry(key).or_insert_with(|| self.store.create(key));
            shard.skip_to(point.ordinal);
        }
    }

    /// Opens the children of a reshard and seals their parents; gives where these end.
    fn seal_and_open(&mut self, step: &stored::SealAndOpen) -> Outcome {
        self.open(keys(step.uid, &step.opened));
        let seal = |key: ShardKey| {
            let shard = self.shards.get(&key)?;
            self.sealed.insert(key);
            Some((key.shard, shard.bounds().next_ordinal))
        };
        Outcome::Sealed(keys(step.uid, &step.sealed).filter_map(seal).collect())
    }

    fn drop_shards(&mut self, keys: impl Iterator<Item = ShardKey>) {
        for key in keys {
            self.shards.remove(&key);
            self.sealed.remove(&key);
            self.producers.forget(|gone| *gone == key);
            self.store.remove_shard(key);
        }
    }

    fn copy_producers(&mut self, copy: &stored::CopyProducers) {
        let key = ShardKey { stream_uid: copy.uid, shard: copy.shard };
        if self.shards.contains_key(&key) && !self.sealed.contains(&key) {
            let table = read_producers(&copy.producers).expect("producers of a newer version");
            // A command of an earlier version says no time: that of this group.
            let clock_ms = match copy.clock_ms {
                0 => self.producers.clock_ms(),
                clock_ms => clock_ms,
            };
            self.producers.remember_all(key, table, clock_ms);
        }
    }

    fn change_tables(&mut self, command: &[u8]) -> Outcome {
        self.lease_table_changes += 1;
        let command = tables::Command::decode(command).expect("a command of lease tables of a newer version");
        Outcome::Table(match self.lease_tables.apply(&command) {
            Ok(tables::Outcome::Overtaken) => {
                TableAnswer { status: TableAnswer::OVERTAKEN, body: Bytes::new() }
            }
            Ok(outcome) => TableAnswer { status: 200, body: outcome.into_body().into() },
            Err(fault) => TableAnswer { status: fault.status(), body: fault.body().into() },
        })
    }

    /// The group's lease tables.
    pub fn lease_tables(&self) -> &Tables {
        &self.lease_tables
    }

    /// Grows with each change of the lease tables, as long as this node runs.
    pub fn lease_table_changes(&self) -> u64 {
        self.lease_table_changes
    }

    /// Takes the shards of a checkpoint, which the store has opened.
    ///
    /// # Errors
    /// When a shard is not open.
    pub fn attach(&mut self, keys: impl Iterator<Item = ShardKey>) -> Result<(), String> {
        for key in keys {
            let shard = self.store.get(key);
            let shard = shard.ok_or_else(|| format!("shard {key:?} of the checkpoint is not open"))?;
            self.shards.insert(key, shard);
        }
        Ok(())
    }

    /// The group's shards.
    pub fn keys(&self) -> Vec<ShardKey> {
        self.shards.keys().copied().collect()
    }

    /// Replaces the shards by these, and notifies readers that wait for records of the old and the new shards.
    pub fn replace(&mut self, logs: Vec<Arc<ShardLog>>) {
        let old = std::mem::take(&mut self.shards);
        self.shards = logs.into_iter().map(|log| (log.key(), log)).collect();
        for key in old.keys().chain(self.shards.keys()) {
            self.notifications.notify(*key);
        }
    }

    /// The state as a checkpoint stores it, without the group's members.
    pub fn store(&self) -> stored::DataState {
        let sealed = self.sealed.iter().map(|of| stored::ShardRef { uid: of.stream_uid, shard: of.shard });
        stored::DataState {
            sealed: sealed.collect(),
            dropped: self.deleted.store(),
            lease_tables: match self.lease_tables.is_empty() {
                true => Bytes::new(),
                false => self.lease_tables.snapshot().into(),
            },
            ..self.producers.store()
        }
    }

    /// Takes over the broker's part of a checkpoint's state. The shards come by [`Self::attach`] or [`Self::replace`].
    ///
    /// # Errors
    /// When a newer version has stored it.
    pub fn restore(&mut self, stored: &stored::DataState) -> Result<(), String> {
        let sealed = stored.sealed.iter().map(|of| ShardKey { stream_uid: of.uid, shard: of.shard });
        self.deleted = DeletedStreams::restore(&stored.dropped);
        self.sealed = sealed.collect();
        self.producers = Producers::restore(stored)?;
        self.lease_table_changes += 1;
        self.lease_tables = match stored.lease_tables.is_empty() {
            true => Tables::default(),
            false => Tables::read_snapshot(&stored.lease_tables)
                .map_err(|damaged| format!("checkpointed lease tables: {damaged}"))?,
        };
        Ok(())
    }

    /// Where the records of the shards begin and end; records that are hidden because they have expired count, as they
    /// do in a checkpoint.
    pub fn bounds(&self) -> Vec<(ShardKey, Bounds)> {
        self.shards.iter().map(|(key, shard)| (*key, shard.untrimmed())).collect()
    }

    /// The shards as they are now.
    pub fn snapshot_shards(&self) -> Vec<ShardSnapshot> {
        self.shards.values().map(|shard| shard.snapshot()).collect()
    }

    /// The producers that a shard remembers.
    pub fn producers_of(&self, key: ShardKey) -> Option<&Table> {
        self.producers.of(key)
    }

    /// The time by which the group forgets producers.
    pub fn producers_clock_ms(&self) -> u64 {
        self.producers.clock_ms()
    }
}

fn keys(stream_uid: u64, shards: &[u32]) -> impl Iterator<Item = ShardKey> + '_ {
    shards.iter().map(move |shard| ShardKey { stream_uid, shard: *shard })
}
