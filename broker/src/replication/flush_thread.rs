//! The worker that lays records out in segments and writes checkpoints, both behind the acknowledgement.
//!
//! A checkpoint is complete when every group has handed in its cut: only then is the file written, and only then
//! may any group purge its log up to its cut.

use std::io;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use tidelog_storage::Disk;
use tidelog_storage::checkpoint::{self, Checkpoint, CheckpointError, GroupCheckpoint};
use tidelog_storage::flusher::Flusher;
use tidelog_storage::shard::{ShardCut, ShardError, ShardStore};
use tokio::sync::{Notify, mpsc, oneshot};
use tokio::time::{Instant, sleep};

use super::shell::{Shell, Worker as Started};
use super::wal_thread::WalHandle;
use crate::observability as names;

/// Wake-ups and cuts waiting; a group has at most one cut under way.
const QUEUE_REQUESTS_MAX: usize = 64;
/// Unflushed bytes at which the flusher begins to write.
pub const FLUSH_FROM_BYTES: u64 = 24 << 20;
/// Unflushed bytes at which proposals wait for the flusher.
pub const UNFLUSHED_BYTES_MAX: u64 = 64 << 20;
/// Pause before a write that found the disk full is tried again.
const FULL_DISK_RETRY: Duration = Duration::from_millis(100);

enum Request {
    Wake,
    Stop,
    Cut { checkpoint: GroupCheckpoint, shards: Vec<ShardCut>, durable: oneshot::Sender<()> },
}

/// A handle to the worker; clones share it. The worker ends when it is told to, or with the last handle.
#[derive(Clone)]
pub struct FlushHandle {
    queue: mpsc::Sender<Request>,
    shared: Arc<Shared>,
}

struct Shared {
    store: Arc<ShardStore>,
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
    /// Groups whose cuts make a checkpoint complete.
    pub groups: usize,
    /// What the worker runs in.
    pub shell: Shell,
}

impl FlushHandle {
    /// Starts the worker over the node's shards.
    pub fn start(store: Arc<ShardStore>, config: FlushConfig) -> io::Result<(Self, Started)> {
        let (queue, requests) = mpsc::channel(QUEUE_REQUESTS_MAX);
        let shared = Arc::new(Shared {
            store: store.clone(),
            woken: AtomicBool::new(false),
            rounds: AtomicU64::new(0),
            flushed: Notify::new(),
            disk_full: AtomicBool::new(false),
            stopping: AtomicBool::new(false),
        });
        let shell = config.shell.clone();
        let worker = Worker {
            flusher: Flusher::new(store),
            requests,
            shared: shared.clone(),
            sequence: config.last_sequence,
            config,
            cuts: Vec::new(),
        };
        let started = shell.start("flush", worker.run())?;
        Ok((Self { queue, shared }, started))
    }

    /// Called after applying: wakes the worker when there is enough to write.
    pub fn wake_if_due(&self) {
        if self.shared.store.flushable_bytes() >= FLUSH_FROM_BYTES
            && !self.shared.woken.swap(true, Ordering::AcqRel)
        {
            // A full queue means that the worker is awake.
            let _ = self.queue.try_send(Request::Wake);
        }
    }

    /// Hands in a group's cut and waits until a checkpoint that holds it is durable: for ever when the worker ends or
    /// gives up before, because a cut that fails is fatal to its group.
    pub async fn checkpoint(&self, checkpoint: GroupCheckpoint, shards: Vec<ShardCut>) {
        let (durable, answer) = oneshot::channel();
        let queued = self.queue.send(Request::Cut { checkpoint, shards, durable });
        if queued.await.is_err() || answer.await.is_err() {
            std::future::pending::<()>().await;
        }
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

    /// Ends the worker; cuts that wait for a checkpoint are answered with an error. Waits while the queue is full.
    pub async fn stop(&self) {
        self.hurry();
        // A worker that has ended already needs no telling.
        let _ = self.queue.send(Request::Stop).await;
    }

    /// Returns once the bytes that can be flushed are below [`UNFLUSHED_BYTES_MAX`], or when the process is ending.
    pub async fn wait_for_room(&self) {
        while self.shared.store.flushable_bytes() >= UNFLUSHED_BYTES_MAX
            && !self.shared.stopping.load(Ordering::Relaxed)
        {
            let flushed = self.shared.flushed.notified();
            if self.shared.store.flushable_bytes() < UNFLUSHED_BYTES_MAX {
                return;
            }
            // The timeout covers a wake-up lost while the queue was full.
            let _ = tokio::time::timeout(FULL_DISK_RETRY, flushed).await;
            self.wake_if_due();
        }
    }
}

struct CutInHand {
    checkpoint: GroupCheckpoint,
    shards: Vec<ShardCut>,
    durable: oneshot::Sender<()>,
}

struct Worker {
    flusher: Flusher,
    requests: mpsc::Receiver<Request>,
    shared: Arc<Shared>,
    config: FlushConfig,
    sequence: u64,
    cuts: Vec<CutInHand>,
}

impl Worker {
    async fn run(mut self) {
        while let Some(request) = self.requests.recv().await {
            match request {
                Request::Stop => return,
                Request::Wake => {
                    self.shared.woken.store(false, Ordering::Release);
                    self.flush().await;
                }
                Request::Cut { checkpoint, shards, durable } => {
                    self.cuts.retain(|cut| cut.checkpoint.group != checkpoint.group);
                    self.cuts.push(CutInHand { checkpoint, shards, durable });
                    if self.cuts.len() == self.config.groups {
                        self.checkpoint().await;
                    }
                }
            }
        }
    }

    /// Waits a moment for space on a full disk and gives false; true when the process is ending. Ends the process
    /// on any other error.
    async fn gives_up(&mut self, is_no_space: bool, error: impl std::error::Error) -> bool {
        if !is_no_space {
            // What is on disk leaves no state to go on from: recovery decides.
            self.config.shell.abort(&format!("segments or checkpoint cannot be written: {error}"));
        }
        drop(error);
        self.shared.disk_full.store(true, Ordering::Relaxed);
        sleep(FULL_DISK_RETRY).await;
        self.shared.stopping.load(Ordering::Relaxed)
    }

    async fn flush(&mut self) {
        while let Err(error) = self.flusher.flush_some() {
            if self.gives_up(matches!(error, ShardError::NoSpace { .. }), error).await {
                return;
            }
        }
        self.shared.disk_full.store(false, Ordering::Relaxed);
        self.shared.flushed.notify_waiters();
        metrics::gauge!(names::UNFLUSHED_BYTES).set(self.shared.store.unflushed_bytes() as f64);
    }

    async fn checkpoint(&mut self) {
        let started = Instant::now();
        self.sequence += 1;
        let mut groups = Vec::with_capacity(self.cuts.len());
        let mut waiting = Vec::with_capacity(self.cuts.len());
        for cut in std::mem::take(&mut self.cuts) {
            let shards = loop {
                match self.flusher.checkpoint(cut.shards.clone()) {
                    Ok(shards) => break shards,
                    Err(error) => {
                        if self.gives_up(matches!(error, ShardError::NoSpace { .. }), error).await {
                            return;
                        }
                    }
                }
            };
            groups.push(GroupCheckpoint { shards, ..cut.checkpoint });
            waiting.push(cut.durable);
        }
        groups.sort_by_key(|group| group.group);
        // With an interval, what was applied may not be durable in the log yet; a checkpoint never runs ahead of it.
        if self.config.wal.sync().await.is_err() {
            return;
        }
        self.config.shell.pass_sync_latency().await;
        let checkpoint = Checkpoint { sequence: self.sequence, groups };
        while let Err(error) = checkpoint::write(&*self.config.disk, &self.config.directory, &checkpoint) {
            if self.gives_up(matches!(error, CheckpointError::NoSpace { .. }), error).await {
                return;
            }
        }
        self.shared.disk_full.store(false, Ordering::Relaxed);
        if let Err(error) = self.flusher.unlink() {
            tracing::warn!(%error, "cannot remove the files of trimmed records; the next checkpoint tries again");
        }
        self.shared.rounds.fetch_add(1, Ordering::Release);
        self.shared.flushed.notify_waiters();
        for durable in waiting {
            // A group that shuts down no longer listens.
            let _ = durable.send(());
        }
        let seconds = started.elapsed().as_secs_f64();
        metrics::histogram!(names::CHECKPOINT_SECONDS).record(seconds);
        tracing::debug!(sequence = self.sequence, seconds, "checkpoint");
    }
}
