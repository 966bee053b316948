//! Faults of well-formed calls: the resource is missing or in use, a limit is reached, or the node cannot serve the
//! call now.

use std::borrow::Cow;

use serde::{Deserialize, Serialize};

use super::ResourceName;
use crate::model::shard_id::ShardId;
use crate::model::stream::{StreamKey, StreamStatus};
use crate::replication::{MetadataFull, QuotaExceeded};
use crate::service::{self, PutRefusal};

/// A resource that certainly does not exist.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum NotFound {
    /// The stream.
    Stream(StreamKey),
    /// The stream that a peer names by its number.
    DeletedStream,
    /// The stream that the NextToken was given out for.
    PagedStream,
    /// The stream that the shard iterator was given out for.
    IteratedStream(ShardId),
    /// The shard.
    Shard {
        /// The stream.
        key: StreamKey,
        /// The shard.
        shard: ShardId,
    },
    /// A shard that is named by a text: none of the stream's, or none that a stream can have.
    ShardText {
        /// The stream.
        key: StreamKey,
        /// The id as the request gives it.
        id: String,
    },
    /// A consumer of the stream.
    Consumer(StreamKey),
    /// A queue or a channel.
    Resource {
        /// The ARN.
        arn: String,
    },
    /// The policy of a resource.
    Policy(ResourceName),
}

/// A resource that exists, or whose state forbids the call.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum InUse {
    /// A stream of that name exists.
    NameTaken(StreamKey),
    /// A consumer of that name exists.
    ConsumerExists {
        /// The stream.
        key: StreamKey,
        /// The name.
        consumer: String,
    },
    /// The consumer is being registered or deregistered.
    ConsumerNotActive {
        /// The stream.
        key: StreamKey,
        /// The name.
        consumer: String,
        /// When it was registered, seconds since the epoch.
        created_s: u64,
    },
    /// The consumer has another subscription to the shard.
    SubscriptionExists {
        /// The stream.
        key: StreamKey,
        /// The consumer's name.
        consumer: String,
    },
    /// The stream has consumers, and its deletion does not include them.
    HasConsumers(StreamKey),
    /// Another request has changed the stream in the meantime.
    Overtaken(StreamKey),
    /// The state of the stream forbids the call.
    NotActive {
        /// The stream.
        key: StreamKey,
        /// The state.
        status: StreamStatus,
    },
}

/// A rate or quota of the control plane.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum LimitExceeded {
    /// Calls about the stream; waiting helps.
    StreamRate(StreamKey),
    /// Calls of the account; waiting helps.
    AccountRate {
        /// The account.
        account: String,
    },
    /// A quota of the account, the stream or the resource.
    Quota {
        /// The stream that the call is about.
        key: StreamKey,
        /// The quota and its numbers.
        exceeded: QuotaExceeded,
    },
    /// The bound of the cluster's metadata.
    Metadata(MetadataFull),
    /// More warm throughput than a stream can have, MiB per second.
    WarmThroughput(u32),
}

/// A budget of the data plane.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Throttled {
    /// The budget of the shard is spent.
    Shard {
        /// The stream.
        key: StreamKey,
        /// The shard.
        shard: ShardId,
    },
    /// The node has no room for another of these, named in the plural.
    Memory(Cow<'static, str>),
}

/// Why this node cannot serve the call now.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Unavailable {
    /// The node starts: the stage it is in, as a sentence.
    Starting(String),
    /// The node stops.
    Stopping,
    /// No majority of the cluster's nodes is in reach.
    NoMajority,
    /// The cluster has not agreed on its sealing key yet.
    NoSealingKey,
    /// The stream is being created.
    BeingCreated(StreamKey),
    /// The newest position of the shard is not known.
    UnknownEnd,
    /// The shard takes no records: the node's reason, if the node refuses all puts.
    Puts(Option<PutRefusal>),
    /// The node has reached its limit of subscriptions to the stream.
    Subscriptions,
    /// The node's memory for that purpose, in the plural, is full.
    Memory(Cow<'static, str>),
    /// The service's reason.
    Service(service::ServiceUnavailable),
}
