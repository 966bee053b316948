//! The outcome of a record, exactly one for each. A [`Pending`] record carries the sender of its [`Receipt`]
//! through lanes and batches.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use tokio::sync::{OwnedSemaphorePermit, oneshot};
use tokio::time::Instant;

use super::record::NewRecord;
use crate::error::{Error, Reason};

/// The acknowledgement of a record: it is durable, under this sequence number.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Acknowledgement {
    /// Such as `shardId-000000000000`.
    pub shard_id: String,
    /// Decimal; increases within a shard. Records that were aggregated share one.
    pub sequence_number: String,
}

/// A record that was given up.
#[derive(Clone, Debug, thiserror::Error)]
#[error("{}: {error}", if *.may_be_written { "may be written or not" } else { "not written" })]
pub struct Undelivered {
    may_be_written: bool,
    #[source]
    error: Error,
}

impl Undelivered {
    /// Whether the record may be in the stream after all, now or later. If not, it certainly is not.
    pub fn may_be_written(&self) -> bool {
        self.may_be_written
    }

    /// Returns the error that the last attempt ended with.
    pub fn error(&self) -> &Error {
        &self.error
    }
}

/// The outcome of a record that was accepted, to be awaited. Dropping it changes nothing for the record.
#[derive(Debug)]
#[must_use = "the record is accepted, and not yet written"]
pub struct Receipt(oneshot::Receiver<Result<Acknowledgement, Undelivered>>);

impl Future for Receipt {
    type Output = Result<Acknowledgement, Undelivered>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        let outcome = ready!(Pin::new(&mut self.0).poll(context));
        Poll::Ready(outcome.unwrap_or_else(|_| {
            let error = Error::new(Reason::Closed, "the producer's runtime ended before the outcome");
            Err(Undelivered { may_be_written: true, error })
        }))
    }
}

/// A record on its way.
#[derive(Debug)]
pub(super) struct Pending {
    pub record: NewRecord,
    pub hash_key: u128,
    /// Counts the records that the producer has accepted; set when it comes to its lane, as the deadline is.
    pub order: u64,
    pub accepted: Instant,
    pub deadline: Instant,
    /// The error of the last attempt, when all attempts are known not to have written the record.
    pub failed: Option<Error>,
    outcome: oneshot::Sender<Result<Acknowledgement, Undelivered>>,
    /// The record's share of the buffer.
    _share: OwnedSemaphorePermit,
    /// Dropped with the record: a flush waits until no pending record has a clone.
    pub flush: Arc<()>,
}

impl Pending {
    pub fn new(record: NewRecord, share: OwnedSemaphorePermit) -> (Self, Receipt) {
        let (outcome, receipt) = oneshot::channel();
        let now = Instant::now();
        let hash_key = record.hash_key();
        let flush = Arc::default();
        let pending = Self {
            record,
            hash_key,
            order: 0,
            accepted: now,
            deadline: now,
            failed: None,
            outcome,
            _share: share,
            flush,
        };
        (pending, Receipt(receipt))
    }

    pub fn is_late(&self, now: Instant) -> bool {
        self.deadline <= now
    }

    /// The record is written.
    pub fn acknowledge(self, acknowledgement: Acknowledgement) {
        metrics::counter!(crate::metrics::RECORDS_WRITTEN).increment(1);
        metrics::histogram!(crate::metrics::DELIVERY_SECONDS).record(self.accepted.elapsed().as_secs_f64());
        // A receipt that nobody waits for is gone, which is fine.
        let _ = self.outcome.send(Ok(acknowledgement));
    }

    /// The record is given up.
    pub fn give_up(self, may_be_written: bool, error: Error) {
        let written = if may_be_written { "maybe" } else { "no" };
        metrics::counter!(crate::metrics::RECORDS_FAILED, "written" => written).increment(1);
        let _ = self.outcome.send(Err(Undelivered { may_be_written, error }));
    }

    /// The record is given up because it was not written in its time.
    pub fn expire(mut self) {
        let error = self.failed.take().unwrap_or_else(|| {
            Error::new(Reason::Unavailable, "the delivery timeout ended before it could be sent")
        });
        self.give_up(false, error);
    }
}
