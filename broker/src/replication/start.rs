//! Starting the groups: what the directory holds is recovered, the threads run, and every group comes up.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use futures_util::future::{BoxFuture, try_join_all};
use tidelog_storage::checkpoint::{self, GroupCheckpoint};
use tidelog_storage::shard::{ShardCheckpoint, ShardStore, StoreOptions};
use tidelog_storage::wal::{GROUPS, LogPosition, Wal, WalOptions, WalReader};
use tokio::sync::{Semaphore, watch};

use super::META_GROUP;
use super::batcher::Batcher;
use super::catch_up::{CatchUp, Puller, repair_open_segments};
use super::flush_thread::{FlushConfig, FlushHandle};
use super::group_state::GroupState;
use super::groups::{BYTES_IN_FLIGHT_MAX, GroupError, GroupThreads, Groups, GroupsConfig};
use super::held::Held;
use super::kept::SetAside;
use super::leaders::{Leader, follow};
use super::log_store::LogStore;
use super::machine::Machine;
use super::meta_state::MetaState;
use super::network::GroupNetwork;
use super::news::News;
use super::positions::Positions;
use super::promises::Promises;
use super::published::Published;
use super::raft_start::{found, ready, start_raft};
use super::wal_thread::{Durability, WalHandle};
use crate::peers::Member;

/// Finds out who the first members of a cluster are.
pub type Founding = BoxFuture<'static, BTreeMap<u64, Member>>;

impl Groups {
    /// Recovers what the directory holds and starts the groups: they vote and take entries from then on. `founding` is
    /// asked for the first members when the groups have none yet; without it they wait for a leader that takes them in.
    ///
    /// # Errors
    /// [`GroupError`], whose message says what an operator can do.
    pub async fn start(
        config: GroupsConfig,
        founding: Option<Founding>,
    ) -> Result<(Arc<Self>, GroupThreads), GroupError> {
        let disk = config.disk.clone();
        let directory = config.directory.clone();
        let options = WalOptions {
            file_bytes: config.sizes.wal_file_bytes,
            first_file_bytes: config.sizes.wal_first_file_bytes,
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
        let shards: Vec<ShardCheckpoint> =
            saved.iter().flat_map(|group| group.shards.iter().cloned()).collect();
        let shards_dir = directory.join("shards");
        let peers = config.peers.clone();
        let is_repairable = peers.are_there();
        if is_repairable {
            let puller = Puller::new(peers.clone(), config.shell.clone());
            repair_open_segments(&disk, &shards_dir, &shards, &puller, &config.resting).await?;
        }
        let options = StoreOptions { is_repairable, ..config.sizes.store };
        let store = ShardStore::open(disk.clone(), shards_dir, options, shards)?;
        let (wal, wal_threads) = WalHandle::start(wal, config.durability, &config.shell)?;
        let flush_config = FlushConfig {
            disk,
            directory: checkpoint_directory,
            last_sequence,
            wal: wal.clone(),
            groups: GROUPS,
            shell: config.shell.clone(),
        };
        let (flush, flush_thread) = FlushHandle::start(store.clone(), flush_config)?;

        let set_aside = SetAside::new(&reader);
        let applied_index = |group: u8| {
            let saved = saved.iter().find(|saved| saved.group == group)?;
            saved.applied.map(|(_, index)| index)
        };
        let checkpointed = (0..GROUPS as u8).map(applied_index).collect();
        let published = Published::default();
        let catalog = published.catalog.subscribe();
        let consumer_groups = published.consumer_groups.subscribe();
        let news = Arc::new(News::default());
        let held = Arc::new(Held::default());
        let positions = Arc::new(Positions::default());
        let leaders = watch::Sender::new(Arc::new(vec![Leader::Unknown; GROUPS]));
        // All are restored before any runs: the end of a stream that one group applies again takes all the stream's
        // shards out of the store, those too that another group would still look for.
        let mut restored = Vec::with_capacity(GROUPS);
        for group in 0..GROUPS as u8 {
            let state = if group == META_GROUP {
                GroupState::Meta { state: MetaState::default(), published: published.clone() }
            } else {
                GroupState::data(store.clone(), news.clone())
            };
            let log = LogStore::new(group, wal.clone(), reader.clone(), config.shell.clone());
            let saved = saved.iter().find(|saved| saved.group == group);
            let machine = Machine::restore(group, state, saved, log.clone(), flush.clone())
                .map_err(GroupError::State)?;
            let network = GroupNetwork {
                group,
                peers: peers.clone(),
                store: store.clone(),
                held: held.clone(),
                positions: positions.clone(),
            };
            restored.push((network, log, machine));
        }
        // Callers are judged by them from the first call on.
        peers.keep_lives(catalog.borrow().lives.clone());
        let mut rafts = Vec::with_capacity(GROUPS);
        let mut promises = Vec::with_capacity(GROUPS);
        for (network, log, machine) in restored {
            let group = network.group;
            let (disk, directory) = (config.disk.clone(), config.directory.clone());
            promises.push(Arc::new(Promises::new(
                peers.node(),
                log.clone(),
                config.shell.clone(),
                disk,
                directory,
            )));
            let raft = start_raft(network, log, machine, config.shell.clone()).await?;
            follow(group, &raft, &leaders, &peers);
            rafts.push(raft);
        }
        if let Some(founding) = founding {
            found(&rafts, founding).await?;
        }
        let shell = config.shell.clone();
        let batchers = rafts.iter().map(|raft| Batcher::start(raft.clone(), flush.clone())).collect();
        let groups = Arc::new(Self {
            rafts,
            promises,
            batchers,
            catalog,
            consumer_groups,
            store,
            news,
            wal,
            reader,
            flush,
            config,
            catch_up: CatchUp::new(peers.clone(), shell),
            peers,
            leaders,
            reluctance: watch::Sender::default(),
            over: watch::Sender::default(),
            in_flight: Arc::new(Semaphore::new(BYTES_IN_FLIGHT_MAX)),
            checkpointed: tokio::sync::Mutex::new(checkpointed),
            held,
            set_aside,
            positions,
            changing: Arc::new(Semaphore::new(1)),
        });
        Ok((groups, GroupThreads { wal: wal_threads, flush: flush_thread }))
    }

    /// Returns when every group has applied what was acknowledged before, or when that takes longer than `deadline`
    /// because too few peers are there: what is applied can be read all the same. True for the former.
    ///
    /// # Errors
    /// When a group has ended.
    pub async fn ready(&self, deadline: Option<Duration>) -> Result<bool, GroupError> {
        let coming = self.rafts.iter().enumerate().map(|(group, raft)| ready(group as u8, raft, deadline));
        Ok(try_join_all(coming).await?.into_iter().all(|is_ready| is_ready))
    }
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
                 {applied:?}. Records between them would be missing: restore the checkpoint directory from a copy, or, in a cluster, \
                 replace this node by an empty one with `tidelog cluster replace`"
            )));
        }
    }
    Ok(())
}
