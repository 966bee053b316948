//! Quotas of accounts, streams and resources, judged where a command is applied.
//!
//! The proposer writes the quotas that hold on its node into each command that could exceed one, and looks whether it
//! would. Commands that pass that look together are judged again as they are applied, one after the other: applying
//! stays a pure function of the log, and a quota holds however many calls arrive at once. Commands without quotas, as
//! logs of before have them, exceed none.

use serde::{Deserialize, Serialize};
use std::collections::BTreeSet;

use tidelog_proto::stored::{self, Quotas, meta_command::Command};

use super::stored::{read_mode, stream_key};
use crate::model::stream::{
    Catalog, Consumer, ConsumerStatus, Stream, StreamKey, StreamMode, StreamStatus, Tags,
};

/// Milliseconds for which the quotas of a day remember (AWS model, UpdateShardCount).
pub(super) const DAY_MS: u64 = 86_400_000;

/// A quota.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Quota {
    /// Shards that one change adds to a stream.
    ShardsPerChange,
    /// Open shards of an account in a region, those of changes under way included.
    Shards,
    /// Streams of an account in a region that are CREATING.
    CreatingStreams,
    /// On-demand streams of an account in a region.
    OnDemandStreams,
    /// Updates of a stream's shard count within a day.
    ShardCountUpdates,
    /// Switches of a stream's mode within a day.
    ModeSwitches,
    /// Consumers of a stream that are CREATING.
    CreatingConsumers,
    /// Consumers of a stream.
    Consumers,
    /// Tags of a stream or a consumer.
    Tags,
}

/// A quota that a command would exceed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
#[error(
    "the quota of {limit} {quota:?} would be exceeded: {present} are there, and {additional} would be added"
)]
pub struct QuotaExceeded {
    /// The quota.
    pub quota: Quota,
    /// How many there may be.
    pub limit: u32,
    /// How many there are.
    pub present: u32,
    /// How many the command would add.
    pub additional: u32,
}

/// Whether a time lies within a day before now.
pub(super) fn is_of_this_day(time_ms: u64, now_ms: u64) -> bool {
    time_ms.saturating_add(DAY_MS) > now_ms
}

/// Whether commands of this kind have quotas to keep.
pub fn may_exceed(command: &Command) -> bool {
    matches!(
        command,
        Command::BeginCreateStream(_)
            | Command::BeginReshard(_)
            | Command::ChangeStream(_)
            | Command::BeginRegisterConsumer(_)
            | Command::ChangeTags(_)
    )
}

/// Whether a command keeps the quotas that it carries.
pub fn check(command: &stored::MetaCommand, catalog: &Catalog) -> Result<(), QuotaExceeded> {
    let (Some(quotas), Some(change)) = (&command.quotas, &command.command) else { return Ok(()) };
    let judge = Judge { quotas, catalog, now_ms: command.now_ms };
    match change {
        Command::BeginCreateStream(begin) => judge.create(begin),
        Command::BeginReshard(begin) => judge.with_stream(begin.uid, |stream| judge.reshard(stream, begin)),
        Command::ChangeStream(change) => judge.with_stream(change.uid, |stream| judge.change(stream, change)),
        Command::BeginRegisterConsumer(begin) => {
            judge.with_stream(begin.stream_uid, |stream| judge.register(stream, begin))
        }
        Command::ChangeTags(change) => judge.change_tags(change),
        _ => Ok(()),
    }
}

struct Judge<'a> {
    quotas: &'a Quotas,
    catalog: &'a Catalog,
    now_ms: u64,
}

impl Judge<'_> {
    /// Judges a command about a stream; about one that is gone nothing is judged.
    fn with_stream(
        &self,
        uid: u64,
        judge: impl FnOnce(&Stream) -> Result<(), QuotaExceeded>,
    ) -> Result<(), QuotaExceeded> {
        self.catalog.by_uid(uid).map_or(Ok(()), |stream| judge(stream))
    }

    fn create(&self, begin: &stored::BeginCreateStream) -> Result<(), QuotaExceeded> {
        let Some(key) = begin.stream.as_ref().map(stream_key) else { return Ok(()) };
        if self.catalog.streams().contains_key(&key) {
            return Ok(());
        }
        let creating = self.others(&key).filter(|stream| stream.status == StreamStatus::Creating).count();
        check_one_more(Quota::CreatingStreams, self.quotas.creating_streams_max, creating)?;
        if read_mode(begin.mode()) == StreamMode::OnDemand {
            self.check_on_demand(&key)?;
        }
        check_tags(self.quotas, &Tags::new(), &[], &begin.tags)?;
        self.check_shards(&key, begin.shard_count.into())
    }

    fn reshard(&self, stream: &Stream, begin: &stored::BeginReshard) -> Result<(), QuotaExceeded> {
        if begin.is_count_update {
            let updates = self.of_this_day(&stream.shard_count_updates_ms);
            check_one_more(Quota::ShardCountUpdates, self.quotas.shard_count_updates_max, updates)?;
        }
        let parents = begin.opened.iter().flat_map(|shard| [shard.parent, shard.adjacent_parent]);
        let between: BTreeSet<u32> =
            parents.flatten().filter(|parent| *parent >= begin.first_new_shard).collect();
        let opened = (begin.opened.len() - between.len()) as u64;
        let after = (stream.routes.len() as u64 + opened).saturating_sub(begin.sealed.len() as u64);
        self.check_shards(&stream.key, after.saturating_sub(claimed(stream)))
    }

    fn change(&self, stream: &Stream, change: &stored::ChangeStream) -> Result<(), QuotaExceeded> {
        if change.mode.map(|_| read_mode(change.mode())).is_some_and(|mode| mode != stream.mode) {
            let switches = self.of_this_day(&stream.mode_switches_ms);
            check_one_more(Quota::ModeSwitches, self.quotas.mode_switches_max, switches)?;
            if read_mode(change.mode()) == StreamMode::OnDemand {
                self.check_on_demand(&stream.key)?;
            }
        }
        let warm = u64::from(change.warm_mib_per_second.unwrap_or_default());
        self.check_shards(&stream.key, warm.saturating_sub(claimed(stream)))
    }

    fn register(&self, stream: &Stream, begin: &stored::BeginRegisterConsumer) -> Result<(), QuotaExceeded> {
        if stream.status == StreamStatus::Deleting || stream.consumer(&begin.name).is_some() {
            return Ok(());
        }
        let is_committed = self.catalog.has_commitment(&stream.key, self.now_ms);
        let limit = match is_committed && stream.mode == StreamMode::OnDemand {
            true => self.quotas.committed_consumers_max,
            false => self.quotas.consumers_max,
        };
        check_one_more(Quota::Consumers, limit, stream.consumers.len())?;
        let is_creating = |consumer: &&Consumer| consumer.status == ConsumerStatus::Creating;
        let creating = stream.consumers.iter().filter(is_creating).count();
        check_one_more(Quota::CreatingConsumers, self.quotas.creating_consumers_max, creating)?;
        check_tags(self.quotas, &Tags::new(), &[], &begin.tags)
    }

    fn change_tags(&self, change: &stored::ChangeTags) -> Result<(), QuotaExceeded> {
        let resource = change.resource.unwrap_or_default();
        self.with_stream(resource.stream_uid, |stream| {
            let mut consumers = stream.consumers.iter();
            let present = match resource.consumer_uid {
                None => Some(&stream.tags),
                Some(uid) => consumers.find(|consumer| consumer.uid == uid).map(|consumer| &consumer.tags),
            };
            present.map_or(Ok(()), |present| check_tags(self.quotas, present, &change.removed, &change.set))
        })
    }

    fn of_this_day(&self, times_ms: &[u64]) -> usize {
        times_ms.iter().filter(|time_ms| is_of_this_day(**time_ms, self.now_ms)).count()
    }

    /// Streams of the key's account and region but for the key's own.
    fn others<'a>(&'a self, key: &'a StreamKey) -> impl Iterator<Item = &'a Stream> {
        let is_other = move |other: &StreamKey| {
            other.account == key.account && other.region == key.region && other != key
        };
        self.catalog.streams().values().map(|stream| &**stream).filter(move |stream| is_other(&stream.key))
    }

    fn check_on_demand(&self, key: &StreamKey) -> Result<(), QuotaExceeded> {
        let on_demand = self.others(key).filter(|stream| stream.mode == StreamMode::OnDemand).count();
        check_one_more(Quota::OnDemandStreams, self.quotas.on_demand_streams_max, on_demand)
    }

    fn check_shards(&self, key: &StreamKey, additional: u64) -> Result<(), QuotaExceeded> {
        if additional == 0 {
            return Ok(());
        }
        check_more(Quota::ShardsPerChange, self.quotas.shards_per_change_max, 0, additional)?;
        if self.quotas.shards_max.is_none() {
            return Ok(());
        }
        let own = self.catalog.streams().get(key).map_or(0, |stream| claimed(stream));
        let present = self.others(key).map(claimed).sum::<u64>() + own;
        check_more(Quota::Shards, self.quotas.shards_max, present, additional)
    }
}

/// Shards that a stream has open or is about to have: by a reshard under way, or by its warm throughput.
fn claimed(stream: &Stream) -> u64 {
    let open = stream.routes.len() as u64;
    let after = stream.reshard.as_ref().map_or(open, |reshard| {
        let opened = reshard.opened.iter().filter(|shard| shard.closed_ms.is_none()).count() as u64;
        (open + opened).saturating_sub(reshard.sealed.len() as u64)
    });
    open.max(after).max(stream.warm_mib_per_second.into())
}

fn check_one_more(quota: Quota, limit: Option<u32>, present: usize) -> Result<(), QuotaExceeded> {
    check_more(quota, limit, present as u64, 1)
}

fn check_more(quota: Quota, limit: Option<u32>, present: u64, additional: u64) -> Result<(), QuotaExceeded> {
    let Some(limit) = limit.filter(|limit| present + additional > u64::from(*limit)) else { return Ok(()) };
    let count = |count: u64| u32::try_from(count).unwrap_or(u32::MAX);
    Err(QuotaExceeded { quota, limit, present: count(present), additional: count(additional) })
}

/// Tags are removed first, and then set.
fn check_tags(quotas: &Quotas, present: &Tags, removed: &[String], set: &Tags) -> Result<(), QuotaExceeded> {
    let is_staying = |key: &&String| !removed.contains(*key) && !set.contains_key(*key);
    let staying = present.keys().filter(is_staying).count();
    if staying + set.len() <= present.len() {
        return Ok(());
    }
    check_more(Quota::Tags, quotas.tags_max, staying as u64, set.len() as u64)
}

#[cfg(test)]
mod tests;
