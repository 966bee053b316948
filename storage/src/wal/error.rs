//! Errors of the write-ahead log; each variant says what its caller can do.

use std::io::{self, ErrorKind};
use std::path::{Path, PathBuf};

use super::GroupId;

/// An error of the write-ahead log.
#[derive(Debug, thiserror::Error)]
pub enum WalError {
    /// The file system refused an operation. Nothing of the failed call is acknowledged; it may be tried again.
    #[error("{}: {source}", path.display())]
    Io {
        /// The file or directory.
        path: PathBuf,
        /// The error of the file system.
        source: io::Error,
    },
    /// The file system is full. Nothing of the failed call is acknowledged; it succeeds once there is space.
    #[error("no space for the write-ahead log at {}: free space on this file system, then retry", path.display())]
    NoSpace {
        /// The file that could not grow.
        path: PathBuf,
    },
    /// Durable bytes differ from those that were written. The node must neither vote nor serve from this log.
    #[error("{} is damaged at byte {offset}: {why}", file.display())]
    Damaged {
        /// The damaged file.
        file: PathBuf,
        /// Where in the file, in bytes.
        offset: u64,
        /// The fault of the bytes.
        why: &'static str,
    },
    /// The end of the log is gone: something outside of it says that it was longer. The node must neither vote nor
    /// serve from this log.
    #[error(
        "the write-ahead log in {} ends at commit {end_lsn}, and {witness} that everything up to commit {synced_lsn} \
         was synced: the end of the log is missing",
        dir.display()
    )]
    EndMissing {
        /// The log's directory.
        dir: PathBuf,
        /// The LSN of the last commit that is there, 0 for none.
        end_lsn: u64,
        /// The LSN that was durable.
        synced_lsn: u64,
        /// The file or peer that says so, as the beginning of a sentence.
        witness: &'static str,
    },
    /// An operator has begun to give up the end of the log, and the command that does it has not finished.
    #[error(
        "the end of the write-ahead log in {} is being given up, and that has not finished: run \
         `tidelog log give-up` again",
        dir.display()
    )]
    GivingUp {
        /// The log's directory.
        dir: PathBuf,
    },
    /// An operation does not follow from the log before it: an error of the program. Nothing was written.
    #[error("group {group}: {why}")]
    OutOfOrder {
        /// The group of the operation.
        group: GroupId,
        /// The rule that it breaks.
        why: &'static str,
    },
    /// An entry is larger than the log can hold. Nothing was written.
    #[error("an entry of {bytes} bytes is larger than the log's {bytes_max}")]
    EntryTooLarge {
        /// Bytes of the entry's payload.
        bytes: u64,
        /// The largest payload in bytes.
        bytes_max: u64,
    },
    /// A file is intact, and of a format that this version does not know. Nothing is lost.
    #[error("{} was written by a newer version of the program: start that version", file.display())]
    Newer {
        /// The file.
        file: PathBuf,
    },
    /// A sync failed: the contents of the medium are unknown. The process must end; its log is read anew at the
    /// next start.
    #[error("{} cannot be synced, this process must not go on: {source}", path.display())]
    SyncFailed {
        /// The file or directory.
        path: PathBuf,
        /// The error of the file system.
        source: io::Error,
    },
    /// An earlier failure left the log in an unknown state. The process must end.
    #[error("the write-ahead log stopped after an earlier failure, this process must not go on")]
    Stopped,
}

impl WalError {
    /// True when acknowledged data or a vote is not there any more, so that an operator has to decide.
    #[must_use]
    pub fn is_loss(&self) -> bool {
        matches!(self, Self::Damaged { .. } | Self::EndMissing { .. })
    }

    /// Names the path of a failed operation and tells a full disk from other errors.
    pub(crate) fn at(path: &Path) -> impl FnOnce(io::Error) -> Self {
        move |source| match source.kind() {
            ErrorKind::StorageFull | ErrorKind::QuotaExceeded => Self::NoSpace { path: path.to_owned() },
            _ => Self::Io { path: path.to_owned(), source },
        }
    }

    /// Names the path of a failed sync.
    pub(crate) fn sync_at(path: &Path) -> impl FnOnce(io::Error) -> Self {
        move |source| Self::SyncFailed { path: path.to_owned(), source }
    }

    /// Damage at an offset of a file.
    pub(crate) fn damaged(file: &Path, offset: u64, why: &'static str) -> Self {
        Self::Damaged { file: file.to_owned(), offset, why }
    }
}
