//! Cuts an HTTP/2 stream whose client takes nothing of its answer.
//!
//! One stream of a connection can stand still while the connection moves, so the transport's own bound does not see it,
//! and a body that nobody asks for its next frame cannot end itself. Each stream is a task of its own; the task keeps
//! its own time: from a frame handed over until the next one is asked for. Connections hand [`StreamTasks`] to hyper.

use std::cell::Cell;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use hyper::rt::Executor;
use tokio::time::{Instant, Sleep, sleep_until};

tokio::task_local! {
    /// Since when the frame last handed over has waited for the client.
    static WAITS_SINCE: Cell<Option<Instant>>;
}

/// The body of an answer has handed over a frame, or was asked for one. Without effect outside of HTTP/2.
pub(super) fn note(handed_over: bool) {
    // Elsewhere the transport keeps the time.
    let _ = WAITS_SINCE.try_with(|waits| waits.set(handed_over.then(Instant::now)));
}

/// Runs the streams of HTTP/2 connections, each as a task.
#[derive(Clone, Copy, Debug)]
pub(super) struct StreamTasks {
    /// How long a client may take nothing.
    pub(super) stall: Duration,
}

impl<F: Future<Output = ()> + Send + 'static> Executor<F> for StreamTasks {
    fn execute(&self, stream: F) {
        let watched = Watched { stream: Box::pin(stream), stall: self.stall, timer: None };
        tokio::spawn(WAITS_SINCE.scope(Cell::new(None), watched));
    }
}

/// A stream's task, which ends early when its client stands still.
struct Watched<F> {
    stream: Pin<Box<F>>,
    stall: Duration,
    /// The instant since when it waits, and the timer that ends the wait.
    timer: Option<(Instant, Pin<Box<Sleep>>)>,
}

impl<F: Future<Output = ()>> Future for Watched<F> {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<()> {
        if self.stream.as_mut().poll(context).is_ready() {
            return Poll::Ready(());
        }
        let Some(since) = WAITS_SINCE.with(Cell::get) else {
            self.timer = None;
            return Poll::Pending;
        };
        if self.timer.as_ref().is_none_or(|(own, _)| *own != since) {
            self.timer = Some((since, Box::pin(sleep_until(since + self.stall))));
        }
        let (_, timer) = self.timer.as_mut().expect("set above");
        let ended = timer.as_mut().poll(context);
        if ended.is_ready() {
            tracing::debug!("a client takes nothing of an answer, which is cut");
        }
        ended
    }
}

#[cfg(test)]
mod tests {
    use tokio::sync::oneshot;

    use super::*;

    const STALL: Duration = Duration::from_secs(30);

    /// Runs a stream that does that and then waits; true when it was cut before `within`.
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
}
