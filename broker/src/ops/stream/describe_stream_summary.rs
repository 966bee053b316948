//! DescribeStreamSummary: a stream and its settings, with its shards only counted.
//!
//! Errors: ResourceNotFound.

use std::sync::Arc;

use tidelog_proto::Document;

use super::description;
use crate::model::stream::{Stream, StreamMode};
use crate::ops::input::Input;
use crate::ops::settings::warm_throughput;
use crate::ops::{Call, Fault, Reply, target};
use crate::service::Service;

/// Describes the stream.
pub fn run(service: &Arc<Service>, call: &Call, input: &Input) -> Result<Reply, Fault> {
    let catalog = service.catalog();
    let stream = target::stream(&catalog, call, input)?;
    let is_committed = catalog.has_commitment(&stream.key, service.now_ms());
    Ok(call.reply(&answer(&stream, is_committed)))
}

/// The answer, with warm throughput where there is a commitment.
pub fn answer(stream: &Stream, is_committed: bool) -> Document {
    let count = |number: usize| u32::try_from(number).unwrap_or(u32::MAX);
    // The strategy exists for on-demand streams only, and warm throughput takes the commitment as well.
    let is_on_demand = stream.mode == StreamMode::OnDemand;
    let strategy = if stream.is_auto_distributed { "AUTO" } else { "USER_PARTITION_KEY" };
    let warm =
        (is_on_demand && is_committed).then(|| warm_throughput::describe(stream, stream.warm_mib_per_second));
    let summary = description::stream_settings(stream)
        .with("OpenShardCount", Some(count(stream.routes.len())))
        .with("ConsumerCount", Some(count(stream.consumers.len())))
        // Queues and channels cannot be created yet.
        .with("QueueCount", Some(0u32))
        .with("ChannelCount", Some(0u32))
        .with("WarmThroughput", warm)
        .with("MaxRecordSizeInKiB", Some(stream.max_record_kib))
        .with("RecordDistributionStrategy", is_on_demand.then_some(strategy));
    Document::structure([("StreamDescriptionSummary", summary)])
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
