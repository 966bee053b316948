//! The newest frames of a shard, in memory.
//!
//! The tail is a gapless run of frames up to the shard's end. It holds every frame that is not wholly inside its
//! file's written blocks; in front of those it may hold flushed frames, kept for readers until evicted.

use std::collections::VecDeque;

use crate::segment::tail::TailFrame;
/// The run of frames. Bounded by the broker, which refuses puts while too much is unflushed, and by eviction.
#[derive(Debug, Default)]
pub(crate) struct Tail {
    frames: VecDeque<TailFrame>,
    /// How many frames at the front are wholly in their files.
    flushed: usize,
}

impl Tail {
    pub fn push(&mut self, frame: TailFrame) {
        self.frames.push_back(frame);
    }

    /// First ordinal in memory, `None` when the tail is empty.
    pub fn first_ordinal(&self) -> Option<u64> {
        self.frames.front().map(|frame| frame.header.first_ordinal)
    }

    pub fn front(&self) -> Option<&TailFrame> {
        self.frames.front()
    }

    /// The frames from the one that holds `ordinal` on.
    pub fn starting_with(&self, ordinal: u64) -> impl Iterator<Item = &TailFrame> {
        let start = self.frames.partition_point(|frame| frame.header.next_ordinal() <= ordinal);
        self.frames.range(start..)
    }

    /// The first frame whose time is not below `time_ms`.
    pub fn first_at_time(&self, time_ms: u64) -> Option<&TailFrame> {
        let start = self.frames.partition_point(|frame| frame.header.time_ms < time_ms);
        self.frames.get(start)
    }

    /// The unflushed frames, oldest first.
    pub fn unflushed(&self) -> impl DoubleEndedIterator<Item = &TailFrame> {
        self.frames.range(self.flushed..)
    }

    /// Marks the frames of `segment` that end at or before `written` as flushed; gives their bytes and the
    /// ordinal behind them.
    pub fn mark_flushed(&mut self, segment: u64, written: u64) -> (u64, u64) {
        let (mut bytes, mut next_ordinal) = (0, 0);
        while let Some(frame) = self.frames.get(self.flushed) {
            if frame.segment != segment || frame.end() > written {
                break;
            }
            bytes += frame.header.frame_bytes();
            next_ordinal = frame.header.next_ordinal();
            self.flushed += 1;
        }
        (bytes, next_ordinal)
    }

    /// Drops the flushed frames below `ordinal`; gives their bytes.
    pub fn evict(&mut self, ordinal: u64) -> u64 {
        let mut bytes = 0;
        while self.flushed > 0 && self.frames[0].header.next_ordinal() <= ordinal {
            bytes += self.frames[0].header.frame_bytes();
            self.frames.pop_front();
            self.flushed -= 1;
        }
        if self.frames.len() < self.frames.capacity() / 4 {
            self.frames.shrink_to(self.frames.len() * 2);
        }
        bytes
    }

    /// Bytes of the flushed frames still in memory.
    pub fn flushed_bytes(&self) -> u64 {
        self.frames.range(..self.flushed).map(|frame| frame.header.frame_bytes()).sum()
    }
}
