//! The records that damage has made unreadable, for operators, who may give them up.
//!
//! A survey reads a damaged segment from its first to its last byte. Behind damaged frames it goes on at the next frame
//! that the index leads to, as reads do.

use std::io;
use std::ops::Range;
use std::sync::Arc;

use super::given_up::{merged, without};
use super::{ShardError, ShardKey, ShardLog, ShardStore};
use crate::disk::{DiskFile, Open};
use crate::segment::cursor::{FrameCursor, SCAN_BYTES};
use crate::segment::header::HEADER_BYTES;
use crate::segment::index::IndexEntry;
use crate::segment::sealed::SealedSegment;
use crate::segment::segment_path;

/// A segment with records that cannot be read and were not given up.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DamagedSegment {
    /// The shard.
    pub key: ShardKey,
    /// The segment.
    pub first_ordinal: u64,
    /// The unreadable ordinals, in their order; `None` before [`ShardStore::survey_damage`] has looked.
    pub unreadable: Option<Vec<Range<u64>>>,
}

/// The records that a segment's file should hold, and where reads can begin in it.
struct Expected {
    end_ordinal: u64,
    /// Where the frames in the file end, if that is known.
    frames_end: Option<u64>,
    file_bytes: Option<u64>,
    anchors: Vec<IndexEntry>,
}

impl ShardStore {
    /// The damaged segments that have readable records no more and were not given up.
    pub fn damage_report(&self) -> Vec<DamagedSegment> {
        let report = |((key, first_ordinal), unreadable): ((ShardKey, u64), Option<Vec<Range<u64>>>)| {
            let log = self.get(key)?;
            let unreadable = unreadable.map(|unreadable| {
                let state = log.state();
                let mut passed = state.given_up.clone();
                passed.push(0..state.trim_ordinal);
                without(&unreadable, &merged(passed))
            });
            let is_open = unreadable.as_ref().is_none_or(|unreadable| !unreadable.is_empty());
            is_open.then_some(DamagedSegment { key, first_ordinal, unreadable })
        };
        self.shared.damage.surveyed().into_iter().filter_map(report).collect()
    }

    /// Looks which records of the damaged segments cannot be read, where that is not known yet. Returns how many
    /// segments were read.
    ///
    /// # Errors
    /// [`ShardError::Io`] when the operating system refuses for another reason than the medium's.
    pub fn survey_damage(&self) -> Result<usize, ShardError> {
        let mut looks = 0;
        for ((key, first_ordinal), unreadable) in self.shared.damage.surveyed() {
            if unreadable.is_some() {
                continue;
            }
            let found = match self.get(key) {
                Some(log) => log.survey(first_ordinal)?,
                None => Vec::new(),
            };
            self.shared.damage.set_unreadable(key, first_ordinal, found);
            looks += 1;
        }
        Ok(looks)
    }
}

impl ShardLog {
    /// The ordinals of a segment that cannot be read from its file.
    fn survey(&self, first_ordinal: u64) -> Result<Vec<Range<u64>>, ShardError> {
        let shared = self.shared();
        let path = segment_path(&shared.dir, self.key(), first_ordinal);
        let Some(mut expected) = self.expected(first_ordinal) else { return Ok(Vec::new()) };
        let file: Arc<dyn DiskFile> = match shared.disk.open(&path, Open::Read) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                return Ok(Some(first_ordinal..expected.end_ordinal).into_iter().collect());
            }
            opened => opened.map_err(|source| ShardError::io("open", &path, source))?,
        };
        if let Some(bytes) = expected.file_bytes
            && let Ok(sealed) =
                SealedSegment::open(&*shared.disk, &shared.dir, self.key(), first_ordinal, bytes)
        {
            expected.anchors = sealed.entries();
            expected.frames_end = Some(sealed.frames_end);
        }
        let length = file.len().map_err(|source| ShardError::io("measure", &path, source))?;
        let end = expected.frames_end.unwrap_or(length).max(HEADER_BYTES);
        let (mut lost, mut next, mut at) = (Vec::new(), first_ordinal, HEADER_BYTES);
        while next < expected.end_ordinal {
            let mut cursor = FrameCursor::new(&*file, &path, self.key(), (at, end), SCAN_BYTES);
            next = intact_until(&mut cursor, next, expected.end_ordinal, &mut lost)?;
            let is_behind = |entry: &&IndexEntry| entry.offset > cursor.offset() && entry.ordinal > next;
            match expected.anchors.iter().find(is_behind) {
                _ if next >= expected.end_ordinal => {}
                Some(anchor) => {
                    lost.push(next..anchor.ordinal);
                    (next, at) = (anchor.ordinal, anchor.offset);
                }
                None => {
                    lost.push(next..expected.end_ordinal);
                    next = expected.end_ordinal;
                }
            }
        }
        Ok(merged(lost))
    }

    fn expected(&self, first_ordinal: u64) -> Option<Expected> {
        let state = self.state();
        if let Some(number) = state.sealed.iter().position(|sealed| sealed.first_ordinal == first_ordinal) {
            return Some(Expected {
                end_ordinal: state.sealed_end(number),
                frames_end: None,
                file_bytes: Some(state.sealed[number].file_bytes),
                anchors: Vec::new(),
            });
        }
        let active = state.active.iter().find(|active| active.first_ordinal == first_ordinal)?;
        // Records that are in memory are read from there.
        let (frames_end, end_ordinal) = match state.tail.front() {
            Some(frame) if frame.segment == first_ordinal => (frame.offset, frame.header.first_ordinal),
            _ => (active.length, active.next_ordinal),
        };
        let anchors = active.index.known().to_vec();
        Some(Expected { end_ordinal, frames_end: Some(frames_end), file_bytes: None, anchors })
    }
}

/// Walks frames up to `end_ordinal`, or to the first whose header is damaged. Returns the ordinal there, and adds
/// frames whose bodies are damaged to `lost`.
fn intact_until(
    cursor: &mut FrameCursor<'_>,
    mut next: u64,
    end_ordinal: u64,
    lost: &mut Vec<Range<u64>>,
) -> Result<u64, ShardError> {
    while next < end_ordinal {
        let header = match cursor.header() {
            Ok(Some(header)) if header.first_ordinal == next => header,
            Ok(_) | Err(ShardError::Damaged { .. }) => break,
            Err(error) => return Err(error),
        };
        match cursor.body(&header) {
            Ok(_) => {}
            Err(ShardError::Damaged { .. }) => lost.push(header.first_ordinal..header.next_ordinal()),
            Err(error) => return Err(error),
        }
        cursor.pass(&header);
        next = header.next_ordinal();
    }
    Ok(next)
}
