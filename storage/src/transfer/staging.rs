//! The directory where pulled files wait: `<stream uid>/<shard>/<first ordinal>.seg`, as below `shards`.
//!
//! A staged file only grows; it is verified when it is complete, and removed when it turns out to be damaged.
//! Staged bytes survive a failed attempt and a restart; after a restart it is verified again before it is used.

use std::collections::BTreeSet;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};

use super::{Extent, FileNeed};
use crate::disk::{Disk, DiskFile, Open};
use crate::segment::ShardError;
use crate::segment::sealed::open_checked;
use crate::segment::tail::read_tail;
use crate::segment::{ShardKey, segment_path, shard_dir, verify};

/// Files on their way into a store.
pub struct Staging {
    disk: Arc<dyn Disk>,
    dir: PathBuf,
    /// Files that were found intact since the start, with their length then.
    verified: Mutex<BTreeSet<(ShardKey, u64, u64)>>,
}

impl Staging {
    /// Staged files live in `dir`, which need not exist.
    pub fn new(disk: Arc<dyn Disk>, dir: PathBuf) -> Staging {
        Staging { disk, dir, verified: Mutex::default() }
    }

    /// How many of the file's bytes are staged.
    ///
    /// # Errors
    /// [`ShardError::Io`] when the operating system refuses.
    pub fn staged_bytes(&self, need: &FileNeed) -> Result<u64, ShardError> {
        let length = length_of(&*self.disk, &self.path(need))?.unwrap_or(0);
        if matches!(need.extent, Extent::Sealed { .. }) && length > need.bytes {
            self.discard(need)?;
            return Ok(0);
        }
        Ok(length)
    }

    /// Adds bytes to the file; `offset` is [`Staging::staged_bytes`]. The bytes are durable after
    /// [`Staging::complete`] only.
    ///
    /// # Errors
    /// [`ShardError::NoSpace`] and [`ShardError::Io`]; bytes that were staged before stay.
    pub fn append(&self, need: &FileNeed, offset: u64, bytes: &[u8]) -> Result<(), ShardError> {
        let path = self.path(need);
        let how = if offset == 0 { Open::Create } else { Open::Write };
        if offset == 0 {
            let dir = shard_dir(&self.dir, need.key);
            self.disk.create_dir_all(&dir).map_err(|source| ShardError::io("create", &dir, source))?;
        }
        let file = self.disk.open(&path, how).map_err(|source| ShardError::io("open", &path, source))?;
        file.write_all_at(bytes, offset).map_err(|source| ShardError::io("write", &path, source))
    }

    /// Verifies the staged file and makes it durable. A damaged one is removed, to be pulled anew.
    ///
    /// # Errors
    /// [`ShardError::Damaged`] when its bytes do not pass their checksums or are not those of the need;
    /// [`ShardError::Io`] when the operating system refuses.
    pub fn complete(&self, need: &FileNeed) -> Result<(), ShardError> {
        if let Err(error) = self.verify(need) {
            if matches!(error, ShardError::Damaged { .. }) {
                self.discard(need)?;
            }
            return Err(error);
        }
        let path = self.path(need);
        let file =
            self.disk.open(&path, Open::Write).map_err(|source| ShardError::io("open", &path, source))?;
        file.sync_data().map_err(|source| ShardError::Io { action: "sync", path, source })?;
        self.sync_dir(&shard_dir(&self.dir, need.key))?;
        self.verified().insert((need.key, need.first_ordinal, need.bytes));
        Ok(())
    }

    /// Whether the file was verified since the start, as far as it is needed.
    pub(crate) fn is_complete(&self, need: &FileNeed) -> bool {
        self.verified().contains(&(need.key, need.first_ordinal, need.bytes))
    }

    /// Removes the staged file.
    ///
    /// # Errors
    /// [`ShardError::Io`] when the operating system refuses.
    pub fn discard(&self, need: &FileNeed) -> Result<(), ShardError> {
        self.verified().retain(|(key, first, _)| (*key, *first) != (need.key, need.first_ordinal));
        let path = self.path(need);
        match self.disk.remove_file(&path) {
            Err(source) if source.kind() != io::ErrorKind::NotFound => {
                Err(ShardError::io("remove", &path, source))
            }
            _ => Ok(()),
        }
    }

    /// Removes everything staged. To be called when nothing is being pulled.
    ///
    /// # Errors
    /// [`ShardError::Io`] when the operating system refuses.
    pub fn clear(&self) -> Result<(), ShardError> {
        self.verified().clear();
        self.disk.remove_dir_all(&self.dir).map_err(|source| ShardError::io("remove", &self.dir, source))
    }

    /// Moves a staged file into the directory of shards if it is complete and intact. Returns whether it was. A file
    /// of that name there is replaced by the rename, so that its readers keep the old one.
    pub(crate) fn place(&self, shards: &Path, need: &FileNeed) -> Result<bool, ShardError> {
        if !need.is_met_by(self.staged_bytes(need)?) || need.bytes == 0 {
            return Ok(false);
        }
        if !self.is_complete(need) {
            match self.complete(need) {
                Err(ShardError::Damaged { .. }) => return Ok(false),
                completed => completed?,
            }
        }
        let dir = shard_dir(shards, need.key);
        self.disk.create_dir_all(&dir).map_err(|source| ShardError::io("create", &dir, source))?;
        let (from, to) = (self.path(need), segment_path(shards, need.key, need.first_ordinal));
        self.disk.rename(&from, &to).map_err(|source| ShardError::io("rename", &from, source))?;
        self.verified().retain(|(key, first, _)| (*key, *first) != (need.key, need.first_ordinal));
        self.sync_dir(&dir)?;
        Ok(true)
    }

    fn verify(&self, need: &FileNeed) -> Result<(), ShardError> {
        let path = self.path(need);
        let place = (need.key, need.first_ordinal);
        let other_end = || ShardError::damaged(&path, need.bytes, "the segment ends at another ordinal");
        match &need.extent {
            Extent::Sealed { next_ordinal } => {
                let found = verify::sealed(&*self.disk, &path, place, need.bytes)?;
                if found == *next_ordinal { Ok(()) } else { Err(other_end()) }
            }
            Extent::Open(open) => {
                let file = open_checked(&*self.disk, &path, need.key, need.first_ordinal)?;
                let found = verify::frames(&*file, &path, place, open.tail_frame_offset)?;
                read_tail(&*file, &path, need.key, open)?;
                if found == open.tail_frame_ordinal { Ok(()) } else { Err(other_end()) }
            }
            Extent::Prefix => {
                let file = open_checked(&*self.disk, &path, need.key, need.first_ordinal)?;
                // A peer may have written less of it.
                let bytes = self.staged_bytes(need)?.min(need.bytes);
                verify::whole_frames(&*file, &path, place, bytes).map(drop)
            }
        }
    }

    /// The staged file, for a pull that goes on from its bytes.
    pub(crate) fn open(&self, need: &FileNeed) -> Result<(Arc<dyn DiskFile>, PathBuf), ShardError> {
        let path = self.path(need);
        let file = self.disk.open(&path, Open::Write);
        Ok((file.map_err(|source| ShardError::io("open", &path, source))?, path))
    }

    fn sync_dir(&self, dir: &Path) -> Result<(), ShardError> {
        let synced = self.disk.sync_dir(dir);
        synced.map_err(|source| ShardError::Io { action: "sync", path: dir.to_owned(), source })
    }

    fn path(&self, need: &FileNeed) -> PathBuf {
        segment_path(&self.dir, need.key, need.first_ordinal)
    }

    fn verified(&self) -> std::sync::MutexGuard<'_, BTreeSet<(ShardKey, u64, u64)>> {
        self.verified.lock().expect("no holder of the list panics")
    }
}

/// The length of a file; `None` when there is none.
pub(crate) fn length_of(disk: &dyn Disk, path: &Path) -> Result<Option<u64>, ShardError> {
    match disk.open(path, Open::Read).and_then(|file| file.len()) {
        Ok(length) => Ok(Some(length)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(source) => Err(ShardError::io("open", path, source)),
    }
}
