//! The narrow interface of replication: propose, read what is applied, checkpoint, stop.

use std::io;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use openraft::Raft;
use tidelog_proto::stored::{MetadataBounds, Quotas};
use tidelog_storage::Disk;
use tidelog_storage::WalError;
use tidelog_storage::checkpoint::CheckpointError;
use tidelog_storage::disk::RealDisk;
use tidelog_storage::shard::{ShardError, ShardKey, ShardLog, ShardStore};
use tidelog_storage::wal::WalReader;
use tokio::sync::{Semaphore, oneshot, watch};

use super::batcher::{Batcher, Part, PartAnswer};
use super::catch_up::{CatchUp, Resting};
use super::checkpointer;
use super::flush_thread::FlushHandle;
use super::held::Held;
use super::kept::SetAside;
use super::leaders::Leaders;
use super::log_bound::LogBound;
use super::machine::Machine;
use super::news::{Listener, ManyListener, News};
use super::positions::Positions;
use super::promises::Promises;
use super::raft_types::TypeConfig;
use super::recovered::{Loss, WayOut};
use super::shell::{Shell, Worker};
use super::sizes::Sizes;
use super::wal_thread::{Durability, WalHandle, WalThreads};
use super::{META_GROUP, Origin, SubBatch};
use crate::clock::ClusterClock;
use crate::cluster::peers::Peers;
use crate::model::consumer_group::ConsumerGroups;
use crate::model::stream::Catalog;

/// How long a stop waits for its checkpoint: the log has all of it as well.
const LAST_CHECKPOINT: Duration = Duration::from_secs(3);

/// One group.
pub(super) type RaftOf = Raft<TypeConfig, Machine>;

/// Where and how the groups keep their log.
pub struct GroupsConfig {
    /// The node's disk.
    pub disk: Arc<dyn Disk>,
    /// The data directory; `wal`, `checkpoint` and `shards` are below it.
    pub directory: PathBuf,
    /// When an acknowledged record is on disk.
    pub durability: Durability,
    /// What the workers run in.
    pub shell: Shell,
    /// Of files, and the bounds that go with them.
    pub sizes: Sizes,
    /// How large the metadata of the cluster may grow by what this node proposes.
    pub metadata_bounds: MetadataBounds,
    /// Quotas of what this node proposes.
    pub quotas: Quotas,
    /// The other nodes.
    pub peers: Arc<Peers>,
    /// What the node goes by; peers are told of it.
    pub clock: Arc<ClusterClock>,
    /// What they get while this node cannot start yet.
    pub resting: Arc<Resting>,
}

/// Why the groups cannot start or stop. The message says what an operator can do.
#[derive(Debug, thiserror::Error)]
pub enum GroupError {
    /// The write-ahead log cannot be read or written.
    #[error(transparent)]
    Wal(#[from] WalError),
    /// Something that was durable is gone. Nothing was changed on the disk.
    #[error("{loss}. {way_out}")]
    Lost {
        /// What is gone, and how that is known.
        loss: Loss,
        /// What an operator can do.
        way_out: WayOut,
    },
    /// No checkpoint can be loaded.
    #[error(transparent)]
    Checkpoint(#[from] CheckpointError),
    /// A shard's files do not match the checkpoint.
    #[error(transparent)]
    Shard(#[from] ShardError),
    /// A thread cannot be started or a directory cannot be made.
    #[error("{0}")]
    Io(#[from] io::Error),
    /// The stored state contradicts itself.
    #[error("{0}")]
    State(String),
    /// openraft refused to run.
    #[error("replication of group {group}: {reason}")]
    Raft {
        /// The group.
        group: u8,
        /// openraft's words.
        reason: String,
    },
}

/// Why a proposal has no outcome.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ProposeError {
    /// Nothing was proposed: it may be tried again at once, elsewhere or here.
    #[error("not proposed")]
    NotProposed,
    /// It may be applied or not, now or later: only the client may try again.
    #[error("outcome unknown")]
    Unknown,
}

/// What keeps the node from taking records.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DiskTrouble {
    /// A write found no space.
    Full,
    /// The write-ahead log has been at its bound for too long.
    LogAtBound,
}

/// The node's seven groups.
pub struct Groups {
    pub(super) rafts: Vec<RaftOf>,
    /// What this node has promised in each group.
    pub(super) promises: Vec<Arc<Promises>>,
    pub(super) batchers: Vec<Batcher>,
    pub(super) catalog: watch::Receiver<Arc<Catalog>>,
    pub(super) consumer_groups: watch::Receiver<Arc<ConsumerGroups>>,
    pub(super) store: Arc<ShardStore>,
    pub(super) news: Arc<News>,
    pub(super) wal: WalHandle,
    pub(super) reader: WalReader,
    pub(super) log_bound: Arc<LogBound>,
    pub(super) flush: FlushHandle,
    pub(super) config: GroupsConfig,
    pub(super) peers: Arc<Peers>,
    pub(super) catch_up: CatchUp,
    pub(super) leaders: watch::Sender<Leaders>,
    /// Why this node would rather not lead.
    pub(super) reluctance: watch::Sender<Option<String>>,
    pub(super) in_flight: Arc<Semaphore>,
    /// Where each group's newest checkpoint ends.
    #[expect(clippy::disallowed_types, reason = "one checkpoint at a time, with the purge behind it")]
    pub(super) checkpointed: tokio::sync::Mutex<Vec<Option<u64>>>,
    pub(super) set_aside: SetAside,
    /// Up to where every member holds each group's log.
    pub(super) held: Arc<Held>,
    /// What peers have confirmed of the groups that are led here.
    pub(super) positions: Arc<Positions>,
    /// True once the groups have ended.
    pub(super) over: watch::Sender<bool>,
    /// One permit, which an operator's change of the members holds while it is under way here.
    pub(super) changing: Arc<Semaphore>,
}

/// The threads under the groups, to be joined after [`Groups::shutdown`].
pub struct GroupThreads {
    pub(super) wal: WalThreads,
    pub(super) flush: Worker,
}

impl GroupThreads {
    /// Waits until everything queued is written and the workers have ended.
    pub async fn join(self) {
        self.flush.join().await;
        self.wal.join().await;
    }
}

impl Groups {
    /// This node's id.
    pub fn node(&self) -> u64 {
        self.peers.node()
    }

    /// The other nodes.
    pub fn peers(&self) -> &Arc<Peers> {
        &self.peers
    }

    /// Whether other nodes have copies of what this one keeps.
    pub fn has_peers(&self) -> bool {
        self.peers.are_there()
    }

    /// The clock that the node goes by.
    pub fn clock(&self) -> &Arc<ClusterClock> {
        &self.config.clock
    }

    /// The newest arrival time of any record on this node, 0 for none.
    pub fn newest_time_ms(&self) -> u64 {
        self.store.newest_time_ms()
    }

    /// What the node's workers run in.
    pub fn shell(&self) -> &Shell {
        &self.config.shell
    }

    /// The newest applied catalog.
    pub fn catalog(&self) -> Arc<Catalog> {
        self.catalog.borrow().clone()
    }

    /// Follows the catalog.
    pub fn watch_catalog(&self) -> watch::Receiver<Arc<Catalog>> {
        self.catalog.clone()
    }

    /// The newest applied consumer groups.
    pub fn consumer_groups(&self) -> Arc<ConsumerGroups> {
        self.consumer_groups.borrow().clone()
    }

    /// The applied log of a shard on this node.
    pub fn shard(&self, key: ShardKey) -> Option<Arc<ShardLog>> {
        self.store.get(key)
    }

    /// Hears of records that are applied to a shard on this node.
    pub fn listen(&self, key: ShardKey) -> Listener {
        self.news.listen(key)
    }

    /// Hears of records that are applied to any of many shards on this node.
    pub fn listen_to_many(&self) -> ManyListener {
        self.news.listen_to_many()
    }

    /// Sizes of files, and the bounds of memory that go with them.
    pub fn sizes(&self) -> &Sizes {
        &self.config.sizes
    }

    /// Queues sub-batches for a data group that is led here. The receiver gets one outcome per sub-batch; a closed channel is an
    /// unknown outcome. Waits while the node has [`Sizes::in_flight_bytes_max`] under way.
    pub async fn append(&self, group: u8, batches: Vec<SubBatch>) -> oneshot::Receiver<PartAnswer> {
        assert_ne!(group, META_GROUP, "records for the metadata group");
        let bytes = batches
            .iter()
            .map(|batch| batch.body.len())
            .sum::<usize>()
            .min(self.config.sizes.in_flight_bytes_max);
        let share = self.in_flight.clone().acquire_many_owned(bytes as u32).await;
        let (answer, outcome) = oneshot::channel();
        let part = Part { batches, share: share.expect("the semaphore is never closed"), answer };
        self.batchers[usize::from(group)].enqueue(part).await;
        outcome
    }

    /// Why puts have to be refused right now, if they have to. Takes no lock.
    pub fn disk_trouble_of_puts(&self) -> Option<DiskTrouble> {
        if self.wal.disk_full() || self.flush.disk_full() {
            return Some(DiskTrouble::Full);
        }
        self.log_bound.refuses().then_some(DiskTrouble::LogAtBound)
    }

    /// True while a write of the node waits for space.
    pub fn waits_for_space(&self) -> bool {
        self.wal.disk_full() || self.flush.disk_full()
    }

    /// The bound of the write-ahead log.
    pub fn log_bound(&self) -> &LogBound {
        &self.log_bound
    }

    /// Bytes that the files of the write-ahead log take on the disk.
    pub fn wal_allocated_bytes(&self) -> u64 {
        self.reader.allocated_bytes()
    }

    /// Whether the disk still has more free than what is reserved for the broker's own survival. Asks the disk.
    pub fn has_space(&self) -> bool {
        self.free_bytes().is_none_or(|free| free > self.reserved_bytes())
    }

    /// Bytes that are free on the disk; `None` when it does not say. Asks the disk.
    pub fn free_bytes(&self) -> Option<u64> {
        let free = self.config.disk.free_bytes(&self.config.directory);
        free.inspect_err(
            |error| crate::log_at_most_once_a_second!(warn, %error, "cannot ask how much space is free"),
        )
        .ok()
    }

    /// Bytes of the disk that stay free.
    pub fn reserved_bytes(&self) -> u64 {
        self.config.sizes.reserved_bytes
    }

    /// A file of the write-ahead log that somebody else has unlinked; `None` when all are there.
    ///
    /// # Errors
    /// When the operating system does not say.
    pub fn unlinked_log_file(&self) -> io::Result<Option<PathBuf>> {
        self.reader.unlinked_file()
    }

    /// Bytes written to the log since the process started.
    pub fn wal_written_bytes(&self) -> u64 {
        self.wal.written_bytes()
    }

    /// Syncs of files and directories since the process started.
    pub fn disk_syncs(&self) -> u64 {
        RealDisk::syncs()
    }

    /// Makes a checkpoint of all groups durable and purges the log up to the one before. One at a time.
    pub async fn checkpoint(&self) -> Result<(), GroupError> {
        let mut checkpointed = self.checkpointed.lock().await;
        let newer = checkpointer::checkpoint(&self.rafts, &self.flush).await?;
        let remembered = std::mem::replace(&mut *checkpointed, newer);
        let kept = self.kept_ends(&remembered).await;
        self.note_held();
        checkpointer::purge(&self.rafts, &kept, self.purge(), &self.held).await?;
        self.discard_set_aside(&kept).await;
        Ok(())
    }

    /// Syncs the log, and has every further commit synced: the process is ending.
    ///
    /// # Errors
    /// When the log has stopped, as on a full disk.
    pub async fn sync_for_good(&self) -> io::Result<()> {
        self.wal.hurry();
        self.wal.sync_and_mark().await.map(drop)
    }

    /// Whether the groups have voters beside this node, by their states: their metrics name none before they have been
    /// published for the first time. A group that has stopped has none.
    pub async fn has_other_voters(&self) -> bool {
        let own = self.node();
        for raft in &self.rafts {
            let others = raft.with_raft_state(move |state| {
                state.membership_state.effective().voter_ids().any(|voter| voter != own)
            });
            if others.await.unwrap_or(false) {
                return true;
            }
        }
        false
    }

    /// Checkpoints and stops the groups. What was acknowledged is durable either way; this makes the next start
    /// quick. Afterwards drop the groups and join their threads.
    pub async fn shutdown(&self) -> Result<(), GroupError> {
        self.wal.hurry();
        self.flush.hurry();
        self.log_bound.refuse(true);
        let checkpointed = match tokio::time::timeout(LAST_CHECKPOINT, self.checkpoint()).await {
            Ok(checkpointed) => checkpointed,
            Err(_) => {
                tracing::warn!("the last checkpoint is given up; the next start replays the log instead");
                Ok(())
            }
        };
        for (group, raft) in self.rafts.iter().enumerate() {
            if let Err(error) = raft.shutdown().await {
                tracing::warn!(group, %error, "replication did not end by itself");
            }
        }
        // Nothing is waited for that needs them: what still runs would hold up the threads' end.
        self.over.send_replace(true);
        self.flush.stop().await;
        checkpointed
    }
}

pub fn raft_error(group: u8, error: &dyn std::fmt::Display) -> GroupError {
    GroupError::Raft { group, reason: error.to_string() }
}

impl SubBatch {
    /// A sub-batch over an encoded body, with its checksum.
    pub fn new(shard: ShardKey, time_ms: u64, count: u32, body: bytes::Bytes) -> Self {
        let body_crc = crc32fast::hash(&body);
        Self { shard, time_ms, count, body, body_crc, origin: None }
    }

    /// This one, with where its records come from.
    #[must_use]
    pub fn with_origin(self, origin: Option<Origin>) -> Self {
        Self { origin: origin.map(Box::new), ..self }
    }
}
