//! Who leads which group, as this node knows, and handing groups over.
//!
//! Leaders are spread evenly: group `g` belongs to the voter at place `g mod n` of the sorted voters, and whoever leads
//! it otherwise hands it over once that voter has all of its log. A node that is stopping, or whose disk has become
//! slow, hands over everything and says so to its peers, so that nobody hands anything back.

use std::sync::Arc;
use std::time::Duration;

use openraft::ServerState;
use openraft::async_runtime::WatchReceiver;
use tokio::sync::watch;
use tokio::time::{Instant, MissedTickBehavior, interval, sleep};

use super::groups::{Groups, RaftOf};
use super::lease::{Lease, answered};
use super::shell::{OwnerGone, Shell, Turns};
use crate::cluster::peers::{Member, Peers};

/// How often the spread of leaders and the disk are looked at.
const LOOK_EVERY: Duration = Duration::from_millis(250);
/// A commit that takes longer means a disk that holds up whoever waits for this node.
const COMMIT_MAX: Duration = Duration::from_secs(1);
/// How long a disk has to be well before the node leads again.
const CONVALESCENCE: Duration = Duration::from_secs(10);
/// Entries a voter may lack to be handed a group: it gets them while it is asked to lead.
const HANDOVER_LAG_MAX: u64 = 64;
/// How long a handover may take before it counts as failed.
const HANDOVER_DEADLINE: Duration = Duration::from_secs(2);
/// How long what is under way in a group may take before a handover goes on without its end.
const SETTLE_DEADLINE: Duration = Duration::from_millis(500);
/// Pause of a handover that waits for somebody to hand groups to.
const LOOK_AGAIN: Duration = Duration::from_millis(50);
/// What a node says that is about to stop.
pub const STOPPING: &str = "stopping";
/// Pause after a failed handover, and after a group has come here.
const BALANCE_PAUSE: Duration = Duration::from_secs(5);

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
pub fn follow(group: u8, raft: &RaftOf, leaders: &watch::Sender<Leaders>, peers: &Arc<Peers>, shell: &Shell) {
    let mut metrics = raft.server_metrics();
    let (raft, leaders, peers) = (raft.clone(), leaders.clone(), peers.clone());
    shell.spawn_owned(&format!("leadership of group {group}"), async move {
        loop {
            let (leader, lease, members) = {
                let now = metrics.borrow_watched();
                let membership = now.membership_config.membership();
                let lease = match now.current_leader {
                    Some(node) if node == peers.node() && now.state == ServerState::Leader => {
                        Lease::of_leader(membership.voter_ids().eq([node]), answered(&raft))
                    }
                    _ => Lease::None,
                };
                let leader = match now.current_leader {
                    Some(node) if node != peers.node() => Leader::At(node),
                    _ if lease.is_valid(Instant::now()) => Leader::Here,
                    _ => Leader::Unknown,
                };
                let members: std::collections::BTreeMap<u64, Member> =
                    membership.nodes().map(|(id, member)| (*id, member.clone())).collect();
                (leader, lease, members)
            };
            if group == super::META_GROUP && !members.is_empty() {
                peers.set_members(members);
            }
            leaders.send_if_modified(|known| {
                let is_news = known[usize::from(group)] != leader;
                if is_news {
                    tracing::debug!(group, ?leader, "leadership");
                    Arc::make_mut(known)[usize::from(group)] = leader;
                }
                is_news
            });
            let is_running = tokio::select! {
                changed = metrics.changed() => changed.is_ok(),
                () = lease.turn(&raft) => true,
            };
            if !is_running {
                // Who waits for this node to lead, or to be told who does, waits in vain.
                leaders.send_modify(|known| Arc::make_mut(known)[usize::from(group)] = Leader::Unknown);
                return OwnerGone;
            }
        }
    });
}

impl Groups {
    /// Where a group is led.
    pub fn leader(&self, group: u8) -> Leader {
        self.leaders.borrow()[usize::from(group)]
    }

    /// Where every group is led.
    pub fn leaders(&self) -> Leaders {
        self.leaders.borrow().clone()
    }

    /// Follows who leads which group.
    pub fn watch_leaders(&self) -> watch::Receiver<Leaders> {
        self.leaders.subscribe()
    }

    /// Why this node would rather not lead anything, if it would not.
    pub fn reluctance(&self) -> Option<String> {
        self.reluctance.borrow().clone()
    }

    /// What ails the disk, if anything does.
    fn disk_trouble(&self) -> Option<&'static str> {
        if self.wal.disk_full() || self.flush.disk_full() {
            return Some("the disk is full");
        }
        if self.wal.committing_for() > COMMIT_MAX {
            return Some("the disk is slow");
        }
        // A node on its own has nobody to lead in its place.
        (self.peers.are_there() && !self.has_space()).then_some("the disk is almost full")
    }

    /// Why this node should not lead anything, if it should not.
    fn trouble(&self) -> Option<&'static str> {
        self.disk_trouble()
            .or_else(|| self.lacks_metadata().then_some("its metadata is behind that of its peers"))
    }

    /// From now on this node would rather not lead, or would again.
    pub fn set_reluctance(&self, reason: Option<&str>) {
        self.reluctance.send_if_modified(|known| {
            let is_news = known.as_deref() != reason;
            *known = reason.map(ToOwned::to_owned);
            is_news
        });
    }

    /// Hands a group that is led here to `to`; true once this node has let go of it. Nothing that was proposed
    /// before is left without an answer if it comes to an end soon. False at once for a node that is not eligible.
    pub async fn hand_over(&self, group: u8, to: u64) -> bool {
        if !self.is_eligible(group, to) {
            return false;
        }
        let raft = &self.rafts[usize::from(group)];
        // What comes meanwhile waits in the group's queue and finds the next leader from there.
        let _pause = self.batchers[usize::from(group)].pause(SETTLE_DEADLINE).await;
        if raft.trigger().transfer_leader(to).await.is_err() {
            return false;
        }
        let mut leaders = self.watch_leaders();
        let is_gone = |leaders: &Leaders| matches!(leaders[usize::from(group)], Leader::At(_));
        tokio::time::timeout(HANDOVER_DEADLINE, leaders.wait_for(is_gone))
            .await
            .is_ok_and(|gone| gone.is_ok())
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
            if led.iter().all(|group| self.heir(*group).is_none()) {
                // A voter that has just started confirms its position with the next heartbeat.
                sleep(LOOK_AGAIN).await;
                self.note_pursuits();
                continue;
            }
            let handing = led.iter().filter_map(|group| Some(self.hand_over(*group, self.heir(*group)?)));
            futures_util::future::join_all(handing).await;
        }
    }

    fn led_groups(&self) -> Vec<u8> {
        let leaders = self.leaders.borrow();
        (0..)
            .zip(leaders.iter())
            .filter(|(_, leader)| **leader == Leader::Here)
            .map(|(group, _)| group)
            .collect()
    }

    /// The voters of a group but this node that would lead.
    fn willing(&self, group: u8) -> Vec<u64> {
        let metrics = self.rafts[usize::from(group)].metrics();
        let metrics = metrics.borrow_watched();
        let voters = metrics.membership_config.membership().voter_ids();
        voters.filter(|voter| *voter != self.node() && self.peers.reluctance(*voter).is_none()).collect()
    }

    /// Whether a voter that would lead has answered this leader of the group at all.
    fn has_followers(&self, group: u8) -> bool {
        let metrics = self.rafts[usize::from(group)].metrics();
        let metrics = metrics.borrow_watched();
        let answered = |voter: &u64| metrics.replication.as_ref()?.get(voter)?.as_ref();
        self.willing(group).iter().any(|voter| answered(voter).is_some())
    }

    /// The voter to hand a group to when this node should not lead it: it is eligible, willing, and has most of the log.
    fn heir(&self, group: u8) -> Option<u64> {
        let confirmed = self.confirmed(group);
        let eligible = self.willing(group).into_iter().filter(|voter| self.is_eligible(group, *voter));
        let most = eligible.filter_map(|voter| Some((*confirmed.get(&voter)?, voter))).max();
        most.map(|(_, voter)| voter)
    }

    /// The voter that should lead a group, when it is another one than this node and could do so at once.
    fn rightful(&self, group: u8) -> Option<u64> {
        let watched = self.rafts[usize::from(group)].metrics();
        let metrics = watched.borrow_watched();
        let mut voters: Vec<u64> = metrics.membership_config.membership().voter_ids().collect();
        voters.sort_unstable();
        let rightful = *voters.get(usize::from(group) % voters.len().max(1))?;
        let last = metrics.last_log_index?;
        drop(metrics);
        if rightful == self.node()
            || self.peers.reluctance(rightful).is_some()
            || !self.is_eligible(group, rightful)
        {
            return None;
        }
        let confirmed = *self.confirmed(group).get(&rightful)?;
        (confirmed + HANDOVER_LAG_MAX >= last).then_some(rightful)
    }

    /// Keeps the leaders spread, until it is dropped.
    pub async fn keep_balance(&self, turns: Turns) -> OwnerGone {
        let mut look = interval(LOOK_EVERY);
        look.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut rest_until = vec![Instant::now() + BALANCE_PAUSE; self.rafts.len()];
        let mut reluctance = self.reluctance.subscribe();
        let mut troubled: Option<Instant> = None;
        let mut led_before: Vec<u8> = Vec::new();
        loop {
            tokio::select! {
                _ = look.tick() => {}
                _ = reluctance.changed() => {}
            }
            turns.stamp();
            self.note_pursuits();
            if let Some(trouble) = self.trouble() {
                if self.reluctance().is_none() {
                    tracing::error!("{trouble}: this node leads nothing until it is well again");
                    self.set_reluctance(Some(trouble));
                }
                troubled = Some(Instant::now());
            } else if troubled.is_some_and(|at| at.elapsed() > CONVALESCENCE) {
                troubled = None;
                if self.reluctance().is_some_and(|reason| reason != STOPPING) {
                    tracing::info!("this node is well again, and leads when it is handed a group");
                    self.set_reluctance(None);
                }
            }
            let is_reluctant = self.reluctance().is_some();
            let led = self.led_groups();
            for group in led.iter().filter(|group| !led_before.contains(group)) {
                rest_until[usize::from(*group)] = Instant::now() + BALANCE_PAUSE;
            }
            led_before.clone_from(&led);
            for group in led {
                turns.stamp();
                self.keep_addresses(group).await;
                let rest_until = &mut rest_until[usize::from(group)];
                let to = match is_reluctant {
                    true => self.heir(group),
                    false if Instant::now() < *rest_until => None,
                    false => self.rightful(group),
                };
                let Some(to) = to else { continue };
                let began = Instant::now();
                let is_done = self.hand_over(group, to).await;
                tracing::info!(
                    group,
                    to,
                    is_done,
                    millis = began.elapsed().as_millis() as u64,
                    "handed a group over"
                );
                *rest_until = Instant::now() + BALANCE_PAUSE;
            }
        }
    }
}
