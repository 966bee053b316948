//! How streams and shards are described, wherever they are.

use tidelog_proto::Document;

use crate::model::sequence_number::SequenceNumber;
use crate::model::shard_id::ShardId;
use crate::model::stream::{HashRange, Shard, ShardLevelMetrics, Stream, StreamMode, StreamStatus};

/// AWS's name of a status.
pub fn status_name(status: StreamStatus) -> &'static str {
    match status {
        StreamStatus::Creating => "CREATING",
        StreamStatus::Active => "ACTIVE",
        StreamStatus::Updating => "UPDATING",
        StreamStatus::Deleting => "DELETING",
    }
}

/// AWS's name of a mode.
pub fn mode_name(mode: StreamMode) -> &'static str {
    match mode {
        StreamMode::Provisioned => "PROVISIONED",
        StreamMode::OnDemand => "ON_DEMAND",
    }
}

/// AWS's names of the metrics of a shard, in the order of the service model.
const METRIC_NAMES: [&str; 7] = [
    "IncomingBytes",
    "IncomingRecords",
    "OutgoingBytes",
    "OutgoingRecords",
    "WriteProvisionedThroughputExceeded",
    "ReadProvisionedThroughputExceeded",
    "IteratorAgeMilliseconds",
];

/// AWS's names of these metrics.
pub fn metric_names(metrics: ShardLevelMetrics) -> Vec<Document> {
    let is_there = |name: &&&str| metrics.has(metrics_named(name));
    METRIC_NAMES.iter().filter(is_there).map(|name| (*name).into()).collect()
}

/// The metric of that name; all of them for `ALL`, which is the only other name of the service model.
pub fn metrics_named(name: &str) -> ShardLevelMetrics {
    let position = METRIC_NAMES.iter().position(|own| *own == name);
    position.map_or(ShardLevelMetrics::ALL, |position| ShardLevelMetrics(1 << position))
}

/// Milliseconds since the epoch.
pub fn timestamp(time_ms: u64) -> Document {
    Document::Timestamp(i64::try_from(time_ms).unwrap_or(i64::MAX))
}

/// What ListStreams, DescribeStream and DescribeStreamSummary all tell. A StreamId is never among it: an SDK that
/// is given one leaves the configured endpoint.
pub fn stream_members(stream: &Stream) -> Document {
    let mode = Document::structure([("StreamMode", mode_name(stream.mode).into())]);
    Document::structure([
        ("StreamName", (*stream.key.name).into()),
        ("StreamARN", stream.key.arn().into()),
        ("StreamStatus", status_name(stream.status).into()),
        ("StreamModeDetails", mode),
        ("StreamCreationTimestamp", timestamp(stream.created_ms)),
    ])
}

/// What DescribeStream and DescribeStreamSummary tell beyond that.
pub fn stream_settings(stream: &Stream) -> Document {
    let names = metric_names(stream.shard_level_metrics);
    let metrics = Document::structure([("ShardLevelMetrics", names.into())]);
    stream_members(stream)
        .with("RetentionPeriodHours", Some(stream.retention_hours))
        .with("EnhancedMonitoring", Some(vec![metrics]))
        .with("EncryptionType", Some("NONE"))
}

/// A shard, as DescribeStream and ListShards list it. An open one has no EndingSequenceNumber.
pub fn shard(shard: &Shard) -> Document {
    let starting = SequenceNumber::starting(shard.created_s, shard.index).to_string();
    let ending =
        |closed_ms| SequenceNumber::ending(shard.created_s, shard.index, closed_ms / 1_000).to_string();
    let numbers = Document::structure([("StartingSequenceNumber", starting.into())])
        .with("EndingSequenceNumber", shard.closed_ms.map(ending));
    let id = |index| ShardId(index).to_string();
    Document::structure([
        ("ShardId", id(shard.index).into()),
        ("HashKeyRange", hash_range(shard.range)),
        ("SequenceNumberRange", numbers),
    ])
    .with("ParentShardId", shard.parent.map(id))
    .with("AdjacentParentShardId", shard.adjacent_parent.map(id))
}

/// The children of a shard, as a read that came to its end tells them; empty while it is open.
pub fn children(stream: &Stream, parent: ShardId) -> Vec<Document> {
    let is_parent = |shard: &&Shard| [shard.parent, shard.adjacent_parent].contains(&Some(parent.0));
    let child = |shard: &Shard| {
        let parents = shard.parent.iter().chain(&shard.adjacent_parent);
        let parents = parents.map(|index| ShardId(*index).to_string().into()).collect::<Vec<Document>>();
        Document::structure([
            ("ShardId", ShardId(shard.index).to_string().into()),
            ("ParentShards", parents.into()),
            ("HashKeyRange", hash_range(shard.range)),
        ])
    };
    stream.shards.iter().filter(is_parent).map(child).collect()
}

fn hash_range(range: HashRange) -> Document {
    Document::structure([
        ("StartingHashKey", range.start.to_string().into()),
        ("EndingHashKey", range.end.to_string().into()),
    ])
}
