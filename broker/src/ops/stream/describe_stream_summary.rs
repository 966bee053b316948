//! DescribeStreamSummary: a stream and its settings, with its shards only counted.
//!
//! Errors: ResourceNotFound.

use std::sync::Arc;

use tidelog_proto::Document;

use super::description;
use crate::model::stream::{Stream, StreamMode};
use crate::ops::input::Input;
use crate::ops::{Call, Fault, Reply, target};
use crate::service::Service;

/// Describes the stream.
pub fn run(service: &Arc<Service>, call: &Call, input: &Input) -> Result<Reply, Fault> {
    let stream = target::stream(&service.catalog(), call, input)?;
    Ok(call.reply(&answer(&stream)))
}

fn answer(stream: &Stream) -> Document {
    let count = |number: usize| u32::try_from(number).unwrap_or(u32::MAX);
    let (open, consumers) = (count(stream.routes.len()), count(stream.consumers.len()));
    // Records go by their keys; the other strategy and the member exist for on-demand streams only.
    let strategy = (stream.mode == StreamMode::OnDemand).then_some("USER_PARTITION_KEY");
    let summary = description::stream_settings(stream)
        .with("OpenShardCount", Some(open))
        .with("ConsumerCount", Some(consumers))
        .with("MaxRecordSizeInKiB", Some(stream.max_record_kib))
        .with("RecordDistributionStrategy", strategy);
    Document::structure([("StreamDescriptionSummary", summary)])
}

#[cfg(test)]
mod tests {
    use tidelog_proto::json;

    use super::*;
    use crate::ops::cases;

    #[test]
    fn open_shards_are_counted() {
        let text = json::encode(&answer(&cases::split_stream("a", 1)));
        let expected = serde_json::json!({"StreamDescriptionSummary": {
            "StreamName": "a",
            "StreamARN": "arn:aws:kinesis:us-east-1:000000000000:stream/a",
            "StreamStatus": "ACTIVE",
            "StreamModeDetails": {"StreamMode": "PROVISIONED"},
            "StreamCreationTimestamp": 1_699_996_400.0,
            "RetentionPeriodHours": 24,
            "EnhancedMonitoring": [{"ShardLevelMetrics": []}],
            "EncryptionType": "NONE",
            "OpenShardCount": 2,
            "ConsumerCount": 0,
            "MaxRecordSizeInKiB": 1024,
        }});
        assert_eq!(serde_json::from_slice::<serde_json::Value>(&text).unwrap(), expected);
    }
}
