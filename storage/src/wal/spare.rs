//! Files that are ready for the log's next commits, and log files that nobody needs any more.
//!
//! [`SpareFiles::prepare`] is slow and belongs to a thread of its own; the writer takes a ready file and makes one
//! itself only when there is none. Retired files go one at a time, the oldest first, each durably before the next,
//! so that no crash leaves a hole in the sequence. At most [`SPARE_FILES_MAX`] spares are kept. A process begins
//! with a small file, and each further file has up to [`GROWTH`] times the bytes of the one before it until it has
//! full size, so that a process that is killed again and again does not leave a large file behind each time.

use std::collections::VecDeque;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::BLOCK;
use super::files::{spare_numbers, spare_path};
use crate::blocks::Blocks;
use crate::disk::{Disk, Open};
use crate::wal::WalError;

/// The most files that wait to be used.
const SPARE_FILES_MAX: usize = 2;

/// How many times the bytes of the current file the next one may have.
const GROWTH: u64 = 4;

/// Zeros written at a time, in bytes.
const FILL_BYTES: u64 = 1024 * 1024;

/// A handle for the thread that prepares files ahead of the writer.
#[derive(Clone)]
pub struct SpareFiles {
    pool: Arc<Pool>,
}

/// A file that is ready to be used.
pub(super) struct Spare {
    pub path: PathBuf,
    pub bytes: u64,
}

struct Pool {
    disk: Arc<dyn Disk>,
    dir: PathBuf,
    /// Bytes of a file of full size; only such files are recycled or adopted.
    file_bytes: u64,
    /// Bytes of the next file that is made.
    bytes_next: AtomicU64,
    number_next: AtomicU64,
    ready: Mutex<Vec<Spare>>,
    /// The oldest first. Bounded by the log's files.
    retired: Mutex<VecDeque<PathBuf>>,
}

impl SpareFiles {
    /// Adopts the finished spare files that stand in the directory and removes the others.
    pub(super) fn open(
        disk: Arc<dyn Disk>,
        dir: &Path,
        names: &[String],
        file_bytes: u64,
    ) -> Result<Self, WalError> {
        let numbers = spare_numbers(names);
        let pool = Pool {
            disk,
            dir: dir.to_owned(),
            file_bytes,
            bytes_next: AtomicU64::new(file_bytes),
            number_next: AtomicU64::new(numbers.last().map_or(0, |last| last + 1)),
            ready: Mutex::default(),
            retired: Mutex::default(),
        };
        for number in numbers {
            let path = spare_path(dir, number);
            if pool.is_intact(&path)? {
                pool.offer(Spare { path, bytes: file_bytes }).map_err(WalError::at(dir))?;
            } else {
                pool.disk.remove_file(&path).map_err(WalError::at(&path))?;
            }
        }
        Ok(Self { pool: Arc::new(pool) })
    }

    /// Does one piece of work: recycles or removes one retired file, or makes one spare file when none is ready.
    /// False when there was nothing to do. To be called until then after the start, after a purge, and now and then:
    /// retired files give their space back only here, or one by one when the writer needs a file.
    ///
    /// # Errors
    /// [`WalError::NoSpace`] and [`WalError::Io`]; the log itself is not touched by them. Try again later.
    /// [`WalError::SyncFailed`] when the directory cannot be synced: the process must end.
    pub fn prepare(&self) -> Result<bool, WalError> {
        if self.pool.recycle()? {
            return Ok(true);
        }
        if !lock(&self.pool.ready).is_empty() {
            return Ok(false);
        }
        let spare = self.pool.create(self.pool.bytes_next.load(Ordering::Relaxed))?;
        self.pool.offer(spare).map_err(WalError::at(&self.pool.dir))?;
        Ok(true)
    }

    /// The log goes on in a file of that many bytes: the next one that is made may be larger.
    pub(super) fn follow(&self, bytes: u64) {
        self.pool.bytes_next.store((bytes * GROWTH).min(self.pool.file_bytes), Ordering::Relaxed);
    }

    /// Hands over a log file whose entries are all gone.
    pub(super) fn retire(&self, path: PathBuf) {
        lock(&self.pool.retired).push_back(path);
    }

    /// A file of at least so many bytes for the writer: a ready one, a recycled one, or a new one.
    pub(super) fn take(&self, bytes_min: u64) -> Result<Spare, WalError> {
        loop {
            if let Some(spare) = self.pool.take_ready(bytes_min) {
                return Ok(spare);
            }
            // A retired file that cannot be recycled now is no reason to fail; it stays for later.
            if !self.pool.recycle().unwrap_or(false) {
                return self.pool.create(self.pool.bytes_next.load(Ordering::Relaxed).max(bytes_min));
            }
        }
    }

    /// A file for the start of the process: a new small one, so that many starts do not leave many large files; on
    /// a full disk a ready one.
    pub(super) fn take_first(&self, bytes: u64) -> Result<Spare, WalError> {
        match self.pool.create(bytes) {
            Err(WalError::NoSpace { .. }) => self.take(bytes),
            result => result,
        }
    }

    /// Takes a file back that was taken and not used.
    pub(super) fn give_back(&self, spare: Spare) {
        // A file that cannot be removed stays as a spare file's name and is found at the next start. One that is gone
        // has been renamed already.
        if self.pool.disk.open(&spare.path, Open::Read).is_ok() {
            drop(self.pool.offer(spare));
        }
    }
}

impl Pool {
    fn is_intact(&self, path: &Path) -> Result<bool, WalError> {
        let file = self.disk.open(path, Open::Read).map_err(WalError::at(path))?;
        Ok(file.len().map_err(WalError::at(path))? == self.file_bytes)
    }

    /// Keeps a file for later, or removes it when there are enough.
    fn offer(&self, spare: Spare) -> io::Result<()> {
        let mut ready = lock(&self.ready);
        if ready.len() < SPARE_FILES_MAX {
            ready.push(spare);
            return Ok(());
        }
        drop(ready);
        self.disk.remove_file(&spare.path)
    }

    fn take_ready(&self, bytes_min: u64) -> Option<Spare> {
        let mut ready = lock(&self.ready);
        let at = ready.iter().rposition(|spare| spare.bytes >= bytes_min)?;
        Some(ready.remove(at))
    }

    fn number(&self) -> u64 {
        self.number_next.fetch_add(1, Ordering::Relaxed)
    }

    /// Frees the oldest retired file, if there is one. The lock keeps the order of removals.
    fn recycle(&self) -> Result<bool, WalError> {
        let mut retired = lock(&self.retired);
        let Some(path) = retired.front().cloned() else { return Ok(false) };
        let recycled = if lock(&self.ready).len() < SPARE_FILES_MAX && self.is_intact(&path)? {
            let spare = spare_path(&self.dir, self.number());
            self.disk.rename(&path, &spare).map_err(WalError::at(&path))?;
            Some(spare)
        } else {
            self.disk.remove_file(&path).map_err(WalError::at(&path))?;
            None
        };
        self.disk.sync_dir(&self.dir).map_err(WalError::sync_at(&self.dir))?;
        // Only now may the next one go. After a failed sync this one stays first in the queue, where it cannot be
        // found any more: no later file goes before it, and the failure is returned again.
        retired.pop_front();
        if let Some(path) = recycled {
            self.offer(Spare { path, bytes: self.file_bytes }).map_err(WalError::at(&self.dir))?;
        }
        Ok(true)
    }

    /// A new file of zeros, synced, so that later commits into it neither allocate nor change metadata.
    fn create(&self, bytes: u64) -> Result<Spare, WalError> {
        let path = spare_path(&self.dir, self.number());
        let filled = self.fill(&path, bytes);
        if filled.is_err() {
            // Give the space back at once; the error that counts is the first one.
            drop(self.disk.remove_file(&path));
        }
        filled.map(|()| Spare { path, bytes })
    }

    fn fill(&self, path: &Path, bytes: u64) -> Result<(), WalError> {
        self.disk.open(path, Open::Create).map_err(WalError::at(path))?;
        let file = self.disk.open(path, Open::WriteDirect).map_err(WalError::at(path))?;
        let mut zeros = Blocks::new();
        let zero_block = [0; crate::blocks::BLOCK_BYTES];
        for _ in 0..FILL_BYTES.min(bytes) / BLOCK {
            zeros.extend_from_slice(&zero_block);
        }
        let mut offset = 0;
        while offset < bytes {
            let length = usize::try_from(FILL_BYTES.min(bytes - offset)).expect("a small buffer");
            file.write_all_at(&zeros.as_slice()[..length], offset).map_err(WalError::at(path))?;
            offset += length as u64;
        }
        // A failed sync of a file that holds nothing yet is an ordinary error: the file is thrown away.
        file.sync_data().map_err(WalError::at(path))
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
