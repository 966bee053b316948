//! Starting the groups on what was recovered and opened: the threads run, and every group comes up.

use std::sync::Arc;

use tidelog_storage::wal::GROUPS;

use super::appends::Appends;
use super::catch_up::CatchUp;
use super::catch_up::pull::Puller;
use super::catch_up::repair::Repairs;
use super::checkpoints::{self, CHECKPOINTS, Checkpoints, SetAside};
use super::config::GroupsConfig;
use super::data::notifications::Notifications;
use super::data::state::DataState;
use super::error::GroupError;
use super::groups::{GroupThreads, Groups, Parts};
use super::leadership::leaders::{Leadership, follow, unknown};
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
use super::workers::flush_thread::{FlushConfig, FlushHandle};
use super::workers::log_bound::LogBound;
use super::workers::node_disk::NodeDisk;
use super::workers::wal_thread::WalHandle;
use crate::cluster::forming::Founding;

/// Files of trimmed records are held back while so many times the reserve is free.
const HOLD_RESERVES: u64 = 3;

impl Groups {
    /// Starts the groups on what was opened: they vote and take entries from then on. `founding` is asked for the first
    /// members when the groups have none yet; without it they wait for a leader that takes them in.
    ///
    /// # Errors
    /// [`GroupError`], whose message says what an operator can do.
    pub async fn start(
        config: GroupsConfig,
        opened: Opened,
        founding: Option<Founding>,
    ) -> Result<(Arc<Self>, GroupThreads), GroupError> {
        let Opened { wal, reader, store, saved, last_sequence } = opened;
        let (disk, directory, peers) = (config.disk.clone(), config.directory.clone(), config.peers.clone());
        let (wal, wal_threads) = WalHandle::start(wal, config.durability, &config.shell)?;
        let flush_config = FlushConfig {
            unflushed_bytes_max: config.sizes.unflushed_bytes_max,
            disk,
            directory: directory.join(CHECKPOINTS),
            last_sequence,
            wal: wal.clone(),
            groups: GROUPS,
            shell: config.shell.clone(),
            clock: config.clock.clone(),
            hold_free_bytes: config.sizes.reserved_bytes.saturating_mul(HOLD_RESERVES),
        };
        let (flush, flush_thread) = FlushHandle::start(store.clone(), flush_config)?;

        let applied_index = |group: u8| {
            let saved = saved.iter().find(|saved| saved.group == group)?;
            saved.applied.map(|(_, index)| index)
        };
        let checkpointed: Vec<_> = (0..GROUPS as u8).map(applied_index).collect();
        let set_aside = SetAside::new(&reader);
        let published = Published::default();
        let catalog = published.catalog.subscribe();
        let consumer_groups = published.consumer_groups.subscribe();
        let notifications = Arc::new(Notifications::default());
        let replicated = Arc::new(Replicated::default());
        let progress = Arc::new(ReplicationProgress::default());
        let leaders = unknown();
        // All are restored before any runs: the end of a stream that one group applies again takes all the stream's
        // shards out of the store, those too that another group would still look for.
        let mut restored = Vec::with_capacity(GROUPS);
        let recent_bytes = RecentBytes::default();
        for group in 0..GROUPS as u8 {
            let state = if group == META_GROUP {
                GroupState::Meta { state: MetaState::default(), published: published.clone() }
            } else {
                GroupState::Data(DataState::new(store.clone(), notifications.clone()))
            };
            let log =
                LogStore::new(group, wal.clone(), reader.clone(), config.shell.clone(), recent_bytes.clone());
            let saved = saved.iter().find(|saved| saved.group == group);
            let machine = Machine::restore(group, state, saved, log.clone(), flush.clone())
                .map_err(GroupError::State)?;
            let network = GroupNetwork {
                group,
                peers: peers.clone(),
                store: store.clone(),
                replicated: replicated.clone(),
                progress: progress.clone(),
                clock: config.clock.clone(),
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
            follow(group, &raft, &leaders, &peers, &config.shell);
            rafts.push(raft);
        }
        let rafts = Rafts::new(rafts);
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
            repairs: Arc::new(Repairs::new(puller, store.clone(), config.sizes.whole_pace)),
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
        Ok((Arc::new(groups), GroupThreads::new(wal_threads, flush_thread)))
    }
}
