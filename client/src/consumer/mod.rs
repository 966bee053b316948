//! Reading records: [`Consumer`] as a member of a group, [`Reader`] on its own. A task of its own reads each shard
//! (`shard_reading`); a group's membership (`membership`) decides which, a reader's lineage (`lineage`) in which order.

mod batch;
mod group;
mod lease;
mod lineage;
mod membership;
mod options;
mod reader;
mod record;
mod shard_reading;
#[cfg(test)]
mod tests;

use std::sync::Arc;

use tidelog_proto::v1::{self, progress};
use tokio::sync::{mpsc, oneshot};
use tokio::task::JoinHandle;

pub use batch::Batch;
use group::Group;
use lease::InHand;
use membership::{Delivery, Membership};
pub use options::{Checkpoints, ConsumerBuilder};
pub use reader::{Reader, ReaderBuilder, Records};
pub use record::{Position, Record};
use shard_reading::Source;

use crate::connection::Connection;
use crate::error::{Error, Reason};

/// Messages that wait to be handed out. Each shard that is read holds one more.
const WAITING_MAX: usize = 4;

/// Reads a stream as a member of a consumer group: the group's shards are shared among its members, and how far each
/// was processed is kept by the broker.
///
/// Records of a key come in order, also across reshards: a child shard begins when all of its parents are finished.
/// Every record is processed at least once. It comes again, to this member or to another, when its checkpoint was not
/// recorded: after a crash, or when a member could not reach the broker for the lease time.
///
/// By default a batch counts as processed when [`next`](Self::next) is called again, and is recorded within a
/// second; with [`Checkpoints::Manual`] the application says so by [`Batch::checkpoint`].
///
/// When another member is to have a shard, no more of it is handed out, and it is released as soon as the application
/// has no batch of it any more. So do not hold batches for longer than the lease time.
///
/// ```no_run
/// # async fn run() -> Result<(), Box<dyn std::error::Error>> {
/// use tidelog_client::{Connection, Consumer};
///
/// let connection = Connection::to(["http://127.0.0.1:4567"]).build()?;
/// let mut consumer = Consumer::builder(&connection, "orders", "billing").build()?;
/// loop {
///     let batch = consumer.next().await?;
///     for record in batch.records() {
///         println!("{} has {} bytes", record.sequence_number, record.data.len());
///     }
/// }
/// # }
/// ```
///
/// A consumer that is dropped leaves its group, and the last batch counts as not processed.
#[derive(Debug)]
pub struct Consumer {
    group: Arc<Group>,
    checkpoints: Checkpoints,
    deliveries: mpsc::Receiver<Delivery>,
    /// Handed out, and processed with the next call.
    in_hand: Option<(InHand, progress::Reached)>,
    stop: oneshot::Sender<()>,
    membership: JoinHandle<()>,
}

impl Consumer {
    /// A member of `group`, which reads the stream of that name or ARN. The group's name has 1 to 128 of
    /// `[a-zA-Z0-9_.-]`; it comes into being with its first member.
    pub fn builder(
        connection: &Connection,
        stream: impl Into<String>,
        group: impl Into<String>,
    ) -> ConsumerBuilder {
        ConsumerBuilder::new(connection, stream.into(), group.into())
    }

    fn start(group: Group, source: Source, checkpoints: Checkpoints) -> Self {
        let group = Arc::new(group);
        let (sender, deliveries) = mpsc::channel(WAITING_MAX);
        let (stop, stopped) = oneshot::channel();
        let membership = Membership::new(group.clone(), Arc::new(source), sender);
        let membership = tokio::spawn(membership.run(stopped));
        Self { group, checkpoints, deliveries, in_hand: None, stop, membership }
    }

    /// The next records of any of this member's shards; waits until there are some. May be cancelled without losing
    /// anything.
    ///
    /// # Errors
    /// An error that does not pass by itself, such as [`Reason::NotFound`] for a stream that is gone; afterwards
    /// [`Reason::Closed`] when the membership has ended with it.
    pub async fn next(&mut self) -> Result<Batch, Error> {
        self.count_as_processed();
        loop {
            let delivery = self.deliveries.recv().await;
            let (lease, read) = match delivery {
                None => return Err(Error::new(Reason::Closed, "the consumer is no longer in its group")),
                Some(Delivery::Failed(error)) => return Err(error),
                Some(Delivery::Records(lease, read)) => (lease, Some(read)),
                Some(Delivery::End(lease)) => (lease, None),
            };
            let reached = read.as_ref().map_or_else(
                || progress::Reached::Finished(v1::Finished {}),
                |read| progress::Reached::SequenceNumber(read.sequence_number.clone()),
            );
            // Records read under a lease that is revoked or lost belong to another member.
            let Some(in_hand) = lease.take_in_hand() else { continue };
            if self.checkpoints == Checkpoints::Automatic {
                if read.is_none() {
                    lease.process(reached);
                    continue;
                }
                self.in_hand = Some((in_hand.clone(), reached.clone()));
            }
            let (records, millis_behind_latest) =
                read.map_or_else(Default::default, |read| (read.records, read.millis_behind_latest));
            return Ok(Batch { records, millis_behind_latest, reached, in_hand, group: self.group.clone() });
        }
    }

    /// Leaves the group, so that others have its shards at once. With automatic checkpoints the last batch counts as
    /// processed, and is recorded.
    pub async fn close(mut self) {
        self.count_as_processed();
        let _ = self.stop.send(());
        // Nothing more is handed out; tasks that want to are let go.
        drop(self.deliveries);
        if let Err(failed) = self.membership.await
            && failed.is_panic()
        {
            std::panic::resume_unwind(failed.into_panic());
        }
    }

    fn count_as_processed(&mut self) {
        if let Some((in_hand, reached)) = self.in_hand.take() {
            in_hand.lease().process(reached);
        }
    }
}
