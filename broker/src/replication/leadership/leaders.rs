//! The leaders of the groups, as this node knows them, and the handle of everything that concerns leading.

use std::sync::Arc;

use openraft::ServerState;
use openraft::async_runtime::WatchReceiver;
use tidelog_storage::wal::GROUPS;
use tokio::sync::watch;
use tokio::time::{Instant, timeout_at};

use super::lease::{LeaderLease, answered};
use crate::cluster::peers::{Client, ClusterMember, Lane, Peers};
use crate::replication::appends::Appends;
use crate::replication::metadata::META_GROUP;
use crate::replication::raft::progress::ReplicationProgress;
use crate::replication::raft::promises::Promises;
use crate::replication::raft::{GroupRaft, Rafts};
use crate::replication::workers::node_disk::NodeDisk;
use crate::shell::{OwnerGone, Shell};

/// The reason that a node gives its peers for leading nothing when it is about to stop.
pub const STOPPING: &str = "stopping";

/// Where a group is led.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Leader {
    /// By this node.
    Here,
    /// By that node.
    At(u64),
    /// Nobody knows right now; also for a leader that has heard no majority for as long as its lease lasts.
    #[default]
    Unknown,
}

/// The leaders of all groups.
pub type Leaders = Arc<Vec<Leader>>;

/// Follows a group's leadership and membership until the group ends.
pub fn follow(
    group: u8,
    raft: &GroupRaft,
    leaders: &watch::Sender<Leaders>,
    peers: &Arc<Peers>,
    shell: &Shell,
) {
    let mut metrics = raft.server_metrics();
    let (raft, leaders, peers) = (raft.clone(), leaders.clone(), peers.clone());
    shell.spawn_owned(&format!("leadership of group {group}"), async move {
        loop {
            let (leader, lease, members) = {
                let now = metrics.borrow_watched();
                let membership = now.membership_config.membership();
                let lease = match now.current_leader {
                    Some(node) if node == peers.node() && now.state == ServerState::Leader => {
                        LeaderLease::of_leader(membership.voter_ids().eq([node]), answered(&raft))
                    }
                    _ => LeaderLease::None,
                };
                let leader = match now.current_leader {
                    Some(node) if node != peers.node() => Leader::At(node),
                    _ if lease.is_valid(Instant::now()) => Leader::Here,
                    _ => Leader::Unknown,
                };
                let members: std::collections::BTreeMap<u64, ClusterMember> =
                    membership.nodes().map(|(id, member)| (*id, member.clone())).collect();
                (leader, lease, members)
            };
            if group == META_GROUP && !members.is_empty() {
                peers.set_members(members);
            }
            leaders.send_if_modified(|known| {
                let is_new = known[usize::from(group)] != leader;
                if is_new {
                    tracing::debug!(group, ?leader, "the leader of a group has changed");
                    Arc::make_mut(known)[usize::from(group)] = leader;
                }
                is_new
            });
            let is_running = tokio::select! {
                changed = metrics.changed() => changed.is_ok(),
                () = lease.changed(&raft) => true,
            };
            if !is_running {
                // Without Raft, tasks would wait in vain for this node to lead, or for another leader.
                leaders.send_modify(|known| Arc::make_mut(known)[usize::from(group)] = Leader::Unknown);
                return OwnerGone;
            }
        }
    });
}

/// The leaders that are known before any group has run.
pub fn unknown() -> watch::Sender<Leaders> {
    watch::Sender::new(Arc::new(vec![Leader::Unknown; GROUPS]))
}

/// Knows the leader of each group, and hands groups over.
pub struct Leadership {
    pub(super) rafts: Rafts,
    pub(super) peers: Arc<Peers>,
    pub(super) appends: Arc<Appends>,
    pub(super) disk: Arc<NodeDisk>,
    pub(super) progress: Arc<ReplicationProgress>,
    /// Promises of this node in the metadata group.
    metadata: Arc<Promises>,
    leaders: watch::Sender<Leaders>,
    /// Why this node would rather not lead.
    reluctance: watch::Sender<Option<String>>,
    /// True once the groups have ended.
    over: watch::Sender<bool>,
}

impl Leadership {
    /// The leadership of groups that [`follow`] already keeps `leaders` for.
    pub fn new(
        (rafts, leaders): (Rafts, watch::Sender<Leaders>),
        peers: Arc<Peers>,
        appends: Arc<Appends>,
        disk: Arc<NodeDisk>,
        (progress, metadata): (Arc<ReplicationProgress>, Arc<Promises>),
    ) -> Self {
        let (reluctance, over) = (watch::Sender::default(), watch::Sender::default());
        Self { rafts, peers, appends, disk, progress, metadata, leaders, reluctance, over }
    }

    /// Where a group is led.
    pub fn leader(&self, group: u8) -> Leader {
        self.leaders.borrow()[usize::from(group)]
    }

    /// Where every group is led.
    pub fn leaders(&self) -> Leaders {
        self.leaders.borrow().clone()
    }

    /// Follows the leader of each group.
    pub fn watch_leaders(&self) -> watch::Receiver<Leaders> {
        self.leaders.subscribe()
    }

    /// Where a group is led, once that is known, the time is up or the groups have ended.
    pub async fn leader_within(&self, group: u8, ends: Instant) -> Leader {
        let (mut leaders, mut over) = (self.watch_leaders(), self.over.subscribe());
        let known = leaders.wait_for(|leaders| leaders[usize::from(group)] != Leader::Unknown);
        tokio::select! {
            biased;
            known = timeout_at(ends, known) => match known {
                Ok(Ok(leaders)) => leaders[usize::from(group)],
                _ => Leader::Unknown,
            },
            _ = over.wait_for(|is_over| *is_over) => Leader::Unknown,
        }
    }

    pub(super) fn led_groups(&self) -> Vec<u8> {
        let leaders = self.leaders.borrow();
        (0..)
            .zip(leaders.iter())
            .filter(|(_, leader)| **leader == Leader::Here)
            .map(|(group, _)| group)
            .collect()
    }

    /// Why this node would rather not lead anything, if it would not.
    pub fn reluctance(&self) -> Option<String> {
        self.reluctance.borrow().clone()
    }

    /// From now on this node would rather not lead, or would again.
    pub fn set_reluctance(&self, reason: Option<&str>) {
        self.reluctance.send_if_modified(|known| {
            let is_new = known.as_deref() != reason;
            *known = reason.map(ToOwned::to_owned);
            is_new
        });
    }

    /// A client of a node; `None` when it cannot be reached, or no longer leads the group by the time it is: a node
    /// that has vanished does not refuse connections.
    pub async fn client_while_leading(&self, node: u64, group: u8, lane: Lane) -> Option<Client> {
        let mut leaders = self.watch_leaders();
        tokio::select! {
            biased;
            client = self.peers.client(node, lane) => {
                client.inspect_err(|error| tracing::debug!(%error, "cannot reach a group's leader")).ok()
            }
            _ = leaders.wait_for(|leaders| leaders[usize::from(group)] != Leader::At(node)) => None,
        }
    }

    /// Follows the reason why this node would rather not lead.
    pub fn watch_reluctance(&self) -> watch::Receiver<Option<String>> {
        self.reluctance.subscribe()
    }

    /// Up to where this node has applied the metadata.
    pub fn metadata_applied(&self) -> u64 {
        self.metadata.applied()
    }

    /// True once the groups have ended.
    pub fn is_over(&self) -> bool {
        *self.over.borrow()
    }

    /// The groups have ended: nobody waits for a leader any more.
    pub fn end(&self) {
        self.over.send_replace(true);
    }
}
