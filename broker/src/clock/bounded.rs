//! Two pure rules about clocks that may be wrong: how fast a kept time follows them, and which of several counts.

/// The greatest pace of a kept time that follows a clock, as a multiple of the time that passes. A clock that is ahead
/// for an hour costs at most one more hour; a time that was an hour behind has caught up after an hour.
pub const PACE: u64 = 2;

/// A kept time after `elapsed_ms` have passed: it moves to `clock_ms`, at most [`PACE`] times as far as time has
/// passed.
pub fn follow(kept_ms: u64, clock_ms: u64, elapsed_ms: u64) -> u64 {
    let most_ms = elapsed_ms.saturating_mul(PACE);
    clock_ms.clamp(kept_ms.saturating_sub(most_ms), kept_ms.saturating_add(most_ms))
}

/// The median of clocks, the lower one of two in the middle: one wrong clock of three moves it neither way, and of two
/// the one that is behind counts. `None` without clocks.
pub fn median(mut clocks_ms: Vec<u64>) -> Option<u64> {
    clocks_ms.sort_unstable();
    clocks_ms.get(clocks_ms.len().checked_sub(1)? / 2).copied()
}

/// A stretch of time in words, such as "2 days 3 h" or "4 min 5 s".
pub fn words(ms: u64) -> String {
    let seconds = ms / 1_000;
    let (days, hours, minutes) = (seconds / 86_400, seconds / 3_600 % 24, seconds / 60 % 60);
    match (days, hours, minutes) {
        (0, 0, 0) => format!("{seconds} s"),
        (0, 0, _) => format!("{minutes} min {} s", seconds % 60),
        (0, ..) => format!("{hours} h {minutes} min"),
        _ => format!("{days} days {hours} h"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HOUR_MS: u64 = 3_600_000;

    #[test]
    fn a_kept_time_follows_at_twice_the_pace_of_time_at_most() {
        let now = 1_700_000_000_000;
        for (clock_ms, elapsed_ms, expected) in [
            (now + 500, 500, now + 500),
            (now + 48 * HOUR_MS, 500, now + 1_000),
            (now - 48 * HOUR_MS, 500, now - 1_000),
            (now + 48 * HOUR_MS, 0, now),
            // Suspended for ten hours: the time since the boot has passed as well.
            (now + 10 * HOUR_MS, 10 * HOUR_MS, now + 10 * HOUR_MS),
            (0, u64::MAX, 0),
            (u64::MAX, u64::MAX, u64::MAX),
        ] {
            assert_eq!(follow(now, clock_ms, elapsed_ms), expected, "{clock_ms} after {elapsed_ms}");
        }
        assert_eq!(follow(1_000, 0, 5_000), 0);
    }

    #[test]
    fn the_median_is_the_lower_of_two() {
        for (clocks, expected) in [
            (vec![], None),
            (vec![7], Some(7)),
            (vec![9, 5], Some(5)),
            (vec![0, 100, 101], Some(100)),
            (vec![100, 101, 90_000], Some(101)),
            (vec![4, 3, 2, 1], Some(2)),
        ] {
            assert_eq!(median(clocks.clone()), expected, "{clocks:?}");
        }
    }

    #[test]
    fn stretches_of_time_are_worded_in_two_units() {
        for (ms, expected) in [
            (999, "0 s"),
            (59_000, "59 s"),
            (61_000, "1 min 1 s"),
            (2 * HOUR_MS, "2 h 0 min"),
            (51 * HOUR_MS, "2 days 3 h"),
        ] {
            assert_eq!(words(ms), expected);
        }
    }
}
