//! A log on a simulated disk with small files, and a model of its contents.

#![allow(dead_code, reason = "each test file uses its own part")]

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use bytes::Bytes;
use tidelog_storage::disk::Open;
use tidelog_storage::wal::{
    GROUPS, GroupId, GroupState, LogPosition, Vote, Wal, WalOp, WalOptions, WalReader, WalRecovery,
};
use tidelog_storage::{Disk, SimDisk, WalError};

pub const DIR: &str = "/wal";
pub const KIB: u64 = 1024;
/// Where the commits of a file begin: behind the header and two sync points.
pub const COMMITS_AT: u64 = 12 * KIB;
/// The mark of the log, beside its directory.
pub const MARK: &str = "/wal.mark";

pub fn options(file_bytes: u64) -> WalOptions {
    WalOptions { file_bytes, first_file_bytes: file_bytes.min(24 * KIB), sync_every_commit: true }
}

pub fn open(disk: &SimDisk, options: WalOptions) -> Result<(Wal, WalReader, WalRecovery), WalError> {
    Wal::open(Arc::new(disk.clone()), Path::new(DIR), options)
}

pub fn position(term: u64, index: u64) -> LogPosition {
    LogPosition { term, index }
}

/// Bytes that no two entries share.
pub fn payload(group: GroupId, position: LogPosition, len: usize) -> Bytes {
    let seed = format!("{group}.{}.{};", position.term, position.index);
    seed.bytes().cycle().take(len).collect()
}

pub fn append(group: GroupId, term: u64, index: u64, len: usize) -> WalOp {
    let position = position(term, index);
    let bytes = payload(group, position, len);
    // In two parts, as the broker passes a header and a body.
    let payload = vec![bytes.slice(..len / 3), bytes.slice(len / 3..)];
    WalOp::Append { group, position, payload }
}

pub fn vote(group: GroupId, term: u64) -> WalOp {
    WalOp::Vote { group, vote: Vote { term, node: 3, committed: true } }
}

pub fn purge(group: GroupId, term: u64, index: u64) -> WalOp {
    WalOp::Purge { group, upto: position(term, index) }
}

pub fn log_files(disk: &SimDisk) -> Vec<PathBuf> {
    let names = disk.list(Path::new(DIR)).expect("the log's directory");
    names.iter().filter(|name| name.ends_with(".wal")).map(|name| Path::new(DIR).join(name)).collect()
}

pub fn file_bytes(disk: &SimDisk, path: &Path) -> Vec<u8> {
    let file = disk.open(path, Open::Read).expect("the file exists");
    let mut bytes = vec![0; usize::try_from(file.len().expect("a length")).expect("fits")];
    file.read_exact_at(&mut bytes, 0).expect("the file has its length");
    bytes
}

/// The expected state of a group.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct GroupModel {
    pub state: GroupState,
    pub entries: BTreeMap<u64, (u64, Bytes)>,
}

/// The expected state of the log.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Model(pub [GroupModel; GROUPS]);

impl Model {
    pub fn apply(&mut self, op: &WalOp) {
        let group = &mut self.0[usize::from(op.group())];
        match op {
            WalOp::Append { position, payload, .. } => {
                group.entries.insert(position.index, (position.term, Bytes::from(payload.concat())));
                group.state.last = Some(*position);
            }
            WalOp::Vote { vote, .. } => group.state.vote = Some(*vote),
            WalOp::Truncate { after, .. } => {
                group.entries.retain(|index, _| after.is_some_and(|after| *index <= after.index));
                group.state.last = *after;
            }
            WalOp::Purge { upto, .. } => {
                if group.state.purged.is_none_or(|purged| purged.index < upto.index) {
                    group.entries.retain(|index, _| *index > upto.index);
                    group.state.purged = Some(*upto);
                    group.state.last =
                        group.state.last.max(Some(*upto)).filter(|last| last.index > upto.index);
                    group.state.last = group.state.last.or(Some(*upto));
                }
            }
            WalOp::Committed { position, .. } => group.state.committed = Some(*position),
        }
    }

    /// The model of a log as its reader shows it. The committed hint is left out: it is shown clamped.
    pub fn read(reader: &WalReader) -> Result<Self, WalError> {
        let mut model = Self::default();
        for (number, group) in (0..).zip(&mut model.0) {
            group.state = GroupState { committed: None, ..reader.state(number) };
            let mut start = 0;
            loop {
                let entries = reader.read(number, start..u64::MAX, 5000)?;
                let Some(last) = entries.last() else { break };
                start = last.position.index + 1;
                for entry in entries {
                    group.entries.insert(entry.position.index, (entry.position.term, entry.payload));
                }
            }
        }
        Ok(model)
    }

    pub fn without_hints(&self) -> Self {
        let mut model = self.clone();
        for group in &mut model.0 {
            group.state.committed = None;
        }
        model
    }
}
