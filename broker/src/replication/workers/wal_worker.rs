//! The worker that owns the write-ahead log: it takes up to a bound of bytes from its queue,
//! writes and syncs them, and calls their callers back.
//!
//! Group commit needs no timer: requests that arrive while one sync runs are the next commit. The log itself is a
//! step function of `storage`; this file is only the shell around it.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use metrics::Histogram;
use openraft::storage::IOFlushed;
use tidelog_storage::WalError;
use tidelog_storage::wal::{SpareFiles, Wal, WalOp};
use tokio::sync::{mpsc, oneshot};
use tokio::time::{Instant, sleep, timeout_at};

use crate::observability as names;
use crate::replication::types::config::TypeConfig;
use crate::shell::{Heartbeat, OwnerGone, Shell, Worker as Started};

/// The moment at which an acknowledged record is on disk.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Durability {
    /// Before it is acknowledged: every commit is synced. A power loss loses nothing that was acknowledged.
    Fsync,
    /// Within this time after it is acknowledged, 1 ms to 60 s. A power loss loses at most that; a crash of the
    /// process alone, nothing.
    Interval(Duration),
}

/// Requests waiting for the worker. One is at most an entry of a group, whose bytes the batchers bound.
const QUEUE_REQUESTS_MAX: usize = 4_096;
/// Payload bytes after which a commit is closed and the rest waits for the next one.
const COMMIT_BYTES_MAX: usize = 8 << 20;
/// Bytes written after which spare files are prepared; they are also prepared each time the log moves to another file.
const SPARE_EVERY_BYTES: u64 = 32 << 20;
/// How long one commit may take before the worker counts as stuck.
const COMMIT_WITHIN: Duration = Duration::from_secs(60);
/// How long one spare file may take to be made.
const SPARE_WITHIN: Duration = Duration::from_secs(300);
/// Pause before a commit that found the disk full is tried again.
const FULL_DISK_RETRY: Duration = Duration::from_millis(100);

enum Done {
    Append(IOFlushed<TypeConfig>),
    Call(oneshot::Sender<io::Result<()>>),
    /// Answered with the LSN up to which the log is durable, once its mark says so.
    Marked(oneshot::Sender<u64>),
}

struct Request {
    ops: Vec<WalOp>,
    bytes: usize,
    done: Done,
}

/// A handle to the worker; clones share it. The worker ends when the last one is dropped.
#[derive(Clone)]
pub struct WalHandle {
    queue: mpsc::Sender<Request>,
    shared: Arc<Shared>,
}

struct Shared {
    disk_full: AtomicBool,
    stopping: AtomicBool,
    written_bytes: AtomicU64,
    started: Instant,
    /// Milliseconds between `started` and the beginning of the commit under way; 0 while there is none.
    committing_since_ms: AtomicU64,
}

impl Shared {
    fn new() -> Self {
        Self {
            disk_full: AtomicBool::default(),
            stopping: AtomicBool::default(),
            written_bytes: AtomicU64::default(),
            started: Instant::now(),
            committing_since_ms: AtomicU64::default(),
        }
    }

    fn now_ms(&self) -> u64 {
        // Never 0, which stands for no commit.
        self.started.elapsed().as_millis() as u64 + 1
    }
}

impl WalHandle {
    /// Starts the worker, and with threads one more that keeps spare files ready.
    pub fn start(wal: Wal, durability: Durability, shell: &Shell) -> io::Result<(Self, WalWorkers)> {
        let (queue, requests) = mpsc::channel(QUEUE_REQUESTS_MAX);
        let shared = Arc::new(Shared::new());
        let mut workers = Vec::with_capacity(2);
        let (spare_wanted, wanted) = mpsc::channel(1);
        if matches!(shell, Shell::Threads) {
            let (spares, of_spares) = (wal.spare_files(), shell.clone());
            workers.push(shell.start("wal-spare", SPARE_WITHIN, |heartbeat| {
                prepare_spares(spares, wanted, of_spares, heartbeat)
            })?);
        }
        let worker = |heartbeat| Worker {
            wal,
            requests,
            heartbeat,
            durability,
            shared: shared.clone(),
            spare_wanted,
            since_spare: 0,
            spare_for: 0,
            meters: Meters::new(),
            shell: shell.clone(),
        };
        workers.push(shell.start("wal", COMMIT_WITHIN, |heartbeat| worker(heartbeat).run())?);
        Ok((Self { queue, shared }, WalWorkers { workers }))
    }

    /// Queues entries; `flushed` is called when they are durable (or, with an interval, written).
    pub async fn append(
        &self,
        ops: Vec<WalOp>,
        bytes: usize,
        flushed: IOFlushed<TypeConfig>,
    ) -> io::Result<()> {
        self.send(Request { ops, bytes, done: Done::Append(flushed) }).await
    }

    /// Queues ops and waits until they are in the log as durability says (votes: always synced).
    pub async fn write(&self, ops: Vec<WalOp>) -> io::Result<()> {
        let (done, answer) = oneshot::channel();
        self.send(Request { ops, bytes: 0, done: Done::Call(done) }).await?;
        answer.await.map_err(|_| stopped())?
    }

    /// Makes everything written so far durable, with every durability setting, and records that in the log's mark.
    /// Returns the LSN of the last commit.
    pub async fn sync_and_mark(&self) -> io::Result<u64> {
        let (done, answer) = oneshot::channel();
        self.send(Request { ops: Vec::new(), bytes: 0, done: Done::Marked(done) }).await?;
        answer.await.map_err(|_| stopped())
    }

    /// Stops waiting for space on a full disk from now on, and syncs every commit: the process is ending, and entries
    /// that could not be written were never acknowledged.
    pub fn hurry(&self) {
        self.shared.stopping.store(true, Ordering::Relaxed);
    }

    /// True while a commit waits for space on the disk.
    pub fn disk_full(&self) -> bool {
        self.shared.disk_full.load(Ordering::Relaxed)
    }

    /// How long the commit under way has taken so far.
    pub fn committing_for(&self) -> Duration {
        match self.shared.committing_since_ms.load(Ordering::Relaxed) {
            0 => Duration::ZERO,
            since_ms => Duration::from_millis(self.shared.now_ms().saturating_sub(since_ms)),
        }
    }

    /// Bytes written to the log since the process started.
    pub fn written_bytes(&self) -> u64 {
        self.shared.written_bytes.load(Ordering::Relaxed)
    }

    async fn send(&self, request: Request) -> io::Result<()> {
        self.queue.send(request).await.map_err(|_| stopped())
    }
}

fn stopped() -> io::Error {
    io::Error::other("the log has stopped")
}

/// Prepares spare files. A failure does no harm: the log makes a file itself when it needs one.
async fn prepare_spares(
    spares: SpareFiles,
    mut wanted: mpsc::Receiver<()>,
    shell: Shell,
    heartbeat: Heartbeat,
) -> OwnerGone {
    loop {
        heartbeat.beat();
        match spares.prepare() {
            Ok(true) => continue,
            Ok(false) => {}
            Err(error @ (WalError::SyncFailed { .. } | WalError::Stopped)) => abort(&shell, &error),
            Err(error) => {
                tracing::warn!(%error, "cannot prepare the next log file ahead of time; a commit makes it when it is needed");
            }
        }
        heartbeat.pause();
        if wanted.recv().await.is_none() {
            return OwnerGone;
        }
    }
}

/// The log's workers, to be joined after every [`WalHandle`] is dropped.
pub struct WalWorkers {
    workers: Vec<Started>,
}

impl WalWorkers {
    /// Waits until everything queued is written and the workers have ended.
    pub async fn join(self) {
        for worker in self.workers {
            worker.join().await;
        }
    }
}

/// The worker's metrics, looked up once.
struct Meters {
    sync_seconds: Histogram,
    commit_bytes: Histogram,
    commit_ops: Histogram,
}

impl Meters {
    fn new() -> Self {
        Self {
            sync_seconds: metrics::histogram!(names::WAL_SYNC_SECONDS),
            commit_bytes: metrics::histogram!(names::WAL_COMMIT_BYTES),
            commit_ops: metrics::histogram!(names::WAL_COMMIT_OPS),
        }
    }
}

struct Worker {
    wal: Wal,
    requests: mpsc::Receiver<Request>,
    durability: Durability,
    shared: Arc<Shared>,
    spare_wanted: mpsc::Sender<()>,
    since_spare: u64,
    /// The log file that the spare files were last looked after for.
    spare_for: u64,
    heartbeat: Heartbeat,
    meters: Meters,
    shell: Shell,
}

impl Worker {
    async fn run(mut self) -> OwnerGone {
        match self.durability {
            Durability::Fsync => {
                while let Some(first) = self.requests.recv().await {
                    self.commit(first).await;
                }
            }
            Durability::Interval(every) => self.run_with_interval(every).await,
        }
        self.sync_and_mark();
        OwnerGone
    }

    /// Runs as [`Self::run`], with a sync after each interval in which something was written.
    async fn run_with_interval(&mut self, every: Duration) {
        let mut sync_due: Option<Instant> = None;
        loop {
            let next = match sync_due {
                None => self.requests.recv().await,
                Some(due) => match timeout_at(due, self.requests.recv()).await {
                    Ok(next) => next,
                    Err(_) => {
                        self.sync();
                        sync_due = None;
                        continue;
                    }
                },
            };
            let Some(first) = next else { return };
            self.commit(first).await;
            let due = *sync_due.get_or_insert_with(|| Instant::now() + every);
            if Instant::now() >= due {
                self.sync();
                sync_due = None;
            }
        }
    }

    async fn commit(&mut self, first: Request) {
        let mut ops = first.ops;
        let mut bytes = first.bytes;
        let mut waiting = vec![first.done];
        while bytes < COMMIT_BYTES_MAX {
            let Ok(request) = self.requests.try_recv() else { break };
            ops.extend(request.ops);
            bytes += request.bytes;
            waiting.push(request.done);
        }
        let started = Instant::now();
        self.heartbeat.beat();
        self.shared.committing_since_ms.store(self.shared.now_ms(), Ordering::Relaxed);
        let commit = loop {
            if self.shared.disk_full.load(Ordering::Relaxed) && self.shared.stopping.load(Ordering::Relaxed) {
                // The requests are dropped unanswered, so their senders learn that the log has stopped.
                return;
            }
            match self.wal.commit_at_time(&ops, started.duration_since(self.shared.started)) {
                Ok(commit) => break commit,
                Err(WalError::NoSpace { .. }) => self.wait_for_space().await,
                Err(error) => abort(&self.shell, &error),
            }
        };
        if waiting.iter().any(|done| matches!(done, Done::Marked(_))) {
            self.sync_and_mark();
        } else if self.shared.stopping.load(Ordering::Relaxed) {
            // No sync after an interval follows any more.
            self.sync();
        }
        self.shell.pass_sync_latency().await;
        self.shared.committing_since_ms.store(0, Ordering::Relaxed);
        self.heartbeat.pause();
        self.shared.disk_full.store(false, Ordering::Relaxed);
        self.shared.written_bytes.fetch_add(commit.bytes_written, Ordering::Relaxed);
        self.meters.sync_seconds.record(started.elapsed().as_secs_f64());
        self.meters.commit_bytes.record(commit.bytes_written as f64);
        self.meters.commit_ops.record(ops.len() as f64);
        for done in waiting {
            match done {
                Done::Append(flushed) => flushed.io_completed(Ok(())),
                Done::Call(answer) => drop(answer.send(Ok(()))),
                Done::Marked(answer) => drop(answer.send(self.wal.durable_lsn())),
            }
        }
        self.since_spare += commit.bytes_written;
        if self.since_spare >= SPARE_EVERY_BYTES || self.spare_for != self.wal.file_number() {
            self.since_spare = 0;
            self.spare_for = self.wal.file_number();
            // A full channel means that the other thread has a message already.
            let _ = self.spare_wanted.try_send(());
        }
    }

    /// Waits before the same commit is retried on a full disk: nothing was acknowledged, and nothing is lost. Puts are
    /// refused meanwhile (`disk_full`), reads go on.
    async fn wait_for_space(&mut self) {
        if !self.shared.disk_full.swap(true, Ordering::Relaxed) {
            tracing::error!("write-ahead log: the disk is full; refusing puts until there is space again");
        }
        sleep(FULL_DISK_RETRY).await;
        self.heartbeat.beat();
    }

    /// Syncs and writes the mark. A mark that cannot be written lags behind the log and is still true.
    fn sync_and_mark(&mut self) {
        match self.wal.sync_and_mark() {
            Ok(_) => {}
            Err(error @ (WalError::SyncFailed { .. } | WalError::Stopped)) => abort(&self.shell, &error),
            Err(error) => {
                tracing::warn!(%error, "the log's mark cannot be written; the next checkpoint tries again");
            }
        }
    }

    fn sync(&mut self) {
        if let Err(error) = self.wal.sync() {
            abort(&self.shell, &error);
        }
    }
}

/// After a failed write or sync the page cache may say one thing and the disk another: no answer given from here on
/// could be trusted, so the process ends, and recovery decides from the bytes on disk.
fn abort(shell: &Shell, error: &WalError) -> ! {
    shell.abort(&format!("the write-ahead log failed: {error}"))
}
