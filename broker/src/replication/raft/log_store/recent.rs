//! The newest entries of a group's log in memory, and the bound that all groups of a node share for them.

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use openraft::EntryPayload;
use openraft::alias::LogIdOf;
use openraft::entry::RaftEntry;

use super::{LogEntry, READ_BYTES_MAX};
use crate::replication::types::command::LogCommand;
use crate::replication::types::config::TypeConfig;

/// Record bytes of all groups of a node past which entries that are in the log's file are not kept in memory as well.
const RECENT_BYTES_MAX: usize = 64 << 20;
/// Record bytes that a group may keep however much the others have: they drop their own only as they append.
const RECENT_BYTES_OF_GROUP: usize = 4 << 20;

/// Bytes of an entry's records; other entries are small.
fn record_bytes(entry: &LogEntry) -> usize {
    match &entry.payload {
        EntryPayload::Normal(LogCommand::Records(batches)) => {
            batches.iter().map(|batch| batch.body.len()).sum()
        }
        _ => 0,
    }
}

/// Record bytes that the logs of one node keep in memory. Clones are the same figure.
#[derive(Clone, Debug, Default)]
pub struct RecentBytes(Arc<AtomicUsize>);

/// The newest entries, by ascending index without a gap, and hints that ride along with the next append.
#[derive(Default)]
pub(super) struct Recent {
    pub(super) entries: VecDeque<LogEntry>,
    /// Bytes of the records in `entries`.
    pub(super) bytes: usize,
    /// Record bytes of all groups together.
    pub(super) of_all: RecentBytes,
    pub(super) committed: Option<LogIdOf<TypeConfig>>,
    pub(super) committed_is_unwritten: bool,
}

impl Recent {
    /// Whether the node keeps too much, and this group has a part in it.
    pub(super) fn is_over_bound(&self) -> bool {
        self.bytes > RECENT_BYTES_OF_GROUP && self.of_all.0.load(Ordering::Relaxed) > RECENT_BYTES_MAX
    }

    pub(super) fn push_back(&mut self, entry: LogEntry) {
        let bytes = record_bytes(&entry);
        self.bytes += bytes;
        self.of_all.0.fetch_add(bytes, Ordering::Relaxed);
        self.entries.push_back(entry);
    }

    pub(super) fn pop_front(&mut self) {
        let popped = self.entries.pop_front();
        self.note_popped(popped.as_ref());
    }

    pub(super) fn pop_back(&mut self) {
        let popped = self.entries.pop_back();
        self.note_popped(popped.as_ref());
    }

    fn note_popped(&mut self, entry: Option<&LogEntry>) {
        let bytes = entry.map_or(0, record_bytes);
        self.bytes -= bytes;
        self.of_all.0.fetch_sub(bytes, Ordering::Relaxed);
    }

    /// Index of the first entry in memory; `u64::MAX` when there is none.
    pub(super) fn first_index(&self) -> u64 {
        self.entries.front().map_or(u64::MAX, RaftEntry::index)
    }

    /// Entries of `[start, end)` when `start` is not before the first one in memory; else that one's index.
    pub(super) fn from(&self, start: u64, end: u64) -> Result<Vec<LogEntry>, u64> {
        let first = self.first_index();
        let Some(skipped) = start.checked_sub(first) else { return Err(first) };
        let mut bytes = 0;
        let wanted = self.entries.iter().skip(skipped as usize).take(end.saturating_sub(start) as usize);
        let bounded = wanted.take_while(|entry| {
            let is_first = bytes == 0;
            bytes += record_bytes(entry).max(1);
            is_first || bytes <= READ_BYTES_MAX
        });
        Ok(bounded.cloned().collect())
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use openraft::EntryPayload;
    use tidelog_storage::shard::ShardKey;
    use tidelog_storage::wal::LogPosition;

    use super::*;
    use crate::replication::types::command::SubBatch;
    use crate::replication::types::config::log_id;

    fn entry(index: u64, body: &Bytes) -> LogEntry {
        let shard = ShardKey { stream_uid: 1, shard: 0 };
        let batch = SubBatch::new(shard, 1, 1, body.clone());
        let command = LogCommand::Records(vec![batch].into());
        LogEntry::new(log_id(LogPosition { term: 1, index }), EntryPayload::Normal(command))
    }

    #[test]
    fn the_groups_of_a_node_share_one_bound_of_entries_in_memory() {
        let body = Bytes::from(vec![0; 1 << 20]);
        let of_all = RecentBytes::default();
        let [mut busy, mut quiet] = [(); 2].map(|()| Recent { of_all: of_all.clone(), ..Recent::default() });
        for index in 1..=4 {
            quiet.push_back(entry(index, &body));
        }
        for index in 1..=200 {
            busy.push_back(entry(index, &body));
            while busy.is_over_bound() {
                busy.pop_front();
            }
        }
        assert!(!quiet.is_over_bound() && quiet.bytes == RECENT_BYTES_OF_GROUP);
        assert_eq!(busy.bytes + quiet.bytes, RECENT_BYTES_MAX);
        busy.pop_back();
        assert_eq!(of_all.0.load(Ordering::Relaxed), RECENT_BYTES_MAX - (1 << 20));
    }
}
