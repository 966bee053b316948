//! DescribeStream: a stream, its settings and a page of its shards.
//!
//! It succeeds from the moment CreateStream has answered; a stream that is CREATING shows no shards.
//!
//! Limits: 100 shards a page; a larger Limit counts as the page size. Errors: ResourceNotFound, and InvalidArgument
//! for an ExclusiveStartShardId that is none.

use std::sync::Arc;

use super::description;
use crate::limits::DESCRIBE_STREAM_PAGE;
use crate::model::shard_id::ShardId;
use crate::model::stream::{Stream, StreamStatus};
use crate::ops::api::{
    DescribeStreamInput, DescribeStreamOutput, EncryptionType, StreamDescription, Timestamp,
};
use crate::ops::fault::InvalidTarget;
use crate::ops::{Call, Fault, target};
use crate::service::Service;

/// Describes the stream.
pub fn run(
    service: &Arc<Service>,
    call: &Call,
    input: &DescribeStreamInput,
) -> Result<DescribeStreamOutput, Fault> {
    let stream = target::stream(&service.catalog(), call, input)?;
    answer(&stream, input)
}

fn answer(stream: &Stream, input: &DescribeStreamInput) -> Result<DescribeStreamOutput, Fault> {
    let page = input.limit.map_or(DESCRIBE_STREAM_PAGE, |limit| DESCRIBE_STREAM_PAGE.min(limit as usize));
    let after = input.exclusive_start_shard_id.as_deref().map(after_shard).transpose()?;
    let shown = if stream.status == StreamStatus::Creating { &[] } else { stream.shards.as_slice() };
    let mut shards = shown.iter().filter(|shard| after.is_none_or(|after| shard.index > after.0));
    let listed = shards.by_ref().take(page).map(description::shard).collect::<Vec<_>>();
    let summary = description::summary(stream);
    let stream_description = StreamDescription {
        stream_name: summary.stream_name,
        stream_arn: summary.stream_arn,
        stream_status: summary.stream_status,
        stream_mode_details: summary.stream_mode_details,
        stream_creation_timestamp: Timestamp::from_ms(stream.created_ms),
        retention_period_hours: stream.retention_hours as i32,
        enhanced_monitoring: description::enhanced_monitoring(stream),
        encryption_type: Some(EncryptionType::None),
        key_id: None,
        shards: listed,
        has_more_shards: shards.next().is_some(),
    };
    Ok(DescribeStreamOutput { stream_description })
}

fn after_shard(text: &str) -> Result<ShardId, Fault> {
    ShardId::parse(text).ok_or_else(|| InvalidTarget::ExclusiveStartShardId(text.to_owned()).into())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ops::cases;

    fn described(stream: &Stream, body: &str) -> serde_json::Value {
        let input = cases::input::<DescribeStreamInput>(body).unwrap();
        cases::json(&answer(stream, &input).unwrap())
    }

    fn page(stream: &Stream, body: &str) -> (Vec<String>, bool) {
        let description = &described(stream, body)["StreamDescription"];
        let shards = description["Shards"].as_array().unwrap();
        let ids = shards.iter().map(|shard| shard["ShardId"].as_str().unwrap().to_owned()).collect();
        (ids, description["HasMoreShards"].as_bool().unwrap())
    }

    #[test]
    fn everything_aws_sends_is_there() {
        let stream = cases::split_stream("a", 600_000);
        let expected = serde_json::json!({"StreamDescription": {
            "StreamName": "a",
            "StreamARN": "arn:aws:kinesis:us-east-1:000000000000:stream/a",
            "StreamStatus": "ACTIVE",
            "StreamModeDetails": {"StreamMode": "PROVISIONED"},
            "StreamCreationTimestamp": 1_699_996_400.0,
            "RetentionPeriodHours": 24,
            "EnhancedMonitoring": [{"ShardLevelMetrics": []}],
            "EncryptionType": "NONE",
            "HasMoreShards": true,
            "Shards": [
                {
                    "ShardId": "shardId-000000000000",
                    "HashKeyRange": {"StartingHashKey": "0", "EndingHashKey": u128::MAX.to_string()},
                    "SequenceNumberRange": {
                        "StartingSequenceNumber": starting(&stream, 0),
                        "EndingSequenceNumber": ending(&stream, 0),
                    },
                },
                {
                    "ShardId": "shardId-000000000001",
                    "ParentShardId": "shardId-000000000000",
                    "HashKeyRange": {"StartingHashKey": "0", "EndingHashKey": ((1u128 << 127) - 1).to_string()},
                    "SequenceNumberRange": {"StartingSequenceNumber": starting(&stream, 1)},
                },
            ],
        }});
        assert_eq!(described(&stream, r#"{"Limit":2}"#), expected);
    }

    fn starting(stream: &Stream, index: usize) -> String {
        use crate::model::sequence_number::SequenceNumber;
        SequenceNumber::starting(stream.shards[index].created_s, stream.shards[index].index).to_string()
    }

    fn ending(stream: &Stream, index: usize) -> String {
        use crate::model::sequence_number::SequenceNumber;
        let shard = &stream.shards[index];
        SequenceNumber::ending(shard.created_s, shard.index, shard.closed_ms.unwrap() / 1_000).to_string()
    }

    #[test]
    fn shards_come_in_pages() {
        let stream = cases::stream("a", 250);
        assert_eq!(page(&stream, "{}").0.len(), 100);
        assert_eq!(page(&stream, r#"{"Limit":10000}"#).0.len(), 100);
        let (ids, more) = page(&stream, r#"{"Limit":2,"ExclusiveStartShardId":"shardId-000000000247"}"#);
        assert_eq!((ids, more), (vec!["shardId-000000000248".into(), "shardId-000000000249".into()], false));
        assert!(page(&stream, r#"{"Limit":1,"ExclusiveStartShardId":"shardId-247"}"#).1);
        assert_eq!(page(&stream, r#"{"ExclusiveStartShardId":"shardId-999"}"#), (vec![], false));
    }

    #[test]
    fn a_stream_in_creation_shows_no_shards() {
        let mut stream = cases::stream("a", 2);
        stream.status = StreamStatus::Creating;
        assert_eq!(page(&stream, "{}"), (vec![], false));
    }

    #[test]
    fn bounds_are_named_in_aws_words() {
        let fault =
            cases::input::<DescribeStreamInput>(r#"{"Limit":0,"ExclusiveStartShardId":""}"#).unwrap_err();
        let expected = cases::expected(&[
            ("0", "limit", "Member must have value greater than or equal to 1"),
            ("", "exclusiveStartShardId", "Member must satisfy regular expression pattern: [a-zA-Z0-9_.-]+"),
            ("", "exclusiveStartShardId", "Member must have length greater than or equal to 1"),
        ]);
        assert_eq!(cases::violations(&fault), expected);
    }
}
