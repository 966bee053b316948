//! The options of a producer, with bounds and defaults.

use std::ops::RangeInclusive;
use std::time::Duration;

use super::Producer;
use super::record::RECORD_BYTES_MAX;
use crate::connection::Connection;
use crate::error::{Error, Reason};

/// Records in one batch, as the broker takes them.
const BATCH_RECORDS: RangeInclusive<usize> = 1..=500;

/// Bytes of keys and data in one batch. One record above it goes alone.
const BATCH_BYTES: RangeInclusive<usize> = 1..=RECORD_BYTES_MAX;

/// Bytes between acceptance and outcome.
const BUFFER_BYTES: RangeInclusive<usize> = 1 << 16..=1 << 30;

/// Bytes of an aggregated record: KCL reads any, a stream takes up to 1 MiB by default.
const AGGREGATE_BYTES: RangeInclusive<usize> = 64..=1_000_000;

const LINGER_MAX: Duration = Duration::from_secs(60);

/// Brokers forget a producer after an hour; they must still know a batch that is sent again.
const DELIVERY_TIMEOUT: RangeInclusive<Duration> = Duration::from_millis(100)..=Duration::from_secs(1_800);

/// How a producer is to be. Made by [`Producer::builder`].
#[derive(Clone, Debug)]
pub struct ProducerBuilder {
    pub(super) connection: Connection,
    pub(super) stream: String,
    pub(super) limits: Limits,
    pub(super) buffer_bytes_max: usize,
}

/// The limits by which batches are made.
#[derive(Clone, Debug)]
pub(super) struct Limits {
    pub linger: Duration,
    pub batch_records_max: usize,
    pub batch_bytes_max: usize,
    pub delivery_timeout: Duration,
    /// Bytes of an aggregated record; `None`: records are written as they are.
    pub aggregate_bytes_max: Option<usize>,
}

impl ProducerBuilder {
    pub(super) fn new(connection: &Connection, stream: String) -> Self {
        let limits = Limits {
            linger: Duration::from_millis(5),
            batch_records_max: 500,
            batch_bytes_max: 1 << 20,
            delivery_timeout: Duration::from_secs(120),
            aggregate_bytes_max: None,
        };
        Self { connection: connection.clone(), stream, limits, buffer_bytes_max: 32 << 20 }
    }

    /// How long a record waits for others to travel with: up to a minute, by default 5 ms. Full batches, and
    /// records that gather while the batch before them is under way, do not wait.
    #[must_use]
    pub fn linger(mut self, linger: Duration) -> Self {
        self.limits.linger = linger;
        self
    }

    /// Records in one batch: 1 to 500, by default 500.
    #[must_use]
    pub fn batch_records_max(mut self, records: usize) -> Self {
        self.limits.batch_records_max = records;
        self
    }

    /// Bytes of keys and data in one batch: 1 to 10 MiB, by default 1 MiB. A larger record goes alone.
    #[must_use]
    pub fn batch_bytes_max(mut self, bytes: usize) -> Self {
        self.limits.batch_bytes_max = bytes;
        self
    }

    /// Bytes that records between acceptance and outcome may have, each counted with 256 bytes more than its key and
    /// data: 64 KiB to 1 GiB, by default 32 MiB. Beyond it [`send`](Producer::send) waits.
    #[must_use]
    pub fn buffer_bytes_max(mut self, bytes: usize) -> Self {
        self.buffer_bytes_max = bytes;
        self
    }

    /// How long a record is tried for: 100 ms to 30 minutes, by default 2 minutes.
    #[must_use]
    pub fn delivery_timeout(mut self, timeout: Duration) -> Self {
        self.limits.delivery_timeout = timeout;
        self
    }

    /// Puts many records into one of the stream, in the format of KPL, with up to so many bytes: 64 to 1,000,000. It
    /// pays where limits of records per second count; readers must take them apart, as this crate and KCL do. Off by
    /// default; KPL's own bound is 51,200.
    #[must_use]
    pub fn aggregate_bytes_max(mut self, bytes: usize) -> Self {
        self.limits.aggregate_bytes_max = Some(bytes);
        self
    }

    /// The producer, at work in the background of the Tokio runtime that this is called in.
    ///
    /// # Errors
    /// [`Reason::Invalid`] when a value is out of its bounds.
    pub fn build(self) -> Result<Producer, Error> {
        let limits = &self.limits;
        let checks = [
            (limits.linger <= LINGER_MAX, "linger is up to a minute"),
            (BATCH_RECORDS.contains(&limits.batch_records_max), "batch_records_max is 1 to 500"),
            (BATCH_BYTES.contains(&limits.batch_bytes_max), "batch_bytes_max is 1 to 10 MiB"),
            (BUFFER_BYTES.contains(&self.buffer_bytes_max), "buffer_bytes_max is 64 KiB to 1 GiB"),
            (DELIVERY_TIMEOUT.contains(&limits.delivery_timeout), "delivery_timeout is 100 ms to 30 minutes"),
            (
                limits.aggregate_bytes_max.is_none_or(|bytes| AGGREGATE_BYTES.contains(&bytes)),
                "aggregate_bytes_max is 64 to 1,000,000",
            ),
            (!self.stream.is_empty(), "a stream has a name"),
        ];
        match checks.into_iter().find(|(holds, _)| !holds) {
            Some((_, message)) => Err(Error::new(Reason::Invalid, message)),
            None => Ok(Producer::start(self)),
        }
    }
}
