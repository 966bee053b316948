//! The log's files as the threads share them: names, open handles, and how many entries of each still count.
//!
//! The writer adds and retires files; readers take handles. A reader that holds a handle of a retired file may read
//! bytes of its next use, which the salt in every checksum tells apart.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};

use super::group::GroupLog;
use super::{GROUPS, GroupId};
use crate::disk::DiskFile;

const LOG_SUFFIX: &str = ".wal";
const SPARE_SUFFIX: &str = ".spare";

/// A file that holds commits.
pub(super) struct LogFile {
    pub path: PathBuf,
    pub salt: u64,
    pub bytes: u64,
    /// Bytes up to the end of the last commit. The rest of the file is preallocated.
    pub used: u64,
    pub reader: Arc<dyn DiskFile>,
    /// Entries in the file that are neither purged nor truncated.
    pub entries: u64,
}

/// The half of the log that readers see. Locks are held for look-ups only, never during input or output, and never
/// two at a time.
pub(super) struct Shared {
    groups: [RwLock<GroupLog>; GROUPS],
    files: RwLock<BTreeMap<u64, LogFile>>,
    life: AtomicU64,
    /// Sum of `used` over the files that hold an entry, as of the writer's last change.
    live_bytes: AtomicU64,
}

impl Shared {
    pub(super) fn new(groups: [GroupLog; GROUPS], files: BTreeMap<u64, LogFile>) -> Self {
        let shared = Self {
            groups: groups.map(RwLock::new),
            files: RwLock::default(),
            life: AtomicU64::new(0),
            live_bytes: AtomicU64::default(),
        };
        shared.note_live_bytes(&files);
        *shared.files_mut() = files;
        shared
    }

    pub(super) fn life(&self) -> u64 {
        self.life.load(Ordering::Relaxed)
    }

    pub(super) fn set_life(&self, life: u64) {
        self.life.store(life, Ordering::Relaxed);
    }

    /// # Panics
    /// When there is no such group.
    pub(super) fn group(&self, group: GroupId) -> RwLockReadGuard<'_, GroupLog> {
        // A panic while a lock is held ends the process by its panic hook or leaves plain data: go on reading.
        self.groups[usize::from(group)].read().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn group_mut(&self, group: GroupId) -> RwLockWriteGuard<'_, GroupLog> {
        self.groups[usize::from(group)].write().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn files(&self) -> RwLockReadGuard<'_, BTreeMap<u64, LogFile>> {
        self.files.read().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn files_mut(&self) -> RwLockWriteGuard<'_, BTreeMap<u64, LogFile>> {
        self.files.write().unwrap_or_else(PoisonError::into_inner)
    }

    /// Bytes written to the files that hold an entry that is not purged by its group. Takes no lock.
    pub(super) fn live_bytes(&self) -> u64 {
        self.live_bytes.load(Ordering::Relaxed)
    }

    /// Counts the live bytes anew. The writer calls this after each change of the files.
    pub(super) fn note_live_bytes(&self, files: &BTreeMap<u64, LogFile>) {
        let live = files.values().filter(|file| file.entries > 0).map(|file| file.used).sum();
        self.live_bytes.store(live, Ordering::Relaxed);
    }

    /// Bytes that the log's files take on the disk, used or not.
    pub(super) fn allocated_bytes(&self) -> u64 {
        self.files().values().map(|file| file.bytes).sum()
    }
}

pub(super) fn log_path(dir: &Path, seq: u64) -> PathBuf {
    dir.join(format!("{seq:016}{LOG_SUFFIX}"))
}

pub(super) fn spare_path(dir: &Path, number: u64) -> PathBuf {
    dir.join(format!("{number:016}{SPARE_SUFFIX}"))
}

/// The sequence numbers of the log files among the names of a directory, ascending.
pub(super) fn log_numbers(names: &[String]) -> Vec<u64> {
    numbers(names, LOG_SUFFIX)
}

/// The numbers of the spare files among the names of a directory, ascending.
pub(super) fn spare_numbers(names: &[String]) -> Vec<u64> {
    numbers(names, SPARE_SUFFIX)
}

fn numbers(names: &[String], suffix: &str) -> Vec<u64> {
    let number = |name: &String| {
        let digits = name.strip_suffix(suffix)?;
        // Only the names that this module makes: sixteen digits.
        (digits.len() == 16 && digits.bytes().all(|byte| byte.is_ascii_digit()))
            .then(|| digits.parse().ok())?
    };
    let mut numbers: Vec<u64> = names.iter().filter_map(number).collect();
    numbers.sort_unstable();
    numbers
}
