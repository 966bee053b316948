//! The cluster's connections over TCP, inside mutual TLS when there are certificates.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use futures_util::FutureExt;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc;
use tokio::task::JoinSet;

use super::{Accepted, BoxedIo, Dial, Incoming};
use crate::observability::logs::Place;
use crate::shell::{OwnerGone, Shell};
use crate::tls::peer::PeerTls;

/// Pause after a failed accept: out of file descriptors, the next one would fail as well.
const ACCEPT_RETRY: Duration = Duration::from_millis(100);
/// Handshakes under way at a time; further connections wait.
const HANDSHAKES_MAX: usize = 64;
/// How often a failed handshake, or a failed accept, is logged at most: each is tried again and again.
const WARN_EVERY: Duration = Duration::from_secs(10);
static REFUSED: Place = Place::with_pause(WARN_EVERY);
static FAILED: Place = Place::with_pause(WARN_EVERY);

/// Dials `HOST:PORT`; names are looked up each time.
pub fn dial(tls: Option<PeerTls>) -> Dial {
    Arc::new(move |address: String| {
        let tls = tls.clone();
        async move {
            let stream = TcpStream::connect(&address).await?;
            stream.set_nodelay(true)?;
            let Some(tls) = tls else { return Ok(Box::new(stream) as BoxedIo) };
            let host = address.rsplit_once(':').map_or(address.as_str(), |(host, _)| host);
            Ok(Box::new(tls.connect(stream, host).await.map_err(explained)?) as BoxedIo)
        }
        .boxed()
    })
}

/// Listens for peers at an address, or at the first that works of what a `HOST:PORT` stands for.
///
/// # Errors
/// When none can be listened on.
pub async fn listen(address: &str, tls: Option<PeerTls>) -> io::Result<(SocketAddr, Incoming)> {
    let listener = TcpListener::bind(address).await?;
    let bound = listener.local_addr()?;
    let (accepted, mut taken) = mpsc::channel(HANDSHAKES_MAX);
    // A simulation has a network of its own.
    Shell::Threads.spawn_owned("peers' connections", accept(listener, tls, accepted));
    let incoming =
        futures_util::stream::poll_fn(move |context| taken.poll_recv(context).map(|io| io.map(Ok)));
    Ok((bound, Box::pin(incoming)))
}

/// Takes connections until nobody wants them any more. A peer that is slow with its handshake holds nobody up.
async fn accept(listener: TcpListener, tls: Option<PeerTls>, accepted: mpsc::Sender<Accepted>) -> OwnerGone {
    let mut handshakes = JoinSet::new();
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
            connection = listener.accept(), if handshakes.len() < HANDSHAKES_MAX => match connection {
                Ok((stream, peer)) => {
                    let (tls, accepted) = (tls.clone(), accepted.clone());
                    handshakes.spawn(async move {
                        match shake_hands(stream, tls).await {
                            // A server that has stopped takes none.
                            Ok(io) => drop(accepted.send(Accepted(io)).await),
                            Err(error) => return Some((peer, error)),
                        }
                        None
                    });
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

async fn shake_hands(stream: TcpStream, tls: Option<PeerTls>) -> io::Result<BoxedIo> {
    stream.set_nodelay(true)?;
    match tls {
        None => Ok(Box::new(stream)),
        Some(tls) => Ok(Box::new(tls.accept(stream).await.map_err(explained)?)),
    }
}

/// What is not TLS at all is most likely a node that was started without certificates.
fn explained(error: io::Error) -> io::Error {
    if !error.to_string().contains("corrupt message") {
        return error;
    }
    let reason = "the other end does not speak TLS: give --cluster-certificate to every node and to `tidelog cluster`, \
                  or to none";
    io::Error::new(error.kind(), reason)
}
