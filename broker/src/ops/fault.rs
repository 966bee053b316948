//! What can go wrong with a call, and the one table that turns it into AWS's exceptions.
//!
//! No exception name stands anywhere else. The wire writes [`Fault::exception`] as an answer, PutRecords writes it
//! as the error of a single record.

use crate::limits::{ITERATOR_LIFE_MS, PAGE_TOKEN_LIFE_MS};
use crate::model::shard_id::ShardId;
use crate::model::stream::{Consumer, StreamKey, StreamStatus};
use crate::ops::stream::description::status_name;
use crate::ops::{java_date, quota};
use crate::service::ServiceError;

/// Why a call, or one record of it, is answered with an error.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Fault {
    /// Members have the right types but break the bounds of the service model.
    Validation(String),
    /// Each member is fine, together or at this time they are not.
    InvalidArgument(String),
    /// A position that is not of this shard, or lies in the future.
    OutOfRange(String),
    /// The stream or shard certainly does not exist. A consumer takes it for the end of the shard: never answer
    /// it because a node lags or starts; that is [`Self::Unavailable`].
    ResourceNotFound(String),
    /// The stream exists, or is not in a state to do this.
    ResourceInUse(String),
    /// A rate or quota of the control plane.
    LimitExceeded(String),
    /// The budget of a shard.
    ProvisionedThroughputExceeded(String),
    /// The shard iterator is too old.
    ExpiredIterator(String),
    /// The NextToken is too old.
    ExpiredNextToken(String),
    /// Encryption was asked for, which this broker cannot do.
    EncryptionUnavailable(String),
    /// The call asked for a dry run and would have succeeded.
    DryRun,
    /// The body cannot be read (no message), or a member has the wrong type (with one).
    Serialization {
        /// AWS's words for the wrong type.
        message: Option<String>,
    },
    /// No operation of that name in the service model.
    UnknownOperation,
    /// Something the service model has and this broker does not have yet: the name of an operation, or of a part
    /// of one. Not retried by any SDK.
    NotBuilt(String),
    /// The operation is served in JSON only, and the request is in another codec.
    JsonOnly,
    /// An error of the broker, or a write whose outcome is unknown. The details are in the log.
    Internal,
    /// This node cannot do it now; another attempt may succeed.
    Unavailable(String),
}

/// A fault in AWS's words.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Exception<'a> {
    /// HTTP status of the answer.
    pub status: u16,
    /// The `__type` of the answer, the `ErrorCode` of a record.
    pub name: &'static str,
    /// The member that carries the message and the message, if there is one.
    pub message: Option<(&'static str, &'a str)>,
}

impl Fault {
    /// The table. A missing operation is `InvalidAction`, one of the errors common to all AWS services that SDKs
    /// show with its message and do not retry.
    pub fn exception(&self) -> Exception<'_> {
        let (status, name, message) = match self {
            Self::Validation(text) => (400, "ValidationException", Some(text.as_str())),
            Self::InvalidArgument(text) | Self::OutOfRange(text) => {
                (400, "InvalidArgumentException", Some(text.as_str()))
            }
            Self::ResourceNotFound(text) => (400, "ResourceNotFoundException", Some(text.as_str())),
            Self::ResourceInUse(text) => (400, "ResourceInUseException", Some(text.as_str())),
            Self::LimitExceeded(text) => (400, "LimitExceededException", Some(text.as_str())),
            Self::ProvisionedThroughputExceeded(text) => {
                (400, "ProvisionedThroughputExceededException", Some(text.as_str()))
            }
            Self::ExpiredIterator(text) => (400, "ExpiredIteratorException", Some(text.as_str())),
            Self::ExpiredNextToken(text) => (400, "ExpiredNextTokenException", Some(text.as_str())),
            Self::EncryptionUnavailable(text) => (400, "KMSOptInRequired", Some(text.as_str())),
            Self::DryRun => (400, "DryRunOperationException", Some(DRY_RUN)),
            Self::Serialization { message } => {
                let message = message.as_deref().map(|text| ("Message", text));
                return Exception { status: 400, name: "SerializationException", message };
            }
            Self::UnknownOperation => (400, "UnknownOperationException", None),
            Self::NotBuilt(text) => (400, "InvalidAction", Some(text.as_str())),
            Self::JsonOnly => (500, "InternalFailure", Some(JSON_ONLY)),
            Self::Internal => (500, "InternalFailure", Some("Internal Service Failure")),
            Self::Unavailable(text) => (503, "ServiceUnavailable", Some(text.as_str())),
        };
        Exception { status, name, message: message.map(|text| ("message", text)) }
    }

    /// As [`Self::exception`], in an event stream: the service model has only one name there for what is the broker's
    /// own doing.
    pub fn in_stream(&self) -> Exception<'_> {
        let exception = self.exception();
        match exception.status {
            500.. => Exception { name: "InternalFailureException", ..exception },
            _ => exception,
        }
    }

    /// The stream of that name certainly does not exist.
    pub fn stream_not_found(key: &StreamKey) -> Self {
        Self::ResourceNotFound(format!("Stream {} under account {} not found.", key.name, key.account))
    }

    /// The stream has no such shard, and certainly not.
    pub fn shard_not_found(key: &StreamKey, shard: ShardId) -> Self {
        let StreamKey { account, name, .. } = key;
        Self::ResourceNotFound(format!(
            "Shard {shard} in stream {name} under account {account} does not exist"
        ))
    }

    /// The stream has no such consumer, and certainly not.
    pub fn consumer_not_found(key: &StreamKey) -> Self {
        let StreamKey { account, name, .. } = key;
        Self::ResourceNotFound(format!("Consumer under stream {name}, account {account} not found."))
    }

    /// The stream has a consumer of that name.
    pub fn consumer_exists(key: &StreamKey, consumer: &str) -> Self {
        let StreamKey { account, name, .. } = key;
        Self::ResourceInUse(format!(
            "Consumer {consumer} under stream {name}, account {account} already exists."
        ))
    }

    /// The consumer is being registered or deregistered, so that this cannot be done.
    pub fn consumer_not_active(key: &StreamKey, consumer: &Consumer) -> Self {
        let (StreamKey { account, name, .. }, created_s) = (key, consumer.created_ms / 1_000);
        Self::ResourceInUse(format!(
            "Consumer {} with creation timestamp {created_s} under stream: {name} , account {account} is not in ACTIVE \
             status.",
            consumer.name
        ))
    }

    /// Another subscription of the consumer to the shard has just begun, or has taken over.
    pub fn subscription_exists(key: &StreamKey, consumer: &str) -> Self {
        let StreamKey { account, name, .. } = key;
        Self::ResourceInUse(format!(
            "Another active subscription exists for this consumer: {account}:{name}:{consumer}"
        ))
    }

    /// The stream has consumers, and its deletion was not asked to take them along.
    pub fn consumers_in_the_way(key: &StreamKey) -> Self {
        let StreamKey { account, name, .. } = key;
        Self::ResourceInUse(format!(
            "DeleteStream can't delete {account}:{name} because there are consumers associated with this data stream. \
             To delete {name} anyway, set the EnforceConsumerDeletion parameter to true to force the deletion of all \
             the consumers that are associated with it."
        ))
    }

    /// The shard is closed, so that it can be neither split nor merged.
    pub fn shard_closed(key: &StreamKey, shard: ShardId) -> Self {
        let StreamKey { account, name, .. } = key;
        Self::InvalidArgument(format!(
            "Shard {shard} in stream {name} under account {account} is closed: it was split or merged before."
        ))
    }

    /// The stream cannot be encrypted, because there are no keys to do it with.
    pub fn no_keyring(key: &StreamKey) -> Self {
        Self::EncryptionUnavailable(format!(
            "Stream {} under account {} cannot be encrypted: encryption needs a keyring, which this Tidelog does not \
             have.",
            key.name, key.account
        ))
    }

    /// A stream of that name exists.
    pub fn name_taken(key: &StreamKey) -> Self {
        Self::ResourceInUse(format!("Stream {} under account {} already exists.", key.name, key.account))
    }

    /// Another request has changed the stream in the meantime.
    pub fn overtaken(key: &StreamKey) -> Self {
        Self::ResourceInUse(format!(
            "Stream {} under account {} is being changed by another request.",
            key.name, key.account
        ))
    }

    /// The stream is in a state in which this cannot be done.
    pub fn not_active(key: &StreamKey, status: StreamStatus) -> Self {
        let (StreamKey { account, name, .. }, status) = (key, status_name(status));
        Self::ResourceInUse(format!(
            "Stream {name} under account {account} not ACTIVE, instead in state {status}"
        ))
    }

    /// This node has no memory for it now: a throttle where clients know it as that.
    pub fn no_room(may_be_throttled: bool, words: String) -> Self {
        if may_be_throttled { Self::ProvisionedThroughputExceeded(words) } else { Self::Unavailable(words) }
    }

    /// The shard's budget is spent.
    pub fn rate_exceeded(key: &StreamKey, shard: ShardId) -> Self {
        let StreamKey { account, name, .. } = key;
        Self::ProvisionedThroughputExceeded(format!(
            "Rate exceeded for shard {shard} in stream {name} under account {account}."
        ))
    }

    /// One call too many of the control plane, about that stream.
    pub fn call_rate_exceeded(key: &StreamKey) -> Self {
        let StreamKey { account, name, .. } = key;
        Self::LimitExceeded(format!("Rate exceeded for stream {name} under account {account}."))
    }

    /// The iterator was given out at `issued_ms`, too long before `now_ms`.
    pub fn expired_iterator(issued_ms: u64, now_ms: u64) -> Self {
        Self::ExpiredIterator(expired("Iterator", "iterator", issued_ms, now_ms, ITERATOR_LIFE_MS))
    }

    /// The NextToken was given out at `issued_ms`, too long before `now_ms`.
    pub fn expired_next_token(issued_ms: u64, now_ms: u64) -> Self {
        Self::ExpiredNextToken(expired("NextToken", "token", issued_ms, now_ms, PAGE_TOKEN_LIFE_MS))
    }

    /// The service model has the operation of that name, and this broker has not.
    pub fn not_built(operation: &str) -> Self {
        Self::NotBuilt(match operation {
            _ if operation.contains("Queue") => QUEUES.to_owned(),
            _ if operation.contains("Channel") => CHANNELS.to_owned(),
            name => format!("{name} is not available in this version of Tidelog."),
        })
    }

    /// The cluster has not agreed on its sealing key yet.
    pub fn no_key_yet() -> Self {
        Self::Unavailable("The cluster is starting and has no key for its tokens yet.".to_owned())
    }

    /// Nobody leads what the call is about, as far as this node knows.
    pub fn leaderless() -> Self {
        Self::Unavailable(
            "No majority of the cluster's nodes is in reach of this one now; try again.".to_owned(),
        )
    }

    /// What is asked for will be there in a moment: no consumer may take it for something that has ended.
    pub fn being_created(key: &StreamKey) -> Self {
        Self::Unavailable(format!("Stream {}{BEING_CREATED}", key.name))
    }

    /// Whether it is about a shard, of those that are not found. A fault that another node tells is its words alone.
    pub fn is_about_a_shard(&self) -> bool {
        let is_shards = |text: &str| text.starts_with("Shard ") || text.starts_with("Could not find shard ");
        matches!(self, Self::ResourceNotFound(text) if is_shards(text))
    }

    /// Whether a name is taken, of what is in use.
    pub fn is_about_a_name(&self) -> bool {
        matches!(self, Self::ResourceInUse(text) if text.ends_with(" already exists."))
    }

    /// Whether the state of a stream is in the way, of what is in use.
    pub fn is_about_a_state(&self) -> bool {
        matches!(self, Self::ResourceInUse(text) if text.contains("not ACTIVE") || text.contains("not in ACTIVE"))
    }

    /// Whether waiting helps, of the limits that are exceeded.
    pub fn is_about_a_rate(&self) -> bool {
        matches!(self, Self::LimitExceeded(text) if text.starts_with("Rate exceeded "))
    }

    /// Whether newer metadata could make it wrong.
    pub fn rests_on_metadata(&self) -> bool {
        match self {
            Self::ResourceNotFound(_)
            | Self::ResourceInUse(_)
            | Self::InvalidArgument(_)
            | Self::OutOfRange(_)
            | Self::LimitExceeded(_) => true,
            Self::Unavailable(text) => text.ends_with(BEING_CREATED),
            _ => false,
        }
    }

    /// What the service says about a stream.
    pub fn of_stream(error: ServiceError, key: &StreamKey) -> Self {
        match error {
            // Budgets are those of shards; a caller that has one names it by `of_shard`.
            ServiceError::Throttled => Self::call_rate_exceeded(key),
            ServiceError::NameTaken => Self::name_taken(key),
            ServiceError::StreamGone => Self::stream_not_found(key),
            ServiceError::ConsumerGone => Self::consumer_not_found(key),
            ServiceError::ShardClosed(shard) => Self::shard_closed(key, ShardId(shard)),
            ServiceError::NotActive(status) => Self::not_active(key, status),
            ServiceError::MetadataFull(full) => Self::LimitExceeded(full.to_string()),
            ServiceError::QuotaExceeded(exceeded) => quota::exceeded(exceeded, key),
            ServiceError::Overtaken => Self::overtaken(key),
            ServiceError::Unavailable(reason) => Self::Unavailable(reason),
            ServiceError::Internal(reason) => {
                crate::log_at_most_once_a_second!(error, stream = %key.name, %reason, "a call failed inside the broker");
                Self::Internal
            }
        }
    }

    /// What the service says about a shard of a stream.
    pub fn of_shard(error: ServiceError, key: &StreamKey, shard: ShardId) -> Self {
        match error {
            ServiceError::Throttled => Self::rate_exceeded(key, shard),
            other => Self::of_stream(other, key),
        }
    }
}

/// AWS answers 500 too; the words are our own.
const JSON_ONLY: &str = "SubscribeToShard is served in JSON only: send application/x-amz-json-1.1.";

/// Ends the words of [`Fault::being_created`].
const BEING_CREATED: &str = " is being created; try again.";

const QUEUES: &str = "Queues are not available in this version of Tidelog.";
const CHANNELS: &str = "Channels are not available in this version of Tidelog.";
/// Nobody recorded AWS's words for this one.
const DRY_RUN: &str = "The request would have succeeded, but the DryRun parameter is set.";

fn expired(title: &str, noun: &str, issued_ms: u64, now_ms: u64, life_ms: u64) -> String {
    let (issued, now) = (java_date::format(issued_ms), java_date::format(now_ms));
    format!(
        "{title} expired. The {noun} was created at time {issued} while right now it is {now} which is further in the \
         future than the tolerated delay of {life_ms} milliseconds."
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_expired_iterator_is_told_in_aws_words() {
        let fault = Fault::expired_iterator(1_435_841_877_000, 1_435_895_818_000);
        let expected = "Iterator expired. The iterator was created at time Thu Jul 02 12:57:57 UTC 2015 while right \
                        now it is Fri Jul 03 03:56:58 UTC 2015 which is further in the future than the tolerated \
                        delay of 300000 milliseconds.";
        assert_eq!(fault, Fault::ExpiredIterator(expected.to_owned()));
    }

    #[test]
    fn what_is_not_built_is_told_in_words_of_its_own() {
        let told = |operation: &str| {
            let fault = Fault::not_built(operation);
            let text = fault.exception().message.expect("words").1.to_owned();
            text.split_once(" not available").expect("a sentence").0.to_owned()
        };
        let names = super::super::OPERATIONS.iter().map(|operation| operation.name);
        let (queues, others): (Vec<_>, Vec<_>) = names.partition(|name| name.contains("Queue"));
        let channels = others.into_iter().filter(|name| name.contains("Channel")).collect::<Vec<_>>();
        assert_eq!((queues.len(), channels.len()), (12, 5));
        assert!(queues.into_iter().all(|name| told(name) == "Queues are"));
        assert!(channels.into_iter().all(|name| told(name) == "Channels are"));
    }
}
