//! Starting the groups on what was recovered and opened: the threads run, and every group comes up.

use std::sync::Arc;
use std::time::Duration;

use futures_util::future::try_join_all;
use tidelog_storage::wal::GROUPS;
use tokio::sync::{Semaphore, watch};

use super::META_GROUP;
use super::batcher::Batcher;
use super::catch_up::CatchUp;
use super::flush_thread::{FlushConfig, FlushHandle};
use super::group_state::GroupState;
use super::groups::{GroupError, GroupThreads, Groups, GroupsConfig, RaftOf};
use super::held::Held;
use super::kept::SetAside;
use super::leaders::{Leader, follow};
use super::log_bound::LogBound;
use super::log_store::{LogStore, RecentBytes};
use super::machine::Machine;
use super::meta_state::MetaState;
use super::network::GroupNetwork;
use super::news::News;
use super::positions::Positions;
use super::promises::Promises;
use super::published::Published;
use super::raft_start::{found, ready, start_raft};
use super::recovered::{CHECKPOINTS, Opened};
use super::wal_thread::WalHandle;
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

        let in_flight_bytes_max = config.sizes.in_flight_bytes_max;
        let set_aside = SetAside::new(&reader);
        let applied_index = |group: u8| {
            let saved = saved.iter().find(|saved| saved.group == group)?;
            saved.applied.map(|(_, index)| index)
        };
        let checkpointed: Vec<_> = (0..GROUPS as u8).map(applied_index).collect();
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
        let recent_bytes = RecentBytes::default();
        for group in 0..GROUPS as u8 {
            let state = if group == META_GROUP {
                GroupState::Meta { state: MetaState::default(), published: published.clone() }
            } else {
                GroupState::data(store.clone(), news.clone())
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
                held: held.clone(),
                positions: positions.clone(),
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
        if let Some(founding) = founding {
            found(&rafts, founding).await?;
        }
        let shell = config.shell.clone();
        let log_bound = Arc::new(LogBound::new(reader.clone(), peers.clone(), &config.sizes));
        let batcher =
            |(group, raft): (usize, &RaftOf)| Batcher::start(group, raft, &flush, &log_bound, &shell);
        let batchers = rafts.iter().enumerate().map(batcher).collect();
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
            log_bound,
            flush,
            config,
            catch_up: CatchUp::new(peers.clone(), shell),
            peers,
            leaders,
            reluctance: watch::Sender::default(),
            over: watch::Sender::default(),
            in_flight: Arc::new(Semaphore::new(in_flight_bytes_max)),
            checkpointed: checkpointed.into(),
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
