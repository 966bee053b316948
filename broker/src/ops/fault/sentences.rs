//! The sentences of AWS's exceptions.
//!
//! Sentences that AWS was recorded with are AWS's own; the others are Tidelog's in the same manner.

mod invalid;
mod refused;

use super::{Fault, Feature, ResourceName, Throttled};
use crate::limits::{ITERATOR_LIFE_MS, PAGE_TOKEN_LIFE_MS};
use crate::model::stream::StreamKey;
use crate::ops::java_date;
use invalid::{argument_sentence, position_sentence, validation_sentence, wrong_type_sentence};
use refused::{in_use_sentence, limit_sentence, not_found_sentence, unavailable_sentence};

impl Fault {
    /// The sentence of AWS's exception; `None` for the two exceptions without one.
    pub(super) fn sentence(&self) -> Option<String> {
        Some(match self {
            Self::Validation(validation) => validation_sentence(validation),
            Self::InvalidArgument(argument) => argument_sentence(argument),
            Self::InvalidPosition(position) => position_sentence(position),
            Self::ResourceNotFound(missing) => not_found_sentence(missing),
            Self::ResourceInUse(in_use) => in_use_sentence(in_use),
            Self::LimitExceeded(limit) => limit_sentence(limit),
            Self::ProvisionedThroughputExceeded(throttled) => match throttled {
                Throttled::Shard { key: StreamKey { account, name, .. }, shard } => {
                    format!("Rate exceeded for shard {shard} in stream {name} under account {account}.")
                }
                Throttled::Memory(purpose) => full_memory(purpose),
            },
            Self::ExpiredIterator { issued_ms, now_ms } => {
                expired(("Iterator", "iterator"), *issued_ms, *now_ms, ITERATOR_LIFE_MS)
            }
            Self::ExpiredNextToken { issued_ms, now_ms } => {
                expired(("NextToken", "token"), *issued_ms, *now_ms, PAGE_TOKEN_LIFE_MS)
            }
            Self::EncryptionUnavailable(StreamKey { account, name, .. }) => format!(
                "Stream {name} under account {account} cannot be encrypted: encryption needs a keyring, which this Tidelog \
                 does not have."
            ),
            // AWS's sentence was not recorded; this one is Tidelog's.
            Self::DryRun => "The request would have succeeded, but the DryRun parameter is set.".to_owned(),
            Self::Unreadable | Self::UnknownOperation => return None,
            Self::Serialization(wrong) => wrong_type_sentence(wrong),
            Self::NotBuilt(feature) => not_built_sentence(*feature),
            // AWS answers 500 too; the sentence is Tidelog's.
            Self::JsonOnly => {
                "SubscribeToShard is served in JSON only: send application/x-amz-json-1.1.".to_owned()
            }
            Self::Internal => "Internal Service Failure".to_owned(),
            Self::Unavailable(unavailable) => unavailable_sentence(unavailable),
        })
    }
}

fn expired((title, noun): (&str, &str), issued_ms: u64, now_ms: u64, life_ms: u64) -> String {
    let (issued, now) = (java_date::format(issued_ms), java_date::format(now_ms));
    format!(
        "{title} expired. The {noun} was created at time {issued} while right now it is {now} which is further in the \
         future than the tolerated delay of {life_ms} milliseconds."
    )
}

fn full_memory(purpose: &str) -> String {
    format!("This node has no room for further {purpose} now; try again.")
}

fn not_built_sentence(feature: Feature) -> String {
    let features = match feature {
        Feature::Queues => "Queues",
        Feature::Channels => "Channels",
    };
    format!("{features} are not available in this version of Tidelog.")
}

/// A resource within a sentence: `stream a under account 000000000000`.
fn resource_words(name: &ResourceName) -> String {
    match name {
        ResourceName::Stream(StreamKey { account, name, .. }) => {
            format!("stream {name} under account {account}")
        }
        ResourceName::Consumer { key: StreamKey { account, name: stream, .. }, name } => {
            format!("consumer {name} of stream {stream} under account {account}")
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ops::fault::LimitExceeded;
    use crate::replication::{Quota, QuotaExceeded};

    #[test]
    fn an_expired_iterator_has_aws_words() {
        let fault = Fault::ExpiredIterator { issued_ms: 1_435_841_877_000, now_ms: 1_435_895_818_000 };
        let expected = "Iterator expired. The iterator was created at time Thu Jul 02 12:57:57 UTC 2015 while right \
                        now it is Fri Jul 03 03:56:58 UTC 2015 which is further in the future than the tolerated \
                        delay of 300000 milliseconds.";
        assert_eq!(fault.exception().text(), expected);
    }

    #[test]
    fn a_quota_of_shards_has_aws_words() {
        let key = crate::ops::cases::stream("a", 1).key;
        let exceeded = QuotaExceeded { quota: Quota::Shards, limit: 20_000, present: 19_999, additional: 2 };
        let text = "This request would exceed the shard limit for the account 000000000000 in us-east-1. Current shard \
                    count for the account: 19999. Limit: 20000. Number of additional shards that would have resulted \
                    from this request: 2.";
        let fault = Fault::LimitExceeded(LimitExceeded::Quota { key, exceeded });
        assert_eq!(fault.exception().text(), text);
    }
}
