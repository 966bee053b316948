//! Instants in the words of Java's `Date.toString`, which AWS's texts carry: `Thu Jul 02 12:57:57 UTC 2015`.

const WEEKDAYS: [&str; 7] = ["Thu", "Fri", "Sat", "Sun", "Mon", "Tue", "Wed"];
const MONTHS: [&str; 12] =
    ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];

/// Writes milliseconds since the epoch in UTC.
pub fn format(time_ms: u64) -> String {
    let seconds = time_ms / 1_000;
    let (days, second) = (seconds / 86_400, seconds % 86_400);
    let weekday = WEEKDAYS[(days % 7) as usize];
    let (year, month, day) = date(days);
    let (hour, minute, second) = (second / 3_600, second / 60 % 60, second % 60);
    format!("{weekday} {} {day:02} {hour:02}:{minute:02}:{second:02} UTC {year}", MONTHS[month])
}

/// Year, month from 0 and day from 1 of a day counted from 1970-01-01. Whole cycles of 400 years first, so that
/// the walk over years is short for any input.
fn date(days: u64) -> (u64, usize, u64) {
    const CYCLE_DAYS: u64 = 146_097;
    let (mut year, mut rest) = (1970 + days / CYCLE_DAYS * 400, days % CYCLE_DAYS);
    while rest >= year_days(year) {
        rest -= year_days(year);
        year += 1;
    }
    let mut month = 0;
    while rest >= month_days(year, month) {
        rest -= month_days(year, month);
        month += 1;
    }
    (year, month, rest + 1)
}

fn is_leap(year: u64) -> bool {
    year.is_multiple_of(4) && (!year.is_multiple_of(100) || year.is_multiple_of(400))
}

fn year_days(year: u64) -> u64 {
    365 + u64::from(is_leap(year))
}

fn month_days(year: u64, month: usize) -> u64 {
    match month {
        1 => 28 + u64::from(is_leap(year)),
        3 | 5 | 8 | 10 => 30,
        _ => 31,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn instants_are_written_as_java_does() {
        for (seconds, expected) in [
            (0, "Thu Jan 01 00:00:00 UTC 1970"),
            (951_782_400, "Tue Feb 29 00:00:00 UTC 2000"),
            (1_435_841_877, "Thu Jul 02 12:57:57 UTC 2015"),
            (1_767_225_599, "Wed Dec 31 23:59:59 UTC 2025"),
            (4_107_542_400, "Mon Mar 01 00:00:00 UTC 2100"),
        ] {
            assert_eq!(format(seconds * 1_000 + 999), expected);
        }
    }

    #[test]
    fn no_instant_is_too_late() {
        assert!(format(u64::MAX).contains("UTC"));
    }
}
