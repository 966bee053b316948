//! The pace of `put --rate`: a bucket of records that fills with time.

use std::time::Duration;

use tokio::time::Instant;

/// How long a pause may be that is made up for at once.
const BURST: Duration = Duration::from_millis(100);

/// The rate at which records are taken from the input.
#[derive(Debug)]
pub(in crate::command) struct Pace {
    per_second: f64,
    /// Records that may be taken now; below 0 where one was taken ahead.
    room: f64,
    at: Instant,
}

impl Pace {
    /// Begins at that rate.
    pub(super) fn new(rate: Rate, now: Instant) -> Self {
        Self { per_second: rate.0 as f64 / 1000.0, room: 1.0, at: now }
    }

    /// How many records may be taken now.
    pub(super) fn allowance(&mut self, now: Instant) -> usize {
        let gained = now.saturating_duration_since(self.at).as_secs_f64() * self.per_second;
        let most = (self.per_second * BURST.as_secs_f64()).max(1.0);
        self.room = (self.room + gained).min(most);
        self.at = now;
        self.room.max(0.0) as usize
    }

    /// So many were taken.
    pub(super) fn take(&mut self, records: usize) {
        self.room -= records as f64;
    }

    /// When the next may be taken.
    pub(super) fn next(&self) -> Instant {
        self.at + Duration::from_secs_f64((1.0 - self.room).max(0.0) / self.per_second)
    }
}

/// A rate of the command line, in thousandths of a record a second; above 0.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Rate(u64);

/// Reads a rate: records a second.
pub(super) fn rate(text: &str) -> Result<Rate, String> {
    let number = text.strip_suffix("/s").unwrap_or(text).parse::<f64>().ok();
    let number = number.filter(|number| (0.001..=1e9).contains(number));
    let thousandths = number.map(|number| Rate((number * 1000.0).round() as u64));
    thousandths.ok_or_else(|| format!("`{text}` is no rate: write records a second, such as 100 or 0.5"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn records_are_taken_at_the_rate_and_a_pause_makes_no_burst() {
        let mut now = Instant::now();
        let mut pace = Pace::new(rate("100").expect("a rate"), now);
        let mut taken = 0;
        for _ in 0..1000 {
            let allowed = pace.allowance(now);
            pace.take(allowed);
            taken += allowed;
            now += Duration::from_millis(1);
        }
        assert!((99..=102).contains(&taken), "{taken} in a second");
        assert_eq!(pace.allowance(now + Duration::from_secs(3600)), 10);
        pace.take(10);
        assert_eq!(pace.next(), now + Duration::from_secs(3600) + Duration::from_millis(10));
        assert_eq!([rate("100"), rate("0.5/s")], [Ok(Rate(100_000)), Ok(Rate(500))]);
        for wrong in ["0", "-1", "x", "nan", "inf", "1e10"] {
            assert!(rate(wrong).is_err(), "{wrong}");
        }
    }
}
