//! The sentences of AWS's exceptions.
//!
//! Sentences that AWS was recorded with are AWS's own; the others are Tidelog's in the same manner.

use super::{
    Constraint, Fault, InUse, InvalidArgument, InvalidPosition, InvalidRecords, InvalidReshard,
    InvalidRetention, InvalidTags, InvalidTarget, LimitExceeded, NotBase64, NotFound, ResourceName,
    ScaleBound, Throttled, Unavailable, Validation, Violation, WrongType,
};
use crate::limits::{
    ITERATOR_LIFE_MS, PAGE_TOKEN_LIFE_MS, PUT_RECORDS_BYTES_MAX, PUT_RECORDS_MAX, RETENTION_HOURS_MAX,
    RETENTION_HOURS_MIN, SHARD_COUNT_MAX, WARM_MIB_PER_SECOND_MAX,
};
use crate::model::shard_id::ShardId;
use crate::model::stream::{HashRange, StreamKey};
use crate::ops::api::{Choice, Feature};
use crate::ops::java_date;
use crate::ops::stream::description;
use crate::ops::tag::rules::RESERVED_PREFIX;
use crate::replication::{Quota, QuotaExceeded};

impl Fault {
    /// The sentence of AWS's exception, for those that have one.
    pub(super) fn sentence(&self) -> Option<String> {
        Some(match self {
            Self::Validation(validation) => validation_sentence(validation),
            Self::InvalidArgument(argument) => argument_sentence(argument),
            Self::InvalidPosition(position) => position_sentence(position),
            Self::ResourceNotFound(missing) => not_found_sentence(missing),
            Self::ResourceInUse(in_use) => in_use_sentence(in_use),
            Self::LimitExceeded(limit) => limit_sentence(limit),
            Self::ProvisionedThroughputExceeded(throttled) => match throttled {
                Throttled::Shard { key: StreamKey { account, name, .. }, shard } => {
                    format!("Rate exceeded for shard {shard} in stream {name} under account {account}.")
                }
                Throttled::Memory(purpose) => full_memory(purpose),
            },
            Self::ExpiredIterator { issued_ms, now_ms } => {
                expired(("Iterator", "iterator"), *issued_ms, *now_ms, ITERATOR_LIFE_MS)
            }
            Self::ExpiredNextToken { issued_ms, now_ms } => {
                expired(("NextToken", "token"), *issued_ms, *now_ms, PAGE_TOKEN_LIFE_MS)
            }
            Self::EncryptionUnavailable(StreamKey { account, name, .. }) => format!(
                "Stream {name} under account {account} cannot be encrypted: encryption needs a keyring, which this Tidelog \
                 does not have."
            ),
            // Nobody recorded AWS's words for this one.
            Self::DryRun => "The request would have succeeded, but the DryRun parameter is set.".to_owned(),
            Self::Unreadable | Self::UnknownOperation => return None,
            Self::Serialization(wrong) => wrong_type_sentence(wrong),
            Self::NotBuilt(feature) => not_built_sentence(*feature),
            // AWS answers 500 too; the words are our own.
            Self::JsonOnly => {
                "SubscribeToShard is served in JSON only: send application/x-amz-json-1.1.".to_owned()
            }
            Self::Internal => "Internal Service Failure".to_owned(),
            Self::Unavailable(unavailable) => unavailable_sentence(unavailable),
        })
    }
}

fn expired((title, noun): (&str, &str), issued_ms: u64, now_ms: u64, life_ms: u64) -> String {
    let (issued, now) = (java_date::format(issued_ms), java_date::format(now_ms));
    format!(
        "{title} expired. The {noun} was created at time {issued} while right now it is {now} which is further in the \
         future than the tolerated delay of {life_ms} milliseconds."
    )
}

fn full_memory(purpose: &str) -> String {
    format!("This node's memory for {purpose} is full; try again.")
}

fn not_built_sentence(feature: Feature) -> String {
    let features = match feature {
        Feature::Queues => "Queues",
        Feature::Channels => "Channels",
    };
    format!("{features} are not available in this version of Tidelog.")
}

fn wrong_type_sentence(wrong: &WrongType) -> String {
    match wrong {
        WrongType::List => "Start of list found where not expected".to_owned(),
        WrongType::Map => "Start of structure or map found where not expected.".to_owned(),
        WrongType::NoStructure => "Expected null".to_owned(),
        WrongType::NoList => "Expected list or null".to_owned(),
        WrongType::NoMap => "Expected map or null".to_owned(),
        WrongType::Class { found, target } => format!("class {found} can not be converted to {target}"),
        WrongType::NotBase64 { text, reason } => {
            let shown = text.as_deref().unwrap_or("…");
            let reason = match reason {
                NotBase64::Length(length) => {
                    format!("Base64 encoded length is expected a multiple of 4 bytes but found: {length}")
                }
                NotBase64::Character(character) => format!("Invalid Base64 character: '{character}'"),
                NotBase64::Last => "Invalid last non-pad Base64 character detected".to_owned(),
            };
            format!("'{shown}' can not be converted to a Blob: {reason}")
        }
    }
}

fn validation_sentence(validation: &Validation) -> String {
    match validation {
        Validation::Violations(violations) => {
            let count = violations.len();
            let plural = if count == 1 { "" } else { "s" };
            let violations: Vec<String> = violations.iter().map(violation_sentence).collect();
            format!("{count} validation error{plural} detected: {}", violations.join("; "))
        }
        Validation::OnDemandShards { operation, stream } => {
            format!("{operation} is not supported for stream {stream} with StreamMode=ON_DEMAND.")
        }
        Validation::OnDemandShardCount => "ShardCount is not expected when StreamMode=ON_DEMAND".to_owned(),
    }
}

fn violation_sentence(violation: &Violation) -> String {
    let Violation { value, path, constraint } = violation;
    let shown = value.as_ref().map_or_else(|| "null".to_owned(), |value| format!("'{value}'"));
    let inner = |what: &str, (min, max): (&usize, &usize)| {
        format!(
            "{what} must satisfy constraint: [Member must have length less than or equal to {max}, Member must have \
             length greater than or equal to {min}]"
        )
    };
    let constraint = match constraint {
        Constraint::NotNull => "Member must not be null".to_owned(),
        Constraint::LengthMin(min) => format!("Member must have length greater than or equal to {min}"),
        Constraint::LengthMax(max) => format!("Member must have length less than or equal to {max}"),
        Constraint::ElementLength(min, max) => inner("Member", (min, max)),
        Constraint::KeyLength(min, max) => inner("Map keys", (min, max)),
        Constraint::ValueLength(min, max) => inner("Map value", (min, max)),
        Constraint::Pattern(pattern) => {
            format!("Member must satisfy regular expression pattern: {pattern}")
        }
        Constraint::Choices(choices) => {
            format!("Member must satisfy enum value set: [{}]", choices.join(", "))
        }
        Constraint::Min(min) => format!("Member must have value greater than or equal to {min}"),
        Constraint::Max(max) => format!("Member must have value less than or equal to {max}"),
    };
    format!("Value {shown} at '{path}' failed to satisfy constraint: {constraint}")
}

/// A resource within a sentence: `stream a under account 000000000000`.
fn resource_words(name: &ResourceName) -> String {
    match name {
        ResourceName::Stream(StreamKey { account, name, .. }) => {
            format!("stream {name} under account {account}")
        }
        ResourceName::Consumer { key: StreamKey { account, name: stream, .. }, name } => {
            format!("consumer {name} of stream {stream} under account {account}")
        }
    }
}

fn argument_sentence(argument: &InvalidArgument) -> String {
    match argument {
        InvalidArgument::Target(target) => target_sentence(target),
        InvalidArgument::Records(records) => records_sentence(records),
        InvalidArgument::Reshard { key, reason } => reshard_sentence(key, reason),
        InvalidArgument::Tags { resource, reason } => tags_sentence(resource, reason),
        InvalidArgument::Retention(retention) => retention_sentence(retention),
        InvalidArgument::Policy { resource, reason } => {
            format!("The policy of {} is not valid: {reason}.", resource_words(resource))
        }
        InvalidArgument::EncryptionType(kind) => {
            format!("EncryptionType {kind} is not a type of encryption.")
        }
        InvalidArgument::OnDemandOnly(setting) => {
            format!("{setting} is only available for streams with StreamMode=ON_DEMAND")
        }
        InvalidArgument::NoCommitment => {
            "WarmThroughputMiBps is only available while MinimumThroughputBillingCommitment \
                                          is ENABLED in the account's settings."
                .to_owned()
        }
    }
}

fn target_sentence(target: &InvalidTarget) -> String {
    let fixed = match target {
        InvalidTarget::NoStream => "Either StreamName or StreamARN should be provided.",
        InvalidTarget::StreamName(name) => return format!("{name} is not the name of a stream."),
        InvalidTarget::StreamNamesDiffer => "StreamName and StreamARN do not name the same stream.",
        InvalidTarget::StreamArn(arn) => return format!("{arn} is not the ARN of a stream."),
        InvalidTarget::ConsumerArn(arn) => return format!("{arn} is not the ARN of a consumer."),
        InvalidTarget::ResourceArn(arn) => {
            return format!("{arn} is not the ARN of a stream or a consumer.");
        }
        InvalidTarget::NoConsumer => {
            "Either ConsumerARN or both StreamARN and ConsumerName should be provided."
        }
        InvalidTarget::ConsumerNamesDiffer => {
            "ConsumerARN, StreamARN and ConsumerName do not name the same consumer."
        }
        InvalidTarget::NextToken => "Invalid NextToken.",
        InvalidTarget::BesideNextToken(member) => {
            return format!("NextToken and {member} cannot be provided together.");
        }
        InvalidTarget::NoStreamOrNextToken => "Either NextToken or StreamName should be provided.",
        InvalidTarget::ShardFilter { member, kind, is_needed } => {
            let words = if *is_needed { "must be provided" } else { "cannot be provided" };
            return format!("{member} {words} with the ShardFilter Type {kind}.");
        }
        InvalidTarget::ShardId(id) => return format!("{id} is not the id of a shard."),
        InvalidTarget::ExclusiveStartShardId(id) => {
            return format!("ExclusiveStartShardId {id} is not the id of a shard.");
        }
        InvalidTarget::ShardIterator => "Invalid ShardIterator.",
        InvalidTarget::IteratorOfOtherStream => {
            "The ShardIterator is not one of the stream of the StreamARN."
        }
        InvalidTarget::ShardTwice(shard) => return format!("Shard {shard} is named twice."),
        InvalidTarget::NumberWithoutShard => "A sequence number is a position in one shard: name the shard.",
        InvalidTarget::SequenceNumber(text) => return format!("{text} is not a sequence number."),
    };
    fixed.to_owned()
}

fn records_sentence(records: &InvalidRecords) -> String {
    match records {
        InvalidRecords::RecordBytes { stream, bytes, bytes_max } => format!(
            "A record of stream {stream} can have up to {bytes_max} bytes of data and partition key. This one has {bytes}."
        ),
        InvalidRecords::ExplicitHashKey(text) => format!(
            "Invalid ExplicitHashKey. ExplicitHashKey must be in the range: [0, 2^128-1]. Specified value was {text}"
        ),
        InvalidRecords::RequestBytes(bytes) => format!(
            "The records of one request can have up to {PUT_RECORDS_BYTES_MAX} bytes of data and partition keys. These \
             have {bytes}."
        ),
        InvalidRecords::Count(count) => {
            format!("One call puts 1 to {PUT_RECORDS_MAX} records. This one has {count}.")
        }
        InvalidRecords::Record { position, bound } => format!("Record {position} of the call: {bound}."),
        InvalidRecords::MinimumSequenceNumber { key: StreamKey { account, name, .. }, number } => format!(
            "ExclusiveMinimumSequenceNumber {number} used in PutRecord on stream {name} under account {account} is invalid."
        ),
    }
}

fn reshard_sentence(StreamKey { account, name, .. }: &StreamKey, reason: &InvalidReshard) -> String {
    match reason {
        InvalidReshard::ShardClosed(shard) => format!(
            "Shard {shard} in stream {name} under account {account} is closed: it was split or merged before."
        ),
        InvalidReshard::NotAdjacent { lower, upper } => format!(
            "Shards {lower} and {upper} in stream {name} under account {account} are not an adjacent pair of shards \
             eligible for merging"
        ),
        InvalidReshard::SplitKey { shard, at, range: HashRange { start, end } } => format!(
            "NewStartingHashKey {at} used in SplitShard() on shard {shard} in stream {name} under account {account} is not \
             both greater than one plus the shard's StartingHashKey {start} and less than the shard's EndingHashKey {end}."
        ),
        InvalidReshard::ShardCount { current, target, bound } => {
            let bound = match bound {
                ScaleBound::Most => format!("a stream is scaled to at most {SHARD_COUNT_MAX} shards"),
                ScaleBound::Double => "one call scales up to at most double the open shards".to_owned(),
                ScaleBound::Half => "one call scales down to at least half of the open shards".to_owned(),
            };
            format!(
                "UpdateShardCount of stream {name} under account {account} from {current} to {target} open shards is not \
                 possible: {bound}."
            )
        }
    }
}

/// The sentences about characters and about the number of tags are AWS's own.
fn tags_sentence(resource: &ResourceName, reason: &InvalidTags) -> String {
    let words = resource_words(resource);
    let illegal = |action: &str| {
        format!(
            "Failed to {action} {words} because some tags contained illegal characters. The allowed characters are Unicode \
             letters, white-spaces, '_',',','/','=','+','-','@',':'."
        )
    };
    match reason {
        InvalidTags::Characters => {
            "Some tags contain invalid characters. Valid characters: Unicode letters, digits, white \
                                    space, _ . / = + - % @ :."
                .to_owned()
        }
        InvalidTags::PercentAdded => illegal("add tags to"),
        InvalidTags::PercentRemoved => illegal("remove tags from"),
        InvalidTags::Reserved { key } => format!(
            "Failed to add tags to {words} because the key {key} begins with {RESERVED_PREFIX}, which is reserved."
        ),
        InvalidTags::TooMany { limit } => {
            let kind = match resource {
                ResourceName::Stream(_) => "stream",
                ResourceName::Consumer { .. } => "consumer",
            };
            format!(
                "Failed to add tags to {words} because a given {kind} cannot have more than {limit} tags associated with \
                 it."
            )
        }
    }
}

fn retention_sentence(retention: &InvalidRetention) -> String {
    match retention {
        InvalidRetention::TooShort(hours) => format!(
            "Minimum allowed retention period is {RETENTION_HOURS_MIN} hours. Requested retention period ({hours} hours) is \
             too short."
        ),
        InvalidRetention::TooLong(hours) => format!(
            "Maximum allowed retention period is {RETENTION_HOURS_MAX} hours. Requested retention period ({hours} hours) is \
             too long."
        ),
        InvalidRetention::Direction { stream, hours, existing } => {
            let (wrong, other) = if hours < existing {
                ("shorter", "DecreaseRetentionPeriod")
            } else {
                ("longer", "IncreaseRetentionPeriod")
            };
            format!(
                "Requested retention period ({hours} hours) for stream {stream} can not be {wrong} than existing retention \
                 period ({existing} hours). Use {other} API."
            )
        }
    }
}

fn position_sentence(position: &InvalidPosition) -> String {
    let invalid = |key: &StreamKey, shard: &ShardId, operation: &str, number: &str, reason: &str| {
        let StreamKey { account, name, .. } = key;
        format!(
            "StartingSequenceNumber {number} used in {operation} on shard {shard} in stream {name} under account {account} \
             is invalid{reason}."
        )
    };
    match position {
        InvalidPosition::Mismatch { kind, has_number } => {
            let number =
                if *has_number { "also a StartingSequenceNumber" } else { "no StartingSequenceNumber" };
            format!(
                "Must either specify (1) AT_SEQUENCE_NUMBER or AFTER_SEQUENCE_NUMBER and StartingSequenceNumber or (2) \
                 TRIM_HORIZON or LATEST and no StartingSequenceNumber. Request specified {kind} and {number}."
            )
        }
        InvalidPosition::Number { key, shard, operation, number } => {
            invalid(key, shard, operation, number, "")
        }
        InvalidPosition::OtherStream { key, shard, operation, number } => {
            invalid(key, shard, operation, number, " because it did not come from this stream")
        }
        InvalidPosition::OtherShard { of, shard } => format!(
            "Invalid StartingSequenceNumber. It encodes {of}, while it was used in a call to a shard with {shard}"
        ),
        InvalidPosition::NoTime => {
            "Must specify timestampInMillis for AT_TIMESTAMP iterator type.".to_owned()
        }
        InvalidPosition::Future { time_ms, now_ms } => format!(
            "The timestampInMillis parameter cannot be greater than the currentTimestampInMillis. timestampInMillis: \
             {time_ms}, currentTimestampInMillis: {now_ms}"
        ),
    }
}

fn not_found_sentence(missing: &NotFound) -> String {
    match missing {
        NotFound::Stream(StreamKey { account, name, .. }) => {
            format!("Stream {name} under account {account} not found.")
        }
        NotFound::DeletedStream => "The stream was deleted.".to_owned(),
        NotFound::PagedStream => "The stream of the NextToken does not exist any more.".to_owned(),
        NotFound::IteratedStream(shard) => {
            format!("Shard {shard} does not exist: its stream was deleted.")
        }
        NotFound::Shard { key: StreamKey { account, name, .. }, shard } => {
            format!("Shard {shard} in stream {name} under account {account} does not exist")
        }
        NotFound::ShardText { key: StreamKey { account, name, .. }, id } => {
            format!("Could not find shard {id} in stream {name} under account {account}.")
        }
        NotFound::Consumer(StreamKey { account, name, .. }) => {
            format!("Consumer under stream {name}, account {account} not found.")
        }
        NotFound::Resource { arn } => format!("Resource {arn} not found."),
        NotFound::Policy(resource) => format!("The {} has no resource policy.", resource_words(resource)),
    }
}

fn in_use_sentence(in_use: &InUse) -> String {
    match in_use {
        InUse::NameTaken(StreamKey { account, name, .. }) => {
            format!("Stream {name} under account {account} already exists.")
        }
        InUse::ConsumerExists { key: StreamKey { account, name, .. }, consumer } => {
            format!("Consumer {consumer} under stream {name}, account {account} already exists.")
        }
        InUse::ConsumerNotActive { key: StreamKey { account, name, .. }, consumer, created_s } => format!(
            "Consumer {consumer} with creation timestamp {created_s} under stream: {name} , account {account} is not in \
             ACTIVE status."
        ),
        InUse::SubscriptionExists { key: StreamKey { account, name, .. }, consumer } => {
            format!("Another active subscription exists for this consumer: {account}:{name}:{consumer}")
        }
        InUse::HasConsumers(StreamKey { account, name, .. }) => format!(
            "DeleteStream can't delete {account}:{name} because there are consumers associated with this data stream. To \
             delete {name} anyway, set the EnforceConsumerDeletion parameter to true to force the deletion of all the \
             consumers that are associated with it."
        ),
        InUse::Overtaken(StreamKey { account, name, .. }) => {
            format!("Stream {name} under account {account} is being changed by another request.")
        }
        InUse::NotActive { key: StreamKey { account, name, .. }, status } => {
            let status = description::status(*status).name();
            format!("Stream {name} under account {account} not ACTIVE, instead in state {status}")
        }
    }
}

fn limit_sentence(limit: &LimitExceeded) -> String {
    match limit {
        LimitExceeded::StreamRate(StreamKey { account, name, .. }) => {
            format!("Rate exceeded for stream {name} under account {account}.")
        }
        LimitExceeded::AccountRate { account } => format!("Rate exceeded for account {account}."),
        LimitExceeded::Quota { key, exceeded } => quota_sentence(key, *exceeded),
        LimitExceeded::Metadata(full) => full.to_string(),
        LimitExceeded::WarmThroughput(mib) => {
            format!("WarmThroughputMiBps {mib} is above the limit of {WARM_MIB_PER_SECOND_MAX}.")
        }
    }
}

fn quota_sentence(key: &StreamKey, exceeded: QuotaExceeded) -> String {
    let StreamKey { account, region, name } = key;
    let QuotaExceeded { quota, limit, present, additional } = exceeded;
    let of_account = |what: &str| {
        format!(
            "This request would exceed the limit of {limit} {what} for the account {account} in {region}."
        )
    };
    match quota {
        Quota::ShardsPerChange => {
            format!("This request would add {additional} shards to stream {name}. Limit: {limit}.")
        }
        Quota::Shards => format!(
            "This request would exceed the shard limit for the account {account} in {region}. Current shard count for the \
             account: {present}. Limit: {limit}. Number of additional shards that would have resulted from this request: \
             {additional}."
        ),
        Quota::CreatingStreams => of_account("streams in the CREATING state"),
        Quota::OnDemandStreams => of_account("on-demand streams"),
        Quota::ShardCountUpdates => format!(
            "Stream {name} under account {account} was scaled {present} times within 24 hours. Limit: {limit}."
        ),
        Quota::ModeSwitches => format!(
            "The mode of stream {name} under account {account} was switched {present} times within 24 hours. Limit: \
             {limit}."
        ),
        Quota::Consumers => {
            format!("Stream {name} under account {account} has its {limit} consumers already.")
        }
        Quota::CreatingConsumers => {
            format!("Stream {name} under account {account} has {limit} consumers in status CREATING already.")
        }
        Quota::Tags => {
            tags_sentence(&ResourceName::Stream(key.clone()), &InvalidTags::TooMany { limit: limit as usize })
        }
    }
}

fn unavailable_sentence(unavailable: &Unavailable) -> String {
    match unavailable {
        Unavailable::Starting(stage) => stage.clone(),
        Unavailable::Stopping => "This node is stopping; try again.".to_owned(),
        Unavailable::NoMajority => {
            "No majority of the cluster's nodes is in reach of this one now; try again.".to_owned()
        }
        Unavailable::NoSealingKey => "The cluster is starting and has no key for its tokens yet.".to_owned(),
        Unavailable::BeingCreated(key) => format!("Stream {} is being created; try again.", key.name),
        Unavailable::UnknownEnd => "The end of the shard is not known now; try again.".to_owned(),
        Unavailable::Puts(None) => "The shard cannot take the record now; try again.".to_owned(),
        Unavailable::Puts(Some(refusal)) => {
            format!("The record was not written, because {refusal}; try again.")
        }
        Unavailable::Subscriptions => {
            "This node has as many subscriptions to the stream as it can.".to_owned()
        }
        Unavailable::Memory(purpose) => full_memory(purpose),
        Unavailable::Service(unavailable) => unavailable.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_expired_iterator_has_aws_words() {
        let fault = Fault::ExpiredIterator { issued_ms: 1_435_841_877_000, now_ms: 1_435_895_818_000 };
        let expected = "Iterator expired. The iterator was created at time Thu Jul 02 12:57:57 UTC 2015 while right \
                        now it is Fri Jul 03 03:56:58 UTC 2015 which is further in the future than the tolerated \
                        delay of 300000 milliseconds.";
        assert_eq!(fault.exception().text(), expected);
    }

    #[test]
    fn a_quota_of_shards_has_aws_words() {
        let key = crate::ops::cases::stream("a", 1).key;
        let exceeded = QuotaExceeded { quota: Quota::Shards, limit: 20_000, present: 19_999, additional: 2 };
        let text = "This request would exceed the shard limit for the account 000000000000 in us-east-1. Current shard \
                    count for the account: 19999. Limit: 20000. Number of additional shards that would have resulted \
                    from this request: 2.";
        let fault = Fault::LimitExceeded(LimitExceeded::Quota { key, exceeded });
        assert_eq!(fault.exception().text(), text);
    }
}
