//! The table in which a shard remembers the batches of producers, so that no batch is written twice.
//!
//! Pure: time comes in as an argument. A batch is remembered from its write until its producer settles it, or has not
//! written to the shard for an hour. No batch is forgotten to make room: a new batch without room is refused. Only a
//! merge can leave more than the bounds, because a child remembers everything that its parents do; then no new batch is
//! admitted until enough batches are settled or forgotten.

use std::collections::BTreeMap;

use super::producer::{Positions, Stamp};
use crate::limits::{BATCHES_PER_PRODUCER_MAX, PRODUCER_LIFE_MS, PRODUCERS_PER_SHARD_MAX};

/// Where records of a batch stand: one after the other in one shard, in the order of their positions.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Run {
    /// The positions of the records in their batch.
    pub positions: Positions,
    /// The index of the shard: the one that remembers them, or one that it came from.
    pub shard: u32,
    /// The creation second of that shard.
    pub created_s: u64,
    /// The ordinal of the first of these records.
    pub first_ordinal: u64,
    /// The arrival time of the records, milliseconds since the epoch.
    pub time_ms: u64,
}

impl Run {
    /// The ordinal of the record at a position of the batch, if it is one of these.
    pub fn ordinal(&self, position: u32) -> Option<u64> {
        let is_here = self.positions.contains(position);
        is_here.then(|| self.first_ordinal + u64::from(self.positions.below(position)))
    }
}

/// All positions of some runs.
pub fn positions(runs: &[Run]) -> Positions {
    runs.iter().fold(Positions::default(), |all, run| all.with(&run.positions))
}

/// Why a batch is not written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ProducerRefusal {
    /// The producer has said that the batch is settled.
    Stale,
    /// The table has no room for the batch.
    TableFull,
}

/// One producer with the batches that are remembered.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Producer {
    settled_below: u64,
    last_used_ms: u64,
    batches: BTreeMap<u64, Vec<Run>>,
}

impl Producer {
    /// One without batches.
    pub fn new(settled_below: u64, last_used_ms: u64) -> Self {
        Self { settled_below, last_used_ms, batches: BTreeMap::new() }
    }

    /// Batches below this are settled.
    pub fn settled_below(&self) -> u64 {
        self.settled_below
    }

    /// When it last wrote, milliseconds since the epoch.
    pub fn last_used_ms(&self) -> u64 {
        self.last_used_ms
    }

    /// Where the records of its batches stand, by the batches' numbers.
    pub fn batches(&self) -> impl Iterator<Item = (u64, &[Run])> {
        self.batches.iter().map(|(number, runs)| (*number, runs.as_slice()))
    }

    /// Remembers records of a batch. Records that are known stay where they are, so that a batch has no more runs
    /// than records.
    pub fn remember(&mut self, batch: u64, run: Run) {
        if batch < self.settled_below {
            return;
        }
        let runs = self.batches.entry(batch).or_default();
        if !run.positions.without(&positions(runs)).is_empty() {
            runs.push(run);
        }
    }

    fn settle(&mut self, below: u64) {
        if below > self.settled_below {
            self.settled_below = below;
            self.batches = self.batches.split_off(&below);
        }
    }

    fn unite(&mut self, other: Self) {
        self.last_used_ms = self.last_used_ms.max(other.last_used_ms);
        self.settle(other.settled_below);
        for (batch, runs) in other.batches {
            runs.into_iter().for_each(|run| self.remember(batch, run));
        }
    }

    /// Counts the entries that the producer uses of the bounds: itself and its batches.
    fn entries(&self) -> usize {
        1 + self.batches.len()
    }
}

/// The producers and batches that a shard remembers.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Table {
    producers: BTreeMap<u64, Producer>,
    entries: usize,
}

impl Table {
    /// Whether nothing is remembered.
    pub fn is_empty(&self) -> bool {
        self.producers.is_empty()
    }

    /// Producers and batches.
    pub fn entries(&self) -> usize {
        self.entries
    }

    /// The producers, by id.
    pub fn producers(&self) -> impl Iterator<Item = (u64, &Producer)> {
        self.producers.iter().map(|(id, producer)| (*id, producer))
    }

    /// Returns where the known records of a batch stand. The caller writes the other records now and calls
    /// [`Self::remember`]. `room` is the number of producers and batches that this table may remember in all.
    ///
    /// # Errors
    /// [`ProducerRefusal`]: no record of the batch may be written.
    pub fn admit(&mut self, stamp: &Stamp, now_ms: u64, room: usize) -> Result<Vec<Run>, ProducerRefusal> {
        let batch = stamp.batch();
        let producers = self.producers.len();
        let Some(producer) = self.producers.get_mut(&stamp.producer()) else {
            if producers >= PRODUCERS_PER_SHARD_MAX || self.entries + 2 > room {
                return Err(ProducerRefusal::TableFull);
            }
            self.producers.insert(stamp.producer(), Producer::new(stamp.settled_below(), now_ms));
            self.entries += 1;
            return Ok(Vec::new());
        };
        if batch < producer.settled_below {
            return Err(ProducerRefusal::Stale);
        }
        self.entries -= producer.entries();
        producer.last_used_ms = producer.last_used_ms.max(now_ms);
        producer.settle(stamp.settled_below());
        self.entries += producer.entries();
        match producer.batches.get(&batch) {
            Some(runs) => Ok(runs.clone()),
            None if producer.batches.len() >= BATCHES_PER_PRODUCER_MAX || self.entries + 1 > room => {
                Err(ProducerRefusal::TableFull)
            }
            None => Ok(Vec::new()),
        }
    }

    /// Remembers records of a batch.
    ///
    /// # Panics
    /// When it was not admitted.
    pub fn remember(&mut self, stamp: &Stamp, run: Run) {
        let producer = self.producers.get_mut(&stamp.producer()).expect("an admitted batch has a producer");
        self.entries -= producer.entries();
        producer.remember(stamp.batch(), run);
        self.entries += producer.entries();
    }

    /// Forgets the producers that have not written for an hour.
    pub fn expire(&mut self, now_ms: u64) {
        self.producers.retain(|_, producer| producer.last_used_ms.saturating_add(PRODUCER_LIFE_MS) > now_ms);
        self.count();
    }

    /// This table for a group whose time is `to_ms` while that of its own is `from_ms`: producers have been silent as
    /// long.
    #[must_use]
    pub fn moved(mut self, from_ms: u64, to_ms: u64) -> Self {
        for producer in self.producers.values_mut() {
            let silent_ms = from_ms.saturating_sub(producer.last_used_ms);
            producer.last_used_ms = to_ms.saturating_sub(silent_ms);
        }
        self
    }

    /// Remembers the batches of another table besides its own. Doing it again changes nothing.
    pub fn unite(&mut self, other: Self) {
        for (id, theirs) in other.producers {
            self.producers.entry(id).or_default().unite(theirs);
        }
        self.count();
    }

    fn count(&mut self) {
        self.entries = self.producers.values().map(Producer::entries).sum();
    }
}

impl FromIterator<(u64, Producer)> for Table {
    fn from_iter<I: IntoIterator<Item = (u64, Producer)>>(producers: I) -> Self {
        let mut table = Self { producers: producers.into_iter().collect(), entries: 0 };
        table.count();
        table
    }
}

#[cfg(test)]
mod tests;
