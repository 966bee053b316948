//! How streams and shards are described, wherever they are.

use crate::model::sequence_number::SequenceNumber;
use crate::model::shard_id::ShardId;
use crate::model::stream::{HashRange, Shard, ShardLevelMetrics, Stream, StreamMode, StreamStatus};
use crate::ops::api::{self, MetricsName, Timestamp};

/// A status, as answers have it.
pub fn status(status: StreamStatus) -> api::StreamStatus {
    match status {
        StreamStatus::Creating => api::StreamStatus::Creating,
        StreamStatus::Active => api::StreamStatus::Active,
        StreamStatus::Updating => api::StreamStatus::Updating,
        StreamStatus::Deleting => api::StreamStatus::Deleting,
    }
}

/// A mode that a request asks for.
pub fn mode(mode: api::StreamMode) -> StreamMode {
    match mode {
        api::StreamMode::Provisioned => StreamMode::Provisioned,
        api::StreamMode::OnDemand => StreamMode::OnDemand,
    }
}

fn mode_details(mode: StreamMode) -> api::StreamModeDetails {
    let stream_mode = match mode {
        StreamMode::Provisioned => api::StreamMode::Provisioned,
        StreamMode::OnDemand => api::StreamMode::OnDemand,
    };
    api::StreamModeDetails { stream_mode }
}

/// The names of these metrics of a shard, in the order of the service model.
pub fn metric_names(metrics: ShardLevelMetrics) -> Vec<MetricsName> {
    let is_there = |name: &MetricsName| *name != MetricsName::All && metrics.has(metrics_named(*name));
    MetricsName::ALL.into_iter().filter(is_there).collect()
}

/// The metric of that name, or all of them.
pub fn metrics_named(name: MetricsName) -> ShardLevelMetrics {
    match name {
        MetricsName::All => ShardLevelMetrics::ALL,
        // A metric's bit is its position in the model.
        one => ShardLevelMetrics(1 << (one as u8)),
    }
}

/// The metrics of a stream's shards that are reported one by one.
pub fn enhanced_monitoring(stream: &Stream) -> Vec<api::EnhancedMetrics> {
    vec![api::EnhancedMetrics { shard_level_metrics: Some(metric_names(stream.shard_level_metrics)) }]
}

/// A stream, as ListStreams describes it. No answer has a StreamId: an SDK that is given one leaves the configured
/// endpoint.
pub fn summary(stream: &Stream) -> api::StreamSummary {
    api::StreamSummary {
        stream_name: stream.key.name.to_string(),
        stream_arn: stream.key.arn(),
        stream_status: status(stream.status),
        stream_mode_details: Some(mode_details(stream.mode)),
        stream_creation_timestamp: Some(Timestamp::from_ms(stream.created_ms)),
    }
}

/// A shard, as DescribeStream and ListShards list it. An open one has no EndingSequenceNumber.
pub fn shard(shard: &Shard) -> api::Shard {
    let starting = SequenceNumber::starting(shard.created_s, shard.index);
    let ending =
        |closed_ms| SequenceNumber::ending(shard.created_s, shard.index, closed_ms / 1_000).to_string();
    let id = |index| ShardId(index).to_string();
    api::Shard {
        shard_id: id(shard.index),
        hash_key_range: hash_range(shard.range),
        sequence_number_range: api::SequenceNumberRange {
            starting_sequence_number: starting.to_string(),
            ending_sequence_number: shard.closed_ms.map(ending),
        },
        parent_shard_id: shard.parent.map(id),
        adjacent_parent_shard_id: shard.adjacent_parent.map(id),
    }
}

/// The children of a shard, for the answer that ends it; empty while it is open.
pub fn children(stream: &Stream, parent: ShardId) -> Vec<api::ChildShard> {
    let is_parent = |shard: &&Shard| [shard.parent, shard.adjacent_parent].contains(&Some(parent.0));
    let child = |shard: &Shard| {
        let parents = shard.parent.iter().chain(&shard.adjacent_parent);
        api::ChildShard {
            shard_id: ShardId(shard.index).to_string(),
            parent_shards: parents.map(|index| ShardId(*index).to_string()).collect(),
            hash_key_range: hash_range(shard.range),
        }
    };
    stream.shards.iter().filter(is_parent).map(child).collect()
}

fn hash_range(range: HashRange) -> api::HashKeyRange {
    api::HashKeyRange { starting_hash_key: range.start.to_string(), ending_hash_key: range.end.to_string() }
}
