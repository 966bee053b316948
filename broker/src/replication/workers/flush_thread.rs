//! The worker that lays records out in segments and writes checkpoints, both behind the acknowledgement.
//!
//! A checkpoint is complete when every group has handed in its snapshot: only then is the file written, and only then
//! may any group purge its log up to its snapshot.

use std::collections::BTreeMap;
use std::io;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use tidelog_storage::Disk;
use tidelog_storage::checkpoint::{self, Checkpoint, CheckpointError, GroupCheckpoint};
use tidelog_storage::flusher::{Flusher, Hold};
use tidelog_storage::shard::{ShardError, ShardKey, ShardLog, ShardSnapshot, ShardStore};
use tokio::sync::{Notify, mpsc, oneshot};
use tokio::time::{Instant, sleep};

use super::wal_thread::WalHandle;
use crate::clock::ClusterClock;
use crate::observability as names;
use crate::shell::{Heartbeat, OwnerGone, Shell, Worker as Started};

/// Wake-ups and snapshots waiting; a group has at most one snapshot under way.
const QUEUE_REQUESTS_MAX: usize = 64;
/// Milliseconds for which files of trimmed records stay.
const HOLD_MS: u64 = 3_600_000;
/// How long the worker may take to write due records, or a checkpoint, before it counts as stuck.
const WRITE_WITHIN: Duration = Duration::from_secs(300);
/// Pause before a write that found the disk full, or a segment damaged, is tried again.
const TRY_AGAIN: Duration = Duration::from_millis(100);

enum Request {
    Wake,
    Stop,
    Snapshot(PendingSnapshot),
    Install(Install),
    /// To be answered once the shard's files have all records of the memory, or cannot have them now.
    WriteOut(ShardKey, oneshot::Sender<()>),
}

/// A handle to the worker; clones share it. The worker ends at its stop, or with the last handle.
#[derive(Clone)]
pub struct FlushHandle {
    queue: mpsc::Sender<Request>,
    shared: Arc<Shared>,
}

/// A group's state from another node, whose files are staged or here.
struct Install {
    checkpoint: Arc<GroupCheckpoint>,
    /// The group's shards so far.
    old: Vec<ShardKey>,
    installed: oneshot::Sender<Result<Vec<Arc<ShardLog>>, String>>,
}

struct Shared {
    store: Arc<ShardStore>,
    /// Unflushed bytes at which proposals wait.
    unflushed_bytes_max: u64,
    /// Unflushed bytes from which on the worker flushes.
    flush_from_bytes: u64,
    woken: AtomicBool,
    rounds: AtomicU64,
    flushed: Notify,
    disk_full: AtomicBool,
    stopping: AtomicBool,
}

/// Where the worker works, and how many groups make a checkpoint.
pub struct FlushConfig {
    /// The node's disk.
    pub disk: Arc<dyn Disk>,
    /// The directory of checkpoints.
    pub directory: PathBuf,
    /// Sequence of the newest checkpoint there, 0 for none.
    pub last_sequence: u64,
    /// The log that a checkpoint must not run ahead of.
    pub wal: WalHandle,
    /// Groups whose snapshots make a checkpoint complete.
    pub groups: usize,
    /// The shell that the worker runs in.
    pub shell: Shell,
    /// The clock whose boot time bounds how long files of trimmed records are kept.
    pub clock: Arc<ClusterClock>,
    /// Free bytes of the disk below which files of trimmed records are removed at once.
    pub hold_free_bytes: u64,
    /// Unflushed bytes at which proposals wait for the flusher.
    pub unflushed_bytes_max: u64,
    /// Unflushed bytes from which on the worker flushes.
    pub flush_from_bytes: u64,
}

impl FlushHandle {
    /// Starts the worker over the node's shards.
    pub fn start(store: Arc<ShardStore>, config: FlushConfig) -> io::Result<(Self, Started)> {
        let (queue, requests) = mpsc::channel(QUEUE_REQUESTS_MAX);
        metrics::gauge!(names::UNFLUSHED_BYTES).set(store.unflushed_bytes() as f64);
        let shared = Arc::new(Shared {
            store: store.clone(),
            unflushed_bytes_max: config.unflushed_bytes_max,
            flush_from_bytes: config.flush_from_bytes,
            woken: AtomicBool::new(false),
            rounds: AtomicU64::new(0),
            flushed: Notify::new(),
            disk_full: AtomicBool::new(false),
            stopping: AtomicBool::new(false),
        });
        let shell = config.shell.clone();
        let worker = |heartbeat| Worker {
            heartbeat,
            flusher: Flusher::new(store),
            requests,
            shared: shared.clone(),
            sequence: config.last_sequence,
            config,
            snapshots: Vec::new(),
            installed: BTreeMap::new(),
        };
        let started = shell.start("flush", WRITE_WITHIN, |heartbeat| worker(heartbeat).run())?;
        Ok((Self { queue, shared }, started))
    }

    /// Called after applying: wakes the worker when there is enough to write.
    pub fn wake_if_due(&self) {
        if self.shared.store.flushable_bytes() >= self.shared.flush_from_bytes
            && !self.shared.woken.swap(true, Ordering::AcqRel)
        {
            // A full queue means that the worker is awake.
            let _ = self.queue.try_send(Request::Wake);
        }
    }

    /// Hands in a group's snapshot and waits until a checkpoint that holds it, or a newer state of the group, is
    /// durable: for ever when the worker ends or gives up before, because a snapshot that fails is fatal to its group.
    /// Returns the group's part of the checkpoint, unless a newer state overtook it.
    pub async fn checkpoint(
        &self,
        checkpoint: GroupCheckpoint,
        shards: Vec<ShardSnapshot>,
    ) -> Option<Arc<GroupCheckpoint>> {
        let (durable, answer) = oneshot::channel();
        self.answered(Request::Snapshot(PendingSnapshot { checkpoint, shards, durable }), answer).await
    }

    /// Makes a group's state from another node durable in a checkpoint of its own, puts its files in place and opens
    /// its shards instead of the `old` ones.
    ///
    /// # Errors
    /// When files are lacking, or the newest checkpoint cannot be read: nothing has changed then; when the worker ends.
    pub async fn install(
        &self,
        checkpoint: Arc<GroupCheckpoint>,
        old: Vec<ShardKey>,
    ) -> Result<Vec<Arc<ShardLog>>, String> {
        let (installed, answer) = oneshot::channel();
        let queued = self.queue.send(Request::Install(Install { checkpoint, old, installed })).await;
        let ended = |_| "the process is ending".to_owned();
        queued.map_err(|_| ended(()))?;
        answer.await.map_err(|_| ended(()))?
    }

    /// Has a shard's records written to its files now, as far as the disk lets it, instead of when there is enough.
    pub async fn write_out(&self, key: ShardKey) {
        let (written, answer) = oneshot::channel();
        if self.queue.send(Request::WriteOut(key, written)).await.is_ok() {
            // A worker that ends has written as much as it could.
            let _ = answer.await;
        }
    }

    async fn answered<T>(&self, request: Request, answer: oneshot::Receiver<T>) -> T {
        if self.queue.send(request).await.is_ok()
            && let Ok(answer) = answer.await
        {
            return answer;
        }
        std::future::pending().await
    }

    /// True when the process is ending and the disk has no space for a last checkpoint.
    pub fn has_given_up(&self) -> bool {
        self.disk_full() && self.shared.stopping.load(Ordering::Relaxed)
    }

    /// Checkpoints completed since the process started.
    pub fn rounds(&self) -> u64 {
        self.shared.rounds.load(Ordering::Acquire)
    }

    /// True while a write waits for space on the disk.
    pub fn disk_full(&self) -> bool {
        self.shared.disk_full.load(Ordering::Relaxed)
    }

    /// From now on a full disk is given up on instead of waited out: the process is ending.
    pub fn hurry(&self) {
        self.shared.stopping.store(true, Ordering::Relaxed);
    }

    /// Ends the worker; snapshots that wait for a checkpoint are answered with an error. Waits while the queue is full.
    pub async fn stop(&self) {
        self.hurry();
        // A worker that has ended already needs no telling.
        let _ = self.queue.send(Request::Stop).await;
    }

    /// Returns once the bytes that can be flushed are below [`FlushConfig::unflushed_bytes_max`], or when the process
    /// is ending.
    pub async fn wait_for_room(&self) {
        while self.shared.store.flushable_bytes() >= self.shared.unflushed_bytes_max
            && !self.shared.stopping.load(Ordering::Relaxed)
        {
            let flushed = self.shared.flushed.notified();
            if self.shared.store.flushable_bytes() < self.shared.unflushed_bytes_max {
                return;
            }
            // The timeout covers a wake-up lost while the queue was full.
            let _ = tokio::time::timeout(TRY_AGAIN, flushed).await;
            self.wake_if_due();
        }
    }
}

struct PendingSnapshot {
    checkpoint: GroupCheckpoint,
    shards: Vec<ShardSnapshot>,
    durable: oneshot::Sender<Option<Arc<GroupCheckpoint>>>,
}

struct Worker {
    heartbeat: Heartbeat,
    flusher: Flusher,
    requests: mpsc::Receiver<Request>,
    shared: Arc<Shared>,
    config: FlushConfig,
    sequence: u64,
    snapshots: Vec<PendingSnapshot>,
    /// Where the states end that were installed since the start, by group.
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
    async fn run(mut self) -> OwnerGone {
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

    /// Waits a moment for space on a full disk, and gives false; true when the process is ending. Ends the process on
    /// any other error.
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

    /// Writes the bytes that are in memory, for a peer that asks for a file: it takes the requests that are there,
    /// without waiting for more.
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

    /// How long files of trimmed records stay: not at all while space is short.
    fn hold(&self) -> Hold {
        let FlushConfig { disk, directory, clock, hold_free_bytes, .. } = &self.config;
        let is_short = disk.free_bytes(directory).is_ok_and(|free| free < *hold_free_bytes);
        if is_short { Hold::NONE } else { Hold { now_ms: clock.boot_ms(), hold_ms: HOLD_MS } }
    }

    /// Writes the next checkpoint; gives its groups back. `None` when the process is ending.
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

    /// The checkpoint comes first: a start that finds it finds the staged files as well, and puts them in place.
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
        // Once more, before the log goes up to there: so that both checkpoints that are kept can be started from.
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

    /// Whether a snapshot is older than the state that was installed since: its shards are not the group's any more.
    fn is_overtaken(&self, snapshot: &GroupCheckpoint) -> bool {
        let index = |applied: Option<(u64, u64)>| applied.map(|at| at.1);
        self.installed
            .get(&snapshot.group)
            .is_some_and(|installed| index(snapshot.applied) < index(*installed))
    }
}
