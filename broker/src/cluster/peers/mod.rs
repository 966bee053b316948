//! The other nodes of the cluster: their identities and addresses, and one kept connection to each of them per
//! lane.
//!
//! Knows gRPC and nothing of the calls. A call that found no connection certainly did not arrive; a call that
//! failed later may have arrived. Used by replication (the log), by the service (records for other leaders) and by
//! the wire (whole operations for other leaders).

mod address;
mod admission;
mod connection;
mod connection_limits;
mod dialling;
mod lives;
mod serving;
pub mod tcp;

use std::collections::BTreeMap;
use std::io;
use std::sync::{Arc, Mutex, RwLock};
use std::time::Duration;

use tidelog_proto::cluster::cluster_client::ClusterClient;
use tidelog_proto::peer;
use tidelog_proto::peer::peer_client::PeerClient;
use tokio::sync::watch;
use tonic::Request;
use tonic::metadata::{MetadataMap, MetadataValue};

use crate::model::life::Lives;

pub use address::address;
pub use admission::{check_certificate, check_name, taken_out, wrong_incarnation};
pub use connection::PeerConnection;
pub use connection_limits::SmallMessages;
pub use dialling::{BoxedIo, Destination, Dial, Io, Unreachable};
use dialling::{Slots, connect};
use lives::Known;
pub use lives::superseded;
pub use serving::{Accepted, Caller, Incoming, serve, server};

/// Header that names the caller's cluster.
const CLUSTER_HEADER: &str = "tidelog-cluster";
/// Header that names the caller.
const NODE_HEADER: &str = "tidelog-node";
/// Header with the caller's incarnation.
const INCARNATION_HEADER: &str = "tidelog-incarnation";
/// Header with the format of commands and files that the caller speaks.
const FORMAT_HEADER: &str = "tidelog-format";
/// Header with the lives of the caller.
const LIVES_HEADER: &str = "tidelog-lives";
/// Header that names the node that is meant.
const TARGET_HEADER: &str = "tidelog-target";
/// The newest format of commands and files that this version writes and reads. 2: lives, the retention clock, bounds
/// and quotas in commands, floors and skipped ordinals, and the second format of checkpoints.
pub const FORMAT: u32 = 2;
/// Bytes of one message: the largest entry of a group's log and room for its frame.
pub const PEER_MESSAGE_BYTES_MAX: usize = 96 << 20;

/// The purpose of a connection. Bulk data on one never delays the messages on another.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Lane {
    /// Heartbeats, votes, greetings.
    Control,
    /// Entries of the log.
    Log,
    /// Files.
    Files,
    /// Requests of clients that another node leads, and their proposals.
    Requests,
    /// Event streams for clients, which may be slow to take them.
    Events,
}

/// The identity of a node, for as long as its data directory lives.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Identity {
    /// The cluster.
    pub cluster: String,
    /// The node, from 1.
    pub node: u64,
    /// Drawn when the directory was made: a node of the same id with another one has lost its data.
    pub incarnation: String,
    /// Whether the node founded the cluster: its groups begin with the members of its settings, the groups of other
    /// nodes with the entries that a leader sends.
    pub is_founder: bool,
}

/// A member of the cluster as replication knows it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ClusterMember {
    /// `HOST:PORT` for its peers.
    pub address: String,
    /// Incarnation of its data directory.
    pub incarnation: String,
}

/// A client of a peer's services. Cheap to clone.
pub type Client = PeerClient<PeerConnection>;

/// The other nodes.
pub struct Peers {
    node: u64,
    dial: Dial,
    identity: RwLock<Option<Identity>>,
    /// Addresses of the settings go before those of the membership, so that a moved cluster finds itself.
    configured: BTreeMap<u64, String>,
    members: watch::Sender<Arc<BTreeMap<u64, ClusterMember>>>,
    connections: Mutex<Slots>,
    /// Random for each start of this node.
    process: u64,
    /// The lives of this node.
    lives: RwLock<Lives>,
    known: Known,
    /// Peers that would rather not lead, and why.
    reluctant: Mutex<BTreeMap<u64, String>>,
}

impl Peers {
    /// The peers of this node; `configured` are the addresses of its settings.
    pub fn new(node: u64, configured: BTreeMap<u64, String>, dial: Dial) -> Arc<Self> {
        Arc::new(Self {
            node,
            dial,
            identity: RwLock::default(),
            configured,
            members: watch::Sender::default(),
            connections: Mutex::default(),
            process: uuid::Uuid::new_v4().as_u64_pair().0,
            lives: RwLock::default(),
            known: Known::default(),
            reluctant: Mutex::default(),
        })
    }

    /// A node that has none and never will.
    pub fn none(node: u64) -> Arc<Self> {
        let dial: Dial =
            Arc::new(|_| Box::pin(async { Err(io::Error::other("a single node has no peers")) }));
        Self::new(node, BTreeMap::new(), dial)
    }

    /// This node's id.
    pub fn node(&self) -> u64 {
        self.node
    }

    /// The nodes of the settings, by id.
    pub fn configured(&self) -> &BTreeMap<u64, String> {
        &self.configured
    }

    /// Whether this node has, or may have, others beside it.
    pub fn are_there(&self) -> bool {
        self.configured.len() > 1 || self.members().len() > 1
    }

    /// This node's identity; `None` before it belongs to a cluster.
    pub fn identity(&self) -> Option<Identity> {
        self.identity.read().expect("no code panics while it holds this lock").clone()
    }

    /// From now on this node is that.
    pub fn identify(&self, identity: Identity) {
        assert_eq!(identity.node, self.node, "a node keeps its id");
        *self.identity.write().expect("no code panics while it holds this lock") = Some(identity);
    }

    /// The members by the newest membership known here.
    pub fn members(&self) -> Arc<BTreeMap<u64, ClusterMember>> {
        self.members.borrow().clone()
    }

    /// Takes note of the membership.
    pub fn set_members(&self, members: BTreeMap<u64, ClusterMember>) {
        self.members.send_if_modified(|known| {
            let is_new = **known != members;
            *known = Arc::new(members);
            is_new
        });
    }

    /// Takes note of whether a peer would rather not lead.
    pub fn set_reluctance(&self, node: u64, reason: &str) {
        let mut reluctant = self.reluctant.lock().expect("no code panics while it holds this lock");
        if reason.is_empty() {
            reluctant.remove(&node);
        } else {
            reluctant.insert(node, reason.to_owned());
        }
    }

    /// Why a node would rather not lead, if it would not.
    pub fn reluctance(&self, node: u64) -> Option<String> {
        self.reluctant.lock().expect("no code panics while it holds this lock").get(&node).cloned()
    }

    /// Where a node is, as far as known here.
    pub fn address(&self, node: u64) -> Option<String> {
        let configured = self.configured.get(&node).cloned();
        configured.or_else(|| self.members().get(&node).map(|member| member.address.clone()))
    }

    /// A client of that node over a lane's kept connection, which is made if need be.
    ///
    /// # Errors
    /// [`Unreachable`]: nothing was said.
    pub async fn client(&self, node: u64, lane: Lane) -> Result<Client, Unreachable> {
        Ok(self.client_of_process(node, lane).await?.0)
    }

    /// A client of that node as by [`Peers::client`], and the process that it speaks to.
    ///
    /// # Errors
    /// [`Unreachable`]: nothing was said.
    pub async fn client_of_process(&self, node: u64, lane: Lane) -> Result<(Client, u64), Unreachable> {
        let (connection, process) = self.connection(node, lane).await?;
        Ok((client(connection), process))
    }

    /// Names this start of the node among all of its starts.
    pub fn process(&self) -> u64 {
        self.process
    }

    /// The process that runs at a peer, as far as known: the one that was connected to last.
    pub fn process_of(&self, node: u64) -> Option<u64> {
        self.known.processes().get(&node).copied()
    }

    /// A client of the node that should be at an address which no membership knows yet, over a connection of its
    /// own.
    ///
    /// # Errors
    /// [`Unreachable`]: nothing was said.
    pub async fn client_at(&self, node: u64, address: &str) -> Result<Client, Unreachable> {
        let connection = connect(self.dial.clone(), node, address.to_owned(), Lane::Control).await?;
        Ok(PeerClient::with_origin(connection, origin()))
    }

    /// A client of that node's administration.
    ///
    /// # Errors
    /// [`Unreachable`].
    pub async fn administration(&self, node: u64) -> Result<ClusterClient<PeerConnection>, Unreachable> {
        Ok(ClusterClient::with_origin(self.connection(node, Lane::Requests).await?.0, origin()))
    }

    /// This node's greeting.
    pub fn greeting(&self) -> peer::HelloRequest {
        peer::HelloRequest {
            node: self.node,
            address: self.address(self.node).unwrap_or_default(),
            lives: self.lives().to_string(),
        }
    }

    /// A request to `target` that names this node as its sender, and gives up after `deadline` if there is one.
    pub fn request<T>(&self, target: u64, message: T, deadline: Option<Duration>) -> Request<T> {
        let mut request = Request::new(message);
        if let Some(identity) = self.identity() {
            let headers = request.metadata_mut();
            insert(headers, CLUSTER_HEADER, &identity.cluster);
            insert(headers, NODE_HEADER, &identity.node.to_string());
            insert(headers, INCARNATION_HEADER, &identity.incarnation);
            insert(headers, TARGET_HEADER, &target.to_string());
            insert(headers, FORMAT_HEADER, &FORMAT.to_string());
            insert(headers, LIVES_HEADER, &self.lives().to_string());
        }
        if let Some(deadline) = deadline {
            request.set_timeout(deadline);
        }
        request
    }
}

fn client(connection: PeerConnection) -> Client {
    PeerClient::with_origin(connection, origin())
        .max_decoding_message_size(PEER_MESSAGE_BYTES_MAX)
        .max_encoding_message_size(PEER_MESSAGE_BYTES_MAX)
}

fn insert(headers: &mut MetadataMap, name: &'static str, value: &str) {
    let value = MetadataValue::try_from(value).expect("ids are printable");
    headers.insert(name, value);
}

fn origin() -> hyper::Uri {
    hyper::Uri::from_static("http://peer")
}

#[cfg(test)]
mod tests;
