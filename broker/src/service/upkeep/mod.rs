//! Work that the broker does without a request: checkpoints, retention, a watch over the disk's free space.

pub mod checkpoint_schedule;
pub mod clocks;
pub mod retention;
pub mod trim_log;

use std::sync::Arc;
use std::time::Duration;

use tokio::time::{Instant, MissedTickBehavior, interval, interval_at, timeout};

use super::append::refusal::Watched;
use super::streams::growth::Looked;
use super::{Service, ServiceError};
use crate::replication::META_GROUP;
use crate::shell::{Heartbeat, OwnedTask, OwnerGone};
use checkpoint_schedule::{CheckpointSchedule, LogFigures};

/// How long a node on its own may take to make the key of its tokens.
const KEY_DEADLINE: Duration = Duration::from_secs(10);
/// How often upkeep looks around.
const LOOK_EVERY: Duration = Duration::from_millis(500);
/// How often the log's figures are looked at for a checkpoint: a disk that writes 1 GB/s fills a tenth of the log's
/// bound meanwhile.
const LOOK_AT_LOG_EVERY: Duration = Duration::from_millis(100);
/// How long a look at the free space may take before its loop counts as stuck.
const LOOK_WITHIN: Duration = Duration::from_secs(30);
/// How long a look at streams that grow may take: it asks the other nodes, and reshards.
const GROWTH_WITHIN: Duration = Duration::from_secs(300);
/// How long a look at the clocks may take: it may look at every shard, and propose.
const CLOCKS_WITHIN: Duration = Duration::from_secs(300);
/// How long a look at leases may take: a proposal waits for a leader.
const LEASES_WITHIN: Duration = Duration::from_secs(60);
/// How long a look at the leases of KCL applications may take.
const WATCH_WITHIN: Duration = Duration::from_secs(60);
/// How long a checkpoint, or a trim of all shards, may take.
const WORK_WITHIN: Duration = Duration::from_secs(900);
/// How often on-demand streams are looked at; they do not grow for a shorter burst.
const GROW_EVERY: Duration = Duration::from_secs(5);
/// How often expired records are trimmed. A record may be served this much longer than its retention.
const TRIM_EVERY: Duration = Duration::from_secs(10);

impl Service {
    /// Starts the periodic work, and the duties of this node while it leads the metadata. Stop the returned tasks
    /// to end it. A node on its own has the key of its tokens from then on; one of a cluster gets it from its
    /// leader.
    ///
    /// # Errors
    /// When a node on its own does not come by its key.
    pub async fn start_upkeep(self: &Arc<Self>) -> Result<Vec<OwnedTask>, ServiceError> {
        let shell = self.groups.shell();
        let [watch, checkpoints, trims, growth, leading, leases, clocks, applications] =
            [(); 8].map(|()| self.clone());
        // Apart, because a checkpoint that waits for space must neither hide that there is none nor hold up the trims
        // that free some.
        let upkeep = vec![
            shell.spawn_loop("watch over space", LOOK_WITHIN, |heartbeat| watch.keep_watch(heartbeat)),
            shell.spawn_loop("checkpoints", WORK_WITHIN, |heartbeat| {
                checkpoints.keep_checkpointing(heartbeat)
            }),
            shell.spawn_loop("retention", WORK_WITHIN, |heartbeat| trims.keep_trimming(heartbeat)),
            shell.spawn_loop("growth", GROWTH_WITHIN, |heartbeat| growth.keep_growing(heartbeat)),
            shell.spawn_owned("leading", leading.keep_leading()),
            shell.spawn_loop("leases", LEASES_WITHIN, |heartbeat| leases.expire_members(heartbeat)),
            shell.spawn_loop("applications", WATCH_WITHIN, |heartbeat| {
                applications.keep_watching_leases(heartbeat)
            }),
            shell.spawn_loop("clocks", CLOCKS_WITHIN, |heartbeat| clocks.keep_clocks(heartbeat)),
        ];
        if self.groups.peers().configured().is_empty() {
            let mut catalogs = self.groups.watch_catalog();
            let keyed = catalogs.wait_for(|catalog| catalog.sealing_key.is_some());
            if !matches!(timeout(KEY_DEADLINE, keyed).await, Ok(Ok(_))) {
                upkeep.iter().for_each(OwnedTask::abort);
                return Err(ServiceError::Unavailable(super::ServiceUnavailable::NoKey));
            }
        }
        Ok(upkeep)
    }

    async fn keep_watch(self: Arc<Self>, heartbeat: Heartbeat) -> OwnerGone {
        let mut look = interval(LOOK_EVERY);
        look.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut watched = Watched::default();
        loop {
            look.tick().await;
            heartbeat.beat();
            self.appender.gate().watch(&mut watched, Instant::now());
        }
    }

    async fn keep_growing(self: Arc<Self>, heartbeat: Heartbeat) -> OwnerGone {
        let mut looked = Looked::default();
        let mut look = interval(GROW_EVERY);
        look.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            look.tick().await;
            heartbeat.beat();
            self.grow_on_demand(&mut looked).await;
        }
    }

    async fn keep_checkpointing(self: Arc<Self>, heartbeat: Heartbeat) -> OwnerGone {
        let mut look = interval(LOOK_AT_LOG_EVERY);
        look.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut schedule = CheckpointSchedule::new(&self.log_figures(), Instant::now());
        loop {
            look.tick().await;
            while heartbeat
                .excused(|| self.groups.disk().waits_for_space(), self.checkpoint_if_due(&mut schedule))
                .await
            {}
        }
    }

    /// Writes a checkpoint if one is due; true when it was written.
    async fn checkpoint_if_due(&self, schedule: &mut CheckpointSchedule) -> bool {
        let (log, is_low) = (self.log_figures(), self.appender.gate().is_space_low());
        if !schedule.is_due(&log, is_low, Instant::now()) {
            return false;
        }
        schedule.begin(&log, Instant::now());
        let written = self.groups.checkpoints().make().await;
        if let Err(error) = &written {
            tracing::error!(%error, "checkpoint failed; the log keeps growing until one succeeds");
        }
        written.is_ok()
    }

    fn log_figures(&self) -> LogFigures {
        let bound = self.groups.disk().log_bound();
        LogFigures {
            written: self.groups.disk().wal_written_bytes(),
            live: bound.live_bytes(),
            allocated: self.groups.disk().wal_allocated_bytes(),
            live_max: bound.bytes_max(),
        }
    }

    async fn keep_trimming(self: Arc<Self>, heartbeat: Heartbeat) -> OwnerGone {
        let mut look = interval_at(Instant::now() + TRIM_EVERY, TRIM_EVERY);
        look.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            look.tick().await;
            heartbeat.beat();
            self.accounts.budgets.retain(&self.catalog());
            self.accounts.shard_counts.forget(&self.catalog());
            self.accounts.stream_refusals.forget(&self.catalog());
            if let Err(error) = self.remove_expired_lease_items().await {
                tracing::warn!(%error, "lease tables: cannot remove expired items; trying again at the next pass");
            }
            // By the newest retention periods only: a retention that was raised elsewhere keeps its records.
            if let Err(error) = self.groups.proposals().read_index(META_GROUP).await {
                tracing::warn!(%error, "retention: metadata is not up to date; expired records stay until the next pass");
                continue;
            }
            if let Err(error) = self.trim_expired().await {
                tracing::warn!(%error, "retention: cannot trim expired records; trying again at the next pass");
            }
            if let Err(error) = self.forget_expired_shards().await {
                tracing::warn!(%error, "retention: cannot remove expired closed shards; trying again at the next pass");
            }
        }
    }
}
