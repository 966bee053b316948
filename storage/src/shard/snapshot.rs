//! A shard's state at one applied index, on its way into a checkpoint.

use std::sync::Arc;

use super::ShardLog;
use crate::checkpoint::ShardCheckpoint;
use crate::segment::ShardKey;

/// A shard's state at one applied index, taken by [`ShardLog::snapshot`] and consumed by
/// [`crate::flusher::Flusher::checkpoint`]. It keeps the shard alive, so that a stream removed in between can
/// still be brought to that state.
#[derive(Clone)]
pub struct ShardSnapshot {
    /// The shard.
    pub key: ShardKey,
    pub(crate) log: Arc<ShardLog>,
    pub(crate) checkpoint: ShardCheckpoint,
}
