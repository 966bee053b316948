//! Rebuilds the log from its files, and decides at the first commit that is not intact: an unfinished write at the
//! end is dropped, anything that was durable and is gone is damage.
//!
//! A pure function of the files, which it only reads; called by [`FoundWal::read`](super::FoundWal::read). Dropping
//! it needs no write: the log always goes on in a new file, whose header says with which LSN, and nothing beyond
//! that LSN is read from the files before it.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use super::encode::LoggedChange;
use super::files::{LogFile, log_path};
use super::group::GroupLog;
use super::order::Draft;
use super::replay::{Next, ReplayFile};
use super::salvage::Mend;
use super::{GROUPS, TornTail, WalRecovery};
use crate::disk::Disk;
use crate::wal::WalError;

/// The log as the files tell it.
pub(super) struct Recovered {
    pub groups: [GroupLog; GROUPS],
    pub files: BTreeMap<u64, LogFile>,
    /// The LSN of the next commit.
    pub lsn_next: u64,
    /// The sequence number for the next file: that of the last one when it holds no commit, else the one after it.
    pub seq_next: u64,
    /// The last file, whose contents may not be durable yet.
    pub last_path: Option<PathBuf>,
    pub summary: WalRecovery,
    /// The highest LSN that a sync point of the last file names.
    pub named_lsn: u64,
    /// Files that have to be mended.
    pub mends: Vec<Mend>,
}

struct Replay {
    groups: [GroupLog; GROUPS],
    lsn: u64,
}

/// How much must be right with a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Reading {
    /// Everything must be right.
    Strict,
    /// The file's header and its commits must be right: the rest is mended.
    Mending,
}

/// The point up to which a damaged log is intact.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct IntactEnd {
    /// The files that can be read, the oldest first.
    pub files: usize,
    /// The LSN of the first commit that cannot, where the last of those files has more.
    pub lsn_end: Option<u64>,
}

/// Damage, and the point up to which the log is intact, where that is known.
pub(super) struct Broken {
    pub error: WalError,
    pub intact_end: Option<IntactEnd>,
}

impl Broken {
    fn after(files: usize) -> impl FnOnce(WalError) -> Self {
        move |error| Self { error, intact_end: Some(IntactEnd { files, lsn_end: None }) }
    }
}

pub(super) fn recover(disk: &dyn Disk, dir: &Path, seqs: &[u64]) -> Result<Recovered, WalError> {
    recover_upto(disk, dir, seqs, Reading::Strict, None).map_err(|broken| broken.error)
}

/// Recovers the log like [`recover`], without the commits from `lsn_end` on.
pub(super) fn recover_upto(
    disk: &dyn Disk,
    dir: &Path,
    seqs: &[u64],
    reading: Reading,
    lsn_end: Option<u64>,
) -> Result<Recovered, Broken> {
    let mut replays = open_all(disk, dir, seqs, reading)?;
    let mut replay = Replay { groups: Default::default(), lsn: 1 };
    if let Some(oldest) = replays.first() {
        replay.lsn = oldest.header.first_lsn;
        replay.groups = oldest.header.groups.map(GroupLog::from_record);
    }
    let mut torn_tail = None;
    for at in 0..replays.len() {
        let next = replays.get(at + 1).map(|next| next.header.first_lsn);
        let lsn_stop = next.into_iter().chain(lsn_end).min();
        torn_tail = replay.file(&mut replays[at], lsn_stop, next.is_some()).map_err(|error| {
            let has_commits = replay.lsn > replays[at].header.first_lsn;
            let intact_end = IntactEnd {
                files: at + usize::from(has_commits),
                lsn_end: has_commits.then_some(replay.lsn),
            };
            Broken { error, intact_end: Some(intact_end) }
        })?;
    }
    require_complete(&replay.groups, replays.first()).map_err(Broken::after(0))?;
    let seq_next = replays.last().map_or(1, |last| {
        if last.header.first_lsn == replay.lsn { last.header.seq } else { last.header.seq + 1 }
    });
    let last_path = replays.last().map(|last| last.path.clone());
    let named_lsn = replays.last().and_then(|replay| replay.sync_point).unwrap_or_default();
    let mends = replays.iter().filter_map(|replay| replay.mend.clone()).collect();
    let files = count_entries(&replay.groups, replays);
    let entries = files.values().map(|file| file.entries).sum();
    let summary = WalRecovery { torn_tail, entries, files: files.len() as u64 };
    let groups = replay.groups;
    Ok(Recovered { groups, files, lsn_next: replay.lsn, seq_next, last_path, summary, named_lsn, mends })
}

/// Opens the files and verifies that none is missing between the first and the last.
fn open_all(disk: &dyn Disk, dir: &Path, seqs: &[u64], reading: Reading) -> Result<Vec<ReplayFile>, Broken> {
    for (at, pair) in seqs.windows(2).enumerate() {
        if pair[1] != pair[0] + 1 {
            let missing = WalError::damaged(&log_path(dir, pair[0] + 1), 0, "the file is missing");
            return Err(Broken::after(at + 1)(missing));
        }
    }
    let mut files: Vec<ReplayFile> = Vec::with_capacity(seqs.len());
    for seq in seqs {
        let file = ReplayFile::open(disk, &log_path(dir, *seq), *seq, reading);
        files.push(file.map_err(Broken::after(files.len()))?);
    }
    for (at, pair) in files.windows(2).enumerate() {
        if pair[1].header.first_lsn < pair[0].header.first_lsn {
            let why = "the file begins before the one before it";
            return Err(Broken::after(at + 1)(WalError::damaged(&pair[1].path, 0, why)));
        }
    }
    Ok(files)
}

impl Replay {
    /// Follows a file's commits up to `lsn_stop`, where the next file begins; in the last file up to the end of its
    /// commits.
    fn file(
        &mut self,
        file: &mut ReplayFile,
        lsn_stop: Option<u64>,
        is_followed: bool,
    ) -> Result<Option<TornTail>, WalError> {
        let own: [_; GROUPS] = std::array::from_fn(|group| self.groups[group].record());
        if own != file.header.groups {
            return Err(WalError::damaged(&file.path, 0, "the state block contradicts the log before it"));
        }
        let mut offset = file.header.commits_at();
        while lsn_stop != Some(self.lsn) {
            match file.next(offset, self.lsn)? {
                Next::Commit { changes, end } => {
                    self.apply(&changes).map_err(|why| WalError::damaged(&file.path, offset, why))?;
                    self.lsn += 1;
                    offset = end;
                    file.used = end;
                }
                Next::End { begun } => return self.end(file, offset, begun, is_followed),
            }
        }
        Ok(None)
    }

    fn apply(&mut self, changes: &[LoggedChange]) -> Result<(), &'static str> {
        for LoggedChange { group, change, slot } in changes {
            let log = &mut self.groups[usize::from(*group)];
            Draft::new(log).follow(*change)?;
            log.apply(*change, *slot, &mut |_| {});
        }
        Ok(())
    }

    /// Decides whether a commit that is not intact is a torn write or damage.
    fn end(
        &self,
        file: &mut ReplayFile,
        offset: u64,
        begun: bool,
        is_followed: bool,
    ) -> Result<Option<TornTail>, WalError> {
        if is_followed {
            let why = "a commit is not intact, and the next file shows that it was durable";
            return Err(WalError::damaged(&file.path, offset, why));
        }
        if file.sync_point >= Some(self.lsn) {
            let why =
                "a commit is missing or not intact, and the file's sync point shows that it was durable";
            return Err(WalError::damaged(&file.path, offset, why));
        }
        let durable_lsn = file.scan_behind(offset, self.lsn)?;
        if durable_lsn >= Some(self.lsn) {
            let why = "a commit is not intact, and a later one shows that it was durable";
            return Err(WalError::damaged(&file.path, offset, why));
        }
        let torn = begun || durable_lsn.is_some();
        Ok(torn.then(|| TornTail { file: file.path.clone(), offset }))
    }
}

/// Entries that no group purged must all be there: the oldest files may be gone only when nobody needs them.
fn require_complete(groups: &[GroupLog; GROUPS], oldest: Option<&ReplayFile>) -> Result<(), WalError> {
    match oldest {
        Some(oldest) if !groups.iter().all(GroupLog::is_complete) => {
            let why = "entries that were not purged are missing: files before this one are gone";
            Err(WalError::damaged(&oldest.path, 0, why))
        }
        _ => Ok(()),
    }
}

fn count_entries(groups: &[GroupLog; GROUPS], replays: Vec<ReplayFile>) -> BTreeMap<u64, LogFile> {
    let mut files: BTreeMap<u64, LogFile> = replays
        .into_iter()
        .map(|replay| {
            let ReplayFile { path, header, file, bytes, used, .. } = replay;
            (header.seq, LogFile { path, salt: header.salt, bytes, used, reader: file, entries: 0 })
        })
        .collect();
    for slot in groups.iter().flat_map(GroupLog::slots) {
        files.get_mut(&slot.file).expect("an entry stands in a file that was read").entries += 1;
    }
    files
}
