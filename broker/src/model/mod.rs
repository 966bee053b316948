//! Domain types that cannot exist invalid. No serialization, no IO, no async: the constructor is the check.

pub mod arn;
pub mod consumer_group;
#[cfg(test)]
pub(crate) mod fixture;
pub mod hash_key;
pub mod life;
pub mod producer;
pub mod producers;
pub mod reshard;
pub mod sequence_number;
pub mod shard_id;
pub mod stream;
pub mod stream_name;
