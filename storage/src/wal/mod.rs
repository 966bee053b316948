//! The write-ahead log: one per node, and the Raft log of all its groups.
//!
//! Owns the directory `wal` and the file `wal.mark` beside it. One thread owns [`Wal`] and commits; any thread
//! reads through [`WalReader`] or prepares files through [`SpareFiles`]. The bytes are specified in `FORMAT.md`.
//! Invariants: a block that holds an acknowledged frame is never rewritten; commits that [`Wal::commit`]
//! acknowledged as synced are there after every crash, or opening says that the log is damaged; an entry that is
//! read is the entry that was appended.

mod begin;
mod encode;
mod error;
mod files;
mod format;
mod found;
mod group;
mod mark;
mod open;
mod order;
mod reader;
mod recovery;
mod replay;
mod salvage;
mod spare;
mod sync_point;
mod writer;

pub use error::WalError;
pub use found::FoundWal;
pub use reader::WalReader;
pub use salvage::{Salvage, TruncatedFile, finish_giving_up};
pub use spare::SpareFiles;
pub use writer::Wal;

use std::path::PathBuf;

use bytes::Bytes;

use crate::blocks::BLOCK_BYTES;

/// The number of a Raft group, below [`GROUPS`].
pub type GroupId = u8;

/// Raft groups of a node: one for metadata and six for records.
pub const GROUPS: usize = 7;

/// The largest payload of an entry, in bytes.
pub const ENTRY_BYTES_MAX: u64 = 16 * 1024 * 1024;

/// The most bytes of frames in one write, so that the buffer stays bounded; a longer list of operations becomes
/// several writes.
const COMMIT_BYTES_MAX: u64 = 32 * 1024 * 1024;

/// [`BLOCK_BYTES`] as an offset in a file.
const BLOCK: u64 = BLOCK_BYTES as u64;

const _: () = assert!(ENTRY_BYTES_MAX + BLOCK < COMMIT_BYTES_MAX, "every entry fits a commit");

/// The place of an entry in its group's log.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct LogPosition {
    /// The Raft term of the leader that proposed the entry.
    pub term: u64,
    /// The entry's number in the group's log, without gaps.
    pub index: u64,
}

/// A vote of this node in one group.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Vote {
    /// The Raft term.
    pub term: u64,
    /// The node voted for.
    pub node: u64,
    /// True when a majority gave that node its vote.
    pub committed: bool,
}

/// One change of the log.
#[derive(Clone, Debug)]
pub enum WalOp {
    /// Appends an entry behind the group's last one.
    Append {
        /// The group.
        group: GroupId,
        /// The entry's place; its index follows the last one's and its term is not below.
        position: LogPosition,
        /// The entry's bytes in parts, at most [`ENTRY_BYTES_MAX`] together.
        payload: Vec<Bytes>,
    },
    /// Stores the group's vote. A commit that holds one is always synced.
    Vote {
        /// The group.
        group: GroupId,
        /// The vote; it replaces the earlier one.
        vote: Vote,
    },
    /// Removes the entries behind a position; all of them with `None`.
    Truncate {
        /// The group.
        group: GroupId,
        /// The last entry that stays; not below a purged one.
        after: Option<LogPosition>,
    },
    /// Removes the entries up to a position, which may lie beyond the last one (after a snapshot of another node).
    Purge {
        /// The group.
        group: GroupId,
        /// The last entry that goes. Below the last purged entry it changes nothing.
        upto: LogPosition,
    },
    /// Stores a hint how far the group has committed.
    Committed {
        /// The group.
        group: GroupId,
        /// The newest committed position known.
        position: LogPosition,
    },
}

impl WalOp {
    /// The group that the operation changes.
    #[must_use]
    pub fn group(&self) -> GroupId {
        match self {
            Self::Append { group, .. }
            | Self::Vote { group, .. }
            | Self::Truncate { group, .. }
            | Self::Purge { group, .. }
            | Self::Committed { group, .. } => *group,
        }
    }
}

/// How the log is kept.
#[derive(Clone, Copy, Debug)]
pub struct WalOptions {
    /// Bytes of a file; a multiple of 4,096, at least 16,384 and below 4 GiB.
    pub file_bytes: u64,
    /// Bytes of a file that is made at the start, small so that the start is quick; same bounds.
    pub first_file_bytes: u64,
    /// True: every commit is durable when it returns. False: only commits that [`Wal::sync`] or a vote made
    /// durable.
    pub sync_every_commit: bool,
}

impl Default for WalOptions {
    fn default() -> Self {
        Self { file_bytes: 128 * 1024 * 1024, first_file_bytes: 4 * 1024 * 1024, sync_every_commit: true }
    }
}

/// The result of a commit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Commit {
    /// Bytes of the blocks written.
    pub bytes_written: u64,
    /// True when the operations are durable.
    pub synced: bool,
}

/// The state of a group, as the log has it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct GroupState {
    /// The last vote.
    pub vote: Option<Vote>,
    /// The last purged entry.
    pub purged: Option<LogPosition>,
    /// The last entry; the last purged one when no entry is left.
    pub last: Option<LogPosition>,
    /// The hint how far the group has committed, never beyond `last`.
    pub committed: Option<LogPosition>,
}

/// An entry as it was appended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WalEntry {
    /// Term and index of the entry.
    pub position: LogPosition,
    /// The bytes of the entry.
    pub payload: Bytes,
}

/// A summary of the files of a log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WalRecovery {
    /// Where an unfinished write was dropped, if the medium shows one.
    pub torn_tail: Option<TornTail>,
    /// Entries that are there.
    pub entries: u64,
    /// Log files that were read.
    pub files: u64,
}

/// The end of the log when the last write was not finished.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TornTail {
    /// The log file.
    pub file: PathBuf,
    /// The first byte that was dropped.
    pub offset: u64,
}
