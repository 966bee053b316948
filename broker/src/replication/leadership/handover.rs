//! Handing groups over to other nodes.
//!
//! Group `g` belongs to the voter at place `g mod n` of the sorted voters. A node that is stopping, or whose disk has
//! become slow, hands over everything.

use std::time::Duration;

use openraft::async_runtime::WatchReceiver;
use tidelog_proto::peer;
use tokio::time::{Instant, sleep, timeout};

use super::leaders::{Leader, Leaders, Leadership};
use crate::cluster::peers::Lane;
use crate::replication::raft::messages::read_outcome;

/// Entries a voter may lack to be handed a group: it gets them while it is asked to lead.
const HANDOVER_LAG_MAX: u64 = 64;
/// How long a handover may take before it counts as failed.
const HANDOVER_DEADLINE: Duration = Duration::from_secs(2);
/// How long another node may take to hand a group over.
const REQUEST_DEADLINE: Duration = Duration::from_secs(20);
/// How long puts under way in a group may take before a handover goes on without their end.
const SETTLE_DEADLINE: Duration = Duration::from_millis(500);
/// Pause of a handover that waits for somebody to hand groups to.
const LOOK_AGAIN: Duration = Duration::from_millis(50);

impl Leadership {
    /// Hands a group that is led here to `to`; true once this node has let go of it. Nothing that was proposed
    /// before is left without an answer if it comes to an end soon. False at once for a node that is not eligible.
    pub async fn hand_over(&self, group: u8, to: u64) -> bool {
        if !self.is_eligible(group, to) {
            return false;
        }
        let raft = self.rafts.of(group);
        // Puts that come meanwhile wait in the group's queue and go to the next leader from there.
        let _pause = self.appends.pause(group, SETTLE_DEADLINE).await;
        if raft.trigger().transfer_leader(to).await.is_err() {
            return false;
        }
        let mut leaders = self.watch_leaders();
        let is_gone = |leaders: &Leaders| matches!(leaders[usize::from(group)], Leader::At(_));
        timeout(HANDOVER_DEADLINE, leaders.wait_for(is_gone)).await.is_ok_and(|gone| gone.is_ok())
    }

    /// Hands a group over to `to`, wherever it is led; true when its leader has let go of it, or is `to` already.
    pub async fn transfer(&self, group: u8, to: u64) -> bool {
        match self.leader(group) {
            Leader::Here if to == self.peers.node() => true,
            Leader::Here => self.hand_over(group, to).await,
            Leader::At(node) if node == to => true,
            Leader::At(node) => {
                let Ok(mut client) = self.peers.client(node, Lane::Requests).await else { return false };
                let message = peer::HandOverRequest { group: group.into(), to };
                let call = client.hand_over(self.peers.request(node, message, Some(REQUEST_DEADLINE)));
                let answer = timeout(REQUEST_DEADLINE, call).await;
                let is_applied =
                    |answer: peer::HandOverResponse| read_outcome(answer.outcome) == peer::Outcome::Applied;
                answer.is_ok_and(|answer| answer.is_ok_and(|answer| is_applied(answer.into_inner())))
            }
            Leader::Unknown => false,
        }
    }

    /// Hands over every group that is led here, each to the voter that has most of it; returns when none is left, or
    /// no voter to take them, or after `deadline`.
    pub async fn hand_over_all(&self, deadline: Duration) {
        let ends = Instant::now() + deadline;
        loop {
            let led: Vec<u8> = self.led_groups();
            if led.is_empty() || Instant::now() >= ends || led.iter().all(|group| !self.has_followers(*group))
            {
                return;
            }
            if led.iter().all(|group| self.successor(*group).is_none()) {
                // A voter that has just started confirms its position with the next heartbeat.
                sleep(LOOK_AGAIN).await;
                self.note_progress();
                continue;
            }
            let handing =
                led.iter().filter_map(|group| Some(self.hand_over(*group, self.successor(*group)?)));
            futures_util::future::join_all(handing).await;
        }
    }

    /// The voters of a group but this node that would lead.
    fn willing(&self, group: u8) -> Vec<u64> {
        let metrics = self.rafts.of(group).metrics();
        let metrics = metrics.borrow_watched();
        let voters = metrics.membership_config.membership().voter_ids();
        voters
            .filter(|voter| *voter != self.peers.node() && self.peers.reluctance(*voter).is_none())
            .collect()
    }

    /// Whether a voter that would lead has answered this leader of the group at all.
    fn has_followers(&self, group: u8) -> bool {
        let metrics = self.rafts.of(group).metrics();
        let metrics = metrics.borrow_watched();
        let answered = |voter: &u64| metrics.replication.as_ref()?.get(voter)?.as_ref();
        self.willing(group).iter().any(|voter| answered(voter).is_some())
    }

    /// The voter to hand a group to when this node should not lead it: it is eligible, willing, and has most of the
    /// log.
    pub(super) fn successor(&self, group: u8) -> Option<u64> {
        let confirmed = self.confirmed(group);
        let eligible = self.willing(group).into_iter().filter(|voter| self.is_eligible(group, *voter));
        let most = eligible.filter_map(|voter| Some((*confirmed.get(&voter)?, voter))).max();
        most.map(|(_, voter)| voter)
    }

    /// The voter that should lead a group, when it is another one than this node and could do so at once.
    pub(super) fn preferred(&self, group: u8) -> Option<u64> {
        let watched = self.rafts.of(group).metrics();
        let metrics = watched.borrow_watched();
        let mut voters: Vec<u64> = metrics.membership_config.membership().voter_ids().collect();
        voters.sort_unstable();
        let preferred = *voters.get(usize::from(group) % voters.len().max(1))?;
        let last = metrics.last_log_index?;
        drop(metrics);
        if preferred == self.peers.node()
            || self.peers.reluctance(preferred).is_some()
            || !self.is_eligible(group, preferred)
        {
            return None;
        }
        let confirmed = *self.confirmed(group).get(&preferred)?;
        (confirmed + HANDOVER_LAG_MAX >= last).then_some(preferred)
    }
}
