//! Work for a client that may wait for a permit or a lock, in a task of its own.
//!
//! A semaphore or a mutex hands a freed permit to its oldest waiter, which has it from then on but uses it only
//! when it is polled. Bodies of answers are polled when their client's window has room. A future that waits for a
//! permit in such a body, beside others that have something to say, can keep the permit from all others for as long
//! as the client takes nothing. Invariant: nothing that is polled by a client's window waits for a permit or a lock
//! that others wait for; it awaits an [`OwnTask`], which takes the permit, uses it and gives it back, even if the
//! client takes nothing.

use std::panic::resume_unwind;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use futures_util::{FutureExt, Stream, StreamExt, stream};
use tokio::task::JoinHandle;

use super::Reader;

/// Work in a task of its own. Dropping it ends the work at its next await; a panic of the work is passed on.
#[derive(Debug)]
pub struct OwnTask<T>(JoinHandle<T>);

impl<T: Send + 'static> OwnTask<T> {
    /// Starts the work, for the present reader.
    pub fn start(work: impl Future<Output = T> + Send + 'static) -> Self {
        Self(crate::shell::spawn_short(Reader::current().scope(work)))
    }
}

impl<T> Future for OwnTask<T> {
    type Output = T;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<T> {
        match ready!(self.0.poll_unpin(context)) {
            Ok(output) => Poll::Ready(output),
            Err(error) => match error.try_into_panic() {
                Ok(panic) => resume_unwind(panic),
                // The runtime is ending, and the task that waits here with it.
                Err(_) => Poll::Pending,
            },
        }
    }
}

impl<T> Drop for OwnTask<T> {
    fn drop(&mut self) {
        self.0.abort();
    }
}

/// The items of a stream, for the present reader. Each is begun when it is asked for, and made in a task of its own
/// unless it is there at once.
pub fn in_own_tasks<S>(items: S) -> impl Stream<Item = S::Item> + Send
where
    S: Stream<Item: Send> + Send + Unpin + 'static,
{
    let reader = Reader::current();
    stream::unfold(Some(items), move |items| {
        let made = async {
            let mut items = items?;
            if let Some(item) = items.next().now_or_never() {
                return Some((item?, Some(items)));
            }
            let making = async move { (items.next().await, items) };
            let (item, items) = OwnTask::start(making).await;
            Some((item?, Some(items)))
        };
        reader.scope(made)
    })
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::time::Duration;

    use tokio::sync::Semaphore;
    use tokio::time::{sleep, timeout};

    use super::*;

    /// Two items that each need the only permit; the second one waits for it.
    fn items(permits: Arc<Semaphore>) -> impl Stream<Item = u32> + Send + Unpin {
        let items = stream::iter([1, 2]).then(move |item| {
            let permits = permits.clone();
            async move {
                let _permit = permits.acquire().await.expect("it is never closed");
                sleep(Duration::from_millis(1)).await;
                item
            }
        });
        Box::pin(items)
    }

    #[tokio::test(start_paused = true)]
    async fn a_permit_is_given_back_though_nobody_asks_for_the_result() {
        let permits = Arc::new(Semaphore::new(1));
        let mut items = Box::pin(in_own_tasks(items(permits.clone())));
        assert_eq!(items.next().await, Some(1));
        let held = permits.clone().acquire_owned().await.expect("it is never closed");
        // It is polled once, so that it waits for the permit, and then no more.
        assert_eq!(items.next().now_or_never(), None);
        drop(held);
        let other = timeout(Duration::from_secs(60), permits.acquire()).await;
        drop(other.expect("the permit comes back").expect("it is never closed"));
        assert_eq!(items.next().await, Some(2));
        assert_eq!(items.next().await, None);
    }

    #[tokio::test(start_paused = true)]
    async fn work_ends_with_its_handle_and_its_panic_is_passed_on() {
        let permits = Arc::new(Semaphore::new(1));
        let held = permits.clone();
        let task = OwnTask::start(async move {
            let _held = held.acquire().await.expect("it is never closed");
            sleep(Duration::from_secs(3_600)).await;
        });
        sleep(Duration::from_millis(1)).await;
        assert_eq!(permits.available_permits(), 0);
        drop(task);
        sleep(Duration::from_millis(1)).await;
        assert_eq!(permits.available_permits(), 1);
        let panics = OwnTask::start(async { panic!("as a test of it") });
        let outcome: std::thread::Result<()> = std::panic::AssertUnwindSafe(panics).catch_unwind().await;
        assert!(outcome.is_err());
    }
}
