//! How the cluster is, as this node sees it.

use std::collections::{BTreeMap, BTreeSet};

use futures_util::future::join_all;
use tidelog_proto::cluster::{GroupStatus, MatchIndex, NodeStatus, StatusResponse};
use tokio::time::timeout;

use super::{Administration, GREETING_DEADLINE};
use crate::cluster::forming::greet;
use crate::cluster::peers::ClusterMember;
use crate::replication;

impl Administration {
    /// How the cluster is; every other member is asked just now, all at once.
    pub async fn status(&self) -> StatusResponse {
        let groups = self.groups.membership().status();
        let mut members: BTreeMap<u64, ClusterMember> = BTreeMap::new();
        let mut voters = BTreeSet::new();
        for group in &groups {
            members.extend(group.members.iter().map(|(id, member)| (*id, member.clone())));
            voters.extend(group.voters.iter().copied());
        }
        let nodes =
            members.into_iter().map(|(id, member)| self.node_status(id, member, voters.contains(&id)));
        let (mut nodes, said): (Vec<NodeStatus>, Vec<_>) = join_all(nodes).await.into_iter().unzip();
        let here = self
            .groups
            .leadership()
            .stalled_followers()
            .into_iter()
            .map(|still| (still.node, u32::from(still.group)));
        let still: BTreeSet<(u64, u32)> = said.into_iter().flatten().chain(here).collect();
        for node in &mut nodes {
            let of_node = still.iter().filter(|(id, _)| *id == node.id);
            node.stalled_groups = of_node.map(|(_, group)| *group).collect();
        }
        StatusResponse {
            cluster: self.groups.peers().identity().map(|identity| identity.cluster).unwrap_or_default(),
            node: self.groups.node(),
            nodes,
            groups: groups.into_iter().map(group_status).collect(),
        }
    }

    /// How this node's groups are, without asking anyone.
    pub(super) fn status_here(&self) -> Vec<GroupStatus> {
        self.groups.membership().status().into_iter().map(group_status).collect()
    }

    /// The state of a node, and the followers that it reports as standing still, by group.
    async fn node_status(
        &self,
        id: u64,
        member: ClusterMember,
        is_voter: bool,
    ) -> (NodeStatus, Vec<(u64, u32)>) {
        let peers = self.groups.peers();
        let address = peers.address(id).filter(|address| !address.is_empty()).unwrap_or(member.address);
        let mut status = NodeStatus {
            id,
            address,
            incarnation: member.incarnation,
            is_voter,
            is_reachable: true,
            version: env!("CARGO_PKG_VERSION").into(),
            reluctance: self.groups.leadership().reluctance().unwrap_or_default(),
            stalled_groups: Vec::new(),
            clock_ms: self.groups.clock().wall_ms(),
            newest_ms: self.groups.newest_time_ms(),
            clock_trouble: self.groups.clock().trouble().unwrap_or_default(),
        };
        if id == self.groups.node() {
            return (status, Vec::new());
        }
        let answer = timeout(GREETING_DEADLINE, greet(peers, id)).await;
        let Ok(Ok(hello)) = answer else {
            let (version, reluctance, clock_trouble) = (String::new(), String::new(), String::new());
            let unreachable = NodeStatus {
                is_reachable: false,
                version,
                reluctance,
                clock_ms: 0,
                newest_ms: 0,
                clock_trouble,
                ..status
            };
            return (unreachable, Vec::new());
        };
        status.clock_ms = hello.clock_ms;
        status.newest_ms = hello.newest_ms;
        status.clock_trouble = hello.clock_trouble;
        status.is_reachable = hello.node == id;
        status.version = hello.version;
        status.reluctance = if hello.node != id {
            format!("node {} answers at its address", hello.node)
        } else if !status.incarnation.is_empty() && status.incarnation != hello.incarnation {
            format!(
                "it has lost its data; give it a new id and run `tidelog cluster replace {id} NEW_ID=HOST:PORT`"
            )
        } else {
            hello.reluctance
        };
        let still = hello.stalled_followers.iter().map(|still| (still.node, still.group)).collect();
        (status, still)
    }
}

fn group_status(group: replication::GroupStatus) -> GroupStatus {
    let match_indexes = group.matched.into_iter().map(|(node, index)| MatchIndex { node, index });
    GroupStatus {
        group: group.group.into(),
        leader: group.leader.unwrap_or_default(),
        term: group.term,
        last_index: group.last_index,
        applied_index: group.applied_index,
        purged_index: group.purged_index,
        match_indexes: match_indexes.collect(),
    }
}
