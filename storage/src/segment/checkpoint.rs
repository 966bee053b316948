//! Segments as a checkpoint describes them.

use bytes::Bytes;

use super::whole_blocks;

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
    /// The first ordinal of the tail frame; the shard's next ordinal when there is none.
    pub tail_frame_ordinal: u64,
    /// The bytes from the last multiple of 4,096 up to `length`.
    pub remainder: Bytes,
}

impl OpenCheckpoint {
    /// Bytes of the segment that stand in whole blocks of its file.
    pub(crate) fn in_blocks(&self) -> u64 {
        whole_blocks(self.length)
    }
}
