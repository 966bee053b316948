//! DescribeStreamSummary: a stream and its settings, with its shards only counted.
//!
//! Errors: ResourceNotFound.

use std::sync::Arc;

use super::description;
use crate::model::stream::{Stream, StreamMode};
use crate::ops::api::{
    DescribeStreamSummaryInput, DescribeStreamSummaryOutput, EncryptionType, RecordDistributionStrategy,
    StreamDescriptionSummary, Timestamp,
};
use crate::ops::settings::warm_throughput;
use crate::ops::{Call, Fault, target};
use crate::service::Service;

/// Describes the stream.
pub fn run(
    service: &Arc<Service>,
    call: &Call,
    input: &DescribeStreamSummaryInput,
) -> Result<DescribeStreamSummaryOutput, Fault> {
    let catalog = service.catalog();
    let stream = target::stream(&catalog, call, input)?;
    let is_committed = catalog.has_commitment(&stream.key, service.now_ms());
    Ok(answer(&stream, is_committed))
}

/// The answer, with warm throughput where there is a commitment.
pub fn answer(stream: &Stream, is_committed: bool) -> DescribeStreamSummaryOutput {
    let count = |number: usize| u32::try_from(number).unwrap_or(u32::MAX);
    // The strategy exists for on-demand streams only, and warm throughput takes the commitment as well.
    let is_on_demand = stream.mode == StreamMode::OnDemand;
    let strategy = match stream.is_auto_distributed {
        true => RecordDistributionStrategy::Auto,
        false => RecordDistributionStrategy::UserPartitionKey,
    };
    let warm =
        (is_on_demand && is_committed).then(|| warm_throughput::describe(stream, stream.warm_mib_per_second));
    let summary = description::summary(stream);
    let stream_description_summary = StreamDescriptionSummary {
        stream_name: summary.stream_name,
        stream_arn: summary.stream_arn,
        stream_id: None,
        stream_status: summary.stream_status,
        stream_mode_details: summary.stream_mode_details,
        stream_creation_timestamp: Timestamp::from_ms(stream.created_ms),
        retention_period_hours: stream.retention_hours as i32,
        enhanced_monitoring: description::enhanced_monitoring(stream),
        encryption_type: Some(EncryptionType::None),
        key_id: None,
        open_shard_count: count(stream.routes.len()),
        consumer_count: Some(count(stream.consumers.len())),
        // Queues and channels cannot be created yet.
        queue_count: Some(0),
        channel_count: Some(0),
        warm_throughput: warm,
        max_record_size_in_kib: Some(stream.max_record_kib),
        record_distribution_strategy: is_on_demand.then_some(strategy),
    };
    DescribeStreamSummaryOutput { stream_description_summary }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::stream::ShardLevelMetrics;
    use crate::ops::cases;

    #[test]
    fn shards_and_consumers_are_counted() {
        let mut stream = cases::split_stream("a", 1);
        stream.consumers = vec![cases::consumer("app", 7)];
        stream.shard_level_metrics = ShardLevelMetrics(0b100_0001);
        let expected = serde_json::json!({"StreamDescriptionSummary": {
            "StreamName": "a",
            "StreamARN": "arn:aws:kinesis:us-east-1:000000000000:stream/a",
            "StreamStatus": "ACTIVE",
            "StreamModeDetails": {"StreamMode": "PROVISIONED"},
            "StreamCreationTimestamp": 1_699_996_400.0,
            "RetentionPeriodHours": 24,
            "EnhancedMonitoring": [{"ShardLevelMetrics": ["IncomingBytes", "IteratorAgeMilliseconds"]}],
            "EncryptionType": "NONE",
            "OpenShardCount": 2,
            "ConsumerCount": 1,
            "QueueCount": 0,
            "ChannelCount": 0,
            "MaxRecordSizeInKiB": 1024,
        }});
        assert_eq!(cases::json(&answer(&stream, true)), expected);
    }

    #[test]
    fn on_demand_streams_have_more_to_tell() {
        let mut stream = cases::stream("a", 4);
        (stream.mode, stream.warm_mib_per_second) = (StreamMode::OnDemand, 6);
        let described = |stream: &Stream, is_committed| {
            let answer = cases::json(&answer(stream, is_committed));
            let summary = &answer["StreamDescriptionSummary"];
            (summary["RecordDistributionStrategy"].clone(), summary.get("WarmThroughput").cloned())
        };
        let warm = serde_json::json!({"TargetMiBps": 6, "CurrentMiBps": 4});
        assert_eq!(described(&stream, false), ("USER_PARTITION_KEY".into(), None));
        assert_eq!(described(&stream, true), ("USER_PARTITION_KEY".into(), Some(warm)));
        stream.is_auto_distributed = true;
        assert_eq!(described(&stream, false), ("AUTO".into(), None));
    }
}
