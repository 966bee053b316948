//! One round of checkpointing: every group cuts, the flush thread writes, every group purges.

use std::time::Duration;

use openraft::Raft;
use openraft::async_runtime::WatchReceiver;

use super::flush_thread::FlushHandle;
use super::groups::GroupError;
use super::machine::Machine;
use super::raft_types::TypeConfig;

/// How long a round waits for the groups' cuts before it asks again those that were still busy with the last one.
const ASK_AGAIN_AFTER: Duration = Duration::from_millis(500);

/// How often a round looks whether it is complete.
const LOOK_EVERY: Duration = Duration::from_millis(2);

/// Makes one checkpoint durable and purges each group's log.
///
/// `kept` are the ends of the checkpoint before, which stays on disk as well: the log is purged up to those, so that
/// either checkpoint can be started from. Returns the ends of this one.
pub async fn checkpoint(
    rafts: &[Raft<TypeConfig, Machine>],
    flush: &FlushHandle,
    kept: &[Option<u64>],
) -> Result<Vec<Option<u64>>, GroupError> {
    let applied: Vec<_> =
        rafts.iter().map(|raft| raft.metrics().borrow_watched().last_applied.map(|at| at.index)).collect();
    let is_behind = |(group, raft): (usize, &Raft<TypeConfig, Machine>)| {
        let cut = raft.metrics().borrow_watched().snapshot.map(|cut| cut.index);
        cut < applied[group]
    };
    let before = flush.rounds();
    let is_done = || flush.rounds() > before && !rafts.iter().enumerate().any(is_behind);
    while !is_done() {
        // All of them: a checkpoint needs a cut of every group. One that is still busy with the last round does not
        // hear, and one that heard twice hands in a cut for the next round; then there is one more round.
        for (group, raft) in rafts.iter().enumerate() {
            raft.trigger().snapshot().await.map_err(|error| failed(group, &error))?;
        }
        let asked = tokio::time::Instant::now();
        while asked.elapsed() < ASK_AGAIN_AFTER && !is_done() {
            if flush.has_given_up() {
                let reason = "no space for a checkpoint; the next start replays the log";
                return Err(GroupError::State(reason.into()));
            }
            tokio::time::sleep(LOOK_EVERY).await;
        }
    }
    for (group, raft) in rafts.iter().enumerate() {
        if let Some(purge_through) = kept[group] {
            raft.trigger().purge_log(purge_through).await.map_err(|error| failed(group, &error))?;
        }
    }
    Ok(applied)
}

fn failed(group: usize, error: &dyn std::fmt::Display) -> GroupError {
    GroupError::Raft { group: group as u8, reason: error.to_string() }
}
