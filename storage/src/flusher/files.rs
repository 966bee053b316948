//! Segment files open for writing, and the files and directories that must be synced before a checkpoint may rely
//! on them.

use std::collections::BTreeSet;
use std::io;
use std::path::PathBuf;
use std::sync::Arc;

use super::job::WriteJob;
use crate::blocks::Blocks;
use crate::disk::{Disk, DiskFile, Open};
use crate::recent::Recent;
use crate::segment::{segment_path, shard_dir, stream_dir};
use crate::shard::{ShardError, ShardKey, Shared};

struct WriteFile {
    file: Arc<dyn DiskFile>,
    path: PathBuf,
    unsynced: bool,
    /// Whether the segment is sealed, so that the file is closed when it is synced.
    complete: bool,
}

/// The flusher's files, at most [`write_files_max`] of them. Beyond it the least recently written one is synced and
/// closed: a file with unsynced writes is never closed, so that the sync that follows reports their errors.
///
/// [`write_files_max`]: crate::shard::StoreOptions::write_files_max
#[derive(Default)]
pub(super) struct WriteFiles {
    open: Recent<(ShardKey, u64), WriteFile>,
    /// Directories with new entries; bounded by the shards written since the last sync.
    new_entries: BTreeSet<PathBuf>,
    buffer: Blocks,
}

impl WriteFiles {
    /// Carries a write out. After [`ShardError::NoSpace`] it can be repeated.
    pub fn write(&mut self, shared: &Shared, key: ShardKey, job: &WriteJob) -> Result<(), ShardError> {
        let file_key = (key, job.first_ordinal);
        if job.from == 0 {
            self.create(shared, key, job.first_ordinal)?;
        } else if !self.open.contains(&file_key) {
            self.open_existing(shared, key, job.first_ordinal)?;
        }
        let open = self.open.get_mut(&file_key).expect("the file was just opened");
        open.unsynced = true;
        job.write(key, &*open.file, &mut self.buffer)
            .map_err(|source| ShardError::io("write", &open.path, source))?;
        open.complete = job.seals();
        Ok(())
    }

    /// Makes everything written so far durable.
    pub fn sync(&mut self, disk: &dyn Disk) -> Result<(), ShardError> {
        for file in self.open.values_mut() {
            file.sync()?;
        }
        drop(self.open.take_all(|_, file| file.complete));
        while let Some(dir) = self.new_entries.pop_first() {
            match disk.sync_dir(&dir) {
                // The directory of a stream that was removed meanwhile.
                Err(source) if source.kind() == io::ErrorKind::NotFound => {}
                Err(source) => return Err(ShardError::Io { action: "sync", path: dir, source }),
                Ok(()) => {}
            }
        }
        Ok(())
    }

    /// Closes a file that was replaced, unsynced: the new one is durable as far as it was written.
    pub fn forget(&mut self, key: ShardKey, first_ordinal: u64) {
        self.open.remove(&(key, first_ordinal));
    }

    /// Closes the files of removed shards, unsynced.
    pub fn forget_all(&mut self, is_meant: impl Fn(ShardKey) -> bool) {
        drop(self.open.take_all(|file_key, _| is_meant(file_key.0)));
    }

    fn create(&mut self, shared: &Shared, key: ShardKey, first_ordinal: u64) -> Result<(), ShardError> {
        let dir = shard_dir(&shared.dir, key);
        shared.disk.create_dir_all(&dir).map_err(|source| ShardError::io("create", &dir, source))?;
        let path = segment_path(&shared.dir, key, first_ordinal);
        let created = shared.disk.open(&path, Open::Create);
        created.map_err(|source| ShardError::io("create", &path, source))?;
        if first_ordinal == 1 {
            self.new_entries.insert(shared.dir.clone());
            self.new_entries.insert(stream_dir(&shared.dir, key.stream_uid));
        }
        self.new_entries.insert(dir);
        self.open_existing(shared, key, first_ordinal)
    }

    fn open_existing(
        &mut self,
        shared: &Shared,
        key: ShardKey,
        first_ordinal: u64,
    ) -> Result<(), ShardError> {
        while self.open.len() >= shared.options.write_files_max.max(1) {
            self.close_oldest()?;
        }
        let path = segment_path(&shared.dir, key, first_ordinal);
        let opened = shared.disk.open(&path, Open::WriteDirect);
        let file = opened.map_err(|source| ShardError::io("open", &path, source))?;
        let file = WriteFile { file, path, unsynced: false, complete: false };
        self.open.insert((key, first_ordinal), file);
        Ok(())
    }

    fn close_oldest(&mut self) -> Result<(), ShardError> {
        self.open.pop_oldest().map_or(Ok(()), |mut file| file.sync())
    }
}

impl WriteFile {
    fn sync(&mut self) -> Result<(), ShardError> {
        if self.unsynced {
            // Never `NoSpace`: a failed sync must not be repeated.
            let sync = self.file.sync_data();
            sync.map_err(|source| ShardError::Io { action: "sync", path: self.path.clone(), source })?;
            self.unsynced = false;
        }
        Ok(())
    }
}
