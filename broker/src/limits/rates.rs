//! How often each operation of the control plane may be called.
//!
//! Figures are those of the operations' descriptions in the service model. Where these give none, 5 per second and
//! account are taken, as for most of the others. Operations that are not here are held back by their shard's budget, or
//! not at all.

/// Whose calls are counted together; always those of one account in one region.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scope {
    /// All of the caller's account.
    Account,
    /// Those to one stream.
    Stream,
    /// Those by one consumer to one shard; the operation counts them itself.
    ConsumerAndShard,
}

/// The rate of one operation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rate {
    /// Such as `CreateStream`.
    pub operation: &'static str,
    /// Calls per second; as many may come at once.
    pub per_second: u64,
    /// Whose calls are counted together.
    pub scope: Scope,
}

const fn rate(operation: &'static str, per_second: u64, scope: Scope) -> Rate {
    Rate { operation, per_second, scope }
}

/// Every rate, by the operation's name, ascending.
#[rustfmt::skip]
pub static RATES: [Rate; 46] = [
    rate("AddTagsToStream", 5, Scope::Account),
    rate("CreateChannel", 5, Scope::Account),
    rate("CreateQueue", 5, Scope::Account), // no figure in the model
    rate("CreateStream", 5, Scope::Account),
    rate("DecreaseStreamRetentionPeriod", 5, Scope::Account), // no figure
    rate("DeleteChannel", 5, Scope::Account),
    rate("DeleteQueue", 5, Scope::Account), // no figure
    rate("DeleteResourcePolicy", 5, Scope::Account), // no figure
    rate("DeleteStream", 5, Scope::Account),
    rate("DeregisterStreamConsumer", 5, Scope::Stream),
    rate("DescribeAccountSettings", 5, Scope::Account),
    rate("DescribeChannel", 5, Scope::Account),
    rate("DescribeLimits", 1, Scope::Account),
    rate("DescribeQueue", 5, Scope::Account), // no figure
    rate("DescribeStream", 10, Scope::Account),
    rate("DescribeStreamConsumer", 20, Scope::Stream),
    rate("DescribeStreamSummary", 20, Scope::Account),
    rate("DisableEnhancedMonitoring", 5, Scope::Account), // no figure
    rate("EnableEnhancedMonitoring", 5, Scope::Account), // no figure
    rate("GetResourcePolicy", 5, Scope::Account), // no figure
    rate("IncreaseStreamRetentionPeriod", 5, Scope::Account), // no figure
    rate("ListChannels", 5, Scope::Account),
    rate("ListQueues", 5, Scope::Account), // no figure
    rate("ListShards", 1_000, Scope::Stream),
    rate("ListStreamConsumers", 5, Scope::Stream),
    rate("ListStreams", 5, Scope::Account),
    rate("ListTagsForResource", 5, Scope::Account), // no figure
    rate("ListTagsForStream", 5, Scope::Account),
    rate("MergeShards", 5, Scope::Account),
    rate("PutResourcePolicy", 5, Scope::Account), // no figure
    rate("RegisterStreamConsumer", 5, Scope::Account),
    rate("RemoveTagsFromStream", 5, Scope::Account),
    rate("SplitShard", 5, Scope::Account),
    rate("StartStreamEncryption", 5, Scope::Account), // no figure
    rate("StopStreamEncryption", 5, Scope::Account), // no figure
    rate("SubscribeToShard", 1, Scope::ConsumerAndShard),
    rate("TagResource", 5, Scope::Account), // no figure
    rate("UntagResource", 5, Scope::Account), // no figure
    rate("UpdateAccountSettings", 5, Scope::Account),
    rate("UpdateChannel", 5, Scope::Account),
    rate("UpdateMaxRecordSize", 5, Scope::Account), // no figure
    rate("UpdateQueue", 5, Scope::Account), // no figure
    rate("UpdateShardCount", 10, Scope::Account), // the model has the figure, not the scope
    rate("UpdateStreamMode", 5, Scope::Account), // no figure
    rate("UpdateStreamRecordDistributionStrategy", 5, Scope::Account), // no figure
    rate("UpdateStreamWarmThroughput", 5, Scope::Account),
];

/// The rate of the operation of that name, if it has one.
pub fn of(operation: &str) -> Option<&'static Rate> {
    RATES.binary_search_by_key(&operation, |rate| rate.operation).ok().map(|at| &RATES[at])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_rate_is_found_and_lets_a_call_pass() {
        for rate in &RATES {
            assert_eq!(of(rate.operation), Some(rate));
            assert!(rate.per_second > 0);
        }
    }
}
