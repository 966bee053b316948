//! What the broker does by itself: checkpoints, retention, an eye on the disk's free space.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use tokio::task::JoinHandle;
use tokio::time::{Instant, MissedTickBehavior, interval, timeout};

use super::growth::Looked;
use super::{Service, ServiceError};
use crate::replication::META_GROUP;

/// How long a node on its own may take to make the key of its tokens.
const KEY_DEADLINE: Duration = Duration::from_secs(10);
/// How often upkeep looks around.
const LOOK_EVERY: Duration = Duration::from_millis(500);
/// Bytes written to the log after which a checkpoint is due.
const CHECKPOINT_AFTER_BYTES: u64 = 256 << 20;
/// Time after which a checkpoint is due if anything was written at all.
const CHECKPOINT_AFTER: Duration = Duration::from_secs(300);
/// The same while the disk is almost full: the files of trimmed records and deleted streams go with checkpoints.
const CHECKPOINT_AFTER_WHEN_LOW: Duration = Duration::from_secs(5);
/// How often on-demand streams are looked at; a burst shorter than that is not what they grow for.
const GROW_EVERY: Duration = Duration::from_secs(5);
/// How often expired records are trimmed. A record may be served this much longer than its retention.
const TRIM_EVERY: Duration = Duration::from_secs(10);

impl Service {
    /// Starts the periodic work, and what falls to this node while it leads the metadata. Abort the returned task to
    /// stop it. A node on its own has the key of its tokens from then on; one of a cluster gets it from its leader.
    ///
    /// # Errors
    /// When a node on its own does not come by its key.
    pub async fn start_upkeep(self: &Arc<Self>) -> Result<JoinHandle<()>, ServiceError> {
        let (watch, work, growth) =
            (self.clone().keep_watch(), self.clone().keep_up(), self.clone().keep_growing());
        let (leading, leases) = (self.clone().keep_leading(), self.clone().keep_leases());
        // Apart, because a checkpoint that waits for space must not hide that there is none.
        let upkeep = tokio::spawn(async move {
            tokio::join!(watch, work, growth, leading, leases);
        });
        if self.groups.peers().configured().is_empty() {
            let mut catalogs = self.groups.watch_catalog();
            let keyed = catalogs.wait_for(|catalog| catalog.sealing_key.is_some());
            if !matches!(timeout(KEY_DEADLINE, keyed).await, Ok(Ok(_))) {
                upkeep.abort();
                return Err(ServiceError::Unavailable("no key for tokens could be made".into()));
            }
        }
        Ok(upkeep)
    }

    async fn keep_watch(self: Arc<Self>) {
        let mut look = interval(LOOK_EVERY);
        look.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            look.tick().await;
            self.watch_space();
        }
    }

    async fn keep_growing(self: Arc<Self>) {
        let mut looked = Looked::default();
        let mut look = interval(GROW_EVERY);
        look.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            look.tick().await;
            self.grow_on_demand(&mut looked).await;
        }
    }

    async fn keep_up(self: Arc<Self>) {
        let mut look = interval(LOOK_EVERY);
        look.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut checkpointed = (self.groups.wal_written_bytes(), Instant::now());
        let mut trimmed = Instant::now();
        loop {
            look.tick().await;
            let written = self.groups.wal_written_bytes() - checkpointed.0;
            let is_low = self.space_is_low.load(Ordering::Relaxed);
            let wait = if is_low { CHECKPOINT_AFTER_WHEN_LOW } else { CHECKPOINT_AFTER };
            // A second one frees the log up to the first, also when puts are refused and nothing more is written.
            let is_news = written > 0 || is_low;
            if written >= CHECKPOINT_AFTER_BYTES || (is_news && checkpointed.1.elapsed() >= wait) {
                checkpointed = (self.groups.wal_written_bytes(), Instant::now());
                if let Err(error) = self.groups.checkpoint().await {
                    tracing::error!(%error, "no checkpoint; the log keeps growing until one succeeds");
                }
            }
            if trimmed.elapsed() >= TRIM_EVERY {
                trimmed = Instant::now();
                self.forget_budgets();
                self.shard_counts.forget(&self.catalog());
                // By the newest retention periods only: one that was raised elsewhere keeps what it keeps.
                if let Err(error) = self.groups.read_index(META_GROUP).await {
                    tracing::warn!(%error, "expired records are kept for now");
                    continue;
                }
                if let Err(error) = self.trim_expired().await {
                    tracing::warn!(%error, "expired records are kept for now");
                }
                if let Err(error) = self.forget_expired_shards().await {
                    tracing::warn!(%error, "closed shards are listed for now");
                }
            }
        }
    }

    fn watch_space(&self) {
        let low = !self.groups.has_space();
        if self.space_is_low.swap(low, Ordering::Relaxed) != low {
            if low {
                tracing::error!("the disk is almost full: puts are refused, reads go on");
            } else {
                tracing::info!("there is space on the disk again: puts are taken");
            }
        }
    }
}
