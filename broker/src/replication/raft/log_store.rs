//! openraft's log storage over one group's share of the node's write-ahead log.
//!
//! Entries not applied yet stay in memory, so that applying never reads the disk in the ordinary run; older ones
//! (recovery, a lagging follower) are read back from the log. The memory is bounded: entries that are in the file
//! already go first.

use std::collections::VecDeque;
use std::fmt::Debug;
use std::io;
use std::ops::{Bound, RangeBounds};
use std::sync::{Arc, Mutex};

use futures_util::stream::{self, Stream};
use openraft::alias::{EntryOf, LogIdOf, VoteOf};
use openraft::entry::RaftEntry;
use openraft::storage::{IOFlushed, LogState, RaftLogStorage};
use openraft::{OptionalSend, RaftLogReader};
use tidelog_storage::wal::{GroupId, WalOp, WalReader};

use super::promises::{self, Applied, Contradiction};
use crate::replication::types::command;
use crate::replication::types::config::{TypeConfig, log_id, position, raft_vote, stored_vote};
use crate::replication::workers::wal_worker::WalHandle;
use crate::shell::Shell;
use recent::Recent;
pub use recent::RecentBytes;

mod recent;

/// Payload bytes of one read of the log: as many as apply takes at a time during recovery, and as one AppendEntries
/// carries at most.
const READ_BYTES_MAX: usize = 4 << 20;

type LogEntry = EntryOf<TypeConfig>;

/// One group's log. Clones share it.
#[derive(Clone)]
pub struct LogStore {
    group: GroupId,
    wal: WalHandle,
    reader: WalReader,
    recent: Arc<Mutex<Recent>>,
    applied: Arc<Applied>,
    shell: Shell,
}

impl LogStore {
    /// The log of `group` as recovery found it; `of_all` counts the bytes that all logs of the node keep in memory.
    pub fn new(group: GroupId, wal: WalHandle, reader: WalReader, shell: Shell, of_all: RecentBytes) -> Self {
        let committed = reader.state(group).committed.map(log_id);
        let recent = Recent { committed, of_all, ..Recent::default() };
        Self { group, wal, reader, recent: Arc::new(Mutex::new(recent)), applied: Arc::default(), shell }
    }

    /// The group whose log it is.
    pub fn group(&self) -> GroupId {
        self.group
    }

    /// The shell that the node's workers run in.
    pub fn shell(&self) -> &Shell {
        &self.shell
    }

    /// Up to where the log is applied here.
    pub fn applied(&self) -> &Applied {
        &self.applied
    }

    /// The newest vote that is stored.
    pub fn vote(&self) -> Option<tidelog_storage::wal::Vote> {
        self.reader.state(self.group).vote
    }

    /// The term of the entry at `index`; `None` for one that is not in the log, or not any more.
    pub fn term_of(&self, index: u64) -> Option<u64> {
        let in_memory = {
            let recent = self.recent();
            let at = index.checked_sub(recent.first_index());
            at.and_then(|at| recent.entries.get(usize::try_from(at).ok()?))
                .map(|entry| position(&entry.log_id).term)
        };
        let purged = || self.reader.state(self.group).purged.filter(|at| at.index == index).map(|at| at.term);
        in_memory.or_else(|| self.reader.term(self.group, index)).or_else(purged)
    }

    /// Forgets the entries up to `index`, which are applied, as far as the log's file has them for readers that
    /// still need them: a follower applies entries that it has accepted, and its own write of them may be under
    /// way.
    pub fn forget_through(&self, index: u64) {
        let Some(written) = self.reader.state(self.group).last else { return };
        let index = index.min(written.index);
        let mut recent = self.recent();
        while recent.entries.front().is_some_and(|entry| entry.index() <= index) {
            recent.pop_front();
        }
    }

    /// Forgets entries that are in the log's file, oldest first, while the node has more than [`RECENT_BYTES_MAX`]: a
    /// follower may be given entries faster than it can apply them.
    fn keep_bound(&self) {
        let Some(written) = self.reader.state(self.group).last else { return };
        let mut recent = self.recent();
        while recent.is_over_bound()
            && recent.entries.front().is_some_and(|entry| entry.index() <= written.index)
        {
            recent.pop_front();
        }
    }

    fn recent(&self) -> std::sync::MutexGuard<'_, Recent> {
        self.recent.lock().expect("no code panics while it holds this lock")
    }

    /// The newest entry, written or on its way.
    fn last(&self) -> Option<LogIdOf<TypeConfig>> {
        let in_memory = self.recent().entries.back().map(RaftEntry::log_id);
        in_memory.or_else(|| self.reader.state(self.group).last.map(log_id))
    }

    /// Entries of `[start, end)`, at least one when one exists, and no more than about [`READ_BYTES_MAX`].
    fn read(&self, start: u64, end: u64) -> io::Result<Vec<LogEntry>> {
        if start >= end {
            return Ok(Vec::new());
        }
        loop {
            let first_in_memory = match self.recent().from(start, end) {
                Ok(entries) => return Ok(entries),
                Err(first) => first,
            };
            let stored = self.read_file(start, end.min(first_in_memory))?;
            if !stored.is_empty() {
                return Ok(stored);
            }
            // The log begins in memory, unless that has been forgotten meanwhile: then the file has it.
            let recent = self.recent();
            if recent.first_index() == first_in_memory {
                return Ok(recent.from(first_in_memory, end).unwrap_or_default());
            }
        }
    }

    fn read_file(&self, start: u64, end: u64) -> io::Result<Vec<LogEntry>> {
        let stored = self.reader.read(self.group, start..end, READ_BYTES_MAX).map_err(io::Error::other)?;
        stored
            .into_iter()
            .map(|entry| {
                let payload = command::decode(entry.payload).map_err(io::Error::other)?;
                Ok(LogEntry::new(log_id(entry.position), payload))
            })
            .collect()
    }
}

fn bounds(range: &impl RangeBounds<u64>) -> (u64, u64) {
    let start = match range.start_bound() {
        Bound::Included(start) => *start,
        Bound::Excluded(start) => start + 1,
        Bound::Unbounded => 0,
    };
    let end = match range.end_bound() {
        Bound::Included(end) => end + 1,
        Bound::Excluded(end) => *end,
        Bound::Unbounded => u64::MAX,
    };
    (start, end)
}

impl RaftLogReader<TypeConfig> for LogStore {
    async fn try_get_log_entries<R>(&mut self, range: R) -> io::Result<Vec<LogEntry>>
    where
        R: RangeBounds<u64> + Clone + Debug + OptionalSend,
    {
        let (mut start, end) = bounds(&range);
        let mut entries = Vec::new();
        loop {
            let part = self.read(start, end)?;
            let Some(last) = part.last() else { return Ok(entries) };
            start = last.index() + 1;
            entries.extend(part);
        }
    }

    async fn limited_get_log_entries(&mut self, start: u64, end: u64) -> io::Result<Vec<LogEntry>> {
        self.read(start, end)
    }

    async fn entries_stream<R>(&mut self, range: R) -> impl Stream<Item = io::Result<LogEntry>> + OptionalSend
    where
        R: RangeBounds<u64> + Clone + Debug + OptionalSend,
    {
        let (start, end) = bounds(&range);
        let log = self.clone();
        // One bounded read at a time: a recovery that applies a gigabyte never holds it.
        stream::unfold((log, start, VecDeque::new()), move |(log, mut next, mut ready)| async move {
            if ready.is_empty() {
                match log.read(next, end) {
                    Ok(part) => ready.extend(part),
                    Err(error) => return Some((Err(error), (log, end, ready))),
                }
            }
            let entry: LogEntry = ready.pop_front()?;
            next = entry.index() + 1;
            Some((Ok(entry), (log, next, ready)))
        })
    }

    async fn read_vote(&mut self) -> io::Result<Option<VoteOf<TypeConfig>>> {
        Ok(self.reader.state(self.group).vote.map(raft_vote))
    }
}

impl RaftLogStorage<TypeConfig> for LogStore {
    type LogReader = Self;

    async fn get_log_state(&mut self) -> io::Result<LogState<TypeConfig>> {
        let purged = self.reader.state(self.group).purged.map(log_id);
        Ok(LogState { last_purged_log_id: purged, last_log_id: self.last().max(purged) })
    }

    async fn get_log_reader(&mut self) -> Self::LogReader {
        self.clone()
    }

    async fn save_vote(&mut self, vote: &VoteOf<TypeConfig>) -> io::Result<()> {
        self.wal.write(vec![WalOp::Vote { group: self.group, vote: stored_vote(vote) }]).await
    }

    async fn save_committed(&mut self, committed: Option<LogIdOf<TypeConfig>>) -> io::Result<()> {
        // Only a hint: it rides along with the next append instead of costing a commit.
        let mut recent = self.recent();
        recent.committed = committed;
        recent.committed_is_unwritten = true;
        Ok(())
    }

    async fn read_committed(&mut self) -> io::Result<Option<LogIdOf<TypeConfig>>> {
        Ok(self.recent().committed)
    }

    async fn append<I>(&mut self, entries: I, callback: IOFlushed<TypeConfig>) -> io::Result<()>
    where
        I: IntoIterator<Item = LogEntry> + OptionalSend,
        I::IntoIter: OptionalSend,
    {
        let group = self.group;
        let mut ops = Vec::new();
        let mut bytes = 0;
        {
            let mut recent = self.recent();
            if std::mem::take(&mut recent.committed_is_unwritten)
                && let Some(committed) = recent.committed
            {
                ops.push(WalOp::Committed { group, position: position(&committed) });
            }
            for entry in entries {
                let payload = command::encode(&entry.payload);
                bytes += payload.iter().map(bytes::Bytes::len).sum::<usize>();
                ops.push(WalOp::Append { group, position: position(&entry.log_id), payload });
                recent.push_back(entry);
            }
        }
        self.wal.append(ops, bytes, callback).await?;
        self.keep_bound();
        Ok(())
    }

    async fn truncate_after(&mut self, last: Option<LogIdOf<TypeConfig>>) -> io::Result<()> {
        if last.as_ref().map(|id| id.index) >= self.last().map(|id| id.index) {
            return Ok(());
        }
        let (after, applied) = (last.as_ref().map_or(0, |id| id.index), self.applied.index());
        if after < applied {
            let cut = Contradiction::TruncatedBelowApplied { group: self.group, after, applied };
            promises::end(&self.shell, &cut);
        }
        {
            let mut recent = self.recent();
            let keep = last.as_ref().map_or(0, |id| id.index + 1);
            while recent.entries.back().is_some_and(|entry| entry.index() >= keep) {
                recent.pop_back();
            }
        }
        let after = last.as_ref().map(position);
        self.wal.write(vec![WalOp::Truncate { group: self.group, after }]).await
    }

    async fn purge(&mut self, upto: LogIdOf<TypeConfig>) -> io::Result<()> {
        self.forget_through(upto.index);
        self.wal.write(vec![WalOp::Purge { group: self.group, upto: position(&upto) }]).await?;
        // An installed state may lie beyond entries that were still on their way to the file.
        self.forget_through(upto.index);
        Ok(())
    }
}
