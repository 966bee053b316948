//! The state of one shard, behind its lock: a pure function of the applied log, and how much of it is in
//! files.
//!
//! Invariants: ordinals have no gap but those that were given up; times never decrease; `sealed`, then `active`, are in
//! order and gapless; only the last active segment may be open; segments are written strictly in order.

use std::collections::VecDeque;
use std::ops::Range;

use bytes::Bytes;

use super::given_up::merged;
use super::tail::Tail;
use super::{Bounds, OpenCheckpoint, SegmentCheckpoint, ShardCheckpoint};
use crate::segment::footer::Footer;
use crate::segment::frame::FrameHeader;
use crate::segment::header::{self, HEADER_BYTES};
use crate::segment::index::{SparseIndex, sealed_bytes};
use crate::segment::tail::TailFrame;
use crate::segment::{ShardKey, whole_blocks};

/// A segment that is open, or sealed but not yet wholly in its file.
#[derive(Debug)]
pub(crate) struct ActiveSegment {
    pub first_ordinal: u64,
    pub first_time_ms: u64,
    pub last_time_ms: u64,
    /// The first ordinal behind the segment.
    pub next_ordinal: u64,
    /// Bytes of header and frames.
    pub length: u64,
    /// Whether no frame is to be added any more.
    pub sealed: bool,
    /// Bytes in the file, whole blocks.
    pub written: u64,
    /// Bytes from `written` on, less than a block, of frames that a damaged file keeps from being told apart. They
    /// are written before the tail's frames; empty for a segment that was recovered completely, and after they were
    /// written.
    pub raw: Bytes,
    pub index: SparseIndex,
}

impl ActiveSegment {
    fn new(first_ordinal: u64, time_ms: u64) -> ActiveSegment {
        ActiveSegment {
            first_ordinal,
            first_time_ms: time_ms,
            last_time_ms: time_ms,
            next_ordinal: first_ordinal,
            length: HEADER_BYTES,
            sealed: false,
            written: 0,
            raw: Bytes::new(),
            index: SparseIndex::starting_at(HEADER_BYTES),
        }
    }

    pub fn checkpoint(&self) -> SegmentCheckpoint {
        SegmentCheckpoint {
            first_ordinal: self.first_ordinal,
            file_bytes: sealed_bytes(self.length),
            first_time_ms: self.first_time_ms,
        }
    }

    pub fn footer(&self) -> Footer {
        Footer {
            index_offset: self.length,
            first_ordinal: self.first_ordinal,
            last_ordinal: self.next_ordinal - 1,
            first_time_ms: self.first_time_ms,
            last_time_ms: self.last_time_ms,
        }
    }
}

/// Where a new frame starts a new segment.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Borders {
    pub segment_bytes: u64,
    pub segment_age_ms: u64,
}

/// One shard's state.
#[derive(Debug)]
pub(crate) struct ShardState {
    pub next_ordinal: u64,
    pub last_time_ms: u64,
    pub trim_ordinal: u64,
    /// Records below are not given to readers; they are kept until the trim point passes them.
    pub hidden_below: u64,
    /// Segments that are sealed in their files and not yet unlinked.
    pub sealed: VecDeque<SegmentCheckpoint>,
    pub active: VecDeque<ActiveSegment>,
    pub tail: Tail,
    /// Whether the flusher has been notified of the shard and has not finished with it.
    pub dirty: bool,
    /// The trim point of the last durable checkpoint: the older of the two that are kept once another one is.
    pub kept_trim_ordinal: u64,
    /// Ordinals that an operator has given up, in their order: reads pass over them. They stand in a file of the shard
    /// as well, also those that no record had.
    pub given_up: Vec<Range<u64>>,
}

impl ShardState {
    pub fn new() -> ShardState {
        ShardState {
            next_ordinal: 1,
            last_time_ms: 0,
            trim_ordinal: 1,
            hidden_below: 0,
            sealed: VecDeque::new(),
            active: VecDeque::new(),
            tail: Tail::default(),
            dirty: false,
            kept_trim_ordinal: 1,
            given_up: Vec::new(),
        }
    }

    /// Appends a frame. Returns its header and how many bytes are to be written more than before.
    pub fn append(
        &mut self,
        borders: Borders,
        (time_ms, count): (u64, u32),
        body: Bytes,
        body_crc: u32,
    ) -> (FrameHeader, u64) {
        assert!(count > 0, "a sub-batch without records");
        let body_bytes = u32::try_from(body.len()).expect("a sub-batch is far below 4 GiB");
        let time_ms = time_ms.max(self.last_time_ms);
        let header = FrameHeader { body_bytes, count, first_ordinal: self.next_ordinal, time_ms, body_crc };
        self.seal_before(borders, &header);
        let added_header = self.active.back().is_none_or(|segment| segment.sealed);
        if added_header {
            self.active.push_back(ActiveSegment::new(header.first_ordinal, time_ms));
        }
        let segment = self.active.back_mut().expect("an open segment was just ensured");
        let offset = segment.length;
        segment.index.add(offset, &header);
        segment.length += header.frame_bytes();
        segment.last_time_ms = time_ms;
        segment.next_ordinal = header.next_ordinal();
        self.tail.push(TailFrame { segment: segment.first_ordinal, offset, header, body });
        self.next_ordinal = header.next_ordinal();
        self.last_time_ms = time_ms;
        (header, header.frame_bytes() + if added_header { HEADER_BYTES } else { 0 })
    }

    /// Seals the open segment when the frame must not go into it. Looks at the applied log only.
    fn seal_before(&mut self, borders: Borders, header: &FrameHeader) {
        if let Some(open) = self.active.back_mut() {
            let full = open.length + header.frame_bytes() > borders.segment_bytes;
            let old = header.time_ms - open.first_time_ms >= borders.segment_age_ms;
            open.sealed |= full || old;
        }
    }

    /// Moves the trim point. Once everything is trimmed the open segment is sealed, so that its file can go.
    /// Trims the shard to `ordinal`, and returns whether there is more to write.
    pub fn trim(&mut self, ordinal: u64) -> bool {
        // No record before the end of the given-up range can be read: the files before it need not wait for more.
        let ordinal = self.given_up_end(ordinal).unwrap_or(ordinal);
        self.trim_ordinal = self.trim_ordinal.max(ordinal.min(self.next_ordinal));
        match self.active.back_mut() {
            Some(open) if self.trim_ordinal == self.next_ordinal && !open.sealed => {
                open.sealed = true;
                true
            }
            _ => false,
        }
    }

    /// Goes on at `ordinal`: no record gets one between the last one and that, and reads pass over them. Returns
    /// whether there is more to write.
    pub fn skip_to(&mut self, ordinal: u64) -> bool {
        if ordinal <= self.next_ordinal {
            return false;
        }
        self.given_up.push(self.next_ordinal..ordinal);
        self.given_up = merged(std::mem::take(&mut self.given_up));
        if self.trim_ordinal == self.next_ordinal {
            self.trim_ordinal = ordinal;
        }
        self.next_ordinal = ordinal;
        let open = self.active.back_mut().filter(|open| !open.sealed);
        open.map(|open| open.sealed = true).is_some()
    }

    /// Ordinals from `first` on that were not given up: at most so many records are there.
    pub fn count_from(&self, first: u64) -> u64 {
        let passed = self
            .given_up
            .iter()
            .map(|range| range.end.min(self.next_ordinal).saturating_sub(range.start.max(first)));
        self.next_ordinal.saturating_sub(first).saturating_sub(passed.sum())
    }

    /// Seals the open segment if it is the one that starts there. Returns whether it was open.
    pub fn seal(&mut self, first_ordinal: u64) -> bool {
        let open = self.active.back_mut().filter(|open| open.first_ordinal == first_ordinal && !open.sealed);
        open.map(|open| open.sealed = true).is_some()
    }

    /// First ordinal and first time of the segments, oldest first.
    pub fn segment_starts(&self) -> impl DoubleEndedIterator<Item = (u64, u64)> {
        let sealed = self.sealed.iter().map(|segment| (segment.first_ordinal, segment.first_time_ms));
        sealed.chain(self.active.iter().map(|segment| (segment.first_ordinal, segment.first_time_ms)))
    }

    /// The ordinal behind the range that was given up and holds this one; `None` for one that was not given up.
    pub fn given_up_end(&self, ordinal: u64) -> Option<u64> {
        self.given_up
            .iter()
            .find(|range| range.contains(&ordinal))
            .map(|range| range.end.min(self.next_ordinal))
    }

    /// The ordinal behind the sealed segment of that number.
    pub fn sealed_end(&self, number: usize) -> u64 {
        match self.sealed.get(number + 1) {
            Some(next) => next.first_ordinal,
            None => self.active.front().map_or(self.next_ordinal, |active| active.first_ordinal),
        }
    }

    /// The first ordinal that readers are given.
    pub fn first_readable(&self) -> u64 {
        self.trim_ordinal.max(self.hidden_below)
    }

    /// The bounds of the records from `first` on, which is not below the trim point.
    pub fn bounds_from(&self, first: u64) -> Bounds {
        Bounds {
            first_ordinal: first,
            next_ordinal: self.next_ordinal,
            last_time_ms: self.last_time_ms,
            oldest_time_ms: self.oldest_time_ms(first),
        }
    }

    /// Finds the time for [`Bounds::oldest_time_ms`].
    fn oldest_time_ms(&self, first: u64) -> Option<u64> {
        if first == self.next_ordinal {
            return None;
        }
        match self.tail.first_ordinal() {
            Some(in_memory) if in_memory <= first => {
                self.tail.starting_with(first).next().map(|frame| frame.header.time_ms)
            }
            _ => self.segment_starts().rfind(|start| start.0 <= first).map(|start| start.1),
        }
    }

    /// Takes the oldest sealed segments out that end at or below `ordinal`; gives them.
    pub fn drop_sealed_below(&mut self, ordinal: u64) -> Vec<SegmentCheckpoint> {
        let mut dropped = Vec::new();
        while let Some(first) = self.sealed.front().copied() {
            let next = self.segment_starts().nth(1).map_or(self.next_ordinal, |start| start.0);
            if next > ordinal {
                break;
            }
            dropped.push(first);
            self.sealed.pop_front();
        }
        dropped
    }

    /// The state as a checkpoint stores it.
    pub fn checkpoint(&self, key: ShardKey) -> ShardCheckpoint {
        let sealed_active = self.active.iter().filter(|segment| segment.sealed);
        ShardCheckpoint {
            key,
            next_ordinal: self.next_ordinal,
            last_time_ms: self.last_time_ms,
            trim_ordinal: self.trim_ordinal,
            segments: self
                .sealed
                .iter()
                .copied()
                .chain(sealed_active.map(ActiveSegment::checkpoint))
                .collect(),
            open: self.active.back().filter(|open| !open.sealed).map(|open| self.open_checkpoint(key, open)),
        }
    }

    /// Whether the files hold all that the checkpoint takes from them.
    pub fn covers(&self, checkpoint: &ShardCheckpoint) -> bool {
        let Some(unwritten) = self.active.front() else { return true };
        let sealed = checkpoint.segments.last();
        sealed.is_none_or(|sealed| sealed.first_ordinal < unwritten.first_ordinal)
            && checkpoint.open.as_ref().is_none_or(|open| {
                open.first_ordinal < unwritten.first_ordinal || whole_blocks(open.length) <= unwritten.written
            })
    }

    fn open_checkpoint(&self, key: ShardKey, open: &ActiveSegment) -> OpenCheckpoint {
        let blocks = whole_blocks(open.length);
        let of_remainder = |frame: &&TailFrame| frame.segment == open.first_ordinal && frame.end() > blocks;
        let count = self.tail.unflushed().rev().take_while(of_remainder).count();
        let frames = || self.tail.unflushed().rev().take(count).collect::<Vec<_>>().into_iter().rev();
        let mut remainder = Vec::with_capacity((open.length - blocks) as usize);
        if blocks == open.written && !open.raw.is_empty() {
            remainder.extend_from_slice(&open.raw);
        } else if blocks == 0 {
            remainder.extend_from_slice(&header::encode(key, open.first_ordinal));
        }
        for frame in frames() {
            frame.put_range(key, (blocks, open.length), |bytes| remainder.extend_from_slice(bytes));
        }
        assert_eq!(remainder.len() as u64, open.length - blocks, "the tail lacks part of the last block");
        let first = frames().next();
        OpenCheckpoint {
            first_ordinal: open.first_ordinal,
            first_time_ms: open.first_time_ms,
            length: open.length,
            tail_frame_offset: first.map_or(open.length, |frame| frame.offset),
            tail_frame_ordinal: first.map_or(self.next_ordinal, |frame| frame.header.first_ordinal),
            remainder: remainder.into(),
        }
    }
}
