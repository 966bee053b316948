//! One round of checkpointing: every group takes a snapshot of its state, and the flush thread writes.

use std::time::Duration;

use openraft::async_runtime::WatchReceiver;

use crate::replication::error::{ReplicationError, raft_error};
use crate::replication::raft::{GroupRaft, Rafts};
use crate::replication::workers::flush_worker::FlushHandle;

/// How long a round waits for the groups' snapshots before it asks the groups again that were still busy with the last
/// one.
const ASK_AGAIN_AFTER: Duration = Duration::from_millis(500);

/// How often a round looks whether it is complete.
const LOOK_EVERY: Duration = Duration::from_millis(2);

/// Makes one checkpoint durable. Returns where it ends.
pub async fn checkpoint(rafts: &Rafts, flush: &FlushHandle) -> Result<Vec<Option<u64>>, ReplicationError> {
    let applied_index = |raft: &GroupRaft| raft.metrics().borrow_watched().last_applied.map(|at| at.index);
    let applied: Vec<_> = rafts.iter().map(|(_, raft)| applied_index(raft)).collect();
    let is_behind = |(group, raft): (u8, &GroupRaft)| {
        let snapshot = raft.metrics().borrow_watched().snapshot.map(|newest| newest.index);
        snapshot < applied[usize::from(group)]
    };
    let before = flush.rounds();
    let is_done = || flush.rounds() > before && !rafts.iter().any(is_behind);
    while !is_done() {
        // All of them: a checkpoint needs a snapshot of every group. One that is still busy with the last round does
        // not hear, and one that heard twice hands in a snapshot for the next round; then there is one more round.
        for (group, raft) in rafts.iter() {
            raft.trigger().snapshot().await.map_err(|error| raft_error(group, &error))?;
        }
        let asked = tokio::time::Instant::now();
        while asked.elapsed() < ASK_AGAIN_AFTER && !is_done() {
            if flush.has_given_up() {
                let reason = "no space for a checkpoint; the next start replays the log";
                return Err(ReplicationError::State(reason.into()));
            }
            tokio::time::sleep(LOOK_EVERY).await;
        }
    }
    Ok(applied)
}
