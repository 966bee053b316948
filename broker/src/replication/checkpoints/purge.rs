//! How far the log is purged after a checkpoint.
//!
//! Entries that some member lacks stay, so that it catches up from the log. Past a margin of the log's bytes they are
//! purged all the same, and a member that lags further gets a snapshot.

use openraft::ServerState;
use openraft::async_runtime::WatchReceiver;

use super::Parts;
use crate::replication::error::{ReplicationError, raft_error};
use crate::replication::raft::Rafts;
use crate::replication::raft::replicated::Replicated;

/// How far the log may be purged after a checkpoint.
#[derive(Clone, Copy, Debug)]
pub enum Purge {
    /// Up to the entry that every member has.
    Replicated,
    /// Up to the end of the checkpoint: the log is too large.
    All,
    /// Not at all: a transfer is under way whose receiver needs the entries behind it.
    Nothing,
}

/// Notes the positions of the followers in the groups that are led here.
pub fn note_followers(rafts: &Rafts, replicated: &Replicated) {
    for (group, raft) in rafts.iter() {
        let metrics = raft.metrics();
        let metrics = metrics.borrow_watched();
        let followers = metrics.replication.as_ref().filter(|_| metrics.state == ServerState::Leader);
        let Some(followers) = followers else { continue };
        let matched = followers.values().map(|matched| matched.as_ref().map_or(0, |at| at.index)).min();
        replicated.set(group, matched.unwrap_or(0));
    }
}

/// How far to purge after a checkpoint.
pub fn extent(parts: &Parts) -> Purge {
    let log_bound = parts.node_disk.log_bound();
    let (live, most) = (log_bound.live_bytes(), log_bound.bytes_max());
    if !parts.peers.are_there() || log_bound.is_pressed() {
        return Purge::All;
    }
    if parts.store.is_pinned() {
        return Purge::Nothing;
    }
    // Half of the bound is kept for followers that lag, if there is space for it.
    if live > most / 2 || !parts.node_disk.has_space() { Purge::All } else { Purge::Replicated }
}

/// Purges each group's log. `kept` are the ends of the checkpoint before the newest, which stays on disk as well: the
/// log is purged up to those at most, so that either checkpoint can be started from.
///
/// # Errors
/// [`ReplicationError`] when a group has ended.
pub async fn purge(
    rafts: &Rafts,
    kept: &[Option<u64>],
    purge: Purge,
    replicated: &Replicated,
) -> Result<(), ReplicationError> {
    for (group, raft) in rafts.iter() {
        let kept = kept[usize::from(group)];
        let through = match purge {
            Purge::All => kept,
            Purge::Replicated => kept.map(|kept| kept.min(replicated.get(group))),
            Purge::Nothing => None,
        };
        if let Some(through) = through.filter(|through| *through > 0) {
            raft.trigger().purge_log(through).await.map_err(|error| raft_error(group, &error))?;
        }
    }
    Ok(())
}
