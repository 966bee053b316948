//! A start in three steps: the state in the directory is recovered by reading alone, it is judged, and only then
//! does anything change. A start that is refused leaves the directory as it was, so that missing files can be put
//! back.
//!
//! Log and checkpoints are compared by LSN, never by Raft index: an interrupted install legally leaves a checkpoint
//! whose index lies beyond the log's end. Called by the node.

use std::sync::Arc;

use tidelog_storage::checkpoint::{self, DamagedCheckpoint, GroupCheckpoint, Loaded};
use tidelog_storage::shard::{ShardCheckpoint, ShardStore, StoreOptions};
use tidelog_storage::wal::{FoundWal, GROUPS, GroupState, LogPosition, Wal, WalOptions, WalReader};
use tidelog_storage::{Disk, WalError};

use super::open_segments::repair_open_segments;
use crate::cluster::identity::History;
use crate::replication::catch_up::pull::Puller;
use crate::replication::checkpoints::CHECKPOINTS;
use crate::replication::config::GroupsConfig;
use crate::replication::error::{Loss, Remedy, ReplicationError};
use crate::replication::workers::wal_worker::Durability;

/// The beginning of a sentence about an LSN.
pub const CHECKPOINT_SAYS: &str = "the newest checkpoint says";

/// Log and checkpoints of a directory, read and judged. Nothing has changed on the disk.
pub struct Recovered {
    wal: FoundWal,
    saved: Vec<GroupCheckpoint>,
    last_sequence: u64,
    damaged_newer: Option<DamagedCheckpoint>,
    /// Why something is missing that was durable, where a start would be refused for it.
    loss: Option<Loss>,
}

/// Log and shards, ready for the groups.
pub struct Opened {
    pub(crate) wal: Wal,
    pub(crate) reader: WalReader,
    pub(crate) store: Arc<ShardStore>,
    pub(crate) saved: Vec<GroupCheckpoint>,
    pub(crate) last_sequence: u64,
}

impl Recovered {
    /// Reads log and checkpoints of the node's directory, and judges them by each other and by its history.
    ///
    /// # Errors
    /// [`ReplicationError::Lost`] when something durable is gone; [`ReplicationError`] when something cannot be read.
    pub fn read(config: &GroupsConfig, history: History) -> Result<Self, ReplicationError> {
        let remedy = || match config.peers.are_there() || history.in_cluster {
            true => Remedy::Replace,
            false => Remedy::Restore(config.directory.clone()),
        };
        let lost = |loss| ReplicationError::Lost { loss, remedy: remedy() };
        let wal_error = |error: WalError| match error.is_loss() {
            true => lost(Loss::Log(error)),
            false => ReplicationError::Wal(error),
        };
        let wal = FoundWal::read(config.disk.clone(), &config.directory.join("wal")).map_err(wal_error)?;
        let loaded = checkpoint::load(&*config.disk, &config.directory.join(CHECKPOINTS))?;
        let durable_lsn = loaded.as_ref().map(|loaded| loaded.checkpoint.durable_lsn);
        wal.require(durable_lsn.unwrap_or_default(), CHECKPOINT_SAYS).map_err(wal_error)?;
        let is_founder = config.peers.identity().is_some_and(|identity| identity.is_founder);
        let found = Self::found(wal, loaded, history, is_founder);
        match found.loss {
            Some(loss) => Err(lost(loss)),
            None => Ok(found),
        }
    }

    /// Log and checkpoint, judged by each other and by the node's history.
    pub(crate) fn found(wal: FoundWal, loaded: Option<Loaded>, history: History, is_founder: bool) -> Self {
        let (saved, last_sequence, damaged_newer) = match loaded {
            None => (Vec::new(), 0, None),
            Some(loaded) => {
                let newest = loaded.damaged_newer.as_ref().map(|damaged| damaged.sequence);
                let newest = newest.unwrap_or(loaded.checkpoint.sequence);
                (loaded.checkpoint.groups, newest, loaded.damaged_newer)
            }
        };
        let found = Found {
            history,
            is_founder,
            has_log: !wal.is_new(),
            has_mark: wal.has_mark(),
            has_checkpoint: last_sequence > 0,
            groups: (0..GROUPS as u8).map(|group| found_group(&wal, &saved, group)).collect(),
        };
        let loss = judge(&found).err();
        Self { wal, saved, last_sequence, damaged_newer, loss }
    }

    /// Why something is missing that was durable.
    pub(crate) fn loss(&self) -> Option<&Loss> {
        self.loss.as_ref()
    }

    /// Opens the shards, and begins a new log file behind the recovered ones.
    ///
    /// # Errors
    /// [`ReplicationError`], whose message says what an operator can do. The log has not changed then.
    pub async fn open(self, config: &GroupsConfig) -> Result<Opened, ReplicationError> {
        let Self { wal, saved, last_sequence, damaged_newer, loss: _ } = self;
        let shards: Vec<ShardCheckpoint> =
            saved.iter().flat_map(|group| group.shards.iter().cloned()).collect();
        let shards_dir = config.directory.join("shards");
        let is_repairable = config.peers.are_there();
        if is_repairable {
            let puller = Puller::new(config.peers.clone(), config.shell.clone());
            repair_open_segments(&config.disk, &shards_dir, &shards, &puller, &config.segments_at_start)
                .await?;
        }
        config.disk.create_dir_all(&config.directory.join(CHECKPOINTS))?;
        let options = StoreOptions { is_repairable, ..config.sizes.store };
        let store = ShardStore::open(config.disk.clone(), shards_dir, options, shards)?;
        set_aside(&*config.disk, damaged_newer)?;
        if let Some(torn) = &wal.summary().torn_tail {
            tracing::warn!(
                file = %torn.file.display(),
                offset = torn.offset,
                last_commit = wal.end_lsn(),
                "the write-ahead log ends in a write that was not finished; it goes on behind the last intact commit, and \
                 nothing on this disk says that a later one was acknowledged"
            );
        }
        let options = WalOptions {
            file_bytes: config.sizes.wal_file_bytes,
            first_file_bytes: config.sizes.wal_first_file_bytes,
            sync_every_commit: config.durability == Durability::Fsync,
        };
        let (wal, reader) = wal.begin(options)?;
        Ok(Opened { wal, reader, store, saved, last_sequence })
    }
}

/// Renames a damaged newest checkpoint, so that it does not count as one of the two kept checkpoints.
fn set_aside(disk: &dyn Disk, damaged: Option<DamagedCheckpoint>) -> Result<(), ReplicationError> {
    let Some(damaged) = damaged else { return Ok(()) };
    tracing::error!(?damaged, "the newest checkpoint is damaged; starting from the one before it");
    Ok(disk.rename(&damaged.path, &damaged.path.with_extension("damaged"))?)
}

/// The facts of a directory that are judged.
struct Found {
    history: History,
    is_founder: bool,
    has_log: bool,
    has_mark: bool,
    has_checkpoint: bool,
    groups: Vec<FoundGroup>,
}

struct FoundGroup {
    log: GroupState,
    /// How far the group had committed, by its log.
    committed: Option<LogPosition>,
    /// Where the checkpoint ends.
    applied: Option<LogPosition>,
}

fn found_group(wal: &FoundWal, saved: &[GroupCheckpoint], group: u8) -> FoundGroup {
    let applied = saved.iter().find(|saved| saved.group == group).and_then(|saved| saved.applied);
    FoundGroup {
        log: wal.state(group),
        committed: wal.committed_hint(group),
        applied: applied.map(|(term, index)| LogPosition { term, index }),
    }
}

/// Finds the part that is missing, by the other parts.
fn judge(found: &Found) -> Result<(), Loss> {
    match found.history.log_begun {
        true if !found.has_log => return Err(Loss::NoLog("IDENTITY says")),
        true if !found.has_mark => return Err(Loss::NoMark),
        // Every node that wrote a checkpoint has a log file, also by the version before.
        false if !found.has_log && found.has_checkpoint => return Err(Loss::NoLog("a checkpoint shows")),
        _ => {}
    }
    let index = |position: Option<LogPosition>| position.map(|position| position.index);
    for (group, FoundGroup { log, committed, applied }) in (0..).zip(&found.groups) {
        if found.history.founded && found.is_founder && log.last.is_none() && applied.is_none() {
            return Err(Loss::EmptyGroup(group));
        }
        // After an interrupted install the checkpoint reaches further than the log.
        if let Some(committed) = *committed
            && Some(committed.index) > index(log.last).max(index(*applied))
        {
            return Err(Loss::CutBelowCommitted { group, committed, last: log.last });
        }
        if index(log.purged) > index(*applied) {
            return Err(Loss::Gap { group, purged: log.purged, applied: *applied });
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(index: u64) -> Option<LogPosition> {
        Some(LogPosition { term: 1, index })
    }

    fn intact() -> Found {
        let log = GroupState { last: at(9), committed: at(9), purged: at(3), vote: None };
        Found {
            history: History { log_begun: true, founded: true, in_cluster: false },
            is_founder: true,
            has_log: true,
            has_mark: true,
            has_checkpoint: true,
            groups: vec![FoundGroup { log, committed: at(9), applied: at(7) }],
        }
    }

    #[test]
    fn absence_is_damage_once_the_directory_has_been_in_use() {
        assert!(judge(&intact()).is_ok());
        let new = Found {
            history: History::default(),
            has_log: false,
            has_mark: false,
            has_checkpoint: false,
            groups: vec![FoundGroup { log: GroupState::default(), committed: None, applied: None }],
            ..intact()
        };
        assert!(judge(&new).is_ok(), "a directory that was just made");
        let before = Found { history: History::default(), has_mark: false, ..intact() };
        assert!(judge(&before).is_ok(), "a directory of the version before has no mark");

        let loss = |found: Found| judge(&found).expect_err("a loss");
        assert!(matches!(loss(Found { has_log: false, has_mark: false, ..intact() }), Loss::NoLog(_)));
        assert!(matches!(loss(Found { has_mark: false, ..intact() }), Loss::NoMark));
        assert!(matches!(loss(Found { has_log: false, ..before }), Loss::NoLog(_)));
        assert!(matches!(
            loss(Found { history: intact().history, has_log: true, has_mark: true, ..new }),
            Loss::EmptyGroup(0)
        ));
    }

    #[test]
    fn a_log_truncated_below_committed_entries_is_damage_unless_a_checkpoint_has_them() {
        let mut found = intact();
        found.groups[0].log.last = at(5);
        assert!(matches!(judge(&found), Err(Loss::CutBelowCommitted { group: 0, .. })));
        found.groups[0].applied = at(12);
        assert!(judge(&found).is_ok(), "an install that was cut short before the log was purged");
        found.groups[0].applied = at(2);
        found.groups[0].log.last = at(9);
        assert!(matches!(judge(&found), Err(Loss::Gap { group: 0, .. })));
    }
}
