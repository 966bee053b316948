//! Encoded records for a group that this node leads, of another node or of this one: charged, dated and proposed here.
//!
//! They come encoded, and go into the log as they are, without the records that are beyond their shard's limits.
//! Nothing is charged unless this node leads the group. Called by the peers' server, and by [`super::forward`] when
//! this node has become the leader.

#![expect(
    clippy::disallowed_types,
    reason = "an ordered put holds the front of its queue until it is queued at its group"
)]

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use tidelog_proto::peer;
use tidelog_storage::record::{BodyError, Records, choose};
use tidelog_storage::shard::ShardKey;
use tokio::sync::{Mutex, OwnedSemaphorePermit};
use tokio::time::{Instant, timeout};

use super::Appender;
use super::messages::{read_batch, send_response};
use super::outcomes::{BatchOutcome, PartError};
use super::prepare::ChargeUnit;
use crate::model::stream::{Catalog, Shard, Stream};
use crate::replication::{AppendOutcome, DATA_GROUPS, Leader, META_GROUP, SubBatch};

/// How long a part waits for the end of an election that this node may have won.
const TAKING_OVER: Duration = Duration::from_millis(200);

impl From<BodyError> for PartError {
    fn from(error: BodyError) -> Self {
        Self::Refused(error.to_string())
    }
}

/// The queues of the ordered puts of one link, one for each group.
#[derive(Debug, Default)]
pub struct LinkQueues([OrderedQueue; DATA_GROUPS as usize]);

/// The ordered puts of one link for one group.
#[derive(Debug, Default)]
pub struct OrderedQueue {
    /// Locked by the put that is not in the group's queue yet; later puts wait for it.
    front: Mutex<()>,
    /// Set once a put was not proposed: it will be sent again over another link, and no later put may come before it.
    is_fenced: AtomicBool,
}

impl OrderedQueue {
    fn is_fenced(&self) -> bool {
        self.is_fenced.load(Ordering::Relaxed)
    }

    fn fence(&self) {
        self.is_fenced.store(true, Ordering::Relaxed);
    }
}

impl LinkQueues {
    fn of(&self, request: &peer::PutRequest) -> Option<&OrderedQueue> {
        let group = usize::try_from(request.group).ok()?.checked_sub(1)?;
        self.0.get(group).filter(|_| request.in_order)
    }

    /// The answer to a put that this node does not take; fences the queue of an ordered one.
    pub fn refuse(&self, request: &peer::PutRequest) -> peer::PutResponse {
        if let Some(queue) = self.of(request) {
            queue.fence();
        }
        peer::PutResponse { id: request.id, ..send_response(Err(PartError::NotProposed)) }
    }
}

impl Appender {
    /// Takes a part of a request that came to another node, in the order of `queue` if the part has one. Returns one
    /// outcome per sub-batch.
    ///
    /// # Errors
    /// [`PartError`].
    pub async fn receive(
        &self,
        group: u8,
        batches: Vec<SubBatch>,
        is_charged: bool,
        queue: Option<&OrderedQueue>,
    ) -> Result<Vec<BatchOutcome>, PartError> {
        let Some(queue) = queue else { return self.receive_now(group, batches, is_charged, || ()).await };
        let mut front = Some(queue.front.lock().await);
        if queue.is_fenced() {
            return Err(PartError::NotProposed);
        }
        let received = self.receive_now(group, batches, is_charged, || front = None).await;
        if received == Err(PartError::NotProposed) {
            queue.fence();
        }
        received
    }

    /// Takes a part, whose order the caller keeps if it has one. Calls `queued` when the part is in the group's queue.
    async fn receive_now(
        &self,
        group: u8,
        mut batches: Vec<SubBatch>,
        is_charged: bool,
        queued: impl FnOnce(),
    ) -> Result<Vec<BatchOutcome>, PartError> {
        // A gateway that learns of a new leader sends at once, before that leader knows that a majority follows it.
        if self.groups.leadership().leader_within(group, Instant::now() + TAKING_OVER).await != Leader::Here {
            return Err(PartError::NotProposed);
        }
        if let Some(refusal) = self.gate.refusal() {
            self.gate.count(refusal, batches.iter().map(|batch| u64::from(batch.count)).sum());
            return Err(PartError::Refused(refusal.to_string()));
        }
        let mut delivered = vec![BatchOutcome { outcome: None, throttled: Vec::new() }; batches.len()];
        if !is_charged {
            let catalog = self.catalog_with(&batches).await?;
            for (batch, delivered) in batches.iter_mut().zip(&mut delivered) {
                match find(&catalog, batch.shard) {
                    Some((stream, shard)) => delivered.throttled = self.charge_batch(stream, shard, batch)?,
                    None => delivered.outcome = Some(AppendOutcome::NoSuchShard),
                }
            }
        }
        let now_ms = self.groups.clock().now_ms();
        let mut going = Vec::with_capacity(batches.len());
        let mut awaited = Vec::with_capacity(batches.len());
        for (batch, delivered) in batches.into_iter().zip(&mut delivered) {
            if batch.count > 0 && delivered.outcome.is_none() {
                going.push(SubBatch { time_ms: now_ms, ..batch });
                awaited.push(&mut delivered.outcome);
            }
        }
        if !going.is_empty() {
            // Sub-batches that find no room were not queued.
            let queueing =
                self.groups.leadership().while_led_here(group, self.groups.appends().append(group, going));
            let outcome = queueing.await.ok_or(PartError::NotProposed)?;
            queued();
            let outcomes = self
                .groups
                .leadership()
                .while_led_here(group, outcome)
                .await
                .ok_or(PartError::Unknown)???;
            assert_eq!(outcomes.len(), awaited.len(), "one outcome per sub-batch");
            for (outcome, awaited) in outcomes.into_iter().zip(awaited) {
                *awaited = Some(outcome);
            }
        }
        Ok(delivered)
    }

    /// A catalog with the shards of these sub-batches, unless the shards are gone: the sender may have applied newer
    /// metadata than this node.
    async fn catalog_with(&self, batches: &[SubBatch]) -> Result<Arc<Catalog>, PartError> {
        let catalog = self.groups.catalog();
        if batches.iter().all(|batch| find(&catalog, batch.shard).is_some()) {
            return Ok(catalog);
        }
        self.groups.proposals().read_index(META_GROUP).await.map_err(|_| PartError::NotProposed)?;
        Ok(self.groups.catalog())
    }

    /// Charges the records of a sub-batch and leaves out those beyond the shard's limits, whose positions are returned.
    fn charge_batch(
        &self,
        stream: &Stream,
        shard: &Shard,
        batch: &mut SubBatch,
    ) -> Result<Vec<u32>, BodyError> {
        let records = Records::new(batch.body.clone()).collect::<Result<Vec<_>, _>>()?;
        let sized = (0..records.len()).map(|at| (at as u32, records[at].charged_bytes()));
        let mut throttled = Vec::new();
        let unit = ChargeUnit::of(batch.origin.is_some());
        let refuse = |position| throttled.push(position);
        self.charge((stream, shard), self.groups.clock().now_ms(), unit, sized, refuse);
        if !throttled.is_empty() {
            let count = batch.count - throttled.len() as u32;
            let is_taken = |at| throttled.binary_search(&at).is_err();
            // A batch with a stamp is left out completely.
            *batch = SubBatch::new(batch.shard, 0, count, choose(&batch.body, is_taken)?);
        }
        Ok(throttled)
    }

    /// A share of the memory for records of other nodes, for a part that has come. To be awaited in a task of its own,
    /// before the next part is taken.
    pub async fn share_of_received(&self, request: &peer::PutRequest) -> OwnedSemaphorePermit {
        let bytes_max = self.groups.sizes().received_bytes_max;
        let bytes = request.batches.iter().map(|batch| batch.body.len()).sum::<usize>().min(bytes_max);
        let share = self.received.clone().acquire_many_owned(bytes as u32).await;
        share.expect("the semaphore is never closed")
    }

    /// Takes a part for a peer, from a stream with these queues.
    pub async fn receive_for(&self, request: peer::PutRequest, queues: &LinkQueues) -> peer::PutResponse {
        let queue = queues.of(&request);
        let group = u8::try_from(request.group).ok().filter(|group| (1..=DATA_GROUPS).contains(group));
        let batches = request.batches.into_iter().map(read_batch).collect::<Option<Vec<_>>>();
        let received = match (group, batches) {
            (Some(group), Some(batches)) => {
                let deadline = Duration::from_millis(request.deadline_ms.into());
                let receiving = self.receive(group, batches, request.is_charged, queue);
                timeout(deadline, receiving).await.unwrap_or(Err(PartError::Unknown))
            }
            _ => Err(PartError::Refused("records that are damaged".into())),
        };
        peer::PutResponse { id: request.id, ..send_response(received) }
    }
}

fn find(catalog: &Catalog, key: ShardKey) -> Option<(&Stream, &Shard)> {
    let stream = catalog.by_uid(key.stream_uid)?;
    Some((stream, stream.shard(key.shard)?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_ordered_put_that_is_refused_fences_the_queue_of_its_group() {
        let queues = LinkQueues::default();
        let put = |group, in_order| peer::PutRequest { group, in_order, id: 7, ..Default::default() };
        for (group, in_order) in [(0, true), (u32::from(DATA_GROUPS) + 1, true), (u32::MAX, true), (2, false)]
        {
            assert!(queues.of(&put(group, in_order)).is_none(), "{group}");
        }
        assert_eq!(queues.refuse(&put(2, false)).id, 7);
        let fenced = |group| queues.of(&put(group, true)).is_some_and(OrderedQueue::is_fenced);
        assert!(!fenced(2));
        assert_eq!(queues.refuse(&put(2, true)).outcome(), peer::Outcome::NotProposed);
        assert!(fenced(2) && !fenced(1) && !fenced(3));
    }
}
