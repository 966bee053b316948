//! Lays applied records out in segment files, makes them durable for a checkpoint, and unlinks trimmed ones.
//!
//! One thread owns the [`Flusher`] and calls its steps; nothing here waits or knows a clock. Invariants: a
//! shard's segments are written in order, whole blocks at a time, and a written block is never written with
//! other bytes; a failed write leaves the books as they were; a file is unlinked only when neither of the two
//! checkpoints that are kept needs it.

mod files;
mod hold;
mod install;
mod job;

use std::collections::{BTreeMap, BTreeSet, HashMap, VecDeque};
use std::io;
use std::sync::{Arc, Weak};

use crate::segment::segment_path;
use crate::shard::{Removed, ShardCheckpoint, ShardError, ShardKey, ShardLog, ShardSnapshot, ShardStore};
use files::WriteFiles;
pub use hold::Hold;
use hold::{Leaving, TrimPoints};
use job::{Goal, Step, WriteJob};

/// Checkpoints that are kept, all of which must be able to find the files they list.
const CHECKPOINTS_KEPT: u8 = 2;

/// Flushed frames that are still in memory: up to which ordinal, and how many bytes.
struct Flushed {
    log: Weak<ShardLog>,
    next_ordinal: u64,
    bytes: u64,
}

/// The writer of all segment files of a store.
pub struct Flusher {
    store: Arc<ShardStore>,
    files: WriteFiles,
    /// Shards with work, each at most once.
    dirty: Vec<Weak<ShardLog>>,
    /// Oldest first; bounded by `tail_bytes_max`, as every entry stands for at least a frame's bytes.
    flushed: VecDeque<Flushed>,
    /// Sum over `flushed`, shards that are gone included.
    flushed_bytes: u64,
    /// Trim points of the snapshots given to [`Flusher::checkpoint`] since the last [`Flusher::unlink`].
    snapshot_trims: HashMap<ShardKey, u64>,
    /// Whether there was a checkpoint since the last [`Flusher::unlink`].
    has_checkpointed: bool,
    /// Removed streams and shards, each with how many durable checkpoints have come without it.
    removed: BTreeMap<Removed, Leaving>,
    /// Trim points whose files are kept for a while, by shard; only of shards that have been trimmed.
    trim_points: HashMap<ShardKey, TrimPoints>,
}

impl Flusher {
    /// The flusher of a store; there is one per store.
    pub fn new(store: Arc<ShardStore>) -> Flusher {
        Flusher {
            store,
            files: WriteFiles::default(),
            dirty: Vec::new(),
            flushed: VecDeque::new(),
            flushed_bytes: 0,
            snapshot_trims: HashMap::new(),
            has_checkpointed: false,
            removed: BTreeMap::new(),
            trim_points: HashMap::new(),
        }
    }

    /// Writes whole blocks of the largest shards until no more than
    /// [`flush_until_bytes`](crate::shard::StoreOptions::flush_until_bytes) are left unflushed, or only remainders.
    /// Syncs nothing. Returns the bytes of frames written.
    ///
    /// # Errors
    /// [`ShardError::NoSpace`] leaves everything as it was before the failed write: call again when there is
    /// space. Any other error is fatal. Damage is none: a segment that was open before a restart, is to be sealed, and
    /// whose frames on disk are not those that were written, is sealed as it is and listed as damaged.
    pub fn flush_some(&mut self) -> Result<u64, ShardError> {
        let enough = self.store.shared.options.flush_until_bytes;
        let mut written = 0;
        if self.store.unflushed_bytes() <= enough {
            return Ok(written);
        }
        for log in self.dirty_by_size() {
            if self.store.unflushed_bytes() <= enough {
                break;
            }
            written += self.write_shard(&log)?;
        }
        Ok(written)
    }

    /// Writes the records that a shard has in memory, save the last block's part, and seals full segments. Syncs
    /// nothing.
    ///
    /// # Errors
    /// As [`Flusher::flush_some`].
    pub fn write_out(&mut self, key: ShardKey) -> Result<(), ShardError> {
        match self.store.get(key) {
            Some(log) => self.write_shard(&log).map(drop),
            None => Ok(()),
        }
    }

    /// Brings the files of every shard to its snapshot, makes all written files durable, and returns the shards' part
    /// of the checkpoint. May be called once for all groups or once per group.
    ///
    /// # Errors
    /// As [`Flusher::flush_some`]; after [`ShardError::NoSpace`] come again, with newer snapshots if you like.
    pub fn checkpoint(&mut self, snapshots: Vec<ShardSnapshot>) -> Result<Vec<ShardCheckpoint>, ShardError> {
        for snapshot in &snapshots {
            self.snapshot_trims.insert(snapshot.key, snapshot.checkpoint.trim_ordinal);
            self.write_shard(&snapshot.log)?;
            assert!(snapshot.log.state().covers(&snapshot.checkpoint), "the files do not reach the snapshot");
        }
        self.has_checkpointed = true;
        // Most shards are clean now, and the list is rid of shards that are gone.
        drop(self.dirty_by_size());
        self.files.sync(&*self.store.shared.disk)?;
        Ok(snapshots.into_iter().map(|snapshot| snapshot.checkpoint).collect())
    }

    /// To be called after each checkpoint that became durable. Unlinks the sealed segments wholly below the trim point
    /// of the checkpoint before it, which is kept as well, and the directories of removed streams and shards that
    /// neither lists. Nothing while a transfer pins the files. Returns the bytes of the unlinked segments, without
    /// those of removed ones.
    ///
    /// # Errors
    /// [`ShardError::Io`] when the operating system refuses; the files it left are unlinked at the next start.
    pub fn unlink(&mut self) -> Result<u64, ShardError> {
        self.unlink_after(Hold::NONE)
    }

    /// Unlinks files like [`Flusher::unlink`], but keeps files of trimmed records and of single shards that
    /// were removed as long as `hold` says: a trim that should not have been can be seen in time.
    ///
    /// # Errors
    /// As [`Flusher::unlink`].
    pub fn unlink_after(&mut self, hold: Hold) -> Result<u64, ShardError> {
        let is_pinned = self.store.shared.is_pinned();
        if std::mem::take(&mut self.has_checkpointed) {
            self.unlink_removed(is_pinned, hold)?;
        }
        let mut bytes = 0;
        let store = self.store.clone();
        self.trim_points.retain(|key, _| store.get(*key).is_some());
        for (key, trim_ordinal) in std::mem::take(&mut self.snapshot_trims) {
            let Some(log) = self.store.get(key) else { continue };
            let dropped = {
                let mut state = log.state();
                let kept_trim_ordinal = std::mem::replace(&mut state.kept_trim_ordinal, trim_ordinal);
                let ordinal = match kept_trim_ordinal {
                    0..=1 => kept_trim_ordinal,
                    _ => self.trim_points.entry(key).or_default().released(kept_trim_ordinal, hold),
                };
                // Files that a transfer reads go with a later checkpoint.
                if is_pinned { Vec::new() } else { state.drop_sealed_below(ordinal) }
            };
            for segment in dropped {
                self.unlink_segment(key, segment.first_ordinal)?;
                bytes += segment.file_bytes;
            }
        }
        Ok(bytes)
    }

    fn unlink_segment(&self, key: ShardKey, first_ordinal: u64) -> Result<(), ShardError> {
        let shared = &self.store.shared;
        let path = segment_path(&shared.dir, key, first_ordinal);
        // No repair brings the file back while it goes.
        let _writing = shared.writing();
        let removed = shared.disk.remove_file(&path);
        // Afterwards, so that no reader opens it again and keeps its space.
        shared.files.forget(key, first_ordinal);
        match removed {
            Err(source) if source.kind() != io::ErrorKind::NotFound => {
                Err(ShardError::io("remove", &path, source))
            }
            _ => Ok(()),
        }
    }

    fn unlink_removed(&mut self, is_pinned: bool, hold: Hold) -> Result<(), ShardError> {
        let store = self.store.clone();
        let waiting = store.removed.lock().expect("no holder of the list panics").clone();
        self.removed.retain(|part, _| waiting.contains(part));
        let listed_streams: BTreeSet<u64> = self.snapshot_trims.keys().map(|key| key.stream_uid).collect();
        let mut gone = Vec::new();
        for part in waiting {
            let listed = match part {
                Removed::Stream(uid) => listed_streams.contains(&uid),
                Removed::Shard(key) => self.snapshot_trims.contains_key(&key),
            };
            let leaving = self.removed.entry(part).or_insert_with(|| Leaving::new(hold));
            leaving.checkpoints = if listed { 0 } else { leaving.checkpoints.saturating_add(1) };
            let is_released = match part {
                // By a client's word: its space is wanted back.
                Removed::Stream(_) => true,
                Removed::Shard(_) => leaving.is_released(hold),
            };
            if leaving.checkpoints >= CHECKPOINTS_KEPT && is_released && !is_pinned {
                gone.push(part);
            }
        }
        for part in gone {
            self.files.forget_all(|key| part.covers(key));
            let dir = part.dir(&store.shared.dir);
            let unlinked = store.shared.disk.remove_dir_all(&dir);
            unlinked.map_err(|source| ShardError::io("remove", &dir, source))?;
            // A reader may have opened a file after the part was removed from memory.
            store.shared.files.forget_all(|key| part.covers(key));
            self.removed.remove(&part);
            store.removed.lock().expect("no holder of the list panics").remove(&part);
        }
        Ok(())
    }

    /// The dirty shards that are still in the store, largest first.
    fn dirty_by_size(&mut self) -> Vec<Arc<ShardLog>> {
        let newly =
            std::mem::take(&mut *self.store.shared.dirty.lock().expect("no holder of the list panics"));
        self.dirty.extend(newly);
        let mut logs = Vec::with_capacity(self.dirty.len());
        self.dirty.retain(|weak| {
            let current = weak.upgrade().filter(|log| !log.is_removed());
            let Some(log) = current.filter(|log| still_dirty(log)) else { return false };
            logs.push((log.unflushed_bytes(), log));
            true
        });
        logs.sort_by_key(|(bytes, _)| std::cmp::Reverse(*bytes));
        logs.into_iter().map(|(_, log)| log).collect()
    }

    /// Writes the records that the shard had in memory when the call began, save the last block's part.
    fn write_shard(&mut self, log: &Arc<ShardLog>) -> Result<u64, ShardError> {
        let goal = Goal::of(&log.state());
        let Some(goal) = goal else { return Ok(0) };
        let mut written = 0;
        loop {
            let step = job::next_step(&log.state(), log.key(), &goal);
            match step {
                Step::Done => return Ok(written),
                Step::CompleteIndex { first_ordinal, missing_until } => {
                    // A damaged segment is sealed as it is: its file is as long as a whole one, so that a peer's copy
                    // can still replace it.
                    log.complete_index_over_damage(first_ordinal, missing_until)?;
                }
                Step::Write(job) => {
                    let store = self.store.clone();
                    let mut replaced = store.shared.writing();
                    for (key, first_ordinal) in std::mem::take(&mut *replaced) {
                        self.files.forget(key, first_ordinal);
                    }
                    self.files.write(log.shared(), log.key(), &job)?;
                    written += self.book(log, &job);
                }
            }
        }
    }

    fn book(&mut self, log: &Arc<ShardLog>, job: &WriteJob) -> u64 {
        let (written, bytes, next_ordinal) = {
            let mut state = log.state();
            let booked = job.book(&mut state);
            log.book_written(booked.0, booked.1);
            booked
        };
        if bytes > 0 {
            self.flushed_bytes += bytes;
            self.flushed.push_back(Flushed { log: Arc::downgrade(log), next_ordinal, bytes });
            self.evict();
        }
        written
    }

    /// Drops the oldest flushed frames from memory while there are too many.
    fn evict(&mut self) {
        while self.flushed_bytes > self.store.shared.options.tail_bytes_max {
            let Some(oldest) = self.flushed.pop_front() else { break };
            self.flushed_bytes -= oldest.bytes;
            if let Some(log) = oldest.log.upgrade() {
                log.evict(oldest.next_ordinal);
            }
        }
    }
}

/// Whether the flusher still has work with the shard; if not, the shard will announce itself again.
fn still_dirty(log: &ShardLog) -> bool {
    let mut state = log.state();
    state.dirty = job::has_work(&state);
    state.dirty
}
