//! A shard's state at one applied index, as a checkpoint stores it.

use std::sync::Arc;

use bytes::Bytes;

use super::ShardLog;
use crate::segment::ShardKey;

/// A sealed segment, as a checkpoint lists it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SegmentCheckpoint {
    /// First ordinal in the segment; its file's name.
    pub first_ordinal: u64,
    /// Length of the sealed file, in bytes; a multiple of 4,096.
    pub file_bytes: u64,
    /// Arrival time of the first frame, in milliseconds since 1970.
    pub first_time_ms: u64,
}

/// The segment that was open, as a checkpoint describes it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OpenCheckpoint {
    /// First ordinal in the segment; its file's name.
    pub first_ordinal: u64,
    /// Arrival time of the first frame, in milliseconds since 1970.
    pub first_time_ms: u64,
    /// Bytes of header and frames; all below the last multiple of 4,096 are in the file.
    pub length: u64,
    /// Where the first frame starts that is not wholly in those blocks; `length` when there is none.
    pub tail_frame_offset: u64,
    /// That frame's first ordinal; the shard's next ordinal when there is none.
    pub tail_frame_ordinal: u64,
    /// The bytes from the last multiple of 4,096 up to `length`.
    pub remainder: Bytes,
}

/// All a checkpoint knows of one shard's records.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ShardCheckpoint {
    /// Which shard.
    pub key: ShardKey,
    /// The ordinal the next record gets; at least 1.
    pub next_ordinal: u64,
    /// Arrival time of the newest record, in milliseconds since 1970; 0 when there was none.
    pub last_time_ms: u64,
    /// The first ordinal that may be read.
    pub trim_ordinal: u64,
    /// Sealed segments in order. Files wholly below `trim_ordinal` may be gone.
    pub segments: Vec<SegmentCheckpoint>,
    /// The open segment, if there is one.
    pub open: Option<OpenCheckpoint>,
}

/// A shard's state at one applied index, taken by [`ShardLog::cut`] and consumed by
/// [`crate::flusher::Flusher::checkpoint`]. It keeps the shard alive, so that a stream removed in between can
/// still be brought to the cut.
#[derive(Clone)]
pub struct ShardCut {
    /// Which shard.
    pub key: ShardKey,
    pub(crate) log: Arc<ShardLog>,
    pub(crate) checkpoint: ShardCheckpoint,
}
