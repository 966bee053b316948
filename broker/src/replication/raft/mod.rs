//! openraft's seams: the log store, the state machine, the network, and how a group is configured and started.
//!
//! Requests of peers are checked against this node's promises before openraft sees them ([`promises`]).
//! [`progress`] and [`replicated`] remember the positions that followers have confirmed.

pub mod group_state;
pub mod log_store;
pub mod machine;
pub mod messages;
pub mod network;
pub mod progress;
pub mod promises;
pub mod replicated;
pub mod send_snapshot;
pub mod start;

use std::sync::Arc;

use super::types::config::TypeConfig;

/// The Raft of one group.
pub type GroupRaft = openraft::Raft<TypeConfig, machine::Machine>;

/// The Rafts of a node's groups. Clones are the same.
#[derive(Clone)]
pub struct Rafts(Arc<[GroupRaft]>);

impl Rafts {
    /// The Rafts by group, from group 0 on.
    pub fn new(rafts: Vec<GroupRaft>) -> Self {
        Self(rafts.into())
    }

    /// The Raft of a group.
    pub fn of(&self, group: u8) -> &GroupRaft {
        &self.0[usize::from(group)]
    }

    /// Each group with its Raft.
    pub fn iter(&self) -> impl Iterator<Item = (u8, &GroupRaft)> {
        (0..).zip(self.0.iter())
    }

    /// How many groups there are.
    pub fn count(&self) -> usize {
        self.0.len()
    }
}
