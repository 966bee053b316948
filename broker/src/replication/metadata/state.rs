//! The metadata group's state: a pure function of its log. Streams, their shards and the cluster's sealing key.

mod changes;

use std::collections::BTreeSet;
use std::sync::Arc;

use bytes::Bytes;
use tidelog_proto::stored::{self, meta_command::Command};

use super::bounds::{self, MetadataFull, MetadataSize};
use super::consumer_groups::{change_group, read_groups, store_groups};
use super::quotas::{self, QuotaExceeded};
use super::reshard::{commit_reshard, first_shard, new_shards};
use super::stored::{
    read_commitment, read_life, read_mode, read_retention_clock, read_stream, sealing_key, store_commitment,
    store_life, store_retention_clock, store_stream, stream_key,
};
use crate::model::consumer_group::{ConsumerGroups, GroupRefusal};
use crate::model::hash_key;
use crate::model::life::Lives;
use crate::model::stream::{
    Catalog, Commitment, ConsumerStatus, Reshard, ShardLevelMetrics, Stream, StreamStatus,
};
use changes::change_settings;

/// Retention of a new stream, hours (AWS model, CreateStream).
const DEFAULT_RETENTION_HOURS: u32 = 24;

/// The outcome of a command of the metadata group.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum MetaOutcome {
    /// Applied, or had been already.
    Done,
    /// A stream, a consumer or a member of a consumer group was begun under this uid.
    Created(u64),
    /// A stream or a consumer of that name exists.
    NameTaken,
    /// There is no such stream (any more).
    NoSuchStream,
    /// There is no such consumer (any more).
    NoSuchConsumer,
    /// The stream is in a state that forbids it.
    NotActive(StreamStatus),
    /// A shard to be closed is not open (any more).
    NoSuchShard(u32),
    /// A consumer group was not changed.
    GroupRefused(GroupRefusal),
    /// The metadata would grow beyond a bound of the cluster.
    Full(MetadataFull),
    /// A quota of an account, a stream or a resource would be exceeded.
    QuotaExceeded(QuotaExceeded),
    /// The state that the command was decided on has changed.
    Overtaken,
    /// The checkpoint is applied, but for these shards, which the member does not have any more.
    LeasesLost(Vec<u32>),
    /// The life does not follow the one that is kept of the node.
    LifeRefused,
}

/// The state machine of group 0.
#[derive(Clone, Debug, Default)]
pub struct MetaState {
    catalog: Catalog,
    groups: Arc<ConsumerGroups>,
    /// The size of all streams together.
    size: MetadataSize,
    next_uid: u64,
    /// Creation seconds of new shards lie above this: a recreated stream's sequence numbers lie above its
    /// namesake's, whatever the clock does.
    creation_floor_s: u64,
    /// Creation seconds of shards that a reshard opens lie above this: a part of the log that was given up may have
    /// opened shards of the same numbers.
    child_floor_s: u64,
}

impl MetaState {
    /// The state a checkpoint holds.
    pub fn restore(stored: &stored::MetaState) -> Result<Self, String> {
        let mut catalog = Catalog::new(sealing_key(&stored.sealing_key));
        for stream in &stored.streams {
            catalog.put(with_routes(read_stream(stream)?));
        }
        catalog.commitments = stored.commitments.iter().map(read_commitment).collect();
        let members = stored.membership.iter().flat_map(|membership| &membership.nodes);
        catalog.used_nodes = members.map(|node| node.id).chain(stored.used_nodes.iter().copied()).collect();
        let life = |of: &stored::NodeLife| Some((of.node, read_life(of.life.as_ref()?)));
        catalog.lives = stored.lives.iter().filter_map(life).collect();
        catalog.retention_clock = read_retention_clock(stored.retention_clock.as_ref());
        let groups = Arc::new(read_groups(&stored.consumer_groups));
        let sizes = catalog.streams().values().map(|stream| MetadataSize::of(stream));
        let size = sizes.fold(MetadataSize::default(), MetadataSize::plus);
        let stored::MetaState { next_uid, creation_floor_s, child_floor_s, .. } = *stored;
        Ok(Self { catalog, groups, size, next_uid, creation_floor_s, child_floor_s })
    }

    /// The state as a checkpoint stores it; the caller adds the membership.
    pub fn store(&self) -> stored::MetaState {
        stored::MetaState {
            streams: self.catalog.streams().values().map(|stream| store_stream(stream)).collect(),
            next_uid: self.next_uid,
            creation_floor_s: self.creation_floor_s,
            child_floor_s: self.child_floor_s,
            sealing_key: self.catalog.sealing_key.map(|key| Bytes::copy_from_slice(&key)).unwrap_or_default(),
            membership: None,
            membership_log_id: None,
            commitments: self.catalog.commitments.iter().map(|(at, own)| store_commitment(at, own)).collect(),
            used_nodes: self.catalog.used_nodes.iter().copied().collect(),
            consumer_groups: store_groups(&self.groups),
            lives: self
                .catalog
                .lives
                .iter()
                .map(|(node, life)| stored::NodeLife { node: *node, life: Some(store_life(*life)) })
                .collect(),
            retention_clock: store_retention_clock(self.catalog.retention_clock),
        }
    }

    /// Takes note of the cluster's members: their ids are used from then on, also when they go. Lives of nodes that
    /// have gone are forgotten.
    pub fn note_members(&mut self, nodes: impl IntoIterator<Item = u64>) {
        let members: BTreeSet<u64> = nodes.into_iter().collect();
        self.catalog.lives.retain(|node, _| members.contains(node));
        self.catalog.used_nodes.extend(members);
    }

    /// An immutable copy for readers; streams are shared with it.
    pub fn catalog(&self) -> Catalog {
        let mut catalog = self.catalog.clone();
        catalog.newest_uid = self.next_uid;
        catalog
    }

    /// The consumer groups, shared with readers: the same pointer as long as none has changed.
    pub fn consumer_groups(&self) -> &Arc<ConsumerGroups> {
        &self.groups
    }

    /// Applies one command. Panics on a command this version does not know: skipping it would let replicas differ.
    pub fn apply(&mut self, command: &stored::MetaCommand) -> MetaOutcome {
        let now_ms = command.now_ms;
        if let Err(full) = bounds::check(command, &self.catalog, &self.groups, self.size) {
            return MetaOutcome::Full(full);
        }
        if let Err(exceeded) = quotas::check(command, &self.catalog) {
            return MetaOutcome::QuotaExceeded(exceeded);
        }
        match command.command.as_ref().expect("a metadata command of a newer version") {
            Command::Bootstrap(bootstrap) => {
                if self.catalog.sealing_key.is_none() {
                    self.catalog.sealing_key = sealing_key(&bootstrap.sealing_key);
                }
                MetaOutcome::Done
            }
            Command::BeginLife(begin) => self.begin_life(begin),
            Command::BeginCreateStream(begin) => self.begin_create(begin, now_ms),
            Command::FinishCreateStream(stream) => self.change(stream.uid, |stream| {
                if stream.status == StreamStatus::Creating {
                    stream.status = StreamStatus::Active;
                }
            }),
            Command::BeginDeleteStream(begin) => self.begin_delete(begin),
            Command::FinishDeleteStream(stream) => self.finish_delete(stream.uid),
            Command::SetRetention(set) => self.set_retention(set),
            Command::ChangeStream(change) => {
                self.change(change.uid, |stream| change_settings(stream, change, now_ms))
            }
            Command::BeginRegisterConsumer(begin) => self.begin_consumer(begin, now_ms),
            Command::FinishRegisterConsumer(of) => self.change_consumer(of, |consumer| {
                if consumer.status == ConsumerStatus::Creating {
                    consumer.status = ConsumerStatus::Active;
                }
            }),
            Command::BeginDeregisterConsumer(of) => {
                self.change_consumer(of, |consumer| consumer.status = ConsumerStatus::Deleting)
            }
            Command::FinishDeregisterConsumer(of) => self.change(of.stream_uid, |stream| {
                stream.consumers.retain(|consumer| consumer.uid != of.uid);
            }),
            Command::ChangeTags(change) => self.change_tags(change),
            Command::SetPolicy(set) => self.set_policy(set),
            Command::SetCommitment(set) => self.set_commitment(set, now_ms),
            Command::BeginReshard(begin) => self.begin_reshard(begin, now_ms),
            Command::CommitReshard(commit) => {
                // A clock that is behind must not make a shard close so early that its retention is over.
                let closed_ms = now_ms.max(self.catalog.retention_clock.time_ms);
                self.change_shards(commit.uid, |stream| commit_reshard(stream, commit, closed_ms))
            }
            Command::ForgetShards(forget) => self.change_shards(forget.uid, |stream| {
                let forgotten: BTreeSet<u32> = forget.shards.iter().copied().collect();
                stream.shards.retain(|shard| shard.closed_ms.is_none() || !forgotten.contains(&shard.index));
            }),
            Command::AdvanceRetentionClock(advance) => {
                let kept = &mut self.catalog.retention_clock;
                if advance.accepted == kept.accepted {
                    kept.time_ms = advance.time_ms;
                }
                MetaOutcome::Done
            }
            Command::RaiseFloors(floors) => {
                self.next_uid = self.next_uid.max(floors.uid);
                self.creation_floor_s = self.creation_floor_s.max(floors.creation_s);
                self.child_floor_s = self.child_floor_s.max(floors.creation_s);
                MetaOutcome::Done
            }
            Command::AcceptClocks(accept) => {
                let kept = &mut self.catalog.retention_clock;
                kept.time_ms = accept.time_ms;
                kept.accepted += 1;
                kept.accepted_newest_ms = accept.newest_ms;
                MetaOutcome::Done
            }
            Command::ConsumerGroup(command) => {
                let Some(stream) = self.catalog.by_uid(command.stream_uid) else {
                    return MetaOutcome::NoSuchStream;
                };
                change_group(Arc::make_mut(&mut self.groups), stream, command, now_ms, &mut self.next_uid)
            }
        }
    }

    /// A node's new life is taken when it follows the one that is kept.
    fn begin_life(&mut self, begin: &stored::BeginLife) -> MetaOutcome {
        let Some(life) = begin.life.as_ref().map(read_life) else { return MetaOutcome::LifeRefused };
        let begun = begin.after.iter().map(read_life).chain([life]).collect();
        let kept = self.catalog.lives.get(&begin.node).copied();
        if !(Lives { taken: None, begun }).follow(kept) {
            return MetaOutcome::LifeRefused;
        }
        self.catalog.lives.insert(begin.node, life);
        MetaOutcome::Done
    }

    /// Changes a stream's shards; its consumer groups follow.
    fn change_shards(&mut self, uid: u64, change: impl FnOnce(&mut Stream)) -> MetaOutcome {
        let outcome = self.change(uid, change);
        if self.groups.knows(uid)
            && let Some(stream) = self.catalog.by_uid(uid)
        {
            Arc::make_mut(&mut self.groups).follow(stream);
        }
        outcome
    }

    fn begin_create(&mut self, begin: &stored::BeginCreateStream, now_ms: u64) -> MetaOutcome {
        let key = stream_key(begin.stream.as_ref().expect("a stream has a name"));
        if self.catalog.streams().contains_key(&key) {
            return MetaOutcome::NameTaken;
        }
        self.next_uid += 1;
        let uid = self.next_uid;
        let created_s = (now_ms / 1_000).max(self.creation_floor_s + 1);
        let shards = hash_key::even_ranges(begin.shard_count)
            .enumerate()
            .map(|(index, range)| first_shard(uid, index as u32, range, created_s, now_ms))
            .collect();
        let stream = Stream {
            uid,
            key,
            status: StreamStatus::Creating,
            created_ms: now_ms,
            retention_hours: DEFAULT_RETENTION_HOURS,
            mode: read_mode(begin.mode()),
            max_record_kib: begin.max_record_kib,
            is_auto_distributed: begin.is_auto_distributed,
            warm_mib_per_second: begin.warm_mib_per_second,
            shard_level_metrics: ShardLevelMetrics::default(),
            tags: begin.tags.clone(),
            policy: None,
            consumers: Vec::new(),
            reshard: None,
            shard_count_updates_ms: Vec::new(),
            mode_switches_ms: Vec::new(),
            shards,
            routes: Vec::new(),
        };
        self.put(stream);
        MetaOutcome::Created(uid)
    }

    /// The size of all streams together.
    #[cfg(test)]
    pub fn size(&self) -> MetadataSize {
        self.size
    }

    /// Adds a stream, or replaces the one of that uid.
    fn put(&mut self, stream: Stream) {
        let before = self.catalog.by_uid(stream.uid).map(|before| MetadataSize::of(before));
        self.size = self.size.minus(before.unwrap_or_default()).plus(MetadataSize::of(&stream));
        self.catalog.put(with_routes(stream));
    }

    fn finish_delete(&mut self, uid: u64) -> MetaOutcome {
        let Some(stream) = self.catalog.remove(uid) else { return MetaOutcome::Done };
        self.size = self.size.minus(MetadataSize::of(&stream));
        if self.groups.knows(uid) {
            Arc::make_mut(&mut self.groups).remove_stream(uid);
        }
        let newest_s = stream.shards.iter().map(|shard| shard.created_s).max().unwrap_or(0);
        self.creation_floor_s = self.creation_floor_s.max(newest_s);
        MetaOutcome::Done
    }

    fn change(&mut self, uid: u64, change: impl FnOnce(&mut Stream)) -> MetaOutcome {
        let Some(stream) = self.catalog.by_uid(uid) else { return MetaOutcome::NoSuchStream };
        let mut stream = Stream::clone(stream);
        change(&mut stream);
        self.put(stream);
        MetaOutcome::Done
    }

    fn set_commitment(&mut self, set: &stored::SetCommitment, now_ms: u64) -> MetaOutcome {
        let place = (set.account.as_str().into(), set.region.as_str().into());
        let before = self.catalog.commitments.get(&place).copied();
        let after = match (before, set.is_enabled) {
            (Some(before), is_enabled) if before.is_enabled == is_enabled => before,
            (None, false) => return MetaOutcome::Done,
            (_, true) => Commitment { is_enabled: true, started_ms: now_ms, ended_ms: None },
            (Some(before), false) => Commitment { is_enabled: false, ended_ms: Some(now_ms), ..before },
        };
        self.catalog.commitments.insert(place, after);
        MetaOutcome::Done
    }

    fn begin_reshard(&mut self, begin: &stored::BeginReshard, now_ms: u64) -> MetaOutcome {
        let Some(stream) = self.catalog.by_uid(begin.uid) else { return MetaOutcome::NoSuchStream };
        if stream.status != StreamStatus::Active {
            return MetaOutcome::NotActive(stream.status);
        }
        if stream.shards.last().map(|shard| shard.index + 1) != Some(begin.first_new_shard) {
            // Another reshard was begun and ended since the plan was made.
            return MetaOutcome::NotActive(StreamStatus::Updating);
        }
        let is_open = |index: u32| stream.shard(index).is_some_and(|shard| shard.closed_ms.is_none());
        if let Some(closed) = begin.sealed.iter().find(|index| !is_open(**index)) {
            return MetaOutcome::NoSuchShard(*closed);
        }
        let opened = new_shards(stream, &begin.opened, now_ms, self.child_floor_s);
        self.change(begin.uid, |stream| {
            stream.status = StreamStatus::Updating;
            stream.reshard = Some(Reshard { sealed: begin.sealed.clone(), opened });
            if begin.is_count_update {
                note_within_day(&mut stream.shard_count_updates_ms, now_ms);
            }
        })
    }
}

fn note_within_day(times_ms: &mut Vec<u64>, now_ms: u64) {
    times_ms.retain(|time_ms| quotas::is_of_this_day(*time_ms, now_ms));
    times_ms.push(now_ms);
}

fn with_routes(mut stream: Stream) -> Stream {
    let mut routes: Vec<_> = (stream.shards.iter().enumerate())
        .filter(|(_, shard)| shard.closed_ms.is_none())
        .map(|(position, shard)| (shard.range.start, position))
        .collect();
    routes.sort_unstable();
    stream.routes = routes;
    stream
}

#[cfg(test)]
mod tests;
