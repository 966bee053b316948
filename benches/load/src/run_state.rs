//! The state that all producers of a run share: its schedule, and whether it is to go on.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, OnceLock};
use std::time::{Duration, Instant};

use super::schedule::Schedule;
use super::tally::{Tally, Window};

/// A run ends when nothing was acknowledged or throttled for so long and something fails.
pub const UNANSWERED_MAX: Duration = Duration::from_secs(5);

/// A run while it lasts.
#[derive(Debug)]
pub struct RunState {
    /// The times of the run.
    pub window: Window,
    /// When requests are due.
    pub schedule: Arc<Schedule>,
    /// One for each thread of producers, and one for the consumers.
    pub tallies: Vec<Arc<Mutex<Tally>>>,
    /// Records that may still be kept for verification.
    room: AtomicU64,
    is_kept: AtomicBool,
    /// Nanoseconds since the beginning.
    answered: AtomicU64,
    cut_short: OnceLock<String>,
}

impl RunState {
    /// A run of these times, whose records are kept for verification up to a number; none for 0.
    pub fn new(window: Window, schedule: Arc<Schedule>, tallies: usize, kept_max: u64) -> Self {
        Self {
            window,
            schedule,
            tallies: (0..tallies).map(|_| Arc::new(Mutex::new(Tally::new(window)))).collect(),
            room: AtomicU64::new(kept_max),
            is_kept: AtomicBool::new(kept_max > 0),
            answered: AtomicU64::new(0),
            cut_short: OnceLock::new(),
        }
    }

    /// Whether the answers of so many more records are kept. Once they are not, verification is off for the whole run.
    pub fn keeps(&self, records: u64) -> bool {
        if !self.is_kept.load(Ordering::Relaxed) {
            return false;
        }
        let room =
            self.room.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |room| room.checked_sub(records));
        if room.is_err() {
            self.is_kept.store(false, Ordering::Relaxed);
        }
        room.is_ok()
    }

    /// Whether everything that was sent was kept.
    pub fn is_kept(&self) -> bool {
        self.is_kept.load(Ordering::Relaxed)
    }

    /// The endpoint does its work.
    pub fn alive(&self, now: Instant) {
        self.answered.fetch_max(self.window.ns(now), Ordering::Relaxed);
    }

    /// Something failed: ends the run when nothing has worked for a while.
    pub fn failing(&self, now: Instant, reason: &str) {
        let silent = self.window.ns(now).saturating_sub(self.answered.load(Ordering::Relaxed));
        if Duration::from_nanos(silent) > UNANSWERED_MAX {
            self.cut_short(&format!("nothing was acknowledged for {} s: {reason}", UNANSWERED_MAX.as_secs()));
        }
    }

    /// Ends the run; the first reason counts.
    pub fn cut_short(&self, reason: &str) {
        let _ = self.cut_short.set(reason.to_owned());
        self.schedule.stop();
    }

    /// Why it ended early.
    pub fn reason(&self) -> Option<&str> {
        self.cut_short.get().map(String::as_str)
    }
}
