//! Operations on records.

pub mod acknowledgement;
pub(super) mod entry;
pub mod follow;
pub mod get_records;
pub mod get_shard_iterator;
pub(super) mod position;
pub mod put;
pub mod put_record;
pub mod put_records;
pub mod subscribe_to_shard;
