//! Up to where every member of a group holds its log: what lies behind is kept for those that lag.
//!
//! The leader knows, and tells its followers with the entries, so that whoever leads next still has what is lacking
//! somewhere. Past a margin of the log's bytes it is purged all the same; who lags further gets the manifest.

use std::sync::atomic::{AtomicU64, Ordering};

use openraft::ServerState;
use openraft::async_runtime::WatchReceiver;
use tidelog_storage::wal::GROUPS;

use super::groups::Groups;

/// One index per group; 0 while nothing is known.
pub struct Held(Vec<AtomicU64>);

impl Default for Held {
    fn default() -> Self {
        Self((0..GROUPS).map(|_| AtomicU64::new(0)).collect())
    }
}

impl Held {
    /// Up to where every member holds the group's log, as far as known.
    pub fn get(&self, group: u8) -> u64 {
        self.0[usize::from(group)].load(Ordering::Relaxed)
    }

    /// Takes note of it. A member that comes in makes it less.
    pub fn set(&self, group: u8, index: u64) {
        self.0[usize::from(group)].store(index, Ordering::Relaxed);
    }
}

/// How far the log may be purged after a checkpoint.
#[derive(Clone, Copy, Debug)]
pub enum Purge {
    /// As far as nobody lacks it.
    Held,
    /// As far as the checkpoint allows: the log is too large.
    All,
    /// Not at all: a transfer is on its way whose receiver needs what follows.
    Nothing,
}

impl Groups {
    /// Takes note of what the followers of the groups hold that are led here.
    pub(super) fn note_held(&self) {
        for (group, raft) in self.rafts.iter().enumerate() {
            let metrics = raft.metrics();
            let metrics = metrics.borrow_watched();
            let followers = metrics.replication.as_ref().filter(|_| metrics.state == ServerState::Leader);
            let Some(followers) = followers else { continue };
            let matched = followers.values().map(|matched| matched.as_ref().map_or(0, |at| at.index)).min();
            self.held.set(group as u8, matched.unwrap_or(0));
        }
    }

    /// What to purge after a checkpoint.
    pub(super) fn purge(&self) -> Purge {
        let (live, most) = (self.log_bound.live_bytes(), self.log_bound.bytes_max());
        if !self.peers.are_there() || self.log_bound.is_pressed() {
            return Purge::All;
        }
        if self.store.is_pinned() {
            return Purge::Nothing;
        }
        // Half is kept for those that lag, where there is space for it.
        if live > most / 2 || !self.has_space() { Purge::All } else { Purge::Held }
    }
}
