//! The reasons for which puts are refused, for clients, operators and the counter of refused records.
//!
//! The watch of [`crate::service::upkeep`] decides; puts only read its finding, without a lock.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use metrics::Counter;
use serde::{Deserialize, Serialize};
use tokio::time::Instant;

use crate::observability as names;
use crate::replication::{DiskTrouble, Groups};

/// How long records may wait for a log at its bound before they are refused: shorter than a put waits for its outcome,
/// so that its client learns that nothing was written.
const LOG_WAIT_MAX: Duration = Duration::from_secs(8);

/// Why puts are refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum PutRefusal {
    /// Less space is free than is reserved for the broker's own survival.
    SpaceLow {
        /// Bytes that are free.
        free: u64,
        /// Bytes that stay free.
        reserved: u64,
    },
    /// A write found no space at all.
    DiskFull,
    /// The write-ahead log has been at its bound for too long.
    LogAtBound,
    /// The clock cannot be right, so that records cannot be dated.
    WrongClock,
}

impl PutRefusal {
    /// The value of the metric's label `reason`.
    fn label(self) -> &'static str {
        match self {
            Self::SpaceLow { .. } => "disk_reserve",
            Self::DiskFull => "disk_full",
            Self::LogAtBound => "log_at_bound",
            Self::WrongClock => "clock",
        }
    }

    /// The broker's next step, or the operator's.
    fn next_step(self) -> &'static str {
        match self {
            Self::SpaceLow { .. } | Self::DiskFull => {
                "free some space, shorten the retention of streams or delete some; puts go on by themselves"
            }
            Self::LogAtBound => "puts go on by themselves when a checkpoint has freed some of the log",
            Self::WrongClock => "set the clock right, or accept it with `tidelog clock accept`",
        }
    }
}

impl fmt::Display for PutRefusal {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::SpaceLow { free, reserved } => write!(
                out,
                "the disk is almost full ({} MiB are free, and {} MiB stay free by --disk-reserve)",
                free >> 20,
                reserved >> 20
            ),
            Self::DiskFull => out.write_str("the disk is full"),
            Self::LogAtBound => out.write_str("the write-ahead log is at its bound"),
            Self::WrongClock => out.write_str("the clock cannot be right"),
        }
    }
}

/// The counters of refused records, by reason.
struct RefusedRecords {
    space_low: Counter,
    disk_full: Counter,
    log_at_bound: Counter,
    wrong_clock: Counter,
}

impl RefusedRecords {
    /// Handles of the recorder that is installed now.
    fn new() -> Self {
        let counter =
            |refusal: PutRefusal| metrics::counter!(names::REFUSED_RECORDS, "reason" => refusal.label());
        Self {
            space_low: counter(PutRefusal::SpaceLow { free: 0, reserved: 0 }),
            disk_full: counter(PutRefusal::DiskFull),
            log_at_bound: counter(PutRefusal::LogAtBound),
            wrong_clock: counter(PutRefusal::WrongClock),
        }
    }

    fn note(&self, refusal: PutRefusal, records: u64) {
        let counter = match refusal {
            PutRefusal::SpaceLow { .. } => &self.space_low,
            PutRefusal::DiskFull => &self.disk_full,
            PutRefusal::LogAtBound => &self.log_at_bound,
            PutRefusal::WrongClock => &self.wrong_clock,
        };
        counter.increment(records);
    }
}

/// The memory of the watch from one look to the next.
#[derive(Debug, Default)]
pub struct Watched {
    /// The label of the last refusal.
    refusal: Option<&'static str>,
    near_bound_since: Option<Instant>,
}

/// Decides whether records are taken: by the disk's free space, the bound of the log, and the clock.
pub struct PutGate {
    groups: Arc<Groups>,
    space_is_low: AtomicBool,
    /// Bytes free on the disk at the last look.
    free_bytes: AtomicU64,
    refused: RefusedRecords,
}

impl PutGate {
    /// A gate that is open until the first look.
    pub fn new(groups: Arc<Groups>) -> Self {
        Self {
            groups,
            space_is_low: AtomicBool::new(false),
            free_bytes: AtomicU64::new(0),
            refused: RefusedRecords::new(),
        }
    }

    /// Counts records that were refused.
    pub fn count(&self, refusal: PutRefusal, records: u64) {
        self.refused.note(refusal, records);
    }

    /// Whether less space is free than is reserved.
    pub fn is_space_low(&self) -> bool {
        self.space_is_low.load(Ordering::Relaxed)
    }

    /// Why puts are refused right now, if they are.
    pub fn refusal(&self) -> Option<PutRefusal> {
        if self.is_space_low() {
            let free = self.free_bytes.load(Ordering::Relaxed);
            return Some(PutRefusal::SpaceLow { free, reserved: self.groups.disk().reserved_bytes() });
        }
        let of_disk = self.groups.disk().trouble_of_puts().map(|trouble| match trouble {
            DiskTrouble::Full => PutRefusal::DiskFull,
            DiskTrouble::LogAtBound => PutRefusal::LogAtBound,
        });
        of_disk.or_else(|| self.groups.clock().is_unusable().then_some(PutRefusal::WrongClock))
    }

    fn watch_space(&self) {
        let reserved = self.groups.disk().reserved_bytes();
        metrics::gauge!(names::DISK_RESERVED_BYTES).set(reserved as f64);
        let Some(space) = self.groups.disk().space() else { return };
        let free = space.free_bytes;
        metrics::gauge!(names::DISK_TOTAL_BYTES).set(space.total_bytes as f64);
        metrics::gauge!(names::DISK_FREE_BYTES).set(free as f64);
        self.free_bytes.store(free, Ordering::Relaxed);
        self.space_is_low.store(free <= reserved, Ordering::Relaxed);
    }

    /// Decides whether puts are refused, and logs when that changes.
    pub fn watch(&self, watched: &mut Watched, now: Instant) {
        self.watch_space();
        let bound = self.groups.disk().log_bound();
        metrics::gauge!(names::WAL_LIVE_BYTES).set(bound.live_bytes() as f64);
        watched.near_bound_since = bound.is_near().then(|| watched.near_bound_since.unwrap_or(now));
        bound.refuse(watched.near_bound_since.is_some_and(|since| now.duration_since(since) >= LOG_WAIT_MAX));
        let refusal = self.refusal();
        metrics::gauge!(names::PUTS_REFUSED).set(f64::from(u8::from(refusal.is_some())));
        if refusal.map(PutRefusal::label) == watched.refusal {
            return;
        }
        watched.refusal = refusal.map(PutRefusal::label);
        match refusal {
            Some(refusal) => tracing::error!(
                live_log_bytes = bound.live_bytes(),
                log_bytes_max = bound.bytes_max(),
                "puts are refused, reads go on: {refusal}; {}",
                refusal.next_step()
            ),
            None => tracing::info!(live_log_bytes = bound.live_bytes(), "puts are taken again"),
        }
    }
}
