//! How fast a client has to send a body or take an answer while others wait for the memory of its class.

use std::time::Duration;

use tokio::time::Instant;

use crate::room::Charge;

/// Counts the bytes that a client sends or takes, by windows of time.
#[derive(Debug)]
pub(super) struct Pace {
    window: Duration,
    /// When the present window ends.
    pub(super) ends: Instant,
    /// Bytes that have passed in it.
    bytes: usize,
}

/// Bytes per second at least, for an answer with a part of a room that is more than half taken.
const PACE_MIN: usize = 16 << 10;
/// Bytes per second at least of the one that finishes out of the reserve, which counts over a fifth of the time.
const FINISHER_PACE_MIN: usize = 1 << 20;
const FINISHER_FRACTION: u32 = 5;

impl Pace {
    /// Begins with a window of that length.
    pub(super) fn begin(now: Instant, window: Duration) -> Self {
        Self { window, ends: now + window, bytes: 0 }
    }

    /// Begins a new window after a wait for room, which was not the client's doing.
    pub(super) fn begin_anew(&mut self, charge: &Charge) {
        (self.ends, self.bytes) = (Instant::now() + self.length(charge), 0);
    }

    fn length(&self, charge: &Charge) -> Duration {
        if charge.is_finishing() { self.window / FINISHER_FRACTION } else { self.window }
    }

    /// Counts bytes that have come; false when too few came in the window that is over.
    pub(super) fn takes(&mut self, bytes: usize, charge: &Charge) -> bool {
        self.bytes += bytes;
        charge.bytes() == 0 || Instant::now() < self.ends || self.goes_on(charge)
    }

    /// At the end of a window in which this many bytes passed: whether that is enough for another one.
    pub(super) fn goes_on_after(&mut self, bytes: usize, charge: &Charge) -> bool {
        self.bytes = bytes;
        self.goes_on(charge)
    }

    /// At the end of a window: whether enough has come for another one.
    pub(super) fn goes_on(&mut self, charge: &Charge) -> bool {
        let per_second = match charge.bytes() {
            0 => 0,
            _ if charge.is_finishing() => FINISHER_PACE_MIN,
            _ if charge.pool().is_busy() => PACE_MIN,
            _ => 0,
        };
        let goes_on = self.bytes as f64 >= per_second as f64 * self.length(charge).as_secs_f64();
        self.begin_anew(charge);
        goes_on
    }
}
