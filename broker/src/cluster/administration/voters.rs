//! The step that counts: another set of voters, group by group.

use std::collections::{BTreeMap, BTreeSet};

use tidelog_storage::wal::GROUPS;

use super::{Administration, AdministrationError, Teller};
use crate::cluster::peers::ClusterMember;
use crate::replication::{GroupStatus, META_GROUP, MembershipChange};

impl Administration {
    /// Makes `come` a voter of every group and takes `go` out of each, in one change. The metadata group is last: as
    /// long as it lists a node, the others find it.
    pub(super) async fn change_voters(
        &self,
        come: Option<u64>,
        go: Option<u64>,
        teller: &Teller,
    ) -> Result<(), AdministrationError> {
        for group in (1..GROUPS as u8).chain([META_GROUP]) {
            let status = self.current(group).await?;
            let Some(change) = change(&status, come, go) else { continue };
            if let Some(gone) = go.filter(|go| status.leader == Some(*go)) {
                self.relieve(group, gone, &change.voters).await;
            }
            self.groups.membership().change(group, &change).await?;
            let voters: Vec<String> = change.voters.iter().map(ToString::to_string).collect();
            teller.tell(format!("group {group}: the voters are {}", voters.join(", "))).await;
        }
        Ok(())
    }

    /// Hands the group to one of the voters that stay, if the node that goes still can. Otherwise they elect one.
    async fn relieve(&self, group: u8, gone: u64, voters: &BTreeSet<u64>) {
        for successor in voters.iter().filter(|successor| **successor != gone) {
            if self.is_reachable(*successor).await
                && self.groups.leadership().transfer(group, *successor).await
            {
                return;
            }
        }
    }

    /// Whether any group counts that node in.
    pub(super) fn is_member(&self, node: u64) -> bool {
        self.groups.membership().status().iter().any(|group| group.members.contains_key(&node))
    }

    pub(super) fn check_not_own(&self, node: u64) -> Result<(), AdministrationError> {
        if node != self.groups.node() {
            return Ok(());
        }
        Err(AdministrationError::refused(format!(
            "node {node} does not take itself out: run the command at another node, with --at"
        )))
    }
}

/// The change that a group needs; `None` when it is as wanted.
fn change(status: &GroupStatus, come: Option<u64>, go: Option<u64>) -> Option<MembershipChange> {
    let stays = |node: &u64| Some(*node) != go;
    let voters: BTreeSet<u64> = status.voters.iter().copied().chain(come).filter(stays).collect();
    let is_there = go.is_some_and(|go| status.members.contains_key(&go));
    if voters == status.voters && !is_there {
        return None;
    }
    let is_learner = |node: &u64| !voters.contains(node) && stays(node);
    let learners: BTreeMap<u64, ClusterMember> = status
        .members
        .iter()
        .filter(|(node, _)| is_learner(node))
        .map(|(node, member)| (*node, member.clone()))
        .collect();
    Some(MembershipChange { learners, voters })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn status(voters: &[u64], members: &[u64]) -> GroupStatus {
        GroupStatus {
            group: 1,
            leader: None,
            term: 1,
            last_index: 0,
            applied_index: 0,
            purged_index: 0,
            matched: BTreeMap::new(),
            voters: voters.iter().copied().collect(),
            members: members.iter().map(|node| (*node, ClusterMember::default())).collect(),
        }
    }

    #[test]
    fn a_change_names_all_voters_and_keeps_the_other_learners() {
        type Nodes = &'static [u64];
        type Changed = Option<(Vec<u64>, Vec<u64>)>;
        type Case = (Nodes, Nodes, Option<u64>, Option<u64>, Changed);
        let cases: [Case; 8] = [
            (&[1], &[1, 2], Some(2), None, Some((vec![1, 2], vec![]))),
            (&[1], &[1, 2, 3], Some(2), None, Some((vec![1, 2], vec![3]))),
            (&[1, 2, 3], &[1, 2, 3, 4], Some(4), Some(3), Some((vec![1, 2, 4], vec![]))),
            (&[1, 2, 3], &[1, 2, 3], None, Some(3), Some((vec![1, 2], vec![]))),
            (&[1, 2], &[1, 2, 3], None, Some(3), Some((vec![1, 2], vec![]))),
            (&[1, 2, 4], &[1, 2, 3, 4], Some(4), Some(3), Some((vec![1, 2, 4], vec![]))),
            (&[1, 2, 4], &[1, 2, 4], Some(4), Some(3), None),
            (&[1, 2], &[1, 2], None, Some(3), None),
        ];
        for (voters, members, come, go, expected) in cases {
            let changed = change(&status(voters, members), come, go)
                .map(|change| (change.voters.into_iter().collect(), change.learners.into_keys().collect()));
            assert_eq!(changed, expected, "{voters:?} of {members:?}, {come:?} comes, {go:?} goes");
        }
    }
}
