//! Cuts a stream of HTTP/2 whose client takes nothing of its answer, and any answer that has outlived its end.
//!
//! One stream of a connection can stand still while the connection moves, so the transport's own bound does not see it,
//! and a body that nobody asks for its next frame cannot end itself. Each stream is a task of its own, and so is each
//! connection of HTTP/1.1; the task keeps the time of the answer it sends: from a frame handed over until the next one
//! is asked for, and until the end that the body has named. Connections hand [`StreamTasks`] to hyper or are
//! [`watched`].

use std::cell::{Cell, RefCell};
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use hyper::rt::Executor;
use tokio::time::{Instant, Sleep, sleep_until};

use crate::shell::spawn_short;

/// The event that ends an answer, however much of it is left.
pub(super) type End = Pin<Box<dyn Future<Output = ()> + Send>>;

tokio::task_local! {
    static WATCH: Watch;
}

/// The state that a body shares with the task that sends it.
struct Watch {
    /// How long a frame may wait; `None` where the transport keeps that time.
    stall: Option<Duration>,
    /// Since when the frame last handed over has waited for the client.
    waits_since: Cell<Option<Instant>>,
    end: RefCell<Option<End>>,
}

/// The body of an answer has handed over a frame, or was asked for one.
pub(super) fn note(handed_over: bool) {
    let set = |watch: &Watch| {
        if watch.stall.is_some() {
            watch.waits_since.set(handed_over.then(Instant::now));
        }
    };
    // Tests of a body alone have no such task.
    let _ = WATCH.try_with(set);
}

/// The task ends with `end`, however much of the answer its client has taken by then.
pub(super) fn end_by(end: End) {
    let _ = WATCH.try_with(|watch| *watch.end.borrow_mut() = Some(end));
}

/// Runs the streams of HTTP/2 connections, each as a task.
#[derive(Clone, Copy, Debug)]
pub(super) struct StreamTasks {
    /// How long a client may take nothing.
    pub(super) stall: Duration,
}

impl<F: Future<Output = ()> + Send + 'static> Executor<F> for StreamTasks {
    fn execute(&self, stream: F) {
        // It ends with its connection.
        spawn_short(watched(Some(self.stall), stream));
    }
}

/// A task that is watched; `None` when the answer was cut off.
pub(super) fn watched<F: Future>(
    stall: Option<Duration>,
    task: F,
) -> impl Future<Output = Option<F::Output>> {
    let watch = Watch { stall, waits_since: Cell::new(None), end: RefCell::new(None) };
    WATCH.scope(watch, Watched { task: Box::pin(task), timer: None })
}

/// A task that sends answers, under the watch of [`watched`].
struct Watched<F> {
    task: Pin<Box<F>>,
    /// The instant since when it waits, and the timer that ends the wait.
    timer: Option<(Instant, Pin<Box<Sleep>>)>,
}

impl<F> Watched<F> {
    /// Whether its client has taken nothing for too long.
    fn is_stalled(&mut self, context: &mut Context<'_>) -> bool {
        let waits = WATCH.with(|watch| watch.stall.zip(watch.waits_since.get()));
        let Some((stall, since)) = waits else {
            self.timer = None;
            return false;
        };
        if self.timer.as_ref().is_none_or(|(own, _)| *own != since) {
            self.timer = Some((since, Box::pin(sleep_until(since + stall))));
        }
        let (_, timer) = self.timer.as_mut().expect("set above");
        timer.as_mut().poll(context).is_ready()
    }
}

/// Whether the answer has outlived its end.
fn is_over(context: &mut Context<'_>) -> bool {
    WATCH.with(|watch| {
        let mut end = watch.end.borrow_mut();
        end.as_mut().is_some_and(|end| end.as_mut().poll(context).is_ready())
    })
}

impl<F: Future> Future for Watched<F> {
    type Output = Option<F::Output>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        if let Poll::Ready(output) = self.task.as_mut().poll(context) {
            return Poll::Ready(Some(output));
        }
        if self.is_stalled(context) || is_over(context) {
            tracing::debug!("cutting an answer: its client takes too little of it");
            return Poll::Ready(None);
        }
        Poll::Pending
    }
}

#[cfg(test)]
mod tests {
    use tokio::sync::oneshot;

    use super::*;

    const STALL: Duration = Duration::from_secs(30);

    /// Runs a stream that does that and then waits; true when the answer was cut off before `within`.
    async fn is_cut(within: Duration, act: impl FnOnce() + Send + 'static) -> bool {
        let (alive, cut) = oneshot::channel::<()>();
        StreamTasks { stall: STALL }.execute(async move {
            act();
            std::future::pending::<()>().await;
            drop(alive);
        });
        tokio::time::timeout(within, cut).await.is_ok()
    }

    #[tokio::test(start_paused = true)]
    async fn only_a_frame_that_waits_is_bounded() {
        assert!(is_cut(STALL * 2, || note(true)).await);
        assert!(!is_cut(STALL / 2, || note(true)).await);
        assert!(!is_cut(STALL * 100, || ()).await);
        let taken = || {
            note(true);
            note(false);
        };
        assert!(!is_cut(STALL * 100, taken).await);
    }

    #[tokio::test(start_paused = true)]
    async fn no_answer_outlives_its_end() {
        for stall in [Some(STALL * 10), None] {
            let began = Instant::now();
            let task = watched(stall, async {
                end_by(Box::pin(tokio::time::sleep(STALL)));
                loop {
                    note(true);
                    tokio::time::sleep(STALL / 30).await;
                    note(false);
                }
            });
            let task: Option<()> = task.await;
            assert_eq!((task, began.elapsed()), (None, STALL));
        }
        assert_eq!(watched(None, async { 7 }).await, Some(7));
    }
}
