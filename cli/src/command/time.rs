//! Spans and points in time as people write and read them.

use std::time::Duration;

use jiff::civil::DateTime;
use jiff::tz::TimeZone;

use tidelog_kinesis::Timestamp;
use tidelog_kinesis::operations::StartingPosition;

/// Numbers from here on are seconds since 1970, below they would be of the seventies.
const EPOCH_SECONDS_MIN: f64 = 1e8;

/// Where reading begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Beginning {
    /// At the oldest record.
    Trim,
    /// After the newest.
    Latest,
    /// A span of time before now.
    Ago(Duration),
    /// At that time.
    At(Timestamp),
}

impl Beginning {
    /// Reads a beginning from the command line.
    pub(super) fn parse(text: &str) -> Result<Self, String> {
        let wrong = || {
            format!(
                "`{text}` is none of: a span such as 10m or 2h30m, trim (the oldest record), latest, a time such as \
                 2026-03-01T12:00:00Z or 2026-03-01 12:00 (local), or seconds since 1970"
            )
        };
        match text.to_ascii_lowercase().as_str() {
            "trim" | "trim_horizon" | "oldest" => return Ok(Self::Trim),
            "latest" | "now" => return Ok(Self::Latest),
            _ => {}
        }
        if let Ok(span) = span(text) {
            return Ok(Self::Ago(span));
        }
        if let Ok(time) = text.parse::<jiff::Timestamp>() {
            return Ok(Self::At(Timestamp(time.as_millisecond())));
        }
        if let Ok(seconds) = text.parse::<f64>() {
            let is_time = (EPOCH_SECONDS_MIN..1e11).contains(&seconds);
            return if is_time {
                Ok(Self::At(Timestamp((seconds * 1000.0).round() as i64)))
            } else {
                Err(wrong())
            };
        }
        let local = text.parse::<DateTime>().map_err(|_| wrong())?;
        let zoned = local.to_zoned_datetime(TimeZone::system()).map_err(|_| wrong())?;
        Ok(Self::At(Timestamp(zoned.timestamp().as_millisecond())))
    }

    /// The place in every shard; `Err` for a time that is still to come.
    pub(super) fn position(self, now: jiff::Timestamp) -> Result<StartingPosition, String> {
        let now = now.as_millisecond();
        let time = match self {
            Self::Trim => return Ok(StartingPosition::TrimHorizon),
            Self::Latest => return Ok(StartingPosition::Latest),
            Self::Ago(span) => now.saturating_sub(i64::try_from(span.as_millis()).unwrap_or(i64::MAX)).max(0),
            Self::At(Timestamp(time)) => time,
        };
        if time > now {
            return Err(format!("{} is still to come", written(Timestamp(time))));
        }
        Ok(StartingPosition::AtTimestamp { time: Timestamp(time) })
    }

    /// The time at which reading ends, which may be still to come.
    pub(super) fn end(self, now: jiff::Timestamp) -> Result<Timestamp, String> {
        let now = now.as_millisecond();
        match self {
            Self::Trim => Err("reading cannot end at the oldest record: give a span or a time".into()),
            Self::Latest => Ok(Timestamp(now)),
            Self::Ago(span) => {
                Ok(Timestamp(now.saturating_sub(i64::try_from(span.as_millis()).unwrap_or(i64::MAX)).max(0)))
            }
            Self::At(time) => Ok(time),
        }
    }
}

/// A span such as `90s`, `10m`, `2h30m` or `7d`.
pub(super) fn span(text: &str) -> Result<Duration, String> {
    let wrong = || format!("`{text}` is no span: write such as 90s, 10m, 2h30m or 7d");
    let mut seconds: u64 = 0;
    let mut digits = String::new();
    for letter in text.chars() {
        if letter.is_ascii_digit() {
            digits.push(letter);
            continue;
        }
        let unit = match letter {
            's' => 1,
            'm' => 60,
            'h' => 3600,
            'd' => 86_400,
            _ => return Err(wrong()),
        };
        let number: u64 = digits.parse().map_err(|_| wrong())?;
        seconds = number.checked_mul(unit).and_then(|part| seconds.checked_add(part)).ok_or_else(wrong)?;
        digits.clear();
    }
    if text.is_empty() || !digits.is_empty() {
        return Err(wrong());
    }
    Ok(Duration::from_secs(seconds))
}

/// A span as people read it: its largest unit, with a digit behind the point where it is small.
pub(super) fn lasting(span: Duration) -> String {
    let seconds = span.as_secs_f64();
    if span.as_millis() < 1000 {
        return format!("{} ms", span.as_millis());
    }
    let (number, unit) = match seconds {
        ..120.0 => (seconds, "s"),
        ..7200.0 => (seconds / 60.0, "min"),
        ..172_800.0 => (seconds / 3600.0, "h"),
        _ => (seconds / 86_400.0, "days"),
    };
    if number < 10.0 && number.fract() >= 0.05 {
        format!("{number:.1} {unit}")
    } else {
        format!("{number:.0} {unit}")
    }
}

/// In UTC, with milliseconds.
pub(super) fn written(time: Timestamp) -> String {
    match jiff::Timestamp::from_millisecond(time.0) {
        Ok(time) => time.strftime("%Y-%m-%dT%H:%M:%S.%3fZ").to_string(),
        Err(_) => format!("{} ms since 1970", time.0),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn beginnings_are_read_in_each_of_their_forms() {
        let at = |milliseconds| Ok(Beginning::At(Timestamp(milliseconds)));
        let cases = [
            ("trim", Ok(Beginning::Trim)),
            ("TRIM_HORIZON", Ok(Beginning::Trim)),
            ("latest", Ok(Beginning::Latest)),
            ("10m", Ok(Beginning::Ago(Duration::from_secs(600)))),
            ("2h30m", Ok(Beginning::Ago(Duration::from_secs(9000)))),
            ("1d", Ok(Beginning::Ago(Duration::from_secs(86_400)))),
            ("2026-03-01T12:00:00Z", at(1_772_366_400_000)),
            ("2026-03-01T13:00:00.5+01:00", at(1_772_366_400_500)),
            ("1772366400", at(1_772_366_400_000)),
            ("1772366400.25", at(1_772_366_400_250)),
        ];
        for (text, expected) in cases {
            assert_eq!(Beginning::parse(text), expected, "{text}");
        }
        assert!(matches!(Beginning::parse("2026-03-01 12:00"), Ok(Beginning::At(_))));
        assert!(matches!(Beginning::parse("2026-03-01"), Ok(Beginning::At(_))));
        for wrong in
            ["", "10", "10x", "m", "-5m", "yesterday", "2026-13-01", "99999999999999999999d", "5m3", "nan"]
        {
            assert!(Beginning::parse(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn spans_are_easy_to_read() {
        let cases = [
            (0, "0 ms"),
            (999, "999 ms"),
            (1_000, "1 s"),
            (1_500, "1.5 s"),
            (90_400, "90 s"),
            (150_000, "2.5 min"),
            (3_600_000, "60 min"),
            (23 * 3_600_000, "23 h"),
            (10 * 86_400_000, "10 days"),
        ];
        for (milliseconds, expected) in cases {
            assert_eq!(lasting(Duration::from_millis(milliseconds)), expected);
        }
    }

    #[test]
    fn a_place_is_never_in_the_future() {
        let now = jiff::Timestamp::from_millisecond(1_772_366_400_000).expect("in range");
        let at = |milliseconds| StartingPosition::AtTimestamp { time: Timestamp(milliseconds) };
        assert_eq!(Beginning::Ago(Duration::from_secs(1)).position(now), Ok(at(1_772_366_399_000)));
        assert_eq!(Beginning::Ago(Duration::MAX).position(now), Ok(at(0)));
        assert_eq!(Beginning::Latest.position(now), Ok(StartingPosition::Latest));
        let error =
            Beginning::At(Timestamp(1_772_366_400_001)).position(now).expect_err("a millisecond ahead");
        assert_eq!(error, "2026-03-01T12:00:00.001Z is still to come");
    }
}
