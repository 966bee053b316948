//! How large the metadata of a cluster may grow, judged where it is applied.
//!
//! The proposer writes the bounds into each command, so that applying it stays a pure function of the log: all
//! replicas judge alike, whatever their versions and settings are. Commands of before there were bounds have none.
//! The count is an upper bound of the bytes that a checkpoint stores, because the state of a group has to fit one
//! message between nodes. Accounts share streams and shards: no account has more of them than are left for all
//! others.

use serde::{Deserialize, Serialize};
use tidelog_proto::stored::{self, MetadataBounds, group_command::Change, meta_command::Command};

use super::stored::stream_key;
use crate::model::consumer_group::{ConsumerGroup, ConsumerGroups};
use crate::model::stream::{AccountRegion, Catalog, Consumer, Stream, Tags};

/// Bytes around the names of a stream, a consumer, a consumer group or a commitment.
const ROW_BYTES: u64 = 96;
/// Bytes around a tag's key and value, or a policy.
const TEXT_BYTES: u64 = 12;
/// Bytes of a shard of a stream, or of a consumer group.
const SHARD_BYTES: u64 = 96;
/// Bytes of a time or an index.
const NUMBER_BYTES: u64 = 11;
/// Bytes of a member of a consumer group, with the longest name.
const MEMBER_BYTES: u64 = 4 * 256 + 32;

/// Why the metadata does not grow.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error, Serialize, Deserialize)]
pub enum MetadataFull {
    /// The cluster has so many streams.
    #[error("This request would exceed the limit of {0} streams of the cluster.")]
    Streams(u64),
    /// The cluster has so many shards, listed or about to be.
    #[error(
        "This request would exceed the limit of {0} shards of the cluster. Closed shards count until their records have \
         expired."
    )]
    Shards(u64),
    /// The metadata takes so many bytes.
    #[error("This request would exceed the limit of {0} bytes of metadata of the cluster.")]
    Bytes(u64),
    /// An account has its share of that many streams or shards.
    #[error(
        "This request would give the account more than it leaves for all others of the {0} streams or shards that the \
         cluster may have."
    )]
    Share(u64),
}

/// Numbers of streams, shards and bytes: the present ones, or the ones that a command adds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct MetadataSize {
    /// Streams.
    pub streams: u64,
    /// Their shards, and those of changes that are under way.
    pub shards: u64,
    /// Bytes as a checkpoint stores them, at most.
    pub bytes: u64,
}

impl MetadataSize {
    /// The size of one stream.
    pub fn of(stream: &Stream) -> Self {
        let of_reshard = stream.reshard.as_ref().map_or((0, 0), |own| (own.opened.len(), own.sealed.len()));
        let shards = (stream.shards.len() + of_reshard.0) as u64;
        let key = &stream.key;
        let numbers = of_reshard.1 + stream.shard_count_updates_ms.len() + stream.mode_switches_ms.len();
        let consumers: u64 = stream.consumers.iter().map(consumer_bytes).sum();
        let bytes = ROW_BYTES
            + (key.account.len() + key.region.len() + key.name.len()) as u64
            + tag_bytes(&stream.tags)
            + text_bytes(stream.policy.as_deref())
            + consumers
            + shards * SHARD_BYTES
            + numbers as u64 * NUMBER_BYTES;
        Self { streams: 1, shards, bytes }
    }

    /// This and another.
    #[must_use]
    pub fn plus(self, other: Self) -> Self {
        Self {
            streams: self.streams + other.streams,
            shards: self.shards + other.shards,
            bytes: self.bytes + other.bytes,
        }
    }

    /// This without another that is part of it.
    #[must_use]
    pub fn minus(self, other: Self) -> Self {
        Self {
            streams: self.streams - other.streams,
            shards: self.shards - other.shards,
            bytes: self.bytes - other.bytes,
        }
    }
}

fn tag_bytes(tags: &Tags) -> u64 {
    tags.iter().map(|(key, value)| (key.len() + value.len()) as u64 + TEXT_BYTES).sum()
}

fn text_bytes(text: Option<&str>) -> u64 {
    text.map_or(0, |text| text.len() as u64 + TEXT_BYTES)
}

fn consumer_bytes(consumer: &Consumer) -> u64 {
    let policy = text_bytes(consumer.policy.as_deref());
    ROW_BYTES + consumer.name.len() as u64 + tag_bytes(&consumer.tags) + policy
}

fn group_bytes(name: &str, members: usize, shards: usize) -> u64 {
    ROW_BYTES + name.len() as u64 + members as u64 * MEMBER_BYTES + shards as u64 * SHARD_BYTES
}

/// Bytes of everything but streams.
fn other_bytes(catalog: &Catalog, groups: &ConsumerGroups) -> u64 {
    let of_group = |(_, name, group): (u64, &std::sync::Arc<str>, &ConsumerGroup)| {
        group_bytes(name, group.members.len(), group.shards.len())
    };
    let of_commitment = |(account, region): &AccountRegion| ROW_BYTES + (account.len() + region.len()) as u64;
    let groups: u64 = groups.iter().map(of_group).sum();
    groups + catalog.commitments.keys().map(of_commitment).sum::<u64>()
}

/// Why a command is not applied that would have the metadata grow beyond its bounds; `streams` is the count of all
/// streams together.
pub fn check(
    command: &stored::MetaCommand,
    catalog: &Catalog,
    groups: &ConsumerGroups,
    streams: MetadataSize,
) -> Result<(), MetadataFull> {
    let (Some(bounds), Some(change)) = (&command.bounds, &command.command) else { return Ok(()) };
    let Some((growth, account)) = growth(change, catalog, groups) else { return Ok(()) };
    let MetadataBounds { streams_max, shards_max, bytes_max } = *bounds;
    let after = streams.plus(growth);
    if growth.streams > 0 && after.streams > streams_max {
        return Err(MetadataFull::Streams(streams_max));
    }
    if growth.shards > 0 && after.shards > shards_max {
        return Err(MetadataFull::Shards(shards_max));
    }
    if after.bytes + other_bytes(catalog, groups) > bytes_max {
        return Err(MetadataFull::Bytes(bytes_max));
    }
    if growth.shards == 0 {
        return Ok(());
    }
    let of_account = catalog.streams().iter().filter(|(key, _)| *key.account == *account);
    let own = of_account.map(|(_, stream)| MetadataSize::of(stream)).fold(growth, MetadataSize::plus);
    let has_its_share = |own: u64, total: u64, bound: u64| own > (bound - total).max(1);
    if growth.streams > 0 && has_its_share(own.streams, after.streams, streams_max) {
        return Err(MetadataFull::Share(streams_max));
    }
    if has_its_share(own.shards, after.shards, shards_max) {
        return Err(MetadataFull::Share(shards_max));
    }
    Ok(())
}

/// The size that a command adds, and the account; `None` for a command that adds nothing worth counting.
fn growth(command: &Command, catalog: &Catalog, groups: &ConsumerGroups) -> Option<(MetadataSize, String)> {
    let bytes_only = |bytes| Some((MetadataSize { bytes, ..MetadataSize::default() }, String::new()));
    match command {
        Command::BeginCreateStream(begin) => {
            let name = begin.stream.as_ref()?;
            if catalog.streams().contains_key(&stream_key(name)) {
                return None;
            }
            let names = (name.account.len() + name.region.len() + name.name.len()) as u64;
            let shards = u64::from(begin.shard_count);
            let bytes = ROW_BYTES + names + tag_bytes(&begin.tags) + shards * SHARD_BYTES;
            Some((MetadataSize { streams: 1, shards, bytes }, name.account.clone()))
        }
        Command::BeginReshard(begin) => {
            let stream = catalog.by_uid(begin.uid)?;
            let shards = begin.opened.len() as u64;
            // The plan, and then the shards, of the stream and of each of its groups.
            let copies = 1 + groups.of_stream(begin.uid).count() as u64;
            let bytes = shards * SHARD_BYTES * copies + begin.sealed.len() as u64 * NUMBER_BYTES;
            Some((MetadataSize { streams: 0, shards, bytes }, stream.key.account.to_string()))
        }
        Command::BeginRegisterConsumer(begin) => {
            bytes_only(ROW_BYTES + begin.name.len() as u64 + tag_bytes(&begin.tags))
        }
        Command::ChangeTags(change) if !change.set.is_empty() => bytes_only(tag_bytes(&change.set)),
        Command::SetPolicy(set) if set.policy.is_some() => bytes_only(text_bytes(set.policy.as_deref())),
        Command::SetCommitment(set) if set.is_enabled => {
            bytes_only(ROW_BYTES + (set.account.len() + set.region.len()) as u64)
        }
        Command::ConsumerGroup(command) => match &command.change {
            Some(Change::Join(_)) if groups.get(command.stream_uid, &command.name).is_some() => {
                bytes_only(MEMBER_BYTES)
            }
            Some(Change::Join(_)) => {
                let shards = catalog.by_uid(command.stream_uid)?.shards.len();
                bytes_only(group_bytes(&command.name, 1, shards))
            }
            _ => None,
        },
        _ => None,
    }
}

#[cfg(test)]
mod tests;
