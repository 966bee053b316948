//! Sentences about requests that are malformed, or that can never succeed as they are: the faults of
//! [`super::super::invalid`].

use super::resource_words;
use crate::limits::{
    PUT_RECORDS_BYTES_MAX, PUT_RECORDS_MAX, RETENTION_HOURS_MAX, RETENTION_HOURS_MIN, SHARD_COUNT_MAX,
};
use crate::model::shard_id::ShardId;
use crate::model::stream::{HashRange, StreamKey};
use crate::ops::fault::{
    Constraint, InvalidArgument, InvalidPosition, InvalidRecords, InvalidReshard, InvalidRetention,
    InvalidTags, InvalidTarget, NotBase64, ResourceName, ScaleBound, Validation, Violation, WrongType,
};
use crate::ops::tag::rules::RESERVED_PREFIX;

pub(super) fn wrong_type_sentence(wrong: &WrongType) -> String {
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

pub(super) fn validation_sentence(validation: &Validation) -> String {
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

pub(super) fn argument_sentence(argument: &InvalidArgument) -> String {
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
pub(super) fn tags_sentence(resource: &ResourceName, reason: &InvalidTags) -> String {
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

pub(super) fn position_sentence(position: &InvalidPosition) -> String {
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
