//! Threads and tasks of the node, and the watch over their ends: threads and tasks of a process, or tasks of
//! a simulation that has neither threads nor real time.
//!
//! Invariants: a lasting task that panics, or is ended by anyone but its owner, ends the process; a task whose loop
//! does not come round in its time is in [`Shell::late_tasks`], which `/livez` shows. So nothing else starts tasks
//! or threads: a lint forbids `tokio::spawn`, `std::thread` and the like outside of this module. A worker is an
//! async loop. As a thread it has a runtime to itself and may block in its disk; as a task it shares the caller's
//! runtime, and sleeps for the time that a disk would take.

#![expect(clippy::disallowed_methods, reason = "this module is what everything else calls instead")]

mod owned;
mod registry;
#[cfg(test)]
mod tests;

use std::future::Future;
use std::io;
use std::panic::resume_unwind;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use tokio::task::{JoinError, JoinHandle};

use crate::observability::logs;
pub use owned::{OwnedTask, OwnerGone, inherited, spawn_inherited};
pub use registry::Heartbeat;
use registry::Registry;

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
    registry: Registry,
}

/// Starts a task that ends by itself. A panic in it is logged and harms its own purpose only: its caller awaits it,
/// or sees to it that nothing is left behind.
pub fn spawn_short<T: Send + 'static>(work: impl Future<Output = T> + Send + 'static) -> JoinHandle<T> {
    tokio::spawn(work)
}

/// Whether the runtime of this task has begun to drop its tasks. Such a runtime ends a new task as soon as it is
/// spawned.
fn runtime_shuts_down() -> bool {
    tokio::runtime::Handle::try_current().is_ok_and(|runtime| {
        let probe = runtime.spawn(std::future::pending::<()>());
        let is_ended = probe.is_finished();
        probe.abort();
        is_ended
    })
}

/// The lasting tasks of the process.
static PROCESS: Registry = Registry::new();

impl Tasks {
    /// Sets the time that each commit and checkpoint takes from now on; requests gather meanwhile.
    pub fn set_sync_latency(&self, latency: Duration) {
        self.sync_micros.store(u64::try_from(latency.as_micros()).unwrap_or(u64::MAX), Ordering::Relaxed);
    }

    /// The reason why the node has ended itself. The simulation that runs it has to crash it then, at once.
    pub fn aborted(&self) -> Option<&str> {
        self.aborted.get().map(String::as_str)
    }
}

/// A worker that has been started.
#[derive(Debug)]
pub enum Worker {
    /// A worker with a thread of its own.
    Thread(std::thread::JoinHandle<()>),
    /// A worker that is a task of the caller's runtime.
    Task(OwnedTask),
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
            Self::Task(task) => task.join().await.expect("a worker panicked"),
        }
    }
}

impl Shell {
    /// Starts a worker, which lasts until its owner has gone: a panic in it ends the process. `within` is how long
    /// [`Heartbeat`] may take, for a worker that tells them.
    ///
    /// # Errors
    /// When the operating system has no thread left.
    pub fn start<F>(
        &self,
        name: &str,
        within: Duration,
        work: impl FnOnce(Heartbeat) -> F,
    ) -> io::Result<Worker>
    where
        F: Future<Output = OwnerGone> + Send + 'static,
    {
        match self {
            Self::Threads => {
                let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build()?;
                // Instants of the runtime are good for heartbeats outside of it: they are the system's.
                let work = self.owned(name, within, work);
                let thread = std::thread::Builder::new().name(name.into());
                Ok(Worker::Thread(thread.spawn(move || runtime.block_on(work))?))
            }
            Self::Tasks(_) => Ok(Worker::Task(self.spawn_loop(name, within, work))),
        }
    }

    /// Starts a task that lasts until its owner has gone: a panic in it ends the process.
    pub fn spawn_owned(
        &self,
        name: &str,
        work: impl Future<Output = OwnerGone> + Send + 'static,
    ) -> OwnedTask {
        self.spawn_loop(name, Duration::MAX, |_| work)
    }

    /// Starts a task like [`Self::spawn_owned`] whose loop calls [`Heartbeat::beat`] at least every `within`
    /// as long as it is well.
    pub fn spawn_loop<F>(&self, name: &str, within: Duration, work: impl FnOnce(Heartbeat) -> F) -> OwnedTask
    where
        F: Future<Output = OwnerGone> + Send + 'static,
    {
        OwnedTask::new(tokio::spawn(self.owned(name, within, work)))
    }

    fn owned<F>(&self, name: &str, within: Duration, work: impl FnOnce(Heartbeat) -> F) -> owned::Owned<F>
    where
        F: Future<Output = OwnerGone>,
    {
        let entry = self.registry().enter(name, within);
        let work = work(entry.heartbeat());
        owned::Owned::new(self.clone(), entry, work)
    }

    fn registry(&self) -> &Registry {
        match self {
            Self::Threads => &PROCESS,
            Self::Tasks(tasks) => &tasks.registry,
        }
    }

    /// The names of all lasting tasks, in order.
    pub fn task_names(&self) -> Vec<String> {
        self.registry().names()
    }

    /// The names of the lasting tasks that do not come round in their time, and for how long they have not.
    pub fn late_tasks(&self) -> Vec<(String, Duration)> {
        self.registry().late()
    }

    /// Makes a lasting task panic, as a bug in it would: for tests of the watch over tasks. False when there is
    /// none of that name.
    pub fn kill_task(&self, name: &str) -> bool {
        self.registry().kill(name)
    }

    /// Runs work that may block, on a thread where it may; tasks run it in place.
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

    /// Ends the process at once and logs `words`; ends the node alone when it runs as tasks.
    ///
    /// A task that fails while its runtime shuts down ends by itself: the runtime drops tasks in any order, so that the
    /// remaining ones find their channels closed. A program that embeds the broker lives on.
    pub fn abort(&self, words: &str) -> ! {
        match self {
            Self::Threads if runtime_shuts_down() => resume_unwind(Box::new(words.to_owned())),
            Self::Threads => {
                tracing::error!("{words}; the process ends at once");
                logs::print(&format!("tidelog: {words}"));
                std::process::abort()
            }
            Self::Tasks(tasks) => {
                // The first reason is the one that counts.
                if tasks.aborted.set(words.into()).is_ok() {
                    tracing::error!("{words}; the process ends at once");
                }
                panic!("{words}")
            }
        }
    }
}
