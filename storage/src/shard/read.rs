//! Reading a shard: from the tail while that reaches back far enough, else from segment files.

use std::ffi::OsStr;
use std::io;
use std::path::PathBuf;
use std::sync::Arc;

use super::gather::Gather;
use super::state::ShardState;
use super::tail::TailFrame;
use super::{ReadBatch, ReadLimit, SegmentCheckpoint, ShardError, ShardLog};
use crate::disk::{DiskFile, Open};
use crate::record::RECORD_HEADER_BYTES;
use crate::segment::cursor::{FrameCursor, READ_BYTES, SCAN_BYTES};
use crate::segment::frame::FrameHeader;
use crate::segment::header::HEADER_BYTES;
use crate::segment::index::{IndexEntry, Sought, SparseIndex};
use crate::segment::{parse_segment_name, segment_path};

/// Where to look for a frame that is not in memory.
enum Place {
    /// In a segment that is sealed in its file, and the ordinal behind it.
    Sealed(SegmentCheckpoint, u64),
    /// In a segment whose index is in memory: its first ordinal, where to scan from and to, and the ordinal there.
    Active { first_ordinal: u64, scan: (u64, u64), end_ordinal: u64 },
    /// In a segment whose index must be completed up to this offset first. Where that meets damage, the frames are
    /// scanned from the first one up to the end that is given with the ordinal there.
    Unindexed { first_ordinal: u64, missing_until: u64, end: (u64, u64) },
}

/// An open file and the stretch of frames to scan in it.
struct Stretch {
    file: Arc<dyn DiskFile>,
    path: PathBuf,
    scan: (u64, u64),
    /// The ordinal behind the stretch.
    end_ordinal: u64,
}

impl ShardLog {
    /// Reads from memory, without touching a disk: when `from` (or the trim point, if that is above) lies in
    /// the tail, or at or behind the shard's end, where the batch is empty. `None` means: use [`ShardLog::read`].
    pub fn read_memory(&self, from: u64, limit: ReadLimit) -> Option<ReadBatch> {
        let mut gather = Gather::new(from, limit);
        let frames = {
            let state = self.state();
            gather.start_at(from.max(state.trim_ordinal));
            frames_in_memory(&state, gather.next_ordinal(), limit)?
        };
        take_frames(&mut gather, frames).ok()?;
        Some(gather.finish())
    }

    /// Reads from memory and files; starts at the trim point when `from` is below it.
    ///
    /// # Errors
    /// [`ShardError::Damaged`] when bytes on disk are not those that were written and no whole record stands before
    /// them; [`ShardError::Io`] when the operating system refuses, or when the shard's stream was removed. Wrong data
    /// is never returned.
    pub fn read(&self, from: u64, limit: ReadLimit) -> Result<ReadBatch, ShardError> {
        let mut gather = Gather::new(from, limit);
        while !gather.is_full() {
            let in_memory = {
                let state = self.state();
                if gather.next_ordinal() < state.trim_ordinal {
                    if !gather.is_empty() {
                        break;
                    }
                    gather.start_at(state.trim_ordinal);
                }
                frames_in_memory(&state, gather.next_ordinal(), limit)
            };
            match in_memory {
                Some(frames) if frames.is_empty() => break,
                Some(frames) => {
                    take_frames(&mut gather, frames).map_err(|frame| self.damaged_frame(&frame))?;
                }
                None => match self.retry_if_unlinked(self.read_file(&mut gather)) {
                    // What is whole up to the damage is given; the next read begins there and fails.
                    Err(ShardError::Damaged { .. }) if !gather.is_empty() => break,
                    found => found?,
                },
            }
        }
        Ok(gather.finish())
    }

    /// The first readable ordinal whose time is not below `time_ms`; the next ordinal when there is none.
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
                if ordinal < state.trim_ordinal || ordinal >= state.next_ordinal {
                    return Ok(None);
                }
                if state.tail.first_ordinal().is_some_and(|first| first <= ordinal) {
                    return Ok(state.tail.starting_with(ordinal).next().map(|frame| frame.header.time_ms));
                }
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

    /// Completes the index as [`ShardLog::complete_index`] does, also where damage is met: that is noted, and what is
    /// behind it is sought where it begins, so that a read fails there.
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
        let stretch = self.stretch(Sought::Time(time_ms))?;
        let mut cursor = stretch.cursor(self, READ_BYTES);
        while let Some(header) = cursor.header()? {
            if header.time_ms >= time_ms {
                return Ok(header.first_ordinal);
            }
            cursor.pass(&header);
        }
        Ok(stretch.end_ordinal)
    }

    /// Opens the file that holds what is sought, which is not in memory.
    fn stretch(&self, sought: Sought) -> Result<Stretch, ShardError> {
        let shared = self.shared();
        loop {
            let place = place(&self.state(), sought);
            match place {
                Place::Sealed(segment, next_ordinal) => {
                    let sealed = shared.files.sealed(shared, self.key, &segment, next_ordinal)?;
                    return Ok(Stretch {
                        file: sealed.file.clone(),
                        path: sealed.path.clone(),
                        scan: (sealed.search(sought).offset, sealed.frames_end),
                        end_ordinal: sealed.end_ordinal,
                    });
                }
                Place::Active { first_ordinal, scan, end_ordinal } => {
                    return self.active_stretch(first_ordinal, scan, end_ordinal);
                }
                Place::Unindexed { first_ordinal, missing_until, end } => {
                    match self.complete_index(first_ordinal, missing_until) {
                        Err(error @ ShardError::Damaged { .. }) => {
                            self.note(&error);
                            return self.active_stretch(first_ordinal, (HEADER_BYTES, end.0), end.1);
                        }
                        completed => completed?,
                    }
                }
            }
        }
    }

    fn active_stretch(
        &self,
        first_ordinal: u64,
        scan: (u64, u64),
        end_ordinal: u64,
    ) -> Result<Stretch, ShardError> {
        let shared = self.shared();
        let path = segment_path(&shared.dir, self.key, first_ordinal);
        let file = shared.files.active(shared, self.key, first_ordinal)?;
        Ok(Stretch { file, path, scan, end_ordinal })
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
    fn note(&self, error: &ShardError) {
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

impl Stretch {
    fn cursor<'a>(&'a self, log: &ShardLog, read_bytes: u64) -> FrameCursor<'a> {
        FrameCursor::new(&*self.file, &self.path, log.key, self.scan, read_bytes)
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
        if records >= limit.records || bytes >= limit.bytes {
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

/// Gives back the frame whose body cannot be taken apart.
fn take_frames(gather: &mut Gather, frames: Vec<TailFrame>) -> Result<(), TailFrame> {
    for frame in frames {
        if gather.is_full() {
            break;
        }
        gather.take(&frame.header, frame.body.clone()).map_err(|_| frame)?;
    }
    Ok(())
}

/// Finds the segment of what is sought: the last that starts at or before it, or the first with readable records.
/// What is wholly trimmed is not looked at: its file need not be whole any more.
fn place(state: &ShardState, sought: Sought) -> Place {
    let before = |ordinal, time_ms| {
        ordinal <= state.trim_ordinal || sought.is_at_or_behind(&IndexEntry { ordinal, time_ms, offset: 0 })
    };
    let active = state.active.iter().rfind(|active| before(active.first_ordinal, active.first_time_ms));
    let active = match active {
        Some(active) => active,
        None => {
            let count =
                state.sealed.partition_point(|sealed| before(sealed.first_ordinal, sealed.first_time_ms));
            let number = count.saturating_sub(1);
            match state.sealed.get(number) {
                Some(sealed) => return Place::Sealed(*sealed, state.sealed_end(number)),
                None => state.active.front().expect("a shard with readable records has a segment"),
            }
        }
    };
    let first_ordinal = active.first_ordinal;
    let (end, end_ordinal) = match state.tail.front() {
        Some(frame) if frame.segment == first_ordinal => (frame.offset, frame.header.first_ordinal),
        _ => (active.length, active.next_ordinal),
    };
    if let Some(missing_until) = active.index.missing_until() {
        return Place::Unindexed { first_ordinal, missing_until, end: (end, end_ordinal) };
    }
    let start = active.index.search(sought).offset.min(end);
    Place::Active { first_ordinal, scan: (start, end), end_ordinal }
}
