//! The producers that the shards of one data group remember: part of the group's state, changed by its apply
//! task alone.
//!
//! A pure function of the log: every replica, and the next leader, remembers and forgets the same. The clock that
//! expires producers is therefore the *log's time* and no clock of a node. It begins with the first batch that is
//! remembered and follows the newest arrival time in the group. It advances at most a minute per arrival, so that no
//! clock step, back or forward, expires a producer early. While no records arrive it stands still, and producers are
//! remembered longer.

use std::collections::BTreeMap;

use bytes::Bytes;
use tidelog_proto::stored;
use tidelog_storage::record::choose;
use tidelog_storage::shard::{Appended, ShardKey};

use super::stored::{read_producers, store_producer};
use crate::model::producers::{Run, Table, positions};
use crate::replication::types::command::{Origin, SubBatch};
use crate::replication::types::outcome::AppendOutcome;

/// Producers and batches that a group's shards remember in all. Their state has to fit a message between nodes: at
/// about a hundred bytes each they take a quarter of it.
const ENTRIES_MAX: usize = 256 << 10;
/// Milliseconds of the log's time between two looks for producers to be forgotten.
const LOOK_MS: u64 = 60_000;
/// Milliseconds by which one arrival advances the log's time at most, whatever its stamp.
const STEP_MS: u64 = 60_000;

/// The tables of a group's shards.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Producers {
    /// None is empty.
    tables: BTreeMap<ShardKey, Table>,
    /// The log's time.
    clock_ms: u64,
    /// The newest arrival that the log's time has followed.
    newest_ms: u64,
    /// Producers and batches of all tables.
    entries: usize,
}

impl Producers {
    /// Advances the log's time to the arrival of records without a stamp.
    pub fn pass(&mut self, time_ms: u64) {
        if self.tables.is_empty() {
            return;
        }
        self.set_clock(time_ms);
    }

    fn set_clock(&mut self, time_ms: u64) {
        if self.tables.is_empty() {
            (self.clock_ms, self.newest_ms) = (time_ms, time_ms);
            return;
        }
        let before_ms = self.clock_ms;
        self.clock_ms += time_ms.saturating_sub(self.newest_ms).min(STEP_MS);
        self.newest_ms = self.newest_ms.max(time_ms);
        if self.clock_ms / LOOK_MS != before_ms / LOOK_MS {
            let now_ms = self.clock_ms;
            self.tables.values_mut().for_each(|table| table.expire(now_ms));
            self.tidy();
        }
    }

    /// Writes the records of a stamped sub-batch that are not known yet, with `write`, and returns where all of its
    /// records stand.
    pub fn append(
        &mut self,
        batch: &SubBatch,
        origin: &Origin,
        write: impl FnOnce(u32, Bytes, u32) -> Appended,
    ) -> AppendOutcome {
        self.set_clock(batch.time_ms);
        let table = self.tables.entry(batch.shard).or_default();
        let elsewhere = self.entries - table.entries();
        let admitted = table.admit(&origin.stamp, self.clock_ms, ENTRIES_MAX.saturating_sub(elsewhere));
        let outcome = match admitted {
            Ok(known) => {
                let (written, outcome) = write_missing(batch, origin, known, write);
                if let Some(run) = written {
                    table.remember(&origin.stamp, run);
                }
                outcome
            }
            Err(refusal) => AppendOutcome::Refused(refusal),
        };
        self.entries = elsewhere + table.entries();
        if table.is_empty() {
            self.tables.remove(&batch.shard);
        }
        outcome
    }

    /// The producers that a shard remembers.
    pub fn of(&self, key: ShardKey) -> Option<&Table> {
        self.tables.get(&key)
    }

    /// The log's time, by which the group forgets producers.
    pub fn clock_ms(&self) -> u64 {
        self.clock_ms
    }

    /// Adds the producers of another shard to those of a shard. `clock_ms` is the log's time of the other shard's
    /// group: each producer is remembered as long from now on as it would have been there.
    pub fn remember_all(&mut self, key: ShardKey, table: Table, clock_ms: u64) {
        if self.tables.is_empty() {
            (self.clock_ms, self.newest_ms) = (clock_ms, clock_ms);
        }
        self.tables.entry(key).or_default().unite(table.moved(clock_ms, self.clock_ms));
        self.tidy();
    }

    /// Forgets the producers of these shards.
    pub fn forget(&mut self, is_gone: impl Fn(&ShardKey) -> bool) {
        self.tables.retain(|key, _| !is_gone(key));
        self.tidy();
    }

    fn tidy(&mut self) {
        self.tables.retain(|_, table| !table.is_empty());
        self.entries = self.tables.values().map(Table::entries).sum();
    }

    /// The producers' part of the group's state in a checkpoint.
    pub fn store(&self) -> stored::DataState {
        let table = |(key, table): (&ShardKey, &Table)| stored::data_state::ProducerTable {
            shard: Some(stored::ShardRef { uid: key.stream_uid, shard: key.shard }),
            producers: table.producers().map(store_producer).collect(),
        };
        stored::DataState {
            producer_tables: self.tables.iter().map(table).collect(),
            producers_clock_ms: self.clock_ms,
            newest_arrival_ms: self.newest_ms,
            ..Default::default()
        }
    }

    /// Restores the producers of a checkpoint.
    ///
    /// # Errors
    /// When this version would not have stored that.
    pub fn restore(state: &stored::DataState) -> Result<Self, String> {
        // A checkpoint of an earlier version has the newest arrival for both.
        let (clock_ms, newest_ms) = (state.producers_clock_ms, state.newest_arrival_ms);
        let mut producers = Self { clock_ms, newest_ms: newest_ms.max(clock_ms), ..Self::default() };
        for stored in &state.producer_tables {
            let shard = stored.shard.as_ref().ok_or("a stored table of producers without its shard")?;
            let key = ShardKey { stream_uid: shard.uid, shard: shard.shard };
            producers.tables.insert(key, read_producers(&stored.producers)?);
        }
        producers.tidy();
        Ok(producers)
    }
}

/// Writes the records of a sub-batch that are not among the known records of its batch.
fn write_missing(
    batch: &SubBatch,
    origin: &Origin,
    mut known: Vec<Run>,
    write: impl FnOnce(u32, Bytes, u32) -> Appended,
) -> (Option<Run>, AppendOutcome) {
    known.retain(|run| run.positions.without(&origin.positions) != run.positions);
    let missing = origin.positions.without(&positions(&known));
    if missing.is_empty() {
        return (None, AppendOutcome::Duplicate(known));
    }
    let Appended { first_ordinal, time_ms } = if known.is_empty() {
        write(batch.count, batch.body.clone(), batch.body_crc)
    } else {
        let mut at = origin.positions.iter();
        let is_missing = |_| at.next().is_some_and(|position| missing.contains(position));
        let body = choose(&batch.body, is_missing).expect("a body is whole when it is proposed");
        let body_crc = crc32fast::hash(&body);
        write(missing.len(), body, body_crc)
    };
    let (shard, created_s) = (batch.shard.shard, origin.created_s);
    let run = Run { positions: missing, shard, created_s, first_ordinal, time_ms };
    let outcome = if known.is_empty() {
        AppendOutcome::Appended { first_ordinal, time_ms }
    } else {
        known.push(run);
        AppendOutcome::Duplicate(known)
    };
    (Some(run), outcome)
}

#[cfg(test)]
mod tests;
