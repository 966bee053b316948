//! The accept loop of one listener; it owns the listener's connections until the last has ended.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use socket2::SockRef;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, watch};
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};
use tracing::{debug, warn};

use super::bounds::{KERNEL_RECEIVE_BYTES, KERNEL_UNSENT_BYTES};
use super::client::Client;
use super::{Gateway, connection};
use crate::room::Full;

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
    if let Err(error) = bound_kernel_buffers(&listener) {
        warn!(%error, "cannot bound the kernel's buffers of connections; they take what the system gives them");
    }
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

/// Bounds what the kernel buffers of a listener's connections, which take it over: a socket's buffers count as the
/// process's memory, and grow to tens of MiB where nobody bounds them.
fn bound_kernel_buffers(listener: &TcpListener) -> std::io::Result<()> {
    let socket = SockRef::from(listener);
    #[cfg(any(target_os = "linux", target_os = "android"))]
    socket.set_tcp_notsent_lowat(KERNEL_UNSENT_BYTES)?;
    socket.set_recv_buffer_size(KERNEL_RECEIVE_BYTES)
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
    let client = match Client::open(&gateway.room, peer.ip()) {
        Ok(client) => client,
        Err(Full) => {
            gateway.room.connections.note_refusal();
            return;
        }
    };
    gateway.connections_open.increment(1.0);
    let outcome = connection::serve(stream, &gateway, &client, stopping).await;
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

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use super::*;

    #[tokio::test]
    async fn connections_take_over_the_bounds_of_their_listener() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        bound_kernel_buffers(&listener).unwrap();
        let _client = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
        let (accepted, _) = listener.accept().await.unwrap();
        let socket = SockRef::from(&accepted);
        assert_eq!(socket.tcp_notsent_lowat().unwrap(), KERNEL_UNSENT_BYTES);
        assert!(socket.recv_buffer_size().unwrap() <= 2 * KERNEL_RECEIVE_BYTES);
    }
}
