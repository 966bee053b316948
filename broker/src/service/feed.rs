//! What the subscribers of a shard share: each run of records is read and encoded once, by the first who wants it.
//!
//! Subscribers at the tip all want the run that begins where the last one ended. A run is found by the ordinal it
//! begins at; a later reader of the same place may get fewer records than there are by then, and goes on from there.
//! Bounds: a few runs per shard, and [`KEPT_BYTES_MAX`] on the node; what is over is encoded for each subscriber.

use std::collections::{HashMap, VecDeque};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, Weak};

use tidelog_proto::event_stream::Part;
use tidelog_storage::shard::ShardKey;
use tokio::sync::OnceCell;

/// Runs kept per shard: subscribers a little behind the others still find theirs.
const RUNS_MAX: usize = 4;
/// Encoded bytes of all runs of a node past which a shard keeps none.
const KEPT_BYTES_MAX: usize = 64 << 20;

/// Records of one event, encoded.
#[derive(Debug)]
pub struct Run {
    /// Where the next run begins.
    pub next_ordinal: u64,
    /// Arrival of the last record, milliseconds since the epoch; 0 without one.
    pub last_time_ms: u64,
    /// Records; none when they expired while they were asked for.
    pub records: u64,
    /// Bytes of data and keys.
    pub bytes: u64,
    /// The records as an event carries them.
    pub encoded: Part,
}

/// A run that counts among the kept ones while it lives.
#[derive(Debug)]
struct Kept {
    run: Arc<Run>,
    bytes_kept: Arc<AtomicUsize>,
}

impl Drop for Kept {
    fn drop(&mut self) {
        self.bytes_kept.fetch_sub(self.run.encoded.bytes().len(), Ordering::Relaxed);
    }
}

/// The feeds of all shards that have subscribers.
#[derive(Debug, Default)]
pub struct Feeds {
    by_shard: Mutex<HashMap<ShardKey, Weak<Feed>>>,
    bytes_kept: Arc<AtomicUsize>,
}

impl Feeds {
    /// The feed of a shard. It lives as long as a subscriber holds it.
    pub fn of(self: &Arc<Self>, shard: ShardKey) -> Arc<Feed> {
        let mut by_shard = self.by_shard();
        if let Some(feed) = by_shard.get(&shard).and_then(Weak::upgrade) {
            return feed;
        }
        let feed = Arc::new(Feed { shard, feeds: self.clone(), runs: Mutex::default() });
        by_shard.insert(shard, Arc::downgrade(&feed));
        feed
    }

    fn by_shard(&self) -> MutexGuard<'_, HashMap<ShardKey, Weak<Feed>>> {
        self.by_shard.lock().expect("no code panics while it holds this lock")
    }
}

/// The newest runs of one shard.
#[derive(Debug)]
pub struct Feed {
    shard: ShardKey,
    feeds: Arc<Feeds>,
    /// Each with the ordinal it was asked for by, oldest first.
    runs: Mutex<VecDeque<(u64, Arc<OnceCell<Kept>>)>>,
}

impl Feed {
    /// The run that begins at `from`: the one that is known, or what `make` comes to. Of those who ask at the same
    /// time one makes it and the others wait; when that one fails or leaves, another does.
    ///
    /// # Errors
    /// Those of `make`.
    pub async fn run<E>(&self, from: u64, make: impl Future<Output = Result<Run, E>>) -> Result<Arc<Run>, E> {
        let cell = self.cell(from);
        let kept = cell.get_or_try_init(|| async {
            let run = Arc::new(make.await?);
            let bytes_kept = self.feeds.bytes_kept.clone();
            bytes_kept.fetch_add(run.encoded.bytes().len(), Ordering::Relaxed);
            Ok(Kept { run, bytes_kept })
        });
        let run = kept.await?.run.clone();
        if self.feeds.bytes_kept.load(Ordering::Relaxed) > KEPT_BYTES_MAX {
            self.forget();
        }
        Ok(run)
    }

    /// Lets go of all runs; those that are on their way to clients stay for them.
    pub fn forget(&self) {
        self.runs().clear();
    }

    fn cell(&self, from: u64) -> Arc<OnceCell<Kept>> {
        let mut runs = self.runs();
        if let Some((_, cell)) = runs.iter().find(|(begin, _)| *begin == from) {
            return cell.clone();
        }
        if runs.len() == RUNS_MAX {
            runs.pop_front();
        }
        let cell = Arc::default();
        runs.push_back((from, Arc::clone(&cell)));
        cell
    }

    fn runs(&self) -> MutexGuard<'_, VecDeque<(u64, Arc<OnceCell<Kept>>)>> {
        self.runs.lock().expect("no code panics while it holds this lock")
    }
}

impl Drop for Feed {
    fn drop(&mut self) {
        let mut by_shard = self.feeds.by_shard();
        // Somebody may have begun another one meanwhile.
        if by_shard.get(&self.shard).is_some_and(|feed| feed.strong_count() == 0) {
            by_shard.remove(&self.shard);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;
    use std::convert::Infallible;

    use super::*;

    const SHARD: ShardKey = ShardKey { stream_uid: 1, shard: 0 };

    fn run(next_ordinal: u64, bytes: usize) -> Run {
        let encoded = Part::new(vec![b'x'; bytes]);
        Run { next_ordinal, last_time_ms: 0, records: 1, bytes: bytes as u64, encoded }
    }

    #[tokio::test]
    async fn subscribers_at_one_place_share_the_work() {
        let feeds = Arc::new(Feeds::default());
        let feed = feeds.of(SHARD);
        let made = Cell::new(0);
        let make = || async {
            made.set(made.get() + 1);
            tokio::task::yield_now().await;
            Ok::<_, Infallible>(run(8, 10))
        };
        let both = futures_util::future::join(feed.run(7, make()), feed.run(7, make())).await;
        let later = feeds.of(SHARD).run(7, make()).await.unwrap();
        assert!(Arc::ptr_eq(&both.0.unwrap(), &both.1.unwrap()));
        assert_eq!((later.next_ordinal, made.get()), (8, 1));
        feed.run(8, make()).await.unwrap();
        assert_eq!(made.get(), 2);
    }

    #[tokio::test]
    async fn what_failed_is_tried_again() {
        let feed = Arc::new(Feeds::default()).of(SHARD);
        assert_eq!(feed.run(1, async { Err::<Run, _>("failed") }).await.unwrap_err(), "failed");
        assert!(feed.run(1, async { Ok::<_, &str>(run(2, 1)) }).await.is_ok());
    }

    #[tokio::test]
    async fn what_is_kept_is_bounded_and_forgotten_with_the_last_subscriber() {
        let feeds = Arc::new(Feeds::default());
        let (feed, other) = (feeds.of(SHARD), feeds.of(ShardKey { shard: 1, ..SHARD }));
        let kept = || feeds.bytes_kept.load(Ordering::Relaxed);
        for from in 1..100 {
            feed.run(from, async { Ok::<_, Infallible>(run(from + 1, 10)) }).await.unwrap();
            assert!(kept() <= RUNS_MAX * 10);
        }
        let large = run(2, KEPT_BYTES_MAX);
        other.run(1, async { Ok::<_, Infallible>(large) }).await.unwrap();
        assert_eq!(kept(), RUNS_MAX * 10, "what is too much is not kept");
        feed.forget();
        assert_eq!(kept(), 0);
        drop((feed, other));
        assert!(feeds.by_shard().is_empty());
    }
}
