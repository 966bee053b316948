//! The narrow interface of replication: propose, read what is applied, checkpoint, stop.

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::path::PathBuf;
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::Duration;

use openraft::Raft;
use openraft::errors::RaftError;
use tidelog_proto::stored;
use tidelog_storage::Disk;
use tidelog_storage::WalError;
use tidelog_storage::checkpoint::{self, CheckpointError, GroupCheckpoint};
use tidelog_storage::shard::{ShardError, ShardKey, ShardLog, ShardStore, StoreOptions};
use tidelog_storage::wal::{GROUPS, LogPosition, Wal, WalOptions, WalReader};
use tokio::sync::{Semaphore, oneshot, watch};

use super::batcher::{Batcher, Part, PartAnswer, propose_error};
use super::checkpointer;
use super::flush_thread::{FlushConfig, FlushHandle};
use super::log_store::LogStore;
use super::machine::{GroupState, Machine};
use super::meta_state::{MetaOutcome, MetaState};
use super::news::{Listener, News};
use super::raft_start::{ready, start_raft};
use super::raft_types::TypeConfig;
use super::wal_thread::{Durability, WalHandle, WalThreads};
use super::{Command, META_GROUP, Outcome, SubBatch};
use crate::model::stream::Catalog;

/// Body bytes of all groups between acceptance and answer. A request is at most 10 MiB of data and keys.
const BYTES_IN_FLIGHT_MAX: usize = 64 << 20;
/// Live bytes of the write-ahead log past which puts are refused until a checkpoint has freed some.
const WAL_LIVE_BYTES_MAX: u64 = 1 << 30;
/// Bytes that stay free on the disk for votes, trims, membership and checkpoints: two log files and 64 MiB.
const RESERVED_BYTES: u64 = 2 * WAL_FILE_BYTES + (64 << 20);
const WAL_FILE_BYTES: u64 = 128 << 20;
const WAL_FIRST_FILE_BYTES: u64 = 4 << 20;
/// How long a stop waits for its checkpoint.
const LAST_CHECKPOINT: Duration = Duration::from_secs(30);
/// This node's id in its groups. A single node is always the first one.
pub const NODE_ID: u64 = 1;

/// Where and how the groups keep their log.
pub struct GroupsConfig {
    /// The node's disk.
    pub disk: Arc<dyn Disk>,
    /// The data directory; `wal`, `checkpoint` and `shards` are below it.
    pub directory: PathBuf,
    /// When an acknowledged record is on disk.
    pub durability: Durability,
}

/// Why the groups cannot start or stop. The message says what an operator can do.
#[derive(Debug, thiserror::Error)]
pub enum GroupError {
    /// The write-ahead log cannot be recovered.
    #[error(transparent)]
    Wal(#[from] WalError),
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

/// The node's seven groups.
pub struct Groups {
    rafts: Vec<Raft<TypeConfig, Machine>>,
    batchers: Vec<Batcher>,
    catalog: watch::Receiver<Arc<Catalog>>,
    store: Arc<ShardStore>,
    news: Arc<News>,
    wal: WalHandle,
    reader: WalReader,
    flush: FlushHandle,
    config: GroupsConfig,
    in_flight: Arc<Semaphore>,
    /// Where each group's newest checkpoint ends.
    checkpointed: tokio::sync::Mutex<Vec<Option<u64>>>,
}

/// The threads under the groups, to be joined after [`Groups::shutdown`].
pub struct GroupThreads {
    wal: WalThreads,
    flush: JoinHandle<()>,
}

impl GroupThreads {
    /// Waits until everything queued is written and the threads have ended. Blocks.
    pub fn join(self) {
        self.flush.join().expect("the flush thread panicked");
        self.wal.join();
    }
}

impl Groups {
    /// Recovers what the directory holds and starts the groups. Returns when every group has applied what was
    /// acknowledged before.
    pub async fn start(config: GroupsConfig) -> Result<(Self, GroupThreads), GroupError> {
        let disk = config.disk.clone();
        let directory = config.directory.clone();
        let options = WalOptions {
            file_bytes: WAL_FILE_BYTES,
            first_file_bytes: WAL_FIRST_FILE_BYTES,
            sync_every_commit: config.durability == Durability::Fsync,
        };
        let checkpoint_directory = directory.join("checkpoint");
        for path in [directory.join("wal"), checkpoint_directory.clone(), directory.join("shards")] {
            disk.create_dir_all(&path)?;
        }
        let (wal, reader, recovery) = Wal::open(disk.clone(), &directory.join("wal"), options)?;
        if let Some(torn) = &recovery.torn_tail {
            tracing::warn!(?torn, "cut the torn tail of the write-ahead log: none of it was acknowledged");
        }
        let loaded = checkpoint::load(&*disk, &checkpoint_directory)?;
        let (last_sequence, saved) = match loaded {
            None => (0, Vec::new()),
            Some(loaded) => {
                if let Some(damaged) = &loaded.damaged_newer {
                    tracing::error!(
                        ?damaged,
                        "the newest checkpoint is damaged; starting from the one before it"
                    );
                }
                if let Some(damaged) = &loaded.damaged_newer {
                    // Set aside, so that it does not count as one of the two that are kept.
                    disk.rename(&damaged.path, &damaged.path.with_extension("damaged"))?;
                }
                let newest =
                    loaded.damaged_newer.map_or(loaded.checkpoint.sequence, |damaged| damaged.sequence);
                (newest, loaded.checkpoint.groups)
            }
        };
        check_log_reaches_back(&reader, &saved)?;
        let shards = saved.iter().flat_map(|group| group.shards.iter().cloned()).collect();
        let store =
            ShardStore::open(disk.clone(), directory.join("shards"), StoreOptions::default(), shards)?;
        let (wal, wal_threads) = WalHandle::start(wal, config.durability)?;
        let flush_config = FlushConfig {
            disk,
            directory: checkpoint_directory,
            last_sequence,
            wal: wal.clone(),
            groups: GROUPS,
        };
        let (flush, flush_thread) = FlushHandle::start(store.clone(), flush_config)?;

        let applied_index = |group: u8| {
            let saved = saved.iter().find(|saved| saved.group == group)?;
            saved.applied.map(|(_, index)| index)
        };
        let checkpointed = (0..GROUPS as u8).map(applied_index).collect();
        let (published, catalog) = watch::channel(Arc::new(Catalog::default()));
        let news = Arc::new(News::default());
        let mut rafts = Vec::with_capacity(GROUPS);
        for group in 0..GROUPS as u8 {
            let state = if group == META_GROUP {
                GroupState::Meta { state: MetaState::default(), published: published.clone() }
            } else {
                GroupState::Data {
                    store: store.clone(),
                    shards: BTreeMap::new(),
                    sealed: BTreeSet::new(),
                    news: news.clone(),
                }
            };
            let log = LogStore::new(group, wal.clone(), reader.clone());
            let saved = saved.iter().find(|saved| saved.group == group);
            let machine = Machine::restore(group, state, saved, log.clone(), flush.clone())
                .map_err(GroupError::State)?;
            rafts.push(start_raft(group, log, machine).await?);
        }
        futures_util::future::try_join_all(
            rafts.iter().enumerate().map(|(group, raft)| ready(group as u8, raft)),
        )
        .await?;
        let batchers = rafts.iter().map(|raft| Batcher::start(raft.clone(), flush.clone())).collect();
        let groups = Self {
            rafts,
            batchers,
            catalog,
            store,
            news,
            wal,
            reader,
            flush,
            config,
            in_flight: Arc::new(Semaphore::new(BYTES_IN_FLIGHT_MAX)),
            checkpointed: tokio::sync::Mutex::new(checkpointed),
        };
        Ok((groups, GroupThreads { wal: wal_threads, flush: flush_thread }))
    }

    /// The newest applied catalog.
    pub fn catalog(&self) -> Arc<Catalog> {
        self.catalog.borrow().clone()
    }

    /// Follows the catalog.
    pub fn watch_catalog(&self) -> watch::Receiver<Arc<Catalog>> {
        self.catalog.clone()
    }

    /// The applied log of a shard on this node.
    pub fn shard(&self, key: ShardKey) -> Option<Arc<ShardLog>> {
        self.store.get(key)
    }

    /// Hears of records that are applied to a shard on this node.
    pub fn listen(&self, key: ShardKey) -> Listener {
        self.news.listen(key)
    }

    /// Proposes a metadata command; returns what applying it made of it.
    pub async fn propose_meta(
        &self,
        now_ms: u64,
        command: stored::meta_command::Command,
    ) -> Result<MetaOutcome, ProposeError> {
        let command = stored::MetaCommand { now_ms, command: Some(command) };
        match self.propose(META_GROUP, Command::Meta(Arc::new(command))).await? {
            Outcome::Meta(outcome) => Ok(outcome),
            other => panic!("a metadata command was answered with {other:?}"),
        }
    }

    /// Proposes a control command to a data group; returns what applying it made of it.
    pub async fn propose_data(
        &self,
        group: u8,
        command: stored::data_command::Command,
    ) -> Result<Outcome, ProposeError> {
        assert_ne!(group, META_GROUP, "a data command for the metadata group");
        let command = stored::DataCommand { command: Some(command) };
        self.propose(group, Command::Data(Arc::new(command))).await
    }

    async fn propose(&self, group: u8, command: Command) -> Result<Outcome, ProposeError> {
        match self.rafts[usize::from(group)].client_write(command).await {
            Ok(response) => Ok(response.data),
            Err(RaftError::APIError(error)) => Err(propose_error(&error)),
            Err(RaftError::Fatal(_)) => Err(ProposeError::Unknown),
        }
    }

    /// Queues sub-batches for a data group. The receiver gets one outcome per sub-batch; a closed channel is an
    /// unknown outcome. Waits while the node has [`BYTES_IN_FLIGHT_MAX`] under way.
    pub async fn append(&self, group: u8, batches: Vec<SubBatch>) -> oneshot::Receiver<PartAnswer> {
        assert_ne!(group, META_GROUP, "records for the metadata group");
        let bytes = batches.iter().map(|batch| batch.body.len()).sum::<usize>().min(BYTES_IN_FLIGHT_MAX);
        let share = self.in_flight.clone().acquire_many_owned(bytes as u32).await;
        let (answer, outcome) = oneshot::channel();
        let part = Part { batches, share: share.expect("the semaphore is never closed"), answer };
        self.batchers[usize::from(group)].enqueue(part).await;
        outcome
    }

    /// Why puts have to be refused right now, if they have to: no space on the disk, or a log that has outgrown
    /// its bound because checkpoints cannot keep up.
    pub fn refusal(&self) -> Option<&'static str> {
        if self.wal.disk_full() || self.flush.disk_full() {
            return Some("the disk is full");
        }
        (self.reader.live_bytes() > WAL_LIVE_BYTES_MAX).then_some("the write-ahead log is at its bound")
    }

    /// Whether the disk still has more free than what is reserved for the broker's own survival. Asks the disk.
    pub fn has_space(&self) -> bool {
        match self.config.disk.free_bytes(&self.config.directory) {
            Ok(free) => free > RESERVED_BYTES,
            Err(error) => {
                tracing::warn!(%error, "cannot ask how much space is free");
                true
            }
        }
    }

    /// Bytes written to the log since the process started.
    pub fn wal_written_bytes(&self) -> u64 {
        self.wal.written_bytes()
    }

    /// Makes a checkpoint of all groups durable and purges the log up to the one before. One at a time.
    pub async fn checkpoint(&self) -> Result<(), GroupError> {
        let mut checkpointed = self.checkpointed.lock().await;
        *checkpointed = checkpointer::checkpoint(&self.rafts, &self.flush, &checkpointed).await?;
        Ok(())
    }

    /// Checkpoints and stops the groups. What was acknowledged is durable either way; this makes the next start
    /// quick. Afterwards drop the groups and join their threads.
    pub async fn shutdown(&self) -> Result<(), GroupError> {
        self.wal.hurry();
        self.flush.hurry();
        let checkpointed = match tokio::time::timeout(LAST_CHECKPOINT, self.checkpoint()).await {
            Ok(checkpointed) => checkpointed,
            Err(_) => {
                Err(GroupError::State("no time for a checkpoint; the next start replays the log".into()))
            }
        };
        for (group, raft) in self.rafts.iter().enumerate() {
            if let Err(error) = raft.shutdown().await {
                tracing::warn!(group, %error, "replication did not end by itself");
            }
        }
        self.flush.stop();
        checkpointed
    }
}

pub fn raft_error(group: u8, error: &dyn std::fmt::Display) -> GroupError {
    GroupError::Raft { group, reason: error.to_string() }
}

/// A checkpoint is of use only if the log goes on where it ends.
fn check_log_reaches_back(reader: &WalReader, saved: &[GroupCheckpoint]) -> Result<(), GroupError> {
    for group in 0..GROUPS as u8 {
        let purged = reader.state(group).purged;
        let applied = saved.iter().find(|saved| saved.group == group).and_then(|saved| saved.applied);
        let applied = applied.map(|(term, index)| LogPosition { term, index });
        if purged.map(|at| at.index) > applied.map(|at| at.index) {
            return Err(GroupError::State(format!(
                "group {group}: the log begins after {purged:?}, but the newest checkpoint that can be read ends at \
                 {applied:?}. Records between them would be missing: restore the checkpoint directory from a copy"
            )));
        }
    }
    Ok(())
}

/// Sub-batch bodies larger than this are never proposed; the limits of a request keep well below.
const _: () = assert!(BYTES_IN_FLIGHT_MAX < u32::MAX as usize);

impl SubBatch {
    /// A sub-batch over an encoded body, with its checksum.
    pub fn new(shard: ShardKey, time_ms: u64, count: u32, body: bytes::Bytes) -> Self {
        let body_crc = crc32fast::hash(&body);
        Self { shard, time_ms, count, body, body_crc }
    }
}
