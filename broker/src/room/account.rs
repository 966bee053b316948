//! Accounts of the memory: each connection has one, and the connections of one address are counted together.
//!
//! An address is one of IPv4, or a network of 64 bits of IPv6, which one customer has. Shares by address bind only
//! while there is another one: behind a load balancer all clients have the same.

use std::collections::{BTreeMap, HashMap};
use std::fmt;
use std::net::{IpAddr, Ipv6Addr};
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, Weak};

use tokio::sync::Notify;
use tokio::time::Instant;

use super::pool::Pool;

/// Pools that count by account.
pub(super) const POOLS: usize = 5;

/// All connections that are open, by address.
#[derive(Debug)]
pub struct Accounts {
    began: Instant,
    open: Mutex<Open>,
    /// How many addresses there are.
    addresses: AtomicUsize,
}

#[derive(Debug, Default)]
struct Open {
    by_address: HashMap<IpAddr, Arc<Address>>,
    /// By number, so oldest first.
    connections: BTreeMap<u64, Weak<Account>>,
    next_number: u64,
}

/// The amounts that the connections of one address use together.
#[derive(Debug, Default)]
struct Address {
    charged: [AtomicUsize; POOLS],
    connections: AtomicUsize,
}

/// The amounts that one connection uses. The connection has its account, and so has everything that is
/// charged for it.
pub struct Account {
    accounts: Weak<Accounts>,
    key: IpAddr,
    address: Arc<Address>,
    number: u64,
    charged: [AtomicUsize; POOLS],
    /// Requests under way.
    requests: AtomicUsize,
    /// End of the last request, or beginning of the connection: milliseconds since [`Accounts::began`].
    idle_since_ms: AtomicU64,
    /// Received to end.
    closing: Notify,
    /// Whether it was asked to close already: the next newcomer gets the slot of another connection.
    is_asked_to_close: AtomicBool,
}

/// A request under way on a connection.
#[derive(Debug)]
pub struct Busy(Arc<Account>);

impl Default for Accounts {
    fn default() -> Self {
        Self { began: Instant::now(), open: Mutex::default(), addresses: AtomicUsize::new(0) }
    }
}

impl Accounts {
    /// An account for a connection that begins.
    pub fn open(self: &Arc<Self>, from: IpAddr) -> Arc<Account> {
        let key = network(from);
        let mut open = self.opened();
        let address = open.by_address.entry(key).or_default().clone();
        address.connections.fetch_add(1, Ordering::Relaxed);
        self.addresses.store(open.by_address.len(), Ordering::Relaxed);
        let number = open.next_number;
        open.next_number += 1;
        let account = Arc::new(Account {
            accounts: Arc::downgrade(self),
            key,
            address,
            number,
            charged: Default::default(),
            requests: AtomicUsize::new(0),
            idle_since_ms: AtomicU64::new(self.now_ms()),
            closing: Notify::new(),
            is_asked_to_close: AtomicBool::new(false),
        });
        open.connections.insert(number, Arc::downgrade(&account));
        account
    }

    /// Whether connections come from more than one address.
    pub fn are_several(&self) -> bool {
        self.addresses.load(Ordering::Relaxed) > 1
    }

    /// Asks a connection to close so that `newcomer` gets its slot and its memory. With several addresses it is the
    /// newest connection of the address with most bytes in the pool, with one address the connection that has been idle
    /// longest. Only connections with a charge on the pool are asked. Returns false if no connection is asked, because
    /// that address is the newcomer's own or none is idle.
    pub fn free_slot(&self, newcomer: &Account, pool: &Pool) -> bool {
        let (most, others) = {
            let open = self.opened();
            let bytes = |address: &Address| address.charged[pool.index()].load(Ordering::Relaxed);
            let most =
                open.by_address.iter().max_by_key(|(key, address)| (bytes(address), **key == newcomer.key));
            let most = most.filter(|_| open.by_address.len() > 1).map(|(key, _)| *key);
            // The last reference to one of them may be among these: it must not be dropped under the lock.
            let others: Vec<_> = open.connections.values().filter_map(Weak::upgrade).collect();
            (most, others)
        };
        let mut others = others.iter().filter(|other| {
            other.number != newcomer.number
                && other.charged(pool.index()) > 0
                && !other.is_asked_to_close.load(Ordering::Relaxed)
        });
        let chosen = match most {
            Some(most) if most == newcomer.key => None,
            Some(most) => others.filter(|other| other.key == most).last(),
            None => others
                .by_ref()
                .filter(|other| other.requests.load(Ordering::Relaxed) == 0)
                .min_by_key(|other| other.idle_since_ms.load(Ordering::Relaxed)),
        };
        if let Some(chosen) = chosen {
            chosen.is_asked_to_close.store(true, Ordering::Relaxed);
            chosen.closing.notify_one();
        }
        chosen.is_some()
    }

    fn now_ms(&self) -> u64 {
        u64::try_from(self.began.elapsed().as_millis()).unwrap_or(u64::MAX)
    }

    fn opened(&self) -> MutexGuard<'_, Open> {
        self.open.lock().expect("no code panics while it holds this lock")
    }
}

impl Account {
    /// An account of no connection of this node, for work that other nodes ask for. It has no address beside others.
    #[must_use]
    pub fn detached() -> Arc<Self> {
        Arc::new(Accounts::default()).open(IpAddr::from([127, 0, 0, 1]))
    }

    /// Counts a request until the guard is dropped.
    pub fn begin(self: &Arc<Self>) -> Busy {
        self.requests.fetch_add(1, Ordering::Relaxed);
        Busy(self.clone())
    }

    /// Milliseconds since the last request ended; `None` while a request is under way.
    pub fn idle_ms(&self) -> Option<u64> {
        let now_ms = self.accounts.upgrade().map_or(0, |accounts| accounts.now_ms());
        let is_idle = self.requests.load(Ordering::Relaxed) == 0;
        is_idle.then(|| now_ms.saturating_sub(self.idle_since_ms.load(Ordering::Relaxed)))
    }

    /// Returns when the connection has to close, because another one needs its slot.
    pub async fn closed(&self) {
        self.closing.notified().await;
    }

    /// Bytes of a pool that are charged to the connection.
    pub(super) fn charged(&self, pool: usize) -> usize {
        self.charged[pool].load(Ordering::Relaxed)
    }

    /// Bytes of a pool that are charged to the connections of its address.
    pub(super) fn charged_to_address(&self, pool: usize) -> usize {
        self.address.charged[pool].load(Ordering::Relaxed)
    }

    /// Whether connections come from other addresses too.
    pub(super) fn has_others(&self) -> bool {
        self.accounts.upgrade().is_some_and(|accounts| accounts.are_several())
    }

    pub(super) fn add(&self, pool: usize, bytes: usize) {
        self.charged[pool].fetch_add(bytes, Ordering::Relaxed);
        self.address.charged[pool].fetch_add(bytes, Ordering::Relaxed);
    }

    pub(super) fn subtract(&self, pool: usize, bytes: usize) {
        self.charged[pool].fetch_sub(bytes, Ordering::Relaxed);
        self.address.charged[pool].fetch_sub(bytes, Ordering::Relaxed);
    }
}

impl fmt::Debug for Account {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.debug_struct("Account")
            .field("key", &self.key)
            .field("number", &self.number)
            .finish_non_exhaustive()
    }
}

impl Drop for Account {
    fn drop(&mut self) {
        let Some(accounts) = self.accounts.upgrade() else { return };
        let mut open = accounts.opened();
        open.connections.remove(&self.number);
        if self.address.connections.fetch_sub(1, Ordering::Relaxed) == 1 {
            open.by_address.remove(&self.key);
        }
        accounts.addresses.store(open.by_address.len(), Ordering::Relaxed);
    }
}

impl Drop for Busy {
    fn drop(&mut self) {
        if self.0.requests.fetch_sub(1, Ordering::Relaxed) == 1
            && let Some(accounts) = self.0.accounts.upgrade()
        {
            self.0.idle_since_ms.store(accounts.now_ms(), Ordering::Relaxed);
        }
    }
}

/// The network of an address that one customer has: one IPv4 address, or 64 bits of IPv6.
fn network(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V4(address) => address.into(),
        IpAddr::V6(address) => {
            let [a, b, c, d, ..] = address.segments();
            Ipv6Addr::new(a, b, c, d, 0, 0, 0, 0).into()
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use futures_util::FutureExt;

    use super::*;
    use crate::room::Charge;

    fn is_closed(account: &Account) -> bool {
        account.closed().now_or_never().is_some()
    }

    /// A connection with its charge.
    fn charged(pool: &Arc<Pool>, account: Arc<Account>, bytes: usize) -> (Arc<Account>, Charge) {
        let charge = pool.try_charge_beyond_shares(&account, bytes).expect("room for it");
        (account, charge)
    }

    #[tokio::test(start_paused = true)]
    async fn the_newest_of_the_address_that_has_most_goes() {
        let accounts = Arc::new(Accounts::default());
        let pool = Pool::new("connections", 1 << 20, 0);
        let open = |last| accounts.open(IpAddr::from([10, 0, 0, last]));
        let many = [(); 3].map(|()| charged(&pool, open(1), 1_000));
        // An address past the bound, or one with more connections and fewer bytes, loses nothing.
        let (refused, modest) = (open(1), [(); 5].map(|()| charged(&pool, open(3), 100)));
        let newcomer = open(2);
        assert!(accounts.free_slot(&newcomer, &pool));
        assert_eq!(many.each_ref().map(|one| is_closed(&one.0)), [false, false, true]);
        // A further connection of the address that has the most finds no place.
        assert!(!accounts.free_slot(&open(1), &pool));
        assert!(
            ![&newcomer, &refused]
                .into_iter()
                .chain(modest.iter().map(|one| &one.0))
                .any(|one| is_closed(one))
        );
    }

    #[tokio::test(start_paused = true)]
    async fn of_one_address_the_longest_idle_goes() {
        let accounts = Arc::new(Accounts::default());
        let pool = Pool::new("connections", 1 << 20, 0);
        let open = || charged(&pool, accounts.open("2001:db8::1".parse().unwrap()), 100);
        let ((first, charge), (second, other_charge)) = (open(), open());
        tokio::time::advance(Duration::from_secs(1)).await;
        let newcomer = accounts.open("2001:db8::2".parse().unwrap());
        drop(first.begin());
        assert!(accounts.free_slot(&newcomer, &pool));
        assert!(is_closed(&second) && !is_closed(&first));
        let busy = [first.begin(), second.begin()];
        assert!(!accounts.free_slot(&newcomer, &pool));
        assert_eq!((first.idle_ms(), newcomer.idle_ms()), (None, Some(0)));
        drop(busy);
        drop((first, second, newcomer, charge, other_charge));
        assert!(accounts.opened().by_address.is_empty() && accounts.opened().connections.is_empty());
    }
}
