//! Swapping a damaged segment for a peer's copy, and giving peers bytes of segments.
//!
//! A replaced file is renamed over, never written in place: readers that have the old one open keep it. Lost bytes
//! of a segment that is still written come from the peer as far as frames are wholly in the file, and from memory
//! behind them.

use std::collections::BTreeSet;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use bytes::Bytes;

use super::state::ActiveSegment;
use super::{ShardError, ShardKey, ShardLog, ShardStore};
use crate::disk::{Disk, Open};
use crate::segment::header::HEADER_BYTES;
use crate::segment::tail::TailFrame;
use crate::segment::{segment_path, shard_dir, verify, whole_blocks};
use crate::transfer::{Extent, FileNeed, Staging, Wanted};

/// The part of a written segment that is in the file for good, and the frames behind it.
struct Written {
    /// Where the frames end that are wholly in the file.
    frames_end: u64,
    /// Bytes in the file.
    bytes: u64,
    /// The frames from `frames_end` on, as far as they begin in the file.
    frames: Vec<TailFrame>,
}

impl Written {
    fn of(log: &ShardLog, first_ordinal: u64) -> Option<Written> {
        let state = log.state();
        let is_meant = |segment: &&ActiveSegment| segment.first_ordinal == first_ordinal;
        let segment = state.active.iter().find(is_meant)?;
        let unflushed = state.tail.unflushed().filter(|frame| frame.segment == first_ordinal);
        let frames: Vec<_> = unflushed.take_while(|frame| frame.offset < segment.written).cloned().collect();
        let frames_end = frames.first().map_or(segment.length.min(segment.written), |frame| frame.offset);
        Some(Written { frames_end, bytes: segment.written, frames })
    }
}

impl ShardStore {
    /// Whether a peer has copies to repair from, as the options say.
    pub fn is_repairable(&self) -> bool {
        self.shared.options.is_repairable
    }

    /// The segments that are known to be damaged.
    pub fn damaged(&self) -> Vec<(ShardKey, u64)> {
        self.shared.damage.list()
    }

    /// Returns the bytes to pull for the repair of a damaged segment; `None` when it needs no repair any
    /// more, and then it is no longer listed as damaged.
    ///
    /// # Errors
    /// [`ShardError::Io`] when the operating system refuses.
    pub fn repair_need(&self, key: ShardKey, first_ordinal: u64) -> Result<Option<Wanted>, ShardError> {
        let log = self.get(key);
        if log.as_ref().is_some_and(|log| has_raw_end(log, first_ordinal)) {
            // Where its last frame begins is known again once its last block has been written.
            return Ok(None);
        }
        let need = log.and_then(|log| need_of(&log, first_ordinal));
        let Some(need) = need else {
            self.shared.damage.forget(key, first_ordinal);
            return Ok(None);
        };
        let from = self.shared.repairs.staged_bytes(&need)?.min(need.bytes);
        Ok(Some(Wanted { need, from }))
    }

    /// Where copies of damaged segments are put before [`ShardStore::replace_segment`].
    pub fn repairs(&self) -> &Arc<Staging> {
        &self.shared.repairs
    }

    /// Puts the copy that is staged in [`ShardStore::repairs`] in the damaged segment's place, if it is the needed
    /// one. Returns false when the segment has changed since [`ShardStore::repair_need`]: ask again. Blocks the
    /// flusher.
    ///
    /// # Errors
    /// [`ShardError::Damaged`] when the copy, or the part of the own file that completes it, is damaged; the copy
    /// is removed then. [`ShardError::NoSpace`] and [`ShardError::Io`]: the damaged segment stands.
    pub fn replace_segment(&self, need: &FileNeed) -> Result<bool, ShardError> {
        let Some(log) = self.get(need.key) else { return Ok(false) };
        let mut replaced = self.shared.writing();
        let is_done = match need_of(&log, need.first_ordinal) {
            Some(now) if now == *need && matches!(need.extent, Extent::Sealed { .. }) => {
                self.shared.repairs.complete(need)?;
                self.shared.repairs.place(&self.shared.dir, need)?
            }
            Some(now) if matches!((&now.extent, &need.extent), (Extent::Prefix, Extent::Prefix)) => {
                let made = self.replace_written(&log, need);
                if matches!(made, Err(ShardError::Damaged { .. })) {
                    self.shared.repairs.discard(need)?;
                }
                made?;
                replaced.insert((need.key, need.first_ordinal));
                true
            }
            _ => false,
        };
        if is_done {
            self.shared.files.forget(need.key, need.first_ordinal);
            self.shared.damage.forget(need.key, need.first_ordinal);
        }
        Ok(is_done)
    }

    /// Completes the staged beginning of a segment that is still written, and renames it into place.
    fn replace_written(&self, log: &Arc<ShardLog>, need: &FileNeed) -> Result<(), ShardError> {
        let place = (need.key, need.first_ordinal);
        let path = segment_path(&self.shared.dir, need.key, need.first_ordinal);
        let written = Written::of(log, need.first_ordinal)
            .ok_or_else(|| ShardError::damaged(&path, 0, "the segment is no longer written"))?;
        let (copy, copy_path) = self.shared.repairs.open(need)?;
        let length = copy.len().map_err(|source| ShardError::io("measure", &copy_path, source))?;
        let (copied, _) = verify::whole_frames(&*copy, &copy_path, place, length.min(written.frames_end))?;
        let own = self.read_own(&path, copied, written.frames_end)?;
        let write = |bytes: &[u8], at| {
            copy.write_all_at(bytes, at).map_err(|source| ShardError::io("write", &copy_path, source))
        };
        write(&own, copied)?;
        if verify::whole_frames(&*copy, &copy_path, place, written.frames_end)?.0 != written.frames_end {
            return Err(ShardError::damaged(
                &copy_path,
                written.frames_end,
                "the copy does not reach far enough",
            ));
        }
        let mut last = Vec::new();
        for frame in &written.frames {
            frame.put_range(need.key, (written.frames_end, written.bytes), |bytes| {
                last.extend_from_slice(bytes);
            });
        }
        write(&last, written.frames_end)?;
        copy.set_len(written.bytes).map_err(|source| ShardError::io("cut", &copy_path, source))?;
        let synced = copy.sync_data();
        synced.map_err(|source| ShardError::Io { action: "sync", path: copy_path.clone(), source })?;
        let renamed = self.shared.disk.rename(&copy_path, &path);
        renamed.map_err(|source| ShardError::io("rename", &copy_path, source))?;
        let dir = shard_dir(&self.shared.dir, need.key);
        let synced = self.shared.disk.sync_dir(&dir);
        synced.map_err(|source| ShardError::Io { action: "sync", path: dir, source })
    }

    /// The bytes of the damaged file that the copy lacks, which may be intact.
    fn read_own(&self, path: &Path, from: u64, to: u64) -> Result<Vec<u8>, ShardError> {
        let mut bytes = vec![0; to.saturating_sub(from) as usize];
        if !bytes.is_empty() {
            let own = self.shared.disk.open(path, Open::Read);
            let read = own.and_then(|own| own.read_exact_at(&mut bytes, from));
            read.map_err(|source| ShardError::from_read(source, path, from))?;
        }
        Ok(bytes)
    }

    /// Whether memory has bytes of a segment below `end` that its file lacks, and [`Flusher::write_out`] would write.
    ///
    /// [`Flusher::write_out`]: crate::flusher::Flusher::write_out
    pub fn is_file_behind(&self, key: ShardKey, first_ordinal: u64, end: u64) -> bool {
        let Some(log) = self.get(key) else { return false };
        let state = log.state();
        let segment = state.active.iter().find(|segment| segment.first_ordinal == first_ordinal);
        segment.is_some_and(|segment| {
            segment.written < end && (segment.sealed || whole_blocks(segment.length) > segment.written)
        })
    }

    /// Bytes of a segment's file for a peer, at most `bytes_max` and only such as are not written any more; empty
    /// at the end. They are not verified: the peer does that.
    ///
    /// # Errors
    /// [`ShardError::Io`] when there is no such file or it cannot be read; [`ShardError::Damaged`] when the medium
    /// cannot read it.
    pub fn read_file(
        &self,
        key: ShardKey,
        first_ordinal: u64,
        offset: u64,
        bytes_max: u64,
    ) -> Result<Bytes, ShardError> {
        let written = self.get(key).and_then(|log| Written::of(&log, first_ordinal));
        let end = written.map_or(u64::MAX, |written| written.bytes);
        let path = segment_path(&self.shared.dir, key, first_ordinal);
        read_piece(&*self.shared.disk, &path, offset..end, bytes_max)
    }
}

/// The files of a store that cannot be opened yet, because copies of damaged open segments have to come first. Nothing
/// writes them meanwhile.
pub struct UnopenedFiles {
    disk: Arc<dyn Disk>,
    dir: PathBuf,
    damaged: BTreeSet<(ShardKey, u64)>,
}

impl UnopenedFiles {
    /// Takes the files in `dir` except the `damaged` ones, after [`ShardStore::damaged_open`] has looked at
    /// them: bytes behind the checkpoint have been truncated.
    pub fn new(disk: Arc<dyn Disk>, dir: PathBuf, damaged: &[Wanted]) -> Self {
        let damaged = damaged.iter().map(|wanted| (wanted.need.key, wanted.need.first_ordinal)).collect();
        Self { disk, dir, damaged }
    }

    /// Reads bytes of a file like [`ShardStore::read_file`].
    ///
    /// # Errors Those of [`ShardStore::read_file`]; [`ShardError::Damaged`] for a file that is known to be
    /// damaged.
    pub fn read_file(
        &self,
        key: ShardKey,
        first_ordinal: u64,
        offset: u64,
        bytes_max: u64,
    ) -> Result<Bytes, ShardError> {
        let path = segment_path(&self.dir, key, first_ordinal);
        if self.damaged.contains(&(key, first_ordinal)) {
            return Err(ShardError::damaged(&path, offset, "this node waits for a copy of it itself"));
        }
        read_piece(&*self.disk, &path, offset..u64::MAX, bytes_max)
    }
}

/// Bytes of a file from the start of a range on, up to its end or the file's, and at most `bytes_max`.
fn read_piece(disk: &dyn Disk, path: &Path, range: Range<u64>, bytes_max: u64) -> Result<Bytes, ShardError> {
    let file = disk.open(path, Open::Read).map_err(|source| ShardError::io("open", path, source))?;
    let length = file.len().map_err(|source| ShardError::io("measure", path, source))?;
    let end = range.end.min(length);
    let mut bytes = vec![0; end.saturating_sub(range.start).min(bytes_max) as usize];
    file.read_exact_at(&mut bytes, range.start)
        .map_err(|source| ShardError::from_read(source, path, range.start))?;
    Ok(bytes.into())
}

/// Whether the last bytes of this segment belong to frames that cannot be told apart.
fn has_raw_end(log: &ShardLog, first_ordinal: u64) -> bool {
    let state = log.state();
    state.active.iter().any(|segment| segment.first_ordinal == first_ordinal && !segment.raw.is_empty())
}

/// Returns the bytes that a copy of this segment must have; `None` when no readable record is in its file.
fn need_of(log: &ShardLog, first_ordinal: u64) -> Option<FileNeed> {
    let key = log.key();
    if let Some(written) = Written::of(log, first_ordinal) {
        let bytes = written.frames_end.max(HEADER_BYTES);
        return (written.bytes > 0).then_some(FileNeed { key, first_ordinal, bytes, extent: Extent::Prefix });
    }
    let state = log.state();
    let sealed = state.sealed.iter().find(|sealed| sealed.first_ordinal == first_ordinal)?;
    let mut behind = state.segment_starts().map(|start| start.0).skip_while(|start| *start <= first_ordinal);
    let next_ordinal = behind.next().unwrap_or(state.next_ordinal);
    let extent = Extent::Sealed { next_ordinal };
    (next_ordinal > state.trim_ordinal).then_some(FileNeed {
        key,
        first_ordinal,
        bytes: sealed.file_bytes,
        extent,
    })
}
