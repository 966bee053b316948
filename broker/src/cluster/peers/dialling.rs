//! Dials: connections to the other nodes come about, one at a time for each peer and lane, and their failures are kept
//! for a moment.

use std::collections::HashMap;
use std::io;
use std::sync::{Arc, MutexGuard};
use std::time::Duration;

use futures_util::future::BoxFuture;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::sync::watch;
use tokio::time::Instant;

use super::{Lane, PeerConnection, Peers, client, superseded};

/// How long a connection may take to come about.
const CONNECT_DEADLINE: Duration = Duration::from_secs(2);
/// How long a peer that could not be reached is not dialled again.
pub(super) const REDIAL_PAUSE: Duration = Duration::from_millis(100);

/// The byte stream under a connection between nodes: TCP, TLS over it, or a simulated network.
pub trait Io: AsyncRead + AsyncWrite + Send + Unpin {}
impl<T: AsyncRead + AsyncWrite + Send + Unpin> Io for T {}

/// A connection between nodes.
pub type BoxedIo = Box<dyn Io>;

/// A node that is dialled.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Destination {
    /// The id that it has to prove where there are certificates; `None` for any node of the cluster.
    pub node: Option<u64>,
    /// `HOST:PORT`.
    pub address: String,
}

/// Opens a connection to a node.
pub type Dial = Arc<dyn Fn(Destination) -> BoxFuture<'static, io::Result<BoxedIo>> + Send + Sync>;

/// Nothing was said: there is no connection.
#[derive(Clone, Debug, thiserror::Error)]
#[error("node {node} ({address}) cannot be reached: {reason}")]
pub struct Unreachable {
    /// The node.
    pub node: u64,
    /// Where it was looked for.
    pub address: String,
    /// The error of the dial.
    pub reason: String,
}

/// The outcome of a dial: a connection and the process at its other end. `None` while it is under way.
type Dialled = Option<Result<(PeerConnection, u64), (Instant, Unreachable)>>;

/// The last dial of each peer's connection for each lane.
pub(super) type Slots = HashMap<(u64, Lane), watch::Receiver<Dialled>>;

impl Peers {
    pub(super) async fn connection(
        &self,
        node: u64,
        lane: Lane,
    ) -> Result<(PeerConnection, u64), Unreachable> {
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

    fn connections(&self) -> MutexGuard<'_, Slots> {
        self.connections.lock().expect("no code panics while it holds this lock")
    }
}

/// Connects to a node.
pub(super) async fn connect(
    dial: Dial,
    node: u64,
    address: String,
    lane: Lane,
) -> Result<PeerConnection, Unreachable> {
    let unreachable = |reason: String| Unreachable { node, address: address.clone(), reason };
    let connecting = async {
        let destination = Destination { node: Some(node), address: address.clone() };
        let io = dial(destination).await.map_err(|error| unreachable(error.to_string()))?;
        PeerConnection::over(io, lane).await.map_err(|error| unreachable(error.to_string()))
    };
    let connected = tokio::time::timeout(CONNECT_DEADLINE, connecting).await;
    connected.unwrap_or_else(|_| Err(unreachable("no connection in time".into())))
}
