//! The cluster's connections over TCP, inside mutual TLS when there are certificates.

use std::collections::VecDeque;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use futures_util::FutureExt;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc;
use tokio::task::{AbortHandle, JoinSet};

use super::connection_limits::ConnectionLimits;
use super::{Accepted, BoxedIo, Caller, Destination, Dial, Incoming};
use crate::observability::logs;
use crate::room::Descriptors;
use crate::shell::{OwnerGone, Shell};
use crate::tls;
use crate::tls::peer::PeerTls;

/// Pause after a failed accept: out of file descriptors, the next one would fail as well.
const ACCEPT_RETRY: Duration = Duration::from_millis(100);
/// Handshakes under way at a time. Past it the oldest is given up: nodes need milliseconds, and strangers that say
/// nothing keep nobody out.
const HANDSHAKES_MAX: usize = 64;
/// How often a failed handshake, or a failed accept, is logged at most: each is tried again and again.
const WARN_EVERY: Duration = Duration::from_secs(10);
static REFUSED: logs::LogSite = logs::LogSite::with_pause(WARN_EVERY);
static FAILED: logs::LogSite = logs::LogSite::with_pause(WARN_EVERY);

/// Dials nodes; names are looked up each time. Where there are certificates the node has to prove its id.
pub fn dial(tls: Option<PeerTls>) -> Dial {
    Arc::new(move |Destination { node, address }| {
        let tls = tls.clone();
        async move {
            let stream = TcpStream::connect(&address).await?;
            stream.set_nodelay(true)?;
            let Some(tls) = tls else { return Ok(Box::new(stream) as BoxedIo) };
            let host = address.rsplit_once(':').map_or(address.as_str(), |(host, _)| host);
            Ok(Box::new(tls.connect(stream, host, node).await.map_err(explained)?) as BoxedIo)
        }
        .boxed()
    })
}

/// Listens for peers at an address, or at the first that works of the addresses of a `HOST:PORT`.
///
/// # Errors
/// When none can be listened on.
pub async fn listen(address: &str, tls: Option<PeerTls>) -> io::Result<(SocketAddr, Incoming)> {
    let listener = TcpListener::bind(address).await?;
    Ok((listener.local_addr()?, incoming(listener, tls)))
}

/// Takes peers from a listener.
pub fn incoming(listener: TcpListener, tls: Option<PeerTls>) -> Incoming {
    let (accepted, mut taken) = mpsc::channel(HANDSHAKES_MAX);
    // A simulation has a network of its own.
    Shell::Threads.spawn_owned("peers' connections", accept(listener, tls, accepted));
    Box::pin(futures_util::stream::poll_fn(move |context| taken.poll_recv(context).map(|io| io.map(Ok))))
}

/// Takes connections until nobody wants them any more. A peer that is slow with its handshake holds nobody up, and past
/// its bound a connection is closed.
async fn accept(listener: TcpListener, tls: Option<PeerTls>, accepted: mpsc::Sender<Accepted>) -> OwnerGone {
    let connection_limits = ConnectionLimits::new(Descriptors::found().peers);
    let mut handshakes = JoinSet::new();
    let mut oldest: VecDeque<AbortHandle> = VecDeque::new();
    loop {
        tokio::select! {
            () = accepted.closed() => return OwnerGone,
            Some(shaken) = handshakes.join_next() => {
                if let Ok(Some(failure)) = shaken && let Some(more) = REFUSED.admit() {
                    let (peer, error): (SocketAddr, io::Error) = failure;
                    let more = (more > 0).then_some(more);
                    tracing::warn!(more, %peer, %error, "a connection to the cluster's port is refused");
                }
            }
            connection = listener.accept() => match connection {
                Ok((stream, peer)) => {
                    oldest.retain(|handshake| !handshake.is_finished());
                    if oldest.len() >= HANDSHAKES_MAX && let Some(handshake) = oldest.pop_front() {
                        handshake.abort();
                    }
                    let (tls, connection_limits, accepted) = (tls.clone(), connection_limits.clone(), accepted.clone());
                    oldest.push_back(handshakes.spawn(async move {
                        match shake_hands(stream, tls, &connection_limits).await {
                            // A server that has stopped takes none.
                            Ok(connection) => drop(accepted.send(connection).await),
                            Err(error) => return Some((peer, error)),
                        }
                        None
                    }));
                }
                Err(error) => {
                    if let Some(more) = FAILED.admit() {
                        tracing::warn!(more = (more > 0).then_some(more), %error, "cannot accept a peer's connection");
                    }
                    tokio::time::sleep(ACCEPT_RETRY).await;
                }
            }
        }
    }
}

async fn shake_hands(
    stream: TcpStream,
    tls: Option<PeerTls>,
    connection_limits: &Arc<ConnectionLimits>,
) -> io::Result<Accepted> {
    stream.set_nodelay(true)?;
    let (io, caller): (BoxedIo, _) = match tls {
        None => (Box::new(stream), Caller::Unproven),
        Some(tls) => {
            let (stream, role) = tls.accept(stream).await.map_err(explained)?;
            (Box::new(stream), Caller::Proven(role))
        }
    };
    let permit = connection_limits.take(caller).map_err(io::Error::other)?;
    Ok(Accepted { io, caller, _permit: Some(permit) })
}

/// Explains the error of a handshake: a peer without TLS is most likely a node that was started without certificates.
fn explained(error: io::Error) -> io::Error {
    if !tls::is_foreign_message(&error) {
        return error;
    }
    let reason = "the other end does not speak TLS: give --cluster-certificate to every node and to `tidelog cluster`, \
                  or to none";
    io::Error::new(error.kind(), reason)
}
