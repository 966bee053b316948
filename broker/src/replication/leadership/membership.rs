//! The members of the cluster: the same in every group, changed group by group by each group's leader.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use openraft::ChangeMembers;
use openraft::async_runtime::WatchReceiver;
use openraft::errors::{ClientWriteError, RaftError};
use tidelog_proto::peer;
use tidelog_storage::wal::GROUPS;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::{Instant, sleep, timeout};

use super::leaders::{Leader, Leadership};
use crate::cluster::peers::{ClusterMember, Lane, Peers};
use crate::replication::raft::Rafts;
use crate::replication::raft::messages::read_outcome;

/// How long one change of one group may take. A learner catches up before it becomes a voter, not within this.
const CHANGE_DEADLINE: Duration = Duration::from_secs(20);
/// Pause before a change that found no leader is tried again.
const TRY_AGAIN: Duration = Duration::from_millis(100);

/// A change of a group's members: the learners come in, then the voters become the named nodes, if any are named,
/// and nodes that are neither leave.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct MembershipChange {
    /// Members to come in, by id.
    pub learners: BTreeMap<u64, ClusterMember>,
    /// All voters from then on; empty for no change of these.
    pub voters: BTreeSet<u64>,
}

impl MembershipChange {
    fn has(&self, node: u64) -> bool {
        self.voters.contains(&node) || self.learners.contains_key(&node)
    }
}

/// Why members were not changed. Trying again is safe: a change that is there already is none.
#[derive(Clone, Debug, thiserror::Error)]
pub enum MembershipError {
    /// No leader took it in time.
    #[error("group {0} has no leader that takes the change: a majority of the voters must be up")]
    NoLeader(u8),
    /// The leader refused.
    #[error("group {group}: {reason}")]
    Refused {
        /// The group.
        group: u8,
        /// The leader's words.
        reason: String,
    },
}

/// How a group is, as this node knows.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GroupStatus {
    /// The group.
    pub group: u8,
    /// The node that leads it.
    pub leader: Option<u64>,
    /// The newest term.
    pub term: u64,
    /// The last entry of this node's log, 0 for none.
    pub last_index: u64,
    /// The last one applied here, 0 for none.
    pub applied_index: u64,
    /// The last one purged here, 0 for none.
    pub purged_index: u64,
    /// The indexes that the present processes of the others have confirmed, when this node leads the group.
    pub matched: BTreeMap<u64, u64>,
    /// The voters.
    pub voters: BTreeSet<u64>,
    /// Every member.
    pub members: BTreeMap<u64, ClusterMember>,
}

/// Reports the members of each group, and changes them.
pub struct Membership {
    rafts: Rafts,
    peers: Arc<Peers>,
    leadership: Arc<Leadership>,
    /// One permit, which an operator's change of the members holds while it is under way here.
    changing: Arc<Semaphore>,
}

impl Membership {
    /// The membership of these groups.
    pub fn new(rafts: Rafts, peers: Arc<Peers>, leadership: Arc<Leadership>) -> Self {
        Self { rafts, peers, leadership, changing: Arc::new(Semaphore::new(1)) }
    }

    /// Begins an operator's change of the members, which lasts as long as the returned guard; `None` while there is
    /// one under way here.
    pub fn begin_changing(&self) -> Option<OwnedSemaphorePermit> {
        self.changing.clone().try_acquire_owned().ok()
    }

    /// Whether an operator's change of the members is under way here.
    pub fn is_changing(&self) -> bool {
        self.changing.available_permits() == 0
    }

    /// The voters of a group, as this node has applied them.
    pub fn voters(&self, group: u8) -> BTreeSet<u64> {
        let metrics = self.rafts.of(group).metrics();
        metrics.borrow_watched().membership_config.membership().voter_ids().collect()
    }

    /// Whether the groups have voters beside this node, by their states: their metrics name none before they have been
    /// published for the first time. A group that has stopped has none.
    pub async fn has_other_voters(&self) -> bool {
        let own = self.peers.node();
        for (_, raft) in self.rafts.iter() {
            let others = raft.with_raft_state(move |state| {
                state.membership_state.effective().voter_ids().any(|voter| voter != own)
            });
            if others.await.unwrap_or(false) {
                return true;
            }
        }
        false
    }

    /// How every group is.
    pub fn status(&self) -> Vec<GroupStatus> {
        (0..GROUPS as u8).map(|group| self.group_status(group)).collect()
    }

    fn group_status(&self, group: u8) -> GroupStatus {
        let matched = self.leadership.confirmed(group);
        let metrics = self.rafts.of(group).metrics();
        let metrics = metrics.borrow_watched();
        let membership = metrics.membership_config.membership();
        let index = |log_id: Option<u64>| log_id.unwrap_or(0);
        GroupStatus {
            group,
            leader: metrics.current_leader,
            term: metrics.current_term,
            last_index: index(metrics.last_log_index),
            applied_index: index(metrics.last_applied.as_ref().map(|at| at.index)),
            purged_index: index(metrics.purged.as_ref().map(|at| at.index)),
            matched,
            voters: membership.voter_ids().collect(),
            members: membership.nodes().map(|(id, member)| (*id, member.clone())).collect(),
        }
    }

    /// Changes a group's members, wherever it is led. A group that has the wanted members already is skipped.
    ///
    /// # Errors
    /// [`MembershipError`].
    pub async fn change(&self, group: u8, change: &MembershipChange) -> Result<(), MembershipError> {
        let ends = Instant::now() + CHANGE_DEADLINE;
        loop {
            let tried = match self.leadership.leader_within(group, ends).await {
                Leader::Here => self.change_here(group, change).await,
                Leader::At(node) => self.change_at(node, group, change).await,
                Leader::Unknown => Err(MembershipError::NoLeader(group)),
            };
            match tried {
                Err(MembershipError::NoLeader(_)) if Instant::now() + TRY_AGAIN < ends => {
                    sleep(TRY_AGAIN).await;
                }
                done => return done,
            }
        }
    }

    /// Changes the members of a group that is led here, as [`Membership::change`] does.
    ///
    /// # Errors
    /// [`MembershipError`].
    pub async fn change_here(&self, group: u8, change: &MembershipChange) -> Result<(), MembershipError> {
        let status = self.group_status(group);
        let new: BTreeMap<u64, ClusterMember> = change
            .learners
            .iter()
            .filter(|(id, member)| status.members.get(id) != Some(member))
            .map(|(id, member)| (*id, member.clone()))
            .collect();
        if !new.is_empty() {
            // Known nodes get a new address; unknown ones come in as learners.
            let (known, unknown): (BTreeMap<_, _>, BTreeMap<_, _>) =
                new.into_iter().partition(|(id, _)| status.members.contains_key(id));
            if !known.is_empty() {
                self.run(group, ChangeMembers::SetNodes(known)).await?;
            }
            if !unknown.is_empty() {
                self.run(group, ChangeMembers::AddNodes(unknown)).await?;
            }
        }
        if !change.voters.is_empty() {
            if status.voters != change.voters || self.is_joint(group) {
                self.run(group, ChangeMembers::ReplaceAllVoters(change.voters.clone())).await?;
            }
            let members = self.group_status(group).members;
            let gone: BTreeSet<u64> = members.keys().filter(|id| !change.has(**id)).copied().collect();
            if !gone.is_empty() {
                self.run(group, ChangeMembers::RemoveNodes(gone)).await?;
            }
        }
        Ok(())
    }

    /// Whether a change of voters was interrupted between its two steps.
    fn is_joint(&self, group: u8) -> bool {
        let metrics = self.rafts.of(group).metrics();
        metrics.borrow_watched().membership_config.membership().get_joint_config().len() > 1
    }

    async fn run(
        &self,
        group: u8,
        members: ChangeMembers<u64, ClusterMember>,
    ) -> Result<(), MembershipError> {
        let raft = self.rafts.of(group);
        let changing = raft.change_membership(members, true);
        match timeout(CHANGE_DEADLINE, changing).await {
            Ok(Ok(_)) => Ok(()),
            Ok(Err(RaftError::APIError(ClientWriteError::ForwardToLeader(_)))) => {
                Err(MembershipError::NoLeader(group))
            }
            Ok(Err(error)) => Err(MembershipError::Refused { group, reason: error.to_string() }),
            Err(_) => Err(MembershipError::Refused { group, reason: "no majority agreed in time".into() }),
        }
    }

    async fn change_at(
        &self,
        node: u64,
        group: u8,
        change: &MembershipChange,
    ) -> Result<(), MembershipError> {
        let no_leader = MembershipError::NoLeader(group);
        let Ok(mut client) = self.peers.client(node, Lane::Requests).await else { return Err(no_leader) };
        let member = |(id, member): (&u64, &ClusterMember)| peer::Member {
            node: *id,
            address: member.address.clone(),
            incarnation: member.incarnation.clone(),
            is_voter: false,
        };
        let message = peer::ChangeMembershipRequest {
            group: group.into(),
            learners: change.learners.iter().map(member).collect(),
            voters: change.voters.iter().copied().collect(),
        };
        let call = client.change_membership(self.peers.request(node, message, Some(CHANGE_DEADLINE * 2)));
        let refused = |reason: String| MembershipError::Refused { group, reason };
        let answer = timeout(CHANGE_DEADLINE * 2, call).await;
        let answer = answer.map_err(|_| refused(format!("node {node} has not answered in time")))?;
        let answer = answer.map_err(|status| refused(status.message().to_owned()))?.into_inner();
        match read_outcome(answer.outcome) {
            peer::Outcome::Applied => Ok(()),
            peer::Outcome::NotProposed if answer.refusal.is_empty() => Err(no_leader),
            _ => Err(refused(answer.refusal)),
        }
    }

    /// Brings the members of a group that is led here to the addresses of the settings, and this node's own entry to
    /// its incarnation: a node that was on its own has neither.
    pub async fn keep_addresses(&self, group: u8) {
        let mut changed = BTreeMap::new();
        for (id, member) in self.group_status(group).members {
            let mut wanted = member.clone();
            if let Some(address) = self.peers.configured().get(&id) {
                wanted.address.clone_from(address);
            }
            if let Some(identity) = self.peers.identity().filter(|identity| identity.node == id) {
                wanted.incarnation = identity.incarnation;
            }
            if wanted != member {
                changed.insert(id, wanted);
            }
        }
        if changed.is_empty() {
            return;
        }
        let change = MembershipChange { learners: changed, voters: BTreeSet::new() };
        if let Err(error) = self.change_here(group, &change).await {
            tracing::warn!(group, %error, "cannot update the addresses of a group's members; they stay as they were");
        }
    }
}
