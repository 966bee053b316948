//! Records and calls of single streams that this node refused because of the budgets of their shards. A
//! stream is counted from its first refusal on; other streams cost nothing.

use std::collections::HashMap;
use std::fmt::Write;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, RwLock};

use crate::model::stream::{Catalog, Stream};
use crate::observability::STREAM_LEVEL;

/// Streams on the page of metrics at most: those that were refused the most.
const SHOWN_MAX: usize = 1_000;

/// Records of puts, and calls of reads.
type Counts = [AtomicU64; 2];

/// Refusals by stream. Bounded by the number of streams: those of deleted streams are forgotten.
#[derive(Debug, Default)]
pub struct StreamRefusals(RwLock<HashMap<u64, Arc<Counts>>>);

impl StreamRefusals {
    /// Counts records of a put that were refused.
    pub fn note_records(&self, stream: &Stream, records: usize) {
        self.of(stream)[0].fetch_add(records as u64, Ordering::Relaxed);
    }

    /// Counts a call of a reader that was refused.
    pub fn note_call(&self, stream: &Stream) {
        self.of(stream)[1].fetch_add(1, Ordering::Relaxed);
    }

    fn of(&self, stream: &Stream) -> Arc<Counts> {
        let known = self.0.read().expect("no code panics while it holds this lock").get(&stream.uid).cloned();
        known.unwrap_or_else(|| {
            self.0
                .write()
                .expect("no code panics while it holds this lock")
                .entry(stream.uid)
                .or_default()
                .clone()
        })
    }

    /// Forgets streams that are gone.
    pub fn forget(&self, catalog: &Catalog) {
        let mut table = self.0.write().expect("no code panics while it holds this lock");
        table.retain(|uid, _| catalog.by_uid(*uid).is_some());
    }

    /// The series of the streams that are there, in Prometheus' text form. `labels` names a stream.
    pub fn page(&self, catalog: &Catalog, labels: impl Fn(&Stream) -> String) -> String {
        let table = self.0.read().expect("no code panics while it holds this lock");
        let mut rows: Vec<(&Stream, [u64; 2])> = table
            .iter()
            .filter_map(|(uid, counts)| {
                Some((&**catalog.by_uid(*uid)?, counts.each_ref().map(|count| count.load(Ordering::Relaxed))))
            })
            .collect();
        rows.sort_by_key(|(stream, counts)| (std::cmp::Reverse(counts.iter().sum::<u64>()), stream.uid));
        rows.truncate(SHOWN_MAX);
        let mut out = String::new();
        for (which, metric) in STREAM_LEVEL.iter().enumerate().filter(|_| !rows.is_empty()) {
            out.push_str(&metric.head());
            for (stream, counts) in &rows {
                writeln!(out, "{}{{{}}} {}", metric.name, labels(stream), counts[which])
                    .expect("writing to memory cannot fail");
            }
            out.push('\n');
        }
        out
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::fixture;

    #[test]
    fn refusals_are_counted_by_stream_and_go_with_it() {
        let refusals = StreamRefusals::default();
        let (clicks, orders) =
            (fixture::stream("clicks", 1), Stream { uid: 99, ..fixture::stream("orders", 1) });
        let labels = |stream: &Stream| format!("stream=\"{}\"", stream.key.name);
        let catalog = fixture::catalog(vec![clicks.clone(), orders.clone()]);
        assert_eq!(refusals.page(&catalog, labels), "");
        refusals.note_records(&clicks, 3);
        refusals.note_call(&clicks);
        refusals.note_records(&orders, 4);
        let page = refusals.page(&catalog, labels);
        for line in [
            "tidelog_stream_write_throttled_records_total{stream=\"clicks\"} 3\n",
            "tidelog_stream_write_throttled_records_total{stream=\"orders\"} 4\n",
            "tidelog_stream_read_throttled_calls_total{stream=\"clicks\"} 1\n",
            "tidelog_stream_read_throttled_calls_total{stream=\"orders\"} 0\n",
        ] {
            assert!(page.contains(line), "{page}");
        }
        let without = fixture::catalog(vec![orders]);
        assert!(!refusals.page(&without, labels).contains("clicks"));
        refusals.forget(&without);
        assert_eq!(refusals.0.read().unwrap().len(), 1);
    }
}
