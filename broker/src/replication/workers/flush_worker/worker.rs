//! The flush worker itself: it takes one request after the other, and ends the process when a write fails for any other
//! reason than lack of space.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use tidelog_storage::checkpoint::{self, Checkpoint, CheckpointError, GroupCheckpoint};
use tidelog_storage::flusher::{Flusher, Hold};
use tidelog_storage::shard::{ShardError, ShardKey, ShardSnapshot, ShardStore};
use tokio::sync::{mpsc, oneshot};
use tokio::time::{Instant, sleep};

use super::{FlushConfig, Install, Request, Shared, TRY_AGAIN};
use crate::observability as names;
use crate::shell::{Heartbeat, OwnerGone};

/// Milliseconds for which files of trimmed records stay.
const HOLD_MS: u64 = 3_600_000;

/// A group's snapshot, and the channel on which the group waits until a checkpoint holds it.
pub(super) struct PendingSnapshot {
    pub(super) checkpoint: GroupCheckpoint,
    pub(super) shards: Vec<ShardSnapshot>,
    pub(super) durable: oneshot::Sender<Option<Arc<GroupCheckpoint>>>,
}

/// The worker and everything that it owns.
pub(super) struct Worker {
    heartbeat: Heartbeat,
    flusher: Flusher,
    requests: mpsc::Receiver<Request>,
    shared: Arc<Shared>,
    config: FlushConfig,
    sequence: u64,
    snapshots: Vec<PendingSnapshot>,
    /// The applied positions of the states that were installed since the start, by group.
    installed: BTreeMap<u8, Option<(u64, u64)>>,
}

/// The reason that keeps a write from happening.
#[derive(Clone, Copy)]
enum Obstacle {
    FullDisk,
    Lasting,
}

impl From<&ShardError> for Obstacle {
    fn from(error: &ShardError) -> Self {
        if matches!(error, ShardError::NoSpace { .. }) { Obstacle::FullDisk } else { Obstacle::Lasting }
    }
}

impl Worker {
    pub(super) fn new(
        config: FlushConfig,
        store: Arc<ShardStore>,
        requests: mpsc::Receiver<Request>,
        shared: Arc<Shared>,
        heartbeat: Heartbeat,
    ) -> Self {
        Self {
            heartbeat,
            flusher: Flusher::new(store),
            requests,
            shared,
            sequence: config.last_sequence,
            config,
            snapshots: Vec::new(),
            installed: BTreeMap::new(),
        }
    }

    pub(super) async fn run(mut self) -> OwnerGone {
        while let Some(request) = self.requests.recv().await {
            self.heartbeat.beat();
            match request {
                Request::Stop => return OwnerGone,
                Request::Wake => {
                    self.shared.woken.store(false, Ordering::Release);
                    self.flush().await;
                }
                Request::Install(install) => self.install(install).await,
                Request::WriteOut(key, written) => {
                    self.write_out(key);
                    let _ = written.send(());
                }
                Request::Snapshot(snapshot) if self.is_overtaken(&snapshot.checkpoint) => {
                    drop(snapshot.durable.send(None));
                }
                Request::Snapshot(snapshot) => {
                    self.snapshots.retain(|other| other.checkpoint.group != snapshot.checkpoint.group);
                    self.snapshots.push(snapshot);
                    if self.snapshots.len() == self.config.groups {
                        self.checkpoint().await;
                    }
                }
            }
            self.heartbeat.pause();
        }
        OwnerGone
    }

    /// Waits a moment for space on a full disk. Returns whether to give up, because the process is ending. Ends the
    /// process on any other error.
    async fn gives_up(&mut self, obstacle: Obstacle, error: impl std::error::Error) -> bool {
        match obstacle {
            Obstacle::FullDisk => self.shared.disk_full.store(true, Ordering::Relaxed),
            // The state in memory is ahead of the disk for good: the process ends, and recovery decides what
            // is there.
            Obstacle::Lasting => {
                self.config.shell.abort(&format!("segments or checkpoint cannot be written: {error}"));
            }
        }
        drop(error);
        sleep(TRY_AGAIN).await;
        self.heartbeat.beat();
        self.shared.stopping.load(Ordering::Relaxed)
    }

    async fn flush(&mut self) {
        while let Err(error) = self.flusher.flush_some() {
            if self.gives_up((&error).into(), error).await {
                return;
            }
        }
        self.shared.disk_full.store(false, Ordering::Relaxed);
        self.shared.flushed.notify_waiters();
        metrics::gauge!(names::UNFLUSHED_BYTES).set(self.shared.store.unflushed_bytes() as f64);
    }

    /// Writes a shard's records to its files for a peer that pulls one of them.
    fn write_out(&mut self, key: ShardKey) {
        let Err(error) = self.flusher.write_out(key) else { return };
        match (&error).into() {
            Obstacle::FullDisk => {
                crate::log_at_most_once_a_second!(warn, ?key, %error, "flush: no space to write a shard for a peer; the peer gets the bytes that the file has");
            }
            Obstacle::Lasting => self.config.shell.abort(&format!("segments cannot be written: {error}")),
        }
    }

    async fn checkpoint(&mut self) {
        let started = Instant::now();
        let mut groups = Vec::with_capacity(self.snapshots.len());
        let mut waiting = Vec::with_capacity(self.snapshots.len());
        self.snapshots.sort_by_key(|snapshot| snapshot.checkpoint.group);
        for snapshot in std::mem::take(&mut self.snapshots) {
            let shards = loop {
                match self.flusher.checkpoint(snapshot.shards.clone()) {
                    Ok(shards) => break shards,
                    Err(error) => {
                        if self.gives_up((&error).into(), error).await {
                            return;
                        }
                    }
                }
            };
            groups.push(GroupCheckpoint { shards, ..snapshot.checkpoint });
            waiting.push(snapshot.durable);
        }
        let Some(groups) = self.write(groups).await else { return };
        let hold = self.hold();
        if let Err(error) = self.flusher.unlink_after(hold) {
            tracing::warn!(%error, "cannot remove the files of trimmed records; the next checkpoint tries again");
        }
        self.shared.rounds.fetch_add(1, Ordering::Release);
        self.shared.flushed.notify_waiters();
        for (durable, group) in waiting.into_iter().zip(groups) {
            // A group that shuts down no longer listens.
            let _ = durable.send(Some(Arc::new(group)));
        }
        let seconds = started.elapsed().as_secs_f64();
        metrics::histogram!(names::CHECKPOINT_SECONDS).record(seconds);
        tracing::debug!(sequence = self.sequence, seconds, "checkpoint written");
    }

    /// How long files of trimmed records are kept: [`HOLD_MS`], or not at all while space is short.
    fn hold(&self) -> Hold {
        let FlushConfig { disk, directory, clock, hold_free_bytes, .. } = &self.config;
        let is_short = disk.space(directory).is_ok_and(|space| space.free_bytes < *hold_free_bytes);
        if is_short { Hold::NONE } else { Hold { now_ms: clock.boot_ms(), hold_ms: HOLD_MS } }
    }

    /// Writes the next checkpoint and returns its groups; `None` when the process is ending.
    async fn write(&mut self, groups: Vec<GroupCheckpoint>) -> Option<Vec<GroupCheckpoint>> {
        // With an interval, applied entries may not be durable in the log yet; a checkpoint never runs ahead of it.
        let wal = &self.config.wal;
        let durable_lsn = self.heartbeat.excused(|| wal.disk_full(), wal.sync_and_mark()).await.ok()?;
        self.config.shell.pass_sync_latency().await;
        self.sequence += 1;
        let checkpoint = Checkpoint { sequence: self.sequence, durable_lsn, groups };
        while let Err(error) = checkpoint::write(&*self.config.disk, &self.config.directory, &checkpoint) {
            let is_full = matches!(error, CheckpointError::NoSpace { .. });
            let obstacle = if is_full { Obstacle::FullDisk } else { Obstacle::Lasting };
            if self.gives_up(obstacle, error).await {
                return None;
            }
        }
        self.shared.disk_full.store(false, Ordering::Relaxed);
        Some(checkpoint.groups)
    }

    /// Installs a group's state. The checkpoint is written first: a start that finds it finds the staged files as well,
    /// and puts them in place.
    async fn install(&mut self, install: Install) {
        let Install { checkpoint, old, installed } = install;
        let groups = match self.with_installed(&checkpoint) {
            Ok(groups) => groups,
            Err(reason) => return drop(installed.send(Err(reason))),
        };
        let Some(groups) = self.write(groups).await else { return };
        let logs = loop {
            match self.flusher.install(&old, &checkpoint.shards) {
                Ok(logs) => break logs,
                Err(error) => {
                    if self.gives_up((&error).into(), error).await {
                        return;
                    }
                }
            }
        };
        // Once more, before the log is purged up to there, so that a start can use either of the two kept checkpoints.
        if self.write(groups).await.is_none() {
            return;
        }
        self.installed.insert(checkpoint.group, checkpoint.applied);
        let (overtaken, snapshots) = std::mem::take(&mut self.snapshots)
            .into_iter()
            .partition(|snapshot| self.is_overtaken(&snapshot.checkpoint));
        self.snapshots = snapshots;
        for snapshot in overtaken {
            let _ = snapshot.durable.send(None);
        }
        let _ = installed.send(Ok(logs));
    }

    /// The groups of the newest checkpoint with this one instead of its older state, when all its files are there.
    fn with_installed(&mut self, checkpoint: &Arc<GroupCheckpoint>) -> Result<Vec<GroupCheckpoint>, String> {
        match self.flusher.prepare_install(&checkpoint.shards) {
            Ok(true) => {}
            Ok(false) => return Err("a file of the manifest is neither here nor staged".into()),
            Err(error) => self.config.shell.abort(&format!("segments cannot be synced: {error}")),
        }
        let newest = checkpoint::load(&*self.config.disk, &self.config.directory);
        let mut groups = match newest.map_err(|error| error.to_string())? {
            Some(newest) if newest.damaged_newer.is_none() => newest.checkpoint.groups,
            Some(_) => return Err("the newest checkpoint has become damaged".into()),
            None => Vec::new(),
        };
        groups.retain(|group| group.group != checkpoint.group);
        groups.push(GroupCheckpoint::clone(checkpoint));
        groups.sort_by_key(|group| group.group);
        Ok(groups)
    }

    /// Whether a snapshot is older than a state that was installed since, so that its shards no longer are the group's.
    fn is_overtaken(&self, snapshot: &GroupCheckpoint) -> bool {
        let index = |applied: Option<(u64, u64)>| applied.map(|at| at.1);
        self.installed
            .get(&snapshot.group)
            .is_some_and(|installed| index(snapshot.applied) < index(*installed))
    }
}
