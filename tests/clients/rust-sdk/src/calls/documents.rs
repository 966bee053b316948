//! Reads members of a JSON input for the SDK's builders, and writes the SDK's types as JSON.

use super::Failure;
use aws_sdk_kinesis::primitives::{Blob, DateTime, DateTimeFormat};
use aws_sdk_kinesis::types::{
    ChildShard, Consumer, HashKeyRange, MetricsName, PutRecordsRequestEntry, Record, SequenceNumberRange,
    Shard, ShardFilter, StartingPosition, StreamModeDetails, Tag,
};
use aws_smithy_types::base64;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

/// A member of any type that JSON has; `None` if it is absent.
pub(super) fn member<T: DeserializeOwned>(input: &Value, name: &str) -> Result<Option<T>, Failure> {
    serde_json::from_value(input[name].clone()).map_err(Failure::of_input)
}

/// A member that is one of an enum's names; the SDK takes unknown ones too.
pub(super) fn named<T: for<'a> From<&'a str>>(input: &Value, name: &str) -> Result<Option<T>, Failure> {
    Ok(input[name].as_str().map(T::from))
}

/// A blob, which is base64 in JSON.
pub(super) fn blob(input: &Value, name: &str) -> Result<Option<Blob>, Failure> {
    input[name]
        .as_str()
        .map(|text| base64::decode(text).map(Blob::new))
        .transpose()
        .map_err(Failure::of_input)
}

/// A timestamp, which is ISO 8601 in JSON.
pub(super) fn timestamp(input: &Value, name: &str) -> Result<Option<DateTime>, Failure> {
    let parse = |text| DateTime::from_str(text, DateTimeFormat::DateTime);
    input[name].as_str().map(parse).transpose().map_err(Failure::of_input)
}

pub(super) fn metrics(input: &Value, name: &str) -> Result<Option<Vec<MetricsName>>, Failure> {
    let names: Option<Vec<String>> = member(input, name)?;
    Ok(names.map(|names| names.iter().map(|name| MetricsName::from(name.as_str())).collect()))
}

pub(super) fn mode(input: &Value, name: &str) -> Result<Option<StreamModeDetails>, Failure> {
    let Some(mode) = named(&input[name], "StreamMode")? else { return Ok(None) };
    StreamModeDetails::builder().stream_mode(mode).build().map(Some).map_err(Failure::of_input)
}

pub(super) fn filter(input: &Value, name: &str) -> Result<Option<ShardFilter>, Failure> {
    let Some(kind) = named(&input[name], "Type")? else { return Ok(None) };
    ShardFilter::builder().r#type(kind).build().map(Some).map_err(Failure::of_input)
}

pub(super) fn position(input: &Value, name: &str) -> Result<Option<StartingPosition>, Failure> {
    let builder = StartingPosition::builder().set_type(named(&input[name], "Type")?);
    let builder = builder.set_sequence_number(member(&input[name], "SequenceNumber")?);
    builder.build().map(Some).map_err(Failure::of_input)
}

pub(super) fn entries(input: &Value, name: &str) -> Result<Option<Vec<PutRecordsRequestEntry>>, Failure> {
    let rows = input[name].as_array().ok_or_else(|| Failure::of_input("records must be a list"))?;
    let entry = |row: &Value| {
        let builder = PutRecordsRequestEntry::builder().set_data(blob(row, "Data")?);
        let builder = builder.set_partition_key(member(row, "PartitionKey")?);
        builder.build().map_err(Failure::of_input)
    };
    rows.iter().map(entry).collect::<Result<_, _>>().map(Some)
}

/// A list of the values that `write` makes of each item.
pub(super) fn list<T>(items: &[T], write: impl Fn(&T) -> Value) -> Value {
    items.iter().map(write).collect()
}

/// Seconds since 1970.
pub(super) fn seconds(timestamp: Option<&DateTime>) -> Value {
    json!(timestamp.map(DateTime::as_secs_f64))
}

pub(super) fn record(record: &Record) -> Value {
    json!({
        "SequenceNumber": record.sequence_number(),
        "ApproximateArrivalTimestamp": seconds(record.approximate_arrival_timestamp()),
        "Data": base64::encode(record.data()),
        "PartitionKey": record.partition_key(),
    })
}

fn range(range: Option<&HashKeyRange>) -> Value {
    json!({
        "StartingHashKey": range.map(HashKeyRange::starting_hash_key),
        "EndingHashKey": range.map(HashKeyRange::ending_hash_key),
    })
}

pub(super) fn shard(shard: &Shard) -> Value {
    let numbers = shard.sequence_number_range();
    json!({
        "ShardId": shard.shard_id(),
        "ParentShardId": shard.parent_shard_id(),
        "AdjacentParentShardId": shard.adjacent_parent_shard_id(),
        "HashKeyRange": range(shard.hash_key_range()),
        "SequenceNumberRange": {
            "StartingSequenceNumber": numbers.map(SequenceNumberRange::starting_sequence_number),
            "EndingSequenceNumber": numbers.and_then(|numbers| numbers.ending_sequence_number()),
        },
    })
}

pub(super) fn child(child: &ChildShard) -> Value {
    json!({
        "ShardId": child.shard_id(),
        "ParentShards": child.parent_shards(),
        "HashKeyRange": range(child.hash_key_range()),
    })
}

pub(super) fn consumer(consumer: &Consumer) -> Value {
    json!({
        "ConsumerName": consumer.consumer_name(),
        "ConsumerARN": consumer.consumer_arn(),
        "ConsumerStatus": consumer.consumer_status().as_str(),
        "ConsumerCreationTimestamp": seconds(Some(consumer.consumer_creation_timestamp())),
    })
}

pub(super) fn tag(tag: &Tag) -> Value {
    json!({"Key": tag.key(), "Value": tag.value()})
}
