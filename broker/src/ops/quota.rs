//! Words for quotas that a call would exceed.

use super::Fault;
use super::resource::stream_words;
use super::tag::rules::too_many;
use crate::model::stream::StreamKey;
use crate::replication::{Quota, QuotaExceeded};

/// The fault of a call about that stream.
pub fn exceeded(exceeded: QuotaExceeded, key: &StreamKey) -> Fault {
    let QuotaExceeded { quota, limit, present, additional } = exceeded;
    let StreamKey { account, region, name } = key;
    let of_account = |what: &str| {
        format!(
            "This request would exceed the limit of {limit} {what} for the account {account} in {region}."
        )
    };
    Fault::LimitExceeded(match quota {
        Quota::ShardsPerChange => {
            format!("This request would add {additional} shards to stream {name}. Limit: {limit}.")
        }
        Quota::Shards => format!(
            "This request would exceed the shard limit for the account {account} in {region}. Current shard count for \
             the account: {present}. Limit: {limit}. Number of additional shards that would have resulted from this \
             request: {additional}."
        ),
        Quota::CreatingStreams => of_account("streams in the CREATING state"),
        Quota::OnDemandStreams => of_account("on-demand streams"),
        Quota::ShardCountUpdates => format!(
            "Stream {name} under account {account} was scaled {present} times within 24 hours. Limit: {limit}."
        ),
        Quota::ModeSwitches => format!(
            "The mode of stream {name} under account {account} was switched {present} times within 24 hours. Limit: \
             {limit}."
        ),
        Quota::Consumers => {
            format!("Stream {name} under account {account} has its {limit} consumers already.")
        }
        Quota::CreatingConsumers => {
            format!("Stream {name} under account {account} has {limit} consumers in status CREATING already.")
        }
        Quota::Tags => return too_many(&stream_words(key), limit as usize),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ops::cases;

    #[test]
    fn shards_are_told_in_aws_words() {
        let found = QuotaExceeded { quota: Quota::Shards, limit: 20_000, present: 19_999, additional: 2 };
        let text = "This request would exceed the shard limit for the account 000000000000 in us-east-1. Current shard \
                    count for the account: 19999. Limit: 20000. Number of additional shards that would have resulted \
                    from this request: 2.";
        assert_eq!(exceeded(found, &cases::stream("a", 1).key), Fault::LimitExceeded(text.to_owned()));
    }
}
