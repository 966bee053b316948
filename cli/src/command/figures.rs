//! Numbers, sizes and spans as people read them.

use std::time::Duration;

/// With a comma between thousands.
pub(super) fn count(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::with_capacity(digits.len() + digits.len() / 3);
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// In B, KiB, MiB and so on, with one digit behind the point.
pub(super) fn bytes(number: u64) -> String {
    let mut value = number as f64;
    for unit in ["B", "KiB", "MiB", "GiB"] {
        if value < 1023.95 {
            return if unit == "B" { format!("{number} B") } else { format!("{value:.1} {unit}") };
        }
        value /= 1024.0;
    }
    format!("{value:.1} TiB")
}

/// `1 line`, `2 lines`.
pub(super) fn of(number: u64, noun: &str) -> String {
    let plural = if number == 1 { "" } else { "s" };
    format!("{} {noun}{plural}", count(number))
}

/// Something a second; one digit behind the point where it is small.
pub(super) fn per_second(number: u64, span: Duration) -> String {
    let rate = number as f64 / span.as_secs_f64().max(0.001);
    if rate < 10.0 && rate > 0.0 { format!("{rate:.1}") } else { count(rate.round() as u64) }
}

/// Hours, and days where they are whole.
pub(super) fn hours(number: u32) -> String {
    let whole = number.is_multiple_of(24) && number > 24;
    if whole { format!("{number} h ({} days)", number / 24) } else { format!("{number} h") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn figures_are_easy_to_read() {
        assert_eq!([0, 999, 1000, 1_234_567].map(count), ["0", "999", "1,000", "1,234,567"]);
        assert_eq!(
            [0, 1023, 1024, 1_048_576, 1_048_575, 10 << 30, 5 << 40].map(bytes),
            ["0 B", "1023 B", "1.0 KiB", "1.0 MiB", "1.0 MiB", "10.0 GiB", "5.0 TiB"]
        );
        assert_eq!([of(1, "line"), of(0, "line")], ["1 line", "0 lines"]);
        assert_eq!(per_second(5, Duration::from_secs(2)), "2.5");
        assert_eq!(per_second(5000, Duration::from_secs(2)), "2,500");
        assert_eq!([hours(24), hours(25), hours(168)], ["24 h", "25 h", "168 h (7 days)"]);
    }
}
