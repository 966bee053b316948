//! A group's state machine: applies its log, and takes the state that a checkpoint stores.
//!
//! The group's apply task owns the mutable state; readers get a published catalog (group 0) or a shard's log
//! (groups 1 to 6), never a lock that applying waits for. The state itself: [`super::group_state`].

use std::io;
use std::sync::{Arc, Mutex};

use futures_util::{Stream, TryStreamExt};
use openraft::alias::{LogIdOf, SnapshotMetaOf, SnapshotOf, StoredMembershipOf};
use openraft::entry::RaftEntry;
use openraft::storage::{EntryResponder, RaftStateMachine};
use openraft::{EntryPayload, OptionalSend, RaftSnapshotBuilder};
use prost::Message;
use tidelog_proto::stored;
use tidelog_storage::checkpoint::GroupCheckpoint;
use tidelog_storage::shard::ShardSnapshot;
use tidelog_storage::wal::{GroupId, LogPosition};

use super::group_state::{GroupState, broken};
use super::log_store::LogStore;
use super::promises::{self, check_newer};
use crate::replication::metadata::META_GROUP;
use crate::replication::types::command::Payload;
use crate::replication::types::config::{TypeConfig, join_membership, log_id, position};
use crate::replication::types::outcome::Outcome;
use crate::replication::workers::flush_worker::FlushHandle;

/// A group's state as of one applied index, as a checkpoint has it: the broker's part and the manifest of the shards'
/// files. Cheap to clone.
#[derive(Clone, Debug)]
pub struct GroupSnapshot(pub Arc<GroupCheckpoint>);

impl GroupSnapshot {
    /// The snapshot's metadata for openraft.
    ///
    /// # Errors
    /// When the state is not one that this version stores.
    pub fn meta(&self, group: GroupId) -> Result<SnapshotMetaOf<TypeConfig>, String> {
        let state = &self.0.state;
        let broken = |error| broken(&error);
        let last_membership = if group == META_GROUP {
            let stored = stored::MetaState::decode(state.clone()).map_err(broken)?;
            join_membership(stored.membership_log_id.as_ref(), stored.membership.as_ref())?
        } else {
            let stored = stored::DataState::decode(state.clone()).map_err(broken)?;
            join_membership(stored.membership_log_id.as_ref(), stored.membership.as_ref())?
        };
        Ok(SnapshotMetaOf::<TypeConfig> { last_log_id: self.applied(), last_membership })
    }

    fn applied(&self) -> Option<LogIdOf<TypeConfig>> {
        self.0.applied.map(|(term, index)| log_id(LogPosition { term, index }))
    }
}

/// The state machine of one group.
pub struct Machine {
    group: GroupId,
    state: GroupState,
    applied: Option<LogIdOf<TypeConfig>>,
    membership: StoredMembershipOf<TypeConfig>,
    log: LogStore,
    flush: FlushHandle,
    current: Arc<Mutex<Option<SnapshotOf<TypeConfig, GroupSnapshot>>>>,
}

impl Machine {
    /// The machine of `group` as its checkpoint left it; without one, empty.
    pub fn restore(
        group: GroupId,
        state: GroupState,
        checkpoint: Option<&GroupCheckpoint>,
        log: LogStore,
        flush: FlushHandle,
    ) -> Result<Self, String> {
        let mut machine = Self {
            group,
            state,
            applied: None,
            membership: StoredMembershipOf::<TypeConfig>::default(),
            log,
            flush,
            current: Arc::default(),
        };
        if let Some(checkpoint) = checkpoint {
            let snapshot = GroupSnapshot(Arc::new(checkpoint.clone()));
            machine.adopt(snapshot.applied(), &snapshot)?;
            let keys = checkpoint.shards.iter().map(|shard| shard.key);
            machine.state.attach(keys)?;
            let meta = machine.snapshot_meta();
            *machine.current() = Some(openraft::Snapshot { meta, snapshot });
        }
        Ok(machine)
    }

    /// Takes over the broker's part of a checkpoint's state.
    fn adopt(
        &mut self,
        applied: Option<LogIdOf<TypeConfig>>,
        snapshot: &GroupSnapshot,
    ) -> Result<(), String> {
        self.membership = self.state.restore(snapshot.0.state.clone())?;
        self.note_applied(applied);
        Ok(())
    }

    fn note_applied(&mut self, applied: Option<LogIdOf<TypeConfig>>) {
        self.applied = applied;
        if let Some(applied) = &self.applied {
            self.log.applied().set(position(applied));
        }
    }

    /// The group's state, without the shards' records.
    pub fn state(&self) -> &GroupState {
        &self.state
    }

    fn snapshot_meta(&self) -> SnapshotMetaOf<TypeConfig> {
        SnapshotMetaOf::<TypeConfig> { last_log_id: self.applied, last_membership: self.membership.clone() }
    }

    fn current(&self) -> std::sync::MutexGuard<'_, Option<SnapshotOf<TypeConfig, GroupSnapshot>>> {
        self.current.lock().expect("no code panics while it holds this lock")
    }

    fn apply_entry(&mut self, payload: &Payload) -> Outcome {
        match payload {
            EntryPayload::Blank => Outcome::Done,
            EntryPayload::Membership(membership) => {
                self.membership = StoredMembershipOf::<TypeConfig>::new(self.applied, membership.clone());
                self.state.note_members(membership.nodes().map(|(id, _)| *id));
                Outcome::Done
            }
            EntryPayload::Normal(command) => self.state.apply(command),
        }
    }
}

impl RaftStateMachine<TypeConfig> for Machine {
    type SnapshotData = GroupSnapshot;
    type SnapshotBuilder = GroupSnapshotBuilder;

    async fn applied_state(
        &mut self,
    ) -> io::Result<(Option<LogIdOf<TypeConfig>>, StoredMembershipOf<TypeConfig>)> {
        Ok((self.applied, self.membership.clone()))
    }

    async fn apply<S>(&mut self, mut entries: S) -> io::Result<()>
    where
        S: Stream<Item = io::Result<EntryResponder<TypeConfig>>> + Unpin + OptionalSend,
    {
        while let Some((entry, responder)) = entries.try_next().await? {
            if self.state.data().is_some() {
                // Only replay outruns the flusher: proposals wait for it themselves.
                self.flush.wait_for_room().await;
            }
            self.note_applied(Some(entry.log_id()));
            let outcome = self.apply_entry(&entry.payload);
            if let Some(responder) = responder {
                responder.send(outcome);
            }
        }
        if let Some(applied) = &self.applied {
            self.log.forget_through(applied.index);
        }
        self.flush.wake_if_due();
        Ok(())
    }

    async fn get_snapshot_builder(&mut self) -> GroupSnapshotBuilder {
        let checkpoint = GroupCheckpoint {
            group: self.group,
            applied: self.applied.as_ref().map(position).map(|at| (at.term, at.index)),
            state: self.state.store(&self.membership),
            shards: Vec::new(),
        };
        GroupSnapshotBuilder {
            meta: self.snapshot_meta(),
            checkpoint,
            shards: self.state.snapshot_shards(),
            flush: self.flush.clone(),
            current: self.current.clone(),
        }
    }

    async fn install_snapshot(
        &mut self,
        meta: &SnapshotMetaOf<TypeConfig>,
        snapshot: GroupSnapshot,
    ) -> io::Result<()> {
        let applied = self.applied.as_ref().map_or(0, |at| at.index);
        if let Err(older) = check_newer(&snapshot.0, applied, &self.state.bounds()) {
            promises::end(self.log.shell(), &older);
        }
        let logs =
            self.flush.install(snapshot.0.clone(), self.state.keys()).await.map_err(io::Error::other)?;
        self.adopt(meta.last_log_id, &snapshot).map_err(io::Error::other)?;
        self.state.replace(logs);
        *self.current() = Some(openraft::Snapshot { meta: meta.clone(), snapshot });
        Ok(())
    }

    async fn get_current_snapshot(&mut self) -> io::Result<Option<SnapshotOf<TypeConfig, GroupSnapshot>>> {
        Ok(self.current().clone())
    }
}

/// A snapshot on its way into a checkpoint. `build_snapshot` returns once it is durable.
pub struct GroupSnapshotBuilder {
    meta: SnapshotMetaOf<TypeConfig>,
    checkpoint: GroupCheckpoint,
    shards: Vec<ShardSnapshot>,
    flush: FlushHandle,
    current: Arc<Mutex<Option<SnapshotOf<TypeConfig, GroupSnapshot>>>>,
}

impl RaftSnapshotBuilder<TypeConfig> for GroupSnapshotBuilder {
    type SnapshotData = GroupSnapshot;

    async fn build_snapshot(&mut self) -> io::Result<SnapshotOf<TypeConfig, GroupSnapshot>> {
        let shards = std::mem::take(&mut self.shards);
        let durable = self.flush.checkpoint(self.checkpoint.clone(), shards).await;
        let mut current = self.current.lock().expect("no code panics while it holds this lock");
        Ok(match (durable, &*current) {
            (Some(checkpoint), _) => {
                let snapshot =
                    openraft::Snapshot { meta: self.meta.clone(), snapshot: GroupSnapshot(checkpoint) };
                *current = Some(snapshot.clone());
                snapshot
            }
            (None, Some(newer)) => newer.clone(),
            // Between the installation and its end: openraft passes over a state that is older than its newest.
            (None, None) => openraft::Snapshot {
                meta: self.meta.clone(),
                snapshot: GroupSnapshot(Arc::new(self.checkpoint.clone())),
            },
        })
    }
}
