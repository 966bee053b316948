//! Who belongs to the cluster: the same members in every group, changed group by group by each group's leader.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use openraft::ChangeMembers;
use openraft::async_runtime::WatchReceiver;
use openraft::errors::{ClientWriteError, RaftError};
use tidelog_proto::peer;
use tidelog_storage::wal::GROUPS;
use tokio::sync::OwnedSemaphorePermit;
use tokio::time::{Instant, sleep, timeout};

use super::groups::Groups;
use super::leaders::Leader;
use super::peer_messages::read_outcome;
use crate::cluster::peers::{Lane, Member};

/// How long one change of one group may take. A learner catches up before it becomes a voter, not within this.
const CHANGE_DEADLINE: Duration = Duration::from_secs(20);
/// Pause before a change that found no leader is tried again.
const TRY_AGAIN: Duration = Duration::from_millis(100);

/// A change of a group's members: the learners come in, then the voters become those named, if any are, and whoever is
/// neither goes.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct MembershipChange {
    /// Members to come in, by id.
    pub learners: BTreeMap<u64, Member>,
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
        /// Its words.
        reason: String,
    },
}

/// How a group is, as this node knows.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GroupStatus {
    /// The group.
    pub group: u8,
    /// Who leads it.
    pub leader: Option<u64>,
    /// The newest term.
    pub term: u64,
    /// The last entry of this node's log, 0 for none.
    pub last_index: u64,
    /// The last one applied here, 0 for none.
    pub applied_index: u64,
    /// The last one purged here, 0 for none.
    pub purged_index: u64,
    /// What the present processes of the others have confirmed, when this node leads the group.
    pub matched: BTreeMap<u64, u64>,
    /// Its voters.
    pub voters: BTreeSet<u64>,
    /// Every member.
    pub members: BTreeMap<u64, Member>,
}

impl Groups {
    /// Begins an operator's change of the members, which lasts as long as what it returns; `None` while there is one
    /// under way here.
    pub fn begin_changing(&self) -> Option<OwnedSemaphorePermit> {
        self.changing.clone().try_acquire_owned().ok()
    }

    /// Whether an operator's change of the members is under way here.
    pub fn is_changing(&self) -> bool {
        self.changing.available_permits() == 0
    }

    /// Who votes in a group, as this node has applied it.
    pub fn voters(&self, group: u8) -> BTreeSet<u64> {
        let metrics = self.rafts[usize::from(group)].metrics();
        metrics.borrow_watched().membership_config.membership().voter_ids().collect()
    }

    /// How every group is.
    pub fn status(&self) -> Vec<GroupStatus> {
        (0..GROUPS as u8).map(|group| self.group_status(group)).collect()
    }

    fn group_status(&self, group: u8) -> GroupStatus {
        let matched = self.confirmed(group);
        let metrics = self.rafts[usize::from(group)].metrics();
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

    /// Changes a group's members, wherever it is led. What is as wanted already is left.
    ///
    /// # Errors
    /// [`MembershipError`].
    pub async fn change_membership(
        &self,
        group: u8,
        change: &MembershipChange,
    ) -> Result<(), MembershipError> {
        let ends = Instant::now() + CHANGE_DEADLINE;
        loop {
            let tried = match self.leader_within(group, ends).await {
                Leader::Here => self.change_membership_here(group, change).await,
                Leader::At(node) => self.change_membership_at(node, group, change).await,
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

    /// As [`Groups::change_membership`], for a group that is led here.
    ///
    /// # Errors
    /// [`MembershipError`].
    pub async fn change_membership_here(
        &self,
        group: u8,
        change: &MembershipChange,
    ) -> Result<(), MembershipError> {
        let status = self.group_status(group);
        let new: BTreeMap<u64, Member> = change
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
                self.change(group, ChangeMembers::SetNodes(known)).await?;
            }
            if !unknown.is_empty() {
                self.change(group, ChangeMembers::AddNodes(unknown)).await?;
            }
        }
        if !change.voters.is_empty() {
            if status.voters != change.voters || self.is_joint(group) {
                self.change(group, ChangeMembers::ReplaceAllVoters(change.voters.clone())).await?;
            }
            let members = self.group_status(group).members;
            let gone: BTreeSet<u64> = members.keys().filter(|id| !change.has(**id)).copied().collect();
            if !gone.is_empty() {
                self.change(group, ChangeMembers::RemoveNodes(gone)).await?;
            }
        }
        Ok(())
    }

    /// Whether a change of voters was cut short between its two steps.
    fn is_joint(&self, group: u8) -> bool {
        let metrics = self.rafts[usize::from(group)].metrics();
        metrics.borrow_watched().membership_config.membership().get_joint_config().len() > 1
    }

    async fn change(&self, group: u8, members: ChangeMembers<u64, Member>) -> Result<(), MembershipError> {
        let raft = &self.rafts[usize::from(group)];
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

    async fn change_membership_at(
        &self,
        node: u64,
        group: u8,
        change: &MembershipChange,
    ) -> Result<(), MembershipError> {
        let no_leader = MembershipError::NoLeader(group);
        let Ok(mut client) = self.peers.client(node, Lane::Requests).await else { return Err(no_leader) };
        let member = |(id, member): (&u64, &Member)| peer::Member {
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
    pub(super) async fn keep_addresses(&self, group: u8) {
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
        if let Err(error) = self.change_membership_here(group, &change).await {
            tracing::warn!(group, %error, "the members' addresses stay as they were");
        }
    }

    /// Hands a group over to `to`, wherever it is led; true when its leader has let go of it, or is `to` already.
    pub async fn transfer(&self, group: u8, to: u64) -> bool {
        match self.leader(group) {
            Leader::Here if to == self.node() => true,
            Leader::Here => self.hand_over(group, to).await,
            Leader::At(node) if node == to => true,
            Leader::At(node) => {
                let Ok(mut client) = self.peers.client(node, Lane::Requests).await else { return false };
                let message = peer::HandOverRequest { group: group.into(), to };
                let call = client.hand_over(self.peers.request(node, message, Some(CHANGE_DEADLINE)));
                let answer = timeout(CHANGE_DEADLINE, call).await;
                let is_applied =
                    |answer: peer::HandOverResponse| read_outcome(answer.outcome) == peer::Outcome::Applied;
                answer.is_ok_and(|answer| answer.is_ok_and(|answer| is_applied(answer.into_inner())))
            }
            Leader::Unknown => false,
        }
    }
}
