//! A shard as a checkpoint describes it.

use crate::segment::{OpenCheckpoint, SegmentCheckpoint, ShardKey};

/// All a checkpoint knows of one shard's records.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ShardCheckpoint {
    /// The shard.
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
