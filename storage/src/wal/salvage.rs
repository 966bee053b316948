//! Giving up the end of a log: the intact part is kept, and the rest is set aside, never removed.
//!
//! Used by an operator's command while no broker runs. The mark says that it has begun until [`finish_giving_up`]
//! says that it is over: in between [`FoundWal::read`] refuses the log, and [`Salvage::read`] can be called again.
//! Invariant: no byte leaves the log's directory, or is written over, before a durable copy of it stands among the
//! lost files.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::files::{log_numbers, log_path};
use super::found::{FoundWal, log_names};
use super::mark::{Mark, MarkFile, is_newer, path_of};
use super::recovery::{Broken, Reading, Recovered, recover_upto};
use super::sync_point::{self, SYNC_POINTS};
use super::{BLOCK, GROUPS, GroupId, Vote};
use crate::disk::{Disk, Open};
use crate::wal::WalError;

/// Bytes that are copied at a time.
const COPY_BYTES: u64 = 1024 * 1024;

/// A log file, or the end of one, that the log goes on without.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TruncatedFile {
    /// The file.
    pub path: PathBuf,
    /// Where the part that is given up begins; 0 for a whole file.
    pub from: u64,
    /// Bytes of the file.
    pub bytes: u64,
}

/// The intact part of a log, and the damage behind it.
pub struct Salvage {
    found: FoundWal,
    damage: Option<WalError>,
    known_lsn: u64,
    has_damaged_mark: bool,
    is_begun: bool,
    /// Votes that the log and the mark may have lost.
    votes: [Option<Vote>; GROUPS],
    /// Groups that begin anew.
    forgotten: [bool; GROUPS],
}

impl Salvage {
    /// Reads the log in a directory as far as it is intact. Changes nothing.
    ///
    /// # Errors
    /// [`WalError::Io`], and [`WalError::Newer`] when a newer version of the program wrote the log.
    pub fn read(disk: Arc<dyn Disk>, dir: &Path) -> Result<Self, WalError> {
        let seqs = log_numbers(&log_names(&*disk, dir)?);
        let (mark, mut damage) = match MarkFile::read(&*disk, dir) {
            Ok(mark) => (mark, None),
            Err(error) if error.is_loss() => (None, Some(error)),
            Err(error) => return Err(error),
        };
        let has_damaged_mark = damage.is_some();
        let marked = mark.as_ref().map(|mark| *mark.mark()).unwrap_or_default();
        if seqs.last().is_none_or(|newest| *newest < marked.file) {
            let why = "the file is missing, and the log's mark shows that the log went on in it";
            damage = damage.or(Some(WalError::damaged(&log_path(dir, marked.file), 0, why)));
        }
        let recovered = intact_part(&*disk, dir, &seqs, &mut damage)?;
        let known_lsn = marked.synced_lsn.max(recovered.named_lsn).max(recovered.lsn_next - 1);
        let found = FoundWal { disk, dir: dir.to_owned(), recovered, mark };
        let is_begun = marked.is_giving_up;
        let mut salvage = Self {
            found,
            damage,
            known_lsn,
            has_damaged_mark,
            is_begun,
            votes: [None; GROUPS],
            forgotten: [false; GROUPS],
        };
        salvage.require(known_lsn, "its mark or a sync point says");
        Ok(salvage)
    }

    /// Notes that the log was durable up to an LSN, as `witness` reports. `witness` begins the sentence of the error.
    pub fn require(&mut self, synced_lsn: u64, witness: &'static str) {
        self.known_lsn = self.known_lsn.max(synced_lsn);
        if self.damage.is_none() {
            self.damage = self.found.require(synced_lsn, witness).err();
        }
    }

    /// Notes that not even the intact part can be used, and why.
    ///
    /// # Errors
    /// [`WalError::Io`].
    pub fn give_up_all(&mut self, why: &'static str) -> Result<(), WalError> {
        let FoundWal { disk, dir, recovered, .. } = &mut self.found;
        let none = recover_upto(&**disk, dir, &[], Reading::Mending, None);
        *recovered = none.map_err(|broken| broken.error)?;
        self.damage.get_or_insert(WalError::damaged(dir, 0, why));
        Ok(())
    }

    /// Makes the group vote in no earlier term than this vote's, also when the log and its mark have lost the vote.
    ///
    /// # Panics
    /// When `group` is not below [`GROUPS`].
    pub fn raise_vote(&mut self, group: GroupId, vote: Vote) {
        self.votes[usize::from(group)] = Some(vote);
    }

    /// Makes the group begin without a vote, because none is left in the log.
    ///
    /// # Panics
    /// When `group` is not below [`GROUPS`].
    pub fn forget_vote(&mut self, group: GroupId) {
        self.forgotten[usize::from(group)] = true;
    }

    /// Returns the damage of the log; `None` when it is intact.
    #[must_use]
    pub fn damage(&self) -> Option<&WalError> {
        self.damage.as_ref()
    }

    /// True when giving up has begun and was interrupted.
    #[must_use]
    pub fn is_begun(&self) -> bool {
        self.is_begun
    }

    /// The highest LSN that is known to have been durable.
    #[must_use]
    pub fn known_lsn(&self) -> u64 {
        self.known_lsn
    }

    /// The log as far as it is intact.
    #[must_use]
    pub fn found(&self) -> &FoundWal {
        &self.found
    }

    /// The files that the log goes on without, wholly or from a byte on.
    ///
    /// # Errors
    /// [`WalError::Io`].
    pub fn truncated(&self) -> Result<Vec<TruncatedFile>, WalError> {
        if self.damage.is_none() {
            return Ok(Vec::new());
        }
        let FoundWal { disk, dir, recovered, .. } = &self.found;
        let newest_kept = recovered.files.last_key_value().map(|(seq, _)| *seq);
        let mut truncated = Vec::new();
        for seq in log_numbers(&log_names(&**disk, dir)?) {
            let from = recovered.files.get(&seq).map_or(0, |file| file.used);
            if from > 0 && Some(seq) != newest_kept {
                continue;
            }
            let path = log_path(dir, seq);
            let file = disk.open(&path, Open::Read).map_err(WalError::at(&path))?;
            let bytes = file.len().map_err(WalError::at(&path))?;
            if from < bytes {
                truncated.push(TruncatedFile { path, from, bytes });
            }
        }
        Ok(truncated)
    }

    /// Moves the part that is given up into the directory `lost`, has the mark say that giving up has begun, and
    /// makes the rest of the log one that can be opened. May be called again after a crash.
    ///
    /// # Errors
    /// [`WalError::Io`], [`WalError::NoSpace`] and [`WalError::SyncFailed`]. Nothing is lost then.
    pub fn set_aside(&mut self, lost: &Path) -> Result<(), WalError> {
        let (truncated, raised, forgotten) = (self.truncated()?, self.votes, self.forgotten);
        let FoundWal { disk, dir, recovered, mark } = &mut self.found;
        let disk = &**disk;
        disk.create_dir_all(lost).map_err(WalError::at(lost))?;
        let (kept, given_up): (Vec<_>, Vec<_>) = truncated.into_iter().partition(|file| file.from > 0);
        for path in kept.iter().map(|file| &file.path).chain(recovered.mends.iter().map(|mend| &mend.path)) {
            copy(disk, path, lost)?;
        }
        if self.has_damaged_mark {
            copy(disk, &path_of(dir), lost)?;
        }
        let before = mark.as_ref().map(|mark| *mark.mark()).unwrap_or_default();
        let file = recovered.files.last_key_value().map_or(0, |(seq, _)| *seq);
        let votes = std::array::from_fn(|group| {
            let before = before.votes[group].filter(|_| !forgotten[group]);
            raised[group].filter(|vote| is_newer(*vote, before)).or(before)
        });
        let synced_lsn = recovered.lsn_next - 1;
        let present = Mark { is_giving_up: true, synced_lsn, file, votes, ..before };
        match mark {
            Some(mark) => mark.write(disk, present)?,
            None => *mark = Some(MarkFile::create(disk, dir, present)?),
        }
        self.is_begun = true;
        for mend in &recovered.mends {
            mend.write(disk)?;
        }
        for file in &given_up {
            let to = free_name(disk, lost, &file.path)?;
            disk.rename(&file.path, &to).map_err(WalError::at(&file.path))?;
        }
        disk.sync_dir(lost).map_err(WalError::sync_at(lost))?;
        if !given_up.is_empty() {
            disk.sync_dir(dir).map_err(WalError::sync_at(dir))?;
        }
        Ok(())
    }

    /// The log as far as it is intact, ready to be begun. To be called after [`Salvage::set_aside`].
    ///
    /// # Panics
    /// When nothing was set aside.
    #[must_use]
    pub fn into_found(self) -> FoundWal {
        assert!(self.is_begun, "the part that is given up is set aside first");
        self.found
    }
}

/// Writes to the mark that giving up is complete, so that a broker can open the log.
///
/// # Errors
/// Those of [`FoundWal::read`], and [`WalError::SyncFailed`].
pub fn finish_giving_up(disk: Arc<dyn Disk>, dir: &Path) -> Result<(), WalError> {
    let found = FoundWal::read_while_giving_up(disk, dir)?;
    let Some(mut mark) = found.mark else { return Ok(()) };
    let present = Mark { is_giving_up: false, ..*mark.mark() };
    mark.write(&*found.disk, present)
}

/// The log up to the first damage, with the repairs that its files need.
fn intact_part(
    disk: &dyn Disk,
    dir: &Path,
    seqs: &[u64],
    damage: &mut Option<WalError>,
) -> Result<Recovered, WalError> {
    let (mut files, mut lsn_end, mut reading) = (seqs.len(), None, Reading::Strict);
    loop {
        let broken = match recover_upto(disk, dir, &seqs[..files], reading, lsn_end) {
            Ok(recovered) => return Ok(recovered),
            Err(broken) => broken,
        };
        let Broken { error, intact_end } = broken;
        let Some(intact_end) = intact_end.filter(|_| error.is_loss()) else {
            return Err(error);
        };
        damage.get_or_insert(error);
        // Damage that can be mended is no reason to give anything up.
        if reading == Reading::Strict {
            reading = Reading::Mending;
            continue;
        }
        (files, lsn_end) = (intact_end.files, intact_end.lsn_end.or(lsn_end));
    }
}

/// A file whose commits are intact and whose frame is not: it is shorter than it was made, or lacks its sync
/// points.
#[derive(Clone, Debug)]
pub(super) struct Mend {
    pub path: PathBuf,
    pub bytes: u64,
    pub salt: u64,
    pub first_lsn: u64,
}

impl Mend {
    fn write(&self, disk: &dyn Disk) -> Result<(), WalError> {
        let failed = || WalError::at(&self.path);
        let file = disk.open(&self.path, Open::Write).map_err(failed())?;
        if file.len().map_err(failed())? < self.bytes {
            file.set_len(self.bytes).map_err(failed())?;
        }
        for slot in 0..SYNC_POINTS {
            let block = sync_point::encode(self.salt, self.first_lsn - 1);
            file.write_all_at(&block, sync_point::offset_of(slot)).map_err(failed())?;
        }
        file.sync_data().map_err(WalError::sync_at(&self.path))
    }
}

/// Copies a file into a directory under its own name, durably; the same copy is not made twice.
fn copy(disk: &dyn Disk, from: &Path, into: &Path) -> Result<(), WalError> {
    let to = into.join(from.file_name().expect("a file has a name"));
    if is_same(disk, from, &to)? {
        return Ok(());
    }
    let to = free_name(disk, into, from)?;
    let mut unfinished = to.clone().into_os_string();
    unfinished.push(".new");
    let unfinished = PathBuf::from(unfinished);
    let source = disk.open(from, Open::Read).map_err(WalError::at(from))?;
    let target = disk.open(&unfinished, Open::Create).map_err(WalError::at(&unfinished))?;
    let bytes = source.len().map_err(WalError::at(from))?;
    let mut buffer = Vec::new();
    for offset in (0..bytes).step_by(COPY_BYTES as usize) {
        buffer.resize(COPY_BYTES.min(bytes - offset) as usize, 0);
        source.read_exact_at(&mut buffer, offset).map_err(WalError::at(from))?;
        target.write_all_at(&buffer, offset).map_err(WalError::at(&unfinished))?;
    }
    target.sync_data().map_err(WalError::sync_at(&unfinished))?;
    disk.rename(&unfinished, &to).map_err(WalError::at(&unfinished))?;
    disk.sync_dir(into).map_err(WalError::sync_at(into))
}

fn is_same(disk: &dyn Disk, one: &Path, other: &Path) -> Result<bool, WalError> {
    let other_file = match disk.open(other, Open::Read) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(false),
        opened => opened.map_err(WalError::at(other))?,
    };
    let one_file = disk.open(one, Open::Read).map_err(WalError::at(one))?;
    let bytes = one_file.len().map_err(WalError::at(one))?;
    if other_file.len().map_err(WalError::at(other))? != bytes {
        return Ok(false);
    }
    let (mut left, mut right) = (Vec::new(), Vec::new());
    for offset in (0..bytes).step_by(COPY_BYTES as usize) {
        let count = COPY_BYTES.min(bytes - offset) as usize;
        left.resize(count, 0);
        right.resize(count, 0);
        one_file.read_exact_at(&mut left, offset).map_err(WalError::at(one))?;
        other_file.read_exact_at(&mut right, offset).map_err(WalError::at(other))?;
        if left != right {
            return Ok(false);
        }
    }
    Ok(true)
}

/// A name for a file in a directory that no other file there has.
fn free_name(disk: &dyn Disk, directory: &Path, file: &Path) -> Result<PathBuf, WalError> {
    let name = file.file_name().expect("a file has a name").to_string_lossy().into_owned();
    let names = disk.list(directory).map_err(WalError::at(directory))?;
    let candidates = std::iter::once(name.clone()).chain((1..).map(|number| format!("{name}.{number}")));
    let free = candidates.into_iter().find(|candidate| !names.contains(candidate));
    Ok(directory.join(free.expect("numbers do not end")))
}

const _: () = assert!(COPY_BYTES.is_multiple_of(BLOCK));
