//! The location of frames that are not in memory: the segment, and the bytes to scan in its file.

use std::path::PathBuf;
use std::sync::Arc;

use super::state::ShardState;
use super::{SegmentCheckpoint, ShardError, ShardLog};
use crate::disk::DiskFile;
use crate::segment::cursor::FrameCursor;
use crate::segment::header::HEADER_BYTES;
use crate::segment::index::{IndexEntry, Sought};
use crate::segment::segment_path;

/// The segment in which a frame is that is not in memory.
pub(super) enum FrameLocation {
    /// In a segment that is sealed in its file, and the ordinal behind it.
    Sealed(SegmentCheckpoint, u64),
    /// In a segment whose index is in memory: its first ordinal, where to scan from and to, and the ordinals there.
    Active { first_ordinal: u64, scan: (u64, u64), ordinals: (u64, u64) },
    /// In a segment whose index must be completed up to this offset first. Where that meets damage, the frames are
    /// scanned from the first one up to the end that is given with the ordinal there.
    Unindexed { first_ordinal: u64, missing_until: u64, end: (u64, u64) },
}

/// An open file and the stretch of frames to scan in it.
pub(super) struct Stretch {
    pub file: Arc<dyn DiskFile>,
    pub path: PathBuf,
    pub scan: (u64, u64),
    /// The ordinal of its first frame.
    pub ordinal: u64,
    /// The ordinal behind the stretch.
    pub end_ordinal: u64,
}

impl FrameLocation {
    /// First ordinal of the segment.
    pub fn first_ordinal(&self) -> u64 {
        match self {
            FrameLocation::Sealed(segment, _) => segment.first_ordinal,
            FrameLocation::Active { first_ordinal, .. } | FrameLocation::Unindexed { first_ordinal, .. } => {
                *first_ordinal
            }
        }
    }
}

impl ShardLog {
    /// Opens the file of the sought record, which is not in memory.
    pub(super) fn stretch(&self, sought: Sought) -> Result<Stretch, ShardError> {
        let shared = self.shared();
        loop {
            let location = locate(&self.state(), sought);
            match location {
                FrameLocation::Sealed(segment, next_ordinal) => {
                    let sealed = shared.files.sealed(shared, self.key(), &segment, next_ordinal)?;
                    let start = sealed.search(sought);
                    return Ok(Stretch {
                        file: sealed.file.clone(),
                        path: sealed.path.clone(),
                        scan: (start.offset, sealed.frames_end),
                        ordinal: start.ordinal,
                        end_ordinal: sealed.end_ordinal,
                    });
                }
                FrameLocation::Active { first_ordinal, scan, ordinals } => {
                    return self.active_stretch(first_ordinal, scan, ordinals);
                }
                FrameLocation::Unindexed { first_ordinal, missing_until, end } => {
                    match self.complete_index(first_ordinal, missing_until) {
                        Err(error @ ShardError::Damaged { .. }) => {
                            self.note(&error);
                            let (scan, ordinals) = ((HEADER_BYTES, end.0), (first_ordinal, end.1));
                            return self.active_stretch(first_ordinal, scan, ordinals);
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
        (ordinal, end_ordinal): (u64, u64),
    ) -> Result<Stretch, ShardError> {
        let shared = self.shared();
        let path = segment_path(&shared.dir, self.key(), first_ordinal);
        let file = shared.files.active(shared, self.key(), first_ordinal)?;
        Ok(Stretch { file, path, scan, ordinal, end_ordinal })
    }
}

impl Stretch {
    pub fn cursor<'a>(&'a self, log: &ShardLog, read_bytes: u64) -> FrameCursor<'a> {
        FrameCursor::new(&*self.file, &self.path, log.key(), self.scan, read_bytes)
    }
}

/// Finds the segment of the sought ordinal or time: the last that starts at or before it, or the first with
/// readable records. Segments that are wholly trimmed are not looked at: their files need not be intact any more.
pub(super) fn locate(state: &ShardState, sought: Sought) -> FrameLocation {
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
                Some(sealed) => return FrameLocation::Sealed(*sealed, state.sealed_end(number)),
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
        return FrameLocation::Unindexed { first_ordinal, missing_until, end: (end, end_ordinal) };
    }
    let start = active.index.search(sought);
    let (offset, ordinal) = (start.offset.min(end), start.ordinal.min(end_ordinal));
    FrameLocation::Active { first_ordinal, scan: (offset, end), ordinals: (ordinal, end_ordinal) }
}
