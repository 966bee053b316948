//! Pure parts of the watch over leases: the history of a table as it was seen, and the decision whether its application
//! may be changed.

use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

use tidelog_tables::lease::{Lease, Lock};
use tokio::time::Instant;

use super::{ApplicationError, RENEWALS_PER_FAILOVER};

/// Changes of owners that are remembered of one application.
const MOVES_MAX: usize = 1_000;
/// For how long they are.
const MOVES_KEPT: Duration = Duration::from_secs(60);
/// Times between renewals that are remembered of one lease. The longest counts, because a checkpoint between two
/// renewals moves the counter too.
const INTERVALS_KEPT: usize = 3;
/// The longest time that counts as one between two renewals. After a longer one the worker was stopped in between.
const INTERVAL_MAX_MS: u64 = 100_000;

/// A value, and since when it has not changed as far as was seen.
#[derive(Clone, Debug)]
struct Seen<T> {
    value: T,
    since: Instant,
    has_moved: bool,
}

impl<T: PartialEq> Seen<T> {
    fn first(value: T, now: Instant) -> Self {
        Self { value, since: now, has_moved: false }
    }

    /// Takes note of the present value; true when it is another one.
    fn see(&mut self, value: T, now: Instant) -> bool {
        if self.value == value {
            return false;
        }
        *self = Self { value, since: now, has_moved: true };
        true
    }

    fn still_ms(&self, now: Instant) -> u64 {
        millis(now.saturating_duration_since(self.since))
    }
}

fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

#[derive(Clone, Debug)]
struct WatchedLease {
    counter: Seen<String>,
    checkpoint: Seen<(Box<str>, u64)>,
    owner: Option<Box<str>>,
    /// Times between the last moves of the counter by one owner.
    intervals: VecDeque<u64>,
}

impl WatchedLease {
    fn first(lease: &Lease, now: Instant) -> Self {
        Self {
            counter: Seen::first(lease.counter.clone(), now),
            checkpoint: Seen::first((lease.checkpoint.clone(), lease.sub_sequence_number), now),
            owner: lease.owner.clone(),
            intervals: VecDeque::with_capacity(INTERVALS_KEPT),
        }
    }

    /// Takes note of the lease as it is now; true when it went from one worker to another.
    fn see(&mut self, lease: &Lease, now: Instant) -> bool {
        let before = self.counter.has_moved.then(|| self.counter.still_ms(now));
        let has_moved = self.counter.see(lease.counter.clone(), now);
        self.checkpoint.see((lease.checkpoint.clone(), lease.sub_sequence_number), now);
        let is_same_owner = lease.owner == self.owner;
        let went_over = lease.owner.is_some() && self.owner.is_some() && !is_same_owner;
        self.owner = lease.owner.clone();
        match before {
            Some(interval) if has_moved && is_same_owner && interval <= INTERVAL_MAX_MS => {
                self.intervals.truncate(INTERVALS_KEPT - 1);
                self.intervals.push_front(interval);
            }
            _ if has_moved || !is_same_owner => self.intervals.clear(),
            _ => {}
        }
        went_over
    }
}

/// The watch over one table.
#[derive(Clone, Debug)]
pub(super) struct WatchedTable {
    since: Instant,
    leases: BTreeMap<Box<str>, WatchedLease>,
    /// When leases went from one worker to another.
    moves: VecDeque<Instant>,
    lock: Option<Seen<Lock>>,
}

impl WatchedTable {
    pub(super) fn new(now: Instant) -> Self {
        Self { since: now, leases: BTreeMap::new(), moves: VecDeque::new(), lock: None }
    }

    pub(super) fn look(&mut self, leases: &[Lease], lock: Option<Lock>, now: Instant) {
        let mut before = std::mem::take(&mut self.leases);
        for lease in leases {
            let watched = match before.remove(&lease.key) {
                None => WatchedLease::first(lease, now),
                Some(mut watched) => {
                    if watched.see(lease, now) {
                        self.moves.push_back(now);
                    }
                    watched
                }
            };
            self.leases.insert(lease.key.clone(), watched);
        }
        self.moves.drain(..self.moves.len().saturating_sub(MOVES_MAX));
        self.lock = match (self.lock.take(), lock) {
            (Some(mut seen), Some(lock)) => {
                seen.see(lock, now);
                Some(seen)
            }
            (_, lock) => lock.map(|lock| Seen::first(lock, now)),
        };
    }

    pub(super) fn report(&self, now: Instant) -> WatchReport {
        let report = |watched: &WatchedLease| {
            let still_ms = watched.counter.still_ms(now);
            LeaseReport {
                counter: watched.counter.value.clone(),
                still_ms,
                moved_ms: watched.counter.has_moved.then_some(still_ms),
                checkpoint_still_ms: watched.checkpoint.still_ms(now),
                interval_ms: watched.intervals.iter().max().copied(),
            }
        };
        let leases = self.leases.iter().map(|(key, watched)| (key.clone(), report(watched)));
        let is_recent = |at: &&Instant| now.saturating_duration_since(**at) < MOVES_KEPT;
        WatchReport {
            watched_ms: millis(now.saturating_duration_since(self.since)),
            leases: leases.collect(),
            owner_moves: self.moves.iter().filter(is_recent).count() as u64,
            lock_still_ms: self.lock.as_ref().map(|lock| lock.still_ms(now)),
        }
    }
}

/// The leader's report of one lease.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct LeaseReport {
    /// The counter at the last look.
    pub counter: String,
    /// Milliseconds for which it has been seen not to move.
    pub still_ms: u64,
    /// Milliseconds since it was seen to move, if it was.
    pub moved_ms: Option<u64>,
    /// Milliseconds for which the checkpoint has been seen not to move.
    pub checkpoint_still_ms: u64,
    /// The longest of the last times between two moves of the counter by its present owner, in milliseconds.
    pub interval_ms: Option<u64>,
}

/// The leader's report of an application.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct WatchReport {
    /// Milliseconds for which the table is watched.
    pub watched_ms: u64,
    /// The leases by key.
    pub leases: BTreeMap<Box<str>, LeaseReport>,
    /// Leases that went from one worker to another in the last minute.
    pub owner_moves: u64,
    /// Milliseconds for which the lock was not renewed.
    pub lock_still_ms: Option<u64>,
}

impl WatchReport {
    /// The failover time of the workers that have these leases, by the renewals that were seen.
    pub(super) fn failover_ms<'l>(&self, leases: impl IntoIterator<Item = &'l Lease>) -> Option<u64> {
        let intervals = leases.into_iter().filter_map(|lease| self.leases.get(&lease.key)?.interval_ms);
        Some(intervals.max()?.saturating_mul(RENEWALS_PER_FAILOVER))
    }
}

/// The answer to a question about the watch.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Watched {
    /// The leader watches the table.
    Report(WatchReport),
    /// The leader watches, and not this table: it is too large, or new.
    TooLarge,
    /// The leader cannot be asked.
    NoLeader,
}

/// Refuses a change of an application that may run, by the leader's report.
///
/// # Errors
/// [`ApplicationError`]: running, not known yet, or not to be known.
pub(super) fn check_quiet(
    leases: &[Lease],
    watched: &Watched,
    quiet: Duration,
) -> Result<(), ApplicationError> {
    let report = match watched {
        Watched::Report(report) => report,
        Watched::TooLarge => return Err(ApplicationError::NotWatched),
        Watched::NoLeader => return Err(ApplicationError::NoLeader),
    };
    // An application that renews rarely has to be quiet for longer.
    let quiet = quiet.max(Duration::from_millis(report.failover_ms(leases).unwrap_or(0)));
    let quiet_s = quiet.as_secs().max(1);
    let running = |lease: &Lease, moved_ms| ApplicationError::Running {
        lease: lease.key.to_string(),
        worker: lease.owner.as_deref().map(str::to_owned),
        moved_ms,
        quiet_s,
    };
    let mut watched_ms = report.watched_ms;
    for lease in leases {
        match report.leases.get(&lease.key) {
            // Moved since the last look.
            Some(seen) if seen.counter != lease.counter => return Err(running(lease, 0)),
            Some(seen) => {
                if let Some(moved_ms) = seen.moved_ms.filter(|moved_ms| *moved_ms < millis(quiet)) {
                    return Err(running(lease, moved_ms));
                }
                watched_ms = watched_ms.min(seen.still_ms);
            }
            None => watched_ms = 0,
        }
    }
    if watched_ms < millis(quiet) {
        return Err(ApplicationError::NotKnownYet { watched_ms, quiet_s });
    }
    Ok(())
}

#[cfg(test)]
mod tests;
