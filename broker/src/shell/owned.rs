//! A task that lasts as long as its owner, and ends the process when it panics before.

use std::any::Any;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use tokio::task::{JoinError, JoinHandle};

use super::Shell;
use super::registry::RegisteredTask;

tokio::task_local! {
    /// The shell of the node whose task runs.
    static SHELL: Shell;
}

/// The value that a lasting task returns when nobody needs it any more: its channel is closed, or its node
/// stops. Made only where that is certain, so that no loop ends by accident.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct OwnerGone;

/// A lasting task that has been started. Dropped, it runs on.
#[derive(Debug)]
pub struct OwnedTask(JoinHandle<()>);

impl OwnedTask {
    pub(super) fn new(task: JoinHandle<()>) -> Self {
        Self(task)
    }

    /// Ends the task, and returns once it has let go of everything.
    pub async fn stop(self) {
        self.0.abort();
        // It was ended here, or had ended before.
        drop(self.0.await);
    }

    /// Ends the task soon.
    pub fn abort(&self) {
        self.0.abort();
    }

    /// Waits until the task has ended by itself.
    ///
    /// # Errors
    /// When it was ended, or panicked and ended a node that runs as tasks.
    pub async fn join(self) -> Result<(), JoinError> {
        self.0.await
    }
}

/// The work of a lasting task.
pub(super) struct Owned<F> {
    shell: Shell,
    entry: Arc<RegisteredTask>,
    work: Pin<Box<F>>,
}

impl<F> Owned<F> {
    pub(super) fn new(shell: Shell, entry: Arc<RegisteredTask>, work: F) -> Self {
        Self { shell, entry, work: Box::pin(work) }
    }

    fn fail(&self, how: &str) -> ! {
        self.shell.abort(&format!("the task `{}` {how}", self.entry.name()))
    }
}

impl<F: Future<Output = OwnerGone>> Future for Owned<F> {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<()> {
        if self.entry.is_killed(context) {
            self.fail("was killed by a test");
        }
        let work = &mut self.work;
        match catch_unwind(AssertUnwindSafe(|| work.as_mut().poll(context))) {
            Ok(polled) => polled.map(|OwnerGone| ()),
            Err(panic) => self.fail(&format!("has panicked: {}", words_of(&*panic))),
        }
    }
}

impl<F> Drop for Owned<F> {
    fn drop(&mut self) {
        self.shell.registry().leave(&self.entry);
    }
}

/// The message of a panic.
fn words_of(panic: &(dyn Any + Send)) -> &str {
    let text = panic.downcast_ref::<&str>().copied();
    text.or_else(|| panic.downcast_ref::<String>().map(String::as_str)).unwrap_or("no message")
}

/// Runs `work`, which hands a library the node: tasks that the library starts by itself, through [`spawn_inherited`],
/// end the process of `shell` when they panic.
pub async fn inherited<F: Future>(shell: Shell, work: F) -> F::Output {
    SHELL.scope(shell, work).await
}

/// Starts a task of a library, within [`inherited`] or within another such task.
pub fn spawn_inherited<T>(work: T) -> JoinHandle<T::Output>
where
    T: Future + Send + 'static,
    T::Output: Send + 'static,
{
    match SHELL.try_with(Shell::clone) {
        Ok(shell) => {
            let guarded = Guarded { shell: shell.clone(), work: Box::pin(work) };
            tokio::spawn(SHELL.scope(shell, guarded))
        }
        Err(_) => tokio::spawn(work),
    }
}

struct Guarded<T> {
    shell: Shell,
    work: Pin<Box<T>>,
}

impl<T: Future> Future for Guarded<T> {
    type Output = T::Output;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<T::Output> {
        let work = &mut self.work;
        catch_unwind(AssertUnwindSafe(|| work.as_mut().poll(context))).unwrap_or_else(|panic| {
            self.shell.abort(&format!("replication has panicked: {}", words_of(&*panic)))
        })
    }
}
