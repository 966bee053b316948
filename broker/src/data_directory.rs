//! The data directory of one process: created when absent, locked as long as the process lives.
//!
//! Invariant: no two processes hold one directory. The lock is the kernel's (`flock` on the file `LOCK`), so it ends
//! with its process however that ends, and the file itself is never removed. The server opens it before the node starts.

use std::fs::{File, OpenOptions};
use std::io;
use std::path::{Path, PathBuf};

use rustix::fs::{FlockOperation, flock};
use rustix::io::Errno;
use tempfile::TempDir;

use crate::config::DataLocation;

/// Name of the file that is locked.
const LOCK_FILE: &str = "LOCK";

/// A data directory that is this process's alone until it is dropped.
#[derive(Debug)]
pub struct DataDirectory {
    // Fields are dropped in this order: the lock goes before an ephemeral directory is removed.
    _lock: File,
    path: PathBuf,
    ephemeral: Option<TempDir>,
}

/// Why there is no data directory.
#[derive(Debug, thiserror::Error)]
pub enum DataDirectoryError {
    /// Another process holds it.
    #[error(
        "the data directory {} is in use by another tidelog process; stop that one, or give this one a directory \
         of its own with --data",
        path.display()
    )]
    InUse {
        /// The directory.
        path: PathBuf,
    },
    /// It cannot be created, opened or locked.
    #[error("cannot use the data directory {}: {source}", path.display())]
    Unusable {
        /// The directory.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
}

impl DataDirectory {
    /// Creates the directory if need be, and locks it.
    ///
    /// # Errors
    /// [`DataDirectoryError::InUse`] while another process holds it.
    pub fn open(location: &DataLocation) -> Result<Self, DataDirectoryError> {
        match location {
            DataLocation::Directory(path) => Self::locked(path, None),
            DataLocation::Ephemeral => {
                let temporary = tempfile::Builder::new()
                    .prefix("tidelog-")
                    .tempdir()
                    .map_err(|source| DataDirectoryError::Unusable { path: std::env::temp_dir(), source })?;
                let path = temporary.path().to_path_buf();
                Self::locked(&path, Some(temporary))
            }
        }
    }

    fn locked(path: &Path, ephemeral: Option<TempDir>) -> Result<Self, DataDirectoryError> {
        let unusable = |source| DataDirectoryError::Unusable { path: path.into(), source };
        std::fs::create_dir_all(path).map_err(unusable)?;
        let mut options = OpenOptions::new();
        let lock =
            options.create(true).write(true).truncate(false).open(path.join(LOCK_FILE)).map_err(unusable)?;
        match flock(&lock, FlockOperation::NonBlockingLockExclusive) {
            Ok(()) => Ok(Self { _lock: lock, path: path.into(), ephemeral }),
            Err(Errno::WOULDBLOCK) => Err(DataDirectoryError::InUse { path: path.into() }),
            Err(errno) => Err(unusable(errno.into())),
        }
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Whether it is removed when dropped.
    pub fn is_ephemeral(&self) -> bool {
        self.ephemeral.is_some()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_second_holder_is_refused_until_the_first_is_gone() {
        let parent = tempfile::tempdir().unwrap();
        let location = DataLocation::Directory(parent.path().join("deep/data"));
        let first = DataDirectory::open(&location).unwrap();
        let refusal = DataDirectory::open(&location).unwrap_err();
        assert!(matches!(refusal, DataDirectoryError::InUse { .. }));
        assert!(refusal.to_string().contains("deep/data"), "{refusal}");
        drop(first);
        assert!(DataDirectory::open(&location).is_ok());
    }

    #[test]
    fn an_ephemeral_directory_goes_with_its_holder() {
        let directory = DataDirectory::open(&DataLocation::Ephemeral).unwrap();
        let path = directory.path().to_path_buf();
        assert!(path.is_dir());
        drop(directory);
        assert!(!path.exists());
    }

    #[test]
    fn a_file_in_its_place_is_named() {
        let file = tempfile::NamedTempFile::new().unwrap();
        let refusal = DataDirectory::open(&DataLocation::Directory(file.path().into())).unwrap_err();
        assert!(refusal.to_string().contains(file.path().to_str().unwrap()), "{refusal}");
    }
}
