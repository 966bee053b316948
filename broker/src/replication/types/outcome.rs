//! Answers of the groups' state machines to the commands that they apply.

use bytes::Bytes;

use crate::model::producers::{ProducerRefusal, Run};
use crate::replication::metadata::state::MetaOutcome;

/// The outcome of applying a command.
#[derive(Debug)]
pub enum Outcome {
    /// Nothing to say: leader's own entries, membership, most control commands of a data group.
    Done,
    /// Where sealed shards end: the ordinal after the last record, by shard index.
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

/// Where a sub-batch landed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum AppendOutcome {
    /// The records have the ordinals from `first_ordinal` on, and this arrival time.
    Placed {
        /// Ordinal of the sub-batch's first record.
        first_ordinal: u64,
        /// Milliseconds since the epoch; never below that of an earlier record of the shard.
        time_ms: u64,
    },
    /// The shard is not open in this group: the stream is gone.
    NoSuchShard,
    /// The shard is closed, or about to be: its children take the records.
    Sealed,
    /// Some of its records, or all, were written when the batch came before: where each of them stands.
    Remembered(Vec<Run>),
    /// Nothing of it was written: its producer's word.
    Refused(ProducerRefusal),
}
