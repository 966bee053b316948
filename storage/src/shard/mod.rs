//! The records of each shard: an in-memory tail over segment files.
//!
//! One apply task per group calls [`ShardLog::apply`], [`ShardLog::trim`] and [`ShardLog::snapshot`]; any thread reads;
//! one thread runs [`crate::flusher::Flusher`]. Each shard has a lock of its own, which is only taken to look up
//! and clone handles: decoding, checksums and disk access happen outside it. A reader never sees a gap, a torn
//! frame or a trimmed ordinal. Nothing here decides an acknowledgement: the write-ahead log did.

mod damage;
mod files;
mod gather;
mod given_up;
mod location;
mod read;
mod recovery;
mod repair;
mod scrub;
mod set_aside;
mod snapshot;
pub(crate) mod state;
mod store;
mod survey;
pub(crate) mod tail;

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, Weak};

use bytes::Bytes;

pub use crate::checkpoint::ShardCheckpoint;
pub use crate::segment::{OpenCheckpoint, SegmentCheckpoint, ShardError, ShardKey};
pub use gather::{ReadBatch, ReadLimit, ReadRecord};
pub use given_up::give_up;
pub use repair::UnopenedFiles;
pub use scrub::Scrubbed;
pub use snapshot::ShardSnapshot;
pub use store::{INDEX_BYTES_MAX, Pin, ShardStore, StoreOptions};
pub use survey::DamagedSegment;

use state::ShardState;
pub(crate) use store::{Removed, Shared};

/// The place and time that [`ShardLog::apply`] gave a sub-batch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Appended {
    /// Ordinal of the sub-batch's first record; the others follow.
    pub first_ordinal: u64,
    /// Arrival time of all its records, in milliseconds since 1970.
    pub time_ms: u64,
}

/// Where a shard's readable records start and end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Bounds {
    /// The first ordinal that may be read: the trim point, or the first that is not hidden, if that is above.
    pub first_ordinal: u64,
    /// The ordinal the next record gets.
    pub next_ordinal: u64,
    /// Arrival time of the newest record ever, in milliseconds since 1970; 0 when there was none.
    pub last_time_ms: u64,
    /// Arrival time of the first readable record, `None` when there is none. Where that record is in a file
    /// only, the time of its segment's first record: never later than the true one.
    pub oldest_time_ms: Option<u64>,
}

/// One shard's records.
pub struct ShardLog {
    key: ShardKey,
    shared: Arc<Shared>,
    state: Mutex<ShardState>,
    /// Bytes not yet in written blocks; changed under the lock, read without.
    unflushed: AtomicU64,
    /// Whether the stream was removed, so that its files may be gone.
    removed: AtomicBool,
    this: Weak<ShardLog>,
}

impl ShardLog {
    pub(crate) fn new(key: ShardKey, shared: Arc<Shared>, state: ShardState) -> Arc<ShardLog> {
        let unflushed: u64 = state.active.iter().map(|segment| segment.length - segment.written).sum();
        shared.unflushed.fetch_add(unflushed, Ordering::Relaxed);
        Arc::new_cyclic(|this| ShardLog {
            key,
            shared,
            state: Mutex::new(state),
            unflushed: AtomicU64::new(unflushed),
            removed: AtomicBool::new(false),
            this: this.clone(),
        })
    }

    /// The shard's key.
    pub fn key(&self) -> ShardKey {
        self.key
    }

    /// Appends a sub-batch of `count` records and gives it its ordinals. The time is raised to the newest
    /// record's if it is below. Called by one task, in the order of the log; a pure function of the log.
    ///
    /// # Panics
    /// When `count` is 0: such a sub-batch is never proposed.
    pub fn apply(&self, time_ms: u64, count: u32, body: Bytes, body_crc: u32) -> Appended {
        let mut state = self.state();
        let (header, bytes) = state.append(self.shared.borders(), (time_ms, count), body, body_crc);
        self.unflushed.fetch_add(bytes, Ordering::Relaxed);
        self.shared.unflushed.fetch_add(bytes, Ordering::Relaxed);
        self.mark_dirty(&mut state);
        Appended { first_ordinal: header.first_ordinal, time_ms: header.time_ms }
    }

    /// Moves the trim point to `ordinal`, never back and never beyond the shard's end. When nothing readable
    /// is left the open segment is sealed. Called by the apply task, in the order of the log.
    pub fn trim(&self, ordinal: u64) {
        let mut state = self.state();
        if state.trim(ordinal) {
            self.mark_dirty(&mut state);
        }
    }

    /// Sets the ordinal of the next record to `ordinal`, unless that would lower it; reads skip the ordinals
    /// between. The open segment is sealed. Called by the apply task, in the order of the log, after [`give_up`] has
    /// written the same ordinals down.
    pub fn skip_to(&self, ordinal: u64) {
        let mut state = self.state();
        if state.skip_to(ordinal) {
            self.mark_dirty(&mut state);
        }
    }

    /// Records from `first` on, at most: ordinals that were given up do not count.
    pub fn count_from(&self, first: u64) -> u64 {
        self.state().count_from(first)
    }

    /// Hides the records below `ordinal` from readers on this node; a lower one shows them again. Neither trims
    /// anything nor is part of a checkpoint: nothing is lost when it was wrong.
    pub fn hide_below(&self, ordinal: u64) {
        let mut state = self.state();
        state.hidden_below = ordinal.min(state.next_ordinal);
    }

    /// Where the readable records start and end.
    pub fn bounds(&self) -> Bounds {
        let state = self.state();
        state.bounds_from(state.first_readable())
    }

    /// Where the records start and end that have not been trimmed, hidden ones included.
    pub fn untrimmed(&self) -> Bounds {
        let state = self.state();
        state.bounds_from(state.trim_ordinal)
    }

    /// Takes a snapshot of the state as of now for a checkpoint; copies less than 4 KiB of records. Called by the apply
    /// task between two entries, for all shards of its group.
    pub fn snapshot(&self) -> ShardSnapshot {
        let log = self.this.upgrade().expect("a shard that is called is alive");
        let checkpoint = self.state().checkpoint(self.key);
        ShardSnapshot { key: self.key, log, checkpoint }
    }

    /// Bytes of this shard that are not yet in written blocks of its files.
    pub fn unflushed_bytes(&self) -> u64 {
        self.unflushed.load(Ordering::Relaxed)
    }

    pub(crate) fn state(&self) -> MutexGuard<'_, ShardState> {
        self.state.lock().expect("no holder of a shard's lock panics")
    }

    pub(crate) fn is_removed(&self) -> bool {
        self.removed.load(Ordering::Acquire)
    }

    pub(crate) fn mark_removed(&self) {
        self.removed.store(true, Ordering::Release);
    }

    pub(crate) fn shared(&self) -> &Shared {
        &self.shared
    }

    /// Books `bytes` as written and `flushed` bytes of frames as kept for readers.
    pub(crate) fn book_written(&self, bytes: u64, flushed: u64) {
        self.unflushed.fetch_sub(bytes, Ordering::Relaxed);
        self.shared.unflushed.fetch_sub(bytes, Ordering::Relaxed);
        self.shared.tail.fetch_add(flushed, Ordering::Relaxed);
    }

    /// Drops flushed frames below `ordinal` from memory.
    pub(crate) fn evict(&self, ordinal: u64) {
        let bytes = self.state().tail.evict(ordinal);
        self.shared.tail.fetch_sub(bytes, Ordering::Relaxed);
    }

    fn mark_dirty(&self, state: &mut ShardState) {
        if !state.dirty {
            state.dirty = true;
            self.shared.dirty.lock().expect("no holder of the list panics").push(self.this.clone());
        }
    }
}

impl Drop for ShardLog {
    fn drop(&mut self) {
        let flushed = self.state().tail.flushed_bytes();
        self.shared.tail.fetch_sub(flushed, Ordering::Relaxed);
        self.shared.unflushed.fetch_sub(self.unflushed_bytes(), Ordering::Relaxed);
    }
}
