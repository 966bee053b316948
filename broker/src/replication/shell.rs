//! What the workers run in: a thread of their own, or tasks of a simulation that has neither threads nor real time.
//!
//! A worker is an async loop. As a thread it has a runtime to itself and may block in its disk; as a task it shares the
//! caller's runtime, and what a disk would take is slept. Called by whoever starts a worker, reads files, or meets an
//! error that ends the process.

use std::future::Future;
use std::io;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use tokio::task::JoinError;

/// Where workers run.
#[derive(Clone, Debug, Default)]
pub enum Shell {
    /// Each worker has an operating system's thread.
    #[default]
    Threads,
    /// Workers are tasks of the runtime that the node was started on.
    Tasks(Arc<Tasks>),
}

/// One life of a node whose workers are tasks.
#[derive(Debug, Default)]
pub struct Tasks {
    sync_micros: AtomicU64,
    aborted: OnceLock<String>,
}

impl Tasks {
    /// What each commit and checkpoint takes from now on; requests gather meanwhile.
    pub fn set_sync_latency(&self, latency: Duration) {
        self.sync_micros.store(u64::try_from(latency.as_micros()).unwrap_or(u64::MAX), Ordering::Relaxed);
    }

    /// Why the node has ended itself. Whoever runs it has to crash it then, at once.
    pub fn aborted(&self) -> Option<&str> {
        self.aborted.get().map(String::as_str)
    }
}

/// A worker that has been started.
#[derive(Debug)]
pub enum Worker {
    /// As a thread.
    Thread(std::thread::JoinHandle<()>),
    /// As a task.
    Task(tokio::task::JoinHandle<()>),
}

impl Worker {
    /// Waits until the worker has ended.
    ///
    /// # Panics
    /// When the worker did.
    pub async fn join(self) {
        match self {
            Self::Thread(thread) => {
                let joined = tokio::task::spawn_blocking(move || thread.join());
                joined.await.expect("waiting does not panic").expect("a worker panicked");
            }
            Self::Task(task) => task.await.expect("a worker panicked"),
        }
    }
}

impl Shell {
    /// Starts a worker: `work` runs until it ends by itself.
    ///
    /// # Errors
    /// When the operating system has no thread left.
    pub fn start(&self, name: &str, work: impl Future<Output = ()> + Send + 'static) -> io::Result<Worker> {
        match self {
            Self::Threads => {
                let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build()?;
                let thread = std::thread::Builder::new().name(name.into());
                Ok(Worker::Thread(thread.spawn(move || runtime.block_on(work))?))
            }
            Self::Tasks(_) => Ok(Worker::Task(tokio::spawn(work))),
        }
    }

    /// Runs what may block, where it may; tasks run it in place.
    ///
    /// # Errors
    /// When `work` panicked on its thread.
    pub async fn run_blocking<T: Send + 'static>(
        &self,
        work: impl FnOnce() -> T + Send + 'static,
    ) -> Result<T, JoinError> {
        match self {
            Self::Threads => tokio::task::spawn_blocking(work).await,
            Self::Tasks(_) => Ok(work()),
        }
    }

    /// Passes the time that the disk would have taken. A thread has spent it in its disk already.
    pub async fn pass_sync_latency(&self) {
        if let Self::Tasks(tasks) = self {
            tokio::time::sleep(Duration::from_micros(tasks.sync_micros.load(Ordering::Relaxed))).await;
        }
    }

    /// Ends the process at once, with words for whoever looks after it; ends the node alone when it runs as tasks.
    pub fn abort(&self, words: &str) -> ! {
        tracing::error!("{words}; the process ends at once");
        match self {
            Self::Threads => {
                eprintln!("tidelog: {words}");
                std::process::abort()
            }
            Self::Tasks(tasks) => {
                // The first reason is the one that counts.
                let _ = tasks.aborted.set(words.into());
                panic!("{words}")
            }
        }
    }
}
