//! What applying a group's log changes: streams and keys in group 0, shards in groups 1 to 6.
//!
//! Applying is a pure function of the log: no clock, no random number, no map with a seeded order.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use bytes::Bytes;
use openraft::alias::StoredMembershipOf;
use prost::Message;
use tidelog_proto::stored::{self, data_command};
use tidelog_storage::shard::{Appended, Bounds, ShardCut, ShardKey, ShardLog, ShardStore};

use super::dropped::Dropped;
use super::meta_state::MetaState;
use super::news::News;
use super::producers::Producers;
use super::producers_stored::read_producers;
use super::published::Published;
use super::raft_types::{TypeConfig, split_membership};
use super::{AppendOutcome, Command, Outcome, SubBatch};

/// What a group's machine is made of.
pub enum GroupState {
    /// Group 0.
    Meta {
        /// Streams and keys.
        state: MetaState,
        /// Where each new state is shown.
        published: Published,
    },
    /// Groups 1 to 6.
    Data {
        /// The node's shards.
        store: Arc<ShardStore>,
        /// This group's shards.
        shards: BTreeMap<ShardKey, Arc<ShardLog>>,
        /// Those of them that take no records any more.
        sealed: BTreeSet<ShardKey>,
        /// Streams that are gone.
        dropped: Dropped,
        /// What they remember of producers.
        producers: Producers,
        /// Who waits for records.
        news: Arc<News>,
    },
}

impl GroupState {
    /// Of a data group without shards.
    pub fn data(store: Arc<ShardStore>, news: Arc<News>) -> Self {
        Self::Data {
            store,
            shards: BTreeMap::new(),
            sealed: BTreeSet::new(),
            dropped: Dropped::default(),
            producers: Producers::default(),
            news,
        }
    }

    /// Applies a command.
    pub fn apply(&mut self, command: &Command) -> Outcome {
        match (self, command) {
            (Self::Meta { state, published }, Command::Meta(command)) => {
                let outcome = state.apply(command);
                published.show(state, command);
                Outcome::Meta(outcome)
            }
            (Self::Data { shards, sealed, producers, news, .. }, Command::Records(batches)) => {
                let append = |batch| append(shards, sealed, producers, news, batch);
                Outcome::Appended(batches.iter().map(append).collect())
            }
            (Self::Data { store, shards, sealed, dropped, producers, .. }, Command::Data(command)) => {
                dropped.judge(command).unwrap_or_else(|| control(store, shards, sealed, producers, command))
            }
            (_, command) => panic!("a command of another group: {command}"),
        }
    }

    /// Takes the shards of a checkpoint, which the store has opened.
    pub fn attach(&mut self, keys: impl Iterator<Item = ShardKey>) -> Result<(), String> {
        for key in keys {
            let Self::Data { store, shards, .. } = self else {
                return Err("the metadata group's checkpoint names shards".into());
            };
            let shard =
                store.get(key).ok_or_else(|| format!("shard {key:?} of the checkpoint is not open"))?;
            shards.insert(key, shard);
        }
        Ok(())
    }

    /// The shards it has.
    pub fn keys(&self) -> Vec<ShardKey> {
        match self {
            Self::Meta { .. } => Vec::new(),
            Self::Data { shards, .. } => shards.keys().copied().collect(),
        }
    }

    /// Has these shards from now on; whoever waits for records looks at them anew.
    pub fn replace(&mut self, logs: Vec<Arc<ShardLog>>) {
        let Self::Data { shards, news, .. } = self else { return };
        let old = std::mem::take(shards);
        *shards = logs.into_iter().map(|log| (log.key(), log)).collect();
        for key in old.keys().chain(shards.keys()) {
            news.tell(*key);
        }
    }

    /// As it is stored, with a group's members.
    pub fn store(&self, membership: &StoredMembershipOf<TypeConfig>) -> Bytes {
        let (membership_log_id, membership) = split_membership(membership);
        let bytes = match self {
            Self::Meta { state, .. } => {
                stored::MetaState { membership: Some(membership), membership_log_id, ..state.store() }
                    .encode_to_vec()
            }
            Self::Data { sealed, dropped, producers, .. } => {
                let sealed = sealed.iter().map(|of| stored::ShardRef { uid: of.stream_uid, shard: of.shard });
                stored::DataState {
                    membership: Some(membership),
                    membership_log_id,
                    sealed: sealed.collect(),
                    dropped: dropped.store(),
                    ..producers.store()
                }
                .encode_to_vec()
            }
        };
        bytes.into()
    }

    /// Where the records of its shards begin and end; records that are hidden because they have expired count, as they do
    /// in a checkpoint.
    pub fn bounds(&self) -> Vec<(ShardKey, Bounds)> {
        match self {
            Self::Meta { .. } => Vec::new(),
            Self::Data { shards, .. } => {
                shards.iter().map(|(key, shard)| (*key, shard.untrimmed())).collect()
            }
        }
    }

    /// Its shards as they are now.
    pub fn cut_shards(&self) -> Vec<ShardCut> {
        match self {
            Self::Meta { .. } => Vec::new(),
            Self::Data { shards, .. } => shards.values().map(|shard| shard.cut()).collect(),
        }
    }
}

fn append(
    shards: &BTreeMap<ShardKey, Arc<ShardLog>>,
    sealed: &BTreeSet<ShardKey>,
    producers: &mut Producers,
    news: &News,
    batch: &SubBatch,
) -> AppendOutcome {
    let Some(shard) = shards.get(&batch.shard) else { return AppendOutcome::NoSuchShard };
    if sealed.contains(&batch.shard) {
        return AppendOutcome::Sealed;
    }
    let write = |count, body, body_crc| shard.apply(batch.time_ms, count, body, body_crc);
    let outcome = match batch.origin.as_deref() {
        None => {
            producers.pass(batch.time_ms);
            let Appended { first_ordinal, time_ms } = write(batch.count, batch.body.clone(), batch.body_crc);
            AppendOutcome::Placed { first_ordinal, time_ms }
        }
        Some(origin) => producers.append(batch, origin, write),
    };
    news.tell(batch.shard);
    outcome
}

fn control(
    store: &ShardStore,
    shards: &mut BTreeMap<ShardKey, Arc<ShardLog>>,
    sealed: &mut BTreeSet<ShardKey>,
    producers: &mut Producers,
    command: &stored::DataCommand,
) -> Outcome {
    match command.command.as_ref().expect("a data command of a newer version") {
        data_command::Command::OpenShards(open) => {
            for key in keys(open.uid, &open.shards) {
                shards.insert(key, store.create(key));
            }
        }
        data_command::Command::DropStream(stream) => {
            shards.retain(|key, _| key.stream_uid != stream.uid);
            sealed.retain(|key| key.stream_uid != stream.uid);
            producers.forget(|key| key.stream_uid == stream.uid);
            store.remove_stream(stream.uid);
        }
        data_command::Command::Trim(trim) => {
            for point in &trim.points {
                let key = ShardKey { stream_uid: point.uid, shard: point.shard };
                if let Some(shard) = shards.get(&key) {
                    shard.trim(point.ordinal);
                }
            }
        }
        data_command::Command::SkipOrdinals(skip) => {
            for point in &skip.points {
                let key = ShardKey { stream_uid: point.uid, shard: point.shard };
                // One whose opening was given up as well is opened again later, and goes on from there.
                shards.entry(key).or_insert_with(|| store.create(key)).skip_to(point.ordinal);
            }
        }
        data_command::Command::Reseat(reseat) => {
            for key in keys(reseat.uid, &reseat.opened) {
                shards.insert(key, store.create(key));
            }
            let seal = |key: ShardKey| {
                let shard = shards.get(&key)?;
                sealed.insert(key);
                Some((key.shard, shard.bounds().next_ordinal))
            };
            return Outcome::Sealed(keys(reseat.uid, &reseat.sealed).filter_map(seal).collect());
        }
        data_command::Command::DropShards(drop) => {
            for key in keys(drop.uid, &drop.shards) {
                shards.remove(&key);
                sealed.remove(&key);
                producers.forget(|gone| *gone == key);
                store.remove_shard(key);
            }
        }
        data_command::Command::Inherit(inherit) => {
            let key = ShardKey { stream_uid: inherit.uid, shard: inherit.shard };
            if shards.contains_key(&key) && !sealed.contains(&key) {
                let table = read_producers(&inherit.producers).expect("producers of a newer version");
                // A command of an earlier version says no time: that of this group.
                let clock_ms = if inherit.clock_ms > 0 { inherit.clock_ms } else { producers.clock_ms() };
                producers.inherit(key, table, clock_ms);
            }
        }
    }
    Outcome::Done
}

fn keys(stream_uid: u64, shards: &[u32]) -> impl Iterator<Item = ShardKey> {
    shards.iter().map(move |shard| ShardKey { stream_uid, shard: *shard })
}

#[cfg(test)]
mod tests;
