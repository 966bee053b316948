//! Whether the process still owns the files it works on; one that does not ends, before it acknowledges more into
//! nothing.
//!
//! A file that was removed or replaced can still be written to: the process that has it open notices nothing, and
//! the records that it acknowledges are gone with it. So the server looks each second, through handles that it
//! keeps, whether the paths still lead to the same directories and the same `LOCK`, whether `IDENTITY` still says
//! who this node is, and whether the log's files still have a name. IDENTITY is compared by its contents, because
//! the node itself replaces the file.

use std::fs::{File, Metadata, metadata};
use std::io::{self, ErrorKind};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use rustix::io::Errno;
use tidelog_storage::disk::RealDisk;
use tokio::sync::watch;
use tokio::time::timeout;

use crate::cluster::identity;
use crate::cluster::peers::Identity;
use crate::data_directory::{DataDirectory, LOCK_FILE};
use crate::observability::logs;
use crate::replication::Groups;
use crate::shell::{Heartbeat, OwnerGone};

/// How often the server looks.
const LOOK_EVERY: Duration = Duration::from_secs(1);
/// Directories of a node's data, which are made once and never replaced.
const DIRECTORIES: [&str; 3] = ["wal", "checkpoint", "shards"];

/// How a process has lost its files.
#[derive(Debug, thiserror::Error)]
pub enum Lost {
    /// A path leads nowhere any more.
    #[error("{} was removed", _0.display())]
    Removed(PathBuf),
    /// A path leads to something else than at the start.
    #[error("{} was replaced by another one", _0.display())]
    Replaced(PathBuf),
    /// A path leads to another file system than at the start.
    #[error("{} is on another file system than before: a volume was mounted over it, or is not mounted any more", _0.display())]
    Mounted(PathBuf),
    /// The identity file is another node's, or unreadable.
    #[error("{} is not that of this node any more", _0.display())]
    Identity(PathBuf),
}

/// A path, and the file or directory that was open there at the start.
struct OwnedFile {
    path: PathBuf,
    file: File,
}

impl OwnedFile {
    fn open(path: PathBuf) -> io::Result<Self> {
        let file = File::open(&path)?;
        Ok(Self { path, file })
    }

    /// Whether the path still leads to the file.
    fn look(&self) -> io::Result<Option<Lost>> {
        let there = match metadata(&self.path) {
            Ok(there) => there,
            Err(error) if is_gone(&error) => return Ok(Some(Lost::Removed(self.path.clone()))),
            Err(error) => return Err(error),
        };
        let own = self.file.metadata()?;
        let id = |of: &Metadata| (of.dev(), of.ino());
        Ok(match id(&own) == id(&there) {
            true => None,
            false if own.dev() != there.dev() => Some(Lost::Mounted(self.path.clone())),
            false => Some(Lost::Replaced(self.path.clone())),
        })
    }
}

fn is_gone(error: &io::Error) -> bool {
    let is_stale = error.raw_os_error() == Some(Errno::STALE.raw_os_error());
    is_stale || matches!(error.kind(), ErrorKind::NotFound | ErrorKind::NotADirectory)
}

/// Handles of the files that a running server owns.
pub struct Ownership {
    files: Vec<OwnedFile>,
    directory: PathBuf,
    identity: Option<Identity>,
    groups: Arc<Groups>,
}

impl Ownership {
    /// Opens handles of all files that the server of these groups owns in that directory, which the server
    /// has locked.
    ///
    /// # Errors
    /// When a directory of the data cannot be opened.
    pub fn of(directory: &DataDirectory, groups: Arc<Groups>) -> io::Result<Self> {
        let (path, lock) = (directory.path(), directory.lock());
        let mut files = vec![
            OwnedFile { path: path.to_owned(), file: lock.directory.try_clone()? },
            OwnedFile { path: path.join(LOCK_FILE), file: lock.file.try_clone()? },
        ];
        for name in DIRECTORIES {
            files.push(OwnedFile::open(path.join(name))?);
        }
        Ok(Self { files, directory: path.to_owned(), identity: groups.peers().identity(), groups })
    }

    /// Looks whether everything is still there; `None` when it is.
    ///
    /// # Errors
    /// When the operating system does not say: that is no loss.
    pub fn look(&self) -> io::Result<Option<Lost>> {
        for file in &self.files {
            if let Some(lost) = file.look()? {
                return Ok(Some(lost));
            }
        }
        if let Some(own) = &self.identity
            && !identity::is_still(&RealDisk, &self.directory, own)?
        {
            return Ok(Some(Lost::Identity(identity::path(&self.directory))));
        }
        Ok(self.groups.disk().unlinked_log_file()?.map(Lost::Removed))
    }

    /// Looks each second, and ends the process when something is lost. Returns when the server stops.
    pub async fn keep(self, heartbeat: Heartbeat, mut stopping: watch::Receiver<bool>) -> OwnerGone {
        let mut is_unknown = false;
        // A server that was dropped has stopped too.
        while timeout(LOOK_EVERY, stopping.wait_for(|stop| *stop)).await.is_err() {
            heartbeat.beat();
            match self.look() {
                Ok(None) => is_unknown = false,
                Ok(Some(lost)) => end(&self.directory, &lost),
                Err(error) if !is_unknown => {
                    is_unknown = true;
                    tracing::warn!(%error, "data directory: cannot check whether it is still there; checking again in 1 s");
                }
                Err(_) => {}
            }
        }
        OwnerGone
    }
}

/// Ends the process: records that it acknowledged from here on would be lost.
fn end(directory: &Path, lost: &Lost) -> ! {
    let words = format!(
        "this process no longer owns the data directory {}: {lost}. It ends at once, so that it acknowledges nothing that \
         is not kept; put the directory back in its place and start again",
        directory.display()
    );
    tracing::error!("{words}");
    logs::print(&format!("tidelog: {words}"));
    std::process::exit(1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_that_leads_elsewhere_is_noticed() {
        let parent = tempfile::tempdir().unwrap();
        let path = parent.path().join("wal");
        std::fs::create_dir(&path).unwrap();
        let file = OwnedFile::open(path.clone()).unwrap();
        assert!(file.look().unwrap().is_none());
        std::fs::rename(&path, parent.path().join("away")).unwrap();
        assert!(matches!(file.look().unwrap(), Some(Lost::Removed(_))));
        std::fs::create_dir(&path).unwrap();
        assert!(matches!(file.look().unwrap(), Some(Lost::Replaced(_))));
        std::fs::remove_dir(&path).unwrap();
        // Another file system: a volume was unmounted, or mounted over the path.
        std::os::unix::fs::symlink("/proc", &path).unwrap();
        assert!(matches!(file.look().unwrap(), Some(Lost::Mounted(_))));
        std::fs::remove_file(&path).unwrap();
        std::fs::rename(parent.path().join("away"), &path).unwrap();
        assert!(file.look().unwrap().is_none());
    }
}
