//! The runs of records that the subscribers of a shard share: each is read and encoded once, by the first
//! subscriber that wants it.
//!
//! Subscribers at the tip all want the run that begins where the last one ended. A run is found by the ordinal it
//! begins at; a later reader of the same place may get fewer records than there are by then, and goes on from
//! there. Bounds: a few runs per shard, and a quarter of the room on the node or one run; runs beyond them are
//! encoded for each subscriber. All runs that are alive, kept or on their way to clients, have a share of one
//! [`EventRoom`]; when that is spent, runs that are merely kept are dropped, and subscribers wait until clients have
//! taken theirs.

use std::collections::{HashMap, VecDeque};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, Weak};

use bytes::Bytes;
use tidelog_proto::event_stream::{EVENT_MESSAGE_BYTES_MAX, Part};
use tidelog_storage::shard::ShardKey;
use tokio::sync::{OnceCell, OwnedSemaphorePermit};
use tokio::time::{Instant, timeout_at};

use super::call_room::{CALL_SHARE_MIN, CallRoom};
use crate::room::{Account, EVENTS, Pool};

/// Runs kept per shard: subscribers a little behind the others still find theirs.
const RUNS_MAX: usize = 4;
/// Encoded bytes of all runs of a node past which a shard keeps none, however much room there is.
const KEPT_BYTES_MAX: usize = 64 << 20;
/// The part of the room that may be merely kept, as a fraction.
const KEPT_FRACTION: usize = 4;

/// Encoded bytes of one run; it has to fit a message.
const RUN_BYTES_MAX: usize = EVENT_MESSAGE_BYTES_MAX;
/// Encoded bytes of a run beside the base64 of its data: 10,000 records have names, numbers and times of 180 bytes
/// each.
const RUN_FRAME_BYTES: usize = 2 << 20;

/// Room for a run whose records have at most that many bytes of data and keys together.
pub fn run_room(bytes: usize) -> usize {
    (bytes.div_ceil(3) * 4 + RUN_FRAME_BYTES).min(RUN_BYTES_MAX)
}

/// The right to have a run of a size.
#[derive(Debug)]
pub struct EventRoom(OwnedSemaphorePermit);

impl EventRoom {
    /// Keeps as much of it as the bytes need, for as long as any part of them is alive anywhere, and gives back the
    /// rest. Partition keys of characters that JSON escapes may take more than was asked for; that much is not counted.
    pub fn hold(mut self, bytes: Vec<u8>) -> Bytes {
        let share = self.0.split(bytes.capacity().min(self.0.num_permits())).expect("it has as many");
        Bytes::from_owner(ChargedBytes { bytes, _share: share })
    }
}

/// Bytes in their share of the room.
struct ChargedBytes {
    bytes: Vec<u8>,
    _share: OwnedSemaphorePermit,
}

impl AsRef<[u8]> for ChargedBytes {
    fn as_ref(&self) -> &[u8] {
        &self.bytes
    }
}

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

impl Kept {
    /// Whether a client has the run, or any part of its bytes.
    fn is_used(&self) -> bool {
        Arc::strong_count(&self.run) > 1 || !self.run.encoded.bytes().is_unique()
    }
}

impl Drop for Kept {
    fn drop(&mut self) {
        self.bytes_kept.fetch_sub(self.run.encoded.bytes().len(), Ordering::Relaxed);
    }
}

/// The feeds of all shards that have subscribers.
#[derive(Debug)]
pub struct Feeds {
    by_shard: Mutex<HashMap<ShardKey, Weak<Feed>>>,
    bytes_kept: Arc<AtomicUsize>,
    /// The memory of runs, and of batches for calls.
    pool: Arc<Pool>,
}

impl Feeds {
    /// Feeds whose runs have at most that many encoded bytes together; one run is always let be.
    pub fn new(run_bytes_in_flight_max: usize) -> Self {
        let room_bytes = run_bytes_in_flight_max.max(RUN_BYTES_MAX);
        let pool = Pool::unreserved(EVENTS, room_bytes, CALL_SHARE_MIN);
        Self { by_shard: Mutex::default(), bytes_kept: Arc::default(), pool }
    }

    /// Room for a run of that many bytes; `None` when there was none until then.
    async fn room(&self, bytes: usize, until: Instant) -> Option<EventRoom> {
        let permits = bytes.min(RUN_BYTES_MAX) as u32;
        if let Ok(room) = self.pool.permits().clone().try_acquire_many_owned(permits) {
            return Some(EventRoom(room));
        }
        self.forget_unused();
        let freed = self.pool.permits().clone().acquire_many_owned(permits);
        let freed = timeout_at(until, freed).await;
        freed.inspect_err(|_| self.pool.note_refusal()).ok()?.ok().map(EventRoom)
    }

    /// Drops the runs of all shards that no client refers to; dropping the others would free nothing.
    fn forget_unused(&self) {
        let feeds: Vec<_> = self.by_shard().values().filter_map(Weak::upgrade).collect();
        for feed in feeds {
            feed.runs().retain(|(_, cell)| cell.get().is_none_or(Kept::is_used));
        }
    }

    /// Encoded bytes that may be merely kept.
    fn kept_bytes_max(&self) -> usize {
        KEPT_BYTES_MAX.min((self.pool.bytes() / KEPT_FRACTION).max(RUN_BYTES_MAX))
    }

    /// Room for the records of one call on the connection of `account`, in the same room.
    pub fn call_room(&self, account: Arc<Account>) -> CallRoom {
        CallRoom::new(self.pool.clone(), account)
    }

    /// The memory of runs, and of batches for calls.
    pub fn pool(&self) -> &Arc<Pool> {
        &self.pool
    }

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
    /// The run that begins at `from`: the known one, or the result of `make`; `None` when there was no room of
    /// `bytes` for it until `until`. One of the subscribers that ask at the same time makes it and the others wait;
    /// when that one fails or leaves, another one makes it.
    ///
    /// # Errors
    /// Those of `make`.
    pub async fn run<E>(
        &self,
        from: u64,
        bytes: usize,
        until: Instant,
        make: impl AsyncFnOnce(EventRoom) -> Result<Run, E>,
    ) -> Result<Option<Arc<Run>>, E> {
        let cell = self.cell(from);
        let made = cell.get_or_try_init(|| async {
            let room = self.feeds.room(bytes, until).await.ok_or(None)?;
            let run = Arc::new(make(room).await.map_err(Some)?);
            let bytes_kept = self.feeds.bytes_kept.clone();
            bytes_kept.fetch_add(run.encoded.bytes().len(), Ordering::Relaxed);
            Ok(Kept { run, bytes_kept })
        });
        let run = match made.await {
            Ok(kept) => kept.run.clone(),
            Err(None) => return Ok(None),
            Err(Some(error)) => return Err(error),
        };
        if self.feeds.bytes_kept.load(Ordering::Relaxed) > self.feeds.kept_bytes_max() {
            self.forget();
        }
        Ok(Some(run))
    }

    /// Drops all kept runs; runs on their way to clients stay until these have taken them.
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
    use std::time::Duration;

    use super::*;
    use crate::shell::spawn_short;

    const SHARD: ShardKey = ShardKey { stream_uid: 1, shard: 0 };

    fn run(next_ordinal: u64, bytes: usize, room: EventRoom) -> Run {
        let encoded = Part::new(room.hold(vec![b'x'; bytes]));
        Run { next_ordinal, last_time_ms: 0, records: 1, bytes: bytes as u64, encoded }
    }

    fn soon() -> Instant {
        Instant::now() + Duration::from_secs(5)
    }

    /// A run of that many bytes from `from` on; `None` when there was no room.
    async fn made(feed: &Feed, from: u64, bytes: usize) -> Option<Arc<Run>> {
        let make = async |room| Ok::<_, Infallible>(run(from + 1, bytes, room));
        feed.run(from, RUN_BYTES_MAX, soon(), make).await.unwrap()
    }

    #[tokio::test]
    async fn subscribers_at_one_place_share_the_work() {
        let feeds = Arc::new(Feeds::new(0));
        let feed = feeds.of(SHARD);
        let times = Cell::new(0);
        let make = async |room| {
            times.set(times.get() + 1);
            tokio::task::yield_now().await;
            Ok::<_, Infallible>(run(8, 10, room))
        };
        let both =
            futures_util::future::join(feed.run(7, 10, soon(), make), feed.run(7, 10, soon(), make)).await;
        let (one, other) = (both.0.unwrap().unwrap(), both.1.unwrap().unwrap());
        assert!(Arc::ptr_eq(&one, &other));
        let later = feeds.of(SHARD).run(7, 10, soon(), make).await.unwrap().unwrap();
        assert_eq!((later.next_ordinal, times.get()), (8, 1));
        feed.forget();
        drop((one, other, later));
        feed.run(8, 10, soon(), make).await.unwrap().unwrap();
        assert_eq!(times.get(), 2);
    }

    #[tokio::test]
    async fn failed_runs_are_made_again() {
        let feed = Arc::new(Feeds::new(0)).of(SHARD);
        assert_eq!(feed.run(1, 10, soon(), async |_| Err::<Run, _>("failed")).await.unwrap_err(), "failed");
        assert!(made(&feed, 1, 1).await.is_some());
    }

    #[tokio::test(start_paused = true)]
    async fn the_room_is_that_of_the_bytes_that_are_alive_wherever_they_are() {
        let feeds = Arc::new(Feeds::new(2 * RUN_BYTES_MAX + 1_000));
        let (feed, other) = (feeds.of(SHARD), feeds.of(ShardKey { shard: 1, ..SHARD }));
        let large = made(&feed, 1, RUN_BYTES_MAX).await.unwrap();
        // However many have it.
        for _ in 0..20 {
            assert!(Arc::ptr_eq(&large, &made(&feed, 1, 1).await.unwrap()));
        }
        assert_eq!(feeds.pool.permits().available_permits(), RUN_BYTES_MAX + 1_000);
        let small = made(&other, 1, 1_001).await.unwrap();
        let began = Instant::now();
        assert!(made(&other, 2, 1).await.is_none());
        assert_eq!(began.elapsed(), Duration::from_secs(5));
        // A part that is on its way to a client, when all else is gone.
        let last = large.encoded.bytes().slice(..1);
        feed.forget();
        drop(large);
        assert!(made(&other, 2, 1).await.is_none());
        let waiting = spawn_short(async move { made(&other, 2, 1).await });
        tokio::task::yield_now().await;
        drop(last);
        assert!(waiting.await.unwrap().is_some());
        assert_eq!(Arc::strong_count(&small), 1);
        drop(small);
        assert_eq!(feeds.pool.permits().available_permits(), 2 * RUN_BYTES_MAX + 1_000);
    }

    #[tokio::test(start_paused = true)]
    async fn runs_that_are_merely_kept_are_dropped_in_the_smallest_room() {
        let feeds = Arc::new(Feeds::new(0));
        let event_bytes = crate::limits::EVENT_BYTES_MAX;
        let began = Instant::now();
        for shard in 0..3 {
            let feed = feeds.of(ShardKey { shard, ..SHARD });
            for from in 1..20 {
                let make = async |room| Ok::<_, Infallible>(run(from + 1, event_bytes / 3 * 4, room));
                assert!(feed.run(from, run_room(event_bytes), soon(), make).await.unwrap().is_some());
            }
        }
        assert_eq!(began.elapsed(), Duration::ZERO, "no run has waited");
    }

    #[tokio::test]
    async fn kept_runs_are_bounded_and_forgotten_with_the_last_subscriber() {
        let feeds = Arc::new(Feeds::new(2 * KEPT_BYTES_MAX));
        let (feed, other) = (feeds.of(SHARD), feeds.of(ShardKey { shard: 1, ..SHARD }));
        let kept = || feeds.bytes_kept.load(Ordering::Relaxed);
        for from in 1..100 {
            made(&feed, from, 10).await.unwrap();
            assert!(kept() <= RUNS_MAX * 10);
        }
        made(&other, 1, KEPT_BYTES_MAX).await.unwrap();
        assert_eq!(kept(), RUNS_MAX * 10, "what is too much is not kept");
        feed.forget();
        assert_eq!(kept(), 0);
        drop((feed, other));
        assert!(feeds.by_shard().is_empty());
    }
}
