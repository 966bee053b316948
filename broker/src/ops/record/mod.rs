//! Operations on records.

pub(super) mod entry;
pub mod follow;
pub mod get_records;
pub mod get_shard_iterator;
pub mod places;
pub(super) mod position;
pub mod put;
pub mod put_record;
pub mod put_records;
pub mod subscribe_to_shard;
