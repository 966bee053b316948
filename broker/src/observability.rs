//! Metrics: the names every part of the broker records under, and the recorder behind them; and the [`logs`].
//!
//! A name is declared here and nowhere else, and [`DESCRIBED`] gives it a unit and a sentence; each names the
//! CloudWatch metric whose meaning it carries, if there is one, so that dashboards can be carried over. Parts keep the
//! handles that `metrics::counter!(NAME)` gives them: a handle made before [`recorder`] was first called records
//! nothing. Series of single shards are counted apart, in [`shard_level`], and metrics of applications in
//! [`applications`]. The binary and the server call this.

pub mod applications;
pub mod logs;
pub mod shard_level;

use std::sync::OnceLock;

use metrics::{Unit, describe_counter, describe_gauge, describe_histogram};
use metrics_exporter_prometheus::{Matcher, PrometheusBuilder, PrometheusHandle};

/// Bytes of data and partition keys accepted by PutRecord and PutRecords. CloudWatch `IncomingBytes`.
pub const INCOMING_BYTES: &str = "tidelog_incoming_bytes_total";
/// Records accepted by PutRecord and PutRecords. CloudWatch `IncomingRecords`.
pub const INCOMING_RECORDS: &str = "tidelog_incoming_records_total";
/// Bytes of data and partition keys returned by GetRecords. CloudWatch `OutgoingBytes`, and `GetRecords.Bytes`.
pub const OUTGOING_BYTES: &str = "tidelog_outgoing_bytes_total";
/// Records returned by GetRecords. CloudWatch `OutgoingRecords`, and `GetRecords.Records`.
pub const OUTGOING_RECORDS: &str = "tidelog_outgoing_records_total";
/// Records refused because their shard's budget was spent. CloudWatch `WriteProvisionedThroughputExceeded`.
pub const WRITE_THROTTLED_RECORDS: &str = "tidelog_write_throttled_records_total";
/// Bytes of data and keys that a shard takes a second, infinite without a limit.
pub const SHARD_WRITE_LIMIT_BYTES: &str = "tidelog_shard_write_limit_bytes";
/// Records that a shard takes a second, infinite without a limit.
pub const SHARD_WRITE_LIMIT_RECORDS: &str = "tidelog_shard_write_limit_records";
/// Records that this node refused for its own sake; label `reason`: `disk_reserve`, `disk_full` or `log_at_bound`.
pub const REFUSED_RECORDS: &str = "tidelog_refused_records_total";
/// GetRecords calls refused because the shard's budget was spent. CloudWatch `ReadProvisionedThroughputExceeded`.
pub const READ_THROTTLED_CALLS: &str = "tidelog_read_throttled_calls_total";
/// Age of the last record that a GetRecords call returned, seconds. CloudWatch `GetRecords.IteratorAgeMilliseconds`.
pub const ITERATOR_AGE_SECONDS: &str = "tidelog_iterator_age_seconds";
/// Subscriptions that SubscribeToShard began. CloudWatch `SubscribeToShard.Success`.
pub const SUBSCRIPTIONS_BEGUN: &str = "tidelog_subscriptions_begun_total";
/// Calls of SubscribeToShard refused because they came too soon after another. CloudWatch
/// `SubscribeToShard.RateExceeded`.
pub const SUBSCRIPTIONS_REFUSED: &str = "tidelog_subscriptions_refused_total";
/// Subscriptions open now.
pub const SUBSCRIPTIONS: &str = "tidelog_subscriptions";
/// Events sent to subscribers, empty ones too. CloudWatch `SubscribeToShardEvent.Success`.
pub const SUBSCRIPTION_EVENTS: &str = "tidelog_subscription_events_total";
/// Bytes of data and partition keys in events. CloudWatch `SubscribeToShardEvent.Bytes`.
pub const SUBSCRIPTION_BYTES: &str = "tidelog_subscription_bytes_total";
/// Records in events. CloudWatch `SubscribeToShardEvent.Records`.
pub const SUBSCRIPTION_RECORDS: &str = "tidelog_subscription_records_total";
/// How far behind the tip an event with records was, seconds. CloudWatch
/// `SubscribeToShardEvent.MillisBehindLatest`.
pub const SUBSCRIPTION_SECONDS_BEHIND: &str = "tidelog_subscription_behind_seconds";
/// Time from a request's complete body to its answer, seconds; labels `operation` and `outcome` (`ok`,
/// `client_fault`, `server_fault`). CloudWatch `PutRecord.Latency`, `PutRecords.Latency`, `GetRecords.Latency`;
/// its count by outcome carries their `.Success`.
pub const REQUEST_SECONDS: &str = "tidelog_request_seconds";
/// Client connections open now.
pub const CONNECTIONS: &str = "tidelog_connections";
/// Time of one commit of the write-ahead log, seconds: its write and, where the durability asks for it, its sync; a
/// wait for space on a full disk counts too.
pub const WAL_SYNC_SECONDS: &str = "tidelog_wal_sync_seconds";
/// Bytes of one commit of the write-ahead log.
pub const WAL_COMMIT_BYTES: &str = "tidelog_wal_commit_bytes";
/// Operations that shared one commit of the write-ahead log.
pub const WAL_COMMIT_OPS: &str = "tidelog_wal_commit_ops";
/// Bytes written to the log's files that hold an entry that no checkpoint has made superfluous.
pub const WAL_LIVE_BYTES: &str = "tidelog_wal_live_bytes";
/// Syncs of files and directories that the process has asked its disk for.
pub const DISK_SYNCS: &str = "tidelog_disk_syncs_total";
/// Bytes free on the data directory's volume, as of the last look.
pub const DISK_FREE_BYTES: &str = "tidelog_disk_free_bytes";
/// Bytes of that volume that stay free: puts are refused below.
pub const DISK_RESERVED_BYTES: &str = "tidelog_disk_reserved_bytes";
/// Time of one checkpoint, seconds.
pub const CHECKPOINT_SECONDS: &str = "tidelog_checkpoint_seconds";
/// Bytes applied but not yet in a segment file.
pub const UNFLUSHED_BYTES: &str = "tidelog_unflushed_bytes";
/// Bytes of segments pulled from peers.
pub const TRANSFER_BYTES: &str = "tidelog_transfer_bytes_total";
/// Bytes of segments that the scrub has verified.
pub const SCRUBBED_BYTES: &str = "tidelog_scrubbed_bytes_total";
/// Damaged segments that the scrub has found.
pub const DAMAGED_SEGMENTS: &str = "tidelog_damaged_segments_total";
/// Damaged segments of this node with records that cannot be read and were not given up.
pub const UNREADABLE_SEGMENTS: &str = "tidelog_unreadable_segments";
/// Damaged segments that a peer's copy has replaced.
pub const REPAIRED_SEGMENTS: &str = "tidelog_repaired_segments_total";
/// Bytes of a class of memory; label `class`.
pub const MEMORY_BYTES: &str = "tidelog_memory_bytes";
/// Bytes of a class of memory that are taken; label `class`.
pub const MEMORY_USED_BYTES: &str = "tidelog_memory_used_bytes";
/// Requests and connections refused because their class of memory was full; label `class`.
pub const MEMORY_REFUSALS: &str = "tidelog_memory_refusals_total";
/// Raft groups that this node leads, of seven.
pub const GROUPS_LED: &str = "tidelog_groups_led";
/// Raft groups whose leader this node does not know.
pub const GROUPS_LEADERLESS: &str = "tidelog_groups_leaderless";
/// When a certificate expires, seconds since the epoch; label `certificate` (`clients`, `peers`).
pub const CERTIFICATE_EXPIRY: &str = "tidelog_certificate_expiry_timestamp_seconds";
/// Lines missing from the log; label `reason` (`unwritten`: standard error did not take it; `repeated`: within a
/// second of another of the same place).
pub const LOG_LINES_DROPPED: &str = "tidelog_log_lines_dropped_total";

/// Seconds by which the node's wall clock is ahead of the time that the broker goes by.
pub const CLOCK_OFFSET_SECONDS: &str = "tidelog_clock_offset_seconds";
/// Leaps of the node's wall clock while the broker ran.
pub const CLOCK_LEAPS: &str = "tidelog_clock_leaps_total";
/// 1 while the clock cannot be right and puts are refused.
pub const CLOCK_UNUSABLE: &str = "tidelog_clock_unusable";
/// Seconds by which the retention clock, which deletes expired records, is behind the voters' clocks.
pub const RETENTION_CLOCK_LAG_SECONDS: &str = "tidelog_retention_clock_lag_seconds";

/// Upper bounds of durations, seconds: a sync of a fast disk to the request deadline.
const SECONDS: &[f64] = &[
    0.000_1, 0.000_25, 0.000_5, 0.001, 0.002_5, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0,
    10.0, 30.0,
];
/// Upper bounds of bytes: one block to a full commit.
const BYTES: &[f64] =
    &[4_096.0, 16_384.0, 65_536.0, 262_144.0, 1_048_576.0, 4_194_304.0, 16_777_216.0, 67_108_864.0];
/// Upper bounds of operations per commit.
const OPERATIONS: &[f64] = &[1.0, 2.0, 4.0, 8.0, 16.0, 32.0, 64.0, 128.0, 256.0, 512.0, 1_024.0, 4_096.0];
/// Upper bounds of ages, seconds: the tip to the shortest retention, 24 hours.
const AGES: &[f64] = &[0.001, 0.01, 0.1, 1.0, 10.0, 60.0, 300.0, 3_600.0, 21_600.0, 86_400.0];

/// The type of a metric in Prometheus, with the bounds of a histogram's buckets.
#[derive(Clone, Copy)]
enum Kind {
    Counter,
    Gauge,
    Histogram(&'static [f64]),
}

/// Every metric with its kind, unit and the sentence that `/metrics` shows.
const DESCRIBED: &[(&str, Kind, Unit, &str)] = &[
    (
        INCOMING_BYTES,
        Kind::Counter,
        Unit::Bytes,
        "Bytes of data and keys accepted by puts (CloudWatch IncomingBytes).",
    ),
    (INCOMING_RECORDS, Kind::Counter, Unit::Count, "Records accepted by puts (CloudWatch IncomingRecords)."),
    (
        OUTGOING_BYTES,
        Kind::Counter,
        Unit::Bytes,
        "Bytes of data and keys returned (CloudWatch OutgoingBytes).",
    ),
    (OUTGOING_RECORDS, Kind::Counter, Unit::Count, "Records returned (CloudWatch OutgoingRecords)."),
    (
        WRITE_THROTTLED_RECORDS,
        Kind::Counter,
        Unit::Count,
        "Records refused for their shard's budget (CloudWatch WriteProvisionedThroughputExceeded).",
    ),
    (
        SHARD_WRITE_LIMIT_BYTES,
        Kind::Gauge,
        Unit::Bytes,
        "Bytes of data and keys that a shard takes a second; +Inf without a limit (--limits).",
    ),
    (
        SHARD_WRITE_LIMIT_RECORDS,
        Kind::Gauge,
        Unit::Count,
        "Records that a shard takes a second; +Inf without a limit (--limits).",
    ),
    (
        REFUSED_RECORDS,
        Kind::Counter,
        Unit::Count,
        "Records that the node refused for its own sake, by reason: disk_reserve, disk_full, log_at_bound.",
    ),
    (
        READ_THROTTLED_CALLS,
        Kind::Counter,
        Unit::Count,
        "Read calls refused for their shard's budget (CloudWatch ReadProvisionedThroughputExceeded).",
    ),
    (
        ITERATOR_AGE_SECONDS,
        Kind::Histogram(AGES),
        Unit::Seconds,
        "Age of the last record a GetRecords call returned (CloudWatch GetRecords.IteratorAgeMilliseconds).",
    ),
    (
        SUBSCRIPTIONS_BEGUN,
        Kind::Counter,
        Unit::Count,
        "Subscriptions begun (CloudWatch SubscribeToShard.Success).",
    ),
    (
        SUBSCRIPTIONS_REFUSED,
        Kind::Counter,
        Unit::Count,
        "Subscriptions refused because they came too soon (CloudWatch SubscribeToShard.RateExceeded).",
    ),
    (SUBSCRIPTIONS, Kind::Gauge, Unit::Count, "Subscriptions open now."),
    (
        SUBSCRIPTION_EVENTS,
        Kind::Counter,
        Unit::Count,
        "Events sent to subscribers (CloudWatch SubscribeToShardEvent.Success).",
    ),
    (
        SUBSCRIPTION_BYTES,
        Kind::Counter,
        Unit::Bytes,
        "Bytes of data and keys in events (CloudWatch SubscribeToShardEvent.Bytes).",
    ),
    (
        SUBSCRIPTION_RECORDS,
        Kind::Counter,
        Unit::Count,
        "Records in events (CloudWatch SubscribeToShardEvent.Records).",
    ),
    (
        SUBSCRIPTION_SECONDS_BEHIND,
        Kind::Histogram(AGES),
        Unit::Seconds,
        "How far behind events were (CloudWatch SubscribeToShardEvent.MillisBehindLatest).",
    ),
    (
        REQUEST_SECONDS,
        Kind::Histogram(SECONDS),
        Unit::Seconds,
        "Time from a complete request to its answer, by operation and outcome (CloudWatch *.Latency, *.Success).",
    ),
    (CONNECTIONS, Kind::Gauge, Unit::Count, "Client connections open now."),
    (
        WAL_SYNC_SECONDS,
        Kind::Histogram(SECONDS),
        Unit::Seconds,
        "Time of one commit of the write-ahead log: its write and its sync.",
    ),
    (WAL_COMMIT_BYTES, Kind::Histogram(BYTES), Unit::Bytes, "Bytes of one commit of the write-ahead log."),
    (
        WAL_COMMIT_OPS,
        Kind::Histogram(OPERATIONS),
        Unit::Count,
        "Operations in one commit of the write-ahead log.",
    ),
    (
        WAL_LIVE_BYTES,
        Kind::Gauge,
        Unit::Bytes,
        "Bytes of the write-ahead log that no checkpoint has made superfluous; near the log's bound puts wait.",
    ),
    (DISK_SYNCS, Kind::Counter, Unit::Count, "Syncs of files and directories; 0 with --ephemeral."),
    (DISK_FREE_BYTES, Kind::Gauge, Unit::Bytes, "Bytes free on the data directory's volume."),
    (
        DISK_RESERVED_BYTES,
        Kind::Gauge,
        Unit::Bytes,
        "Bytes of the data directory's volume that stay free: puts are refused below (--disk-reserve).",
    ),
    (CHECKPOINT_SECONDS, Kind::Histogram(SECONDS), Unit::Seconds, "Time of one checkpoint."),
    (UNFLUSHED_BYTES, Kind::Gauge, Unit::Bytes, "Bytes applied but not yet in a segment file."),
    (TRANSFER_BYTES, Kind::Counter, Unit::Bytes, "Bytes of segments pulled from peers."),
    (SCRUBBED_BYTES, Kind::Counter, Unit::Bytes, "Bytes of segments that the scrub has verified."),
    (DAMAGED_SEGMENTS, Kind::Counter, Unit::Count, "Damaged segments that the scrub has found."),
    (
        UNREADABLE_SEGMENTS,
        Kind::Gauge,
        Unit::Count,
        "Damaged segments with records that cannot be read and were not given up; more than 0 needs an operator.",
    ),
    (REPAIRED_SEGMENTS, Kind::Counter, Unit::Count, "Damaged segments that a peer's copy has replaced."),
    (MEMORY_BYTES, Kind::Gauge, Unit::Bytes, "Bytes of a class of memory."),
    (MEMORY_USED_BYTES, Kind::Gauge, Unit::Bytes, "Bytes of a class of memory that are taken."),
    (
        MEMORY_REFUSALS,
        Kind::Counter,
        Unit::Count,
        "Requests and connections refused for lack of memory, by class.",
    ),
    (GROUPS_LED, Kind::Gauge, Unit::Count, "Raft groups that this node leads, of seven."),
    (
        CLOCK_OFFSET_SECONDS,
        Kind::Gauge,
        Unit::Seconds,
        "Seconds by which the wall clock is ahead of the time that the broker goes by.",
    ),
    (CLOCK_LEAPS, Kind::Counter, Unit::Count, "Leaps of the wall clock while the broker ran."),
    (CLOCK_UNUSABLE, Kind::Gauge, Unit::Count, "1 while the clock cannot be right and puts are refused."),
    (
        RETENTION_CLOCK_LAG_SECONDS,
        Kind::Gauge,
        Unit::Seconds,
        "Seconds by which the retention clock is behind the voters' clocks.",
    ),
    (GROUPS_LEADERLESS, Kind::Gauge, Unit::Count, "Raft groups whose leader this node does not know."),
    (CERTIFICATE_EXPIRY, Kind::Gauge, Unit::Seconds, "When a certificate expires, since the epoch."),
    (LOG_LINES_DROPPED, Kind::Counter, Unit::Count, "Lines missing from the log, by reason."),
    (applications::REFUSED, Kind::Counter, Unit::Count, applications::REFUSED_SENTENCE),
];

/// Metrics with labels. Their owners know the values, and put each on the page before it is first counted.
const LABELLED: &[&str] = &[
    REFUSED_RECORDS,
    REQUEST_SECONDS,
    MEMORY_BYTES,
    MEMORY_USED_BYTES,
    MEMORY_REFUSALS,
    CERTIFICATE_EXPIRY,
    LOG_LINES_DROPPED,
];

/// The names of all metrics but those of single streams and shards.
pub fn declared() -> impl Iterator<Item = &'static str> {
    DESCRIBED.iter().map(|(name, ..)| *name)
}

/// The process's one recorder, installed at the first call. Where the program that embeds the broker has installed
/// another one, everything is recorded there, and the broker's own page of metrics stays empty.
pub fn recorder() -> &'static PrometheusHandle {
    static RECORDER: OnceLock<PrometheusHandle> = OnceLock::new();
    RECORDER.get_or_init(|| {
        let mut builder = PrometheusBuilder::new();
        for (name, kind, _, _) in DESCRIBED {
            if let Kind::Histogram(bounds) = kind {
                let matcher = Matcher::Full((*name).into());
                builder = builder.set_buckets_for_metric(matcher, bounds).expect("bounds are not empty");
            }
        }
        let recorder = builder.build_recorder();
        let handle = recorder.handle();
        if metrics::set_global_recorder(recorder).is_err() {
            tracing::warn!(
                "the program records metrics itself; the broker's own page of metrics stays empty"
            );
        }
        describe();
        begin();
        handle
    })
}

fn describe() {
    for (name, kind, unit, sentence) in DESCRIBED {
        match kind {
            Kind::Counter => describe_counter!(*name, *unit, *sentence),
            Kind::Gauge => describe_gauge!(*name, *unit, *sentence),
            Kind::Histogram(_) => describe_histogram!(*name, *unit, *sentence),
        }
    }
}

/// Puts counters and histograms on the page before the first count: an alarm on a rate sees the step from 0 to 1 only
/// where there was a 0. Gauges have no value until their owners set one.
fn begin() {
    for (name, kind, ..) in DESCRIBED.iter().filter(|(name, ..)| !LABELLED.contains(name)) {
        match kind {
            Kind::Counter => metrics::counter!(*name).increment(0),
            Kind::Histogram(_) => drop(metrics::histogram!(*name)),
            Kind::Gauge => {}
        }
    }
}

/// Every metric as Prometheus reads it. Figures that are counted elsewhere are fetched first.
pub fn render() -> String {
    let dropped = logs::dropped();
    for (reason, lines) in [("unwritten", dropped.unwritten), ("repeated", dropped.repeated)] {
        metrics::counter!(LOG_LINES_DROPPED, "reason" => reason).absolute(lines);
    }
    recorder().render()
}

#[cfg(test)]
mod tests;
