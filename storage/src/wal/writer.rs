//! The writing half of the log, owned by one thread: it writes commits, syncs them, and moves from one file to the
//! next.
//!
//! A *commit* is the bytes of one write, and its *LSN* numbers it; more bytes than a write takes make several. Two
//! things tell a start how far the log reached, so that lost bytes are told apart from a write that never finished: a
//! *sync point*, a block in the log file, names the last LSN that was synced before it was written
//! ([`super::sync_point`]); the *mark*, a file beside the log, names the newest log file, an LSN that the log must
//! reach, and the votes ([`super::mark`]). The *salt* of a file is random for each use of it, so that bytes of an
//! earlier use are not taken for commits. A *spare* is a file that was made ahead of need ([`super::spare`]).
//!
//! Invariants:
//! - New bytes lie behind everything written before, in the same file or in a newer one.
//! - The state in memory changes only when the bytes are in the file.
//! - A vote is in the mark before it is in the log, and a file is named by the mark before it takes a commit.
//! - After a failed sync, or a failed write in the middle of a call, every call fails: the medium is in doubt.

use std::collections::VecDeque;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use super::begin::{NewFile, begin_file, mix};
use super::encode::{CommitLocation, LoggedChange, change_of, encode_commit, frame_bytes, payload_bytes};
use super::files::Shared;
use super::format::{COMMIT_HEADER_BYTES, COMMITS_AT, FRAME_HEADER_BYTES};
use super::mark::{Mark, MarkFile};
use super::order::Draft;
use super::spare::Spare;
use super::sync_point::SyncPoints;
use super::{BLOCK, COMMIT_BYTES_MAX, Commit, ENTRY_BYTES_MAX, GROUPS, SpareFiles, WalOp, WalOptions};
use crate::blocks::Blocks;
use crate::disk::{Disk, DiskFile};
use crate::wal::WalError;

/// The log's writer.
pub struct Wal {
    pub(super) disk: Arc<dyn Disk>,
    pub(super) dir: PathBuf,
    pub(super) options: WalOptions,
    pub(super) shared: Arc<Shared>,
    pub(super) spares: SpareFiles,
    /// Files taken for the operations of this call, before any of them is written.
    pub(super) reserved: VecDeque<Spare>,
    pub(super) file: Current,
    pub(super) sync_points: SyncPoints,
    pub(super) mark: MarkFile,
    pub(super) buffer: Blocks,
    pub(super) salt_seed: u64,
    pub(super) lsn_next: u64,
    pub(super) durable_lsn: u64,
    /// Set when the medium is in doubt.
    pub(super) stopped: bool,
}

/// The file that takes commits.
pub(super) struct Current {
    pub(super) seq: u64,
    pub(super) salt: u64,
    pub(super) path: PathBuf,
    pub(super) file: Arc<dyn DiskFile>,
    pub(super) bytes: u64,
    /// Offset of the next commit; the end of the file once a write into it has failed.
    pub(super) offset: u64,
}

impl Wal {
    /// The handle for the thread that prepares files.
    #[must_use]
    pub fn spare_files(&self) -> SpareFiles {
        self.spares.clone()
    }

    /// The current file's number, which changes when the log goes on in another file.
    #[must_use]
    pub fn file_number(&self) -> u64 {
        self.file.seq
    }

    /// Bytes written to the log's files that hold an entry that is not purged by its group.
    #[must_use]
    pub fn live_bytes(&self) -> u64 {
        self.shared.live_bytes()
    }

    /// Writes all operations, in order, with one write (several when they are more than 32 MiB or more than a file
    /// takes), and syncs when the options say so or a vote is among them. When it returns, readers see them.
    ///
    /// # Errors
    /// [`WalError::OutOfOrder`] and [`WalError::EntryTooLarge`]: nothing was written. [`WalError::NoSpace`] and
    /// [`WalError::Io`]: nothing is acknowledged, the log is as before, the call may be repeated; when that is
    /// impossible, because a part of a call above 32 MiB is in the file already, every later call fails with
    /// [`WalError::Stopped`]. [`WalError::SyncFailed`]: every later call fails.
    ///
    /// # Panics
    /// When an operation's group is not below [`GROUPS`].
    pub fn commit(&mut self, ops: &[WalOp]) -> Result<Commit, WalError> {
        self.write_and_sync(ops, None)
    }

    /// Commits operations like [`Wal::commit`], at a time from any monotonic clock: a sync point is written at most
    /// every 10 ms or 1 MiB, instead of beside every commit.
    ///
    /// # Errors
    /// Those of [`Wal::commit`].
    ///
    /// # Panics
    /// Where [`Wal::commit`] does.
    pub fn commit_at_time(&mut self, ops: &[WalOp], now: Duration) -> Result<Commit, WalError> {
        self.write_and_sync(ops, Some(now))
    }

    fn write_and_sync(&mut self, ops: &[WalOp], now: Option<Duration>) -> Result<Commit, WalError> {
        self.require_running()?;
        if ops.is_empty() {
            return Ok(Commit { bytes_written: 0, synced: self.is_synced() });
        }
        self.check(ops)?;
        let parts = self.split(ops);
        self.reserve(&parts)?;
        self.mark_votes(ops)?;
        let mut bytes_written = 0;
        for (at, part) in parts.iter().enumerate() {
            let written = self.write_part(part, now);
            // The first part's failure leaves the log as it was. A later one's would leave half of the call.
            self.stopped |= at > 0 && written.is_err();
            bytes_written += written?;
        }
        if self.options.sync_every_commit || ops.iter().any(|op| matches!(op, WalOp::Vote { .. })) {
            self.sync()?;
        }
        Ok(Commit { bytes_written, synced: self.is_synced() })
    }

    /// Makes all commits durable.
    ///
    /// # Errors
    /// [`WalError::SyncFailed`], after which every call fails with [`WalError::Stopped`].
    pub fn sync(&mut self) -> Result<(), WalError> {
        self.require_running()?;
        if self.is_synced() {
            return Ok(());
        }
        if let Err(source) = self.file.file.sync_data() {
            self.stopped = true;
            return Err(WalError::SyncFailed { path: self.file.path.clone(), source });
        }
        self.durable_lsn = self.lsn_next - 1;
        Ok(())
    }

    /// Makes all commits durable and writes that to the mark, also when neither has changed; returns the LSN of the
    /// last one. Called for each checkpoint, at an orderly stop, and by a watchdog that asks whether the disk answers.
    ///
    /// # Errors
    /// Those of [`Wal::sync`]; [`WalError::NoSpace`] and [`WalError::Io`] when the mark cannot be written: the commits
    /// are durable, and only the mark lags.
    pub fn sync_and_mark(&mut self) -> Result<u64, WalError> {
        self.sync()?;
        let mark = Mark { synced_lsn: self.durable_lsn, ..*self.mark.mark() };
        self.write_mark(mark)?;
        Ok(self.durable_lsn)
    }

    /// The LSN up to which all commits are durable.
    #[must_use]
    pub fn durable_lsn(&self) -> u64 {
        self.durable_lsn
    }

    /// Records votes in the mark before the commit that holds them, so that a node that finds its log without its last
    /// commit still knows its votes.
    fn mark_votes(&mut self, ops: &[WalOp]) -> Result<(), WalError> {
        let mut mark = *self.mark.mark();
        for op in ops {
            if let WalOp::Vote { group, vote } = op {
                mark.votes[usize::from(*group)] = Some(*vote);
            }
        }
        if mark == *self.mark.mark() {
            return Ok(());
        }
        self.write_mark(Mark { synced_lsn: self.durable_lsn, ..mark })
    }

    fn write_mark(&mut self, mark: Mark) -> Result<(), WalError> {
        let written = self.mark.write(&*self.disk, mark);
        self.stopped |= matches!(written, Err(WalError::SyncFailed { .. }));
        written
    }

    fn is_synced(&self) -> bool {
        self.durable_lsn == self.lsn_next - 1
    }

    fn require_running(&self) -> Result<(), WalError> {
        if self.stopped { Err(WalError::Stopped) } else { Ok(()) }
    }

    /// Bytes of frames that a commit in a full-size file can hold.
    fn frames_bytes_max(&self) -> u64 {
        (self.options.file_bytes - COMMITS_AT - COMMIT_HEADER_BYTES as u64).min(COMMIT_BYTES_MAX)
    }

    fn check(&self, ops: &[WalOp]) -> Result<(), WalError> {
        let bytes_max = ENTRY_BYTES_MAX.min(self.frames_bytes_max() - FRAME_HEADER_BYTES as u64);
        if let Some(bytes) = ops.iter().map(payload_bytes).find(|bytes| *bytes > bytes_max) {
            return Err(WalError::EntryTooLarge { bytes, bytes_max });
        }
        let touched: [bool; GROUPS] =
            std::array::from_fn(|group| ops.iter().any(|op| usize::from(op.group()) == group));
        assert!(ops.iter().all(|op| usize::from(op.group()) < GROUPS), "there are {GROUPS} groups");
        for group in (0..).zip(touched).filter_map(|(group, touched)| touched.then_some(group)) {
            let log = self.shared.group(group);
            let mut draft = Draft::new(&log);
            for op in ops.iter().filter(|op| op.group() == group) {
                draft.follow(change_of(op)).map_err(|why| WalError::OutOfOrder { group, why })?;
            }
        }
        Ok(())
    }

    /// Cuts the operations into commits.
    fn split<'ops>(&self, ops: &'ops [WalOp]) -> Vec<&'ops [WalOp]> {
        let bytes_max = self.frames_bytes_max();
        let (mut parts, mut start, mut bytes) = (Vec::new(), 0, 0);
        for (at, op) in ops.iter().enumerate() {
            let frame = frame_bytes(op);
            if bytes + frame > bytes_max {
                parts.push(&ops[start..at]);
                (start, bytes) = (at, 0);
            }
            bytes += frame;
        }
        parts.push(&ops[start..]);
        parts
    }

    /// Takes the files that these commits will need, before anything is written: a full disk is noticed here.
    fn reserve(&mut self, parts: &[&[WalOp]]) -> Result<(), WalError> {
        let (mut offset, mut end, mut files) = (self.file.offset, self.file.bytes, 0);
        for part in parts {
            let bytes = commit_bytes(part);
            if offset + bytes > end {
                (offset, end) = (COMMITS_AT, self.reserve_file(files, COMMITS_AT + bytes)?);
                files += 1;
            }
            offset += bytes;
        }
        Ok(())
    }

    /// Ensures that the reserved file of that number has at least `bytes_min` bytes. Returns the bytes that it has.
    fn reserve_file(&mut self, number: usize, bytes_min: u64) -> Result<u64, WalError> {
        // A file that an earlier call left over may be too small for this one.
        while self.reserved.get(number).is_some_and(|spare| spare.bytes < bytes_min) {
            self.spares.give_back(self.reserved.remove(number).expect("it was just looked at"));
        }
        if self.reserved.len() <= number {
            self.reserved.push_back(self.spares.take(bytes_min)?);
        }
        Ok(self.reserved[number].bytes)
    }

    /// Writes one commit and lets readers see it; gives the bytes written.
    fn write_part(&mut self, part: &[WalOp], now: Option<Duration>) -> Result<u64, WalError> {
        if self.file.offset + commit_bytes(part) > self.file.bytes {
            self.next_file(COMMITS_AT + commit_bytes(part))?;
        }
        if self.mark.mark().file != self.file.seq {
            // No commit goes into a file that the mark does not name.
            let mark = Mark { file: self.file.seq, synced_lsn: self.durable_lsn, ..*self.mark.mark() };
            self.write_mark(mark)?;
        }
        self.write_sync_point(now)?;
        let Current { seq, salt, offset, .. } = self.file;
        let location =
            CommitLocation { file: seq, salt, offset, lsn: self.lsn_next, durable_lsn: self.durable_lsn };
        let placed = encode_commit(&mut self.buffer, part, &location);
        let blocks = self.buffer.as_slice();
        if let Err(error) = self.file.file.write_all_at(blocks, offset) {
            // Parts of the commit may be in these blocks. They are not used again: the next commit has the same
            // LSN and begins a new file, whose header ends the reading of this one before that LSN.
            self.file.offset = self.file.bytes;
            return Err(WalError::at(&self.file.path)(error));
        }
        let bytes = blocks.len() as u64;
        self.file.offset += bytes;
        self.sync_points.count(bytes);
        self.lsn_next += 1;
        self.publish(&placed);
        Ok(bytes)
    }

    /// Writes a sync point beside the next commit when one is due; the commit's sync makes it durable.
    fn write_sync_point(&mut self, now: Option<Duration>) -> Result<(), WalError> {
        if !self.sync_points.is_due(self.durable_lsn, now) {
            return Ok(());
        }
        let (block, offset) = self.sync_points.block(self.file.salt, self.durable_lsn);
        if let Err(error) = self.file.file.write_all_at(block, offset) {
            // The other sync point is intact. The commit goes into a new file, as after any failed write.
            self.file.offset = self.file.bytes;
            return Err(WalError::at(&self.file.path)(error));
        }
        self.sync_points.written(self.durable_lsn, self.lsn_next, now);
        Ok(())
    }

    fn publish(&self, placed: &[LoggedChange]) {
        let mut dropped = Vec::new();
        for LoggedChange { group, change, slot } in placed {
            self.shared.group_mut(*group).apply(*change, *slot, &mut |file| dropped.push(file));
        }
        let appended = placed.iter().filter(|placed| placed.slot.is_some()).count() as u64;
        let mut files = self.shared.files_mut();
        let current = files.get_mut(&self.file.seq).expect("the current file is listed");
        current.entries += appended;
        current.used = self.file.offset;
        for file in dropped {
            files.get_mut(&file).expect("an entry's file is listed").entries -= 1;
        }
        self.shared.note_live_bytes(&files);
    }

    /// Moves to a new file of at least `bytes_min` bytes, after a sync: the new header states that everything before is
    /// durable.
    fn next_file(&mut self, bytes_min: u64) -> Result<(), WalError> {
        self.sync()?;
        self.reserve_file(0, bytes_min)?;
        let spare = self.reserved.pop_front().expect("it was just reserved");
        self.salt_seed = mix(self.salt_seed);
        let place = NewFile { seq: self.file.seq + 1, salt: self.salt_seed, first_lsn: self.lsn_next };
        match begin_file(&*self.disk, &self.dir, &self.shared, &spare.path, place) {
            Ok(file) => {
                self.spares.follow(file.bytes);
                self.file = file;
                self.sync_points = SyncPoints::of_new_file(self.durable_lsn);
            }
            Err(error) => {
                self.stopped |= matches!(error, WalError::SyncFailed { .. });
                self.spares.give_back(spare);
                return Err(error);
            }
        }
        self.retire_files();
        Ok(())
    }

    /// Retires the oldest files as long as no entry in them is needed. The state block of the current file, which is
    /// durable, has their contents.
    pub(super) fn retire_files(&self) {
        assert_eq!(
            self.file.offset, COMMITS_AT,
            "files are retired when the state block is all there is to know"
        );
        let mut files = self.shared.files_mut();
        while let Some(oldest) = files.first_entry()
            && *oldest.key() != self.file.seq
            && oldest.get().entries == 0
        {
            self.spares.retire(oldest.remove().path);
        }
    }
}

/// Bytes of the blocks that these operations take.
fn commit_bytes(ops: &[WalOp]) -> u64 {
    let frames: u64 = ops.iter().map(frame_bytes).sum();
    (COMMIT_HEADER_BYTES as u64 + frames).next_multiple_of(BLOCK)
}
