//! How long to wait before something is tried again: twice as long after each failure, never the same for two callers,
//! and not less than the broker asks for.

use std::time::Duration;

/// After the first failure.
const FIRST: Duration = Duration::from_millis(50);

/// The longest, unless the broker asks for more.
const LONGEST: Duration = Duration::from_secs(5);

/// The wait after so many failures in a row (from 1 on).
pub fn delay(failures: u32, asked: Option<Duration>) -> Duration {
    let doubled = FIRST.saturating_mul(1 << failures.saturating_sub(1).min(16)).min(LONGEST);
    let jittered = doubled.mul_f64(rand::random_range(0.5..1.0));
    asked.map_or(jittered, |asked| jittered.max(asked + FIRST.mul_f64(rand::random_range(0.0..1.0))))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_grow_to_a_bound_and_respect_the_server() {
        for failures in [1, 2, 5, 100, u32::MAX] {
            let longest = FIRST * 2_u32.pow(failures.min(8) - 1);
            let wait = delay(failures, None);
            assert!(wait >= longest.min(LONGEST) / 2 && wait <= longest.min(LONGEST), "{failures}: {wait:?}");
        }
        let asked = Duration::from_secs(30);
        assert!(delay(1, Some(asked)) >= asked);
    }
}
