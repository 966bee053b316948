//! Refusals because of a shard's budget, from two readings of the broker's page of metrics.

use std::collections::BTreeMap;
use std::time::Duration;

use super::sample::Limits;
use tidelog_kinesis::Settings;

/// Series of the page: of each stream that was refused something, of the shards whose stream asks for metrics of its
/// own, and the limits of every shard.
const WRITES: &str = "tidelog_stream_write_throttled_records_total";
const READS: &str = "tidelog_stream_read_throttled_calls_total";
const LIMIT_RECORDS: &str = "tidelog_shard_write_limit_records";
const LIMIT_BYTES: &str = "tidelog_shard_write_limit_bytes";
const SHARD_WRITES: &str = "tidelog_shard_write_throttled_records_total";
const SHARD_READS: &str = "tidelog_shard_read_throttled_calls_total";

/// Records and calls that were refused.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Refused {
    /// Records of writes.
    pub(super) records: u64,
    /// Calls of reads.
    pub(super) calls: u64,
}

impl Refused {
    pub(super) fn is_nothing(self) -> bool {
        self == Self::default()
    }

    fn since(self, before: Self) -> Self {
        // A node that was restarted counts from 0 again.
        let since = |now: u64, then: u64| now.checked_sub(then).unwrap_or(now);
        Self { records: since(self.records, before.records), calls: since(self.calls, before.calls) }
    }
}

/// One reading.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Reading {
    /// Requests to the stream that the node which was asked refused.
    pub(super) stream: Refused,
    /// Refusals by shard id; empty unless the stream asks for metrics of its shards.
    pub(super) shards: BTreeMap<String, Refused>,
    /// The limits in force.
    pub(super) limits: Limits,
}

/// Since the node started, and while it was looked at.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Throttles {
    /// Since the node started, or since the stream asked for metrics.
    pub(super) ever: Reading,
    /// While it was looked at.
    pub(super) now: Reading,
    /// For how long that was.
    pub(super) watched: Duration,
}

impl Throttles {
    pub(super) fn between(before: &Reading, after: Reading, watched: Duration) -> Self {
        let shards = after.shards.iter().map(|(shard, refused)| {
            let earlier = before.shards.get(shard).copied().unwrap_or_default();
            (shard.clone(), refused.since(earlier))
        });
        let (stream, limits) = (after.stream.since(before.stream), after.limits);
        let now = Reading { stream, shards: shards.collect(), limits };
        Self { ever: after, now, watched }
    }
}

/// Reads the page; `None` when it is none of Tidelog's.
pub(super) fn read(page: &str, stream: &str, settings: &Settings) -> Option<Reading> {
    let mut reading = Reading::default();
    let mut is_known = false;
    for line in page.lines() {
        let Some((series, value)) = line.rsplit_once(' ') else { continue };
        let Ok(value) = value.parse::<f64>() else { continue };
        let (name, labels) = match series.split_once('{') {
            Some((name, labels)) => (name, labels.trim_end_matches('}')),
            None => (series, ""),
        };
        is_known |= name.starts_with("tidelog_");
        match name {
            LIMIT_RECORDS => reading.limits.records = value,
            LIMIT_BYTES => reading.limits.bytes = value,
            WRITES if is_of_stream(labels, stream, settings) => reading.stream.records = value as u64,
            READS if is_of_stream(labels, stream, settings) => reading.stream.calls = value as u64,
            SHARD_WRITES | SHARD_READS if is_of_stream(labels, stream, settings) => {
                let Some(shard) = label(labels, "shard") else { continue };
                let own = reading.shards.entry(shard.to_owned()).or_default();
                let count = if name == SHARD_WRITES { &mut own.records } else { &mut own.calls };
                *count = value as u64;
            }
            _ => {}
        }
    }
    is_known.then_some(reading)
}

/// Whether a series is of the stream. Account and region are labelled where they are not the broker's own.
fn is_of_stream(labels: &str, stream: &str, settings: &Settings) -> bool {
    let is_own = |name: &str, own: &str| label(labels, name).is_none_or(|value| value == own);
    label(labels, "stream") == Some(stream)
        && is_own("region", &settings.region)
        && is_own("account", &settings.credentials.access_key_id)
}

/// The value of a label.
fn label<'a>(labels: &'a str, wanted: &str) -> Option<&'a str> {
    let values = labels.split(',').filter_map(|label| label.split_once('='));
    let mut own = values.filter(|(name, _)| *name == wanted);
    own.next().map(|(_, value)| value.trim_matches('"'))
}

#[cfg(test)]
mod tests {
    use super::*;
    use tidelog_kinesis::Credentials;

    fn settings() -> Settings {
        Settings {
            endpoint: "http://127.0.0.1:4567".parse().expect("a URL"),
            region: "us-east-1".into(),
            credentials: Credentials::of_nobody(),
            ca: None,
        }
    }

    const PAGE: &str = "\
# HELP tidelog_write_throttled_records_total Records refused.
# TYPE tidelog_write_throttled_records_total counter
tidelog_write_throttled_records_total 120
tidelog_read_throttled_calls_total 30
tidelog_shard_write_limit_records 5000
tidelog_shard_write_limit_bytes inf
tidelog_stream_write_throttled_records_total{stream=\"clicks\"} 12
tidelog_stream_write_throttled_records_total{stream=\"orders\"} 80
tidelog_stream_write_throttled_records_total{stream=\"clicks\",region=\"eu-west-1\"} 28
tidelog_stream_read_throttled_calls_total{stream=\"clicks\"} 3
tidelog_request_seconds{operation=\"PutRecord\",quantile=\"0.5\"} 0.25

tidelog_shard_write_throttled_records_total{stream=\"clicks\",shard=\"shardId-000000000000\"} 7
tidelog_shard_write_throttled_records_total{stream=\"orders\",shard=\"shardId-000000000000\"} 5
tidelog_shard_write_throttled_records_total{stream=\"clicks\",shard=\"shardId-000000000000\",region=\"eu-west-1\"} 9
tidelog_shard_read_throttled_calls_total{stream=\"clicks\",shard=\"shardId-000000000001\"} 2
";

    #[test]
    fn the_page_shows_refusals() {
        let reading = read(PAGE, "clicks", &settings()).expect("it is Tidelog's");
        assert_eq!(reading.stream, Refused { records: 12, calls: 3 });
        assert_eq!(reading.limits, Limits { records: 5000.0, bytes: f64::INFINITY });
        let shards = [("shardId-000000000000", 7, 0), ("shardId-000000000001", 0, 2)];
        let shards = shards.map(|(shard, records, calls)| (shard.to_owned(), Refused { records, calls }));
        assert_eq!(reading.shards, BTreeMap::from(shards));
        assert_eq!(read("process_cpu_seconds_total 3\n<html>", "clicks", &settings()), None);
    }

    #[test]
    fn refusals_are_the_difference_of_two_readings() {
        let reading = |records| Reading { stream: Refused { records, calls: 3 }, ..Reading::default() };
        let watched = Duration::from_secs(1);
        let throttles = Throttles::between(&reading(10), reading(12), watched);
        assert_eq!(
            (throttles.now.stream, throttles.ever.stream.records),
            (Refused { records: 2, calls: 0 }, 12)
        );
        let restarted = Throttles::between(&reading(10), reading(4), watched);
        assert_eq!(restarted.now.stream.records, 4);
    }
}
