//! The promises that a node has made to its peers, and its reaction when a peer contradicts them.
//!
//! Raft rests on memory: an acknowledged entry stays, a committed one is never replaced. Where a disk or an
//! operator has broken that, requests from a leader stop making sense, in ways that openraft takes for
//! impossible: it checks them in debug builds only, and truncates applied entries in release builds. So each
//! request is judged here before openraft sees it. None of these contradictions comes up in a legal run,
//! whatever is lost, delayed or delivered twice on the network, because a request of a leader that has been
//! followed by another one is left to openraft, which refuses it.

use std::collections::BTreeMap;
use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use openraft::entry::RaftEntry;
use openraft::raft::AppendEntriesRequest;
use tidelog_storage::Disk;
use tidelog_storage::checkpoint::GroupCheckpoint;
use tidelog_storage::shard::{Bounds, ShardCheckpoint, ShardKey};
use tidelog_storage::wal::LogPosition;

use super::log_store::LogStore;
use crate::cluster::lost_log;
use crate::replication::types::config::{TypeConfig, position, stored_vote};
use crate::shell::Shell;

/// Up to where this node has applied a group's log. The group's apply task writes it, before it applies an entry.
#[derive(Debug, Default)]
pub struct Applied {
    term: AtomicU64,
    index: AtomicU64,
}

impl Applied {
    /// Moves to a position; it never goes back.
    pub fn set(&self, at: LogPosition) {
        self.term.store(at.term, Ordering::Relaxed);
        self.index.store(at.index, Ordering::Release);
    }

    /// The index of the newest entry that is applied or being applied; 0 for none.
    pub fn index(&self) -> u64 {
        self.index.load(Ordering::Acquire)
    }

    /// Whether that is the newest position. While the position moves the answer may be no.
    fn is(&self, at: LogPosition) -> bool {
        self.index() == at.index && self.term.load(Ordering::Relaxed) == at.term
    }
}

/// A request that contradicts the entries of this node.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Contradiction {
    /// This node's log lacks an entry that its leader has seen it acknowledge.
    AcknowledgedEntryMissing {
        /// The group.
        group: u8,
        /// The node that leads it.
        leader: u64,
        /// The entry.
        at: LogPosition,
    },
    /// A leader wants to truncate entries that are applied here.
    TruncatedBelowApplied {
        /// The group.
        group: u8,
        /// The last entry that would stay; 0 for none.
        after: u64,
        /// The last entry applied here.
        applied: u64,
    },
    /// A leader has another entry at a position that is applied here.
    OtherEntryApplied {
        /// The group.
        group: u8,
        /// The node that leads it.
        leader: u64,
        /// The leader's entry.
        theirs: LogPosition,
        /// The term of the entry here.
        term: u64,
    },
    /// A leader sends a state of the group that is older than the one here.
    OlderState {
        /// The group.
        group: u8,
        /// The part of the state that is older.
        reason: String,
    },
}

impl fmt::Display for Contradiction {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::AcknowledgedEntryMissing { group, leader, at } => write!(
                out,
                "group {group}: node {leader} has an acknowledgement of this node for entry {} of term {}, and this \
                 node's log does not hold that entry",
                at.index, at.term
            ),
            Self::TruncatedBelowApplied { group, after, applied } => write!(
                out,
                "group {group}: a leader wants the log truncated after entry {after}, and this node has applied entry \
                 {applied}"
            ),
            Self::OtherEntryApplied { group, leader, theirs, term } => write!(
                out,
                "group {group}: entry {} of node {leader} is of term {}, and this node has applied one of term {term} \
                 there",
                theirs.index, theirs.term
            ),
            Self::OlderState { group, reason } => {
                write!(out, "group {group}: a leader sends a state that is older than the one here: {reason}")
            }
        }
    }
}

/// Added to a contradiction that proves a loss on other nodes.
const OTHERS_HAVE_LOST: &str = "other nodes have lost entries that the group had committed. This node ends and keeps its \
     copy of them; do not remove its data directory (OPERATIONS.md, \"A node says that others have lost entries\")";

/// Ends the node over a contradiction that proves a loss on other nodes.
pub fn end(shell: &Shell, contradiction: &Contradiction) -> ! {
    shell.abort(&format!("{contradiction}: {OTHERS_HAVE_LOST}"))
}

/// The promises of this node in one group.
pub struct Promises {
    group: u8,
    node: u64,
    log: LogStore,
    shell: Shell,
    disk: Arc<dyn Disk>,
    directory: PathBuf,
}

impl Promises {
    /// The promises that `node` keeps in `log`; a loss of its own is written down in its data directory.
    pub fn new(node: u64, log: LogStore, shell: Shell, disk: Arc<dyn Disk>, directory: PathBuf) -> Self {
        Self { group: log.group(), node, log, shell, disk, directory }
    }

    /// Up to where this node has applied the group's log.
    pub fn applied(&self) -> u64 {
        self.log.applied().index()
    }

    /// Judges a leader's request before openraft sees it. Ends the node when the leader has other entries than those
    /// applied here.
    pub fn check(&self, request: &AppendEntriesRequest<TypeConfig>) {
        if let Some(contradiction) = self.contradicted(request) {
            end(&self.shell, &contradiction);
        }
    }

    fn contradicted(&self, request: &AppendEntriesRequest<TypeConfig>) -> Option<Contradiction> {
        let applied = self.log.applied();
        let entries = request.entries.iter().map(RaftEntry::log_id);
        let positions = request.prev_log_id.iter().copied().chain(entries).map(|id| position(&id));
        let old = positions.take_while(|at| at.index <= applied.index());
        let is_other = |at: &LogPosition| {
            let term = if applied.is(*at) { None } else { self.log.term_of(at.index) };
            term.filter(|term| *term != at.term).map(|term| (*at, term))
        };
        let (theirs, term) = old.into_iter().find_map(|at| is_other(&at))?;
        // Looked at last: the vote for a newer leader is stored before anything of that leader is applied.
        let vote = stored_vote(&request.vote);
        let is_overtaken = self
            .log
            .vote()
            .is_some_and(|own| own.term > vote.term || own.term == vote.term && own.node != vote.node);
        (!is_overtaken).then_some(Contradiction::OtherEntryApplied {
            group: self.group,
            leader: vote.node,
            theirs,
            term,
        })
    }

    /// Ends the node, which has lost entries that it acknowledged: the leader of a heartbeat that openraft has
    /// taken has an acknowledgement for `at`. From then on the data directory is refused at every start, because
    /// the next leader would not know and would fill it again as if nothing had been promised.
    pub fn end_after_loss(&self, leader: u64, at: LogPosition) -> ! {
        let missing = Contradiction::AcknowledgedEntryMissing { group: self.group, leader, at };
        let words = lost_log::sentence(self.node, &missing.to_string());
        if let Err(error) = lost_log::note(&*self.disk, &self.directory, &words) {
            tracing::error!(%error, "cannot write down that the log has lost entries; the next start does not know of it");
        }
        self.shell.abort(&words)
    }
}

/// Whether a group's state from a leader may take the place of the one here: it must be newer, and no shard may lose
/// records or get trimmed ones back.
///
/// # Errors
/// The part of the state that is older.
pub fn check_newer(
    new: &GroupCheckpoint,
    applied: u64,
    here: &[(ShardKey, Bounds)],
) -> Result<(), Contradiction> {
    let older = |reason: String| Err(Contradiction::OlderState { group: new.group, reason });
    let index = new.applied.map_or(0, |(_, index)| index);
    if index < applied {
        return older(format!("it ends at entry {index}, and entry {applied} is applied here"));
    }
    let theirs: BTreeMap<ShardKey, &ShardCheckpoint> =
        new.shards.iter().map(|shard| (shard.key, shard)).collect();
    for (key, own) in here {
        // A shard that is not in the newer state was dropped by an entry in between.
        let Some(theirs) = theirs.get(key) else { continue };
        let (uid, shard) = (key.stream_uid, key.shard);
        if theirs.next_ordinal < own.next_ordinal {
            return older(format!(
                "shard {shard} of stream {uid} ends before record {}, and before record {} here",
                theirs.next_ordinal, own.next_ordinal
            ));
        }
        if theirs.trim_ordinal < own.first_ordinal {
            return older(format!(
                "shard {shard} of stream {uid} is trimmed before record {}, and before record {} here",
                theirs.trim_ordinal, own.first_ordinal
            ));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests;
