//! For how long a leader may still call itself one: until its lease has ended, which each answer of a majority renews.
//!
//! A leader that loses its majority keeps its term and its role as openraft has them, and accepts nothing any more.
//! To this node the group has no leader then: requests wait for the next one, or are refused. [`super::leaders`]
//! follows it.

use std::time::Duration;

use openraft::Instant as _;
use openraft::async_runtime::WatchReceiver;
use openraft::metrics::RaftDataMetrics;
use tokio::time::{Instant, timeout_at};

use super::leaders::{Leader, Leadership};
use crate::replication::raft::GroupRaft;
use crate::replication::raft::start::LEASE_MS;
use crate::replication::types::config::TypeConfig;

/// How long a proposal may take to come to its end once this node does not lead the group any more. The next leader
/// has committed it by that time, or put another entry in its place; a leader that lost its majority hears of
/// neither.
const SETTLING: Duration = Duration::from_secs(1);

/// The lease of the leader that this node may be.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum LeaderLease {
    /// The node does not lead.
    #[default]
    None,
    /// No other node could lead.
    Endless,
    /// The node was elected, and no majority has answered it since: openraft takes no proposals yet.
    Unheard,
    /// The node leads until then, unless a majority answers again.
    Until(Instant),
}

impl LeaderLease {
    /// The lease of a leader whose last request that a majority answered was sent at `answered`.
    pub fn of_leader(is_alone: bool, answered: Option<Instant>) -> Self {
        match answered {
            _ if is_alone => Self::Endless,
            Some(asked) => Self::Until(asked + Duration::from_millis(LEASE_MS)),
            None => Self::Unheard,
        }
    }

    /// Whether this node leads, and may say so.
    pub fn is_valid(self, now: Instant) -> bool {
        match self {
            Self::Endless => true,
            Self::Until(ends) => now < ends,
            Self::None | Self::Unheard => false,
        }
    }

    /// Returns when a valid lease may have ended, or one that is not may have become valid; never when it stays as it
    /// is.
    pub async fn changed(self, raft: &GroupRaft) {
        match self {
            Self::None | Self::Endless => return std::future::pending().await,
            Self::Until(ends) if Instant::now() < ends => return tokio::time::sleep_until(ends).await,
            Self::Unheard | Self::Until(_) => {}
        }
        let mut answers = raft.data_metrics();
        let answered = asked_at(&answers.borrow_and_update());
        let is_valid = Self::of_leader(false, answered).is_valid(Instant::now());
        if !is_valid && answers.changed().await.is_err() {
            std::future::pending::<()>().await;
        }
    }
}

/// When this node, as the leader, last sent the heartbeat that a majority has answered.
pub fn answered(raft: &GroupRaft) -> Option<Instant> {
    asked_at(&raft.data_metrics().borrow_watched())
}

fn asked_at(metrics: &RaftDataMetrics<TypeConfig>) -> Option<Instant> {
    let ago = metrics.last_quorum_acked?.elapsed();
    Instant::now().checked_sub(ago)
}

impl Leadership {
    /// Waits for an outcome as long as this node leads the group; `None` once it has not led the group for
    /// [`SETTLING`]. A proposal may still be applied then.
    pub async fn while_led_here<T>(&self, group: u8, outcome: impl Future<Output = T>) -> Option<T> {
        let group = usize::from(group);
        let mut leaders = self.watch_leaders();
        let silence = async {
            loop {
                if leaders.wait_for(|leaders| leaders[group] != Leader::Here).await.is_err() {
                    return;
                }
                let ends = Instant::now() + SETTLING;
                let again = leaders.wait_for(|leaders| leaders[group] == Leader::Here);
                if !matches!(timeout_at(ends, again).await, Ok(Ok(_))) {
                    return;
                }
            }
        };
        tokio::select! {
            biased;
            outcome = outcome => Some(outcome),
            () = silence => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_lease_ends_unless_a_majority_answers() {
        let asked = Instant::now();
        let at = |ms| asked + Duration::from_millis(ms);
        for (lease, valid_at, over_at) in [
            (LeaderLease::of_leader(false, Some(asked)), Some(0), Some(LEASE_MS)),
            (LeaderLease::of_leader(false, Some(asked)), Some(LEASE_MS - 1), Some(10 * LEASE_MS)),
            (LeaderLease::of_leader(false, None), None, Some(0)),
            (LeaderLease::of_leader(true, None), Some(10 * LEASE_MS), None),
            (LeaderLease::None, None, Some(0)),
        ] {
            assert!(valid_at.is_none_or(|ms| lease.is_valid(at(ms))), "{lease:?} at {valid_at:?}");
            assert!(over_at.is_none_or(|ms| !lease.is_valid(at(ms))), "{lease:?} at {over_at:?}");
        }
    }
}
