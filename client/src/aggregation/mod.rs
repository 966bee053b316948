//! Aggregated records in the format of the Kinesis Producer Library (KPL): many records of an application in one record
//! of a stream. The format is that of KPL and KCL, so that either side may be theirs.
//!
//! ```text
//! F3 89 9A C2 | AggregatedRecord, as Protocol Buffers | MD5 of the part in the middle
//! ```
//!
//! The producer packs with [`Aggregate`]; readers, and `tidelog tail`, unpack with [`deaggregate`]. A reader of a
//! shard leaves out the records that [`belong`](UserRecord::belongs_to) elsewhere: after a reshard their producer
//! has written them again where they belong.

mod format;
mod pack;
mod unpack;

use std::ops::RangeInclusive;

use bytes::Bytes;
use md5::{Digest, Md5};

pub use pack::{Aggregate, aggregate};
pub use unpack::deaggregate;

/// A record of the application, as it was before it was put together with others.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UserRecord {
    /// Decides the shard by its MD5, unless there is an explicit hash key.
    pub partition_key: String,
    /// Decimal, below 2^128.
    pub explicit_hash_key: Option<String>,
    /// The record itself.
    pub data: Bytes,
}

impl UserRecord {
    /// Where the record lies in the ring of hash keys. `None` when the explicit hash key is no number below 2^128.
    pub fn hash_key(&self) -> Option<u128> {
        match &self.explicit_hash_key {
            Some(decimal) => decimal.parse().ok(),
            None => Some(hash_key(&self.partition_key)),
        }
    }

    /// Whether the record is one of the shard with these hash keys. A record whose hash key is not known belongs
    /// everywhere, so that nothing is lost.
    pub fn belongs_to(&self, shard: &RangeInclusive<u128>) -> bool {
        self.hash_key().is_none_or(|hash_key| shard.contains(&hash_key))
    }
}

/// The hash key of a partition key: the MD5 of its bytes as a big-endian number.
pub fn hash_key(partition_key: &str) -> u128 {
    u128::from_be_bytes(Md5::digest(partition_key.as_bytes()).into())
}
