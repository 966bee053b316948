//! The table of metrics: each is declared here and nowhere else.
//!
//! [`METRICS`] are the recorder's. Those of streams and shards come and go with them, and are rendered by their owners.

use metrics::Unit;

use Kind::{Counter, Gauge, Histogram};

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
#[derive(Clone, Copy, Debug)]
pub enum Kind {
    /// A sum that only grows, until the process restarts.
    Counter,
    /// A value of the moment.
    Gauge,
    /// Counts of samples by upper bound.
    Histogram(&'static [f64]),
}

impl Kind {
    /// The word for it in Prometheus' text form.
    pub fn name(self) -> &'static str {
        match self {
            Counter => "counter",
            Gauge => "gauge",
            Histogram(_) => "histogram",
        }
    }
}

/// One metric.
#[derive(Clone, Copy, Debug)]
pub struct Metric {
    /// The name on the page.
    pub name: &'static str,
    /// The type.
    pub kind: Kind,
    /// The unit of its values.
    pub unit: Unit,
    /// Names of its labels. The owner of a metric with labels knows their values, and puts each on the page before it
    /// is first counted.
    pub labels: &'static [&'static str],
    /// The CloudWatch metrics whose meaning it carries, so that dashboards can be carried over; empty without one.
    pub cloudwatch: &'static str,
    /// The meaning, as the page and the documents show it.
    pub sentence: &'static str,
}

impl Metric {
    /// The lines that introduce its series on the page.
    pub fn head(&self) -> String {
        let (name, help, kind) = (self.name, self.help(), self.kind.name());
        format!("# HELP {name} {help}\n# TYPE {name} {kind}\n")
    }

    /// The sentence for the page, which names the CloudWatch metric too.
    pub fn help(&self) -> String {
        match self.cloudwatch {
            "" => self.sentence.into(),
            name => format!("{} (CloudWatch {name}).", self.sentence.trim_end_matches('.')),
        }
    }
}

macro_rules! declare {
    ($($name:ident: $text:literal, $kind:expr, $unit:ident, [$($label:literal),*], $cloudwatch:literal,
       $sentence:literal;)*) => {
        $(
            #[doc = $sentence]
            pub const $name: &str = $text;
        )*

        /// Every metric of the recorder.
        pub const METRICS: &[Metric] = &[$(Metric {
            name: $name,
            kind: $kind,
            unit: Unit::$unit,
            labels: &[$($label),*],
            cloudwatch: $cloudwatch,
            sentence: $sentence,
        }),*];
    };
}

declare! {
    BUILD_INFO: "tidelog_build_info", Gauge, Count, ["version"], "",
        "1; its label is the version of the broker.";
    INCOMING_BYTES: "tidelog_incoming_bytes_total", Counter, Bytes, [], "IncomingBytes",
        "Bytes of data and keys accepted by puts.";
    INCOMING_RECORDS: "tidelog_incoming_records_total", Counter, Count, [], "IncomingRecords",
        "Records accepted by puts.";
    OUTGOING_BYTES: "tidelog_outgoing_bytes_total", Counter, Bytes, [], "OutgoingBytes",
        "Bytes of data and keys returned.";
    OUTGOING_RECORDS: "tidelog_outgoing_records_total", Counter, Count, [], "OutgoingRecords",
        "Records returned.";
    WRITE_THROTTLED_RECORDS: "tidelog_write_throttled_records_total", Counter, Count, [],
        "WriteProvisionedThroughputExceeded",
        "Records refused for their shard's budget.";
    SHARD_WRITE_LIMIT_BYTES: "tidelog_shard_write_limit_bytes", Gauge, Bytes, [], "",
        "Bytes of data and keys that a shard takes a second; +Inf without a limit (--limits).";
    SHARD_WRITE_LIMIT_RECORDS: "tidelog_shard_write_limit_records", Gauge, Count, [], "",
        "Records that a shard takes a second; +Inf without a limit (--limits).";
    REFUSED_RECORDS: "tidelog_refused_records_total", Counter, Count, ["reason"], "",
        "Records that the node refused for its own sake, by reason: disk_reserve, disk_full, log_at_bound, clock.";
    READ_THROTTLED_CALLS: "tidelog_read_throttled_calls_total", Counter, Count, [],
        "ReadProvisionedThroughputExceeded",
        "Read calls refused for their shard's budget.";
    ITERATOR_AGE_SECONDS: "tidelog_iterator_age_seconds", Histogram(AGES), Seconds, [],
        "GetRecords.IteratorAgeMilliseconds",
        "Age of the last record a GetRecords call returned.";
    SUBSCRIPTIONS_BEGUN: "tidelog_subscriptions_begun_total", Counter, Count, [], "SubscribeToShard.Success",
        "Subscriptions begun.";
    SUBSCRIPTIONS_REFUSED: "tidelog_subscriptions_refused_total", Counter, Count, [], "SubscribeToShard.RateExceeded",
        "Subscriptions refused because they came too soon.";
    SUBSCRIPTIONS: "tidelog_subscriptions", Gauge, Count, [], "",
        "Subscriptions open now.";
    SUBSCRIPTION_EVENTS: "tidelog_subscription_events_total", Counter, Count, [], "SubscribeToShardEvent.Success",
        "Events sent to subscribers.";
    SUBSCRIPTION_BYTES: "tidelog_subscription_bytes_total", Counter, Bytes, [], "SubscribeToShardEvent.Bytes",
        "Bytes of data and keys in events.";
    SUBSCRIPTION_RECORDS: "tidelog_subscription_records_total", Counter, Count, [], "SubscribeToShardEvent.Records",
        "Records in events.";
    SUBSCRIPTION_SECONDS_BEHIND: "tidelog_subscription_behind_seconds", Histogram(AGES), Seconds, [],
        "SubscribeToShardEvent.MillisBehindLatest",
        "How far behind events were.";
    REQUEST_SECONDS: "tidelog_request_seconds", Histogram(SECONDS), Seconds, ["operation", "outcome"],
        "*.Latency, *.Success",
        "Time from a complete request to its answer, by operation and outcome.";
    CONNECTIONS: "tidelog_connections", Gauge, Count, [], "",
        "Client connections open now.";
    WAL_SYNC_SECONDS: "tidelog_wal_sync_seconds", Histogram(SECONDS), Seconds, [], "",
        "Time of one commit of the write-ahead log: its write, its sync and any wait for space on a full disk.";
    WAL_COMMIT_BYTES: "tidelog_wal_commit_bytes", Histogram(BYTES), Bytes, [], "",
        "Bytes of one commit of the write-ahead log.";
    WAL_COMMIT_OPS: "tidelog_wal_commit_ops", Histogram(OPERATIONS), Count, [], "",
        "Operations in one commit of the write-ahead log.";
    WAL_LIVE_BYTES: "tidelog_wal_live_bytes", Gauge, Bytes, [], "",
        "Bytes of the write-ahead log that no checkpoint has made superfluous; near the log's bound puts wait.";
    DISK_SYNCS: "tidelog_disk_syncs_total", Counter, Count, [], "",
        "Syncs of files and directories; 0 with --ephemeral.";
    DISK_FREE_BYTES: "tidelog_disk_free_bytes", Gauge, Bytes, [], "",
        "Bytes free on the data directory's volume, as of the last look.";
    DISK_TOTAL_BYTES: "tidelog_disk_total_bytes", Gauge, Bytes, [], "",
        "Bytes of the data directory's volume.";
    DISK_RESERVED_BYTES: "tidelog_disk_reserved_bytes", Gauge, Bytes, [], "",
        "Bytes of the data directory's volume that stay free: puts are refused below (--disk-reserve).";
    PUTS_REFUSED: "tidelog_puts_refused", Gauge, Count, [], "",
        "1 while the node refuses puts, for one of the reasons of tidelog_refused_records_total.";
    CHECKPOINT_SECONDS: "tidelog_checkpoint_seconds", Histogram(SECONDS), Seconds, [], "",
        "Time of one checkpoint.";
    UNFLUSHED_BYTES: "tidelog_unflushed_bytes", Gauge, Bytes, [], "",
        "Bytes applied but not yet in a segment file.";
    TRANSFER_BYTES: "tidelog_transfer_bytes_total", Counter, Bytes, [], "",
        "Bytes of segments pulled from peers.";
    SCRUBBED_BYTES: "tidelog_scrubbed_bytes_total", Counter, Bytes, [], "",
        "Bytes of segments that the scrub has verified.";
    DAMAGED_SEGMENTS: "tidelog_damaged_segments_total", Counter, Count, [], "",
        "Damaged segments that the scrub has found.";
    UNREADABLE_SEGMENTS: "tidelog_unreadable_segments", Gauge, Count, [], "",
        "Damaged segments with records that cannot be read and were not given up; more than 0 needs an operator.";
    REPAIRED_SEGMENTS: "tidelog_repaired_segments_total", Counter, Count, [], "",
        "Damaged segments that a peer's copy has replaced.";
    MEMORY_BYTES: "tidelog_memory_bytes", Gauge, Bytes, ["class"], "",
        "Bytes of a class of memory.";
    MEMORY_USED_BYTES: "tidelog_memory_used_bytes", Gauge, Bytes, ["class"], "",
        "Bytes of a class of memory that are taken.";
    MEMORY_REFUSALS: "tidelog_memory_refusals_total", Counter, Count, ["class"], "",
        "Requests and connections refused for lack of memory, by class.";
    GROUPS_LED: "tidelog_groups_led", Gauge, Count, [], "",
        "Raft groups that this node leads, of seven.";
    CLOCK_OFFSET_SECONDS: "tidelog_clock_offset_seconds", Gauge, Seconds, [], "",
        "Seconds by which the wall clock is ahead of the time that the broker goes by.";
    CLOCK_LEAPS: "tidelog_clock_leaps_total", Counter, Count, [], "",
        "Leaps of the wall clock while the broker ran.";
    CLOCK_UNUSABLE: "tidelog_clock_unusable", Gauge, Count, [], "",
        "1 while the clock cannot be right and puts are refused.";
    RETENTION_CLOCK_LAG_SECONDS: "tidelog_retention_clock_lag_seconds", Gauge, Seconds, [], "",
        "Seconds by which the retention clock is behind the voters' clocks.";
    GROUPS_LEADERLESS: "tidelog_groups_leaderless", Gauge, Count, [], "",
        "Raft groups whose leader this node does not know.";
    CERTIFICATE_EXPIRY: "tidelog_certificate_expiry_timestamp_seconds", Gauge, Seconds, ["certificate"], "",
        "When a certificate expires, since the epoch.";
    LOG_LINES_DROPPED: "tidelog_log_lines_dropped_total", Counter, Count, ["reason"], "",
        "Lines missing from the log, by reason.";
    APPLICATION_DATA_REFUSED: "tidelog_application_data_refused_total", Counter, Count, [], "",
        "Metrics of applications (PutMetricData) dropped: there are too many series, or their labels are too long.";
}

/// Metrics of single Raft groups, as [`super::raft_groups`] renders them.
pub const GROUP_LEVEL: [Metric; 2] = [
    series(
        "tidelog_group_term",
        Gauge,
        Unit::Count,
        &["group"],
        "",
        "The newest term of a Raft group that this node knows; it grows with every election.",
    ),
    series(
        "tidelog_group_behind_entries",
        Gauge,
        Unit::Count,
        &["group", "node"],
        "",
        "Entries that another node lacks of a Raft group, reported by the group's leader alone.",
    ),
];

/// Labels of a stream.
const OF_STREAM: &[&str] = &["account", "region", "stream"];
/// Labels of a shard.
const OF_SHARD: &[&str] = &["account", "region", "stream", "shard"];

/// Metrics of the streams that were refused something.
pub const STREAM_LEVEL: [Metric; 2] = [
    series(
        "tidelog_stream_write_throttled_records_total",
        Counter,
        Unit::Count,
        OF_STREAM,
        "",
        "Records of a stream refused for its shards' budgets, of streams that were refused something.",
    ),
    series(
        "tidelog_stream_read_throttled_calls_total",
        Counter,
        Unit::Count,
        OF_STREAM,
        "",
        "Read calls of a stream refused for its shards' budgets, of streams that were refused something.",
    ),
];

/// Metrics of single shards, in the order of the service model, as bits of shard-level metrics are.
pub const SHARD_LEVEL: [Metric; 7] = [
    series(
        "tidelog_shard_incoming_bytes_total",
        Counter,
        Unit::Bytes,
        OF_SHARD,
        "IncomingBytes",
        "Bytes of data and keys a shard accepted.",
    ),
    series(
        "tidelog_shard_incoming_records_total",
        Counter,
        Unit::Count,
        OF_SHARD,
        "IncomingRecords",
        "Records a shard accepted.",
    ),
    series(
        "tidelog_shard_outgoing_bytes_total",
        Counter,
        Unit::Bytes,
        OF_SHARD,
        "OutgoingBytes",
        "Bytes of data and keys GetRecords returned from a shard.",
    ),
    series(
        "tidelog_shard_outgoing_records_total",
        Counter,
        Unit::Count,
        OF_SHARD,
        "OutgoingRecords",
        "Records GetRecords returned from a shard.",
    ),
    series(
        "tidelog_shard_write_throttled_records_total",
        Counter,
        Unit::Count,
        OF_SHARD,
        "WriteProvisionedThroughputExceeded",
        "Records refused for the shard's budget.",
    ),
    series(
        "tidelog_shard_read_throttled_calls_total",
        Counter,
        Unit::Count,
        OF_SHARD,
        "ReadProvisionedThroughputExceeded",
        "GetRecords calls refused for the shard's budget.",
    ),
    series(
        "tidelog_shard_iterator_age_seconds",
        Gauge,
        Unit::Seconds,
        OF_SHARD,
        "IteratorAgeMilliseconds",
        "How far behind the tip the last GetRecords call was.",
    ),
];

/// Series of shards that a page leaves out.
pub const SHARD_SERIES_LEFT_OUT: Metric = series(
    "tidelog_shard_series_left_out",
    Gauge,
    Unit::Count,
    &[],
    "",
    "Series of single shards that are left out of this page, because there are too many.",
);

const fn series(
    name: &'static str,
    kind: Kind,
    unit: Unit,
    labels: &'static [&'static str],
    cloudwatch: &'static str,
    sentence: &'static str,
) -> Metric {
    Metric { name, kind, unit, labels, cloudwatch, sentence }
}
