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
mod dial;
mod lives;
mod serving;
pub mod tcp;

use std::collections::{BTreeMap, HashMap};
use std::io;
use std::sync::{Arc, Mutex, MutexGuard, RwLock};
use std::time::Duration;

use tidelog_proto::cluster::cluster_client::ClusterClient;
use tidelog_proto::peer;
use tidelog_proto::peer::peer_client::PeerClient;
use tokio::sync::watch;
use tokio::time::Instant;
use tonic::Request;
use tonic::metadata::{MetadataMap, MetadataValue};

use crate::model::life::Lives;

pub use address::address;
pub use admission::{check_certificate, check_name, taken_out, wrong_incarnation};
pub use connection::PeerConnection;
pub use connection_limits::SmallMessages;
pub use dial::{BoxedIo, Destination, Dial, Io, Lane, Unreachable};
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
/// How long a connection may take to come about.
const CONNECT_DEADLINE: Duration = Duration::from_secs(2);
/// How long a peer that could not be reached is not dialled again.
const REDIAL_PAUSE: Duration = Duration::from_millis(100);
/// Bytes of one message: the largest entry of a group's log and room for its frame.
pub const PEER_MESSAGE_BYTES_MAX: usize = 96 << 20;

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

/// The outcome of a dial: a connection and the process at its other end. `None` while it is under way.
type Dialled = Option<Result<(PeerConnection, u64), (Instant, Unreachable)>>;

/// The last dial of each peer's connection for each lane.
type Slots = HashMap<(u64, Lane), watch::Receiver<Dialled>>;

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

    async fn connection(&self, node: u64, lane: Lane) -> Result<(PeerConnection, u64), Unreachable> {
        let Some(address) = self.address(node) else {
            return Err(Unreachable { node, address: "?".into(), reason: "its address is not known".into() });
        };
        let mut dialled = self.dialled(node, lane, address.clone());
        let outcome = dialled.wait_for(Option::is_some).await.map(|outcome| outcome.clone());
        match outcome {
            Ok(Some(outcome)) => outcome.map_err(|(_, error)| error),
            // The runtime ends, and the dial with it.
            Ok(None) | Err(_) => Err(Unreachable { node, address, reason: "this node is stopping".into() }),
        }
    }

    /// A dial that is under way, or whose outcome still counts: many callers make one connection. It runs in a task of
    /// its own, because its callers may not be polled for a while.
    fn dialled(&self, node: u64, lane: Lane, address: String) -> watch::Receiver<Dialled> {
        let mut connections = self.connections();
        if let Some(last) = connections.get(&(node, lane)) {
            let counts = match &*last.borrow() {
                None => last.has_changed().is_ok(),
                Some(Ok((connection, _))) => connection.is_usable(),
                // Many callers that find a peer gone do not wait for a dial each.
                Some(Err((at, _))) => at.elapsed() < REDIAL_PAUSE,
            };
            if counts {
                return last.clone();
            }
        }
        let (outcome, dialled) = watch::channel(None);
        connections.insert((node, lane), dialled.clone());
        drop(connections);
        let connecting = self.connect_and_greet(node, address, lane);
        crate::shell::spawn_short(async move {
            let connected = connecting.await.map_err(|error| (Instant::now(), error));
            outcome.send_replace(Some(connected));
        });
        dialled
    }

    /// A connection, once the peer has said over it which of its processes it is. A peer with an older copy of its data
    /// is not spoken to.
    fn connect_and_greet(
        &self,
        node: u64,
        address: String,
        lane: Lane,
    ) -> impl Future<Output = Result<(PeerConnection, u64), Unreachable>> + use<> {
        let connecting = connect(self.dial.clone(), node, address.clone(), lane);
        let known = self.known.clone();
        let own_cluster = self.identity().map(|identity| identity.cluster);
        let greeting = self.request(node, self.greeting(), Some(CONNECT_DEADLINE));
        async move {
            let unreachable = |reason: String| Unreachable { node, address: address.clone(), reason };
            let connection = connecting.await?;
            let mut client = client(connection.clone());
            let answer = tokio::time::timeout(CONNECT_DEADLINE, client.hello(greeting)).await;
            let answer = answer.map_err(|_| unreachable("no answer to a greeting in time".into()))?;
            let hello = answer.map_err(|status| unreachable(status.message().to_owned()))?.into_inner();
            // Another node or cluster at this address cannot know this node's lives.
            let is_the_peer = hello.node == node && own_cluster.as_ref() == Some(&hello.cluster);
            if is_the_peer && hello.is_superseded {
                known.superseded.send_replace(true);
            }
            if hello.node == node {
                if !hello.lives.is_empty() && !known.may_follow(node, &hello.lives) {
                    return Err(unreachable(superseded(node)));
                }
                known.processes().insert(node, hello.process);
            }
            Ok((connection, hello.process))
        }
    }

    /// This node's greeting.
    pub fn greeting(&self) -> peer::HelloRequest {
        peer::HelloRequest {
            node: self.node,
            address: self.address(self.node).unwrap_or_default(),
            lives: self.lives().to_string(),
        }
    }

    fn connections(&self) -> MutexGuard<'_, Slots> {
        self.connections.lock().expect("no code panics while it holds this lock")
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

async fn connect(dial: Dial, node: u64, address: String, lane: Lane) -> Result<PeerConnection, Unreachable> {
    let unreachable = |reason: String| Unreachable { node, address: address.clone(), reason };
    let connecting = async {
        let destination = Destination { node: Some(node), address: address.clone() };
        let io = dial(destination).await.map_err(|error| unreachable(error.to_string()))?;
        PeerConnection::over(io, lane).await.map_err(|error| unreachable(error.to_string()))
    };
    let connected = tokio::time::timeout(CONNECT_DEADLINE, connecting).await;
    connected.unwrap_or_else(|_| Err(unreachable("no connection in time".into())))
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
