//! The state of a group's machine: streams and keys in group 0, shards in groups 1 to 6.

use std::sync::Arc;

use bytes::Bytes;
use openraft::alias::StoredMembershipOf;
use prost::Message;
use tidelog_proto::stored;
use tidelog_storage::shard::{Bounds, ShardKey, ShardLog, ShardSnapshot};

use crate::replication::data::state::DataState;
use crate::replication::metadata::published::Published;
use crate::replication::metadata::state::MetaState;
use crate::replication::types::command::LogCommand;
use crate::replication::types::config::{TypeConfig, join_membership, split_membership};
use crate::replication::types::outcome::Outcome;

/// The state of a group's machine.
pub enum GroupState {
    /// Group 0.
    Meta {
        /// Streams and keys.
        state: MetaState,
        /// Where each new state is shown.
        published: Published,
    },
    /// Groups 1 to 6.
    Data(DataState),
}

impl GroupState {
    /// Applies a command.
    ///
    /// # Panics
    /// When the command belongs to another group.
    pub fn apply(&mut self, command: &LogCommand) -> Outcome {
        match (self, command) {
            (Self::Meta { state, published }, LogCommand::Meta(command)) => {
                let outcome = state.apply(command);
                published.show(state, command);
                Outcome::Meta(outcome)
            }
            (Self::Data(state), LogCommand::Records(batches)) => {
                Outcome::Appended(batches.iter().map(|batch| state.append(batch)).collect())
            }
            (Self::Data(state), LogCommand::Data(command)) => state.control(command),
            (_, command) => panic!("a command of another group: {command}"),
        }
    }

    /// Notes the members of the group. The metadata keeps every node that ever was a member.
    pub fn note_members(&mut self, members: impl Iterator<Item = u64>) {
        if let Self::Meta { state, published } = self {
            state.note_members(members);
            published.show_all(state);
        }
    }

    /// The data group's state; `None` for the metadata group.
    pub fn data(&self) -> Option<&DataState> {
        match self {
            Self::Meta { .. } => None,
            Self::Data(state) => Some(state),
        }
    }

    /// Takes the shards of a checkpoint, which the store has opened.
    ///
    /// # Errors
    /// When a shard is not open, or the group has none.
    pub fn attach(&mut self, mut keys: impl Iterator<Item = ShardKey>) -> Result<(), String> {
        match self {
            Self::Meta { .. } if keys.next().is_some() => {
                Err("the metadata group's checkpoint names shards".into())
            }
            Self::Meta { .. } => Ok(()),
            Self::Data(state) => state.attach(keys),
        }
    }

    /// The group's shards.
    pub fn keys(&self) -> Vec<ShardKey> {
        self.data().map(DataState::keys).unwrap_or_default()
    }

    /// Replaces the shards of the group by these.
    pub fn replace(&mut self, logs: Vec<Arc<ShardLog>>) {
        if let Self::Data(state) = self {
            state.replace(logs);
        }
    }

    /// The state as a checkpoint stores it, with the group's members.
    pub fn store(&self, membership: &StoredMembershipOf<TypeConfig>) -> Bytes {
        let (membership_log_id, membership) = split_membership(membership);
        let membership = Some(membership);
        let bytes = match self {
            Self::Meta { state, .. } => {
                stored::MetaState { membership, membership_log_id, ..state.store() }.encode_to_vec()
            }
            Self::Data(state) => {
                stored::DataState { membership, membership_log_id, ..state.store() }.encode_to_vec()
            }
        };
        bytes.into()
    }

    /// Takes over the broker's part of a checkpoint's state; gives the group's members by it.
    ///
    /// # Errors
    /// When a newer version has stored it, or it is damaged.
    pub fn restore(&mut self, stored: Bytes) -> Result<StoredMembershipOf<TypeConfig>, String> {
        match self {
            Self::Meta { state, published } => {
                let stored = stored::MetaState::decode(stored).map_err(|error| broken(&error))?;
                *state = MetaState::restore(&stored)?;
                published.show_all(state);
                join_membership(stored.membership_log_id.as_ref(), stored.membership.as_ref())
            }
            Self::Data(state) => {
                let stored = stored::DataState::decode(stored).map_err(|error| broken(&error))?;
                state.restore(&stored)?;
                join_membership(stored.membership_log_id.as_ref(), stored.membership.as_ref())
            }
        }
    }

    /// Where the records of the group's shards begin and end.
    pub fn bounds(&self) -> Vec<(ShardKey, Bounds)> {
        self.data().map(DataState::bounds).unwrap_or_default()
    }

    /// The group's shards as they are now.
    pub fn snapshot_shards(&self) -> Vec<ShardSnapshot> {
        self.data().map(DataState::snapshot_shards).unwrap_or_default()
    }
}

/// The sentence about a stored state that does not decode.
pub fn broken(error: &prost::DecodeError) -> String {
    format!("checkpointed state of group: {error}")
}

#[cfg(test)]
mod tests;
