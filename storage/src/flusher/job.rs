//! The next write for one shard: decided under its lock, written outside, booked under the lock.

use bytes::Bytes;

use crate::blocks::Blocks;
use crate::disk::DiskFile;
use crate::segment::header::HEADER_BYTES;
use crate::segment::tail::TailFrame;
use crate::segment::{BLOCK_BYTES, ShardKey, header, whole_blocks};
use crate::shard::state::ShardState;

/// Most bytes of frames in one write; large enough that a write's fixed cost does not count.
const WRITE_BYTES_MAX: u64 = 4 * 1024 * 1024;

/// How far to write: up to the records that were in memory when the flusher came. Later ones wait for its next
/// visit.
pub(super) struct Goal {
    first_ordinal: u64,
    sealed: bool,
    bytes: u64,
}

impl Goal {
    /// `None` when the shard has nothing but files.
    pub fn of(state: &ShardState) -> Option<Goal> {
        state.active.back().map(|last| Goal {
            first_ordinal: last.first_ordinal,
            sealed: last.sealed,
            bytes: whole_blocks(last.length),
        })
    }
}

/// The next step for a shard.
pub(super) enum Step {
    /// The goal is reached.
    Done,
    /// The segment can be sealed once its index is complete.
    CompleteIndex { first_ordinal: u64, missing_until: u64 },
    /// Whole blocks are to be written.
    Write(WriteJob),
}

/// One write of whole blocks.
pub(super) struct WriteJob {
    pub first_ordinal: u64,
    /// Where the write starts in the file; zero creates the file.
    pub from: u64,
    /// Where the header and frames to be written end: at a block's end, or the segment's with `end`.
    to: u64,
    /// Bytes from `from` on that stand before the frames.
    raw: Bytes,
    frames: Vec<TailFrame>,
    /// Index, padding and footer, when the write completes the segment.
    end: Option<Vec<u8>>,
}

/// Whether there are whole blocks to write or a segment to seal.
pub(super) fn has_work(state: &ShardState) -> bool {
    state.active.front().is_some_and(|first| first.sealed || whole_blocks(first.length) > first.written)
}

/// Decides on the next step towards the goal.
pub(super) fn next_step(state: &ShardState, key: ShardKey, goal: &Goal) -> Step {
    let Some(segment) = state.active.front().filter(|first| first.first_ordinal <= goal.first_ordinal) else {
        return Step::Done;
    };
    let is_last = segment.first_ordinal == goal.first_ordinal;
    if is_last && !goal.sealed && segment.written >= goal.bytes {
        return Step::Done;
    }
    let seals = segment.sealed && segment.length - segment.written <= WRITE_BYTES_MAX;
    if let (true, Some(missing_until)) = (seals, segment.index.missing_until()) {
        return Step::CompleteIndex { first_ordinal: segment.first_ordinal, missing_until };
    }
    let from = segment.written;
    let to = if seals { segment.length } else { whole_blocks(segment.length).min(from + WRITE_BYTES_MAX) };
    let is_wanted = |frame: &&TailFrame| frame.segment == segment.first_ordinal && frame.offset < to;
    Step::Write(WriteJob {
        first_ordinal: segment.first_ordinal,
        from,
        to,
        raw: segment.raw.clone(),
        frames: state.tail.unflushed().take_while(is_wanted).cloned().collect(),
        end: seals.then(|| segment.footer().encode_end(key, segment.index.entries())),
    })
}

impl WriteJob {
    /// Whether the write completes a segment.
    pub fn seals(&self) -> bool {
        self.end.is_some()
    }

    /// Lays the bytes out and writes them at once.
    pub fn write(&self, key: ShardKey, file: &dyn DiskFile, buffer: &mut Blocks) -> std::io::Result<()> {
        buffer.clear();
        if !self.raw.is_empty() {
            buffer.extend_from_slice(&self.raw);
        } else if self.from == 0 {
            buffer.extend_from_slice(&header::encode(key, self.first_ordinal));
        }
        for frame in &self.frames {
            frame.put_range(key, (self.from, self.to), |bytes| buffer.extend_from_slice(bytes));
        }
        assert_eq!(
            buffer.len() as u64,
            self.to - self.from,
            "the tail lacks frames that are not in the file"
        );
        if let Some(end) = &self.end {
            buffer.extend_from_slice(end);
        }
        assert!((buffer.len() as u64).is_multiple_of(BLOCK_BYTES), "only whole blocks are written");
        file.write_all_at(buffer.as_slice(), self.from)
    }

    /// Books the write. Returns the bytes that are in the file now, the bytes of frames that are wholly in files
    /// now, and the ordinal behind those.
    pub fn book(&self, state: &mut ShardState) -> (u64, u64, u64) {
        let segment = state.active.front_mut().expect("segments leave only when they are wholly written");
        assert_eq!((segment.first_ordinal, segment.written), (self.first_ordinal, self.from), "one flusher");
        segment.written = self.to;
        segment.raw = Bytes::new();
        if self.seals() {
            let sealed = segment.checkpoint();
            state.active.pop_front();
            state.sealed.push_back(sealed);
        }
        let (flushed, next_ordinal) = state.tail.mark_flushed(self.first_ordinal, self.to);
        (self.to - self.from, flushed, next_ordinal)
    }
}

const _: () = assert!(WRITE_BYTES_MAX.is_multiple_of(BLOCK_BYTES) && HEADER_BYTES < BLOCK_BYTES);
