//! One type per operation: its fields are the request, its `Answer` the response. Only the members that the command
//! line uses.

mod records;
mod shards;
mod streams;

use serde::Serialize;
use serde::de::DeserializeOwned;

pub use records::{
    GetRecords, GetRecordsAnswer, GetShardIterator, PutEntry, PutRecords, PutRecordsAnswer, PutResult,
    Record, ShardIteratorAnswer, StartingPosition,
};
pub use shards::{
    ChildShard, HashKeyRange, ListShards, ListShardsAnswer, MergeShards, SequenceNumberRange, Shard,
    ShardFilter, SplitShard, UpdateShardCount,
};
pub use streams::{
    CreateStream, DecreaseRetention, DeleteStream, DescribeStreamSummary, DescribeStreamSummaryAnswer,
    IncreaseRetention, ListStreams, ListStreamsAnswer, ListedStream, Mode, ModeDetails, StreamSummary,
    UpdateStreamMode,
};

/// An operation of the service.
pub trait Operation: Serialize + Send + Sync {
    /// The operation's name on the wire.
    const NAME: &'static str;
    /// Whether carrying it out twice comes to the same, so that it may be made again after an unknown outcome.
    const IS_REPEATABLE: bool;
    /// The answer of the operation.
    type Answer: DeserializeOwned + Send;
}

/// The answer of an operation that has none.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Deserialize)]
pub struct Done {}

macro_rules! operation {
    ($request:ty, $name:literal, repeatable: $repeatable:literal, $answer:ty) => {
        impl crate::Operation for $request {
            const NAME: &'static str = $name;
            const IS_REPEATABLE: bool = $repeatable;
            type Answer = $answer;
        }
    };
}
use operation;
