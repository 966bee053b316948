//! Waiting until a learner has what the voters have.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use futures_util::future::join_all;
use tidelog_proto::cluster::{GroupStatus, StatusRequest};
use tidelog_storage::wal::GROUPS;
use tokio::time::{Instant, sleep, timeout};

use super::{Administration, AdministrationError, Teller};

/// Entries of each group that a node may lack when it becomes a voter: what is under way at any moment of a busy
/// group.
const LAG_MAX: u64 = 256;
/// Pause between two looks.
const LOOK_EVERY: Duration = Duration::from_millis(500);
/// How often the operator is told how it goes.
const TELL_EVERY: Duration = Duration::from_secs(5);
/// How long the learner may not answer before the wait is given up.
const SILENCE_MAX: Duration = Duration::from_secs(30);
/// Deadline of asking a leader how its groups are.
const STATUS_DEADLINE: Duration = Duration::from_secs(3);

impl Administration {
    /// Returns once the node lacks next to nothing in every group. There is no other deadline than the node's silence:
    /// copying takes as long as there is much to copy.
    pub(super) async fn caught_up(&self, node: u64, teller: &Teller) -> Result<(), AdministrationError> {
        let (mut heard, mut told) = (Instant::now(), Instant::now());
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
            if told.elapsed() >= TELL_EVERY {
                told = Instant::now();
                teller.tell(described(node, &lacking)).await;
            }
            sleep(LOOK_EVERY).await;
        }
    }

    /// How many entries of each group the node lacks, as their leaders know; `None` where none says so.
    async fn lacking(&self, node: u64) -> BTreeMap<u8, Option<u64>> {
        let own = self.status_here();
        let leaders: BTreeSet<u64> = own.iter().map(|group| group.leader).collect();
        let others = leaders.into_iter().filter(|leader| ![0, self.groups.node()].contains(leader));
        let asked = join_all(others.map(|leader| self.status_at(leader))).await;
        let statuses = [(self.groups.node(), own)].into_iter().chain(asked);
        let mut lacking: BTreeMap<u8, Option<u64>> = (0..GROUPS as u8).map(|group| (group, None)).collect();
        for (leader, groups) in statuses {
            for group in groups.iter().filter(|group| group.leader == leader) {
                let matched = group.matched.iter().find(|matched| matched.node == node);
                let entries = matched.map(|matched| group.last_index.saturating_sub(matched.index));
                if let (Some(entries), Ok(group)) = (entries, u8::try_from(group.group)) {
                    lacking.insert(group, Some(entries));
                }
            }
        }
        lacking
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

fn described(node: u64, lacking: &BTreeMap<u8, Option<u64>>) -> String {
    let entries: u64 = lacking.values().flatten().sum();
    let behind: Vec<String> = lacking
        .iter()
        .filter(|(_, entries)| entries.is_none_or(|entries| entries > LAG_MAX))
        .map(|(group, _)| group.to_string())
        .collect();
    format!("node {node} still lacks {entries} entries, most of them of the groups {}", behind.join(", "))
}
