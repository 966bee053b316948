//! A node from start to stop: it forms or joins its cluster, recovers its groups and runs its service.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;
use std::{fmt, io};

use tidelog_proto::stored::{MetadataBounds, Quotas};
use tidelog_storage::Disk;
use tokio::sync::watch;

use crate::clock::{Clock, ClusterClock};
use crate::cluster::boot::{self, FORGETFUL};
use crate::cluster::forming::{self, Forming, FormingError, Founding};
use crate::cluster::identity::{self, History, IdentityError};
use crate::cluster::peers::{Dial, Incoming, Peers};
use crate::cluster::port::{ClusterPort, Running};
use crate::cluster::{lives, lost_log};
use crate::limits::{
    ControlLimits, METADATA_BYTES_MAX, SHARDS_PER_CHANGE_MAX, ShardLimits, TAGS_PER_RESOURCE_MAX,
};
use crate::replication::{
    Balance, Durability, GroupThreads, Groups, GroupsConfig, Recovered, ReplicationError, STOPPING,
    SegmentsAtStart, Shell, Sizes,
};
use crate::service::{Pace, Service, ServiceConfig, ServiceError, Transitions};
use crate::shell::{OwnedTask, OwnerGone};
use crate::stage::Stage;

/// How long a start waits for enough peers to apply every entry that was acknowledged before; later it serves the
/// entries that it has applied.
const PEERS_WAIT: Duration = Duration::from_secs(5);
/// How long a start with enough peers waits for their clocks.
const CLOCKS_WAIT: Duration = Duration::from_secs(2);
/// How long one look at the spread of leaders may take before its loop counts as stuck.
const BALANCE_WITHIN: Duration = Duration::from_secs(60);
/// How long the repair or the look at one segment may take.
const FILES_WITHIN: Duration = Duration::from_secs(600);
/// How long a stop tries to hand over the groups that the node leads.
const HANDOVER_DEADLINE: Duration = Duration::from_secs(3);

/// A node as a member of a cluster.
pub struct ClusterNode {
    /// The node's id, from 1.
    pub id: u64,
    /// The nodes of the settings with their addresses, this one among them.
    pub members: BTreeMap<u64, String>,
    /// Opens connections to other nodes.
    pub dial: Dial,
    /// Connections from other nodes.
    pub incoming: Incoming,
}

/// Everything that a node needs for its start.
pub struct NodeConfig {
    /// The disk of the data directory.
    pub disk: Arc<dyn Disk>,
    /// The data directory, which this process has locked.
    pub data_dir: PathBuf,
    /// The cluster that the node belongs to; `None` for a node on its own.
    pub cluster: Option<ClusterNode>,
    /// Limits of every shard.
    pub limits: ShardLimits,
    /// Rates and quotas of the control plane.
    pub control_limits: ControlLimits,
    /// How long changes of streams and consumers take at least.
    pub transitions: Transitions,
    /// Bounds of lease tables; `None` serves none.
    pub lease_tables: Option<tidelog_tables::Bounds>,
    /// How long no lease of a KCL application may have been renewed before it can be changed.
    pub application_quiet: Duration,
    /// When an acknowledged record is on disk.
    pub durability: Durability,
    /// The times of subscriptions.
    pub pace: Pace,
    /// Where the time comes from.
    pub clock: Clock,
    /// Runs the workers, as threads or as tasks of a simulation.
    pub shell: Shell,
    /// Sizes of files, and the bounds that go with them.
    pub sizes: Sizes,
}

/// Why a node cannot start or stop. The message says what an operator can do.
#[derive(Debug, thiserror::Error)]
pub enum NodeError {
    /// The log, the checkpoints or the segments.
    #[error(transparent)]
    Groups(#[from] ReplicationError),
    /// The service above them.
    #[error(transparent)]
    Service(#[from] ServiceError),
    /// The node did not come to its cluster.
    #[error(transparent)]
    Forming(#[from] FormingError),
    /// The directory's identity file.
    #[error(transparent)]
    Identity(#[from] IdentityError),
    /// The record of the machine's last boot.
    #[error("the record of the machine's last boot: {0}")]
    Boot(#[from] io::Error),
    /// The lives of the node.
    #[error("the lives of this node: {0}")]
    Lives(io::Error),
    /// The node may have lost entries that it acknowledged to its peers.
    #[error("{FORGETFUL}")]
    Forgetful,
    /// The node could not notice that it has.
    #[error("{}", boot::UNKNOWN)]
    BootUnknown,
    /// The directory is that of a node of a cluster, and the settings name none.
    #[error(
        "this data directory is that of node {0} of a cluster: start it with --node-id {0} and --cluster"
    )]
    NoPeers(u64),
    /// The node has been found to lack entries that it had acknowledged.
    #[error("{0}")]
    LostLog(String),
}

/// Writes the facts that the next start needs, before the first vote or entry: whether the machine may take commits
/// back, and that there is a log.
fn note_start(
    disk: &dyn Disk,
    directory: &Path,
    durability: Durability,
    is_in_cluster: bool,
) -> Result<(), NodeError> {
    match durability {
        Durability::Fsync => boot::note_safe(disk, directory)?,
        Durability::Interval(_) => boot::note_running(disk, directory, &boot::current())?,
    }
    let begun = History { log_begun: true, in_cluster: is_in_cluster, ..History::default() };
    Ok(identity::note(disk, directory, begun)?)
}

/// Refuses a node whose log has been found to lack entries that it had acknowledged.
fn check_log_kept(disk: &dyn Disk, directory: &Path) -> Result<(), NodeError> {
    match lost_log::noted(disk, directory)? {
        Some(words) => Err(NodeError::LostLog(words)),
        None => Ok(()),
    }
}

/// Refuses a member of a cluster that may have lost acknowledged records by a power loss, or that could not tell.
fn check_boot(
    disk: &dyn Disk,
    directory: &Path,
    durability: Durability,
    (is_in_cluster, was_in_cluster): (bool, bool),
) -> Result<(), NodeError> {
    let boot = boot::current();
    if (is_in_cluster || was_in_cluster) && boot::went_down(disk, directory, &boot)? {
        return Err(NodeError::Forgetful);
    }
    if is_in_cluster && boot.is_empty() && matches!(durability, Durability::Interval(_)) {
        return Err(NodeError::BootUnknown);
    }
    Ok(())
}

/// The peers of a node, the first members of its groups where it founds them, and its port for other nodes.
type InCluster = (Arc<Peers>, Option<Founding>, Option<ClusterPort>);

/// Makes the cluster of a node without peers.
fn alone(disk: &dyn Disk, directory: &Path, was_in_cluster: bool) -> Result<InCluster, NodeError> {
    let (identity, founding) = forming::alone(disk, directory)?;
    let peers = Peers::none(identity.node);
    peers.identify(identity);
    if was_in_cluster {
        peers.set_lives(lives::next(disk, directory).map_err(NodeError::Lives)?);
    }
    Ok((peers, Some(founding), None))
}

/// Serves the port for other nodes, and waits until the node knows its cluster.
async fn join_cluster(
    cluster: ClusterNode,
    (disk, directory, stage, segments_at_start, shell): (
        &Arc<dyn Disk>,
        &Path,
        &Stage,
        &Arc<SegmentsAtStart>,
        &Shell,
    ),
    running: watch::Receiver<Running>,
) -> Result<InCluster, NodeError> {
    let peers = Peers::new(cluster.id, cluster.members, cluster.dial);
    peers.set_lives(lives::next(&**disk, directory).map_err(NodeError::Lives)?);
    let forming = Forming::begin(disk.clone(), directory, peers.clone(), stage.clone())?;
    let port = ClusterPort::serve(&peers, &forming, segments_at_start, running, cluster.incoming, shell);
    forming.identified().await?;
    Ok((peers, forming.founding(), Some(port)))
}

/// A running node.
pub struct Node {
    disk: Arc<dyn Disk>,
    directory: PathBuf,
    service: Arc<Service>,
    threads: GroupThreads,
    /// Tasks that the node repeats without a client's request.
    upkeep: Vec<OwnedTask>,
    running: watch::Sender<Running>,
    port: Option<ClusterPort>,
}

impl fmt::Debug for Node {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.debug_struct("Node").finish_non_exhaustive()
    }
}

impl Node {
    /// Starts a node like [`Self::start_in_stages`], without a stage that reports how far the start has come.
    ///
    /// # Errors
    /// [`NodeError`].
    pub async fn start(config: NodeConfig) -> Result<Self, NodeError> {
        Self::start_in_stages(config, Stage::default()).await
    }

    /// Finds the node's cluster, recovers the directory's data and starts to serve it; `stage` says which step it
    /// waits for.
    ///
    /// # Errors
    /// [`NodeError`].
    pub async fn start_in_stages(config: NodeConfig, stage: Stage) -> Result<Self, NodeError> {
        let running = watch::Sender::new(Running::default());
        let (disk, directory) = (config.disk, config.data_dir);
        disk.create_dir_all(&directory)?;
        check_log_kept(&*disk, &directory)?;
        let is_in_cluster = config.cluster.is_some();
        let was_in_cluster = identity::history(&*disk, &directory)?.in_cluster;
        check_boot(&*disk, &directory, config.durability, (is_in_cluster, was_in_cluster))?;
        let shell = config.shell.clone();
        let segments_at_start = SegmentsAtStart::new(shell.clone(), stage.clone());
        let (peers, founding, port) = match config.cluster {
            None => alone(&*disk, &directory, was_in_cluster)?,
            Some(cluster) => {
                let parts = (&disk, &*directory, &stage, &segments_at_start, &shell);
                join_cluster(cluster, parts, running.subscribe()).await?
            }
        };
        stage.enter("The node recovers its data directory.");
        let groups_config = GroupsConfig {
            disk: disk.clone(),
            directory: directory.clone(),
            durability: config.durability,
            shell: config.shell,
            sizes: config.sizes,
            metadata_bounds: MetadataBounds {
                streams_max: config.control_limits.cluster_streams_max.into(),
                shards_max: config.control_limits.cluster_shards_max.into(),
                bytes_max: METADATA_BYTES_MAX,
            },
            quotas: quotas(&config.control_limits),
            peers,
            clock: ClusterClock::new(config.clock),
            segments_at_start,
        };
        let history = identity::history(&*disk, &directory)?;
        let opened = Recovered::read(&groups_config, history)?.open(&groups_config).await?;
        note_start(&*disk, &directory, config.durability, is_in_cluster)?;
        let founding = founding.filter(|_| !history.founded);
        let has_founded = founding.is_some();
        let (groups, threads) = Groups::start(groups_config, opened, founding).await?;
        if has_founded {
            identity::note(&*disk, &directory, History { founded: true, ..History::default() })?;
        }
        if !is_in_cluster && groups.membership().has_other_voters().await {
            return Err(NodeError::NoPeers(groups.node()));
        }
        running.send_modify(|running| running.groups = Some(groups.clone()));
        let own = groups.clone();
        let life = shell.spawn_owned("life of the process", async move {
            own.life().keep().await;
            OwnerGone
        });
        stage.enter("The node applies records that were acknowledged before it started.");
        let wait = port.is_some().then_some(PEERS_WAIT);
        let is_ready = groups.ready(wait).await?;
        if !is_ready {
            tracing::warn!("start: too few peers answer; serving reads of the records that are applied here");
        }
        let service_config = ServiceConfig {
            limits: config.limits,
            control_limits: config.control_limits,
            transitions: config.transitions,
            lease_tables: config.lease_tables,
            application_quiet: config.application_quiet,
            pace: config.pace,
        };
        let service = Service::new(groups.clone(), service_config);
        service.begin_time(if is_ready { CLOCKS_WAIT } else { Duration::ZERO }).await;
        running.send_modify(|running| running.service = Some(service.clone()));
        let mut upkeep = service.start_upkeep().await?;
        upkeep.push(life);
        upkeep.extend(keep_groups(&groups, &shell));
        Ok(Self { disk, directory, service, threads, upkeep, running, port })
    }

    /// The node's service.
    pub fn service(&self) -> Arc<Service> {
        self.service.clone()
    }

    /// Hands over the groups that this node leads; it goes on taking requests, and leads nothing any more.
    pub async fn retire(&self) {
        let groups = self.service.groups();
        groups.leadership().set_reluctance(Some(STOPPING));
        groups.leadership().hand_over_all(HANDOVER_DEADLINE).await;
    }

    /// Checkpoints and stops. Requests that still hold the service keep its threads alive until they end.
    pub async fn shutdown(self) -> Result<(), NodeError> {
        for task in &self.upkeep {
            task.abort();
        }
        for task in self.upkeep {
            // It still has to let go of the service.
            task.stop().await;
        }
        // The log is synced and the directory marked as safe before the checkpoint, which may take longer than a stop.
        let safe = match self.service.groups().disk().sync_for_good().await {
            Ok(()) => boot::note_safe(&*self.disk, &self.directory),
            Err(error) => {
                tracing::warn!(%error, "stop: cannot sync the log; stopping without marking the directory as safe");
                Ok(())
            }
        };
        let stopped = self.service.groups().shutdown().await;
        self.running.send_replace(Running::default());
        if let Some(port) = self.port {
            port.stop().await;
        }
        drop(self.service);
        self.threads.join().await;
        stopped?;
        Ok(safe?)
    }
}

/// Starts the periodic work of the groups: balancing leaders, repairing files.
fn keep_groups(groups: &Arc<Groups>, shell: &Shell) -> [OwnedTask; 3] {
    let balance = Balance::new(groups.leadership().clone(), groups.membership().clone());
    let [repaired, scrubbed] = [(); 2].map(|()| groups.repairs().clone());
    [
        shell.spawn_loop("spread of leaders", BALANCE_WITHIN, |heartbeat| balance.keep(heartbeat)),
        shell.spawn_loop("repair", FILES_WITHIN, |heartbeat| async move {
            repaired.keep_repairing(heartbeat).await
        }),
        shell.spawn_loop("scrub", FILES_WITHIN, |heartbeat| async move {
            scrubbed.keep_scrubbing(heartbeat).await
        }),
    ]
}

/// The quotas of the control plane, as commands of the metadata carry them.
fn quotas(limits: &ControlLimits) -> Quotas {
    Quotas {
        shards_max: limits.shards_max,
        creating_streams_max: limits.creating_streams_max,
        on_demand_streams_max: limits.on_demand_streams_max,
        shard_count_updates_max: limits.shard_count_updates_max,
        mode_switches_max: limits.mode_switches_max,
        creating_consumers_max: limits.creating_consumers_max,
        consumers_max: limits.consumers_max,
        committed_consumers_max: limits.committed_consumers_max,
        tags_max: Some(TAGS_PER_RESOURCE_MAX as u32),
        shards_per_change_max: Some(SHARDS_PER_CHANGE_MAX),
    }
}
