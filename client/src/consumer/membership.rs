//! The consumer's task: joins the group, stays in it, reads the shards that are leased to it, gives up revoked
//! shards, and joins again when the broker no longer knows it.
//!
//! A member that cannot reach the broker for a lease time counts its leases as lost, since others may have them by
//! then.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use tidelog_proto::v1::{self, progress};
use tokio::sync::{Notify, mpsc, oneshot};
use tokio::task::AbortHandle;
use tokio::time::{Instant, sleep, timeout};
use tracing::Instrument;

use super::group::Group;
use super::lease::Lease;
use super::record::Position;
use super::shard_reading::{Event, Read, ShardReading, Source};
use crate::backoff;
use crate::error::{Error, Reason};

/// Syncs in each lease time; the broker asks for three.
const SYNCS_PER_LEASE: u32 = 4;

/// How often processed records are recorded, where that is done by itself.
const CHECKPOINT_INTERVAL: Duration = Duration::from_secs(1);

/// The shortest time that a sync gets.
const SYNC_TIME_MIN: Duration = Duration::from_millis(100);

/// An item for the application.
#[derive(Debug)]
pub(super) enum Delivery {
    Records(Arc<Lease>, Read),
    End(Arc<Lease>),
    /// An error that does not pass by itself.
    Failed(Error),
}

/// The task's state.
#[derive(Debug)]
pub(super) struct Membership {
    pub group: Arc<Group>,
    pub source: Arc<Source>,
    pub deliveries: mpsc::Sender<Delivery>,
    pub changed: Arc<Notify>,
    leases: BTreeMap<String, Reading>,
    member_id: Option<String>,
}

/// A lease, and the task that reads its shard, which ends with it.
#[derive(Debug)]
struct Reading {
    lease: Arc<Lease>,
    task: AbortHandle,
}

impl Drop for Reading {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Membership {
    pub fn new(group: Arc<Group>, source: Arc<Source>, deliveries: mpsc::Sender<Delivery>) -> Self {
        let changed = Arc::default();
        Self { group, source, deliveries, changed, leases: BTreeMap::new(), member_id: None }
    }

    /// Runs until `stopped` is sent or dropped, or the group cannot be joined. In the end it leaves the group.
    pub async fn run(mut self, stopped: oneshot::Receiver<()>) {
        let failed = tokio::select! {
            failed = self.belong() => Some(failed),
            _ = stopped => None,
        };
        if let Some(member_id) = self.member_id.take() {
            // At the end nothing more can be done; records whose checkpoint failed are processed again.
            let _ = self.checkpoint(&member_id).await;
            let _ = self.group.leave(&member_id).await;
        }
        self.lose_all();
        if let Some(error) = failed {
            // The consumer may be gone, and then nobody asks.
            let _ = self.deliveries.send(Delivery::Failed(error)).await;
        }
    }

    /// Is in the group, as long as that can be.
    async fn belong(&mut self) -> Error {
        loop {
            let joined = match self.join().await {
                Ok(joined) => joined,
                Err(error) => return error,
            };
            let lease = Duration::from_millis(joined.lease_ms.max(1).into());
            self.member_id = Some(joined.member_id.clone());
            let error = self.stay(&joined.member_id, lease).await;
            self.lose_all();
            if error.reason() != Reason::MemberUnknown {
                return error;
            }
            self.member_id = None;
            metrics::counter!(crate::metrics::REJOINS).increment(1);
            tracing::warn!(group = self.group.name, "absent for too long, joining again");
        }
    }

    async fn join(&self) -> Result<v1::JoinResponse, Error> {
        let mut failures = 0;
        loop {
            match self.group.join().await {
                Err(error) if error.is_transient() => {
                    failures += 1;
                    tracing::debug!(group = self.group.name, %error, "joining again");
                    sleep(backoff::delay(failures, error.retry_after())).await;
                }
                joined => return joined,
            }
        }
    }

    /// Renews the membership until it ends.
    async fn stay(&mut self, member_id: &str, lease: Duration) -> Error {
        let interval = lease / SYNCS_PER_LEASE;
        let mut renewed = Instant::now();
        let mut failures = 0;
        let mut sync_at = Instant::now();
        loop {
            let has_ended = match self.checkpoint(member_id).await {
                Ok(has_ended) => has_ended,
                Err(error) => return error,
            };
            let released = self.released();
            if has_ended || !released.is_empty() || sync_at <= Instant::now() {
                let began = Instant::now();
                let left = lease.saturating_sub(renewed.elapsed());
                let within = interval.min(left).max(SYNC_TIME_MIN);
                match self.group.sync(member_id, released, within).await {
                    Ok(leases) => {
                        (renewed, failures) = (began, 0);
                        self.adopt(&leases, member_id);
                    }
                    Err(error) if error.is_transient() => {
                        failures += 1;
                        tracing::debug!(group = self.group.name, %error, "sync failed");
                    }
                    Err(error) => return error,
                }
                if renewed.elapsed() >= lease {
                    self.lose_all();
                }
                let wait =
                    if failures == 0 { interval } else { backoff::delay(failures, None).min(interval) };
                sync_at = began + wait;
            }
            let wait = sync_at.saturating_duration_since(Instant::now()).min(CHECKPOINT_INTERVAL);
            // Woken by records that were processed, or that are no longer in hand.
            let _ = timeout(wait, self.changed.notified()).await;
        }
    }

    /// Checkpoints the processed records. Whether a shard has come to its end with it.
    async fn checkpoint(&self, member_id: &str) -> Result<bool, Error> {
        let leases = self.leases.values().map(|reading| &reading.lease);
        let reached: Vec<(&Arc<Lease>, progress::Reached)> =
            leases.filter_map(|lease| Some((lease, lease.take_reached()?))).collect();
        if reached.is_empty() {
            return Ok(false);
        }
        let shards = reached.iter().map(|(lease, reached)| lease.progress(reached.clone())).collect();
        match self.group.checkpoint(member_id, shards).await {
            Ok(lost) => {
                let mut has_ended = false;
                for (lease, reached) in reached {
                    if lost.contains(&lease.shard_id) {
                        self.group.lose(lease);
                    } else if matches!(reached, progress::Reached::Finished(_)) {
                        lease.finish();
                        has_ended = true;
                    }
                }
                Ok(has_ended)
            }
            Err(error) if error.is_transient() => {
                tracing::debug!(group = self.group.name, %error, "checkpoint failed");
                reached.into_iter().for_each(|(lease, reached)| lease.put_back(reached));
                Ok(false)
            }
            Err(error) => Err(error),
        }
    }

    /// Returns the leases that the next sync gives up.
    fn released(&self) -> Vec<v1::LeaseRef> {
        let leases = self.leases.values().map(|reading| &reading.lease);
        leases
            .filter(|lease| lease.release())
            .map(|lease| v1::LeaseRef { shard_id: lease.shard_id.clone(), epoch: lease.epoch })
            .collect()
    }

    /// Makes the leases those of the answer.
    fn adopt(&mut self, leases: &[v1::Lease], member_id: &str) {
        let group = self.group.clone();
        self.leases.retain(|shard_id, Reading { lease, .. }| {
            let is_same = |other: &v1::Lease| other.shard_id == *shard_id && other.epoch == lease.epoch;
            let stays = lease.counts() && leases.iter().any(is_same);
            if !stays {
                group.lose(lease);
            }
            stays
        });
        for lease in leases {
            let reading = self.leases.entry(lease.shard_id.clone()).or_insert_with(|| {
                let held = Lease::new(lease, member_id, self.changed.clone());
                let from = lease.from.clone().unwrap_or_else(|| Position::TrimHorizon.into());
                let reading = ShardReading::new(self.source.clone(), lease.shard_id.clone(), from);
                let span = tracing::debug_span!(
                    "read",
                    group = self.group.name,
                    shard = lease.shard_id,
                    epoch = lease.epoch
                );
                let reading = read(reading, held.clone(), self.deliveries.clone()).instrument(span);
                let task = tokio::spawn(reading).abort_handle();
                Reading { lease: held, task }
            });
            if lease.is_revoked {
                reading.lease.revoke();
                reading.task.abort();
                self.changed.notify_one();
            }
        }
        metrics::gauge!(crate::metrics::LEASES).set(self.leases.len() as f64);
    }

    fn lose_all(&mut self) {
        for reading in self.leases.values() {
            self.group.lose(&reading.lease);
        }
        self.leases.clear();
        metrics::gauge!(crate::metrics::LEASES).set(0.0);
    }
}

/// Reads a shard as long as its lease goes on. At most one message waits to be handed out.
async fn read(mut reading: ShardReading, lease: Arc<Lease>, deliveries: mpsc::Sender<Delivery>) {
    loop {
        let (delivery, is_last) = match reading.next().await {
            Ok(Event::Records(records)) => (Delivery::Records(lease.clone(), records), false),
            Ok(Event::End | Event::Tip) => (Delivery::End(lease.clone()), true),
            Err(error) => (Delivery::Failed(error), true),
        };
        if deliveries.send(delivery).await.is_err() || is_last {
            return;
        }
    }
}
