//! Sentences about well-formed requests that are refused, and about nodes that cannot serve them now: the faults of
//! [`super::super::refused`].

use super::invalid::tags_sentence;
use super::{full_memory, resource_words};
use crate::limits::WARM_MIB_PER_SECOND_MAX;
use crate::model::stream::StreamKey;
use crate::ops::api::Choice;
use crate::ops::fault::{InUse, InvalidTags, LimitExceeded, NotFound, ResourceName, Unavailable};
use crate::ops::stream::description;
use crate::replication::{Quota, QuotaExceeded};

pub(super) fn not_found_sentence(missing: &NotFound) -> String {
    match missing {
        NotFound::Stream(StreamKey { account, name, .. }) => {
            format!("Stream {name} under account {account} not found.")
        }
        NotFound::DeletedStream => "The stream was deleted.".to_owned(),
        NotFound::PagedStream => "The stream of the NextToken does not exist any more.".to_owned(),
        NotFound::IteratedStream(shard) => {
            format!("Shard {shard} does not exist: its stream was deleted.")
        }
        NotFound::Shard { key: StreamKey { account, name, .. }, shard } => {
            format!("Shard {shard} in stream {name} under account {account} does not exist")
        }
        NotFound::ShardText { key: StreamKey { account, name, .. }, id } => {
            format!("Could not find shard {id} in stream {name} under account {account}.")
        }
        NotFound::Consumer(StreamKey { account, name, .. }) => {
            format!("Consumer under stream {name}, account {account} not found.")
        }
        NotFound::Resource { arn } => format!("Resource {arn} not found."),
        NotFound::Policy(resource) => format!("The {} has no resource policy.", resource_words(resource)),
    }
}

pub(super) fn in_use_sentence(in_use: &InUse) -> String {
    match in_use {
        InUse::NameTaken(StreamKey { account, name, .. }) => {
            format!("Stream {name} under account {account} already exists.")
        }
        InUse::ConsumerExists { key: StreamKey { account, name, .. }, consumer } => {
            format!("Consumer {consumer} under stream {name}, account {account} already exists.")
        }
        InUse::ConsumerNotActive { key: StreamKey { account, name, .. }, consumer, created_s } => format!(
            "Consumer {consumer} with creation timestamp {created_s} under stream: {name} , account {account} is not in \
             ACTIVE status."
        ),
        InUse::SubscriptionExists { key: StreamKey { account, name, .. }, consumer } => {
            format!("Another active subscription exists for this consumer: {account}:{name}:{consumer}")
        }
        InUse::HasConsumers(StreamKey { account, name, .. }) => format!(
            "DeleteStream can't delete {account}:{name} because there are consumers associated with this data stream. To \
             delete {name} anyway, set the EnforceConsumerDeletion parameter to true to force the deletion of all the \
             consumers that are associated with it."
        ),
        InUse::Overtaken(StreamKey { account, name, .. }) => {
            format!("Stream {name} under account {account} is being changed by another request.")
        }
        InUse::NotActive { key: StreamKey { account, name, .. }, status } => {
            let status = description::status(*status).name();
            format!("Stream {name} under account {account} not ACTIVE, instead in state {status}")
        }
    }
}

pub(super) fn limit_sentence(limit: &LimitExceeded) -> String {
    match limit {
        LimitExceeded::StreamRate(StreamKey { account, name, .. }) => {
            format!("Rate exceeded for stream {name} under account {account}.")
        }
        LimitExceeded::AccountRate { account } => format!("Rate exceeded for account {account}."),
        LimitExceeded::Quota { key, exceeded } => quota_sentence(key, *exceeded),
        LimitExceeded::Metadata(full) => full.to_string(),
        LimitExceeded::WarmThroughput(mib) => {
            format!("WarmThroughputMiBps {mib} is above the limit of {WARM_MIB_PER_SECOND_MAX}.")
        }
    }
}

fn quota_sentence(key: &StreamKey, exceeded: QuotaExceeded) -> String {
    let StreamKey { account, region, name } = key;
    let QuotaExceeded { quota, limit, present, additional } = exceeded;
    let of_account = |what: &str| {
        format!(
            "This request would exceed the limit of {limit} {what} for the account {account} in {region}."
        )
    };
    match quota {
        Quota::ShardsPerChange => {
            format!("This request would add {additional} shards to stream {name}. Limit: {limit}.")
        }
        Quota::Shards => format!(
            "This request would exceed the shard limit for the account {account} in {region}. Current shard count for the \
             account: {present}. Limit: {limit}. Number of additional shards that would have resulted from this request: \
             {additional}."
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
        Quota::Tags => {
            tags_sentence(&ResourceName::Stream(key.clone()), &InvalidTags::TooMany { limit: limit as usize })
        }
    }
}

pub(super) fn unavailable_sentence(unavailable: &Unavailable) -> String {
    match unavailable {
        Unavailable::Starting(stage) => stage.clone(),
        Unavailable::Stopping => "This node is stopping; try again.".to_owned(),
        Unavailable::NoMajority => {
            "No majority of the cluster's nodes is in reach of this one now; try again.".to_owned()
        }
        Unavailable::NoSealingKey => "The cluster is starting and has no key for its tokens yet.".to_owned(),
        Unavailable::BeingCreated(key) => format!("Stream {} is being created; try again.", key.name),
        Unavailable::UnknownEnd => "The end of the shard is not known now; try again.".to_owned(),
        Unavailable::Puts(None) => "The shard cannot take the record now; try again.".to_owned(),
        Unavailable::Puts(Some(refusal)) => {
            format!("The record was not written, because {refusal}; try again.")
        }
        Unavailable::Subscriptions => {
            "This node has reached its subscription limit for the stream.".to_owned()
        }
        Unavailable::Memory(purpose) => full_memory(purpose),
        Unavailable::Service(unavailable) => unavailable.to_string(),
    }
}
