//! The spread of leaders over the nodes, and stepping down while the disk or the metadata of this node is in trouble.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::{Instant, MissedTickBehavior, interval};

use super::leaders::{Leadership, STOPPING};
use super::membership::Membership;
use crate::shell::{Heartbeat, OwnerGone};

/// How often the spread of leaders and the disk are looked at.
const LOOK_EVERY: Duration = Duration::from_millis(250);
/// How long a disk has to be well before the node leads again.
const CONVALESCENCE: Duration = Duration::from_secs(10);
/// Pause after a failed handover, and after a group has come here.
const BALANCE_PAUSE: Duration = Duration::from_secs(5);

impl Leadership {
    /// The disk's trouble, if it has one.
    fn disk_trouble(&self) -> Option<&'static str> {
        if self.disk.waits_for_space() {
            return Some("the disk is full");
        }
        if self.disk.is_slow() {
            return Some("the disk is slow");
        }
        // A node on its own has nobody to lead in its place.
        (self.peers.are_there() && !self.disk.has_space()).then_some("the disk is almost full")
    }

    /// Why this node should not lead anything, if it should not.
    fn trouble(&self) -> Option<&'static str> {
        self.disk_trouble()
            .or_else(|| self.lacks_metadata().then_some("its metadata is behind that of its peers"))
    }
}

/// Keeps the leaders of a node's groups spread over the voters.
pub struct Balance {
    leadership: Arc<Leadership>,
    membership: Arc<Membership>,
    /// When this node was last found in trouble, until it has been well for [`CONVALESCENCE`].
    troubled: Option<Instant>,
    /// Groups that were led here at the last look.
    led_before: Vec<u8>,
    /// Until when each group stays where it is.
    rest_until: Vec<Instant>,
}

impl Balance {
    /// A balance that hands nothing over before the first [`BALANCE_PAUSE`] is over.
    pub fn new(leadership: Arc<Leadership>, membership: Arc<Membership>) -> Self {
        let rest_until = vec![Instant::now() + BALANCE_PAUSE; leadership.rafts.count()];
        Self { leadership, membership, troubled: None, led_before: Vec::new(), rest_until }
    }

    /// Keeps the leaders spread, until the future is dropped.
    pub async fn keep(mut self, heartbeat: Heartbeat) -> OwnerGone {
        let mut look = interval(LOOK_EVERY);
        look.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut reluctance = self.leadership.watch_reluctance();
        loop {
            tokio::select! {
                _ = look.tick() => {}
                _ = reluctance.changed() => {}
            }
            heartbeat.beat();
            self.leadership.note_progress();
            self.judge_trouble();
            let led = self.leadership.led_groups();
            for group in led.iter().filter(|group| !self.led_before.contains(group)) {
                self.rest_until[usize::from(*group)] = Instant::now() + BALANCE_PAUSE;
            }
            self.led_before.clone_from(&led);
            let is_reluctant = self.leadership.reluctance().is_some();
            for group in led {
                heartbeat.beat();
                self.membership.keep_addresses(group).await;
                self.hand_over(group, is_reluctant).await;
            }
        }
    }

    /// Steps down from all groups while this node is in trouble.
    fn judge_trouble(&mut self) {
        if let Some(trouble) = self.leadership.trouble() {
            if self.leadership.reluctance().is_none() {
                tracing::error!(
                    "leadership: stepping down from all groups until 10 s after this ends: {trouble}"
                );
                self.leadership.set_reluctance(Some(trouble));
            }
            self.troubled = Some(Instant::now());
        } else if self.troubled.is_some_and(|at| at.elapsed() > CONVALESCENCE) {
            self.troubled = None;
            if self.leadership.reluctance().is_some_and(|reason| reason != STOPPING) {
                tracing::info!(
                    "leadership: the trouble has passed; this node takes groups that are handed to it"
                );
                self.leadership.set_reluctance(None);
            }
        }
    }

    /// Hands a group over, if another node should lead it and can.
    async fn hand_over(&mut self, group: u8, is_reluctant: bool) {
        let rest_until = &mut self.rest_until[usize::from(group)];
        let to = match is_reluctant {
            true => self.leadership.successor(group),
            false if Instant::now() < *rest_until => None,
            false => self.leadership.preferred(group),
        };
        let Some(to) = to else { return };
        let began = Instant::now();
        let is_done = self.leadership.hand_over(group, to).await;
        let millis = began.elapsed().as_millis() as u64;
        tracing::info!(group, to, is_done, millis, "handed a group over");
        *rest_until = Instant::now() + BALANCE_PAUSE;
    }
}
