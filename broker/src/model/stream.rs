//! Streams and shards as the metadata group knows them: an immutable value that readers share.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::life::Life;

/// The name of a stream inside its account and region. Ordered as ListStreams lists.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct StreamKey {
    /// 12 digits.
    pub account: Arc<str>,
    /// Such as `us-east-1`.
    pub region: Arc<str>,
    /// 1 to 128 of `[a-zA-Z0-9_.-]` (AWS model, StreamName).
    pub name: Arc<str>,
}

/// Life of a stream (AWS model, StreamStatus).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum StreamStatus {
    /// The shards of the stream are being opened: it is described, but takes no records yet.
    Creating,
    /// Takes and gives records.
    Active,
    /// Shards or settings change; the stream takes and gives records, like an active one.
    Updating,
    /// Takes and gives nothing; its data is being removed.
    Deleting,
}

/// How a stream's capacity is set (AWS model, StreamMode).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StreamMode {
    /// The user sets the number of shards.
    Provisioned,
    /// The broker sets it.
    OnDemand,
}

/// An inclusive range of 128-bit hash keys.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct HashRange {
    /// First key of the range.
    pub start: u128,
    /// Last key of the range, not below `start`.
    pub end: u128,
}

/// A shard of a stream. Its index is never used again in the stream.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Shard {
    /// The number in `shardId-000000000000`.
    pub index: u32,
    /// The Raft group that holds its records, 1 to 6; fixed at birth.
    pub group: u8,
    /// The keys it takes.
    pub range: HashRange,
    /// The shard it was split or merged from.
    pub parent: Option<u32>,
    /// The second parent of a merged shard.
    pub adjacent_parent: Option<u32>,
    /// Creation second as its sequence numbers carry it; may run ahead of `opened_ms`.
    pub created_s: u64,
    /// When it began to take records, milliseconds since the epoch.
    pub opened_ms: u64,
    /// When it stopped taking records, if it did.
    pub closed_ms: Option<u64>,
    /// The ordinal after its last record, once it is closed.
    pub end_ordinal: Option<u64>,
}

/// Tags of a resource, by key.
pub type Tags = BTreeMap<String, String>;

/// Life of a consumer (AWS model, ConsumerStatus).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ConsumerStatus {
    /// Registered, and not to be used yet.
    Creating,
    /// Shards can be subscribed to with it.
    Active,
    /// The consumer's subscriptions end.
    Deleting,
}

/// A consumer with a throughput of its own.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Consumer {
    /// Unique for ever in this cluster, also across recreations of the name; shares its numbers with streams.
    pub uid: u64,
    /// 1 to 128 of `[a-zA-Z0-9_.-]` (AWS model, ConsumerName); unique in its stream.
    pub name: Arc<str>,
    /// Where it is in its life.
    pub status: ConsumerStatus,
    /// Registration, milliseconds since the epoch; its seconds are part of its ARN.
    pub created_ms: u64,
    /// Tags of the consumer.
    pub tags: Tags,
    /// The consumer's resource policy, as it was put.
    pub policy: Option<Arc<str>>,
}

/// Metrics that a stream reports for each shard: one bit per name, in the order of the service model.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ShardLevelMetrics(pub u8);

impl ShardLevelMetrics {
    /// All seven.
    pub const ALL: Self = Self(0b111_1111);

    /// These and others.
    #[must_use]
    pub fn with(self, others: Self) -> Self {
        Self(self.0 | others.0)
    }

    /// These but for others.
    #[must_use]
    pub fn without(self, others: Self) -> Self {
        Self(self.0 & !others.0)
    }

    /// Whether all of the others are among these.
    pub fn has(self, others: Self) -> bool {
        self.0 & others.0 == others.0
    }

    /// Whether it is none at all.
    pub fn is_empty(self) -> bool {
        self.0 == 0
    }
}

/// A change of a stream's shards that is under way.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reshard {
    /// The open shards that are closed by it.
    pub sealed: Vec<u32>,
    /// The shards that come in their place; some are closed again in the same instant: steps between.
    pub opened: Vec<Shard>,
}

/// A stream and all its listed shards.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Stream {
    /// Unique for ever in this cluster, also across recreations of the name.
    pub uid: u64,
    /// Where it is found.
    pub key: StreamKey,
    /// Where it is in its life.
    pub status: StreamStatus,
    /// Creation, milliseconds since the epoch.
    pub created_ms: u64,
    /// 24 to 8,760 hours.
    pub retention_hours: u32,
    /// Provisioned or on demand.
    pub mode: StreamMode,
    /// 1,024 to 10,240 KiB of data and key (AWS model, MaxRecordSizeInKiB).
    pub max_record_kib: u32,
    /// Whether records are spread over the shards regardless of their keys (AWS model, RecordDistributionStrategy
    /// AUTO).
    pub is_auto_distributed: bool,
    /// MiB per second that were asked for ahead of need (AWS model, WarmThroughputMiBps).
    pub warm_mib_per_second: u32,
    /// Metrics that are reported for each shard.
    pub shard_level_metrics: ShardLevelMetrics,
    /// Tags of the stream.
    pub tags: Tags,
    /// The stream's resource policy, as it was put.
    pub policy: Option<Arc<str>>,
    /// The stream's consumers, by name, ascending.
    pub consumers: Vec<Consumer>,
    /// The change of its shards that is under way; the stream is UPDATING then.
    pub reshard: Option<Reshard>,
    /// When UpdateShardCount was begun, within the last 24 hours, milliseconds since the epoch, ascending.
    pub shard_count_updates_ms: Vec<u64>,
    /// When its mode was switched, within the last 24 hours, milliseconds since the epoch, ascending.
    pub mode_switches_ms: Vec<u64>,
    /// By index, ascending; closed ones too until their records' retention ends.
    pub shards: Vec<Shard>,
    /// Open shards as (first hash key, position in `shards`), ascending by key.
    pub routes: Vec<(u128, usize)>,
}

impl Stream {
    /// The open shard that takes `hash_key`. `None` while no shard is open (CREATING).
    pub fn route(&self, hash_key: u128) -> Option<&Shard> {
        self.route_position(hash_key).map(|position| &self.shards[position])
    }

    /// The position in `shards` of the open shard that takes `hash_key`.
    pub fn route_position(&self, hash_key: u128) -> Option<usize> {
        let after = self.routes.partition_point(|(start, _)| *start <= hash_key);
        self.routes[..after].last().map(|(_, position)| *position)
    }

    /// The shard of that index, open or closed.
    pub fn shard(&self, index: u32) -> Option<&Shard> {
        self.shards.binary_search_by_key(&index, |shard| shard.index).ok().map(|at| &self.shards[at])
    }

    /// Whether settings and consumers can be changed and shards listed: not while it comes or goes.
    pub fn is_usable(&self) -> bool {
        matches!(self.status, StreamStatus::Active | StreamStatus::Updating)
    }

    /// The consumer of that name.
    pub fn consumer(&self, name: &str) -> Option<&Consumer> {
        self.consumers
            .binary_search_by_key(&name, |consumer| &consumer.name)
            .ok()
            .map(|at| &self.consumers[at])
    }

    /// Open shards, ascending by hash range.
    pub fn open_shards(&self) -> impl Iterator<Item = &Shard> {
        self.routes.iter().map(|(_, position)| &self.shards[*position])
    }
}

/// Whether an account is committed to a minimum throughput in a region (AWS model,
/// MinimumThroughputBillingCommitment). Nothing is billed here; some operations ask for it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Commitment {
    /// Whether it stands.
    pub is_enabled: bool,
    /// When it was last enabled, milliseconds since the epoch.
    pub started_ms: u64,
    /// When it was last disabled, milliseconds since the epoch.
    pub ended_ms: Option<u64>,
}

/// Milliseconds for which a commitment stands at least (AWS model, EarliestAllowedEndAt).
const COMMITMENT_MIN_MS: u64 = 86_400_000;

impl Commitment {
    /// Milliseconds since the epoch before which it does not end.
    pub fn earliest_end_ms(&self) -> u64 {
        self.started_ms.saturating_add(COMMITMENT_MIN_MS)
    }

    /// When it ended or will end, milliseconds since the epoch, if it was disabled.
    pub fn end_ms(&self) -> Option<u64> {
        self.ended_ms.map(|ended_ms| ended_ms.max(self.earliest_end_ms()))
    }

    /// Whether it is in force: also for the rest of its first day, when it was disabled before.
    pub fn is_in_force(&self, now_ms: u64) -> bool {
        self.is_enabled || self.end_ms().is_some_and(|end_ms| now_ms < end_ms)
    }
}

/// Account and region.
pub type AccountRegion = (Arc<str>, Arc<str>);

/// The time by which expired records are deleted, as the metadata group keeps it through starts and changes of its
/// leader.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct RetentionClock {
    /// Milliseconds since the epoch; 0 before it was first set.
    pub time_ms: u64,
    /// How often an operator has accepted the voters' clocks.
    pub accepted: u64,
    /// The log's newest arrival time when an operator last did: a clock before that was accepted with it.
    pub accepted_newest_ms: u64,
}

/// Every stream at one applied index of the metadata group.
#[derive(Clone, Debug, Default)]
pub struct Catalog {
    streams: BTreeMap<StreamKey, Arc<Stream>>,
    by_uid: BTreeMap<u64, StreamKey>,
    /// Commitments that were ever made.
    pub commitments: BTreeMap<AccountRegion, Commitment>,
    /// The key that seals iterators and tokens; 32 bytes, absent before the first command.
    pub sealing_key: Option<[u8; 32]>,
    /// Ids of all nodes that were ever members of the cluster.
    pub used_nodes: BTreeSet<u64>,
    /// The newest life of each member.
    pub lives: BTreeMap<u64, Life>,
    /// The newest uid that was given out: a stream of a higher one has never been heard of here.
    pub newest_uid: u64,
    /// The clock that records are deleted by.
    pub retention_clock: RetentionClock,
}

impl Catalog {
    /// No stream, sealing with `sealing_key`.
    pub fn new(sealing_key: Option<[u8; 32]>) -> Self {
        Self { sealing_key, ..Self::default() }
    }

    /// Every stream, by account, region and name.
    pub fn streams(&self) -> &BTreeMap<StreamKey, Arc<Stream>> {
        &self.streams
    }

    /// Open shards of all streams in the account and region of that key.
    pub fn open_shards(&self, key: &StreamKey) -> usize {
        let is_same = |other: &StreamKey| other.account == key.account && other.region == key.region;
        let own = self.streams.iter().filter(|(other, _)| is_same(other));
        own.map(|(_, stream)| stream.routes.len()).sum()
    }

    /// The stream of that uid, if it still is one.
    pub fn by_uid(&self, uid: u64) -> Option<&Arc<Stream>> {
        self.by_uid.get(&uid).map(|key| &self.streams[key])
    }

    /// Whether a commitment is in force where that stream is.
    pub fn has_commitment(&self, key: &StreamKey, now_ms: u64) -> bool {
        let place = (key.account.clone(), key.region.clone());
        self.commitments.get(&place).is_some_and(|commitment| commitment.is_in_force(now_ms))
    }

    /// Adds a stream, or replaces the one of that uid.
    pub fn put(&mut self, stream: Stream) {
        self.by_uid.insert(stream.uid, stream.key.clone());
        self.streams.insert(stream.key.clone(), Arc::new(stream));
    }

    /// Takes the stream of that uid out.
    pub fn remove(&mut self, uid: u64) -> Option<Arc<Stream>> {
        self.streams.remove(&self.by_uid.remove(&uid)?)
    }
}
