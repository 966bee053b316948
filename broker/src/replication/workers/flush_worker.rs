//! The flush worker and its handle. The worker writes applied records to segments, writes checkpoints, and installs the
//! state of a group that came from another node. No acknowledgement waits for any of that.
//!
//! - *Flush*: the apply tasks wake the worker when enough records are in memory ([`FlushHandle::wake_if_due`]).
//!   Proposals wait while more than [`FlushConfig::unflushed_bytes_max`] are ([`FlushHandle::wait_for_room`]).
//! - *Checkpoint*: each group hands in a *snapshot*, its state as of one applied index. The worker writes the file once
//!   it has the snapshots of all groups, and only after the log is durable up to there. Only then may a group purge its
//!   log up to its snapshot.
//! - *Install*: a checkpoint with the new state is written before the group's files are put in place, so that a start
//!   finishes an install that a crash interrupted. A snapshot that is older than the installed state is dropped.
//! - *Full disk*: a write is retried until there is space, or until the process ends. Any other failed write ends the
//!   process, because the state in memory is ahead of the disk.

use std::io;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use tidelog_storage::Disk;
use tidelog_storage::checkpoint::GroupCheckpoint;
use tidelog_storage::shard::{ShardKey, ShardLog, ShardSnapshot, ShardStore};
use tokio::sync::{Notify, mpsc, oneshot};

use super::wal_worker::WalHandle;
use crate::clock::ClusterClock;
use crate::observability as names;
use crate::shell::{Shell, Worker as Started};
use worker::{PendingSnapshot, Worker};

mod worker;

/// Requests that wait for the worker; each group has at most one snapshot among them.
const QUEUE_REQUESTS_MAX: usize = 64;
/// How long the worker may take to write due records, or a checkpoint, before it counts as stuck.
const WRITE_WITHIN: Duration = Duration::from_secs(300);
/// Pause before a write that found the disk full, or a segment damaged, is tried again.
const TRY_AGAIN: Duration = Duration::from_millis(100);

enum Request {
    Wake,
    Stop,
    Snapshot(PendingSnapshot),
    Install(Install),
    /// Answered once the shard's files have all its records, or cannot have them now.
    WriteOut(ShardKey, oneshot::Sender<()>),
}

/// A handle to the worker; clones share it. The worker ends at its stop, or with the last handle.
#[derive(Clone)]
pub struct FlushHandle {
    queue: mpsc::Sender<Request>,
    shared: Arc<Shared>,
}

/// A group's state from another node. Its files are staged, or in place already.
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
        let worker = |heartbeat| Worker::new(config, store, requests, shared.clone(), heartbeat);
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
    /// durable. Returns the group's part of the checkpoint, or `None` if a newer state replaced the snapshot. Never
    /// returns if the worker stops first, because a failed snapshot is fatal to the group.
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

    /// Writes a shard's records to its files now, as far as the disk has space, instead of waiting for more of them.
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

    /// Stops waiting for space on a full disk from now on: the process is ending.
    pub fn hurry(&self) {
        self.shared.stopping.store(true, Ordering::Relaxed);
    }

    /// Ends the worker; snapshots that wait for a checkpoint are answered with an error. Waits while the queue is full.
    pub async fn stop(&self) {
        self.hurry();
        // A worker that has ended already needs no message.
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
