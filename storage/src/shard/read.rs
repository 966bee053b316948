//! Reading a shard: from the tail while that reaches back far enough, else from segment files.

use std::ffi::OsStr;
use std::io;

use super::gather::Gather;
use super::location::locate;
use super::state::ShardState;
use super::{ReadBatch, ReadLimit, ShardError, ShardLog};
use crate::disk::Open;
use crate::record::RECORD_HEADER_BYTES;
use crate::segment::cursor::{FrameCursor, READ_BYTES, SCAN_BYTES};
use crate::segment::frame::FrameHeader;
use crate::segment::header::HEADER_BYTES;
use crate::segment::index::{IndexEntry, Sought, SparseIndex};
use crate::segment::tail::TailFrame;
use crate::segment::{parse_segment_name, segment_path};

/// The least that a read can ask for.
const ONE_RECORD: ReadLimit = ReadLimit { records: 1, bytes: 0 };

impl ShardLog {
    /// Reads from memory, without touching a disk: when `from` (or the trim point, if that is above) lies in
    /// the tail, or at or behind the shard's end, where the batch is empty. `None` means: use [`ShardLog::read`].
    pub fn read_memory(&self, from: u64, limit: ReadLimit) -> Option<ReadBatch> {
        let mut gather = Gather::new(from, limit);
        let frames = {
            let state = self.state();
            gather.start_at(from.max(state.first_readable()));
            if state.given_up_end(gather.next_ordinal()).is_some() {
                return None;
            }
            frames_in_memory(&state, gather.next_ordinal(), limit)?
        };
        take_frames(&mut gather, frames).ok()?;
        Some(gather.finish())
    }

    /// Reads from memory and files; starts at the trim point when `from` is below it.
    ///
    /// # Errors
    /// [`ShardError::Damaged`] when bytes on disk are not those that were written and no intact record stands
    /// before them; [`ShardError::Io`] when the operating system refuses, or when the shard's stream was removed.
    /// Wrong data is never returned.
    pub fn read(&self, from: u64, limit: ReadLimit) -> Result<ReadBatch, ShardError> {
        let mut gather = Gather::new(from, limit);
        while !gather.is_full() {
            let in_memory = {
                let state = self.state();
                if gather.next_ordinal() < state.first_readable() {
                    if !gather.is_empty() {
                        break;
                    }
                    gather.start_at(state.first_readable());
                }
                if let Some(end) = state.given_up_end(gather.next_ordinal()) {
                    if !gather.is_empty() {
                        break;
                    }
                    gather.start_at(end);
                }
                frames_in_memory(&state, gather.next_ordinal(), limit)
            };
            match in_memory {
                Some(frames) if frames.is_empty() => break,
                Some(frames) => {
                    take_frames(&mut gather, frames).map_err(|frame| self.damaged_frame(&frame))?;
                }
                None => match self.retry_if_unlinked(self.read_file(&mut gather)) {
                    // The intact records up to the damage are returned; the next read begins at the damage
                    // and fails.
                    Err(ShardError::Damaged { .. }) if !gather.is_empty() => break,
                    found => found?,
                },
            }
        }
        Ok(gather.finish())
    }

    /// The first ordinal that is not trimmed and whose time is not below `time_ms`, hidden or not; the next ordinal
    /// when there is none.
    ///
    /// # Errors
    /// As [`ShardLog::read`].
    pub fn ordinal_at_time(&self, time_ms: u64) -> Result<u64, ShardError> {
        loop {
            let trim_ordinal = {
                let state = self.state();
                if time_ms > state.last_time_ms || state.trim_ordinal == state.next_ordinal {
                    return Ok(state.next_ordinal);
                }
                let starts_in_tail = state.tail.front().is_some_and(|frame| {
                    frame.header.time_ms < time_ms || frame.header.first_ordinal <= state.trim_ordinal
                });
                if starts_in_tail {
                    let found = state.tail.first_at_time(time_ms).map(|frame| frame.header.first_ordinal);
                    return Ok(found.unwrap_or(state.next_ordinal).max(state.trim_ordinal));
                }
                state.trim_ordinal
            };
            match self.scan_for_time(time_ms) {
                Ok(ordinal) => return Ok(ordinal.max(trim_ordinal)),
                missing => self.retry_if_unlinked(missing.map(drop))?,
            }
        }
    }

    /// Arrival time of a readable record, in milliseconds since 1970; `None` when it is trimmed or not yet there.
    ///
    /// # Errors
    /// As [`ShardLog::read`].
    pub fn time_of(&self, ordinal: u64) -> Result<Option<u64>, ShardError> {
        loop {
            {
                let state = self.state();
                if ordinal < state.first_readable() || ordinal >= state.next_ordinal {
                    return Ok(None);
                }
                if state.tail.first_ordinal().is_some_and(|first| first <= ordinal) {
                    return Ok(state.tail.starting_with(ordinal).next().map(|frame| frame.header.time_ms));
                }
            }
            if self.state().given_up_end(ordinal).is_some() {
                let start = self.state().segment_starts().rfind(|start| start.0 <= ordinal);
                return Ok(start.map(|start| start.1));
            }
            let found = self.stretch(Sought::Ordinal(ordinal)).and_then(|stretch| {
                let mut cursor = stretch.cursor(self, READ_BYTES);
                Ok(self.seek(&mut cursor, ordinal)?.time_ms)
            });
            match found {
                Ok(time_ms) => return Ok(Some(time_ms)),
                missing => self.retry_if_unlinked(missing.map(drop))?,
            }
        }
    }

    /// Completes the index of a recovered segment by scanning its frames below `missing_until`.
    pub(crate) fn complete_index(&self, first_ordinal: u64, missing_until: u64) -> Result<(), ShardError> {
        self.complete_index_with(first_ordinal, missing_until, Err)
    }

    /// Completes the index like [`ShardLog::complete_index`], also past damage: the damage is noted, and a search
    /// for records behind it leads to its beginning, so that a read fails there.
    pub(crate) fn complete_index_over_damage(
        &self,
        first_ordinal: u64,
        missing_until: u64,
    ) -> Result<(), ShardError> {
        self.complete_index_with(first_ordinal, missing_until, |error| match error {
            ShardError::Damaged { .. } => {
                self.note(&error);
                Ok(())
            }
            other => Err(other),
        })
    }

    fn complete_index_with(
        &self,
        first_ordinal: u64,
        missing_until: u64,
        accept: impl Fn(ShardError) -> Result<(), ShardError>,
    ) -> Result<(), ShardError> {
        let shared = self.shared();
        let path = segment_path(&shared.dir, self.key, first_ordinal);
        // Not checked: each frame says whose it is.
        let file = shared.disk.open(&path, Open::Read);
        let file = file.map_err(|source| ShardError::io("open", &path, source))?;
        let scan = (HEADER_BYTES, missing_until);
        let mut cursor = FrameCursor::new(&*file, &path, self.key, scan, SCAN_BYTES);
        let mut beginning = SparseIndex::starting_at(HEADER_BYTES);
        let mut next = IndexEntry { ordinal: first_ordinal, time_ms: 0, offset: HEADER_BYTES };
        loop {
            match cursor.header() {
                Ok(None) => break,
                Ok(Some(header)) => {
                    beginning.add(cursor.offset(), &header);
                    cursor.pass(&header);
                    next = IndexEntry {
                        ordinal: header.next_ordinal(),
                        time_ms: header.time_ms,
                        offset: cursor.offset(),
                    };
                }
                Err(error) => {
                    accept(error)?;
                    beginning.fill(next, missing_until);
                    break;
                }
            }
        }
        let mut state = self.state();
        if let Some(segment) = state.active.iter_mut().find(|segment| segment.first_ordinal == first_ordinal)
        {
            segment.index.complete(beginning);
        }
        Ok(())
    }

    fn read_file(&self, gather: &mut Gather) -> Result<(), ShardError> {
        let stretch = self.stretch(Sought::Ordinal(gather.next_ordinal()))?;
        let mut cursor = stretch.cursor(self, READ_BYTES);
        self.seek(&mut cursor, gather.next_ordinal())?;
        while !gather.is_full() {
            let Some(header) = cursor.header()? else { break };
            let body = cursor.body(&header)?;
            gather
                .take(&header, body)
                .map_err(|_| cursor.damaged("the frame's records cannot be told apart"))?;
            cursor.pass(&header);
        }
        Ok(())
    }

    /// Moves the cursor to the frame that holds `ordinal`.
    fn seek(&self, cursor: &mut FrameCursor<'_>, ordinal: u64) -> Result<FrameHeader, ShardError> {
        while let Some(header) = cursor.header()? {
            if header.first_ordinal > ordinal {
                break;
            }
            if header.next_ordinal() > ordinal {
                return Ok(header);
            }
            cursor.pass(&header);
        }
        Err(cursor.damaged("a record that belongs here is not in the segment"))
    }

    fn scan_for_time(&self, time_ms: u64) -> Result<u64, ShardError> {
        let mut stretch = match self.stretch(Sought::Time(time_ms)) {
            Err(error) if error.is_missing() || matches!(error, ShardError::Damaged { .. }) => {
                // Records that an operator has given up of a file without a frame end where the next records
                // are.
                let state = self.state();
                let segment = locate(&state, Sought::Time(time_ms)).first_ordinal().max(state.trim_ordinal);
                return state.given_up_end(segment).ok_or(error);
            }
            found => found?,
        };
        loop {
            let mut reached = stretch.ordinal;
            let mut cursor = stretch.cursor(self, READ_BYTES);
            let damage = loop {
                match cursor.header() {
                    Ok(Some(header)) if header.time_ms >= time_ms => return Ok(header.first_ordinal),
                    Ok(Some(header)) => {
                        cursor.pass(&header);
                        reached = header.next_ordinal();
                    }
                    Ok(None) => return Ok(stretch.end_ordinal),
                    Err(error) => break error,
                }
            };
            let (given_up_end, next_ordinal) = {
                let state = self.state();
                (state.given_up_end(reached), state.next_ordinal)
            };
            match given_up_end {
                None => return Err(damage),
                Some(end) if end == next_ordinal || self.read_memory(end, ONE_RECORD).is_some() => {
                    return Ok(end);
                }
                Some(end) => stretch = self.stretch(Sought::Ordinal(end))?,
            }
        }
    }

    /// Turns a missing file into another attempt when it was unlinked in between, else into damage.
    fn retry_if_unlinked(&self, found: Result<(), ShardError>) -> Result<(), ShardError> {
        match found {
            Err(ShardError::Io { path, source, .. }) if is_lost(&source, self) => {
                let name = path.file_name().and_then(OsStr::to_str).unwrap_or_default();
                let first_ordinal = parse_segment_name(name);
                if self.state().segment_starts().any(|start| Some(start.0) == first_ordinal) {
                    let missing = ShardError::damaged(&path, 0, "the segment's file is missing");
                    self.note(&missing);
                    return Err(missing);
                }
                Ok(())
            }
            Err(error) => {
                self.note(&error);
                Err(error)
            }
            Ok(()) => Ok(()),
        }
    }

    /// Remembers damage that a read has met. Where nobody has a copy a segment that is still open is sealed, so that no
    /// new record stands behind the damage.
    pub(super) fn note(&self, error: &ShardError) {
        if self.is_removed() {
            return;
        }
        let damaged = self.shared().damage.note_error(self.key, error);
        if let (Some(first_ordinal), false) = (damaged, self.shared().options.is_repairable) {
            let mut state = self.state();
            if state.seal(first_ordinal) {
                self.mark_dirty(&mut state);
            }
        }
    }

    fn damaged_frame(&self, frame: &TailFrame) -> ShardError {
        let path = segment_path(&self.shared().dir, self.key, frame.segment);
        ShardError::Damaged { path, offset: frame.offset, reason: "the frame's records cannot be told apart" }
    }
}

/// Whether a file is missing that should be there; a removed stream's files may go under a reader.
fn is_lost(source: &io::Error, log: &ShardLog) -> bool {
    source.kind() == io::ErrorKind::NotFound && !log.is_removed()
}

/// Handles of the frames from `from` on that can be needed within the limit; `None` when they start in a file.
fn frames_in_memory(state: &ShardState, from: u64, limit: ReadLimit) -> Option<Vec<TailFrame>> {
    let mut frames = Vec::new();
    if from >= state.next_ordinal {
        return Some(frames);
    }
    if state.tail.first_ordinal().is_none_or(|first| first > from) {
        return None;
    }
    let (mut records, mut bytes) = (0, 0);
    for frame in state.tail.starting_with(from) {
        // A batch has no gaps: ordinals that were given up end it.
        let is_behind_gap = frames
            .last()
            .is_some_and(|last: &TailFrame| frame.header.first_ordinal != last.header.next_ordinal());
        if records >= limit.records || bytes >= limit.bytes || is_behind_gap {
            break;
        }
        // The first frame may be passed over in part, so it does not count.
        if !frames.is_empty() {
            records += frame.header.count as usize;
            bytes += frame.body.len().saturating_sub(frame.header.count as usize * RECORD_HEADER_BYTES);
        }
        frames.push(frame.clone());
    }
    if frames.is_empty() {
        frames.extend(state.tail.starting_with(from).next().cloned());
    }
    Some(frames)
}

/// Gathers records from frames up to the bounds of a read. Fails with the frame whose body cannot be decoded.
fn take_frames(gather: &mut Gather, frames: Vec<TailFrame>) -> Result<(), TailFrame> {
    for frame in frames {
        if gather.is_full() {
            break;
        }
        gather.take(&frame.header, frame.body.clone()).map_err(|_| frame)?;
    }
    Ok(())
}
