//! The voters that may get the leadership of a group, and the followers that stand still: judged by the
//! positions that the present process of each peer has confirmed.
//!
//! A node that has lost its log, or whose metadata is behind, would lead shards of streams that it has never heard of.
//! So a group goes only to a voter that has confirmed its position since it started, and that applies the metadata at
//! about the pace of this node; and a node whose own metadata stays behind that of a peer leads nothing.

use std::collections::BTreeMap;
use std::time::Duration;

use openraft::ServerState;
use openraft::async_runtime::WatchReceiver;
use tidelog_storage::wal::GROUPS;
use tokio::time::Instant;

use super::leaders::Leadership;

/// How far, in time, a node's metadata may be behind that of another node if it is to lead groups.
const METADATA_DELAY_MAX: Duration = Duration::from_secs(2);
/// How long a follower may take no committed entries before `/health` reports it.
const STANDSTILL_MAX: Duration = Duration::from_secs(5);

/// A follower that takes nothing of a group, although more is committed than it holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct StalledFollower {
    /// The follower.
    pub node: u64,
    /// The group.
    pub group: u8,
    /// For how long.
    pub duration: Duration,
}

impl Leadership {
    /// The index that the present process of each other member has confirmed of a group, when this node leads it.
    pub fn confirmed(&self, group: u8) -> BTreeMap<u64, u64> {
        let metrics = self.rafts.of(group).metrics();
        let metrics = metrics.borrow_watched();
        if metrics.state != ServerState::Leader {
            return BTreeMap::new();
        }
        let members = metrics.membership_config.membership().nodes().map(|(id, _)| *id);
        let others = members.filter(|node| *node != self.peers.node());
        let confirmed = |node: u64| {
            let process = self.peers.process_of(node);
            Some((node, self.progress.confirmed(group, node, metrics.current_term, process)?))
        };
        others.filter_map(confirmed).collect()
    }

    /// Whether a voter may be handed a group that is led here.
    pub fn is_eligible(&self, group: u8, to: u64) -> bool {
        self.confirmed(group).contains_key(&to)
            && self.progress.keeps_up_with_metadata(to, METADATA_DELAY_MAX, Instant::now())
    }

    /// Whether this node's metadata is behind that of another one for too long to lead anything.
    pub fn lacks_metadata(&self) -> bool {
        self.progress.lacks_metadata(METADATA_DELAY_MAX, Instant::now())
    }

    /// Takes note of how peers keep up; called a few times a second.
    pub fn note_progress(&self) {
        let now = Instant::now();
        self.progress.compare_metadata(self.metadata_applied(), now);
        for group in 0..GROUPS as u8 {
            let confirmed = self.confirmed(group);
            let metrics = self.rafts.of(group).metrics();
            let metrics = metrics.borrow_watched();
            let leads = metrics.state == ServerState::Leader;
            let voters = metrics.membership_config.membership().voter_ids().filter(|_| leads);
            let reached = |voter: u64| (voter, confirmed.get(&voter).copied().unwrap_or(0));
            let reached = voters.filter(|voter| *voter != self.peers.node()).map(reached).collect();
            // Every entry that is applied here is committed.
            let committed = metrics.last_applied.as_ref().map_or(0, |at| at.index);
            self.progress.note_followers(group, &reached, committed, now);
        }
    }

    /// Followers that take no committed entries, of groups that are led here.
    pub fn stalled_followers(&self) -> Vec<StalledFollower> {
        let now = Instant::now();
        let mut found = Vec::new();
        for (node, group) in
            self.peers.members().keys().flat_map(|node| (0..GROUPS as u8).map(|group| (*node, group)))
        {
            let duration = self.progress.still_for(group, node, now);
            if duration >= STANDSTILL_MAX {
                found.push(StalledFollower { node, group, duration });
            }
        }
        found
    }
}
