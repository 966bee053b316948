//! Waiting until a learner has the entries of the voters.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use futures_util::future::join_all;
use tidelog_proto::cluster::{GroupStatus, StatusRequest};
use tidelog_storage::wal::GROUPS;
use tokio::time::{Instant, sleep, timeout};

use super::{Administration, AdministrationError, Teller};

/// Entries of each group that a node may lack when it becomes a voter: a busy group has as many under way at any
/// moment.
const LAG_MAX: u64 = 256;
/// Pause between two looks.
const LOOK_EVERY: Duration = Duration::from_millis(500);
/// How often the operator gets a line of progress.
const TELL_EVERY: Duration = Duration::from_secs(5);
/// How long the learner may not answer before the wait is given up.
const SILENCE_MAX: Duration = Duration::from_secs(30);
/// How long followers may take to confirm their positions.
const CONFIRMATION_MAX: Duration = Duration::from_secs(5);
/// Deadline of asking a leader how its groups are.
const STATUS_DEADLINE: Duration = Duration::from_secs(3);

impl Administration {
    /// Returns once the node lacks next to nothing in every group. There is no other deadline than the node's silence:
    /// copying takes as long as there is much to copy.
    pub(super) async fn caught_up(&self, node: u64, teller: &Teller) -> Result<(), AdministrationError> {
        let (mut heard, mut reported) = (Instant::now(), Instant::now());
        loop {
            let lacking = self.lacking(node).await;
            if lacking.values().all(|entries| entries.is_some_and(|entries| entries <= LAG_MAX)) {
                return Ok(());
            }
            if teller.is_gone() {
                return Err(AdministrationError::not_now("nobody waits for it any more"));
            }
            if self.is_reachable(node).await {
                heard = Instant::now();
            } else if heard.elapsed() > SILENCE_MAX {
                return Err(AdministrationError::not_now(format!(
                    "node {node} has not answered for {} seconds while it copied; it stays a learner",
                    SILENCE_MAX.as_secs()
                )));
            }
            if reported.elapsed() >= TELL_EVERY {
                reported = Instant::now();
                teller.tell(described(node, &lacking)).await;
            }
            sleep(LOOK_EVERY).await;
        }
    }

    /// Refuses a change unless a majority of the voters that would be left have confirmed all of each group since
    /// they started: a node that answers and has lost its log is no copy.
    pub(super) async fn check_copies(&self, voters: &[u64]) -> Result<(), AdministrationError> {
        let began = Instant::now();
        loop {
            let groups = self.by_leaders().await;
            let short =
                (0..GROUPS as u32).find_map(|group| missing_copies(group, groups.get(&group), voters));
            let Some(reason) = short else { return Ok(()) };
            // Followers of a leader that was just elected confirm their positions with its next heartbeat.
            if began.elapsed() > CONFIRMATION_MAX {
                return Err(AdministrationError::NotNow(reason));
            }
            sleep(LOOK_EVERY).await;
        }
    }

    /// The number of entries of each group that the node lacks, as the leaders report it; `None` without a report.
    async fn lacking(&self, node: u64) -> BTreeMap<u8, Option<u64>> {
        let groups = self.by_leaders().await;
        let lacking = |group: u8| groups.get(&u32::from(group)).and_then(|status| behind(status, node));
        (0..GROUPS as u8).map(|group| (group, lacking(group))).collect()
    }

    /// Each group's status by its leader.
    async fn by_leaders(&self) -> BTreeMap<u32, GroupStatus> {
        let own = self.status_here();
        let leaders: BTreeSet<u64> = own.iter().map(|group| group.leader).collect();
        let others = leaders.into_iter().filter(|leader| ![0, self.groups.node()].contains(leader));
        let asked = join_all(others.map(|leader| self.status_at(leader))).await;
        let statuses = [(self.groups.node(), own)].into_iter().chain(asked);
        let led = statuses
            .flat_map(|(leader, groups)| groups.into_iter().filter(move |group| group.leader == leader));
        led.map(|group| (group.group, group)).collect()
    }

    async fn status_at(&self, leader: u64) -> (u64, Vec<GroupStatus>) {
        let peers = self.groups.peers();
        let asking = async {
            let mut client = peers.administration(leader).await.ok()?;
            let request = peers.request(leader, StatusRequest {}, Some(STATUS_DEADLINE));
            Some(client.status(request).await.ok()?.into_inner().groups)
        };
        (leader, timeout(STATUS_DEADLINE, asking).await.ok().flatten().unwrap_or_default())
    }
}

/// The number of entries that a node lacks, as the group's leader reports it.
fn behind(status: &GroupStatus, node: u64) -> Option<u64> {
    if status.leader == node {
        return Some(0);
    }
    let matched = status.match_indexes.iter().find(|matched| matched.node == node)?;
    Some(status.last_index.saturating_sub(matched.index))
}

/// Why too few of the voters hold a group, if they do.
fn missing_copies(group: u32, status: Option<&GroupStatus>, voters: &[u64]) -> Option<String> {
    let Some(status) = status else {
        return Some(format!("group {group} has no leader that says which nodes hold it"));
    };
    let is_complete = |voter: &&u64| behind(status, **voter).is_some_and(|entries| entries <= LAG_MAX);
    let (complete, short): (Vec<&u64>, Vec<&u64>) = voters.iter().partition(is_complete);
    let needed = voters.len() / 2 + 1;
    let list = |nodes: Vec<&u64>| nodes.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ");
    (complete.len() < needed).then(|| {
        format!(
            "{needed} of the {} nodes that would be left have to hold all of group {group}, and {} do; without all of it: \
             {}. Wait until these have caught up, or replace them first",
            voters.len(),
            complete.len(),
            list(short)
        )
    })
}

fn described(node: u64, lacking: &BTreeMap<u8, Option<u64>>) -> String {
    let entries: u64 = lacking.values().flatten().sum();
    let behind: Vec<String> = lacking
        .iter()
        .filter(|(_, entries)| entries.is_none_or(|entries| entries > LAG_MAX))
        .map(|(group, _)| group.to_string())
        .collect();
    format!("node {node} still lacks {entries} entries, most of them of the groups {}", behind.join(", "))
}

#[cfg(test)]
mod tests {
    use tidelog_proto::cluster::MatchIndex;

    use super::*;

    #[test]
    fn a_node_that_answers_without_its_log_is_no_copy() {
        let status = |leader: u64, matched: &[(u64, u64)]| GroupStatus {
            group: 4,
            leader,
            last_index: 1_000,
            match_indexes: matched
                .iter()
                .map(|(node, index)| MatchIndex { node: *node, index: *index })
                .collect(),
            ..GroupStatus::default()
        };
        let cases: &[(Option<GroupStatus>, &[u64], bool)] = &[
            (Some(status(1, &[(2, 1_000), (3, 1_000)])), &[1, 2], true),
            (Some(status(3, &[(1, 990), (2, 800)])), &[1, 2], true),
            // Node 2 has lost its log, or has not said anything since it started.
            (Some(status(1, &[(2, 12), (3, 1_000)])), &[1, 2], false),
            (Some(status(1, &[(3, 1_000)])), &[1, 2], false),
            (Some(status(1, &[(3, 1_000)])), &[1, 2, 3], true),
            (Some(status(1, &[])), &[1], true),
            (None, &[1], false),
        ];
        for (status, voters, is_enough) in cases {
            let missing = missing_copies(4, status.as_ref(), voters);
            assert_eq!(missing.is_none(), *is_enough, "{voters:?}: {missing:?}");
        }
    }
}
