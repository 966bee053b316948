//! Charges: the bytes of a pool that one request, answer or connection takes, and the three parts that they come from.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::{Instant, sleep_until};

use super::{Full, Pool};
use crate::room::account::Account;

/// The part of a pool that a modest growth leaves to others, as a fraction.
const MODEST_FRACTION: usize = 4;
/// Pause of a charge at its share before it tries to grow again.
const SHARE_PAUSE: Duration = Duration::from_millis(50);

/// Bytes of a pool that something takes, until it is dropped.
#[derive(Debug)]
pub struct Charge {
    pool: Arc<Pool>,
    account: Arc<Account>,
    is_small: bool,
    small: usize,
    general: usize,
    /// Bytes of the reserve; only the charge that has the `finisher` takes any.
    reserve: usize,
    finisher: Option<OwnedSemaphorePermit>,
}

impl Charge {
    pub(super) fn of_nothing(pool: Arc<Pool>, account: Arc<Account>, is_small: bool) -> Self {
        Self { pool, account, is_small, small: 0, general: 0, reserve: 0, finisher: None }
    }

    /// Bytes that are charged.
    #[must_use]
    pub fn bytes(&self) -> usize {
        self.small + self.general + self.reserve
    }

    /// Whether the charge finishes out of the reserve, so that others wait for it.
    #[must_use]
    pub fn is_finishing(&self) -> bool {
        self.finisher.is_some()
    }

    /// The pool of the charge.
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
        self.account.add(self.pool.index, more);
        true
    }

    /// Takes so many bytes more, if they are free.
    pub(super) fn try_take(&mut self, more: usize) -> bool {
        if self.is_small && take(&self.pool.small, more) {
            self.small += more;
        } else if take(&self.pool.general, more) {
            self.general += more;
        } else {
            return false;
        }
        self.account.add(self.pool.index, more);
        true
    }

    /// Grows to that many bytes, if there is room now and a quarter of the general part stays free.
    pub fn try_grow_modestly(&mut self, bytes: usize) -> bool {
        let more = bytes.saturating_sub(self.bytes());
        self.pool.general.available_permits() >= more + self.pool.general_bytes / MODEST_FRACTION
            && self.try_grow(bytes)
    }

    /// Grows to that many bytes, waiting for `patience` at most. The charge that has waited longest may finish out of
    /// the reserve.
    ///
    /// # Errors
    /// [`Full`] when there was no room in time. The bytes that were charged before stay charged until the drop.
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
        self.account.add(self.pool.index, more);
        Ok(())
    }

    /// Grows to that many bytes out of the reserve, unless another charge finishes.
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

    /// Releases the part of the charge above `bytes`.
    pub fn shrink(&mut self, bytes: usize) {
        let mut over = self.bytes().saturating_sub(bytes);
        self.account.subtract(self.pool.index, over);
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
