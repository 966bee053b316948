//! Durable state up to an applied index: one file per checkpoint, the two newest kept.
//!
//! Invariant: a checkpoint file is intact or refused; there is always one on disk that was once complete. The
//! write-ahead log behind the newest one may be purged only after [`write()`] returned. Called by the broker.

mod format;
mod shard;

use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};

use bytes::Bytes;

use crate::disk::{Disk, Open};
pub use shard::ShardCheckpoint;

/// Checkpoint files that are kept.
const CHECKPOINTS_KEPT: usize = 2;
const SUFFIX: &str = ".checkpoint";
const UNFINISHED_SUFFIX: &str = ".checkpoint.new";

/// One Raft group's part of a checkpoint.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GroupCheckpoint {
    /// The group's number.
    pub group: u8,
    /// Term and index of the last applied entry; `None` when none was.
    pub applied: Option<(u64, u64)>,
    /// The group's state as the broker encodes it; opaque here, less than 4 GiB.
    pub state: Bytes,
    /// The group's shards.
    pub shards: Vec<ShardCheckpoint>,
}

impl GroupCheckpoint {
    /// The bytes in which one group's part travels to another node: those of a checkpoint file with this group
    /// alone and sequence 0.
    pub fn encode(&self) -> Bytes {
        format::encode(0, 0, std::slice::from_ref(self)).into()
    }

    /// Reads the bytes of [`GroupCheckpoint::encode`]; state and remainders are slices of it.
    ///
    /// # Errors
    /// Why the bytes are not such a part, or not one of a version that this program knows.
    pub fn decode(bytes: &Bytes) -> Result<GroupCheckpoint, String> {
        let checkpoint = format::decode(bytes).map_err(|error| match error {
            format::Undecodable::Damaged(reason) => reason.to_owned(),
            format::Undecodable::Version(version) => format!("it has the unknown version {version}"),
        })?;
        let [group] = <[GroupCheckpoint; 1]>::try_from(checkpoint.groups)
            .map_err(|groups| format!("it is a checkpoint of {} groups instead of one", groups.len()))?;
        Ok(group)
    }
}

/// All groups' states.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Checkpoint {
    /// Grows by at least one with every checkpoint of a node.
    pub sequence: u64,
    /// The write-ahead log was durable up to this LSN before the checkpoint was written; 0 where a checkpoint of format
    /// version 1 does not say. A log that ends before it has lost its end.
    pub durable_lsn: u64,
    /// The groups, in any order.
    pub groups: Vec<GroupCheckpoint>,
}

/// The checkpoint that [`load`] found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Loaded {
    /// The newest intact checkpoint.
    pub checkpoint: Checkpoint,
    /// The newest checkpoint there was, if it is damaged. The one loaded is good only if the write-ahead log
    /// still reaches back to it.
    pub damaged_newer: Option<DamagedCheckpoint>,
}

/// A checkpoint file that cannot be used.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DamagedCheckpoint {
    /// The file's sequence, by its name.
    pub sequence: u64,
    /// The file.
    pub path: PathBuf,
    /// The fault of the file.
    pub reason: String,
}

/// Why a checkpoint could not be written or loaded.
#[derive(Debug, thiserror::Error)]
pub enum CheckpointError {
    /// The file system is full; the earlier checkpoints stand, and the call can be repeated.
    #[error("no space left to write {path}")]
    NoSpace {
        /// The file that could not grow.
        path: PathBuf,
        /// The operating system's answer.
        source: io::Error,
    },
    /// The operating system refused. After a failed write or sync this is fatal.
    #[error("cannot {action} {path}: {source}")]
    Io {
        /// The action that failed, as a verb.
        action: &'static str,
        /// The file or directory.
        path: PathBuf,
        /// The operating system's answer.
        source: io::Error,
    },
    /// There are checkpoints, and none of them is intact.
    #[error(
        "no usable checkpoint: {path} is damaged ({reason}), and so is every older one. Restore the file from a \
         backup of this data directory, or, in a cluster, replace this node by an empty one with `tidelog cluster \
         replace`; do not delete the file to get it to start: records would be lost"
    )]
    AllDamaged {
        /// The newest file.
        path: PathBuf,
        /// The fault of the file.
        reason: String,
    },
    /// An intact checkpoint of a format this program does not know.
    #[error("{path} has checkpoint format {version}; start the version of the program that wrote it")]
    UnknownVersion {
        /// The file.
        path: PathBuf,
        /// The format of the file.
        version: u16,
    },
}

/// Writes a checkpoint, makes it durable, and removes all but the two newest.
///
/// # Errors
/// [`CheckpointError::NoSpace`] and [`CheckpointError::Io`]; the checkpoints before are untouched then.
pub fn write(disk: &dyn Disk, dir: &Path, checkpoint: &Checkpoint) -> Result<(), CheckpointError> {
    let unfinished = dir.join(format!("{:020}{UNFINISHED_SUFFIX}", checkpoint.sequence));
    let path = path_of(dir, checkpoint.sequence);
    disk.create_dir_all(dir).map_err(|source| io_error("create", dir, source))?;
    if let Some(parent) = dir.parent().filter(|parent| !parent.as_os_str().is_empty()) {
        sync_dir(disk, parent)?;
    }
    write_synced(
        disk,
        &unfinished,
        &format::encode(checkpoint.sequence, checkpoint.durable_lsn, &checkpoint.groups),
    )?;
    disk.rename(&unfinished, &path).map_err(|source| io_error("rename", &unfinished, source))?;
    sync_dir(disk, dir)?;
    remove_old(disk, dir)
}

fn write_synced(disk: &dyn Disk, path: &Path, bytes: &[u8]) -> Result<(), CheckpointError> {
    let file = disk.open(path, Open::Create).map_err(|source| io_error("create", path, source))?;
    if let Err(source) = file.write_all_at(bytes, 0) {
        // The bytes that were written would take up space that is lacking; a file that stays is emptied next
        // time.
        let _ = disk.remove_file(path);
        return Err(io_error("write", path, source));
    }
    let sync = file.sync_data();
    sync.map_err(|source| CheckpointError::Io { action: "sync", path: path.to_owned(), source })
}

fn sync_dir(disk: &dyn Disk, dir: &Path) -> Result<(), CheckpointError> {
    // Never `NoSpace`: a failed sync must not be repeated.
    disk.sync_dir(dir).map_err(|source| CheckpointError::Io { action: "sync", path: dir.to_owned(), source })
}

fn remove_old(disk: &dyn Disk, dir: &Path) -> Result<(), CheckpointError> {
    let names = disk.list(dir).map_err(|source| io_error("list", dir, source))?;
    let unfinished = names.iter().filter(|name| name.ends_with(UNFINISHED_SUFFIX)).map(|name| dir.join(name));
    let sequences = sequences(&names);
    let old = sequences.iter().skip(CHECKPOINTS_KEPT).map(|sequence| path_of(dir, *sequence));
    for path in unfinished.chain(old) {
        disk.remove_file(&path).map_err(|source| io_error("remove", &path, source))?;
    }
    Ok(())
}

/// Loads the newest intact checkpoint; `None` when there has never been one.
///
/// # Errors
/// [`CheckpointError::AllDamaged`] names the newest file and the operator's choices;
/// [`CheckpointError::UnknownVersion`] rather than an older checkpoint; [`CheckpointError::Io`].
pub fn load(disk: &dyn Disk, dir: &Path) -> Result<Option<Loaded>, CheckpointError> {
    let names = match disk.list(dir) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        listed => listed.map_err(|source| io_error("list", dir, source))?,
    };
    let mut damaged_newer = None;
    for sequence in sequences(&names) {
        let path = path_of(dir, sequence);
        let reason = match load_file(disk, &path, sequence)? {
            Ok(checkpoint) => return Ok(Some(Loaded { checkpoint, damaged_newer })),
            Err(reason) => reason,
        };
        tracing::error!(path = %path.display(), reason, "a checkpoint is damaged; trying the one before it");
        damaged_newer.get_or_insert(DamagedCheckpoint { sequence, path, reason });
    }
    match damaged_newer {
        None => Ok(None),
        Some(DamagedCheckpoint { path, reason, .. }) => Err(CheckpointError::AllDamaged { path, reason }),
    }
}

/// Where each group ends in the checkpoints that are kept, by the files themselves: in the one that ends earlier of the
/// two. A group that one of them lacks has no end. The write-ahead log may be purged up to there and no further, so
/// that either can be started from. `None` while fewer than two are there.
///
/// # Errors
/// [`CheckpointError::AllDamaged`] names a file that cannot be used: nothing may be purged then. The others as
/// [`load`].
pub fn kept(disk: &dyn Disk, dir: &Path) -> Result<Option<BTreeMap<u8, u64>>, CheckpointError> {
    let names = disk.list(dir).map_err(|source| io_error("list", dir, source))?;
    let mut ends: Option<BTreeMap<u8, u64>> = None;
    let sequences = sequences(&names);
    for sequence in sequences.iter().take(CHECKPOINTS_KEPT) {
        let path = path_of(dir, *sequence);
        let checkpoint = load_file(disk, &path, *sequence)?
            .map_err(|reason| CheckpointError::AllDamaged { path: path.clone(), reason })?;
        let own = checkpoint.groups.iter().filter_map(|group| Some((group.group, group.applied?.1)));
        let own: BTreeMap<u8, u64> = own.collect();
        ends = Some(match ends {
            None => own,
            Some(newer) => {
                let both =
                    newer.into_iter().filter_map(|(group, end)| Some((group, end.min(*own.get(&group)?))));
                both.collect()
            }
        });
    }
    Ok(ends.filter(|_| sequences.len() >= CHECKPOINTS_KEPT))
}

/// The checkpoint, or why the file is damaged.
fn load_file(
    disk: &dyn Disk,
    path: &Path,
    sequence: u64,
) -> Result<Result<Checkpoint, String>, CheckpointError> {
    let file = disk.open(path, Open::Read).map_err(|source| io_error("open", path, source))?;
    let length = file.len().map_err(|source| io_error("measure", path, source))?;
    let mut bytes = vec![0; usize::try_from(length).expect("a file's length fits the address space")];
    if let Err(error) = file.read_exact_at(&mut bytes, 0) {
        return Ok(Err(format!("it cannot be read: {error}")));
    }
    match format::decode(&bytes.into()) {
        Ok(checkpoint) if checkpoint.sequence == sequence => Ok(Ok(checkpoint)),
        Ok(checkpoint) => Ok(Err(format!("it is checkpoint {} under another name", checkpoint.sequence))),
        Err(format::Undecodable::Damaged(reason)) => Ok(Err(reason.to_owned())),
        Err(format::Undecodable::Version(version)) => {
            Err(CheckpointError::UnknownVersion { path: path.to_owned(), version })
        }
    }
}

fn path_of(dir: &Path, sequence: u64) -> PathBuf {
    dir.join(format!("{sequence:020}{SUFFIX}"))
}

/// Sequences of the checkpoints among these names, newest first.
fn sequences(names: &[String]) -> Vec<u64> {
    let parse = |name: &String| {
        name.strip_suffix(SUFFIX).filter(|digits| digits.len() == 20).and_then(|digits| digits.parse().ok())
    };
    let mut sequences: Vec<u64> = names.iter().filter_map(parse).collect();
    sequences.sort_unstable_by(|left, right| right.cmp(left));
    sequences
}

fn io_error(action: &'static str, path: &Path, source: io::Error) -> CheckpointError {
    let path = path.to_owned();
    match source.kind() {
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => {
            CheckpointError::NoSpace { path, source }
        }
        _ => CheckpointError::Io { action, path, source },
    }
}
