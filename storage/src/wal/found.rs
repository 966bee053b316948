//! A log as its files were found, before anything is written: the start looks at it, judges, and only then begins.
//!
//! [`FoundWal::read`] changes nothing on the disk, so that a start that is refused leaves the directory as it was.

use std::hash::{BuildHasher, RandomState};
use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::files::{log_numbers, log_path};
use super::mark::MarkFile;
use super::recovery::{Recovered, recover};
use super::{GroupId, GroupState, LogPosition, Wal, WalOptions, WalReader, WalRecovery};
use crate::disk::Disk;
use crate::wal::WalError;

/// The names in the directory of a log, none where there is no such directory.
pub(super) fn log_names(disk: &dyn Disk, dir: &Path) -> Result<Vec<String>, WalError> {
    match disk.list(dir) {
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(Vec::new()),
        listed => listed.map_err(WalError::at(dir)),
    }
}

/// A recovered log that takes no commits yet.
pub struct FoundWal {
    pub(super) disk: Arc<dyn Disk>,
    pub(super) dir: PathBuf,
    pub(super) recovered: Recovered,
    pub(super) mark: Option<MarkFile>,
}

impl FoundWal {
    /// Reads the log in a directory, which may be absent, and its mark.
    ///
    /// # Errors
    /// [`WalError::Damaged`] and [`WalError::EndMissing`] when something that was durable is not there or not intact;
    /// [`WalError::GivingUp`];
    /// [`WalError::Io`].
    pub fn read(disk: Arc<dyn Disk>, dir: &Path) -> Result<Self, WalError> {
        let found = Self::read_while_giving_up(disk, dir)?;
        match &found.mark {
            Some(mark) if mark.mark().is_giving_up => Err(WalError::GivingUp { dir: dir.to_owned() }),
            _ => Ok(found),
        }
    }

    /// Reads a log like [`FoundWal::read`], also one whose end is being given up.
    pub(super) fn read_while_giving_up(disk: Arc<dyn Disk>, dir: &Path) -> Result<Self, WalError> {
        let names = log_names(&*disk, dir)?;
        let mark = MarkFile::read(&*disk, dir)?;
        let seqs = log_numbers(&names);
        if let Some(expected) = mark.as_ref().map(|mark| mark.mark().file)
            && seqs.last().is_none_or(|newest| *newest < expected)
        {
            let why = "the file is missing, and the log's mark shows that the log went on in it";
            return Err(WalError::damaged(&log_path(dir, expected), 0, why));
        }
        let recovered = recover(&*disk, dir, &seqs)?;
        let found = Self { disk, dir: dir.to_owned(), recovered, mark };
        let marked = found.mark.as_ref().map_or(0, |mark| mark.mark().synced_lsn);
        found.require(marked, "its mark says")?;
        Ok(found)
    }

    /// Verifies that the log reaches an LSN that `witness` reports as durable. `witness` begins the sentence of the
    /// error.
    ///
    /// # Errors
    /// [`WalError::EndMissing`].
    pub fn require(&self, synced_lsn: u64, witness: &'static str) -> Result<(), WalError> {
        let end_lsn = self.end_lsn();
        if end_lsn >= synced_lsn {
            return Ok(());
        }
        Err(WalError::EndMissing { dir: self.dir.clone(), end_lsn, synced_lsn, witness })
    }

    /// True when there has never been a log here as far as this directory knows: neither a log file nor a mark.
    #[must_use]
    pub fn is_new(&self) -> bool {
        self.mark.is_none() && self.recovered.files.is_empty()
    }

    /// True when the log has a mark: every log that this version or a later one has written.
    #[must_use]
    pub fn has_mark(&self) -> bool {
        self.mark.is_some()
    }

    /// The LSN of the last commit, 0 when there has been none.
    #[must_use]
    pub fn end_lsn(&self) -> u64 {
        self.recovered.lsn_next - 1
    }

    /// Returns the summary of the files.
    #[must_use]
    pub fn summary(&self) -> &WalRecovery {
        &self.recovered.summary
    }

    /// Returns the state of a group, as the log has it.
    ///
    /// # Panics
    /// When `group` is not below [`GROUPS`](super::GROUPS).
    #[must_use]
    pub fn state(&self, group: GroupId) -> GroupState {
        self.recovered.groups[usize::from(group)].state()
    }

    /// The hint how far the group has committed, as it was stored: it may lie beyond the last entry.
    ///
    /// # Panics
    /// When `group` is not below [`GROUPS`](super::GROUPS).
    #[must_use]
    pub fn committed_hint(&self, group: GroupId) -> Option<LogPosition> {
        self.recovered.groups[usize::from(group)].record().committed
    }

    /// Begins a new file behind the recovered ones, and the next life: the log takes commits from then on.
    ///
    /// # Errors
    /// [`WalError::NoSpace`], [`WalError::Io`] and [`WalError::SyncFailed`].
    ///
    /// # Panics
    /// When the options are out of their bounds.
    pub fn begin(self, options: WalOptions) -> Result<(Wal, WalReader), WalError> {
        // The standard library's hasher keys come from the operating system.
        self.begin_seeded(options, RandomState::new().hash_one(0))
    }

    /// Begins the log like [`FoundWal::begin`], with the seed of the salts, as in [`Wal::open_seeded`].
    ///
    /// # Errors
    /// As [`FoundWal::begin`].
    ///
    /// # Panics
    /// As [`FoundWal::begin`].
    pub fn begin_seeded(self, options: WalOptions, salt_seed: u64) -> Result<(Wal, WalReader), WalError> {
        Wal::begin(self, options, salt_seed)
    }
}
