//! Records on their way into the logs of the groups that are led here.

mod batcher;

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{OwnedSemaphorePermit, Semaphore, oneshot};

pub use self::batcher::PartAnswer;
use self::batcher::{Batcher, Part};
use super::metadata::META_GROUP;
use super::raft::Rafts;
use super::types::command::SubBatch;
use super::workers::flush_worker::FlushHandle;
use super::workers::log_bound::LogBound;
use crate::shell::Shell;

/// The queues of records, one per group, within one bound of bytes in flight.
pub struct Appends {
    batchers: Vec<Batcher>,
    in_flight: Arc<Semaphore>,
    in_flight_bytes_max: usize,
}

impl Appends {
    /// Starts the queue of each group. All of them together have at most `in_flight_bytes_max` bytes under way.
    pub fn start(
        rafts: &Rafts,
        flush: &FlushHandle,
        log_bound: &Arc<LogBound>,
        shell: &Shell,
        in_flight_bytes_max: usize,
    ) -> Self {
        let batchers = rafts.iter().map(|(group, raft)| Batcher::start(group, raft, flush, log_bound, shell));
        Self {
            batchers: batchers.collect(),
            in_flight: Arc::new(Semaphore::new(in_flight_bytes_max)),
            in_flight_bytes_max,
        }
    }

    /// Queues sub-batches for a data group that is led here. The receiver gets one outcome per sub-batch; a closed
    /// channel is an unknown outcome. Waits while the node has the most bytes in flight.
    pub async fn append(&self, group: u8, batches: Vec<SubBatch>) -> oneshot::Receiver<PartAnswer> {
        assert_ne!(group, META_GROUP, "records for the metadata group");
        let bytes = batches.iter().map(|batch| batch.body.len()).sum::<usize>().min(self.in_flight_bytes_max);
        let share = self.in_flight.clone().acquire_many_owned(bytes as u32).await;
        let (answer, outcome) = oneshot::channel();
        let part = Part { batches, share: share.expect("the semaphore is never closed"), answer };
        self.batchers[usize::from(group)].enqueue(part).await;
        outcome
    }

    /// Returns once no entry of records of the group is under way, or `None` when that takes longer than `deadline`. No
    /// further entry is proposed before the caller drops the returned permit.
    pub async fn pause(&self, group: u8, deadline: Duration) -> Option<OwnedSemaphorePermit> {
        self.batchers[usize::from(group)].pause(deadline).await
    }
}
