//! The life of one broker in a process: directory, listeners, node, connections, and their end in reverse.
//!
//! Invariants: the port answers from the start on, and no operation runs before the node has started; the node is
//! stopped only after every connection has ended or [`Bounds::drain`] has passed; the directory stays locked until the
//! node has stopped. The binary calls this, and so do tests of the wire.

use std::io;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::{Arc, Weak};
use std::time::Duration;

use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use tidelog_storage::Disk;
use tidelog_storage::disk::{RealDisk, VolatileDisk};
use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio::time::{MissedTickBehavior, interval};

use crate::certificates::Certificates;
use crate::clock::{Clock, machine_time};
use crate::cluster::peers::tcp;
use crate::config::{ClusterConfig, Config, InitialStream};
use crate::data_directory::{DataDirectory, DataDirectoryError, DataLocation};
use crate::model::stream::StreamKey;
use crate::node::{ClusterNode, Node, NodeConfig, NodeError};
use crate::observability;
use crate::ownership::Ownership;
use crate::replication::Sizes;
use crate::room::{Descriptors, MemoryError};
use crate::service::{APPLICATION_QUIET, NewStream, Service, ServiceError};
use crate::shell::{Heartbeat, OwnedTask, OwnerGone, Shell, Worker};
use crate::stage::Stage;
use crate::tls::peer::{Own, PeerTls};
use crate::tls::{Names, Tls, TlsError};
use crate::wire::{Audience, Bounds, Gateway, accept};

/// How often the recorder folds recorded values into its histograms; bounds its memory between two scrapes.
const METRICS_UPKEEP: Duration = Duration::from_secs(5);
/// How long a look at the data directory may take before its loop counts as stuck.
const OWNERSHIP_WITHIN: Duration = Duration::from_secs(60);
/// How long one fold may take before its loop counts as stuck.
const METRICS_WITHIN: Duration = Duration::from_secs(60);
/// How long one look at the certificates may take before its loop counts as stuck.
const CERTIFICATES_WITHIN: Duration = Duration::from_secs(60);
/// Pause before a stream of a cluster's settings that could not be created is created again.
const CREATE_AGAIN: Duration = Duration::from_secs(1);

/// A running broker.
#[derive(Debug)]
pub struct Server {
    addresses: Vec<SocketAddr>,
    tls: Tls,
    certificates: Certificates,
    stop: watch::Sender<bool>,
    /// Weak, because the node's workers end with the last handle to it.
    gateway: Weak<Gateway>,
    tasks: Vec<OwnedTask>,
    /// Looks whether the data directory stays.
    ownership: Worker,
    node: Node,
    directory: DataDirectory,
}

/// Why a broker did not start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// An address cannot be listened on.
    #[error("cannot listen on {address}: {source}; choose another address with --listen")]
    Listen {
        /// The address.
        address: SocketAddr,
        /// The reason.
        source: io::Error,
    },
    /// The cluster's port cannot be listened on.
    #[error("cannot listen for the cluster on {address}: {source}; --cluster-listen names another address")]
    ListenForPeers {
        /// The address.
        address: String,
        /// The reason.
        source: io::Error,
    },
    /// The cluster's port would believe any program of a network.
    #[error(
        "the cluster's port listens on {address} without certificates: any program that reaches it could read, write and \
         delete records and change the cluster. Give every node --cluster-certificate, --cluster-key and --cluster-ca \
         (deploy/OPERATIONS.md has the commands), or --cluster-insecure on a network that only the nodes can reach"
    )]
    PeersUnproven {
        /// The address.
        address: String,
    },
    /// There is too little memory.
    #[error(transparent)]
    Memory(#[from] MemoryError),
    /// The data directory cannot be used.
    #[error(transparent)]
    Directory(#[from] DataDirectoryError),
    /// The data directory cannot be watched.
    #[error("cannot watch the data directory: {0}")]
    Ownership(io::Error),
    /// There is no certificate to present.
    #[error("cannot serve TLS: {0}")]
    Tls(#[from] TlsError),
    /// The node refused to start.
    #[error("cannot start the node: {0}")]
    Node(#[from] NodeError),
    /// A stream that should be there could not be created.
    #[error("cannot create the stream {name} at the start: {source}")]
    Stream {
        /// The stream's name.
        name: Arc<str>,
        /// The refusal of its creation.
        source: ServiceError,
    },
}

impl Server {
    /// Starts a broker. It serves until [`Self::shutdown`]; one that is dropped instead stops without a checkpoint.
    ///
    /// # Errors
    /// When an address, the directory or the node refuses; nothing runs on then.
    pub fn start(config: &Config, bounds: Bounds, clock: Clock) -> BoxFuture<'_, Result<Self, StartError>> {
        // A boxed future is compiled in this crate, not once more in each program that awaits it.
        Self::begin(config, bounds, clock).boxed()
    }

    async fn begin(config: &Config, bounds: Bounds, clock: Clock) -> Result<Self, StartError> {
        let (recorder, shell) = (observability::recorder(), Shell::Threads);
        let directory = open_directory(config)?;
        let (disk, sizes) = disk_and_sizes(config, &directory);
        let listeners = bind(&config.listen).await?;
        let addresses: Vec<_> = listeners.iter().map(|(_, address)| *address).collect();
        let tls = match &config.certificate {
            Some(files) => Tls::with_files(files)?,
            None => {
                let data = directory.path();
                Tls::with_authority(&*disk, data, &config.region, &addresses, machine_time())?
            }
        };
        let (cluster, peer_tls) = match &config.cluster {
            Some(cluster) => {
                let (node, tls) = join(cluster).await?;
                (Some(node), tls)
            }
            None => (None, None),
        };
        let certificates = Certificates::new(tls.clone(), peer_tls);
        let (stop, stopping) = watch::channel(false);
        let (account, region) = (config.account.clone(), config.region.clone());
        let stage = Stage::default();
        let names = Names::of_this_machine(&region, &addresses);
        let audience = Audience::new(config.origins.clone(), names, &config.public_hosts);
        let gateway = Gateway::closed(
            (shell.clone(), stage.clone()),
            account,
            region,
            audience,
            Some(tls.clone()),
            bounds,
            stopping.clone(),
        );
        let mut tasks = Vec::new();
        // They end with `stop` when the node does not start.
        for (listener, _) in listeners {
            let serving = accept::serve(listener, Arc::clone(&gateway), stopping.clone());
            tasks.push(shell.spawn_owned("client port", serving));
        }
        let keeping = |heartbeat| keep_metrics(recorder, heartbeat, stopping.clone());
        tasks.push(shell.spawn_loop("metrics", METRICS_WITHIN, keeping));
        let looking = |heartbeat| certificates.clone().keep_looking(heartbeat, stopping.clone());
        tasks.push(shell.spawn_loop("certificates", CERTIFICATES_WITHIN, looking));
        let node_config = NodeConfig {
            disk,
            data_dir: directory.path().to_path_buf(),
            cluster,
            limits: config.limits,
            control_limits: config.control_limits,
            transitions: config.transitions,
            lease_tables: config.lease_tables.then_some(config.lease_table_limits),
            application_quiet: APPLICATION_QUIET,
            durability: config.durability,
            pace: bounds.subscriptions,
            clock,
            shell: shell.clone(),
            sizes: sizes.within(&bounds.memory).with_open_files(Descriptors::found().segments),
        };
        let node = Node::start_in_stages(node_config, stage).await?;
        let ownership = Ownership::of(&directory, node.service().groups().clone());
        let ownership = ownership.map_err(StartError::Ownership)?;
        let keeping = |heartbeat| ownership.keep(heartbeat, stopping.clone());
        let ownership = shell.start("ownership", OWNERSHIP_WITHIN, keeping).map_err(StartError::Ownership)?;
        if config.cluster.is_none() {
            for stream in &config.initial_streams {
                create(&node.service(), config, stream).await?;
            }
        }
        gateway.open(node.service());
        if config.cluster.is_some() {
            let creating = create_in_time(node.service(), config.clone(), stopping);
            tasks.push(shell.spawn_owned("streams of the settings", creating));
        }
        let gateway = Arc::downgrade(&gateway);
        Ok(Self { addresses, certificates, tls, stop, gateway, tasks, ownership, node, directory })
    }

    /// Where it listens, in the order of the configuration, with the ports the system chose.
    pub fn addresses(&self) -> &[SocketAddr] {
        &self.addresses
    }

    /// The certificates that it presents.
    pub fn certificates(&self) -> &Certificates {
        &self.certificates
    }

    /// The file whose certificate clients by TLS are to trust, itself or its issuer.
    pub fn trust(&self) -> &Path {
        self.tls.trust()
    }

    /// Where its data is.
    pub fn data_path(&self) -> &Path {
        self.directory.path()
    }

    /// Whether there was no data when it started.
    pub fn is_new(&self) -> bool {
        self.directory.is_new()
    }

    /// The node's write path, for a watchdog.
    pub fn write_path(&self) -> WritePath {
        WritePath { service: Arc::downgrade(&self.node.service()) }
    }

    /// Has `/ready` answer 503, so that balancers send no new clients here. The broker serves on until it is stopped.
    pub fn leave(&self) {
        if let Some(gateway) = self.gateway.upgrade() {
            gateway.leave();
        }
    }

    /// Stops accepting, finishes requests in flight while the node hands over the groups that it leads, and stops
    /// the node with a checkpoint if that does not take long.
    ///
    /// # Errors
    /// When the node could not write its checkpoint; acknowledged records are kept all the same.
    pub fn shutdown(self) -> BoxFuture<'static, Result<(), NodeError>> {
        self.end().boxed()
    }

    async fn end(self) -> Result<(), NodeError> {
        self.stop.send_replace(true);
        let drained = async {
            for task in self.tasks {
                // A panic in one has ended the process.
                let _ = task.join().await;
            }
        };
        tokio::join!(self.node.retire(), drained);
        self.ownership.join().await;
        self.node.shutdown().await
    }
}

/// The way of a write to this node's own disk.
#[derive(Debug)]
pub struct WritePath {
    service: Weak<Service>,
}

impl WritePath {
    /// Waits until a sync of the write-ahead log that begins now is done. A node whose disk is full counts as working,
    /// and so does one that has stopped: a restart would free no space. No other node is asked.
    ///
    /// # Errors
    /// When the log has stopped.
    pub async fn round_trip(&self) -> io::Result<()> {
        match self.service.upgrade() {
            Some(service) => service.groups().disk().round_trip().await,
            None => Ok(()),
        }
    }
}

/// Opens the data directory, and says in the log when it is a new one.
fn open_directory(config: &Config) -> Result<DataDirectory, DataDirectoryError> {
    let open = if config.expects_data { DataDirectory::open_existing } else { DataDirectory::open };
    let directory = open(&config.data)?;
    if directory.is_new() && !directory.is_ephemeral() {
        tracing::info!(path = %directory.path().display(), "new data directory: it holds no streams yet");
    }
    Ok(directory)
}

/// The disk for a data directory, and the sizes of its files.
fn disk_and_sizes(config: &Config, directory: &DataDirectory) -> (Arc<dyn Disk>, Sizes) {
    let volume_bytes = match rustix::fs::statvfs(directory.path()) {
        Ok(volume) => volume.f_blocks.saturating_mul(volume.f_frsize),
        Err(error) => {
            tracing::warn!(%error, "cannot find out how large the volume is; using the sizes of a large one");
            0
        }
    };
    let sizes = Sizes::for_volume(volume_bytes, config.disk_reserve);
    match config.data {
        DataLocation::Directory(_) => (Arc::new(RealDisk), sizes),
        // Nothing of it outlives the process, so there is nothing to sync.
        DataLocation::Ephemeral => (Arc::new(VolatileDisk), sizes.volatile()),
    }
}

/// Creates a stream unless there is one of its name. No limit of the control plane counts.
async fn create(service: &Arc<Service>, config: &Config, stream: &InitialStream) -> Result<(), StartError> {
    let (account, region) = (config.account.clone(), stream.region.clone().unwrap_or(config.region.clone()));
    let key = StreamKey { account, region, name: stream.name.clone() };
    match service.create_stream(&key, NewStream::provisioned(stream.shard_count)).await {
        Ok(()) | Err(ServiceError::NameTaken) => Ok(()),
        Err(source) => Err(StartError::Stream { name: stream.name.clone(), source }),
    }
}

/// Creates the streams of the settings once the cluster has a majority to do so, unless the broker stops before.
async fn create_in_time(
    service: Arc<Service>,
    config: Config,
    mut stopping: watch::Receiver<bool>,
) -> OwnerGone {
    let creating = async {
        for stream in &config.initial_streams {
            while let Err(error) = create(&service, &config, stream).await {
                tracing::warn!(%error, stream = %stream.name, "cannot create a stream of the settings; trying again");
                tokio::time::sleep(CREATE_AGAIN).await;
            }
        }
    };
    tokio::select! {
        () = creating => {}
        _ = stopping.wait_for(|stopping| *stopping) => {}
    }
    OwnerGone
}

/// Opens the cluster's port.
async fn join(config: &ClusterConfig) -> Result<(ClusterNode, Option<PeerTls>), StartError> {
    let own = config.members[&config.node_id].clone();
    let host = own.rsplit_once(':').map(|(host, _)| host.to_owned());
    let certified = Own::Node { id: config.node_id, host };
    let tls = config.tls.as_ref();
    let tls = tls.map(|files| PeerTls::with_files(files, certified, machine_time())).transpose()?;
    let address = config.listen.map_or(own, |address| address.to_string());
    let refused = |source| StartError::ListenForPeers { address: address.clone(), source };
    let listener = TcpListener::bind(&address).await.map_err(refused)?;
    if tls.is_none() && !listener.local_addr().map_err(refused)?.ip().is_loopback() {
        if !config.is_insecure {
            return Err(StartError::PeersUnproven { address });
        }
        tracing::error!(
            address,
            "the cluster's port is open to a network without certificates: any program that reaches it can read, write \
             and delete records and change the cluster; give every node --cluster-certificate"
        );
    }
    let incoming = tcp::incoming(listener, tls.clone());
    let (id, members, dial) = (config.node_id, config.members.clone(), tcp::dial(tls.clone()));
    Ok((ClusterNode { id, members, dial, incoming }, tls))
}

async fn bind(addresses: &[SocketAddr]) -> Result<Vec<(TcpListener, SocketAddr)>, StartError> {
    let mut listeners = Vec::with_capacity(addresses.len());
    for &address in addresses {
        let refused = |source| StartError::Listen { address, source };
        let listener = TcpListener::bind(address).await.map_err(refused)?;
        let bound = listener.local_addr().map_err(refused)?;
        listeners.push((listener, bound));
    }
    Ok(listeners)
}

async fn keep_metrics(
    recorder: &'static metrics_exporter_prometheus::PrometheusHandle,
    heartbeat: Heartbeat,
    mut stopping: watch::Receiver<bool>,
) -> OwnerGone {
    let mut ticks = interval(METRICS_UPKEEP);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            _ = ticks.tick() => {}
            _ = stopping.wait_for(|stop| *stop) => return OwnerGone,
        }
        heartbeat.beat();
        recorder.run_upkeep();
    }
}
