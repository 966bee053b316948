//! Faults of calls that are wrong in themselves, or together with the state of their resource.

use std::borrow::Cow;

use serde::{Deserialize, Serialize};

use crate::limits::{PARTITION_KEY_LENGTH_MAX, RECORD_DATA_BYTES_MAX};
use crate::model::shard_id::ShardId;
use crate::model::stream::{HashRange, StreamKey};

/// A member whose document has another type than the service model gives it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum WrongType {
    /// A list where none belongs.
    List,
    /// A structure or map where none belongs.
    Map,
    /// A scalar where a structure belongs.
    NoStructure,
    /// A scalar where a list belongs.
    NoList,
    /// A scalar where a map belongs.
    NoMap,
    /// A scalar of another class than the member's.
    Class {
        /// The Java class of the value.
        found: Cow<'static, str>,
        /// AWS's name of the member's type.
        target: Cow<'static, str>,
    },
    /// A text that is not base64.
    NotBase64 {
        /// The text, unless it is long.
        text: Option<String>,
        /// The first reason that AWS's decoder finds.
        reason: NotBase64,
    },
}

/// Why a text is not base64.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum NotBase64 {
    /// The text's length, which is no multiple of four.
    Length(usize),
    /// A character that base64 does not have.
    Character(char),
    /// A last character whose unused bits are set.
    Last,
}

/// Bounds of the service model that a request breaks.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Validation {
    /// At least one member is out of its bounds.
    Violations(Vec<Violation>),
    /// The operation changes shards, and those of an on-demand stream are the broker's.
    OnDemandShards {
        /// The operation.
        operation: Cow<'static, str>,
        /// The name of the stream.
        stream: String,
    },
    /// A number of shards for a new on-demand stream.
    OnDemandShardCount,
}

/// One member out of its bounds.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Violation {
    /// The value as Java shows it; `None` for a missing member.
    pub value: Option<String>,
    /// Where the member is.
    pub path: String,
    /// The bound.
    pub constraint: Constraint,
}

/// A bound of a member.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Constraint {
    /// The member is required.
    NotNull,
    /// Least length or number of elements.
    LengthMin(usize),
    /// Most of them.
    LengthMax(usize),
    /// Least and most length of each element of a list.
    ElementLength(usize, usize),
    /// Least and most length of each key of a map.
    KeyLength(usize, usize),
    /// Least and most length of each value of a map.
    ValueLength(usize, usize),
    /// A regular expression.
    Pattern(Cow<'static, str>),
    /// The values there are.
    Choices(Vec<Cow<'static, str>>),
    /// Least value.
    Min(i64),
    /// Most value.
    Max(i64),
}

/// A stream or a consumer, for messages.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum ResourceName {
    /// The stream.
    Stream(StreamKey),
    /// A consumer.
    Consumer {
        /// The consumer's stream.
        key: StreamKey,
        /// The consumer's name.
        name: String,
    },
}

/// Members that are fine each by itself, and not together or at this time.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum InvalidArgument {
    /// Members that name no resource, or several.
    Target(InvalidTarget),
    /// Records that a stream does not take.
    Records(InvalidRecords),
    /// A change of shards that is not possible.
    Reshard {
        /// The stream.
        key: StreamKey,
        /// The reason.
        reason: Box<InvalidReshard>,
    },
    /// Tags that the resource cannot have.
    Tags {
        /// The resource.
        resource: ResourceName,
        /// The reason.
        reason: InvalidTags,
    },
    /// A retention that the stream cannot have.
    Retention(InvalidRetention),
    /// A policy that is none.
    Policy {
        /// The resource that it is put on.
        resource: ResourceName,
        /// The first reason, as a clause.
        reason: String,
    },
    /// A text that is no type of encryption.
    EncryptionType(String),
    /// A setting that provisioned streams do not have, as the request names it.
    OnDemandOnly(Cow<'static, str>),
    /// Warm throughput without the account's commitment.
    NoCommitment,
}

/// Members that name no resource, or several.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum InvalidTarget {
    /// The request names no stream.
    NoStream,
    /// A text that no stream can be named.
    StreamName(String),
    /// StreamName and StreamARN differ.
    StreamNamesDiffer,
    /// A text that is not the ARN of a stream.
    StreamArn(String),
    /// A text that is not the ARN of a consumer.
    ConsumerArn(String),
    /// A text that is the ARN of neither.
    ResourceArn(String),
    /// The request names no consumer.
    NoConsumer,
    /// ConsumerARN, StreamARN and ConsumerName differ.
    ConsumerNamesDiffer,
    /// A NextToken that this cluster did not give out, or that is another operation's.
    NextToken,
    /// A member beside the NextToken that stands for it.
    BesideNextToken(Cow<'static, str>),
    /// ListShards without a stream and without a NextToken.
    NoStreamOrNextToken,
    /// A member that the type of a ShardFilter needs, or does not take.
    ShardFilter {
        /// The member.
        member: Cow<'static, str>,
        /// The type of the filter.
        kind: String,
        /// Whether the type needs the member.
        is_needed: bool,
    },
    /// A text that is not the id of a shard.
    ShardId(String),
    /// ExclusiveStartShardId is not the id of a shard.
    ExclusiveStartShardId(String),
    /// A shard iterator that this cluster did not give out.
    ShardIterator,
    /// The StreamARN beside the iterator is another stream's.
    IteratorOfOtherStream,
    /// A shard that a gRPC call names twice.
    ShardTwice(String),
    /// A sequence number without a shard.
    NumberWithoutShard,
    /// A text that is not a sequence number.
    SequenceNumber(String),
}

/// Records that a stream does not take.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum InvalidRecords {
    /// A record larger than the stream takes.
    RecordBytes {
        /// The name of the stream.
        stream: String,
        /// Bytes of data and partition key.
        bytes: u64,
        /// The bound.
        bytes_max: u64,
    },
    /// An explicit hash key that is none.
    ExplicitHashKey(String),
    /// More bytes of records than one request may have.
    RequestBytes(u64),
    /// A number of records that one gRPC call may not have.
    Count(usize),
    /// A record of a gRPC call that is out of its bounds.
    Record {
        /// The record's position in the call, from 0.
        position: usize,
        /// The bound.
        bound: OutOfBounds,
    },
    /// A SequenceNumberForOrdering that no record can have had.
    MinimumSequenceNumber {
        /// The stream.
        key: StreamKey,
        /// The number.
        number: String,
    },
}

/// The bound that a record breaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
pub enum OutOfBounds {
    /// The data is too large.
    #[error("data has up to {RECORD_DATA_BYTES_MAX} bytes")]
    Data,
    /// The partition key is empty or too long.
    #[error("a partition key has 1 to {PARTITION_KEY_LENGTH_MAX} characters")]
    PartitionKey,
    /// The explicit hash key is no number below 2^128.
    #[error("an explicit hash key is a decimal number from 0 to 2^128-1")]
    ExplicitHashKey,
}

/// Why shards cannot be changed so.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum InvalidReshard {
    /// The shard is closed, so that it can be neither split nor merged.
    ShardClosed(ShardId),
    /// Two shards that are not next to each other.
    NotAdjacent {
        /// The lower shard, as the request has it.
        lower: ShardId,
        /// The upper one.
        upper: ShardId,
    },
    /// A hash key at which the shard cannot be split.
    SplitKey {
        /// The shard.
        shard: ShardId,
        /// The hash key.
        at: String,
        /// The shard's range.
        range: HashRange,
    },
    /// A number of shards that the stream cannot be scaled to.
    ShardCount {
        /// Open shards of the stream.
        current: u32,
        /// The number asked for.
        target: u32,
        /// The bound.
        bound: ScaleBound,
    },
}

/// Why a resource cannot have these tags.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum InvalidTags {
    /// Characters that no tag has.
    Characters,
    /// A percent sign in tags to add.
    PercentAdded,
    /// A percent sign in keys of tags to remove.
    PercentRemoved,
    /// A key that AWS keeps for itself.
    Reserved {
        /// The key.
        key: String,
    },
    /// More tags than a resource may have.
    TooMany {
        /// The bound.
        limit: usize,
    },
}

/// Why a stream cannot have this retention.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum InvalidRetention {
    /// Hours below the least.
    TooShort(i64),
    /// Hours above the most.
    TooLong(i64),
    /// The call would change the retention in the wrong direction.
    Direction {
        /// The name of the stream.
        stream: String,
        /// Hours asked for.
        hours: u32,
        /// Hours now, which a call that raises them finds above, and a call that lowers them below.
        existing: u32,
    },
}

/// Why UpdateShardCount cannot go that far in one call.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum ScaleBound {
    /// More shards than a stream may have.
    Most,
    /// More than double the open shards.
    Double,
    /// Less than half of them.
    Half,
}

/// A position that is not in the shard, or lies in the future.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum InvalidPosition {
    /// A kind without the sequence number that it needs, or with one that it does not take.
    Mismatch {
        /// The kind, such as `TRIM_HORIZON`.
        kind: String,
        /// Whether a sequence number is there.
        has_number: bool,
    },
    /// A text that is not the sequence number of a record.
    Number {
        /// The stream.
        key: StreamKey,
        /// The shard.
        shard: ShardId,
        /// The operation.
        operation: Cow<'static, str>,
        /// The text.
        number: String,
    },
    /// The sequence number of another stream, or of an earlier one of that name.
    OtherStream {
        /// The stream.
        key: StreamKey,
        /// The shard.
        shard: ShardId,
        /// The operation.
        operation: Cow<'static, str>,
        /// The sequence number.
        number: String,
    },
    /// The sequence number of another shard.
    OtherShard {
        /// The shard that it is a number of.
        of: ShardId,
        /// The shard of the request.
        shard: ShardId,
    },
    /// AT_TIMESTAMP without a time.
    NoTime,
    /// A time in the future.
    Future {
        /// The time, milliseconds since the epoch.
        time_ms: u64,
        /// The time of the call.
        now_ms: u64,
    },
}
