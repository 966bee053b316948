//! One round of checkpointing: every group cuts, the flush thread writes, every group purges.

use std::time::Duration;

use openraft::async_runtime::WatchReceiver;

use super::flush_thread::FlushHandle;
use super::groups::{GroupError, RaftOf};
use super::held::{Held, Purge};

/// How long a round waits for the groups' cuts before it asks again those that were still busy with the last one.
const ASK_AGAIN_AFTER: Duration = Duration::from_millis(500);

/// How often a round looks whether it is complete.
const LOOK_EVERY: Duration = Duration::from_millis(2);

/// Makes one checkpoint durable. Returns where it ends.
pub async fn checkpoint(rafts: &[RaftOf], flush: &FlushHandle) -> Result<Vec<Option<u64>>, GroupError> {
    let applied: Vec<_> =
        rafts.iter().map(|raft| raft.metrics().borrow_watched().last_applied.map(|at| at.index)).collect();
    let is_behind = |(group, raft): (usize, &RaftOf)| {
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
    Ok(applied)
}

/// Purges each group's log. `kept` are the ends of the checkpoint before the newest, which stays on disk as well: the
/// log is purged up to those at most, so that either checkpoint can be started from.
pub async fn purge(
    rafts: &[RaftOf],
    kept: &[Option<u64>],
    purge: Purge,
    held: &Held,
) -> Result<(), GroupError> {
    for (group, raft) in rafts.iter().enumerate() {
        let through = match purge {
            Purge::All => kept[group],
            Purge::Held => kept[group].map(|kept| kept.min(held.get(group as u8))),
            Purge::Nothing => None,
        };
        if let Some(through) = through.filter(|through| *through > 0) {
            raft.trigger().purge_log(through).await.map_err(|error| failed(group, &error))?;
        }
    }
    Ok(())
}

fn failed(group: usize, error: &dyn std::fmt::Display) -> GroupError {
    GroupError::Raft { group: group as u8, reason: error.to_string() }
}
