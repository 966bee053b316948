//! Where the broker's time comes from. Whoever decides by time is handed a `now`; only the shells hold a clock.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{SystemTime, UNIX_EPOCH};

/// The machine's clock, or one that a test turns by hand.
#[derive(Clone, Debug, Default)]
pub enum Clock {
    /// The machine's wall clock; it may jump when the machine's time is set.
    #[default]
    System,
    /// Milliseconds since the epoch, as last stored by whoever turns it.
    Manual(Arc<AtomicU64>),
}

impl Clock {
    /// Milliseconds since the Unix epoch; 0 on a machine whose clock stands before it.
    pub fn now_ms(&self) -> u64 {
        match self {
            Self::System => SystemTime::now()
                .duration_since(UNIX_EPOCH)
                .map_or(0, |since| u64::try_from(since.as_millis()).unwrap_or(u64::MAX)),
            Self::Manual(now_ms) => now_ms.load(Ordering::Acquire),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_manual_clock_stands_until_it_is_turned() {
        let turned = Arc::new(AtomicU64::new(5));
        let clock = Clock::Manual(turned.clone());
        assert_eq!(clock.now_ms(), 5);
        turned.store(9, Ordering::Release);
        assert_eq!(clock.now_ms(), 9);
    }

    #[test]
    fn the_system_clock_is_past_2020() {
        assert!(Clock::System.now_ms() > 1_577_836_800_000);
    }
}
