//! The errors of replication: why a proposal has no outcome, and why the groups cannot start or stop.

use std::path::PathBuf;
use std::{fmt, io};

use openraft::errors::ClientWriteError;
use tidelog_storage::WalError;
use tidelog_storage::checkpoint::CheckpointError;
use tidelog_storage::shard::ShardError;
use tidelog_storage::wal::LogPosition;

use super::types::config::TypeConfig;

/// Why a proposal has no outcome.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ProposeError {
    /// Nothing was proposed: it may be tried again at once, elsewhere or here.
    #[error("not proposed")]
    NotProposed,
    /// The command may be applied or not, now or later: only the client may try again.
    #[error("outcome unknown")]
    Unknown,
}

/// Only a command that openraft refused before appending it was certainly not proposed.
pub fn propose_error(error: &ClientWriteError<TypeConfig>) -> ProposeError {
    match error {
        ClientWriteError::ForwardToLeader(_) => ProposeError::NotProposed,
        _ => ProposeError::Unknown,
    }
}

/// Why the groups cannot start or stop. The message says what an operator can do.
#[derive(Debug, thiserror::Error)]
pub enum ReplicationError {
    /// The write-ahead log cannot be read or written.
    #[error(transparent)]
    Wal(#[from] WalError),
    /// Something that was durable is gone. Nothing was changed on the disk.
    #[error("{loss}. {remedy}")]
    Lost {
        /// The loss, and how it is known.
        loss: Loss,
        /// The remedy that an operator has.
        remedy: Remedy,
    },
    /// No checkpoint can be loaded.
    #[error(transparent)]
    Checkpoint(#[from] CheckpointError),
    /// A shard's files do not match the checkpoint.
    #[error(transparent)]
    Shard(#[from] ShardError),
    /// A thread cannot be started or a directory cannot be made.
    #[error("{0}")]
    Io(#[from] io::Error),
    /// The stored state contradicts itself.
    #[error("{0}")]
    State(String),
    /// openraft refused to run.
    #[error("replication of group {group}: {reason}")]
    Raft {
        /// The group.
        group: u8,
        /// openraft's words.
        reason: String,
    },
}

pub fn raft_error(group: u8, error: &dyn fmt::Display) -> ReplicationError {
    ReplicationError::Raft { group, reason: error.to_string() }
}

/// Something durable that is not there any more.
#[derive(Debug, thiserror::Error)]
pub enum Loss {
    /// The log's files say so, or its mark.
    #[error("{0}")]
    Log(WalError),
    /// The directory has been in use, and there is no log.
    #[error("the write-ahead log is missing, though {0} that there was one")]
    NoLog(&'static str),
    /// The mark of the log is gone.
    #[error("the file wal.mark is missing, though IDENTITY says that a log was begun in this directory")]
    NoMark,
    /// A group has nothing, although its cluster was founded here.
    #[error(
        "group {0} has neither a log nor a checkpoint, though IDENTITY says that this node founded its cluster"
    )]
    EmptyGroup(u8),
    /// A group's log was truncated below a committed entry.
    #[error(
        "the log of group {group} says that its entries up to {committed:?} were committed, and it ends at {last:?}"
    )]
    CutBelowCommitted {
        /// The group.
        group: u8,
        /// The last committed position.
        committed: LogPosition,
        /// Where the log ends.
        last: Option<LogPosition>,
    },
    /// The log begins behind the end of the checkpoint.
    #[error(
        "group {group}: the log begins after {purged:?}, but the newest checkpoint that can be read ends at {applied:?}: \
         records between them are missing"
    )]
    Gap {
        /// The group.
        group: u8,
        /// The last position that the log has purged.
        purged: Option<LogPosition>,
        /// Where the checkpoint ends.
        applied: Option<LogPosition>,
    },
}

/// An operator's remedy for a loss.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Remedy {
    /// The node has peers, to which it may have acknowledged entries that it has lost.
    Replace,
    /// The node is on its own.
    Restore(PathBuf),
}

impl fmt::Display for Remedy {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Replace => out.write_str(
                "This node may have lost entries that it acknowledged to its peers, so it must not come back under its id: start it with an \
                 empty data directory under an id that was never used, and run `tidelog cluster replace OLD_ID NEW_ID=HOST:PORT`",
            ),
            Self::Restore(directory) => write!(
                out,
                "Acknowledged records may be missing, so the start is refused and nothing was changed: put the missing file \
                 back, or restore {0} as a whole from a copy. Without either, `tidelog log give-up --data {0}` says what is \
                 lost and lets the broker go on without it",
                directory.display()
            ),
        }
    }
}
