//! Faults: why a call, or one record of it, is answered with an error.
//!
//! A fault carries facts and no sentence. [`exception`] makes AWS's exception of it, [`sentences`] the sentence,
//! `wire::grpc::status` the gRPC status. Nodes send each other the fault itself.

mod exception;
mod invalid;
mod refused;
mod sentences;

use serde::{Deserialize, Serialize};

pub use exception::Exception;
pub use invalid::{
    Constraint, InvalidArgument, InvalidPosition, InvalidRecords, InvalidReshard, InvalidRetention,
    InvalidTags, InvalidTarget, NotBase64, OutOfBounds, ResourceName, ScaleBound, Validation, Violation,
    WrongType,
};
pub use refused::{InUse, LimitExceeded, NotFound, Throttled, Unavailable};

use crate::model::shard_id::ShardId;
use crate::model::stream::{Consumer, StreamKey, StreamStatus};
use crate::replication::{Quota, QuotaExceeded};
use crate::service::ServiceError;

/// Why a call, or one record of it, is answered with an error. Each variant is one exception of AWS's, but for
/// [`Self::InvalidPosition`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Fault {
    /// Members have the right types but break the bounds of the service model.
    Validation(Validation),
    /// Each member is fine; together, or at this time, they are not.
    InvalidArgument(InvalidArgument),
    /// A position that is not in this shard, or lies in the future: an InvalidArgumentException as well.
    InvalidPosition(InvalidPosition),
    /// The stream, shard or other resource certainly does not exist. Consumers take this for the end of a shard: a node
    /// that lags or starts answers [`Self::Unavailable`] instead.
    ResourceNotFound(NotFound),
    /// The resource exists, or its state forbids the call.
    ResourceInUse(InUse),
    /// A rate or quota of the control plane.
    LimitExceeded(LimitExceeded),
    /// The budget of a shard, or the memory of the node.
    ProvisionedThroughputExceeded(Throttled),
    /// The shard iterator is too old.
    ExpiredIterator {
        /// When it was given out, milliseconds since the epoch.
        issued_ms: u64,
        /// The time of the call.
        now_ms: u64,
    },
    /// The NextToken is too old.
    ExpiredNextToken {
        /// When it was given out, milliseconds since the epoch.
        issued_ms: u64,
        /// The time of the call.
        now_ms: u64,
    },
    /// The call asks for encryption, and this broker has no keys.
    EncryptionUnavailable(StreamKey),
    /// The call asked for a dry run and would have succeeded.
    DryRun,
    /// The body is no document of the codec.
    Unreadable,
    /// A member has the wrong type.
    Serialization(WrongType),
    /// The service model has no operation of that name.
    UnknownOperation,
    /// The operation is defined by the service model, and this broker lacks its feature. SDKs do not retry it.
    NotBuilt(Feature),
    /// The operation is served in JSON only, and the request is in another codec.
    JsonOnly,
    /// An error of the broker, or a write whose outcome is unknown. The log has the details.
    Internal,
    /// This node cannot serve the call now; a retry may succeed.
    Unavailable(Unavailable),
}

/// A feature of Kinesis that this version lacks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Feature {
    /// Queues of records.
    Queues,
    /// Channels.
    Channels,
}

impl Fault {
    /// The stream of that name certainly does not exist.
    pub fn stream_not_found(key: &StreamKey) -> Self {
        Self::ResourceNotFound(NotFound::Stream(key.clone()))
    }

    /// The stream certainly has no such shard.
    pub fn shard_not_found(key: &StreamKey, shard: ShardId) -> Self {
        Self::ResourceNotFound(NotFound::Shard { key: key.clone(), shard })
    }

    /// The stream certainly has no such consumer.
    pub fn consumer_not_found(key: &StreamKey) -> Self {
        Self::ResourceNotFound(NotFound::Consumer(key.clone()))
    }

    /// The stream has a consumer of that name.
    pub fn consumer_exists(key: &StreamKey, consumer: &str) -> Self {
        Self::ResourceInUse(InUse::ConsumerExists { key: key.clone(), consumer: consumer.to_owned() })
    }

    /// The consumer is being registered or deregistered.
    pub fn consumer_not_active(key: &StreamKey, consumer: &Consumer) -> Self {
        Self::ResourceInUse(InUse::ConsumerNotActive {
            key: key.clone(),
            consumer: consumer.name.to_string(),
            created_s: consumer.created_ms / 1_000,
        })
    }

    /// Another subscription of the consumer to the shard has just begun, or has taken over.
    pub fn subscription_exists(key: &StreamKey, consumer: &str) -> Self {
        Self::ResourceInUse(InUse::SubscriptionExists { key: key.clone(), consumer: consumer.to_owned() })
    }

    /// The stream has consumers, and its deletion does not include them.
    pub fn has_consumers(key: &StreamKey) -> Self {
        Self::ResourceInUse(InUse::HasConsumers(key.clone()))
    }

    /// The shard is closed, so that it can be neither split nor merged.
    pub fn shard_closed(key: &StreamKey, shard: ShardId) -> Self {
        Self::invalid_reshard(key, InvalidReshard::ShardClosed(shard))
    }

    /// The shards of the stream cannot be changed so.
    pub fn invalid_reshard(key: &StreamKey, reason: InvalidReshard) -> Self {
        Self::InvalidArgument(InvalidArgument::Reshard { key: key.clone(), reason: Box::new(reason) })
    }

    /// The resource cannot have these tags.
    pub fn invalid_tags(resource: ResourceName, reason: InvalidTags) -> Self {
        Self::InvalidArgument(InvalidArgument::Tags { resource, reason })
    }

    /// A stream of that name exists.
    pub fn name_taken(key: &StreamKey) -> Self {
        Self::ResourceInUse(InUse::NameTaken(key.clone()))
    }

    /// The state of the stream forbids the call.
    pub fn not_active(key: &StreamKey, status: StreamStatus) -> Self {
        Self::ResourceInUse(InUse::NotActive { key: key.clone(), status })
    }

    /// This node has no memory now for that purpose, in the plural: a throttle where clients know one.
    pub fn no_room(may_be_throttled: bool, purpose: &'static str) -> Self {
        if may_be_throttled {
            Self::ProvisionedThroughputExceeded(Throttled::Memory(purpose.into()))
        } else {
            Self::Unavailable(Unavailable::Memory(purpose.into()))
        }
    }

    /// The shard's budget is spent.
    pub fn rate_exceeded(key: &StreamKey, shard: ShardId) -> Self {
        Self::ProvisionedThroughputExceeded(Throttled::Shard { key: key.clone(), shard })
    }

    /// The stream's control-plane rate limit was exceeded.
    pub fn call_rate_exceeded(key: &StreamKey) -> Self {
        Self::LimitExceeded(LimitExceeded::StreamRate(key.clone()))
    }

    /// The cluster has not agreed on its sealing key yet.
    pub fn no_key_yet() -> Self {
        Self::Unavailable(Unavailable::NoSealingKey)
    }

    /// No node leads the group in question, as far as this node knows.
    pub fn leaderless() -> Self {
        Self::Unavailable(Unavailable::NoMajority)
    }

    /// The stream will be there in a moment: no consumer may take it for one that has ended.
    pub fn being_created(key: &StreamKey) -> Self {
        Self::Unavailable(Unavailable::BeingCreated(key.clone()))
    }

    /// Whether newer metadata could make the fault wrong.
    pub fn rests_on_metadata(&self) -> bool {
        match self {
            Self::ResourceNotFound(_)
            | Self::ResourceInUse(_)
            | Self::InvalidArgument(_)
            | Self::InvalidPosition(_)
            | Self::LimitExceeded(_)
            | Self::Unavailable(Unavailable::BeingCreated(_)) => true,
            Self::Validation(_)
            | Self::ProvisionedThroughputExceeded(_)
            | Self::ExpiredIterator { .. }
            | Self::ExpiredNextToken { .. }
            | Self::EncryptionUnavailable(_)
            | Self::DryRun
            | Self::Unreadable
            | Self::Serialization(_)
            | Self::UnknownOperation
            | Self::NotBuilt(_)
            | Self::JsonOnly
            | Self::Internal
            | Self::Unavailable(_) => false,
        }
    }

    /// The fault of a call about a stream, from the service's error.
    pub fn of_stream(error: ServiceError, key: &StreamKey) -> Self {
        match error {
            // Budgets are those of shards; a caller that has a shard names it by `of_shard`.
            ServiceError::Throttled => Self::call_rate_exceeded(key),
            ServiceError::NameTaken => Self::name_taken(key),
            ServiceError::StreamGone => Self::stream_not_found(key),
            ServiceError::ConsumerGone => Self::consumer_not_found(key),
            ServiceError::ShardClosed(shard) => Self::shard_closed(key, ShardId(shard)),
            ServiceError::NotActive(status) => Self::not_active(key, status),
            ServiceError::MetadataFull(full) => Self::LimitExceeded(LimitExceeded::Metadata(full)),
            ServiceError::QuotaExceeded(QuotaExceeded { quota: Quota::Tags, limit, .. }) => {
                let reason = InvalidTags::TooMany { limit: limit as usize };
                Self::invalid_tags(ResourceName::Stream(key.clone()), reason)
            }
            ServiceError::QuotaExceeded(exceeded) => {
                Self::LimitExceeded(LimitExceeded::Quota { key: key.clone(), exceeded })
            }
            ServiceError::Overtaken => Self::ResourceInUse(InUse::Overtaken(key.clone())),
            ServiceError::Unavailable(unavailable) => Self::Unavailable(Unavailable::Service(unavailable)),
            ServiceError::Internal(reason) => {
                crate::log_at_most_once_a_second!(error, stream = %key.name, %reason, "a call failed inside the broker");
                Self::Internal
            }
        }
    }

    /// The fault of a call about a shard, from the service's error.
    pub fn of_shard(error: ServiceError, key: &StreamKey, shard: ShardId) -> Self {
        match error {
            ServiceError::Throttled => Self::rate_exceeded(key, shard),
            other => Self::of_stream(other, key),
        }
    }
}

impl From<InvalidPosition> for Fault {
    fn from(invalid: InvalidPosition) -> Self {
        Self::InvalidPosition(invalid)
    }
}

macro_rules! invalid_arguments {
    ($($variant:ident($type:ty)),+) => {$(
        impl From<$type> for Fault {
            fn from(invalid: $type) -> Self {
                Self::InvalidArgument(InvalidArgument::$variant(invalid))
            }
        }
    )+};
}

invalid_arguments!(Target(InvalidTarget), Records(InvalidRecords), Retention(InvalidRetention));
