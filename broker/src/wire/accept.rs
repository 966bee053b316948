//! The accept loop of one listener; it owns the listener's connections until the last has ended.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, watch};
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};
use tracing::{debug, warn};

use super::{Gateway, connection};

/// Pause after a failed accept: out of file descriptors, the next one would fail as well.
const ACCEPT_RETRY: Duration = Duration::from_millis(100);

/// A connection that was taken, and the room it takes among the open ones.
struct Accepted {
    stream: TcpStream,
    peer: SocketAddr,
    room: OwnedSemaphorePermit,
}

/// Serves `listener` until `stopping` is true and its connections have ended, or
/// [`Bounds::drain`](super::Bounds::drain) has passed since.
pub async fn serve(listener: TcpListener, gateway: Arc<Gateway>, stopping: watch::Receiver<bool>) {
    let mut connections = JoinSet::new();
    let mut stop = stopping.clone();
    loop {
        tokio::select! {
            biased;
            _ = stop.wait_for(|stop| *stop) => break,
            Some(ended) = connections.join_next() => report(ended),
            accepted = accept(&listener, &gateway) => {
                connections.spawn(serve_one(accepted, Arc::clone(&gateway), stopping.clone()));
            }
        }
    }
    drop(listener);
    let ended =
        timeout(gateway.bounds.drain, async { while connections.join_next().await.is_some() {} }).await;
    if ended.is_err() {
        warn!(connections = connections.len(), "connections still busy at the end of the drain are cut");
        connections.shutdown().await;
    }
}

/// Serves a connection without TLS that another transport has accepted, such as a simulated network, until it ends.
///
/// # Errors
/// What ended it other than a regular close.
pub async fn serve_plain<S: AsyncRead + AsyncWrite + Send + Unpin + 'static>(
    stream: S,
    gateway: Arc<Gateway>,
    stopping: watch::Receiver<bool>,
) -> Result<(), String> {
    connection::serve_plain(stream, &gateway, stopping).await
}

/// Takes the next connection, once there is room for it.
async fn accept(listener: &TcpListener, gateway: &Gateway) -> Accepted {
    loop {
        let room = Arc::clone(&gateway.connections).acquire_owned().await;
        let room = room.expect("the semaphore of connections is never closed");
        match listener.accept().await {
            Ok((stream, peer)) => return Accepted { stream, peer, room },
            Err(error) => {
                warn!(%error, "cannot accept a connection");
                sleep(ACCEPT_RETRY).await;
            }
        }
    }
}

async fn serve_one(accepted: Accepted, gateway: Arc<Gateway>, stopping: watch::Receiver<bool>) {
    let Accepted { stream, peer, room } = accepted;
    gateway.connections_open.increment(1.0);
    let outcome = connection::serve(stream, &gateway, stopping).await;
    gateway.connections_open.decrement(1.0);
    if let Err(reason) = outcome {
        debug!(%peer, reason, "connection ended");
    }
    drop(room);
}

fn report(ended: Result<(), tokio::task::JoinError>) {
    if let Err(error) = ended {
        tracing::error!(%error, "a connection's task failed");
    }
}
