//! The data directory of one process: created when absent, locked as long as the process lives.
//!
//! Invariant: no two processes hold one directory. The lock is the kernel's (`flock` on the file `LOCK`), so it ends
//! with its process however that ends, and the file itself is removed only with the directory and under the lock. The
//! directory is locked as well, where its file system can, so that removing `LOCK` lets nobody in. The server opens it
//! before the node starts; [`crate::ownership`] looks whether it stays.
//!
//! An ephemeral directory goes with its process, or with the next ephemeral one on this machine if that was killed. It
//! is known by the file `EPHEMERAL`, which has the directory's own name in it: a copy under another name is kept. It is
//! written and looked at under the lock, and goes when somebody opens the directory to keep it.

use std::fs::{DirBuilder, File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use rustix::fs::{FlockOperation, OFlags, flock};
use rustix::io::Errno;
use rustix::process::geteuid;

/// Name of the file that is locked.
pub(crate) const LOCK_FILE: &str = "LOCK";
/// Name of the file that says that the directory may go once nobody holds it.
const EPHEMERAL_FILE: &str = "EPHEMERAL";
/// How often a lock is taken that turns out to be removed.
const LOCK_ATTEMPTS_MAX: u32 = 100;
/// Names of which at least one stands in a directory that has data.
const DATA: [&str; 4] = ["IDENTITY", "wal", "checkpoint", "shards"];
/// Permissions that a data directory should give to nobody.
const OPEN_TO_OTHERS: u32 = 0o077;
/// Beginning of the names of ephemeral directories.
const EPHEMERAL_PREFIX: &str = "tidelog-";

/// Where records are kept.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum DataLocation {
    /// A directory that outlives the process; created when absent.
    Directory(PathBuf),
    /// A directory of its own that is removed at exit, or by the next such broker after a kill.
    Ephemeral,
}

/// A data directory that is this process's alone until it is dropped.
#[derive(Debug)]
pub struct DataDirectory {
    path: PathBuf,
    is_ephemeral: bool,
    is_new: bool,
    lock: Lock,
}

/// Both locks of a directory, until they are dropped.
#[derive(Debug)]
pub(crate) struct Lock {
    /// The file `LOCK`.
    pub file: File,
    /// The directory itself.
    pub directory: File,
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
    /// The directory should have data, and does not.
    #[error(
        "the data directory {} holds no data, though --expect-data says that it does: mount its volume or correct \
         --data; to begin a new data directory there, start once without --expect-data",
        path.display()
    )]
    Empty {
        /// The directory.
        path: PathBuf,
    },
    /// The directory cannot be created, opened or locked.
    #[error("cannot use the data directory {}: {source}", path.display())]
    Unusable {
        /// The directory.
        path: PathBuf,
        /// The reason.
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
                let lock = locked(path, true)?;
                match std::fs::remove_file(path.join(EPHEMERAL_FILE)) {
                    Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(unusable(error)),
                    _ => {}
                }
                let mode = lock.directory.metadata().map_err(unusable)?.mode();
                if mode & OPEN_TO_OTHERS != 0 {
                    tracing::warn!(
                        "the data directory {} is open to other users (mode {:03o}): they may read its records and keys; \
                         chmod 700 closes it",
                        path.display(),
                        mode & 0o777
                    );
                }
                Ok(Self { path: path.clone(), is_ephemeral: false, is_new: !has_data(path), lock })
            }
            DataLocation::Ephemeral => Self::ephemeral(&std::env::temp_dir()),
        }
    }

    /// Opens a directory that has data, like [`Self::open`]; creates nothing where there is none.
    ///
    /// # Errors
    /// [`DataDirectoryError::Empty`] without data, and those of [`Self::open`].
    pub fn open_existing(location: &DataLocation) -> Result<Self, DataDirectoryError> {
        match location {
            DataLocation::Directory(path) if !has_data(path) => {
                Err(DataDirectoryError::Empty { path: path.clone() })
            }
            _ => Self::open(location),
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
        let name = path.file_name().unwrap_or_default().as_encoded_bytes();
        let created =
            OpenOptions::new().write(true).create_new(true).mode(0o600).open(path.join(EPHEMERAL_FILE));
        created
            .and_then(|mut file| file.write_all(name))
            .map_err(|source| DataDirectoryError::Unusable { path: path.clone(), source })?;
        Ok(Self { path: temporary.keep(), is_ephemeral: true, is_new: true, lock })
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Whether it had no data when it was opened.
    pub fn is_new(&self) -> bool {
        self.is_new
    }

    /// Returns the locks that this process holds on the directory.
    pub(crate) fn lock(&self) -> &Lock {
        &self.lock
    }

    /// Whether it is removed when dropped.
    pub fn is_ephemeral(&self) -> bool {
        self.is_ephemeral
    }
}

impl Drop for DataDirectory {
    fn drop(&mut self) {
        if self.is_ephemeral
            && let Err(error) = remove(&self.path)
        {
            tracing::warn!(path = %self.path.display(), %error, "cannot remove the ephemeral data");
        }
    }
}

/// Whether anything of a node's data stands in the directory.
fn has_data(path: &Path) -> bool {
    DATA.iter().any(|name| path.join(name).symlink_metadata().is_ok())
}

/// The locks of that directory; it and its file `LOCK` are made where they are absent and may be.
fn locked(path: &Path, may_create: bool) -> Result<Lock, DataDirectoryError> {
    let unusable = |source| DataDirectoryError::Unusable { path: path.into(), source };
    for _ in 0..LOCK_ATTEMPTS_MAX {
        if may_create {
            DirBuilder::new().recursive(true).mode(0o700).create(path).map_err(unusable)?;
        }
        let file = path.join(LOCK_FILE);
        let mut options = OpenOptions::new();
        options.write(true).truncate(false).create(may_create).mode(0o600).custom_flags(no_link());
        let lock = match options.open(&file) {
            // The directory was removed in between.
            Err(error) if error.kind() == io::ErrorKind::NotFound && may_create && !path.exists() => continue,
            opened => opened.map_err(unusable)?,
        };
        let directory = File::open(path).map_err(unusable)?;
        match flock(&lock, FlockOperation::NonBlockingLockExclusive) {
            // Another process may have removed the lock file or the directory before this one got the lock.
            Ok(()) if is_at(&lock, &file) && is_at(&directory, path) => {}
            Ok(()) => continue,
            Err(Errno::WOULDBLOCK) => return Err(DataDirectoryError::InUse { path: path.into() }),
            Err(errno) => return Err(unusable(errno.into())),
        }
        // A file system that does not lock directories has the file's lock alone.
        if flock(&directory, FlockOperation::NonBlockingLockExclusive) == Err(Errno::WOULDBLOCK) {
            return Err(DataDirectoryError::InUse { path: path.into() });
        }
        return Ok(Lock { file: lock, directory });
    }
    Err(unusable(io::Error::other("the lock is another file each time it is looked at")))
}

/// The flag that keeps `open` from following a link, as an argument of it.
fn no_link() -> i32 {
    i32::try_from(OFlags::NOFOLLOW.bits()).expect("a flag of open fits its argument")
}

/// Whether a path leads to the open file.
pub(crate) fn is_at(file: &File, path: &Path) -> bool {
    let (held, there) = (file.metadata(), std::fs::metadata(path));
    matches!((held, there), (Ok(held), Ok(there)) if (held.dev(), held.ino()) == (there.dev(), there.ino()))
}

/// Removes the ephemeral directories of this user that nobody holds. One that cannot be removed is logged and left.
fn remove_abandoned(parent: &Path) {
    let entries = std::fs::read_dir(parent).into_iter().flatten().flatten().map(|entry| entry.path());
    for path in entries.filter(|path| is_ephemeral(path)) {
        let Ok(_lock) = locked(&path, false) else { continue };
        // Somebody may have removed it, or opened it to keep it, before it was locked.
        if !is_ephemeral(&path) {
            continue;
        }
        if let Err(error) = remove(&path) {
            tracing::warn!(path = %path.display(), %error, "cannot remove a killed broker's data");
            continue;
        }
        tracing::info!(path = %path.display(), "an ephemeral broker was killed: removed its data");
    }
}

/// Removes a directory that is locked. Renamed first, so that no process can open it while it is removed.
fn remove(path: &Path) -> io::Result<()> {
    let parent = path.parent().unwrap_or_else(|| Path::new("/"));
    let away = tempfile::Builder::new().prefix(EPHEMERAL_PREFIX).tempdir_in(parent);
    match away.and_then(|away| std::fs::rename(path, away.path().join("removed")).map(|()| away)) {
        Ok(away) => away.close(),
        // On a disk that is full, for one.
        Err(_) => std::fs::remove_dir_all(path),
    }
}

/// Whether that is a directory of this user's which says of itself that it is ephemeral.
fn is_ephemeral(path: &Path) -> bool {
    let Some(name) =
        path.file_name().filter(|name| name.as_encoded_bytes().starts_with(EPHEMERAL_PREFIX.as_bytes()))
    else {
        return false;
    };
    let is_ours = |of: std::fs::Metadata| of.is_dir() && of.uid() == geteuid().as_raw();
    path.symlink_metadata().is_ok_and(is_ours)
        && std::fs::read(path.join(EPHEMERAL_FILE)).is_ok_and(|said| said == name.as_encoded_bytes())
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
    fn directories_of_killed_processes_are_removed_by_the_next_unless_kept() {
        let parent = tempfile::tempdir().unwrap();
        let left = |name: &str, mark: Option<&str>| {
            let path = parent.path().join(name);
            std::fs::create_dir(&path).unwrap();
            File::create(path.join(LOCK_FILE)).unwrap();
            if let Some(mark) = mark {
                std::fs::write(path.join(EPHEMERAL_FILE), mark).unwrap();
            }
            path
        };
        let alive = DataDirectory::ephemeral(parent.path()).unwrap();
        let [killed, rescued] = ["tidelog-killed", "tidelog-rescued"].map(|name| left(name, Some(name)));
        let copied = left("tidelog-copied", Some("tidelog-killed"));
        let [kept, other] = [left("tidelog-kept", None), left("other", Some("other"))];
        drop(DataDirectory::open(&DataLocation::Directory(rescued.clone())).unwrap());

        let next = DataDirectory::ephemeral(parent.path()).unwrap();
        assert!(!killed.exists());
        for path in [alive.path(), next.path(), &rescued, &copied, &kept, &other] {
            assert!(path.join(LOCK_FILE).exists(), "{}", path.display());
        }
    }

    #[test]
    fn a_lock_that_was_removed_is_none() {
        let parent = tempfile::tempdir().unwrap();
        let path = parent.path().join("data");
        let before = locked(&path, true).unwrap();
        std::fs::remove_dir_all(&path).unwrap();
        let _now = locked(&path, true).unwrap();
        assert!(!is_at(&before.file, &path.join(LOCK_FILE)));
        assert!(matches!(locked(&path, true), Err(DataDirectoryError::InUse { .. })));
    }

    #[test]
    fn removing_the_lock_lets_nobody_in() {
        let parent = tempfile::tempdir().unwrap();
        let path = parent.path().join("data");
        let _held = locked(&path, true).unwrap();
        std::fs::remove_file(path.join(LOCK_FILE)).unwrap();
        assert!(matches!(locked(&path, true), Err(DataDirectoryError::InUse { .. })));
    }

    #[test]
    fn a_lock_that_is_a_link_is_refused_and_the_file_behind_it_kept() {
        let parent = tempfile::tempdir().unwrap();
        let other = parent.path().join("other");
        std::fs::write(&other, "kept").unwrap();
        let path = parent.path().join("data");
        std::fs::create_dir(&path).unwrap();
        std::os::unix::fs::symlink(&other, path.join(LOCK_FILE)).unwrap();
        assert!(matches!(locked(&path, true), Err(DataDirectoryError::Unusable { .. })));
        assert_eq!(std::fs::read_to_string(&other).unwrap(), "kept");
    }

    #[test]
    fn data_that_is_expected_must_be_there() {
        let parent = tempfile::tempdir().unwrap();
        let path = parent.path().join("data");
        let location = DataLocation::Directory(path.clone());
        for _ in 0..2 {
            let refusal = DataDirectory::open_existing(&location).unwrap_err();
            assert!(matches!(refusal, DataDirectoryError::Empty { .. }), "{refusal}");
            assert!(!path.exists(), "a refused start has created something");
        }
        // The certificates of `tidelog ca` are no data.
        std::fs::create_dir_all(path.join("tls")).unwrap();
        assert!(DataDirectory::open_existing(&location).is_err());
        assert!(DataDirectory::open(&location).unwrap().is_new());
        std::fs::create_dir(path.join("wal")).unwrap();
        assert!(!DataDirectory::open_existing(&location).unwrap().is_new());
    }

    #[test]
    fn a_file_in_its_place_is_named() {
        let file = tempfile::NamedTempFile::new().unwrap();
        let refusal = DataDirectory::open(&DataLocation::Directory(file.path().into())).unwrap_err();
        assert!(refusal.to_string().contains(file.path().to_str().unwrap()), "{refusal}");
    }
}
