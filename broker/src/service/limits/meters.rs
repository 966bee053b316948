//! The service's metrics, looked up once: a lookup by name costs more than counting.

use metrics::{Counter, Gauge, Histogram};

use crate::limits::ShardLimits;
use crate::observability as names;

/// Handles of the service's metrics.
pub struct Meters {
    /// Data and keys taken.
    pub incoming_bytes: Counter,
    /// Records taken.
    pub incoming_records: Counter,
    /// Data and keys given.
    pub outgoing_bytes: Counter,
    /// Records given.
    pub outgoing_records: Counter,
    /// Records refused for their shard's budget.
    pub write_throttled_records: Counter,
    /// Read calls refused for their shard's budget.
    pub read_throttled_calls: Counter,
    /// How far behind readers are.
    pub iterator_age_seconds: Histogram,
    /// Subscriptions begun.
    pub subscriptions_begun: Counter,
    /// Subscriptions refused because they came too soon.
    pub subscriptions_refused: Counter,
    /// Subscriptions open now.
    pub subscriptions: Gauge,
    /// Events given to them.
    pub subscription_events: Counter,
    /// Data and keys in those.
    pub subscription_bytes: Counter,
    /// Records in those.
    pub subscription_records: Counter,
    /// How far behind those with records were.
    pub subscription_seconds_behind: Histogram,
}

impl Meters {
    /// Handles of the recorder that is installed now, which also gets the limits as gauges.
    pub fn new(limits: &ShardLimits) -> Self {
        for (name, limit) in [
            (names::SHARD_WRITE_LIMIT_BYTES, limits.write_bytes_per_second),
            (names::SHARD_WRITE_LIMIT_RECORDS, limits.write_records_per_second),
        ] {
            metrics::gauge!(name).set(limit.map_or(f64::INFINITY, |limit| limit as f64));
        }
        Self {
            incoming_bytes: metrics::counter!(names::INCOMING_BYTES),
            incoming_records: metrics::counter!(names::INCOMING_RECORDS),
            outgoing_bytes: metrics::counter!(names::OUTGOING_BYTES),
            outgoing_records: metrics::counter!(names::OUTGOING_RECORDS),
            write_throttled_records: metrics::counter!(names::WRITE_THROTTLED_RECORDS),
            read_throttled_calls: metrics::counter!(names::READ_THROTTLED_CALLS),
            iterator_age_seconds: metrics::histogram!(names::ITERATOR_AGE_SECONDS),
            subscriptions_begun: metrics::counter!(names::SUBSCRIPTIONS_BEGUN),
            subscriptions_refused: metrics::counter!(names::SUBSCRIPTIONS_REFUSED),
            subscriptions: metrics::gauge!(names::SUBSCRIPTIONS),
            subscription_events: metrics::counter!(names::SUBSCRIPTION_EVENTS),
            subscription_bytes: metrics::counter!(names::SUBSCRIPTION_BYTES),
            subscription_records: metrics::counter!(names::SUBSCRIPTION_RECORDS),
            subscription_seconds_behind: metrics::histogram!(names::SUBSCRIPTION_SECONDS_BEHIND),
        }
    }
}
