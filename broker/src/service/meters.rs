//! The service's metrics, looked up once: a lookup by name costs more than counting.

use metrics::{Counter, Histogram};

use crate::observability as names;

/// Handles of what the service counts.
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
    pub iterator_age_milliseconds: Histogram,
}

impl Meters {
    /// Handles of the recorder that is installed now.
    pub fn new() -> Self {
        Self {
            incoming_bytes: metrics::counter!(names::INCOMING_BYTES),
            incoming_records: metrics::counter!(names::INCOMING_RECORDS),
            outgoing_bytes: metrics::counter!(names::OUTGOING_BYTES),
            outgoing_records: metrics::counter!(names::OUTGOING_RECORDS),
            write_throttled_records: metrics::counter!(names::WRITE_THROTTLED_RECORDS),
            read_throttled_calls: metrics::counter!(names::READ_THROTTLED_CALLS),
            iterator_age_milliseconds: metrics::histogram!(names::ITERATOR_AGE_MILLISECONDS),
        }
    }
}
