//! The types openraft is configured with, and their conversions to the types that the log and the checkpoints
//! store.

use std::collections::{BTreeMap, BTreeSet};

use openraft::alias::{LogIdOf, StoredMembershipOf, VoteOf};
use openraft::impls::leader_id_std::LeaderId;
use openraft::impls::{BoxedErrorSource, Entry, EntryPayload, InlineBatch, LogId, Vote};
use openraft::raft::responder::Responder;
use openraft::vote::RaftLeaderId;
use openraft::{Membership, OptionalSend, RaftTypeConfig};
use tidelog_proto::stored;
use tidelog_storage::wal;

use super::command::LogCommand;
use super::outcome::Outcome;
use super::runtime::OwnedRuntime;
use crate::cluster::peers::ClusterMember;

/// Standard Raft: one leader per term, so a log position is a term and an index.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct TypeConfig;

impl RaftTypeConfig for TypeConfig {
    type D = LogCommand;
    type R = Outcome;
    type NodeId = u64;
    type Node = ClusterMember;
    type Term = u64;
    type LeaderId = LeaderId<u64, u64>;
    type Vote = Vote<Self::LeaderId>;
    type Payload = EntryPayload<LogCommand, u64, ClusterMember>;
    type Entry = Entry<<Self::LeaderId as RaftLeaderId>::Committed, Self::Payload>;
    type AsyncRuntime = OwnedRuntime;
    type Responder<T>
        = Callback<T>
    where
        T: OptionalSend + 'static;
    type Batch<T>
        = InlineBatch<T>
    where
        T: OptionalSend + 'static;
    type ErrorSource = BoxedErrorSource;
}

/// Receives the result of a proposal where it is applied, without a task of its own.
pub struct Callback<T>(Box<dyn FnOnce(T) + Send>);

impl<T> Callback<T> {
    /// `then` runs on the group's apply task: it must be short and must not block.
    pub fn new(then: impl FnOnce(T) + Send + 'static) -> Self {
        Self(Box::new(then))
    }
}

impl<T: OptionalSend + 'static> Responder<TypeConfig, T> for Callback<T> {
    fn on_complete(self, result: T) {
        (self.0)(result);
    }
}

/// A position of the log as openraft names it.
pub fn log_id(position: wal::LogPosition) -> LogIdOf<TypeConfig> {
    LogId::new(position.term.into(), position.index)
}

/// An openraft log id as the log stores it.
pub fn position(log_id: &LogIdOf<TypeConfig>) -> wal::LogPosition {
    wal::LogPosition { term: log_id.leader_id.term, index: log_id.index }
}

/// A stored vote as openraft names it.
pub fn raft_vote(vote: wal::Vote) -> VoteOf<TypeConfig> {
    Vote { leader_id: LeaderId { term: vote.term, voted_for: vote.node }, committed: vote.committed }
}

/// An openraft vote as the log stores it.
pub fn stored_vote(vote: &VoteOf<TypeConfig>) -> wal::Vote {
    wal::Vote { term: vote.leader_id.term, node: vote.leader_id.voted_for, committed: vote.committed }
}

/// A membership as the log and checkpoints store it.
pub fn stored_membership(membership: &Membership<u64, ClusterMember>) -> stored::Membership {
    let configs = membership.get_joint_config().iter();
    stored::Membership {
        configs: configs
            .map(|voters| stored::membership::Config { voters: voters.iter().copied().collect() })
            .collect(),
        nodes: membership
            .nodes()
            .map(|(id, node)| stored::membership::Node {
                id: *id,
                address: node.address.clone(),
                incarnation: node.incarnation.clone(),
            })
            .collect(),
    }
}

/// A stored membership as openraft names it; an error for one that openraft refuses.
pub fn raft_membership(stored: &stored::Membership) -> Result<Membership<u64, ClusterMember>, String> {
    let configs: Vec<BTreeSet<u64>> =
        stored.configs.iter().map(|config| config.voters.iter().copied().collect()).collect();
    let member = |node: &stored::membership::Node| ClusterMember {
        address: node.address.clone(),
        incarnation: node.incarnation.clone(),
    };
    let nodes: BTreeMap<u64, ClusterMember> =
        stored.nodes.iter().map(|node| (node.id, member(node))).collect();
    if configs.is_empty() && nodes.is_empty() {
        return Ok(Membership::default());
    }
    Membership::new(configs, nodes).map_err(|error| format!("stored membership: {error}"))
}

/// The last applied membership, as a checkpoint stores it: (log id, membership).
pub fn split_membership(
    membership: &StoredMembershipOf<TypeConfig>,
) -> (Option<stored::LogId>, stored::Membership) {
    let log_id =
        membership.log_id().as_ref().map(|id| stored::LogId { term: id.leader_id.term, index: id.index });
    (log_id, stored_membership(membership.membership()))
}

/// The inverse of [`split_membership`].
pub fn join_membership(
    log_id: Option<&stored::LogId>,
    membership: Option<&stored::Membership>,
) -> Result<StoredMembershipOf<TypeConfig>, String> {
    let log_id = log_id.map(|id| self::log_id(wal::LogPosition { term: id.term, index: id.index }));
    let membership = membership.map_or_else(|| Ok(Membership::default()), raft_membership)?;
    Ok(StoredMembershipOf::<TypeConfig>::new(log_id, membership))
}
