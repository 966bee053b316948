//! Series of single shards, for streams that ask for them by EnableEnhancedMonitoring.
//!
//! They are counted apart from the recorder, which forgets no series: these come and go with their shard, and with the
//! metrics that are enabled for its stream. The service keeps the counts; the page of metrics shows them.

use std::fmt::Write;
use std::sync::atomic::{AtomicU64, Ordering};

use super::{SHARD_LEVEL, SHARD_SERIES_LEFT_OUT};

// Positions in the table of metrics.
const INCOMING_BYTES: usize = 0;
const INCOMING_RECORDS: usize = 1;
const OUTGOING_BYTES: usize = 2;
const OUTGOING_RECORDS: usize = 3;
const WRITE_THROTTLED_RECORDS: usize = 4;
const READ_THROTTLED_CALLS: usize = 5;
const ITERATOR_AGE: usize = 6;

/// Counts of one shard since its stream enabled metrics.
#[derive(Debug, Default)]
pub struct ShardCounts {
    counts: [AtomicU64; ITERATOR_AGE],
    /// One more than the milliseconds of the last read; 0 before it.
    age: AtomicU64,
}

impl ShardCounts {
    /// Records that came: accepted ones with their bytes of data and keys, and refused ones.
    pub fn note_put(&self, records: usize, bytes: usize, refused: usize) {
        self.add(INCOMING_RECORDS, records);
        self.add(INCOMING_BYTES, bytes);
        self.add(WRITE_THROTTLED_RECORDS, refused);
    }

    /// Records that went by one call, and how far behind the tip it was.
    pub fn note_read(&self, records: usize, bytes: usize, behind_ms: u64) {
        self.add(OUTGOING_RECORDS, records);
        self.add(OUTGOING_BYTES, bytes);
        self.age.store(behind_ms.saturating_add(1), Ordering::Relaxed);
    }

    /// A call that was refused.
    pub fn note_refused_read(&self) {
        self.add(READ_THROTTLED_CALLS, 1);
    }

    fn add(&self, which: usize, count: usize) {
        self.counts[which].fetch_add(count as u64, Ordering::Relaxed);
    }

    /// The value as the page shows it: a count, or the age in seconds.
    fn value(&self, which: usize) -> Option<String> {
        match self.counts.get(which) {
            Some(count) => Some(count.load(Ordering::Relaxed).to_string()),
            None => {
                self.age.load(Ordering::Relaxed).checked_sub(1).map(|ms| (ms as f64 / 1_000.0).to_string())
            }
        }
    }
}

/// Series of single shards on a page. Past it there is one of each metric for each stream, and past that none.
pub const SERIES_MAX: usize = 10_000;

/// A shard on the page, or a stream whose shards are added up.
#[derive(Debug)]
pub struct Row {
    /// The labels in Prometheus' format, without the braces.
    pub labels: String,
    /// The enabled metrics, one bit each.
    pub enabled: u8,
    /// The shard's counts.
    pub counts: std::sync::Arc<ShardCounts>,
}

impl ShardCounts {
    /// Adds the counts of another shard; the one that is read furthest behind counts.
    pub fn add_all(&self, other: &Self) {
        for (own, other) in self.counts.iter().zip(&other.counts) {
            own.fetch_add(other.load(Ordering::Relaxed), Ordering::Relaxed);
        }
        self.age.fetch_max(other.age.load(Ordering::Relaxed), Ordering::Relaxed);
    }
}

/// The enabled series of these shards in Prometheus' text form, and how many are left out if any are; nothing for no
/// rows.
pub fn page(rows: &[Row], left_out: usize) -> String {
    let mut out = String::new();
    if left_out > 0 {
        let (head, name) = (SHARD_SERIES_LEFT_OUT.head(), SHARD_SERIES_LEFT_OUT.name);
        writeln!(out, "{head}{name} {left_out}\n").expect("writing to memory cannot fail");
    }
    for (which, metric) in SHARD_LEVEL.iter().enumerate() {
        let shown = rows.iter().filter(|row| row.enabled & (1 << which) != 0);
        let mut values = shown.filter_map(|row| Some((row, row.counts.value(which)?))).peekable();
        if values.peek().is_none() {
            continue;
        }
        out.push_str(&metric.head());
        for (row, value) in values {
            writeln!(out, "{}{{{}}} {value}", metric.name, row.labels)
                .expect("writing to memory cannot fail");
        }
        out.push('\n');
    }
    out
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;

    fn row(enabled: u8, counts: &Arc<ShardCounts>) -> Row {
        Row { labels: "shard=\"0\"".to_owned(), enabled, counts: counts.clone() }
    }

    #[test]
    fn only_enabled_series_are_shown() {
        let counts = Arc::new(ShardCounts::default());
        assert_eq!(page(&[row(0, &counts)], 0), "");
        counts.note_put(3, 300, 2);
        let shown = page(&[row(1 << INCOMING_BYTES | 1 << WRITE_THROTTLED_RECORDS, &counts)], 0);
        let values =
            shown.lines().filter(|line| !line.starts_with('#') && !line.is_empty()).collect::<Vec<_>>();
        let expected = [
            "tidelog_shard_incoming_bytes_total{shard=\"0\"} 300",
            "tidelog_shard_write_throttled_records_total{shard=\"0\"} 2",
        ];
        assert_eq!(values, expected);
        assert_eq!(shown.lines().filter(|line| line.starts_with("# TYPE")).count(), 2);
    }

    #[test]
    fn the_age_is_unknown_until_something_is_read() {
        let counts = Arc::new(ShardCounts::default());
        counts.note_refused_read();
        assert!(!page(&[row(0x7f, &counts)], 0).contains("iterator_age"));
        counts.note_read(0, 0, 0);
        assert!(
            page(&[row(0x7f, &counts)], 0).contains("tidelog_shard_iterator_age_seconds{shard=\"0\"} 0\n")
        );
        counts.note_read(1, 5, 70);
        let shown = page(&[row(0x7f, &counts)], 0);
        assert!(shown.contains("tidelog_shard_iterator_age_seconds{shard=\"0\"} 0.07\n"), "{shown}");
        assert!(shown.contains("tidelog_shard_read_throttled_calls_total{shard=\"0\"} 1\n"), "{shown}");
    }
}
