//! The node's groups: their applied state, and a handle for each use that callers make of them.

use std::sync::Arc;
use std::time::Duration;

use futures_util::future::try_join_all;
use tidelog_storage::shard::{ShardKey, ShardLog, ShardStore};
use tokio::sync::watch;

use super::appends::Appends;
use super::catch_up::CatchUp;
use super::catch_up::repair::Repairs;
use super::checkpoints::Checkpoints;
use super::data::notifications::{Listener, ManyListener, Notifications};
use super::error::ReplicationError;
use super::leadership::leaders::Leadership;
use super::leadership::membership::Membership;
use super::life::LifeKeeper;
use super::peer_calls::PeerCalls;
use super::proposals::Proposals;
use super::raft::Rafts;
use super::raft::start::ready;
use super::sizes::Sizes;
use super::workers::node_disk::NodeDisk;
use super::workers::wal_worker::WalWorkers;
use crate::clock::ClusterClock;
use crate::cluster::peers::Peers;
use crate::model::consumer_group::ConsumerGroups;
use crate::model::stream::Catalog;
use crate::shell::{Shell, Worker};

/// How long a stop waits for its checkpoint: the log has all of it as well.
const LAST_CHECKPOINT: Duration = Duration::from_secs(3);

/// The parts that the start makes the groups of.
pub(super) struct Parts {
    pub rafts: Rafts,
    pub store: Arc<ShardStore>,
    pub notifications: Arc<Notifications>,
    pub catalog: watch::Receiver<Arc<Catalog>>,
    pub consumer_groups: watch::Receiver<Arc<ConsumerGroups>>,
    pub peers: Arc<Peers>,
    pub clock: Arc<ClusterClock>,
    pub shell: Shell,
    pub sizes: Sizes,
    pub appends: Arc<Appends>,
    pub leadership: Arc<Leadership>,
    pub membership: Arc<Membership>,
    pub proposals: Arc<Proposals>,
    pub checkpoints: Checkpoints,
    pub disk: Arc<NodeDisk>,
    pub catch_up: Arc<CatchUp>,
    pub repairs: Arc<Repairs>,
    pub peer_calls: Arc<PeerCalls>,
    pub life: LifeKeeper,
}

/// The node's seven groups.
pub struct Groups(Parts);

/// The threads under the groups, to be joined after [`Groups::shutdown`].
pub struct GroupThreads {
    wal: WalWorkers,
    flush: Worker,
}

impl GroupThreads {
    pub(super) fn new(wal: WalWorkers, flush: Worker) -> Self {
        Self { wal, flush }
    }

    /// Waits until everything queued is written and the workers have ended.
    pub async fn join(self) {
        self.flush.join().await;
        self.wal.join().await;
    }
}

/// Handles, each for one thing that callers do with the groups.
impl Groups {
    pub(super) fn new(parts: Parts) -> Self {
        Self(parts)
    }

    /// Records go into the logs of the groups that are led here.
    pub fn appends(&self) -> &Appends {
        &self.0.appends
    }

    /// Commands go to the leaders of their groups.
    pub fn proposals(&self) -> &Proposals {
        &self.0.proposals
    }

    /// The leaders of the groups, and handing groups over.
    pub fn leadership(&self) -> &Arc<Leadership> {
        &self.0.leadership
    }

    /// The members of the groups.
    pub fn membership(&self) -> &Arc<Membership> {
        &self.0.membership
    }

    /// Checkpoints of all groups.
    pub fn checkpoints(&self) -> &Checkpoints {
        &self.0.checkpoints
    }

    /// The node's disk.
    pub fn disk(&self) -> &NodeDisk {
        &self.0.disk
    }

    /// Damaged segments and their repair.
    pub fn repairs(&self) -> &Arc<Repairs> {
        &self.0.repairs
    }

    /// Transfers of files between nodes.
    pub fn catch_up(&self) -> &Arc<CatchUp> {
        &self.0.catch_up
    }

    /// This node's life in the cluster.
    pub fn life(&self) -> &LifeKeeper {
        &self.0.life
    }

    /// Calls of peers.
    pub fn peer_calls(&self) -> &Arc<PeerCalls> {
        &self.0.peer_calls
    }
}

/// The applied state of the node, its peers and its clock.
impl Groups {
    /// This node's id.
    pub fn node(&self) -> u64 {
        self.0.peers.node()
    }

    /// The other nodes.
    pub fn peers(&self) -> &Arc<Peers> {
        &self.0.peers
    }

    /// Whether other nodes have copies of this node's data.
    pub fn has_peers(&self) -> bool {
        self.0.peers.are_there()
    }

    /// The clock that the node goes by.
    pub fn clock(&self) -> &Arc<ClusterClock> {
        &self.0.clock
    }

    /// The newest arrival time of any record on this node, 0 for none.
    pub fn newest_time_ms(&self) -> u64 {
        self.0.store.newest_time_ms()
    }

    /// The shell that the node's workers run in.
    pub fn shell(&self) -> &Shell {
        &self.0.shell
    }

    /// The newest applied catalog.
    pub fn catalog(&self) -> Arc<Catalog> {
        self.0.catalog.borrow().clone()
    }

    /// Follows the catalog.
    pub fn watch_catalog(&self) -> watch::Receiver<Arc<Catalog>> {
        self.0.catalog.clone()
    }

    /// The newest applied consumer groups.
    pub fn consumer_groups(&self) -> Arc<ConsumerGroups> {
        self.0.consumer_groups.borrow().clone()
    }

    /// The applied log of a shard on this node.
    pub fn shard(&self, key: ShardKey) -> Option<Arc<ShardLog>> {
        self.0.store.get(key)
    }

    /// Hears of records that are applied to a shard on this node.
    pub fn listen(&self, key: ShardKey) -> Listener {
        self.0.notifications.listen(key)
    }

    /// Hears of records that are applied to any of many shards on this node.
    pub fn listen_to_many(&self) -> ManyListener {
        self.0.notifications.listen_to_many()
    }

    /// Sizes of files, and the bounds of memory that go with them.
    pub fn sizes(&self) -> &Sizes {
        &self.0.sizes
    }
}

/// From the start of the groups to their end.
impl Groups {
    /// Returns when every group has applied the entries that were acknowledged before, or when that takes longer
    /// than `deadline` because too few peers are there: applied records can be read all the same. True for the
    /// former.
    ///
    /// # Errors
    /// When a group has ended.
    pub async fn ready(&self, deadline: Option<Duration>) -> Result<bool, ReplicationError> {
        let coming = self.0.rafts.iter().map(|(group, raft)| ready(group, raft, deadline));
        Ok(try_join_all(coming).await?.into_iter().all(|is_ready| is_ready))
    }

    /// Checkpoints and stops the groups. Acknowledged records are durable either way; the checkpoint makes the next
    /// start quick. Afterwards drop the groups and join their threads.
    ///
    /// # Errors
    /// [`ReplicationError`] when the last checkpoint has failed.
    pub async fn shutdown(&self) -> Result<(), ReplicationError> {
        self.disk().hurry();
        let checkpointing = self.checkpoints().make();
        let checkpointed = match tokio::time::timeout(LAST_CHECKPOINT, checkpointing).await {
            Ok(checkpointed) => checkpointed,
            Err(_) => {
                tracing::warn!("stop: giving up the last checkpoint; the next start replays the log instead");
                Ok(())
            }
        };
        for (group, raft) in self.0.rafts.iter() {
            if let Err(error) = raft.shutdown().await {
                tracing::warn!(group, %error, "stop: a group did not shut down cleanly; stopping all the same");
            }
        }
        // Nothing is waited for that needs them: a running task would delay the threads' end.
        self.leadership().end();
        self.disk().stop_flushing().await;
        checkpointed
    }
}
