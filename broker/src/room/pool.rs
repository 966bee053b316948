//! Pools: the bytes of one class of memory. A *charge* takes bytes of a pool for a connection's account.
//!
//! A pool has three parts:
//! - An eighth is for small charges, which therefore pass while large ones wait.
//! - The *reserve* is as large as the largest thing of the class. One charge at a time may take from it, the one that
//!   has waited longest: it *finishes*, so that even a full pool drains.
//! - The *general* part, all the rest, is for every charge.
//!
//! While more than half of the general part is taken the pool is *busy*. Then a connection may have a sixteenth of the
//! pool, and an address a quarter if there are other addresses; a charge beyond that waits or is refused.

use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::sync::Semaphore;
use tokio::time::Instant;

use super::account::{Account, POOLS};

mod charge;

pub use charge::Charge;

/// Bytes up to which something is small.
pub const SMALL_BYTES: usize = 64 << 10;
/// The part of a pool that only small things take, as a fraction.
const SMALL_FRACTION: usize = 8;
/// The share of one connection of a pool that is more than half taken, as a fraction.
const CONNECTION_FRACTION: usize = 16;
/// The share of one address, while there is another, of a pool that is more than half taken, as a fraction.
const ADDRESS_FRACTION: usize = 4;
/// Bytes of the smallest share: eight streams of HTTP/2.
const SHARE_MIN: usize = 256 << 10;
/// The pools that count by account, each in its place.
const NAMES: [&str; POOLS] = ["bodies", "answers", "connections", EVENTS, PEERS];
/// Events on their way to subscribers, in metrics and messages.
pub const EVENTS: &str = "events";
/// Events on their way to other nodes, in metrics and messages.
pub const PEERS: &str = "events for other nodes";
/// How long a pool refuses before `/health` reports it.
const TROUBLE: Duration = Duration::from_secs(5);

/// A class has no room left.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Full;

/// The bytes of one class of memory, and the charges on them.
pub struct Pool {
    name: &'static str,
    index: usize,
    bytes: usize,
    /// Bytes of the reserve: the largest thing of the class; 0 for a pool without a reserve.
    largest: usize,
    /// Bytes of the share of one connection at least.
    share_min: usize,
    general_bytes: usize,
    general: Arc<Semaphore>,
    small: Arc<Semaphore>,
    /// One permit: its holder takes from the reserve.
    finishing: Arc<Semaphore>,
    refusals: AtomicU64,
    /// Times of the first and the last refusal of the present run of refusals.
    refusing: Mutex<Option<(Instant, Instant)>>,
}

impl Pool {
    /// A pool of that many bytes in all, of which `largest` are the reserve of the one that finishes.
    pub(super) fn new(name: &'static str, bytes: usize, largest: usize) -> Arc<Self> {
        Self::with_share(name, bytes, largest, largest.max(SHARE_MIN))
    }

    /// A pool without a reserve and without a part for small charges, of which one connection has `share_min` at
    /// least.
    #[must_use]
    pub fn unreserved(name: &'static str, bytes: usize, share_min: usize) -> Arc<Self> {
        Self::with_share(name, bytes, 0, share_min)
    }

    fn with_share(name: &'static str, bytes: usize, largest: usize, share_min: usize) -> Arc<Self> {
        let index = NAMES.iter().position(|known| *known == name);
        let index = index.expect("a pool that is counted by account");
        let small = if largest == 0 { 0 } else { bytes / SMALL_FRACTION };
        let general_bytes = bytes.saturating_sub(largest + small);
        Arc::new(Self {
            name,
            index,
            bytes,
            largest,
            share_min,
            general_bytes,
            general: Arc::new(Semaphore::new(general_bytes)),
            small: Arc::new(Semaphore::new(small)),
            finishing: Arc::new(Semaphore::new(usize::from(largest > 0))),
            refusals: AtomicU64::new(0),
            refusing: Mutex::default(),
        })
    }

    /// The name of the pool in metrics and messages.
    #[must_use]
    pub fn name(&self) -> &'static str {
        self.name
    }

    /// The index of the pool among the pools of an account.
    pub(super) fn index(&self) -> usize {
        self.index
    }

    /// Bytes of the pool.
    #[must_use]
    pub fn bytes(&self) -> usize {
        self.bytes
    }

    /// Bytes that are charged; the whole reserve counts while a charge finishes.
    #[must_use]
    pub fn used(&self) -> usize {
        let small = if self.largest == 0 { 0 } else { self.bytes / SMALL_FRACTION };
        let finishing =
            if self.largest > 0 && self.finishing.available_permits() == 0 { self.largest } else { 0 };
        let free = self.general.available_permits() + self.small.available_permits();
        (self.general_bytes + small).saturating_sub(free) + finishing
    }

    /// The permits of the part that is neither small nor reserved, for users that have no account.
    pub(crate) fn permits(&self) -> &Arc<Semaphore> {
        &self.general
    }

    /// Number of refusals for lack of room.
    #[must_use]
    pub fn refusals(&self) -> u64 {
        self.refusals.load(Ordering::Relaxed)
    }

    /// Whether more than half of the general part is taken, so that shares and paces bind.
    #[must_use]
    pub fn is_busy(&self) -> bool {
        self.general.available_permits() < self.general_bytes / 2
    }

    /// Whether the pool has refused for so long that operators should know.
    #[must_use]
    pub fn is_in_trouble(&self) -> bool {
        let refusing = *self.refusing.lock().expect("no code panics while it holds this lock");
        refusing.is_some_and(|(first, last)| last - first >= TROUBLE && last.elapsed() < TROUBLE)
    }

    /// A charge of 0 bytes for the connection of `account`; with `is_small` it may grow in the part for small charges.
    #[must_use]
    pub fn charge(self: &Arc<Self>, account: &Arc<Account>, is_small: bool) -> Charge {
        Charge::of_nothing(self.clone(), account.clone(), is_small)
    }

    /// A charge of that many bytes, if there is room.
    ///
    /// # Errors
    /// [`Full`].
    pub fn try_charge(self: &Arc<Self>, account: &Arc<Account>, bytes: usize) -> Result<Charge, Full> {
        let mut charge = self.charge(account, bytes <= SMALL_BYTES);
        if charge.try_grow(bytes) { Ok(charge) } else { Err(Full) }
    }

    /// A charge of that many bytes, if there is room, whatever the share of its address: connections close each other
    /// instead.
    ///
    /// # Errors
    /// [`Full`].
    pub fn try_charge_beyond_shares(
        self: &Arc<Self>,
        account: &Arc<Account>,
        bytes: usize,
    ) -> Result<Charge, Full> {
        let mut charge = self.charge(account, false);
        if charge.try_take(bytes) { Ok(charge) } else { Err(Full) }
    }

    /// Takes note of a refusal for lack of room.
    pub fn note_refusal(&self) {
        self.refusals.fetch_add(1, Ordering::Relaxed);
        let now = Instant::now();
        let mut refusing = self.refusing.lock().expect("no code panics while it holds this lock");
        *refusing = match *refusing {
            Some((first, last)) if now - last < TROUBLE => Some((first, now)),
            _ => Some((now, now)),
        };
    }

    /// Whether the pool is busy and a connection or its address would have more than its share.
    fn is_over_share(&self, account: &Account, more: usize) -> bool {
        // The first charge of each passes, however large it is.
        let is_over = |charged: usize, fraction: usize| {
            charged > 0 && charged + more > (self.bytes / fraction).max(self.share_min)
        };
        self.is_busy()
            && (is_over(account.charged(self.index), CONNECTION_FRACTION)
                || (is_over(account.charged_to_address(self.index), ADDRESS_FRACTION)
                    && account.has_others()))
    }
}

impl fmt::Debug for Pool {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.debug_struct("Pool")
            .field("name", &self.name)
            .field("bytes", &self.bytes)
            .field("used", &self.used())
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use std::net::IpAddr;

    use super::super::Accounts;
    use super::*;

    const MIB: usize = 1 << 20;
    const PATIENCE: Duration = Duration::from_secs(2);

    fn pool(mib: usize) -> Arc<Pool> {
        Pool::new("bodies", mib * MIB, 20 * MIB)
    }

    #[tokio::test(start_paused = true)]
    async fn a_full_pool_drains_by_the_one_that_finishes() {
        let (pool, accounts) = (pool(32), Arc::new(Accounts::default()));
        let account = || accounts.open(IpAddr::from([127, 0, 0, 1]));
        // 4 MiB for the small, 20 of reserve: 8 for all else.
        let mut charges: Vec<_> = (0..4).map(|_| pool.charge(&account(), false)).collect();
        for charge in &mut charges {
            charge.grow(2 * MIB, PATIENCE).await.unwrap();
        }
        let began = Instant::now();
        let mut last = charges.pop().unwrap();
        last.grow(20 * MIB, PATIENCE).await.unwrap();
        assert!(last.is_finishing() && began.elapsed() < PATIENCE);
        assert_eq!(charges[0].grow(3 * MIB, PATIENCE).await, Err(Full));
        assert_eq!((began.elapsed(), pool.refusals()), (PATIENCE, 1));
        // A small charge is still admitted.
        assert!(pool.try_charge(&account(), SMALL_BYTES).is_ok());
        assert_eq!(pool.try_charge(&account(), SMALL_BYTES + 1).err(), Some(Full));
        drop(last);
        charges[0].grow(4 * MIB, PATIENCE).await.unwrap();
        drop(charges);
        assert_eq!(pool.used(), 0);
        assert_eq!(account().charged_to_address(0), 0);
    }

    #[tokio::test(start_paused = true)]
    async fn shares_bind_only_a_busy_pool() {
        let (pool, accounts) = (pool(340), Arc::new(Accounts::default()));
        let open = |last| accounts.open(IpAddr::from([10, 0, 0, last]));
        // A sixteenth is 21 MiB, a quarter 85, and half of the general part 138.
        let (one, same, other) = (open(1), open(1), open(2));
        let all = pool.try_charge(&one, 120 * MIB).unwrap();
        assert!(!pool.is_busy());
        let filling = pool.try_charge(&other, 30 * MIB).unwrap();
        assert!(pool.is_busy());
        assert!(pool.try_charge(&one, MIB).is_err(), "the connection is over its share");
        assert!(pool.try_charge(&same, MIB).is_err(), "its address is over its share");
        assert!(pool.try_charge(&open(3), MIB).is_ok());
        drop((all, filling));
        assert!(pool.try_charge(&one, 130 * MIB).is_ok());
    }

    #[tokio::test(start_paused = true)]
    async fn a_connection_over_its_share_of_a_busy_pool_goes_on_once_it_gives_something_back() {
        let pool = Pool::unreserved(EVENTS, 16 * MIB, 2 * MIB);
        let accounts = Arc::new(Accounts::default());
        let open = || accounts.open(IpAddr::from([10, 0, 0, 1]));
        let (greedy, other) = (open(), open());
        let take = |account: &Arc<Account>| pool.try_charge(account, MIB);
        let mut taken: Vec<_> = std::iter::from_fn(|| take(&greedy).ok()).collect();
        assert_eq!(taken.len(), 9, "as much as keeps half of it free, and one");
        // Others have theirs, of any size.
        let others: Vec<_> = (0..2).map(|_| take(&other)).collect();
        assert!(others.iter().all(Result::is_ok) && take(&other).is_err());
        let large = pool.try_charge(&open(), 5 * MIB).unwrap();
        drop(large);
        let mut further = pool.charge(&greedy, false);
        let began = Instant::now();
        assert_eq!(further.grow(MIB, PATIENCE).await, Err(Full));
        assert_eq!((began.elapsed(), pool.refusals()), (PATIENCE, 1));
        let giving = async {
            tokio::time::sleep(PATIENCE / 4).await;
            taken.truncate(1);
        };
        let (grown, ()) = futures_util::future::join(further.grow(MIB, PATIENCE), giving).await;
        assert_eq!(grown, Ok(()));
        assert!(began.elapsed() < PATIENCE * 3 / 2);
    }

    #[tokio::test(start_paused = true)]
    async fn alone_an_address_has_all() {
        let (pool, accounts) = (pool(340), Arc::new(Accounts::default()));
        let open = || accounts.open(IpAddr::from([10, 0, 0, 1]));
        let charges: Vec<_> = (0..13).map(|_| pool.try_charge(&open(), 20 * MIB)).collect();
        assert!(charges.iter().all(Result::is_ok));
    }

    #[tokio::test(start_paused = true)]
    async fn refusals_are_a_trouble_once_they_last() {
        let pool = pool(340);
        for (seconds, is_in_trouble) in [(0, false), (3, false), (3, true), (6, false)] {
            tokio::time::advance(Duration::from_secs(seconds)).await;
            pool.note_refusal();
            assert_eq!(pool.is_in_trouble(), is_in_trouble, "{seconds}");
        }
    }
}
