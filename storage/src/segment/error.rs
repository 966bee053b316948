//! Errors of reading and writing a shard's files, by the reaction that the caller can choose.

use std::io;
use std::path::{Path, PathBuf};

/// Errors of a shard's files.
#[derive(Debug, thiserror::Error)]
pub enum ShardError {
    /// The file system is full. Nothing is lost: the records stay in memory and in the write-ahead log, and the
    /// same call can be repeated once there is space.
    #[error("no space left to write {path}")]
    NoSpace {
        /// The file that could not grow.
        path: PathBuf,
        /// The operating system's answer.
        source: io::Error,
    },
    /// The operating system refused. After a failed write or sync this is fatal: the caller must not retry.
    #[error("cannot {action} {path}: {source}")]
    Io {
        /// The action that failed, as a verb.
        action: &'static str,
        /// The file or directory.
        path: PathBuf,
        /// The operating system's answer.
        source: io::Error,
    },
    /// The bytes on disk are not those that were written. They are never served; a replica can repair them.
    #[error("{path} is damaged at byte {offset}: {reason}")]
    Damaged {
        /// The damaged file.
        path: PathBuf,
        /// Where in the file, in bytes.
        offset: u64,
        /// The fault of the bytes.
        reason: &'static str,
    },
}

impl ShardError {
    /// Sorts an error of writing into [`ShardError::NoSpace`] and [`ShardError::Io`].
    pub(crate) fn io(action: &'static str, path: &Path, source: io::Error) -> ShardError {
        let path = path.to_owned();
        match source.kind() {
            io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => ShardError::NoSpace { path, source },
            _ => ShardError::Io { action, path, source },
        }
    }

    /// A file that ends early, or that the medium cannot read, is damage; anything else is the operating system's.
    pub(crate) fn from_read(source: io::Error, path: &Path, offset: u64) -> ShardError {
        match source.kind() {
            io::ErrorKind::UnexpectedEof => ShardError::damaged(path, offset, "the file ends early"),
            _ if source.raw_os_error() == Some(rustix::io::Errno::IO.raw_os_error()) => {
                ShardError::damaged(path, offset, "the medium cannot read it")
            }
            _ => ShardError::io("read", path, source),
        }
    }

    pub(crate) fn damaged(path: &Path, offset: u64, reason: &'static str) -> ShardError {
        ShardError::Damaged { path: path.to_owned(), offset, reason }
    }

    /// Whether the file was not there.
    pub(crate) fn is_missing(&self) -> bool {
        matches!(self, ShardError::Io { source, .. } if source.kind() == io::ErrorKind::NotFound)
    }
}
