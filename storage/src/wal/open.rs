//! Opening a log: recovery, and the first file of this start.

use std::hash::{BuildHasher, RandomState};
use std::path::Path;
use std::sync::Arc;

use super::found::FoundWal;
use super::{Wal, WalOptions, WalReader, WalRecovery};
use crate::disk::Disk;
use crate::wal::WalError;

impl Wal {
    /// Opens or creates the log in a directory: recovers the log and begins a new file, as [`FoundWal::read`] and
    /// [`FoundWal::begin`] do. `prepare` of [`Wal::spare_files`] should run soon after on another thread.
    ///
    /// # Errors
    /// Those of [`FoundWal::read`] and [`FoundWal::begin`].
    ///
    /// # Panics
    /// When the options are out of their bounds.
    pub fn open(
        disk: Arc<dyn Disk>,
        dir: &Path,
        options: WalOptions,
    ) -> Result<(Self, WalReader, WalRecovery), WalError> {
        // The standard library's hasher keys come from the operating system.
        Self::open_seeded(disk, dir, options, RandomState::new().hash_one(0))
    }

    /// Opens a log like [`Wal::open`], with the seed of the salts, so that the same calls give the same
    /// bytes. A seed must never be used twice on one directory: the salt is what tells an old use of a file
    /// from the present one.
    ///
    /// # Errors
    /// As [`Wal::open`].
    ///
    /// # Panics
    /// When the options are out of their bounds.
    pub fn open_seeded(
        disk: Arc<dyn Disk>,
        dir: &Path,
        options: WalOptions,
        salt_seed: u64,
    ) -> Result<(Self, WalReader, WalRecovery), WalError> {
        let found = FoundWal::read(disk, dir)?;
        let summary = found.summary().clone();
        let (wal, reader) = found.begin_seeded(options, salt_seed)?;
        Ok((wal, reader, summary))
    }
}
