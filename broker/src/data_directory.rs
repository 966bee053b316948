//! The data directory of one process: created when absent, locked as long as the process lives.
//!
//! Invariant: no two processes hold one directory. The lock is the kernel's (`flock` on the file `LOCK`), so it ends
//! with its process however that ends, and the file itself is never removed. The server opens it before the node starts.
//!
//! An ephemeral directory goes with its process, or with the next ephemeral one on this machine if that was killed. It
//! is known by the file `EPHEMERAL`, which exists only under the lock and goes when somebody opens it to be kept.

use std::ffi::OsStr;
use std::fs::{File, OpenOptions};
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use rustix::fs::{FlockOperation, flock};
use rustix::io::Errno;
use rustix::process::geteuid;
use tempfile::TempDir;

use crate::config::DataLocation;

/// Name of the file that is locked.
const LOCK_FILE: &str = "LOCK";
/// Name of the file that says that the directory may go once nobody holds it.
const EPHEMERAL_FILE: &str = "EPHEMERAL";
/// What the names of ephemeral directories begin with.
const EPHEMERAL_PREFIX: &str = "tidelog-";

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
            DataLocation::Directory(path) => {
                let unusable = |source| DataDirectoryError::Unusable { path: path.clone(), source };
                std::fs::create_dir_all(path).map_err(unusable)?;
                let lock = locked(path, true)?;
                match std::fs::remove_file(path.join(EPHEMERAL_FILE)) {
                    Err(error) if error.kind() != io::ErrorKind::NotFound => Err(unusable(error)),
                    _ => Ok(Self { _lock: lock, path: path.clone(), ephemeral: None }),
                }
            }
            DataLocation::Ephemeral => Self::ephemeral(&std::env::temp_dir()),
        }
    }

    /// A new directory under `parent`, without those there whose processes were killed.
    fn ephemeral(parent: &Path) -> Result<Self, DataDirectoryError> {
        remove_abandoned(parent);
        let temporary = tempfile::Builder::new()
            .prefix(EPHEMERAL_PREFIX)
            .tempdir_in(parent)
            .map_err(|source| DataDirectoryError::Unusable { path: parent.into(), source })?;
        let path = temporary.path().to_path_buf();
        let lock = locked(&path, true)?;
        File::create(path.join(EPHEMERAL_FILE))
            .map_err(|source| DataDirectoryError::Unusable { path: path.clone(), source })?;
        Ok(Self { _lock: lock, path, ephemeral: Some(temporary) })
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

/// Its file `LOCK`, locked until it is dropped.
fn locked(path: &Path, may_create: bool) -> Result<File, DataDirectoryError> {
    let unusable = |source| DataDirectoryError::Unusable { path: path.into(), source };
    let mut options = OpenOptions::new();
    let lock = options
        .create(may_create)
        .write(true)
        .truncate(false)
        .open(path.join(LOCK_FILE))
        .map_err(unusable)?;
    match flock(&lock, FlockOperation::NonBlockingLockExclusive) {
        Ok(()) => Ok(lock),
        Err(Errno::WOULDBLOCK) => Err(DataDirectoryError::InUse { path: path.into() }),
        Err(errno) => Err(unusable(errno.into())),
    }
}

/// Removes the ephemeral directories of this user that nobody holds. One that cannot be removed is told and left.
fn remove_abandoned(parent: &Path) {
    let is_ours = |path: &Path| {
        let named =
            path.file_name().and_then(OsStr::to_str).is_some_and(|name| name.starts_with(EPHEMERAL_PREFIX));
        let owner = path.symlink_metadata().ok().filter(std::fs::Metadata::is_dir).map(|of| of.uid());
        named && owner == Some(geteuid().as_raw())
    };
    let entries = std::fs::read_dir(parent).into_iter().flatten().flatten().map(|entry| entry.path());
    for path in entries.filter(|path| is_ours(path)) {
        let Ok(_lock) = locked(&path, false) else { continue };
        // Under the lock: no other process is about to open it to be kept.
        if path.join(EPHEMERAL_FILE).is_file() {
            match std::fs::remove_dir_all(&path) {
                Ok(()) => {
                    tracing::info!(path = %path.display(), "an ephemeral broker was killed: removed its data")
                }
                Err(error) => {
                    tracing::warn!(path = %path.display(), %error, "cannot remove a killed broker's data")
                }
            }
        }
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
    fn what_a_killed_process_left_goes_with_the_next_unless_it_is_to_be_kept() {
        let parent = tempfile::tempdir().unwrap();
        let left = |name: &str, marked: bool| {
            let path = parent.path().join(name);
            std::fs::create_dir(&path).unwrap();
            File::create(path.join(LOCK_FILE)).unwrap();
            if marked {
                File::create(path.join(EPHEMERAL_FILE)).unwrap();
            }
            path
        };
        let alive = DataDirectory::ephemeral(parent.path()).unwrap();
        let [killed, rescued] = ["tidelog-killed", "tidelog-rescued"].map(|name| left(name, true));
        let [kept, other] = [left("tidelog-kept", false), left("other", true)];
        drop(DataDirectory::open(&DataLocation::Directory(rescued.clone())).unwrap());

        let next = DataDirectory::ephemeral(parent.path()).unwrap();
        assert!(!killed.exists());
        for path in [alive.path(), next.path(), &rescued, &kept, &other] {
            assert!(path.join(LOCK_FILE).exists(), "{}", path.display());
        }
    }

    #[test]
    fn a_file_in_its_place_is_named() {
        let file = tempfile::NamedTempFile::new().unwrap();
        let refusal = DataDirectory::open(&DataLocation::Directory(file.path().into())).unwrap_err();
        assert!(refusal.to_string().contains(file.path().to_str().unwrap()), "{refusal}");
    }
}
