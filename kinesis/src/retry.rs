//! How long to wait before a call is made again.

use std::time::{Duration, Instant};

/// Waits that double, each drawn at random below its bound, until the patience is at its end.
#[derive(Clone, Debug)]
pub struct Backoff {
    bound: Duration,
    end: Instant,
}

impl Backoff {
    /// Bound of the first wait.
    const FIRST: Duration = Duration::from_millis(100);
    /// Bound of every wait.
    const MAX: Duration = Duration::from_secs(2);

    /// Gives up once `patience` has passed from now.
    #[must_use]
    pub fn new(patience: Duration) -> Self {
        Self { bound: Self::FIRST, end: Instant::now() + patience }
    }

    /// The next wait; `None` when it would go past the end.
    pub fn wait(&mut self) -> Option<Duration> {
        // At least half of the bound, so that a crowd is spread and yet none comes back at once.
        let wait = self.bound.mul_f64(rand::random_range(0.5..1.0));
        self.bound = (self.bound * 2).min(Self::MAX);
        (Instant::now() + wait < self.end).then_some(wait)
    }

    /// Starts the waits over, as after something that went well; the end stays.
    pub fn calm(&mut self) {
        self.bound = Self::FIRST;
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
