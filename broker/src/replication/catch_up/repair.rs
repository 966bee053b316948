//! Keeping the node's files intact: damaged segments are replaced by a peer's copy, and sealed ones are scrubbed
//! from time to time, before a reader needs them.
//!
//! Damaged bytes are never served: a read of it is answered with an error that can be retried, and lists the
//! segment. One repair at a time; the list is bounded where it is kept. A single node has nobody to repair from: it
//! reports.

use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::time::Duration;

use tidelog_storage::shard::{DamagedSegment, Scrubbed, ShardKey, ShardStore};
use tidelog_storage::transfer::Wanted;
use tokio::time::sleep;

use super::pull::{PullError, Puller};
use crate::observability as names;
use crate::replication::sizes::RepairPace;
use crate::shell::{Heartbeat, OwnerGone};

/// Longest pause before a segment that no peer could give is asked for again.
const REPAIR_PAUSE_MAX: Duration = Duration::from_secs(30);

/// Repairs this node's damaged segments, and looks for them.
pub struct Repairs {
    puller: Arc<Puller>,
    store: Arc<ShardStore>,
    pace: RepairPace,
}

impl Repairs {
    /// Repairs segments of that store by copies that the puller brings.
    pub fn new(puller: Arc<Puller>, store: Arc<ShardStore>, pace: RepairPace) -> Self {
        Self { puller, store, pace }
    }

    /// The segments of this node that are known to be damaged, and are not served until they are repaired.
    pub fn damaged_segments(&self) -> Vec<(ShardKey, u64)> {
        self.store.damaged()
    }

    /// The damaged segments with the records that cannot be read and were not given up.
    pub fn damage_report(&self) -> Vec<DamagedSegment> {
        self.store.damage_report()
    }

    /// Replaces damaged segments, until it is dropped.
    pub async fn keep_repairing(&self, heartbeat: Heartbeat) -> OwnerGone {
        let mut pause = self.pace.look_every;
        loop {
            heartbeat.beat();
            sleep(pause).await;
            self.survey_damage().await;
            if !self.store.is_repairable() {
                continue;
            }
            let mut has_failed = false;
            for (key, first_ordinal) in self.store.damaged() {
                heartbeat.beat();
                match self.repair(key, first_ordinal).await {
                    Ok(()) => {}
                    Err(error) => {
                        crate::log_at_most_once_a_second!(warn, ?key, first_ordinal, %error, "repair: a damaged segment cannot be repaired yet; trying again");
                        has_failed = true;
                    }
                }
            }
            let look_every = self.pace.look_every;
            pause = if has_failed { (pause * 2).min(REPAIR_PAUSE_MAX) } else { look_every };
        }
    }

    /// Finds the records that newly damaged segments have lost, and logs them.
    async fn survey_damage(&self) {
        if self.store.damaged().is_empty() {
            return;
        }
        let store = self.store.clone();
        match self.puller.blocking(move || store.survey_damage()).await {
            Ok(0) => {}
            Ok(_) => {
                for damaged in self.store.damage_report() {
                    tracing::error!(
                        ?damaged,
                        "records of a damaged segment cannot be read; /health names them"
                    );
                }
            }
            Err(error) => {
                tracing::warn!(%error, "repair: cannot list the unreadable records of a damaged segment yet; trying again");
            }
        }
    }

    /// Replaces a damaged segment by the copy of the first peer that has an intact one.
    async fn repair(&self, key: ShardKey, first_ordinal: u64) -> Result<(), PullError> {
        let puller = &self.puller;
        let pulled = Arc::new(AtomicU64::new(0));
        let mut failed =
            PullError::Peer { node: puller.node(), reason: "no peer has more than this node".into() };
        for node in puller.others() {
            let store = self.store.clone();
            let wanted = puller.blocking(move || store.repair_need(key, first_ordinal)).await?;
            let Some(Wanted { need, .. }) = wanted else { return Ok(()) };
            if let Err(error) = puller.fetch(&[node], &need, self.store.repairs(), &pulled).await {
                failed = error;
                continue;
            }
            let store = self.store.clone();
            match puller.blocking(move || store.replace_segment(&need)).await {
                Ok(true) => {
                    tracing::info!(?key, first_ordinal, node, "repaired a segment");
                    metrics::counter!(names::REPAIRED_SEGMENTS).increment(1);
                    return Ok(());
                }
                Ok(false) => {}
                Err(error) => failed = error,
            }
        }
        Err(failed)
    }

    /// Looks at sealed segments, one after the other, until it is dropped.
    pub async fn keep_scrubbing(&self, heartbeat: Heartbeat) -> OwnerGone {
        let pace = self.pace;
        loop {
            heartbeat.pause();
            sleep(pace.scrub_pause).await;
            let mut after = None;
            heartbeat.beat();
            while let Some(scrubbed) = self.scrub(after).await {
                after = Some((scrubbed.key, scrubbed.first_ordinal));
                let seconds = scrubbed.bytes as f64 / pace.scrub_bytes_per_second as f64;
                sleep(Duration::from_secs_f64(seconds)).await;
                heartbeat.beat();
            }
        }
    }

    /// Looks at the next sealed segment; `None` behind the last one, and when the disk does not answer.
    async fn scrub(&self, after: Option<(ShardKey, u64)>) -> Option<Scrubbed> {
        let store = self.store.clone();
        let scrubbed = self.puller.blocking(move || store.scrub(after)).await;
        let scrubbed = match scrubbed {
            Ok(scrubbed) => scrubbed?,
            Err(error) => {
                tracing::error!(%error, "scrub: cannot read segments; trying again at the next pass");
                return None;
            }
        };
        metrics::counter!(names::SCRUBBED_BYTES).increment(scrubbed.bytes);
        if let Some(damage) = &scrubbed.damage {
            crate::log_at_most_once_a_second!(error, %damage, "a segment is damaged");
            metrics::counter!(names::DAMAGED_SEGMENTS).increment(1);
        }
        Some(scrubbed)
    }
}
