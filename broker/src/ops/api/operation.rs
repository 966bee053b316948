//! The table of operations: where each runs, whether it needs a leader, and how often it may be called.
//!
//! Figures of rates are those of the operations' descriptions in the service model. Where these give none, 5 per
//! second and account are taken, as for most of the others. Operations without a rate are bounded by their shard's
//! budget; queue operations have a throttling exception of their own.

use super::Operation;
use crate::limits::rates::Scope::{Account, ConsumerAndShard, Stream};
use crate::limits::rates::{Rate, rate};
use crate::ops::fault::Feature;

use Feature::{Channels, Queues};
use RunsOn::{AnyNode, MetadataLeader, ShardLeader};
use State::{Built, NotBuilt};
use WithoutLeader::{AnswersHere, Refuses};

/// The row of one operation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Properties {
    /// Whether this version has the operation.
    pub state: State,
    /// The node that runs it.
    pub runs_on: RunsOn,
    /// How the node answers while that leader is out of reach.
    pub without_leader: WithoutLeader,
    /// How often it may be called; `None` without a rate of its own.
    pub rate: Option<Rate>,
}

/// Whether this version has an operation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum State {
    /// The operation can be called.
    Built,
    /// Requests are validated and then refused: this version lacks the feature.
    NotBuilt(Feature),
}

/// The node that runs an operation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RunsOn {
    /// The leader of the metadata group.
    MetadataLeader,
    /// The leader of the group that has the shard.
    ShardLeader,
    /// The node that is asked; it sends each record to the leader of its shard's group.
    AnyNode,
}

/// How a node answers a call while the leader that runs it is out of reach.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WithoutLeader {
    /// The node answers from its applied state.
    AnswersHere,
    /// The call is refused with an error that clients retry.
    Refuses,
}

const fn row(state: State, runs_on: RunsOn, without_leader: WithoutLeader, rate: Option<Rate>) -> Properties {
    Properties { state, runs_on, without_leader, rate }
}

impl Operation {
    /// The operation's row.
    #[must_use]
    #[rustfmt::skip]
    pub const fn properties(self) -> Properties {
        match self {
            Self::AcknowledgeDeadLetterQueueRecords => row(NotBuilt(Queues), MetadataLeader, Refuses, None),
            Self::AcknowledgeQueueRecords => row(NotBuilt(Queues), MetadataLeader, Refuses, None),
            Self::AddTagsToStream => row(Built, MetadataLeader, Refuses, Some(rate(5, Account))),
            Self::CreateChannel => row(NotBuilt(Channels), MetadataLeader, Refuses, Some(rate(5, Account))),
            Self::CreateQueue => row(NotBuilt(Queues), MetadataLeader, Refuses, Some(rate(5, Account))), // no figure in the model
            Self::CreateStream => row(Built, MetadataLeader, Refuses, Some(rate(5, Account))),
            Self::DecreaseStreamRetentionPeriod => row(Built, MetadataLeader, Refuses, Some(rate(5, Account))), // no figure
            Self::DeleteChannel => row(NotBuilt(Channels), MetadataLeader, Refuses, Some(rate(5, Account))),
            Self::DeleteQueue => row(NotBuilt(Queues), MetadataLeader, Refuses, Some(rate(5, Account))), // no figure
            Self::DeleteResourcePolicy => row(Built, MetadataLeader, Refuses, Some(rate(5, Account))), // no figure
            Self::DeleteStream => row(Built, MetadataLeader, Refuses, Some(rate(5, Account))),
            Self::DeregisterStreamConsumer => row(Built, MetadataLeader, Refuses, Some(rate(5, Stream))),
            Self::DescribeAccountSettings => row(Built, MetadataLeader, AnswersHere, Some(rate(5, Account))),
            Self::DescribeChannel => row(NotBuilt(Channels), MetadataLeader, AnswersHere, Some(rate(5, Account))),
            Self::DescribeLimits => row(Built, MetadataLeader, AnswersHere, Some(rate(1, Account))),
            Self::DescribeQueue => row(NotBuilt(Queues), MetadataLeader, AnswersHere, Some(rate(5, Account))), // no figure
            Self::DescribeStream => row(Built, MetadataLeader, AnswersHere, Some(rate(10, Account))),
            Self::DescribeStreamConsumer => row(Built, MetadataLeader, AnswersHere, Some(rate(20, Stream))),
            Self::DescribeStreamSummary => row(Built, MetadataLeader, AnswersHere, Some(rate(20, Account))),
            Self::DisableEnhancedMonitoring => row(Built, MetadataLeader, Refuses, Some(rate(5, Account))), // no figure
            Self::EnableEnhancedMonitoring => row(Built, MetadataLeader, Refuses, Some(rate(5, Account))), // no figure
            Self::GetRecords => row(Built, ShardLeader, AnswersHere, None),
            Self::GetResourcePolicy => row(Built, MetadataLeader, AnswersHere, Some(rate(5, Account))), // no figure
            Self::GetShardIterator => row(Built, ShardLeader, AnswersHere, None),
            Self::IncreaseStreamRetentionPeriod => row(Built, MetadataLeader, Refuses, Some(rate(5, Account))), // no figure
            Self::ListChannels => row(NotBuilt(Channels), MetadataLeader, AnswersHere, Some(rate(5, Account))),
            Self::ListQueues => row(NotBuilt(Queues), MetadataLeader, AnswersHere, Some(rate(5, Account))), // no figure
            Self::ListShards => row(Built, MetadataLeader, AnswersHere, Some(rate(1_000, Stream))),
            Self::ListStreamConsumers => row(Built, MetadataLeader, AnswersHere, Some(rate(5, Stream))),
            Self::ListStreams => row(Built, MetadataLeader, AnswersHere, Some(rate(5, Account))),
            Self::ListTagsForResource => row(Built, MetadataLeader, AnswersHere, Some(rate(5, Account))), // no figure
            Self::ListTagsForStream => row(Built, MetadataLeader, AnswersHere, Some(rate(5, Account))),
            Self::MergeShards => row(Built, MetadataLeader, Refuses, Some(rate(5, Account))),
            Self::PutRecord => row(Built, AnyNode, Refuses, None),
            Self::PutRecords => row(Built, AnyNode, Refuses, None),
            Self::PutResourcePolicy => row(Built, MetadataLeader, Refuses, Some(rate(5, Account))), // no figure
            Self::ReceiveDeadLetterQueueRecords => row(NotBuilt(Queues), MetadataLeader, Refuses, None),
            Self::ReceiveQueueRecords => row(NotBuilt(Queues), MetadataLeader, Refuses, None),
            Self::RegisterStreamConsumer => row(Built, MetadataLeader, Refuses, Some(rate(5, Account))),
            Self::RemoveTagsFromStream => row(Built, MetadataLeader, Refuses, Some(rate(5, Account))),
            Self::RestoreDeadLetterQueueRecords => row(NotBuilt(Queues), MetadataLeader, Refuses, None),
            Self::SplitShard => row(Built, MetadataLeader, Refuses, Some(rate(5, Account))),
            Self::StartStreamEncryption => row(Built, MetadataLeader, Refuses, Some(rate(5, Account))), // no figure
            Self::StopStreamEncryption => row(Built, MetadataLeader, Refuses, Some(rate(5, Account))), // no figure
            Self::SubscribeToShard => row(Built, ShardLeader, Refuses, Some(rate(1, ConsumerAndShard))),
            Self::TagResource => row(Built, MetadataLeader, Refuses, Some(rate(5, Account))), // no figure
            Self::UntagResource => row(Built, MetadataLeader, Refuses, Some(rate(5, Account))), // no figure
            Self::UpdateAccountSettings => row(Built, MetadataLeader, Refuses, Some(rate(5, Account))),
            Self::UpdateChannel => row(NotBuilt(Channels), MetadataLeader, Refuses, Some(rate(5, Account))),
            Self::UpdateDeadLetterQueueRecordsVisibility => row(NotBuilt(Queues), MetadataLeader, Refuses, None),
            Self::UpdateMaxRecordSize => row(Built, MetadataLeader, Refuses, Some(rate(5, Account))), // no figure
            Self::UpdateQueue => row(NotBuilt(Queues), MetadataLeader, Refuses, Some(rate(5, Account))), // no figure
            Self::UpdateQueueRecordsVisibility => row(NotBuilt(Queues), MetadataLeader, Refuses, None),
            Self::UpdateShardCount => row(Built, MetadataLeader, Refuses, Some(rate(10, Account))), // the model has the figure, not the scope
            Self::UpdateStreamMode => row(Built, MetadataLeader, Refuses, Some(rate(5, Account))), // no figure
            Self::UpdateStreamRecordDistributionStrategy => row(Built, MetadataLeader, Refuses, Some(rate(5, Account))), // no figure
            Self::UpdateStreamWarmThroughput => row(Built, MetadataLeader, Refuses, Some(rate(5, Account))),
        }
    }

    /// The feature that this version lacks, for an operation that is not built.
    ///
    /// # Panics
    /// For one that is.
    pub(in crate::ops) fn missing_feature(self) -> Feature {
        match self.properties().state {
            NotBuilt(feature) => feature,
            Built => panic!("{} is built", self.name()),
        }
    }

    /// Whether clients recognize a throttle: ProvisionedThroughputExceededException is among the operation's errors
    /// in the service model.
    #[must_use]
    pub fn may_be_throttled(self) -> bool {
        self.errors().contains(&"ProvisionedThroughputExceededException")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_operation_without_a_rate_has_a_budget_or_another_exception() {
        let without = Operation::ALL.into_iter().filter(|operation| operation.properties().rate.is_none());
        for operation in without {
            let is_of_queue = operation.errors().contains(&"ThrottlingException");
            assert!(operation.may_be_throttled() || is_of_queue, "{operation:?}");
        }
    }

    #[test]
    fn missing_operations_name_their_feature() {
        let missing = |feature| {
            let lacks = |operation: &Operation| operation.properties().state == NotBuilt(feature);
            Operation::ALL.into_iter().filter(lacks).map(Operation::name).collect::<Vec<_>>()
        };
        let (queues, channels) = (missing(Queues), missing(Channels));
        assert_eq!((queues.len(), channels.len()), (12, 5));
        assert!(queues.iter().all(|name| name.contains("Queue")), "{queues:?}");
        assert!(channels.iter().all(|name| name.contains("Channel")), "{channels:?}");
    }

    #[test]
    fn operations_that_are_throttled_are_the_ones_with_a_budget() {
        let throttled = Operation::ALL.into_iter().filter(|operation| operation.may_be_throttled());
        let names: Vec<_> = throttled.map(Operation::name).collect();
        assert_eq!(names, ["GetRecords", "GetShardIterator", "PutRecord", "PutRecords"]);
    }

    #[test]
    fn every_rate_lets_a_call_pass() {
        for operation in Operation::ALL {
            assert!(operation.properties().rate.is_none_or(|rate| rate.per_second > 0), "{operation:?}");
        }
    }
}
