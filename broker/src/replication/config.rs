//! The settings that the groups are started with.

use std::path::PathBuf;
use std::sync::Arc;

use tidelog_proto::stored::{MetadataBounds, Quotas};
use tidelog_storage::Disk;

use super::catch_up::serve_at_start::SegmentsAtStart;
use super::sizes::Sizes;
use super::workers::wal_worker::Durability;
use crate::clock::ClusterClock;
use crate::cluster::peers::Peers;
use crate::shell::Shell;

/// Where and how the groups keep their log.
pub struct GroupsConfig {
    /// The node's disk.
    pub disk: Arc<dyn Disk>,
    /// The data directory; `wal`, `checkpoint` and `shards` are below it.
    pub directory: PathBuf,
    /// When an acknowledged record is on disk.
    pub durability: Durability,
    /// The shell that the workers run in.
    pub shell: Shell,
    /// Sizes of files, and the bounds that go with them.
    pub sizes: Sizes,
    /// How large the metadata of the cluster may grow by commands of this node.
    pub metadata_bounds: MetadataBounds,
    /// Quotas of the commands that this node proposes.
    pub quotas: Quotas,
    /// The other nodes.
    pub peers: Arc<Peers>,
    /// The node's clock; peers get its times.
    pub clock: Arc<ClusterClock>,
    /// Segments that peers get while this node cannot start yet.
    pub segments_at_start: Arc<SegmentsAtStart>,
}
