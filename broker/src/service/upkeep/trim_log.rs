//! Log lines about trims: for each stream how many records were deleted, how old they were, and by which
//! clocks; at most a line for a stream in ten minutes, and some lines for a pass over all streams. A stream
//! that has no line in one pass has it in a later one.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::clock::cluster::{Deletion, instant};
use crate::model::stream::Catalog;

/// Milliseconds of boot time between two lines about a stream.
const TELL_EVERY_MS: u64 = 600_000;
/// Lines of one pass.
const LINES_MAX: usize = 20;

/// Records of a stream that were deleted since its last line.
#[derive(Debug, Default)]
struct Trimmed {
    records: u64,
    oldest_ms: Option<u64>,
    keep_from_ms: u64,
    logged_at_boot_ms: Option<u64>,
}

/// Trims that are to be logged, by stream; at most as many as there are streams.
#[derive(Debug, Default)]
pub struct TrimLog(BTreeMap<u64, Trimmed>);

/// A line of the log.
#[derive(Debug, PartialEq, Eq)]
pub struct Line {
    /// The stream's name.
    pub stream: Arc<str>,
    /// How many records went.
    pub records: u64,
    /// About when the oldest of them arrived.
    pub oldest_ms: u64,
    /// The arrival time before which all of them lie.
    pub keep_from_ms: u64,
}

impl TrimLog {
    /// Notes that records of a stream were trimmed in one shard.
    pub fn note(&mut self, stream_uid: u64, records: u64, oldest_ms: u64, keep_from_ms: u64) {
        let trimmed = self.0.entry(stream_uid).or_default();
        trimmed.records += records;
        trimmed.oldest_ms = Some(trimmed.oldest_ms.map_or(oldest_ms, |known_ms| known_ms.min(oldest_ms)));
        trimmed.keep_from_ms = trimmed.keep_from_ms.max(keep_from_ms);
    }

    /// The lines that are due; forgets streams that are gone.
    pub fn due(&mut self, catalog: &Catalog, boot_ms: u64) -> Vec<Line> {
        self.0.retain(|uid, _| catalog.by_uid(*uid).is_some());
        let is_due = |trimmed: &Trimmed| {
            let logged = trimmed.logged_at_boot_ms;
            trimmed.records > 0
                && logged.is_none_or(|logged_ms| boot_ms.saturating_sub(logged_ms) >= TELL_EVERY_MS)
        };
        let due = self.0.iter_mut().filter(|(_, trimmed)| is_due(trimmed)).take(LINES_MAX);
        let line = |(uid, trimmed): (&u64, &mut Trimmed)| {
            let stream = catalog.by_uid(*uid)?.key.name.to_string().into();
            let logged_at_boot_ms = Some(boot_ms);
            let Trimmed { records, oldest_ms, keep_from_ms, .. } =
                std::mem::replace(trimmed, Trimmed { logged_at_boot_ms, ..Trimmed::default() });
            Some(Line { stream, records, oldest_ms: oldest_ms.unwrap_or(0), keep_from_ms })
        };
        due.filter_map(line).collect()
    }
}

impl Line {
    /// Writes the line, with the clocks that say that the records have expired.
    pub fn write(&self, deletion: &Deletion) {
        let clocks: Vec<String> = deletion
            .clocks_ms
            .iter()
            .map(|(node, clock_ms)| format!("{node}: {}", instant(*clock_ms)))
            .collect();
        tracing::info!(
            stream = &*self.stream,
            records = self.records,
            arrived_from = instant(self.oldest_ms),
            arrived_before = instant(self.keep_from_ms),
            retention_clock = instant(deletion.retention_ms),
            clocks = clocks.join(", "),
            "trimmed expired records; their files are removed an hour later"
        );
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::fixture;

    #[test]
    fn a_stream_is_logged_at_once_and_then_every_ten_minutes() {
        let stream = fixture::stream("events", 1);
        let uid = stream.uid;
        let catalog = fixture::catalog(vec![stream]);
        let mut log = TrimLog::default();
        log.note(uid, 5, 300, 900);
        log.note(uid, 2, 200, 800);
        log.note(uid + 999, 7, 1, 2);
        let lines = log.due(&catalog, 1_000);
        assert_eq!(lines.len(), 1, "a stream that is gone is not logged");
        assert_eq!((lines[0].records, lines[0].oldest_ms, lines[0].keep_from_ms), (7, 200, 900));
        log.note(uid, 1, 950, 1_000);
        assert_eq!(log.due(&catalog, 1_000 + TELL_EVERY_MS - 1), []);
        log.note(uid, 1, 960, 1_010);
        let lines = log.due(&catalog, 1_000 + TELL_EVERY_MS);
        assert_eq!((lines[0].records, lines[0].oldest_ms, lines[0].keep_from_ms), (2, 950, 1_010));
        assert_eq!(log.due(&catalog, 10 * TELL_EVERY_MS), []);
    }
}
