//! Operations on shards.

pub mod list_shards;
pub mod merge_shards;
pub mod open_shard;
pub mod split_shard;
pub mod update_shard_count;
