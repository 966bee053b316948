//! How long streams and consumers stay in the states on the way to ACTIVE or to their end.
//!
//! The broker itself needs no such time. A delay is for tests of clients that wait. It is slept before the steps of a
//! change are taken, so that records move as before meanwhile, and again by a process that resumes the change.

use std::time::Duration;

/// The least time that each change takes; zero is as fast as it goes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Transitions {
    /// A stream is CREATING.
    pub create_stream: Duration,
    /// A stream is DELETING.
    pub delete_stream: Duration,
    /// A consumer is CREATING.
    pub register_consumer: Duration,
    /// A consumer is DELETING.
    pub deregister_consumer: Duration,
    /// A stream is UPDATING after SplitShard.
    pub split_shard: Duration,
    /// A stream is UPDATING after MergeShards.
    pub merge_shards: Duration,
    /// A stream is UPDATING after UpdateShardCount.
    pub update_shard_count: Duration,
}

impl Transitions {
    /// Uses one delay for every change.
    pub const fn all(delay: Duration) -> Self {
        Self {
            create_stream: delay,
            delete_stream: delay,
            register_consumer: delay,
            deregister_consumer: delay,
            split_shard: delay,
            merge_shards: delay,
            update_shard_count: delay,
        }
    }
}
