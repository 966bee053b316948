//! The bytes of one class, and the charges on them.
//!
//! A pool has three parts: an eighth for small charges, a reserve for the one that finishes, and the rest for
//! everything else. Shares of connections and addresses bind only while the rest is more than half taken.

use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::{Instant, sleep_until};

use super::account::{Account, POOLS};

/// Bytes up to which something is small.
pub const SMALL_BYTES: usize = 64 << 10;
/// The part of a pool that only small things take, as a fraction.
const SMALL_FRACTION: usize = 8;
/// The share of one connection of a pool that is more than half taken, as a fraction.
const CONNECTION_FRACTION: usize = 16;
/// The share of one address, while there is another, of a pool that is more than half taken, as a fraction.
const ADDRESS_FRACTION: usize = 4;
/// The part of a pool that a modest growth leaves to others, as a fraction.
const MODEST_FRACTION: usize = 4;
/// Bytes of the smallest share: eight streams of HTTP/2.
const SHARE_MIN: usize = 256 << 10;
/// The pools that count by account, each in its place.
const NAMES: [&str; POOLS] = ["bodies", "answers", "connections", EVENTS, PEERS];
/// Events on their way to subscribers, in metrics and messages.
pub const EVENTS: &str = "events";
/// Events on their way to other nodes, in metrics and messages.
pub const PEERS: &str = "events for other nodes";
/// Pause before a charge that has its share looks again whether there is more for it.
const SHARE_PAUSE: Duration = Duration::from_millis(50);
/// How long a pool refuses before that is a trouble of the node's.
const TROUBLE: Duration = Duration::from_secs(5);

/// A class has no room left.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Full;

/// The bytes of one class of memory, and the charges on them.
pub struct Pool {
    name: &'static str,
    place: usize,
    bytes: usize,
    /// Bytes of the largest thing, which the one that finishes may take; 0 where nobody does.
    largest: usize,
    /// Bytes of the share of one connection at least.
    share_min: usize,
    general_bytes: usize,
    general: Arc<Semaphore>,
    small: Arc<Semaphore>,
    /// One permit: its holder takes from the reserve.
    finishing: Arc<Semaphore>,
    refusals: AtomicU64,
    /// When it began to refuse, and when it last did.
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
        let place = NAMES.iter().position(|known| *known == name);
        let place = place.expect("a pool that is counted by account");
        let small = if largest == 0 { 0 } else { bytes / SMALL_FRACTION };
        let general_bytes = bytes.saturating_sub(largest + small);
        Arc::new(Self {
            name,
            place,
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
    pub(super) fn place(&self) -> usize {
        self.place
    }

    /// Bytes of the pool.
    #[must_use]
    pub fn bytes(&self) -> usize {
        self.bytes
    }

    /// Bytes that are charged; all of the reserve while somebody finishes.
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

    /// How often it has refused.
    #[must_use]
    pub fn refusals(&self) -> u64 {
        self.refusals.load(Ordering::Relaxed)
    }

    /// Whether shares and paces bind.
    #[must_use]
    pub fn is_busy(&self) -> bool {
        self.general.available_permits() < self.general_bytes / 2
    }

    /// Whether it has refused for so long that operators should know.
    #[must_use]
    pub fn is_in_trouble(&self) -> bool {
        let refusing = *self.refusing.lock().expect("no code panics while it holds this lock");
        refusing.is_some_and(|(first, last)| last - first >= TROUBLE && last.elapsed() < TROUBLE)
    }

    /// A charge of nothing, for the connection of `account`. One that `is_small` may take of the small part.
    #[must_use]
    pub fn charge(self: &Arc<Self>, account: &Arc<Account>, is_small: bool) -> Charge {
        Charge {
            pool: self.clone(),
            account: account.clone(),
            is_small,
            small: 0,
            general: 0,
            reserve: 0,
            finisher: None,
        }
    }

    /// A charge of that many bytes, if there is room.
    ///
    /// # Errors
    /// [`Full`].
    pub fn try_charge(self: &Arc<Self>, account: &Arc<Account>, bytes: usize) -> Result<Charge, Full> {
        let mut charge = self.charge(account, bytes <= SMALL_BYTES);
        if charge.try_grow(bytes) { Ok(charge) } else { Err(Full) }
    }

    /// A charge of that many bytes, if there is room, beyond the share of its address too: connections make place
    /// for each other instead.
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

    /// Whether a connection or its address has its share, and more would be another's.
    fn is_over_share(&self, account: &Account, more: usize) -> bool {
        // The first of each has a place, however large it is.
        let is_over = |charged: usize, fraction: usize| {
            charged > 0 && charged + more > (self.bytes / fraction).max(self.share_min)
        };
        self.is_busy()
            && (is_over(account.charged(self.place), CONNECTION_FRACTION)
                || (is_over(account.charged_to_address(self.place), ADDRESS_FRACTION)
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

/// Bytes of a pool that something takes, until it is dropped.
#[derive(Debug)]
pub struct Charge {
    pool: Arc<Pool>,
    account: Arc<Account>,
    is_small: bool,
    small: usize,
    general: usize,
    /// Bytes of the reserve, which only the one with the `finisher` takes.
    reserve: usize,
    finisher: Option<OwnedSemaphorePermit>,
}

impl Charge {
    /// Bytes that are charged.
    #[must_use]
    pub fn bytes(&self) -> usize {
        self.small + self.general + self.reserve
    }

    /// Whether it takes from the reserve, so that others wait for it.
    #[must_use]
    pub fn is_finishing(&self) -> bool {
        self.finisher.is_some()
    }

    /// The pool that it is of.
    #[must_use]
    pub fn pool(&self) -> &Arc<Pool> {
        &self.pool
    }

    /// Grows to that many bytes, if there is room now.
    pub fn try_grow(&mut self, bytes: usize) -> bool {
        let more = bytes.saturating_sub(self.bytes());
        if more == 0 {
            return true;
        }
        if self.finisher.is_some() && self.reserve + more <= self.pool.largest {
            self.reserve += more;
        } else {
            return !self.pool.is_over_share(&self.account, more) && self.try_take(more);
        }
        self.account.add(self.pool.place, more);
        true
    }

    /// Takes so many bytes more, if they are free.
    fn try_take(&mut self, more: usize) -> bool {
        if self.is_small && take(&self.pool.small, more) {
            self.small += more;
        } else if take(&self.pool.general, more) {
            self.general += more;
        } else {
            return false;
        }
        self.account.add(self.pool.place, more);
        true
    }

    /// Grows to that many bytes, if there is room now and a quarter of the general part stays free.
    pub fn try_grow_modestly(&mut self, bytes: usize) -> bool {
        let more = bytes.saturating_sub(self.bytes());
        self.pool.general.available_permits() >= more + self.pool.general_bytes / MODEST_FRACTION
            && self.try_grow(bytes)
    }

    /// Grows to that many bytes. Waits at most for `patience`; the one that has waited longest may finish out of the
    /// reserve.
    ///
    /// # Errors
    /// [`Full`] when there was no room until then. The bytes that it has stay charged until it is dropped.
    pub async fn grow(&mut self, bytes: usize, patience: Duration) -> Result<(), Full> {
        let ends = Instant::now() + patience;
        let more = bytes.saturating_sub(self.bytes());
        let permits = u32::try_from(more).map_err(|_| Full)?;
        let taken = loop {
            if self.try_grow(bytes) {
                return Ok(());
            }
            let is_over = self.pool.is_over_share(&self.account, more);
            let until = if is_over { ends.min(Instant::now() + SHARE_PAUSE) } else { ends };
            tokio::select! {
                biased;
                taken = self.pool.general.clone().acquire_many_owned(permits), if !is_over && more <= self.pool.general_bytes => break taken,
                finisher = self.pool.finishing.clone().acquire_owned(), if more <= self.pool.largest && self.finisher.is_none() => {
                    self.finisher = Some(finisher.expect("the semaphore is never closed"));
                    assert!(self.try_grow(bytes), "the reserve has room for the largest");
                    return Ok(());
                }
                () = sleep_until(until) => {
                    if until == ends {
                        self.pool.note_refusal();
                        return Err(Full);
                    }
                }
            }
        };
        taken.expect("the semaphore is never closed").forget();
        self.general += more;
        self.account.add(self.pool.place, more);
        Ok(())
    }

    /// Grows to that many bytes out of the reserve, unless somebody else finishes.
    pub fn try_finish(&mut self, bytes: usize) -> bool {
        if bytes.saturating_sub(self.bytes()) > self.pool.largest || self.finisher.is_some() {
            return false;
        }
        self.finisher = self.pool.finishing.clone().try_acquire_owned().ok();
        self.finisher.is_some() && self.try_grow(bytes)
    }

    /// Takes over the bytes of another charge of the same connection and pool.
    pub fn merge(&mut self, mut other: Self) {
        assert!(Arc::ptr_eq(&self.pool, &other.pool) && Arc::ptr_eq(&self.account, &other.account));
        self.small += std::mem::take(&mut other.small);
        self.general += std::mem::take(&mut other.general);
        self.reserve += std::mem::take(&mut other.reserve);
        self.finisher = self.finisher.take().or_else(|| other.finisher.take());
    }

    /// A charge of nothing for the same connection.
    #[must_use]
    pub fn sibling(&self) -> Self {
        self.pool.charge(&self.account, self.is_small)
    }

    /// Grows or shrinks to exactly that many bytes; `None` when there is no room to grow.
    #[must_use]
    pub fn fitted(mut self, bytes: usize) -> Option<Self> {
        let fits = self.try_grow(bytes);
        self.shrink(bytes);
        fits.then_some(self)
    }

    /// Gives back all beyond that many bytes.
    pub fn shrink(&mut self, bytes: usize) {
        let mut over = self.bytes().saturating_sub(bytes);
        self.account.subtract(self.pool.place, over);
        for (part, free) in [
            (&mut self.reserve, None),
            (&mut self.general, Some(&self.pool.general)),
            (&mut self.small, Some(&self.pool.small)),
        ] {
            let given = over.min(*part);
            *part -= given;
            over -= given;
            if let Some(free) = free {
                free.add_permits(given);
            }
        }
        if self.reserve == 0 {
            self.finisher = None;
        }
    }
}

impl Drop for Charge {
    fn drop(&mut self) {
        self.shrink(0);
    }
}

fn take(semaphore: &Semaphore, permits: usize) -> bool {
    let Ok(permits) = u32::try_from(permits) else { return false };
    semaphore.try_acquire_many(permits).map(tokio::sync::SemaphorePermit::forget).is_ok()
}

#[cfg(test)]
mod tests;
