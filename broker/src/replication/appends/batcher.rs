//! Many records per Raft entry: everything that is queued when a group can take an entry becomes one entry.
//!
//! No timer and no linger: while an entry is being made durable the next one gathers. Memory is bounded by the
//! node's budget of bytes in flight, which every part holds a share of until it is answered.

use std::sync::Arc;
use std::time::Duration;

use openraft::raft::ClientWriteResult;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc, oneshot};

use crate::replication::error::{ProposeError, propose_error};
use crate::replication::raft::GroupRaft;
use crate::replication::types::command::{LogCommand, SubBatch};
use crate::replication::types::config::{Callback, TypeConfig};
use crate::replication::types::outcome::{AppendOutcome, Outcome};
use crate::replication::workers::flush_worker::FlushHandle;
use crate::replication::workers::log_bound::LogBound;
use crate::shell::{OwnerGone, Shell};

/// Body bytes after which an entry is closed; a larger sub-batch goes in an entry of its own.
const ENTRY_BYTES_MAX: usize = 2 << 20;
/// Sub-batches after which an entry is closed; the last part may bring more.
const ENTRY_SUB_BATCHES_MAX: usize = 4_096;
/// Entries of one group on their way at a time: one being synced, the next one proposed behind it. More of them make
/// each smaller: with 4, a put of 500 records was a tenth slower.
const ENTRIES_IN_FLIGHT_MAX: usize = 2;
/// Parts waiting in a group's queue; each holds a share of the byte budget besides.
const QUEUE_PARTS_MAX: usize = 16_384;

/// The answer to a request's part: one outcome per sub-batch.
pub type PartAnswer = Result<Vec<AppendOutcome>, ProposeError>;

/// The part of a request that belongs to one group.
pub struct Part {
    /// The sub-batches, at least one.
    pub batches: Vec<SubBatch>,
    /// The part's share of the node's bytes in flight, released with the answer.
    pub share: OwnedSemaphorePermit,
    /// The channel of the caller that waits.
    pub answer: oneshot::Sender<PartAnswer>,
}

/// A group's queue of records.
#[derive(Clone)]
pub struct Batcher {
    queue: mpsc::Sender<Part>,
    slots: Arc<Semaphore>,
}

impl Batcher {
    /// Starts the group's task; it ends when the last handle is dropped.
    pub fn start(
        group: u8,
        raft: &GroupRaft,
        flush: &FlushHandle,
        log_bound: &Arc<LogBound>,
        shell: &Shell,
    ) -> Self {
        let (queue, parts) = mpsc::channel(QUEUE_PARTS_MAX);
        let slots = Arc::new(Semaphore::new(ENTRIES_IN_FLIGHT_MAX));
        let run = run(raft.clone(), flush.clone(), log_bound.clone(), parts, slots.clone());
        shell.spawn_owned(&format!("batcher of group {group}"), run);
        Self { queue, slots }
    }

    /// Waits until no entry is under way, at most for `deadline`. No entry is proposed until the returned permit is
    /// dropped.
    pub async fn pause(&self, deadline: Duration) -> Option<OwnedSemaphorePermit> {
        let all = self.slots.clone().acquire_many_owned(ENTRIES_IN_FLIGHT_MAX as u32);
        tokio::time::timeout(deadline, all).await.ok()?.ok()
    }

    /// Queues a part; waits while the queue is full. When the group has stopped the part is dropped, and its
    /// waiter learns that nothing was proposed.
    pub async fn enqueue(&self, part: Part) {
        if let Err(mpsc::error::SendError(part)) = self.queue.send(part).await {
            let _ = part.answer.send(Err(ProposeError::NotProposed));
        }
    }
}

async fn run(
    raft: GroupRaft,
    flush: FlushHandle,
    log_bound: Arc<LogBound>,
    mut parts: mpsc::Receiver<Part>,
    slots: Arc<Semaphore>,
) -> OwnerGone {
    while let Some(first) = parts.recv().await {
        flush.wait_for_room().await;
        if !log_bound.wait_for_room().await {
            // A client that has gone no longer waits.
            let _ = first.answer.send(Err(ProposeError::NotProposed));
            continue;
        }
        let slot = slots.clone().acquire_owned().await.expect("the semaphore is never closed");
        let (batches, waiting) = gather(first, &mut parts);
        let callback = Callback::new(move |result| {
            drop(slot);
            answer(result, waiting);
        });
        // An error drops the callback: its waiters see a closed channel, an unknown outcome.
        let _ = raft.client_write_ff(LogCommand::Records(Arc::new(batches)), Some(callback)).await;
    }
    OwnerGone
}

struct Waiting {
    sub_batches: usize,
    answer: oneshot::Sender<PartAnswer>,
    _share: OwnedSemaphorePermit,
}

fn gather(first: Part, parts: &mut mpsc::Receiver<Part>) -> (Vec<SubBatch>, Vec<Waiting>) {
    let mut batches = Vec::new();
    let mut waiting = Vec::new();
    let mut bytes = 0;
    let mut next = Some(first);
    while let Some(part) = next {
        bytes += part.batches.iter().map(|batch| batch.body.len()).sum::<usize>();
        waiting.push(Waiting { sub_batches: part.batches.len(), answer: part.answer, _share: part.share });
        batches.extend(part.batches);
        let full = bytes >= ENTRY_BYTES_MAX || batches.len() >= ENTRY_SUB_BATCHES_MAX;
        next = if full { None } else { parts.try_recv().ok() };
    }
    (batches, waiting)
}

fn answer(result: ClientWriteResult<TypeConfig>, waiting: Vec<Waiting>) {
    let outcomes = match result {
        Ok(response) => match response.data {
            Outcome::Appended(outcomes) => outcomes,
            other => panic!("a records entry was answered with {other:?}"),
        },
        Err(error) => {
            let error = propose_error(&error);
            for part in waiting {
                // A client that has gone no longer waits.
                let _ = part.answer.send(Err(error));
            }
            return;
        }
    };
    let mut outcomes = outcomes.into_iter();
    for part in waiting {
        let _ = part.answer.send(Ok(outcomes.by_ref().take(part.sub_batches).collect()));
    }
}
