//! Records that came to another node, for a group that is led here: charged, dated and proposed here.
//!
//! They come encoded, and go into the log as they are unless some of a sub-batch are beyond their shard's limits: these
//! are left out. Nothing is charged when the group is led elsewhere. Called by the peers' server, and by
//! [`super::forward`] when this node has become the leader.

#![expect(clippy::disallowed_types, reason = "a put in order holds its turn until it is queued at its group")]

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use tidelog_proto::peer;
use tidelog_storage::record::{BodyError, Records, choose};
use tidelog_storage::shard::ShardKey;
use tokio::sync::{Mutex, OwnedSemaphorePermit, oneshot};
use tokio::time::{Instant, timeout};

use super::Appender;
use super::encode::Unit;
use super::messages::{read_batch, send_response};
use crate::model::stream::{Catalog, Shard, Stream};
use crate::replication::{AppendOutcome, DATA_GROUPS, Leader, META_GROUP, ProposeError, SubBatch};

/// How long a part waits for the end of an election that this node may have won.
const TAKING_OVER: Duration = Duration::from_millis(200);

/// What became of a sub-batch.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Delivered {
    /// What became of the records that were not beyond their shard's limits; `None` when all were.
    pub outcome: Option<AppendOutcome>,
    /// Positions in the sub-batch of those that were, ascending; they were left out.
    pub throttled: Vec<u32>,
}

/// Why a part has no outcome.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Undelivered {
    /// Nothing was proposed: another node leads the group.
    #[error("not proposed")]
    NotProposed,
    /// Nothing was proposed: this node takes no records right now.
    #[error("{0}")]
    Refused(String),
    /// It may be applied or not, now or later.
    #[error("outcome unknown")]
    Unknown,
}

impl From<ProposeError> for Undelivered {
    fn from(error: ProposeError) -> Self {
        match error {
            ProposeError::NotProposed => Self::NotProposed,
            ProposeError::Unknown => Self::Unknown,
        }
    }
}

impl From<oneshot::error::RecvError> for Undelivered {
    fn from(_: oneshot::error::RecvError) -> Self {
        Self::Unknown
    }
}

impl From<BodyError> for Undelivered {
    fn from(error: BodyError) -> Self {
        Self::Refused(error.to_string())
    }
}

/// Where the puts of one stream that are in order wait for those before them: a queue for each group.
#[derive(Debug, Default)]
pub struct Queues([Queue; DATA_GROUPS as usize]);

/// Of one group.
#[derive(Debug, Default)]
pub struct Queue {
    turn: Mutex<()>,
    /// One was not proposed and will be sent again, over another stream: those behind it must not come before that.
    is_broken: AtomicBool,
}

impl Queue {
    fn is_broken(&self) -> bool {
        self.is_broken.load(Ordering::Relaxed)
    }

    fn break_off(&self) {
        self.is_broken.store(true, Ordering::Relaxed);
    }
}

impl Queues {
    fn of(&self, request: &peer::PutRequest) -> Option<&Queue> {
        let group = usize::try_from(request.group).ok()?.checked_sub(1)?;
        self.0.get(group).filter(|_| request.in_order)
    }

    /// The answer to a put that nobody takes.
    pub fn turn_away(&self, request: &peer::PutRequest) -> peer::PutResponse {
        if let Some(queue) = self.of(request) {
            queue.break_off();
        }
        peer::PutResponse { id: request.id, ..send_response(Err(Undelivered::NotProposed)) }
    }
}

impl Appender {
    /// Takes a part of a request that came to another node, in its turn of a queue if it has one. One outcome per
    /// sub-batch.
    ///
    /// # Errors
    /// [`Undelivered`].
    pub async fn receive(
        &self,
        group: u8,
        batches: Vec<SubBatch>,
        is_paid: bool,
        queue: Option<&Queue>,
    ) -> Result<Vec<Delivered>, Undelivered> {
        let Some(queue) = queue else { return self.receive_now(group, batches, is_paid, || ()).await };
        let mut turn = Some(queue.turn.lock().await);
        if queue.is_broken() {
            return Err(Undelivered::NotProposed);
        }
        let received = self.receive_now(group, batches, is_paid, || turn = None).await;
        if received == Err(Undelivered::NotProposed) {
            queue.break_off();
        }
        received
    }

    /// As [`Self::receive`], without a turn. Calls `queued` when the part has its place.
    async fn receive_now(
        &self,
        group: u8,
        mut batches: Vec<SubBatch>,
        is_paid: bool,
        queued: impl FnOnce(),
    ) -> Result<Vec<Delivered>, Undelivered> {
        // Whoever is told of a new leader asks it at once: before it knows of itself that a majority follows it.
        if self.groups.leadership().leader_within(group, Instant::now() + TAKING_OVER).await != Leader::Here {
            return Err(Undelivered::NotProposed);
        }
        if let Some(refusal) = self.gate.refusal() {
            self.gate.count(refusal, batches.iter().map(|batch| u64::from(batch.count)).sum());
            return Err(Undelivered::Refused(refusal.to_string()));
        }
        let mut delivered = vec![Delivered { outcome: None, throttled: Vec::new() }; batches.len()];
        if !is_paid {
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
            // What finds no room was not queued.
            let queueing =
                self.groups.leadership().while_led_here(group, self.groups.appends().append(group, going));
            let outcome = queueing.await.ok_or(Undelivered::NotProposed)?;
            queued();
            let outcomes = self
                .groups
                .leadership()
                .while_led_here(group, outcome)
                .await
                .ok_or(Undelivered::Unknown)???;
            assert_eq!(outcomes.len(), awaited.len(), "one outcome per sub-batch");
            for (outcome, awaited) in outcomes.into_iter().zip(awaited) {
                *awaited = Some(outcome);
            }
        }
        Ok(delivered)
    }

    /// A catalog that has the shards of all of those, unless they are gone: the node that sends them may have heard of
    /// them earlier.
    async fn catalog_with(&self, batches: &[SubBatch]) -> Result<Arc<Catalog>, Undelivered> {
        let catalog = self.groups.catalog();
        if batches.iter().all(|batch| find(&catalog, batch.shard).is_some()) {
            return Ok(catalog);
        }
        self.groups.proposals().read_index(META_GROUP).await.map_err(|_| Undelivered::NotProposed)?;
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
        let unit = Unit::of(batch.origin.is_some());
        let refuse = |position| throttled.push(position);
        self.charge((stream, shard), self.groups.clock().now_ms(), unit, sized, refuse);
        if !throttled.is_empty() {
            let count = batch.count - throttled.len() as u32;
            let is_taken = |at| throttled.binary_search(&at).is_err();
            // What is stamped is left out as a whole.
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
    pub async fn receive_for(&self, request: peer::PutRequest, queues: &Queues) -> peer::PutResponse {
        let queue = queues.of(&request);
        let group = u8::try_from(request.group).ok().filter(|group| (1..=DATA_GROUPS).contains(group));
        let batches = request.batches.into_iter().map(read_batch).collect::<Option<Vec<_>>>();
        let received = match (group, batches) {
            (Some(group), Some(batches)) => {
                let deadline = Duration::from_millis(request.deadline_ms.into());
                let receiving = self.receive(group, batches, request.is_paid, queue);
                timeout(deadline, receiving).await.unwrap_or(Err(Undelivered::Unknown))
            }
            _ => Err(Undelivered::Refused("records that are damaged".into())),
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
    fn a_queue_is_broken_by_what_is_in_order_and_its_own() {
        let queues = Queues::default();
        let put = |group, in_order| peer::PutRequest { group, in_order, id: 7, ..Default::default() };
        for (group, in_order) in [(0, true), (u32::from(DATA_GROUPS) + 1, true), (u32::MAX, true), (2, false)]
        {
            assert!(queues.of(&put(group, in_order)).is_none(), "{group}");
        }
        assert_eq!(queues.turn_away(&put(2, false)).id, 7);
        let broken = |group| queues.of(&put(group, true)).is_some_and(Queue::is_broken);
        assert!(!broken(2));
        assert_eq!(queues.turn_away(&put(2, true)).outcome(), peer::Outcome::NotProposed);
        assert!(broken(2) && !broken(1) && !broken(3));
    }
}
