//! The start of the groups on the recovered log and the opened shards: the threads run, and every group comes up.

use std::sync::Arc;

use tidelog_storage::checkpoint::GroupCheckpoint;
use tidelog_storage::shard::ShardStore;
use tidelog_storage::wal::{GROUPS, WalReader};
use tokio::sync::watch;

use super::appends::Appends;
use super::catch_up::CatchUp;
use super::catch_up::pull::Puller;
use super::catch_up::repair::Repairs;
use super::checkpoints::{self, CHECKPOINTS, Checkpoints, SetAside};
use super::config::GroupsConfig;
use super::data::notifications::Notifications;
use super::data::state::DataState;
use super::error::ReplicationError;
use super::groups::{GroupThreads, Groups, Parts};
use super::leadership::leaders::{Leaders, Leadership, follow, unknown};
use super::leadership::membership::Membership;
use super::life::LifeKeeper;
use super::metadata::META_GROUP;
use super::metadata::published::Published;
use super::metadata::state::MetaState;
use super::peer_calls::PeerCalls;
use super::proposals::Proposals;
use super::raft::Rafts;
use super::raft::group_state::GroupState;
use super::raft::log_store::{LogStore, RecentBytes};
use super::raft::machine::Machine;
use super::raft::network::GroupNetwork;
use super::raft::progress::ReplicationProgress;
use super::raft::promises::Promises;
use super::raft::replicated::Replicated;
use super::raft::start::{found, start_raft};
use super::recovery::recovered::Opened;
use super::workers::flush_worker::{FlushConfig, FlushHandle};
use super::workers::log_bound::LogBound;
use super::workers::node_disk::NodeDisk;
use super::workers::wal_worker::WalHandle;
use crate::cluster::forming::Founding;

/// Files of trimmed records are kept while so many times the reserve is free.
const HOLD_RESERVES: u64 = 3;

/// State that the groups share from their start on, beside the log and the store.
struct Shared {
    published: Published,
    notifications: Arc<Notifications>,
    replicated: Arc<Replicated>,
    progress: Arc<ReplicationProgress>,
}

impl Groups {
    /// Starts the groups on the opened log and shards: they vote and take entries from then on. `founding` is asked
    /// for the first members when the groups have none yet; without it they wait for a leader that takes them in.
    ///
    /// # Errors
    /// [`ReplicationError`], whose message says what an operator can do.
    pub async fn start(
        config: GroupsConfig,
        opened: Opened,
        founding: Option<Founding>,
    ) -> Result<(Arc<Self>, GroupThreads), ReplicationError> {
        let Opened { wal, reader, store, saved, last_sequence } = opened;
        let peers = config.peers.clone();
        let (wal, wal_workers) = WalHandle::start(wal, config.durability, &config.shell)?;
        let flush_config = flush_config(&config, &wal, last_sequence);
        let (flush, flush_worker) = FlushHandle::start(store.clone(), flush_config)?;
        let applied_index = |group: u8| {
            let saved = saved.iter().find(|saved| saved.group == group)?;
            saved.applied.map(|(_, index)| index)
        };
        let checkpointed: Vec<_> = (0..GROUPS as u8).map(applied_index).collect();
        let set_aside = SetAside::new(&reader);
        let shared = Shared {
            published: Published::default(),
            notifications: Arc::default(),
            replicated: Arc::default(),
            progress: Arc::default(),
        };
        let catalog = shared.published.catalog.subscribe();
        let consumer_groups = shared.published.consumer_groups.subscribe();
        let restored = restore(&config, &shared, (&wal, &reader, &flush), &store, &saved)?;
        // Callers are judged by them from the first call on.
        peers.keep_lives(catalog.borrow().lives.clone());
        let leaders = unknown();
        let (rafts, promises) = start_rafts(&config, restored, &leaders).await?;
        let Shared { notifications, replicated, progress, .. } = shared;
        if let Some(founding) = founding {
            found(&rafts, founding).await?;
        }
        let shell = config.shell.clone();
        let log_bound = Arc::new(LogBound::new(reader.clone(), peers.clone(), &config.sizes));
        let in_flight_bytes_max = config.sizes.in_flight_bytes_max;
        let appends = Arc::new(Appends::start(&rafts, &flush, &log_bound, &shell, in_flight_bytes_max));
        let disk = Arc::new(NodeDisk::new(
            (config.disk.clone(), config.directory.clone()),
            config.sizes.reserved_bytes,
            (wal, reader),
            flush.clone(),
            log_bound,
        ));
        let leadership = Arc::new(Leadership::new(
            (rafts.clone(), leaders),
            peers.clone(),
            appends.clone(),
            disk.clone(),
            (progress, promises[usize::from(META_GROUP)].clone()),
        ));
        let membership = Arc::new(Membership::new(rafts.clone(), peers.clone(), leadership.clone()));
        let proposals = Arc::new(Proposals::new(
            (rafts.clone(), leadership.clone()),
            peers.clone(),
            catalog.clone(),
            (config.metadata_bounds, config.quotas),
        ));
        let checkpoint_parts = checkpoints::Parts {
            rafts: rafts.clone(),
            store: store.clone(),
            flush: flush.clone(),
            node_disk: disk.clone(),
            peers: peers.clone(),
            replicated: replicated.clone(),
            catalog: catalog.clone(),
            disk: config.disk.clone(),
            directory: config.directory.clone(),
            shell: shell.clone(),
        };
        let puller = Arc::new(Puller::new(peers.clone(), shell.clone()));
        let groups = Self::new(Parts {
            checkpoints: Checkpoints::new(checkpoint_parts, set_aside, checkpointed),
            catch_up: Arc::new(CatchUp::new(
                rafts.clone(),
                puller.clone(),
                store.clone(),
                flush,
                shell.clone(),
            )),
            repairs: Arc::new(Repairs::new(puller, store.clone(), config.sizes.repair_pace)),
            life: LifeKeeper::new(
                (config.disk, config.directory),
                peers.clone(),
                catalog.clone(),
                proposals.clone(),
                shell.clone(),
            ),
            peer_calls: Arc::new(PeerCalls {
                rafts: rafts.clone(),
                promises,
                replicated,
                peers: peers.clone(),
                clock: config.clock.clone(),
                leadership: leadership.clone(),
                membership: membership.clone(),
                proposals: proposals.clone(),
            }),
            clock: config.clock,
            sizes: config.sizes,
            rafts,
            store,
            notifications,
            catalog,
            consumer_groups,
            peers,
            shell,
            appends,
            leadership,
            membership,
            proposals,
            disk,
        });
        Ok((Arc::new(groups), GroupThreads::new(wal_workers, flush_worker)))
    }
}

fn flush_config(config: &GroupsConfig, wal: &WalHandle, last_sequence: u64) -> FlushConfig {
    FlushConfig {
        unflushed_bytes_max: config.sizes.unflushed_bytes_max,
        flush_from_bytes: config.sizes.flush_from_bytes(),
        disk: config.disk.clone(),
        directory: config.directory.join(CHECKPOINTS),
        last_sequence,
        wal: wal.clone(),
        groups: GROUPS,
        shell: config.shell.clone(),
        clock: config.clock.clone(),
        hold_free_bytes: config.sizes.reserved_bytes.saturating_mul(HOLD_RESERVES),
    }
}

/// A group before its Raft runs.
type Restored = (GroupNetwork, LogStore, Machine);

/// Restores every group from its checkpoint. All are restored before any runs: the end of a stream that one group
/// applies again takes all the stream's shards out of the store, those too that another group would still look for.
fn restore(
    config: &GroupsConfig,
    shared: &Shared,
    (wal, reader, flush): (&WalHandle, &WalReader, &FlushHandle),
    store: &Arc<ShardStore>,
    saved: &[GroupCheckpoint],
) -> Result<Vec<Restored>, ReplicationError> {
    let recent_bytes = RecentBytes::default();
    let restore = |group: u8| {
        let state = if group == META_GROUP {
            GroupState::Meta { state: MetaState::default(), published: shared.published.clone() }
        } else {
            GroupState::Data(DataState::new(store.clone(), shared.notifications.clone()))
        };
        let (wal, reader, shell) = (wal.clone(), reader.clone(), config.shell.clone());
        let log = LogStore::new(group, wal, reader, shell, recent_bytes.clone());
        let saved = saved.iter().find(|saved| saved.group == group);
        let machine = Machine::restore(group, state, saved, log.clone(), flush.clone());
        let network = GroupNetwork {
            group,
            peers: config.peers.clone(),
            store: store.clone(),
            replicated: shared.replicated.clone(),
            progress: shared.progress.clone(),
            clock: config.clock.clone(),
        };
        Ok((network, log, machine.map_err(ReplicationError::State)?))
    };
    (0..GROUPS as u8).map(restore).collect()
}

/// Runs every group's Raft, and follows its leader.
async fn start_rafts(
    config: &GroupsConfig,
    restored: Vec<Restored>,
    leaders: &watch::Sender<Leaders>,
) -> Result<(Rafts, Vec<Arc<Promises>>), ReplicationError> {
    let (peers, shell) = (&config.peers, &config.shell);
    let mut rafts = Vec::with_capacity(GROUPS);
    let mut promises = Vec::with_capacity(GROUPS);
    for (network, log, machine) in restored {
        let group = network.group;
        let (disk, directory) = (config.disk.clone(), config.directory.clone());
        promises.push(Arc::new(Promises::new(peers.node(), log.clone(), shell.clone(), disk, directory)));
        let raft = start_raft(network, log, machine, shell.clone()).await?;
        follow(group, &raft, leaders, peers, shell);
        rafts.push(raft);
    }
    Ok((Rafts::new(rafts), promises))
}
