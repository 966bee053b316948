//! Giving up the end of the log of a node that is alone, while no broker runs.
//!
//! The part that is given up is set aside first, and the mark says so: no broker opens the log until all of it is
//! over, and all of it can be done again. The groups then run over the rest, without a client. Each shard passes
//! over more ordinals than a lost log can have given out, so that no sequence number comes twice: a reader that
//! holds a lost one goes on with the next record that comes. Uids and creation seconds pass over lost ones as well.
//! Two checkpoints later nothing on the disk speaks of the lost end any more.

use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use tidelog_proto::stored::{self, data_command, meta_command, trim};
use tidelog_storage::Disk;
use tidelog_storage::checkpoint;
use tidelog_storage::shard::{self, ShardKey, ShardStore};
use tidelog_storage::wal::{self, GROUPS, Salvage, Vote};

use super::checkpoints::CHECKPOINTS;
use super::config::GroupsConfig;
use super::error::Loss;
use super::error::{ProposeError, ReplicationError};
use super::groups::Groups;
use super::metadata::META_GROUP;
use super::recovery::recovered::{CHECKPOINT_SAYS, Recovered};
use crate::cluster::forming::Founding;
use crate::cluster::identity::History;
use crate::model::sequence_number::SequenceNumber;
use crate::model::stream::{Catalog, Shard, StreamKey};

/// Ordinals that a shard passes over. A log that held as many records of one shard would have tens of tebibytes; there
/// are eight million times as many ordinals.
const SKIPPED_ORDINALS: u64 = 1 << 40;
/// Uids of streams, consumers and members that are passed over.
const SKIPPED_UIDS: u64 = 1 << 32;
/// Points of one command.
const POINTS_MAX: usize = 1_000;
/// Where the part that was given up is kept, below the data directory.
const LOST: &str = "lost";
/// Where the store puts segments that no checkpoint lists.
const SET_ASIDE: &str = "set-aside";

/// Where a shard ends.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ShardEnd {
    /// The stream.
    pub stream: StreamKey,
    /// Index of the shard.
    pub shard: u32,
    /// The sequence number of its last record, and when that arrived, in milliseconds since the epoch; `None` without a
    /// record.
    pub last: Option<(SequenceNumber, u64)>,
}

/// A log whose end is to be given up.
pub struct GivingUp {
    salvage: Salvage,
    loaded: Option<checkpoint::Loaded>,
    history: History,
    loss: Option<String>,
    lacks_checkpoint: bool,
}

impl GivingUp {
    /// Finds out the loss, and changes nothing.
    ///
    /// # Errors
    /// [`ReplicationError`] when something cannot be read.
    pub fn look(disk: Arc<dyn Disk>, directory: &Path, history: History) -> Result<Self, ReplicationError> {
        let loaded = checkpoint::load(&*disk, &directory.join(CHECKPOINTS))?;
        let mut salvage = Salvage::read(disk.clone(), &directory.join("wal"))?;
        // The checkpoints are read before anything is given up: purged entries can only stand in a checkpoint.
        let has_purged = (0..GROUPS as u8).any(|group| salvage.found().state(group).purged.is_some());
        let lacks_checkpoint = has_purged && loaded.is_none();
        let durable_lsn = loaded.as_ref().map(|loaded| loaded.checkpoint.durable_lsn);
        salvage.require(durable_lsn.unwrap_or_default(), CHECKPOINT_SAYS);
        if salvage.damage().is_some() && lacks_a_group(&salvage, loaded.as_ref()) {
            salvage.give_up_all("a group has neither a log nor a checkpoint")?;
        }
        if begins_behind(&salvage, loaded.as_ref()) {
            salvage.give_up_all("the log begins after the end of the newest checkpoint that can be read")?;
        }
        let damage = salvage.damage().map(ToString::to_string);
        let judged = || {
            let found = wal::FoundWal::read(disk, &directory.join("wal")).ok()?;
            let found = Recovered::found(found, loaded.clone(), history, true);
            found.loss().map(Loss::to_string)
        };
        let loss = damage.or_else(judged);
        Ok(Self { salvage, loaded, history, loss, lacks_checkpoint })
    }

    /// The loss as a sentence; `None` without one.
    pub fn loss(&self) -> Option<&str> {
        self.loss.as_deref()
    }

    /// Whether the log has purged entries that only a checkpoint can hold, and there is no checkpoint: the segments
    /// belong to nothing then.
    pub fn lacks_checkpoint(&self) -> bool {
        self.lacks_checkpoint
    }

    /// The part of the log that is intact.
    pub fn salvage(&self) -> &Salvage {
        &self.salvage
    }

    /// The checkpoint that the node goes on from.
    pub fn checkpoint(&self) -> Option<&checkpoint::Checkpoint> {
        self.loaded.as_ref().map(|loaded| &loaded.checkpoint)
    }

    /// Sets aside the part that is given up, on the node of that id. No broker opens the log from then on, until
    /// [`GivingUp::go_on_without`] is over.
    ///
    /// # Errors
    /// [`ReplicationError`]; nothing is lost then, and all of it can be done again.
    pub fn set_aside(&mut self, directory: &Path, node: u64) -> Result<(), ReplicationError> {
        for group in 0..GROUPS as u8 {
            match applied(self.loaded.as_ref(), group) {
                Some((term, _)) => self.salvage.raise_vote(group, Vote { term, node, committed: false }),
                // It is founded anew, and no other node ever learnt of its vote.
                None if self.salvage.found().state(group).last.is_none() => self.salvage.forget_vote(group),
                None => {}
            }
        }
        Ok(self.salvage.set_aside(&directory.join(LOST))?)
    }

    /// Runs the groups over the rest, and makes them pass over every number that the lost part may have given out.
    /// Returns the end of each open shard.
    ///
    /// # Errors
    /// The errors of [`GivingUp::set_aside`].
    ///
    /// # Panics
    /// When nothing was set aside.
    pub async fn go_on_without(
        self,
        config: GroupsConfig,
        founding: Founding,
    ) -> Result<Vec<ShardEnd>, ReplicationError> {
        let (disk, directory) = (config.disk.clone(), config.directory.clone());
        let now_ms = config.clock.wall_ms();
        let recovered = Recovered::found(self.salvage.into_found(), self.loaded, self.history, true);
        let opened = recovered.open(&config).await?;
        keep_segments(&*disk, &directory)?;
        let store = opened.store.clone();
        let (groups, threads) = Groups::start(config, opened, Some(founding)).await?;
        groups.ready(None).await?;
        let ends = groups.pass_over_lost(&*disk, &directory, &store, now_ms).await;
        // The older one of the two that are kept speaks of the log that was.
        for _ in 0..2 {
            groups.checkpoints().make().await?;
        }
        groups.shutdown().await?;
        drop((groups, store));
        threads.join().await;
        let ends = ends?;
        wal::finish_giving_up(disk, &directory.join("wal"))?;
        Ok(ends)
    }
}

/// Whether the log lacks entries between the checkpoint and its own beginning.
fn begins_behind(salvage: &Salvage, loaded: Option<&checkpoint::Loaded>) -> bool {
    let index = |group| applied(loaded, group).map(|(_, index)| index);
    (0..GROUPS as u8).any(|group| salvage.found().state(group).purged.map(|at| at.index) > index(group))
}

/// Whether a group has neither entries nor a checkpoint. No record was put then: all groups are founded before.
fn lacks_a_group(salvage: &Salvage, loaded: Option<&checkpoint::Loaded>) -> bool {
    (0..GROUPS as u8)
        .any(|group| salvage.found().state(group).last.is_none() && applied(loaded, group).is_none())
}

/// Term and index of a group's end in the checkpoint.
fn applied(loaded: Option<&checkpoint::Loaded>, group: u8) -> Option<(u64, u64)> {
    loaded?.checkpoint.groups.iter().find(|saved| saved.group == group)?.applied
}

/// Moves segments that no checkpoint lists to the lost files: nothing brings their records back.
fn keep_segments(disk: &dyn Disk, directory: &Path) -> Result<(), ReplicationError> {
    let aside = directory.join(SET_ASIDE);
    match disk.list(&aside) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        listed => drop(listed?),
    }
    let lost = directory.join(LOST);
    disk.create_dir_all(&lost)?;
    let names = disk.list(&lost)?;
    let free = (1..).map(|number| format!("segments.{number}")).find(|name| !names.contains(name));
    let to: PathBuf = lost.join(free.expect("numbers do not end"));
    disk.rename(&aside, &to)?;
    disk.sync_dir(&lost)?;
    Ok(disk.sync_dir(directory)?)
}

/// The shards of all streams that take records, or will.
fn open_shards(catalog: &Catalog) -> impl Iterator<Item = (&StreamKey, ShardKey, &Shard)> {
    catalog.streams().values().flat_map(|stream| {
        let coming = stream.reshard.iter().flat_map(|reshard| &reshard.opened);
        let open = stream.shards.iter().chain(coming).filter(|shard| shard.closed_ms.is_none());
        open.map(|shard| (&stream.key, ShardKey { stream_uid: stream.uid, shard: shard.index }, shard))
    })
}

impl Groups {
    async fn pass_over_lost(
        &self,
        disk: &dyn Disk,
        directory: &Path,
        store: &ShardStore,
        now_ms: u64,
    ) -> Result<Vec<ShardEnd>, ReplicationError> {
        let catalog = self.catalog();
        let (mut ends, mut newest_s) = (Vec::new(), now_ms / 1_000);
        let mut points: BTreeMap<u8, Vec<trim::Point>> = BTreeMap::new();
        for (stream, key, shard) in open_shards(&catalog) {
            let bounds = store.get(key).map(|log| log.bounds());
            let next = bounds.map_or(1, |bounds| bounds.next_ordinal);
            let last_ms = bounds.map_or(0, |bounds| bounds.last_time_ms);
            let to = next + SKIPPED_ORDINALS;
            shard::give_up(disk, &directory.join("shards"), key, next..to)?;
            let point = trim::Point { uid: key.stream_uid, shard: key.shard, ordinal: to };
            points.entry(shard.group).or_default().push(point);
            newest_s = newest_s.max(shard.created_s).max(last_ms / 1_000);
            let last = (last_ms > 0).then(|| {
                let (created_s, ordinal, time_s) = (shard.created_s, next - 1, last_ms / 1_000);
                (SequenceNumber { created_s, shard: key.shard, ordinal, time_s, after: false }, last_ms)
            });
            ends.push(ShardEnd { stream: stream.clone(), shard: key.shard, last });
        }
        for (group, points) in points {
            for points in points.chunks(POINTS_MAX) {
                let skip = stored::SkipOrdinals { points: points.to_vec() };
                let skipped =
                    self.proposals().propose_data(group, data_command::Command::SkipOrdinals(skip)).await;
                skipped.map_err(|error| unproposed(group, error))?;
            }
        }
        let floors = stored::RaiseFloors { uid: catalog.newest_uid + SKIPPED_UIDS, creation_s: newest_s };
        let raised = self.proposals().propose_meta(now_ms, meta_command::Command::RaiseFloors(floors)).await;
        raised.map_err(|error| unproposed(META_GROUP, error))?;
        Ok(ends)
    }
}

fn unproposed(group: u8, error: ProposeError) -> ReplicationError {
    ReplicationError::State(format!("group {group} has not passed over the lost numbers: {error:?}"))
}
