//! A reader and its permits to read files: all readers of a node have a bounded number of reads under way, and
//! each reader a quarter of them, so that one with thousands of calls does not make the others wait behind
//! all of these.
//!
//! A reader is a client's connection. The wire names it ([`Reader::scope`]), and work that is started in a task of
//! its own takes it along. A node that relays a call names its client's connection to the leader. Work without a
//! connection, and the simulation, have permits without a share.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, Weak};

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// The share of one reader, as a fraction of all reads.
const READER_FRACTION: usize = 4;
/// Readers after which those without a read under way are forgotten.
const SWEEP_AT: usize = 64;

tokio::task_local! {
    static CURRENT: Reader;
}

/// A client's connection, here or at another node; the default is none.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Reader {
    /// The node that relays for it, or 0.
    node: u64,
    connection: u64,
}

impl Reader {
    /// A new connection to this node.
    pub fn connected() -> Self {
        static LAST: AtomicU64 = AtomicU64::new(0);
        Self { node: 0, connection: LAST.fetch_add(1, Ordering::Relaxed) + 1 }
    }

    /// A connection to another node, by the number which that one gives it; 0 is none.
    pub fn relayed(node: u64, connection: u64) -> Self {
        if connection == 0 { Self::default() } else { Self { node, connection } }
    }

    /// The reader for which the present task works.
    pub fn current() -> Self {
        CURRENT.try_with(|reader| *reader).unwrap_or_default()
    }

    /// The number by which other nodes know it.
    pub fn connection(self) -> u64 {
        self.connection
    }

    /// Work that is done for this reader.
    pub fn scope<F: Future>(self, work: F) -> impl Future<Output = F::Output> + use<F> {
        CURRENT.scope(self, work)
    }
}

/// The permits of all readers.
#[derive(Debug)]
pub struct ReadPermits {
    all: Arc<Semaphore>,
    /// Reads of one reader.
    reads_of_reader_max: usize,
    readers: Mutex<Readers>,
}

#[derive(Debug, Default)]
struct Readers {
    shares: HashMap<Reader, Weak<Semaphore>>,
    sweep_at: usize,
}

/// A permit to read files, until it is dropped.
#[derive(Debug)]
pub struct ReadPermit {
    _all: OwnedSemaphorePermit,
    /// With the last of them the reader's share is forgotten.
    _share: Option<OwnedSemaphorePermit>,
}

impl ReadPermits {
    /// Permits for that many reads of segment files at a time; further ones wait.
    pub fn new(reads_max: usize) -> Self {
        Self {
            all: Arc::new(Semaphore::new(reads_max)),
            reads_of_reader_max: (reads_max / READER_FRACTION).max(1),
            readers: Mutex::default(),
        }
    }

    /// Waits for the next permit of a reader. To be awaited in a task of its own.
    pub async fn take(&self, reader: Reader) -> ReadPermit {
        // The reader's share comes first: a task that waits for it holds nothing.
        let share = match self.share(reader) {
            Some(share) => Some(share.acquire_owned().await.expect("the semaphore is never closed")),
            None => None,
        };
        let all = self.all.clone().acquire_owned().await.expect("the semaphore is never closed");
        ReadPermit { _all: all, _share: share }
    }

    fn share(&self, reader: Reader) -> Option<Arc<Semaphore>> {
        if reader == Reader::default() {
            return None;
        }
        let mut readers = self.readers.lock().expect("no code panics while it holds this lock");
        if let Some(share) = readers.shares.get(&reader).and_then(Weak::upgrade) {
            return Some(share);
        }
        if readers.shares.len() >= readers.sweep_at {
            readers.shares.retain(|_, share| share.strong_count() > 0);
            readers.sweep_at = SWEEP_AT.max(2 * readers.shares.len());
        }
        let share = Arc::new(Semaphore::new(self.reads_of_reader_max));
        readers.shares.insert(reader, Arc::downgrade(&share));
        Some(share)
    }
}

#[cfg(test)]
mod tests {
    use futures_util::FutureExt;

    use super::*;

    const READS_MAX: usize = 16;

    #[tokio::test]
    async fn a_reader_has_a_quarter_of_the_permits_and_leaves_the_others_theirs() {
        let permits = ReadPermits::new(READS_MAX);
        let (greedy, other) = (Reader::connected(), Reader::relayed(2, 7));
        let mut held = Vec::new();
        for _ in 0..READS_MAX / READER_FRACTION {
            held.push(permits.take(greedy).now_or_never().expect("there is a permit"));
        }
        let mut waiting: Vec<_> = (0..1_000).map(|_| Box::pin(permits.take(greedy))).collect();
        assert!(waiting.iter_mut().all(|waiting| waiting.now_or_never().is_none()));
        assert!(permits.take(other).now_or_never().is_some(), "nobody waits behind the greedy one");
        assert!(permits.take(Reader::default()).now_or_never().is_some());
        drop(held.pop());
        assert!((&mut waiting[0]).now_or_never().is_some());
        // All have no more than there are.
        let all = (0..100).filter_map(|_| permits.take(Reader::connected()).now_or_never());
        assert_eq!(all.collect::<Vec<_>>().len(), READS_MAX - (READS_MAX / READER_FRACTION - 1));
    }

    #[tokio::test]
    async fn readers_without_a_read_are_forgotten() {
        let permits = ReadPermits::new(READS_MAX);
        for _ in 0..10 * SWEEP_AT {
            drop(permits.take(Reader::connected()).await);
        }
        assert!(permits.readers.lock().unwrap().shares.len() <= SWEEP_AT);
    }

    #[tokio::test]
    async fn work_knows_its_reader() {
        let reader = Reader::connected();
        assert_eq!(Reader::current(), Reader::default());
        assert_eq!(reader.scope(async { Reader::current() }).await, reader);
        assert_ne!(reader, Reader::connected());
        assert_eq!(Reader::relayed(3, 0), Reader::default());
    }
}
