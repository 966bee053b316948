//! Writing records: [`Producer`]. The path of a record, from the outside in: it waits in the lane of its shard
//! (`lanes`), is sent in a batch until the outcome is known (`batch` decides, `delivery` sends), and tells its
//! [`Receipt`] (`receipt`). One task drives it all (`driver`).

mod batch;
mod delivery;
mod driver;
mod lanes;
mod options;
mod receipt;
mod record;
#[cfg(test)]
mod tests;

use std::sync::Arc;

use tokio::sync::{Semaphore, mpsc, oneshot};
use tokio::task::JoinHandle;

use delivery::Destination;
use driver::{Command, Driver};
use lanes::Lanes;
pub use options::ProducerBuilder;
use receipt::Pending;
pub use receipt::{Acknowledgement, Receipt, Undelivered};
pub use record::NewRecord;

use crate::connection::Connection;
use crate::error::{Error, Reason};

/// Bytes that a record takes of the buffer beyond its key and data.
const RECORD_OVERHEAD_BYTES: usize = 256;

/// Records between [`Producer::send`] and the task; the buffer bounds the bytes.
const COMMANDS_MAX: usize = 1_024;

/// Writes records to a stream, in batches.
///
/// **Outcomes.** Every record that [`send`](Self::send) has accepted ends in one outcome: where it stands, or an
/// error that says whether it may be written nevertheless. Only the records that failed are tried again, until the
/// delivery timeout. A batch whose outcome is unknown is sent again under its number, to any node, and the broker
/// drops the records that it has already: retries write nothing twice. Only records that the application sends
/// twice are there twice.
///
/// **Order.** Records of one key are written in the order in which they were sent, also across failures, retries
/// and reshards; a record that was given up does not hold up those behind it. For this there is one lane for each
/// open shard, with one batch under way at a time, and at most 64 batches in all. It costs throughput where the way
/// to the broker is long: a shard takes up to 500 records (or one aggregated record) in each round trip. The memory
/// of both sides stays small: each lane is a producer of its own to the broker, and has nothing but its present
/// batch unsettled, so that a shard that cannot be written to holds up no other.
///
/// **Backpressure.** Records between acceptance and outcome are bounded in bytes; [`send`](Self::send) waits for room.
///
/// **Aggregation**, when it is on, packs the waiting records of a shard into one. When a reshard comes between, the
/// parts that no longer belong to the shard are written again where they belong, and readers leave them out where they
/// do not: this crate's and KCL do so, as KPL does on its side.
///
/// ```no_run
/// # async fn run() -> Result<(), Box<dyn std::error::Error>> {
/// use tidelog_client::{Connection, NewRecord, Producer};
///
/// let connection = Connection::to(["http://127.0.0.1:4567"]).build()?;
/// let producer = Producer::builder(&connection, "orders").build()?;
/// let receipt = producer.send(NewRecord::new("customer-7", "a line")).await?;
/// println!("written to {}", receipt.await?.shard_id);
/// producer.close().await;
/// # Ok(())
/// # }
/// ```
///
/// A producer that is dropped goes on in the background until every record that it has accepted has its outcome.
#[derive(Debug)]
pub struct Producer {
    commands: mpsc::Sender<Command>,
    buffer: Arc<Semaphore>,
    buffer_bytes_max: usize,
    driver: JoinHandle<()>,
}

impl Producer {
    /// A producer for a stream, by its name or ARN.
    pub fn builder(connection: &Connection, stream: impl Into<String>) -> ProducerBuilder {
        ProducerBuilder::new(connection, stream.into())
    }

    fn start(options: ProducerBuilder) -> Self {
        let (commands, taken) = mpsc::channel(COMMANDS_MAX);
        let destination = Destination { connection: options.connection, stream: options.stream };
        let delivery_timeout = options.limits.delivery_timeout;
        let driver = Driver::new(destination, Lanes::new(options.limits), delivery_timeout);
        Self {
            commands,
            buffer: Arc::new(Semaphore::new(options.buffer_bytes_max)),
            buffer_bytes_max: options.buffer_bytes_max,
            driver: tokio::spawn(driver.run(taken)),
        }
    }

    /// Accepts a record, once there is room for it. The receipt tells its outcome; it need not be awaited before the
    /// next record is sent. When this call is cancelled the record was not accepted.
    ///
    /// # Errors
    /// [`Reason::Invalid`]: the record is out of bounds. [`Reason::Closed`]: the producer's runtime has ended. Either
    /// way it was not accepted.
    pub async fn send(&self, record: NewRecord) -> Result<Receipt, Error> {
        record.check()?;
        let closed = || Error::new(Reason::Closed, "the producer is closed");
        // A record above the whole buffer has it for itself.
        let bytes = (record.bytes() + RECORD_OVERHEAD_BYTES).min(self.buffer_bytes_max);
        let bytes = u32::try_from(bytes).expect("the buffer has up to 1 GiB");
        let share = self.buffer.clone().acquire_many_owned(bytes).await.map_err(|_| closed())?;
        let place = self.commands.reserve().await.map_err(|_| closed())?;
        let buffered = self.buffer_bytes_max - self.buffer.available_permits();
        metrics::gauge!(crate::metrics::BUFFERED_BYTES).set(buffered as f64);
        let (pending, receipt) = Pending::new(record, share);
        place.send(Command::Send(pending));
        Ok(receipt)
    }

    /// Sends waiting records without further delay, and returns once every record that was accepted before has its
    /// outcome. Takes up to the delivery timeout and one request.
    pub async fn flush(&self) {
        let (flushed, done) = oneshot::channel();
        if self.commands.send(Command::Flush(flushed)).await.is_ok() {
            // An error means that the task is gone, and all records with it.
            let _ = done.await;
        }
    }

    /// Flushes, and ends the producer.
    pub async fn close(self) {
        drop(self.commands);
        if let Err(failed) = self.driver.await
            && failed.is_panic()
        {
            std::panic::resume_unwind(failed.into_panic());
        }
    }
}
