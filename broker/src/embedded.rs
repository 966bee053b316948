//! A broker inside another program: [`Broker::builder`] collects settings, [`BrokerBuilder::start`] runs the broker.
//!
//! The layer is thin: it makes a [`Config`], resolves the memory, and starts a [`Server`].

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::clock::Clock;
use crate::config::{ClusterConfig, Config, DataLocation, Durability, InitialStream};
use crate::limits::{ControlLimits, ShardLimits};
use crate::node::NodeError;
use crate::room::{Memory, Shares};
use crate::server::{Server, StartError};
use crate::wire::Bounds;

/// A broker that runs in this process and serves Kinesis and gRPC on its own addresses.
///
/// ```no_run
/// # async fn example() -> Result<(), Box<dyn std::error::Error>> {
/// use tidelog::Broker;
///
/// let broker = Broker::builder().data("./tidelog-data").stream("clicks", 4).start().await?;
/// println!("export AWS_ENDPOINT_URL_KINESIS={}", broker.url());
/// broker.stop().await?;
/// # Ok(())
/// # }
/// ```
///
/// Three things belong to the process rather than to the broker:
/// - The first broker installs the process's recorder of `metrics`, unless the program has installed one.
/// - A failed sync of the log, and a panic of a task that the broker cannot do without, end the process.
/// - Files are made with the permissions that the process's umask leaves; `tidelog serve` closes them to other users.
#[derive(Debug)]
pub struct Broker {
    server: Server,
}

/// Settings of a [`Broker`].
///
/// By default the broker listens on a free port of 127.0.0.1, keeps its data in a temporary directory that goes with
/// it, and limits shards and callers as Kinesis does.
#[derive(Clone, Debug, PartialEq, Eq)]
#[must_use]
pub struct BrokerBuilder {
    config: Config,
}

impl Broker {
    /// Settings to begin with.
    pub fn builder() -> BrokerBuilder {
        let config = Config::new(DataLocation::Ephemeral);
        BrokerBuilder { config: Config { listen: Vec::new(), ..config } }
    }

    /// Where the broker listens for clients, with the ports that the system chose.
    #[must_use]
    pub fn addresses(&self) -> &[SocketAddr] {
        self.server.addresses()
    }

    /// URL of the first address, for SDKs of Kinesis and for the Rust client.
    ///
    /// # Panics
    /// Never: a broker listens on one address at least.
    #[must_use]
    pub fn url(&self) -> String {
        format!("http://{}", self.addresses().first().expect("a broker listens somewhere"))
    }

    /// The data directory.
    #[must_use]
    pub fn data_path(&self) -> &Path {
        self.server.data_path()
    }

    /// The certificate that clients by `https://` have to trust, in PEM form.
    #[must_use]
    pub fn ca_path(&self) -> &Path {
        self.server.trust()
    }

    /// Stops accepting calls, finishes those in flight, and writes a checkpoint. A broker that is dropped instead stops
    /// as in a crash: acknowledged records are kept, and the next start replays its log.
    ///
    /// # Errors
    /// When the checkpoint could not be written; acknowledged records are kept all the same.
    pub async fn stop(self) -> Result<(), NodeError> {
        self.server.shutdown().await
    }
}

impl BrokerBuilder {
    /// Listens on this address; a second call adds another one. Port 0 lets the system choose.
    pub fn listen(mut self, address: SocketAddr) -> Self {
        self.config.listen.push(address);
        self
    }

    /// Keeps streams and records in this directory, which is created when absent.
    pub fn data(mut self, directory: impl Into<PathBuf>) -> Self {
        self.config.data = DataLocation::Directory(directory.into());
        self
    }

    /// Decides when an acknowledged record is on the medium; by default before every acknowledgement.
    pub fn durability(mut self, durability: Durability) -> Self {
        self.config.durability = durability;
        self
    }

    /// Sets the rates of each shard beyond which callers are throttled; by default those of Kinesis.
    pub fn limits(mut self, limits: ShardLimits) -> Self {
        self.config.limits = limits;
        self
    }

    /// Sets rates and quotas of the calls that manage streams; by default those of Kinesis.
    pub fn control_limits(mut self, limits: ControlLimits) -> Self {
        self.config.control_limits = limits;
        self
    }

    /// Bounds the memory of the broker, in bytes; 192 MiB at least. By default the system's limit for the process.
    pub fn memory(mut self, bytes: u64) -> Self {
        self.config.memory = Some(bytes);
        self
    }

    /// Creates this stream of so many shards at the start, unless there is one of its name.
    pub fn stream(mut self, name: impl Into<Arc<str>>, shard_count: u32) -> Self {
        self.config.initial_streams.push(InitialStream { name: name.into(), shard_count, region: None });
        self
    }

    /// Makes the broker a node of a cluster. It needs a data directory of its own.
    pub fn cluster(mut self, cluster: ClusterConfig) -> Self {
        self.config.cluster = Some(cluster);
        self
    }

    /// Changes any other setting.
    pub fn configure(mut self, change: impl FnOnce(&mut Config)) -> Self {
        change(&mut self.config);
        self
    }

    /// Starts the broker, on the runtime of the caller.
    ///
    /// # Errors
    /// When an address, the memory, the directory or the node refuses; nothing runs on then.
    pub async fn start(mut self) -> Result<Broker, StartError> {
        if self.config.listen.is_empty() {
            self.config.listen.push(SocketAddr::from(([127, 0, 0, 1], 0)));
        }
        let memory = Memory::resolve(self.config.memory)?;
        let bounds = Bounds::within(&Shares::of(memory.bytes));
        let server = Server::start(&self.config, bounds, Clock::System).await?;
        Ok(Broker { server })
    }
}
