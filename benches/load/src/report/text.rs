//! The result as lines of text: violations first, then the figures, beside those of another run if there is one.

use std::fmt::Write;

use super::{Percentiles, RunResult, Totals, Verification};

/// A row of figures: its name, and its text for a run.
pub(super) type Row = (&'static str, fn(&RunResult) -> String);

/// Words for a terminal, without colours. `other` is shown in a second column.
pub fn summary(result: &RunResult, other: Option<&RunResult>) -> String {
    let mut out = String::new();
    for line in verdict(result) {
        let _ = writeln!(out, "{line}");
    }
    let _ = writeln!(out, "{}", result.described());
    let _ = writeln!(out, "{}, stream {}", result.settings.endpoint, result.settings.stream);
    if let Some(other) = other {
        let _ = writeln!(out, "\n{:<22}{:>16}{:>16}", "", "this run", "the other");
        let _ =
            writeln!(out, "the other: {}, {}, {}", other.described(), other.settings.endpoint, other.started);
    }
    out.push('\n');
    for (name, figure) in rows(result) {
        let _ = write!(out, "{name:<22}{:>16}", figure(result));
        if let Some(other) = other {
            let _ = write!(out, "{:>16}", figure(other));
        }
        out.push('\n');
    }
    for error in &result.errors {
        let _ = writeln!(out, "{} records: {}", rounded(error.records as f64), error.what);
    }
    out
}

/// The lines that come first: whether the endpoint kept its word, and what limits the figures.
pub fn verdict(result: &RunResult) -> Vec<String> {
    let mut lines = Vec::new();
    match &result.verification {
        _ if result.records.acknowledged == 0 => lines.push("NOTHING WAS ACKNOWLEDGED.".into()),
        Verification::Done { verdict } if verdict.is_clean() => lines.push(format!(
            "Verified: each of {} acknowledged records was read exactly once, in order{}.",
            rounded(verdict.acknowledged as f64),
            if verdict.readings > 1 {
                format!(", by each of {} consumers", verdict.readings)
            } else {
                String::new()
            }
        )),
        Verification::Done { verdict } => {
            let kinds = verdict.violations.violations();
            let found = kinds.iter().filter(|(_, count)| *count > 0);
            let found: Vec<String> =
                found.map(|(name, count)| format!("{} {name}", rounded(*count as f64))).collect();
            lines.push(format!("VIOLATED: {}.", found.join(", ")));
            lines.extend(verdict.examples.iter().map(|example| format!("  {example}")));
        }
        Verification::Incomplete { reason } => lines.push(format!("NOT VERIFIED: {reason}.")),
        Verification::Off { reason } => lines.push(format!("Not verified: {reason}.")),
    }
    if let Some(reason) = &result.cut_short {
        lines.push(format!("CUT SHORT: {reason}."));
    }
    let Totals { unsent, unknown, .. } = result.records;
    if unsent > 0 {
        lines.push(format!(
            "The endpoint did not keep up: {} records that were due could not be sent, because all {} producers were busy. \
             Latencies grow with the length of such a run.",
            rounded(unsent as f64),
            result.settings.producers
        ));
    }
    if unknown > 0 {
        lines.push(format!(
            "Unacknowledged: {} records were sent and never answered.",
            rounded(unknown as f64)
        ));
    }
    lines
}

fn rows(result: &RunResult) -> Vec<Row> {
    let mut rows: Vec<Row> = vec![
        ("records/s", |run| rounded(run.records_per_s)),
        ("MiB/s", |run| format!("{:.2}", run.bytes_per_s / f64::from(1 << 20))),
        ("requests", |run| rounded(run.requests as f64)),
        ("sent", |run| rounded(run.records.sent as f64)),
        ("acknowledged", |run| rounded(run.records.acknowledged as f64)),
        ("throttled", |run| rounded(run.records.throttled as f64)),
        ("failed", |run| rounded(run.records.failed as f64)),
        ("unknown outcome", |run| rounded(run.records.unknown as f64)),
        ("latency p50 ms", |run| of(run.latency_ms.as_ref(), |times| times.p50)),
        ("        p90 ms", |run| of(run.latency_ms.as_ref(), |times| times.p90)),
        ("        p99 ms", |run| of(run.latency_ms.as_ref(), |times| times.p99)),
        ("        p99.9 ms", |run| of(run.latency_ms.as_ref(), |times| times.p999)),
        ("        max ms", |run| of(run.latency_ms.as_ref(), |times| times.max)),
    ];
    if result.settings.consumers > 0 {
        rows.extend::<[Row; 4]>([
            ("received", |run| rounded(run.records.received as f64)),
            ("to consumer p50 ms", |run| of(run.end_to_end_ms.as_ref(), |times| times.p50)),
            ("            p99 ms", |run| of(run.end_to_end_ms.as_ref(), |times| times.p99)),
            ("            max ms", |run| of(run.end_to_end_ms.as_ref(), |times| times.max)),
        ]);
    }
    rows
}

fn of(times: Option<&Percentiles>, which: fn(&Percentiles) -> f64) -> String {
    times.map_or_else(|| "-".into(), |times| milliseconds(which(times)))
}

/// With as many digits as are worth reading.
pub fn milliseconds(time: f64) -> String {
    match time {
        time if time < 10.0 => format!("{time:.2}"),
        time if time < 100.0 => format!("{time:.1}"),
        time => rounded(time),
    }
}

/// Rounded, with a comma between thousands.
pub fn rounded(number: f64) -> String {
    let digits = format!("{number:.0}");
    let mut out = String::with_capacity(digits.len() + 4);
    for (place, digit) in digits.chars().enumerate() {
        if place > 0 && (digits.len() - place).is_multiple_of(3) && out != "-" {
            out.push(',');
        }
        out.push(digit);
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ledger::{Kinds, Verdict};
    use crate::report::page::tests::result;

    #[test]
    fn figures_are_readable() {
        for (number, text) in [(0.0, "0"), (999.4, "999"), (1_000.0, "1,000"), (1_234_567.0, "1,234,567")] {
            assert_eq!(rounded(number), text);
        }
        for (time, text) in [(0.123, "0.12"), (12.34, "12.3"), (1234.5, "1,234")] {
            assert_eq!(milliseconds(time), text);
        }
    }

    #[test]
    fn a_violation_is_reported_first() {
        let mut run = result();
        let violations = Kinds { missing: 3, duplicated: 1, ..Kinds::default() };
        let examples = vec!["record 7 of producer 0 was acknowledged and not read".to_owned()];
        run.verification =
            Verification::Done { verdict: Verdict { violations, examples, ..Verdict::default() } };
        run.cut_short = Some("interrupted".into());
        run.records.unsent = 1_500;
        let text = summary(&run, None);
        let lines: Vec<&str> = text.lines().collect();
        assert_eq!(lines[0], "VIOLATED: 3 acknowledged but not read, 1 read more than once.");
        assert_eq!(lines[1], "  record 7 of producer 0 was acknowledged and not read");
        assert_eq!(lines[2], "CUT SHORT: interrupted.");
        assert!(lines[3].starts_with("The endpoint did not keep up: 1,500 records"), "{text}");
        assert!(!run.is_clean());
    }

    #[test]
    fn two_runs_stand_side_by_side() {
        let (run, mut other) = (result(), result());
        other.records_per_s = 500.0;
        let text = summary(&run, Some(&other));
        let row = text.lines().find(|line| line.starts_with("records/s")).expect("a row");
        assert_eq!(row.split_whitespace().collect::<Vec<_>>(), ["records/s", "1,000", "500"]);
    }
}
