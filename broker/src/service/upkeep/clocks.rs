//! Upkeep of clocks: samples the node's clocks, stores the cluster's retention clock while this node leads the metadata
//! group, and applies an operator's acceptance of the clocks.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use tidelog_proto::stored::{self, meta_command::Command};
use tokio::time::{Instant, MissedTickBehavior, interval, sleep};

use crate::clock::cluster::Situation;
use crate::replication::META_GROUP;
use crate::service::{Service, ServiceError};
use crate::shell::{Heartbeat, OwnerGone};

/// How often the clocks are looked at.
const LOOK_EVERY: Duration = Duration::from_millis(500);
/// How often the clocks are looked at while a start waits for the clocks of a majority.
const LOOK_AT_START_EVERY: Duration = Duration::from_millis(20);
/// Milliseconds of the retention clock after which it is stored while other things are stored as well.
const STORE_AFTER_MS: u64 = 60_000;
/// Milliseconds after which it is stored in any case. A restart can prolong the keeping of records by as much.
const STORE_AT_LAST_MS: u64 = 3_600_000;

/// Milliseconds by which the served time may move otherwise than time between two looks: it follows the clocks at twice
/// the pace of time.
const LEAP_MS: u64 = 1_000;

/// The served time at a look.
#[derive(Clone, Copy)]
struct Served {
    served_ms: u64,
    boot_ms: u64,
}

impl Served {
    /// Whether the served time has become known or unknown, or begins anew, as after an acceptance or a message of
    /// the metadata's leader: records that the time before hides may have to be shown.
    fn has_leapt(before: Option<Self>, now: Option<Self>) -> bool {
        match (before, now) {
            (Some(before), Some(now)) => {
                let expected_ms = before.served_ms + now.boot_ms.saturating_sub(before.boot_ms);
                now.served_ms.abs_diff(expected_ms) > LEAP_MS
            }
            (before, now) => before.is_some() != now.is_some(),
        }
    }
}

impl Service {
    /// Samples the clocks for the first time, and hides expired records before any client reads. Waits at most
    /// `patience` for the clocks of a majority, without which puts are refused. Called once, before clients are served.
    pub async fn begin_time(&self, patience: Duration) {
        self.look_at_newest();
        let late = Instant::now() + patience;
        loop {
            self.look_at_clocks();
            if self.groups.clock().served_ms().is_some() || Instant::now() >= late {
                break;
            }
            sleep(LOOK_AT_START_EVERY).await;
        }
        self.hide_expired().await;
    }

    /// Notes the newest arrival time: no clock that reads an earlier time can be right.
    pub(in crate::service) fn look_at_newest(&self) {
        self.newest_ms.store(self.groups.newest_time_ms(), Ordering::Relaxed);
    }

    /// Samples the clocks, in the node's present situation.
    pub(in crate::service) fn look_at_clocks(&self) {
        self.groups.clock().set_situation(Situation {
            node: self.groups.node(),
            voters: self.groups.membership().voters(META_GROUP),
            leads: self.leads(META_GROUP),
            kept: self.catalog().retention_clock,
            newest_ms: self.newest_ms.load(Ordering::Relaxed),
        });
    }

    /// Samples the clocks for as long as the service runs.
    pub(in crate::service) async fn keep_clocks(self: Arc<Self>, heartbeat: Heartbeat) -> OwnerGone {
        let mut look = interval(LOOK_EVERY);
        look.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut stored_at_bytes = 0;
        let mut served = None;
        loop {
            look.tick().await;
            heartbeat.beat();
            self.look_at_clocks();
            let clock = self.groups.clock();
            let served_now =
                clock.served_ms().map(|served_ms| Served { served_ms, boot_ms: clock.boot_ms() });
            if Served::has_leapt(served, served_now) {
                self.hide_expired().await;
            }
            served = served_now;
            let accepted = self.catalog().retention_clock.accepted;
            if self.leads(META_GROUP)
                && let Some(time_ms) = self.retention_clock_to_store(stored_at_bytes)
            {
                let advance = stored::AdvanceRetentionClock { time_ms, accepted };
                let stored = self
                    .groups
                    .proposals()
                    .propose_meta(self.now_ms(), Command::AdvanceRetentionClock(advance));
                if let Err(error) = stored.await {
                    tracing::warn!(%error, "the retention clock is not stored; trying again");
                }
                stored_at_bytes = self.groups.disk().wal_written_bytes();
            }
        }
    }

    /// The retention clock, if it is to be stored now. An idle broker writes it once an hour.
    fn retention_clock_to_store(&self, stored_at_bytes: u64) -> Option<u64> {
        let kept_ms = self.catalog().retention_clock.time_ms;
        let time_ms = self.groups.clock().retention_ms()?;
        let is_active = self.groups.disk().wal_written_bytes() > stored_at_bytes;
        let after_ms = if is_active { STORE_AFTER_MS } else { STORE_AT_LAST_MS };
        (kept_ms == 0 || time_ms.abs_diff(kept_ms) >= after_ms).then_some(time_ms)
    }

    /// Resets the cluster's times to `time_ms` after an operator has accepted the clocks of the voters. `newest_ms` is
    /// the newest arrival time in the cluster.
    ///
    /// # Errors
    /// [`ServiceError`] when no leader of the metadata group has applied it.
    pub async fn accept_clocks(&self, time_ms: u64, newest_ms: u64) -> Result<(), ServiceError> {
        let accept = stored::AcceptClocks { time_ms, newest_ms };
        self.groups.proposals().propose_meta(self.now_ms(), Command::AcceptClocks(accept)).await?;
        self.look_at_clocks();
        self.hide_expired().await;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_served_time_that_begins_anew_is_distinguished_from_one_that_catches_up() {
        let at = |served_ms, boot_ms| Some(Served { served_ms, boot_ms });
        for (before, now, expected) in [
            (None, None, false),
            (None, at(1_000_000, 500), true),
            (at(1_000_000, 500), None, true),
            (at(1_000_000, 500), at(1_000_500, 1_000), false),
            // Twice as fast, and standing still.
            (at(1_000_000, 500), at(1_001_000, 1_000), false),
            (at(1_000_000, 500), at(1_000_000, 1_000), false),
            (at(1_000_000, 500), at(90_000_000, 1_000), true),
            (at(90_000_000, 500), at(1_000_000, 1_000), true),
        ] {
            assert_eq!(Served::has_leapt(before, now), expected);
        }
    }
}
