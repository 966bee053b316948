//! The node's view of time, updated on each sample of its clocks ([`Times::advance`]). Pure: no clock is read in here.
//!
//! Four times, each `None` until it is known:
//! - The *median* of the voters' wall clocks: known while a majority of them is.
//! - The *served time* dates records, and decides which records readers see and which iterators have expired. It
//!   follows the clock of the node that keeps it, within [`LEAD_MS`] of the median, and begins with the clocks at a
//!   start.
//! - The *retention clock* follows the median. It is stored in the metadata, so that a start goes on where it was left.
//! - The *deletion time*, the earlier of the retention clock and the median, decides which records are deleted: two
//!   times have to agree ([`Times::deletion_ms`]).
//!
//! Served time and retention clock move at [`PACE`](super::bounded::PACE) times the time that passes at most. The
//! leader of the metadata group keeps both for the cluster, and so does a node without others; it sends them to the
//! other nodes with its heartbeats, and these use them while they are fresh. `docs/design/time.md` has the reasons.

use std::collections::{BTreeMap, BTreeSet};

use super::bounded::{follow, median};
use crate::model::stream::RetentionClock;

/// Milliseconds by which a clock may be off before it counts as wrong; no arrival time is further ahead of the median.
pub const LEAD_MS: u64 = 60_000;
/// Milliseconds by which the clock may be behind the log's newest arrival, which may have had the lead of another node.
const BEHIND_LOG_MS: u64 = 2 * LEAD_MS;
/// Milliseconds of boot time for which a peer's report of its clocks counts.
const FRESH_MS: u64 = 5_000;

/// The times that a peer has sent, and this node's boot time at their arrival.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct PeerTimes {
    /// The peer's wall clock; in a message of the metadata leader, its retention clock.
    clock_ms: u64,
    /// The peer's served time, 0 for none.
    served_ms: u64,
    at_boot_ms: u64,
}

impl PeerTimes {
    fn age_ms(&self, boot_ms: u64) -> u64 {
        boot_ms.saturating_sub(self.at_boot_ms)
    }

    fn is_fresh(&self, boot_ms: u64) -> bool {
        self.age_ms(boot_ms) <= FRESH_MS
    }
}

/// A node's role in its cluster, and the facts about its data that bound its times.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Situation {
    /// This node.
    pub node: u64,
    /// The voters of the metadata group.
    pub voters: BTreeSet<u64>,
    /// Whether the metadata group is led here.
    pub leads: bool,
    /// The retention clock of the metadata.
    pub kept: RetentionClock,
    /// The newest arrival time of any record on this node, 0 for none.
    pub newest_ms: u64,
}

impl Situation {
    fn is_alone(&self) -> bool {
        self.voters.iter().eq([&self.node])
    }
}

/// A sample of the node's clocks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Look {
    /// Milliseconds since the epoch by the wall clock.
    pub wall_ms: u64,
    /// Milliseconds since the boot.
    pub boot_ms: u64,
    /// A wall clock before this cannot be right.
    pub earliest_ms: u64,
}

/// The times that this node goes by, and the clocks of its peers.
#[derive(Debug, Default)]
pub struct Times {
    pub situation: Situation,
    last_look: Option<Look>,
    voters: BTreeMap<u64, PeerTimes>,
    leader: Option<PeerTimes>,
    median_ms: Option<u64>,
    served_ms: Option<u64>,
    retention_ms: Option<u64>,
    /// The time of requests is the wall clock, clamped between these two.
    pub bounds_ms: (u64, u64),
}

impl Times {
    /// Takes note of a voter's clock and served time.
    pub fn note_voter(&mut self, node: u64, clock_ms: u64, served_ms: u64, boot_ms: u64) {
        self.voters.insert(node, PeerTimes { clock_ms, served_ms, at_boot_ms: boot_ms });
    }

    /// Takes note of the times of the metadata group's leader.
    pub fn note_leader(&mut self, served_ms: u64, retention_ms: u64, boot_ms: u64) {
        self.leader = Some(PeerTimes { clock_ms: retention_ms, served_ms, at_boot_ms: boot_ms });
    }

    /// The served time and the retention clock for the leader's heartbeats, 0 for none.
    pub fn times_to_send(&self) -> (u64, u64) {
        (self.served_ms.unwrap_or(0), self.retention_ms.unwrap_or(0))
    }

    /// Sets the situation of the node. After an operator's acceptance of the clocks the times begin anew.
    pub fn set_situation(&mut self, situation: Situation) {
        let is_accepted = situation.kept.accepted != self.situation.kept.accepted;
        self.voters.retain(|node, _| situation.voters.contains(node));
        self.situation = situation;
        if is_accepted {
            (self.leader, self.retention_ms) = (None, None);
            self.voters.values_mut().for_each(|times| times.served_ms = 0);
            // The times do not begin with the peers' clocks: peers may have sent their last messages before their
            // clocks were set right.
            let is_running = self.last_look.is_some();
            self.served_ms = (is_running && self.keeps_times()).then_some(self.situation.kept.time_ms);
        }
    }

    /// Updates all times from a sample of the clocks. Returns by how much the wall clock has leapt since the last
    /// sample.
    pub fn advance(&mut self, look: Look) -> i64 {
        let before = self.last_look.replace(look).unwrap_or(look);
        let elapsed_ms = look.boot_ms.saturating_sub(before.boot_ms);
        self.median_ms = self.median(look);
        let leader = self.leader.filter(|leader| !self.keeps_times() && leader.is_fresh(look.boot_ms));
        self.served_ms = match leader {
            Some(leader) if leader.served_ms > 0 => Some(leader.served_ms + leader.age_ms(look.boot_ms)),
            _ => self.next_served(look, elapsed_ms),
        };
        self.retention_ms = match leader {
            Some(leader) if leader.clock_ms > 0 => Some(leader.clock_ms),
            _ if self.keeps_times() => self.next_retention(elapsed_ms),
            _ => self.retention_ms,
        };
        self.bounds_ms = match (self.served_ms, self.aim(look)) {
            (None, _) => (0, u64::MAX),
            (Some(served_ms), Some(aim_ms)) if leader.is_none() => {
                let now_ms = served_ms.min(aim_ms);
                (now_ms, now_ms)
            }
            (Some(served_ms), _) => (served_ms.saturating_sub(LEAD_MS), served_ms.saturating_add(LEAD_MS)),
        };
        signed_difference(look.wall_ms, before.wall_ms.saturating_add(elapsed_ms))
    }

    /// Whether this node computes served time and retention clock: as leader of the metadata group, or as the only
    /// voter.
    fn keeps_times(&self) -> bool {
        self.situation.leads || self.situation.is_alone()
    }

    /// The median of the voters' clocks that can be right, if a majority of the voters has one.
    fn median(&self, look: Look) -> Option<u64> {
        let Situation { node, voters, .. } = &self.situation;
        let clock = |voter: &u64| {
            if voter == node {
                return Some(look.wall_ms);
            }
            let times = self.voters.get(voter).filter(|times| times.is_fresh(look.boot_ms))?;
            Some(times.clock_ms.saturating_add(times.age_ms(look.boot_ms)))
        };
        let can_be_right = |clock_ms: &u64| *clock_ms >= look.earliest_ms;
        let clocks: Vec<u64> = voters.iter().filter_map(clock).filter(can_be_right).collect();
        if clocks.len() * 2 > voters.len() { median(clocks) } else { None }
    }

    /// The time that the served time follows: the own clock, within a minute of the median.
    fn aim(&self, look: Look) -> Option<u64> {
        match self.median_ms {
            Some(median_ms) => {
                Some(look.wall_ms.clamp(median_ms.saturating_sub(LEAD_MS), median_ms.saturating_add(LEAD_MS)))
            }
            None => self.situation.is_alone().then_some(look.wall_ms),
        }
    }

    fn next_served(&self, look: Look, elapsed_ms: u64) -> Option<u64> {
        // A time that cannot be right does not count: the served time begins anew.
        let before_ms = self.served_ms.filter(|served_ms| self.can_be_right(*served_ms, look.earliest_ms));
        let Some(aim_ms) = self.aim(look) else {
            return before_ms.map(|before_ms| before_ms.saturating_add(elapsed_ms));
        };
        let of_peers = || {
            let times =
                self.voters.values().filter(|times| times.served_ms > 0 && times.is_fresh(look.boot_ms));
            times.map(|times| times.served_ms + times.age_ms(look.boot_ms)).min()
        };
        Some(match before_ms {
            Some(before_ms) => follow(before_ms, aim_ms, elapsed_ms),
            // A start: the served time of the cluster if it has one, otherwise that of the clocks.
            None => of_peers().unwrap_or(aim_ms),
        })
    }

    fn next_retention(&self, elapsed_ms: u64) -> Option<u64> {
        let kept_ms = Some(self.situation.kept.time_ms).filter(|kept_ms| *kept_ms > 0);
        let before_ms = self.retention_ms.or(kept_ms);
        match (before_ms, self.median_ms) {
            (before_ms, None) => before_ms,
            (Some(before_ms), Some(median_ms)) => Some(follow(before_ms, median_ms, elapsed_ms)),
            // The first start with existing data: the clock begins no later than the newest record.
            (None, Some(median_ms)) => Some(match self.situation.newest_ms {
                0 => median_ms,
                newest_ms => median_ms.min(newest_ms),
            }),
        }
    }

    /// Whether a time can be right: neither before the program was built nor before the log's newest record, unless an
    /// operator has accepted that one.
    fn can_be_right(&self, time_ms: u64, earliest_ms: u64) -> bool {
        let Situation { newest_ms, kept, .. } = &self.situation;
        let is_accepted = *newest_ms <= kept.accepted_newest_ms;
        time_ms >= earliest_ms && (is_accepted || time_ms.saturating_add(BEHIND_LOG_MS) >= *newest_ms)
    }

    /// Whether records can be dated now. A node of a cluster that has just started and knows only its own clock cannot.
    pub fn is_usable(&self) -> bool {
        let Some(look) = self.last_look else { return true };
        let (least_ms, most_ms) = self.bounds_ms;
        self.is_known() && self.can_be_right(look.wall_ms.clamp(least_ms, most_ms), look.earliest_ms)
    }

    /// Whether the served time is known. A node of a cluster starts without it.
    pub fn is_known(&self) -> bool {
        self.served_ms.is_some()
    }

    /// The time by which readers are served; `None` before the clocks of a majority are known.
    pub fn served_ms(&self) -> Option<u64> {
        self.served_ms.map(|served_ms| served_ms.min(self.bounds_ms.1))
    }

    /// The deletion time, by which records are deleted: the earlier of the retention clock and the median. `None` while
    /// either is unknown.
    pub fn deletion_ms(&self) -> Option<u64> {
        let boot_ms = self.last_look?.boot_ms;
        let is_known = self.keeps_times() || self.leader.is_some_and(|leader| leader.is_fresh(boot_ms));
        Some(self.retention_ms.filter(|_| is_known)?.min(self.median_ms?))
    }

    /// The retention clock, if it is known.
    pub fn retention_ms(&self) -> Option<u64> {
        self.retention_ms
    }

    /// The median of the voters' clocks, if it is known.
    pub fn median_ms(&self) -> Option<u64> {
        self.median_ms
    }

    /// How far the wall clock is ahead of the served time; negative when it is behind.
    pub fn offset_ms(&self) -> i64 {
        match (self.last_look, self.served_ms) {
            (Some(look), Some(served_ms)) => signed_difference(look.wall_ms, served_ms),
            _ => 0,
        }
    }

    /// The clocks of the voters as last heard, by node, the own one among them.
    pub fn clocks_ms(&self) -> BTreeMap<u64, u64> {
        let Some(look) = self.last_look else { return BTreeMap::new() };
        let fresh = self.voters.iter().filter(|(_, times)| times.is_fresh(look.boot_ms));
        let mut clocks: BTreeMap<u64, u64> = fresh
            .map(|(node, times)| (*node, times.clock_ms.saturating_add(times.age_ms(look.boot_ms))))
            .collect();
        clocks.insert(self.situation.node, look.wall_ms);
        clocks
    }
}

fn signed_difference(a_ms: u64, b_ms: u64) -> i64 {
    let magnitude = i64::try_from(a_ms.abs_diff(b_ms)).unwrap_or(i64::MAX);
    if a_ms >= b_ms { magnitude } else { -magnitude }
}

#[cfg(test)]
mod tests;
