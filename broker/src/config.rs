//! The configuration of a broker: a plain [`Config`] that knows nothing of where a value came from.
//!
//! The command line makes one from flags, environment and a file; [`crate::Broker`] and tests make one by hand.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Arc;

pub use crate::data_directory::DataLocation;
use crate::limits::{ControlLimits, ShardLimits};
pub use crate::replication::{DiskReserve, Durability};
pub use crate::service::Transitions;
pub use crate::tls::CertificateFiles;
pub use crate::tls::peer::PeerCertificates;
pub use crate::wire::AllowedOrigins;
pub use tidelog_tables::Bounds as LeaseTableLimits;

/// Everything a broker is started with.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Config {
    /// Addresses to listen on, at least one; port 0 lets the system choose.
    pub listen: Vec<SocketAddr>,
    /// Where records are kept.
    pub data: DataLocation,
    /// Whether there must be data there already.
    pub expects_data: bool,
    /// How much of the volume stays free.
    pub disk_reserve: DiskReserve,
    /// Limits of each shard.
    pub limits: ShardLimits,
    /// Rates and quotas of the control plane.
    pub control_limits: ControlLimits,
    /// How long changes of streams and consumers take at least.
    pub transitions: Transitions,
    /// Whether lease tables are served (the DynamoDB protocol, for KCL).
    pub lease_tables: bool,
    /// Bounds of lease tables.
    pub lease_table_limits: LeaseTableLimits,
    /// The certificate that is presented to clients by TLS; `None` is one by the data directory's own authority.
    pub certificate: Option<CertificateFiles>,
    /// Streams that are created at the start unless there are such.
    pub initial_streams: Vec<InitialStream>,
    /// When an acknowledged write is on the medium.
    pub durability: Durability,
    /// Bytes of memory the process may take; `None` is the system's limit.
    pub memory: Option<u64>,
    /// The cluster it is a node of; `None` is a node on its own.
    pub cluster: Option<ClusterConfig>,
    /// Web origins whose pages may call.
    pub origins: AllowedOrigins,
    /// Names that the broker answers to on the loopback interface, beside those of its own certificate.
    pub public_hosts: Vec<String>,
    /// Account of callers whose access key id is not one itself; 12 digits.
    pub account: Arc<str>,
    /// Region of callers that name none, such as `us-east-1`.
    pub region: Arc<str>,
}

impl Config {
    /// The defaults of `tidelog serve`, for data there.
    #[must_use]
    pub fn new(data: DataLocation) -> Self {
        Self {
            listen: vec![SocketAddr::from(([127, 0, 0, 1], 4567))],
            data,
            expects_data: false,
            disk_reserve: DiskReserve::Auto,
            limits: ShardLimits::aws(),
            control_limits: ControlLimits::aws(),
            transitions: Transitions::default(),
            lease_tables: true,
            lease_table_limits: LeaseTableLimits::default(),
            certificate: None,
            initial_streams: Vec::new(),
            durability: Durability::Fsync,
            memory: None,
            cluster: None,
            origins: AllowedOrigins::default(),
            public_hosts: Vec::new(),
            account: "000000000000".into(),
            region: "us-east-1".into(),
        }
    }
}

/// Settings of a node that belongs to a cluster.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ClusterConfig {
    /// The member that this node is; at least 1.
    pub node_id: u64,
    /// Every node the cluster is formed of, this one too, with its address as `HOST:PORT`.
    pub members: BTreeMap<u64, String>,
    /// Where other nodes are listened for, when that is not this node's own address of `members`.
    pub listen: Option<SocketAddr>,
    /// Files for mutual TLS between nodes; `None` is plain TCP.
    pub tls: Option<PeerCertificates>,
    /// Whether the cluster's port may be open to a network without certificates.
    pub is_insecure: bool,
}

/// A provisioned stream that is created at the start unless there is one of its name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct InitialStream {
    /// Name of the stream, in the configured account.
    pub name: Arc<str>,
    /// 1 to 20,000 shards.
    pub shard_count: u32,
    /// `None` is the configured region.
    pub region: Option<Arc<str>>,
}
