//! Operations on shards.

pub mod list_shards;
