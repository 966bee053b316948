//! Answers of the groups' state machines to the commands that they apply.

use bytes::Bytes;

use crate::model::producers::{ProducerRefusal, Run};
use crate::replication::metadata::state::MetaOutcome;

/// The outcome of applying a command.
#[derive(Debug)]
pub enum Outcome {
    /// No result: entries of the leader itself, membership, most control commands of a data group.
    Done,
    /// The ends of sealed shards: the ordinal after the last record, by shard index.
    Sealed(Vec<(u32, u64)>),
    /// One result per sub-batch of a records entry, in order.
    Appended(Vec<AppendOutcome>),
    /// The metadata group's outcome of its command.
    Meta(MetaOutcome),
    /// The answer to a change of lease tables.
    Table(TableAnswer),
}

/// The answer to a change of lease tables, as its client gets it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TableAnswer {
    /// The HTTP status.
    pub status: u16,
    /// JSON.
    pub body: Bytes,
}

impl TableAnswer {
    /// The status of a change of an application whose leases have changed since they were read. No client of the
    /// DynamoDB protocol asks for such a change.
    pub const OVERTAKEN: u16 = 409;
}

/// The outcome of a sub-batch.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum AppendOutcome {
    /// The records have the ordinals from `first_ordinal` on, and this arrival time.
    Appended {
        /// Ordinal of the sub-batch's first record.
        first_ordinal: u64,
        /// Milliseconds since the epoch; never below that of an earlier record of the shard.
        time_ms: u64,
    },
    /// The shard is not open in this group: the stream is gone.
    NoSuchShard,
    /// The shard takes no more records, because a reshard closes it: its children take them.
    Sealed,
    /// An earlier attempt of the batch has written some or all of the records: where each of them stands.
    Duplicate(Vec<Run>),
    /// Nothing was written: the producer table refused the batch.
    Refused(ProducerRefusal),
}
