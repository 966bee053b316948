//! What the service does about clocks: turns the node's, keeps the cluster's retention clock in the metadata while it leads
//! them, and takes an operator's word that the clocks are right.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use tidelog_proto::stored::{self, meta_command::Command};
use tokio::time::{MissedTickBehavior, interval};

use super::{Service, ServiceError};
use crate::clock::cluster::Situation;
use crate::replication::META_GROUP;
use crate::shell::{OwnerGone, Turns};

/// How often the clocks are looked at.
const LOOK_EVERY: Duration = Duration::from_millis(500);
/// Milliseconds of the retention clock after which it is stored while other things are stored as well.
const STORE_AFTER_MS: u64 = 60_000;
/// Milliseconds after which it is stored in any case. So much longer may records be kept after a start.
const STORE_AT_LAST_MS: u64 = 3_600_000;

impl Service {
    /// Goes by the clocks from now on, and hides what has expired before anybody reads. To be called once, before anybody
    /// is served.
    pub async fn begin_time(&self) {
        self.look_at_newest();
        self.look_at_clocks();
        self.hide_expired().await;
    }

    /// Takes note of the newest record, before which no clock can be right.
    pub(super) fn look_at_newest(&self) {
        self.newest_ms.store(self.groups.newest_time_ms(), Ordering::Relaxed);
    }

    /// Turns the node's clock to now.
    pub(super) fn look_at_clocks(&self) {
        self.groups.clock().attend(Situation {
            node: self.groups.node(),
            voters: self.groups.voters(META_GROUP),
            leads: self.leads(META_GROUP),
            kept: self.catalog().retention_clock,
            newest_ms: self.newest_ms.load(Ordering::Relaxed),
        });
    }

    /// Looks at the clocks until it is dropped.
    pub(super) async fn keep_clocks(self: Arc<Self>, turns: Turns) -> OwnerGone {
        let mut look = interval(LOOK_EVERY);
        look.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut stored_at_bytes = 0;
        let (mut served, mut accepted) = (None, self.catalog().retention_clock.accepted);
        loop {
            look.tick().await;
            turns.stamp();
            self.look_at_clocks();
            let (served_now, accepted_now) =
                (self.groups.clock().served_ms(), self.catalog().retention_clock.accepted);
            // The served time has only just become known, or begins anew.
            if served.is_some() != served_now.is_some() || accepted != accepted_now {
                self.hide_expired().await;
            }
            (served, accepted) = (served_now, accepted_now);
            if self.leads(META_GROUP)
                && let Some(time_ms) = self.retention_clock_to_store(stored_at_bytes)
            {
                let advance = stored::AdvanceRetentionClock { time_ms, accepted };
                let stored = self.groups.propose_meta(self.now_ms(), Command::AdvanceRetentionClock(advance));
                if let Err(error) = stored.await {
                    tracing::warn!(%error, "the retention clock is not stored; trying again");
                }
                stored_at_bytes = self.groups.wal_written_bytes();
            }
        }
    }

    /// The retention clock, if it is to be stored now. An idle broker writes it once an hour.
    fn retention_clock_to_store(&self, stored_at_bytes: u64) -> Option<u64> {
        let kept_ms = self.catalog().retention_clock.time_ms;
        let time_ms = self.groups.clock().retention_ms()?;
        let is_active = self.groups.wal_written_bytes() > stored_at_bytes;
        let after_ms = if is_active { STORE_AFTER_MS } else { STORE_AT_LAST_MS };
        (kept_ms == 0 || time_ms.abs_diff(kept_ms) >= after_ms).then_some(time_ms)
    }

    /// Sets the cluster's times to that one, by an operator's word: the clocks of its voters are right. `newest_ms` is the
    /// newest arrival time in the cluster.
    ///
    /// # Errors
    /// [`ServiceError`] when no leader of the metadata has taken it.
    pub async fn accept_clocks(&self, time_ms: u64, newest_ms: u64) -> Result<(), ServiceError> {
        let accept = stored::AcceptClocks { time_ms, newest_ms };
        self.groups.propose_meta(self.now_ms(), Command::AcceptClocks(accept)).await?;
        self.look_at_clocks();
        self.hide_expired().await;
        Ok(())
    }
}
