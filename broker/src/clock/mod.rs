//! Where the broker's time comes from. Code that decides by time is handed a `now`; only the shells hold a clock.
//!
//! A wall clock alone decides nothing that cannot be undone: [`cluster`] holds it against the clocks of the other
//! voters and against the time that has passed since the machine booted.

pub mod bounded;
pub mod cluster;
mod times;

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{SystemTime, UNIX_EPOCH};

pub use cluster::ClusterClock;

/// When this program was built, milliseconds since the epoch: no earlier time can be right. `build.rs` takes it from
/// SOURCE_DATE_EPOCH or from the newest commit, less a day.
pub const BUILT_MS: u64 = include!(concat!(env!("OUT_DIR"), "/built_ms.rs"));

/// The machine's clocks, or ones that a test turns by hand.
#[derive(Clone, Debug, Default)]
pub enum Clock {
    /// The machine's wall clock, which may jump when the machine's time is set, and its boot time, which never does.
    #[default]
    System,
    /// Milliseconds since the epoch; a change is time that passes, on the wall and since the boot.
    Manual(Arc<AtomicU64>),
    /// A wall clock that tests set, beside time that passes.
    Stepped(Arc<SteppedClock>),
}

/// The two clocks of a machine whose wall clock may be wrong.
#[derive(Debug, Default)]
pub struct SteppedClock {
    /// Milliseconds since the epoch, as far as the machine knows.
    pub wall_ms: AtomicU64,
    /// Milliseconds since the boot.
    pub boot_ms: AtomicU64,
    /// A wall clock before this cannot be right.
    pub earliest_ms: u64,
}

impl Clock {
    /// Milliseconds since the Unix epoch by the wall clock; 0 on a machine whose clock stands before it.
    pub fn wall_ms(&self) -> u64 {
        match self {
            Self::System => machine_time()
                .duration_since(UNIX_EPOCH)
                .map_or(0, |since| u64::try_from(since.as_millis()).unwrap_or(u64::MAX)),
            Self::Manual(now_ms) => now_ms.load(Ordering::Acquire),
            Self::Stepped(clock) => clock.wall_ms.load(Ordering::Acquire),
        }
    }

    /// Milliseconds since the machine booted, the time that it was suspended included. Never decreases.
    pub fn boot_ms(&self) -> u64 {
        match self {
            Self::System => system_boot_ms(),
            Self::Manual(now_ms) => now_ms.load(Ordering::Acquire),
            Self::Stepped(clock) => clock.boot_ms.load(Ordering::Acquire),
        }
    }

    /// A wall clock before this, in milliseconds since the epoch, cannot be right.
    pub fn earliest_ms(&self) -> u64 {
        match self {
            Self::System => BUILT_MS,
            Self::Manual(_) => 0,
            Self::Stepped(clock) => clock.earliest_ms,
        }
    }
}

/// The machine's wall clock, which dates certificates. Records, leases and limits go by a [`Clock`].
#[expect(clippy::disallowed_methods, reason = "the only place that reads the machine's wall clock")]
pub fn machine_time() -> SystemTime {
    SystemTime::now()
}

/// CLOCK_MONOTONIC stands still on Linux while the machine is suspended; on the other systems it goes on.
fn system_boot_ms() -> u64 {
    use rustix::time::{ClockId, clock_gettime};
    #[cfg(target_os = "linux")]
    let id = ClockId::Boottime;
    #[cfg(not(target_os = "linux"))]
    let id = ClockId::Monotonic;
    let time = clock_gettime(id);
    let part = |value: i64| u64::try_from(value).unwrap_or(0);
    part(time.tv_sec) * 1_000 + part(time.tv_nsec) / 1_000_000
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_manual_clock_stands_until_it_is_turned() {
        let turned = Arc::new(AtomicU64::new(5));
        let clock = Clock::Manual(turned.clone());
        assert_eq!((clock.wall_ms(), clock.boot_ms()), (5, 5));
        turned.store(9, Ordering::Release);
        assert_eq!((clock.wall_ms(), clock.boot_ms()), (9, 9));
    }

    #[test]
    fn the_system_clock_is_not_before_the_build() {
        const YEAR_2020_MS: u64 = 1_577_836_800_000;
        assert!(BUILT_MS > YEAR_2020_MS && Clock::System.wall_ms() >= BUILT_MS);
        let first = Clock::System.boot_ms();
        assert!(first > 0 && Clock::System.boot_ms() >= first);
    }
}
