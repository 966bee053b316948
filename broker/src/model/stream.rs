//! Streams and shards as the metadata group knows them: an immutable value that readers share.

use std::collections::BTreeMap;
use std::sync::Arc;

/// The name of a stream inside its account and region. Ordered as ListStreams lists.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct StreamKey {
    /// 12 digits.
    pub account: Arc<str>,
    /// Such as `us-east-1`.
    pub region: Arc<str>,
    /// 1 to 128 of `[a-zA-Z0-9_.-]` (AWS model, StreamName).
    pub name: Arc<str>,
}

/// Life of a stream (AWS model, StreamStatus).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StreamStatus {
    /// Its shards are being opened: described, but it takes no records yet.
    Creating,
    /// Takes and gives records.
    Active,
    /// As [`Self::Active`], while shards or settings change.
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
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
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

    /// Open shards, ascending by hash range.
    pub fn open_shards(&self) -> impl Iterator<Item = &Shard> {
        self.routes.iter().map(|(_, position)| &self.shards[*position])
    }
}

/// Every stream at one applied index of the metadata group.
#[derive(Clone, Debug, Default)]
pub struct Catalog {
    streams: BTreeMap<StreamKey, Arc<Stream>>,
    by_uid: BTreeMap<u64, StreamKey>,
    /// The key that seals iterators and tokens; 32 bytes, absent before the first command.
    pub sealing_key: Option<[u8; 32]>,
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

    /// The stream of that uid, if it still is one.
    pub fn by_uid(&self, uid: u64) -> Option<&Arc<Stream>> {
        self.by_uid.get(&uid).map(|key| &self.streams[key])
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
