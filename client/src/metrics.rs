//! The names of the client's metrics, which it records by the `metrics` crate: install a recorder to see them.

/// Counter: records that were acknowledged.
pub const RECORDS_WRITTEN: &str = "tidelog_client_records_written_total";

/// Counter: records that were given up, by `written`: `no` or `maybe`.
pub const RECORDS_FAILED: &str = "tidelog_client_records_failed_total";

/// Counter: records that failed with a known outcome and were put into a later batch.
pub const RECORDS_RETRIED: &str = "tidelog_client_records_retried_total";

/// Counter: batches that were sent for the first time.
pub const BATCHES_SENT: &str = "tidelog_client_batches_sent_total";

/// Counter: batches that were sent again because their outcome was unknown.
pub const BATCHES_SENT_AGAIN: &str = "tidelog_client_batches_sent_again_total";

/// Histogram: seconds from the sending of a batch to its answer.
pub const PUT_SECONDS: &str = "tidelog_client_put_seconds";

/// Histogram: seconds from the acceptance of a record to its acknowledgement.
pub const DELIVERY_SECONDS: &str = "tidelog_client_delivery_seconds";

/// Gauge: bytes of records between acceptance and outcome.
pub const BUFFERED_BYTES: &str = "tidelog_client_buffered_bytes";

/// Counter: records that were handed out to the application.
pub const RECORDS_READ: &str = "tidelog_client_records_read_total";

/// Counter: subscriptions that were made again after a failure.
pub const RESUBSCRIPTIONS: &str = "tidelog_client_resubscriptions_total";

/// Counter: leases that went to another member before they were released.
pub const LEASES_LOST: &str = "tidelog_client_leases_lost_total";

/// Gauge: shards that are leased to this consumer.
pub const LEASES: &str = "tidelog_client_leases";

/// Counter: times a consumer had to join its group anew.
pub const REJOINS: &str = "tidelog_client_rejoins_total";

/// Counter: changes to another node of the list.
pub const NODE_CHANGES: &str = "tidelog_client_node_changes_total";
