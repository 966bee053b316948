//! How long to wait before a call is made again.

use std::time::{Duration, Instant};

/// The wait after so many failures in a row, from 1 on: at random between half of a bound and the bound, so that a
/// crowd is spread and yet none comes back at once. The bound is `first`, doubled with each further failure up to
/// `longest`.
#[must_use]
pub fn wait_after(failures: u32, first: Duration, longest: Duration) -> Duration {
    let bound = first.saturating_mul(1 << failures.saturating_sub(1).min(16)).min(longest);
    bound.mul_f64(rand::random_range(0.5..1.0))
}

/// Waits that double, each drawn at random below its bound, until the patience is at its end.
#[derive(Clone, Debug)]
pub struct Backoff {
    failures: u32,
    end: Instant,
}

impl Backoff {
    /// Bound of the first wait.
    const FIRST: Duration = Duration::from_millis(100);
    /// Bound of every wait.
    const MAX: Duration = Duration::from_secs(2);

    /// Bounds all retries by `patience` from now.
    #[must_use]
    pub fn new(patience: Duration) -> Self {
        Self { failures: 0, end: Instant::now() + patience }
    }

    /// The next wait; `None` when it would go past the end.
    pub fn wait(&mut self) -> Option<Duration> {
        self.failures = self.failures.saturating_add(1);
        let wait = wait_after(self.failures, Self::FIRST, Self::MAX);
        (Instant::now() + wait < self.end).then_some(wait)
    }

    /// Starts the waits over, as after something that went well; the end stays.
    pub fn calm(&mut self) {
        self.failures = 0;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_grow_to_a_bound_and_end_with_the_patience() {
        let mut backoff = Backoff::new(Duration::from_secs(3600));
        let waits: Vec<_> = (0..8).map(|_| backoff.wait().expect("patience")).collect();
        for (index, wait) in waits.iter().enumerate() {
            let bound = Duration::from_millis(100 << index).min(Duration::from_secs(2));
            assert!(*wait >= bound / 2 && *wait <= bound, "{index}: {wait:?}");
        }
        backoff.calm();
        assert!(backoff.wait().expect("patience") <= Duration::from_millis(100));
        assert_eq!(Backoff::new(Duration::ZERO).wait(), None);
    }
}
