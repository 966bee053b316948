//! Request latencies by operation and outcome, with handles made once: the path of a request allocates no labels.

use std::sync::OnceLock;
use std::time::Duration;

use hyper::StatusCode;
use metrics::Histogram;

use crate::observability::REQUEST_SECONDS;

/// Every operation of the service model of 2013-12-02, and every call of the gRPC API, in order of name. Any other target is counted as `unknown`.
const OPERATIONS: [&str; 80] = [
    "AcknowledgeDeadLetterQueueRecords",
    "AcknowledgeQueueRecords",
    "AddTagsToStream",
    "CreateChannel",
    "CreateQueue",
    "CreateStream",
    "DecreaseStreamRetentionPeriod",
    "DeleteChannel",
    "DeleteQueue",
    "DeleteResourcePolicy",
    "DeleteStream",
    "DeregisterStreamConsumer",
    "DescribeAccountSettings",
    "DescribeChannel",
    "DescribeLimits",
    "DescribeQueue",
    "DescribeStream",
    "DescribeStreamConsumer",
    "DescribeStreamSummary",
    "DisableEnhancedMonitoring",
    "EnableEnhancedMonitoring",
    "GetRecords",
    "GetResourcePolicy",
    "GetShardIterator",
    "IncreaseStreamRetentionPeriod",
    "ListChannels",
    "ListQueues",
    "ListShards",
    "ListStreamConsumers",
    "ListStreams",
    "ListTagsForResource",
    "ListTagsForStream",
    "MergeShards",
    "PutRecord",
    "PutRecords",
    "PutResourcePolicy",
    "ReceiveDeadLetterQueueRecords",
    "ReceiveQueueRecords",
    "RegisterStreamConsumer",
    "RemoveTagsFromStream",
    "RestoreDeadLetterQueueRecords",
    "SplitShard",
    "StartStreamEncryption",
    "StopStreamEncryption",
    "SubscribeToShard",
    "TagResource",
    "UntagResource",
    "UpdateAccountSettings",
    "UpdateChannel",
    "UpdateDeadLetterQueueRecordsVisibility",
    "UpdateMaxRecordSize",
    "UpdateQueue",
    "UpdateQueueRecordsVisibility",
    "UpdateShardCount",
    "UpdateStreamMode",
    "UpdateStreamRecordDistributionStrategy",
    "UpdateStreamWarmThroughput",
    "tidelog.v1.Cluster/ClusterStatus",
    "tidelog.v1.Groups/Checkpoint",
    "tidelog.v1.Groups/DeleteGroup",
    "tidelog.v1.Groups/DescribeGroup",
    "tidelog.v1.Groups/Join",
    "tidelog.v1.Groups/Leave",
    "tidelog.v1.Groups/ListGroups",
    "tidelog.v1.Groups/ResetGroup",
    "tidelog.v1.Groups/Sync",
    "tidelog.v1.Records/Put",
    "tidelog.v1.Records/PutStream",
    "tidelog.v1.Records/Read",
    "tidelog.v1.Records/Subscribe",
    "tidelog.v1.Streams/CreateStream",
    "tidelog.v1.Streams/DeleteStream",
    "tidelog.v1.Streams/DescribeStream",
    "tidelog.v1.Streams/ListShards",
    "tidelog.v1.Streams/ListStreams",
    "tidelog.v1.Streams/MergeShards",
    "tidelog.v1.Streams/SetMode",
    "tidelog.v1.Streams/SetRetention",
    "tidelog.v1.Streams/SplitShard",
    "tidelog.v1.Streams/UpdateShardCount",
];
const UNKNOWN: &str = "unknown";
/// Values of the label `outcome`: 2xx, 4xx, 5xx.
const OUTCOMES: [&str; 3] = ["ok", "client_fault", "server_fault"];

/// Operations that are on the page of metrics before they are called: those whose latencies CloudWatch has too.
const FROM_THE_START: [&str; 3] = ["GetRecords", "PutRecord", "PutRecords"];

/// One operation's histograms. All of them are made when the first is recorded to, so that `/metrics` lists what was called,
/// and an alarm on failures sees the step from 0 to 1.
#[derive(Debug, Default)]
pub(super) struct OperationTiming {
    name: &'static str,
    by_outcome: OnceLock<[Histogram; OUTCOMES.len()]>,
}

/// All operations' histograms.
#[derive(Debug)]
pub(super) struct Timing {
    /// In the order of [`OPERATIONS`].
    known: [OperationTiming; OPERATIONS.len()],
    unknown: OperationTiming,
}

impl Default for Timing {
    fn default() -> Self {
        let named = |name| OperationTiming { name, ..OperationTiming::default() };
        let timing = Self { known: OPERATIONS.map(named), unknown: named(UNKNOWN) };
        for operation in FROM_THE_START {
            timing.of(operation).histograms();
        }
        timing
    }
}

impl Timing {
    /// The histograms of `operation`.
    pub(super) fn of(&self, operation: &str) -> &OperationTiming {
        OPERATIONS.binary_search(&operation).map_or(&self.unknown, |at| &self.known[at])
    }
}

impl OperationTiming {
    /// Counts one request.
    pub(super) fn record(&self, status: StatusCode, elapsed: Duration) {
        let outcome = match status.as_u16() {
            500.. => 2,
            400.. => 1,
            _ => 0,
        };
        self.histograms()[outcome].record(elapsed);
    }

    fn histograms(&self) -> &[Histogram; OUTCOMES.len()] {
        self.by_outcome.get_or_init(|| {
            OUTCOMES.map(|outcome| {
                metrics::histogram!(REQUEST_SECONDS, "operation" => self.name, "outcome" => outcome)
            })
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn operations_are_found_by_name_and_all_else_is_one_label() {
        assert!(OPERATIONS.is_sorted());
        let timing = Timing::default();
        for name in OPERATIONS {
            assert_eq!(timing.of(name).name, name);
        }
        assert_eq!(timing.of("ListStreams2").name, UNKNOWN);
        assert_eq!(timing.of("").name, UNKNOWN);
    }
}
