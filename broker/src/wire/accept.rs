//! The accept loop of one listener, which owns the listener's connections until the last has ended.
//!
//! A connection needs two things: a *slot*, one of a bounded number ([`take_slot`]), and memory, which its account is
//! charged for ([`Client::open`]). A connection that lacks one of them asks another connection to close
//! ([`Accounts::free_slot`](crate::room::Accounts::free_slot)) and waits a moment for what that one gives up
//! ([`settle`]). A connection that gets neither is *past the bound*: it has one of a few slots of its own, needs no
//! memory of the class, and gets one answer. docs/design/memory.md, "Connections", has the rules by which connections
//! are closed.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use metrics::Gauge;
use socket2::{SockRef, TcpKeepalive};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, watch};
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};
use tracing::{debug, warn};

use super::bounds::{
    KEEPALIVE_AFTER, KEEPALIVE_EVERY, KEEPALIVE_PROBES, KERNEL_UNSENT_BYTES, SLOT_PATIENCE,
    UNACKNOWLEDGED_MAX,
};
use super::client::Client;
use super::{Gateway, Interface, connection};
use crate::observability::logs;
use crate::room::Full;
use crate::shell::OwnerGone;

/// Pause after a failed accept: out of file descriptors, the next one would fail as well.
const ACCEPT_RETRY: Duration = Duration::from_millis(100);
/// A broker that is out of file descriptors fails ten times a second, for as long as its clients like.
static FAILED: logs::LogSite = logs::LogSite::with_pause(Duration::from_secs(10));

/// Pause between two looks for the slot that another connection gives up.
const SLOT_PAUSE: Duration = Duration::from_millis(10);

/// A connection that was accepted, and its slot.
struct Accepted {
    stream: TcpStream,
    peer: SocketAddr,
    slot: ConnectionSlot,
}

/// Counts a connection as open until it is dropped, also by a panic.
struct OpenConnection<'a>(&'a Gauge);

impl<'a> OpenConnection<'a> {
    fn begin(open: &'a Gauge) -> Self {
        open.increment(1.0);
        Self(open)
    }
}

impl Drop for OpenConnection<'_> {
    fn drop(&mut self) {
        self.0.decrement(1.0);
    }
}

/// The right to be open, one of a bounded number.
enum ConnectionSlot {
    /// One of the slots of connections that are served.
    Regular(OwnedSemaphorePermit),
    /// One of the few slots of connections that get one answer.
    PastTheBound(OwnedSemaphorePermit),
}

/// Takes a regular slot if one is free, otherwise whichever slot is free first.
async fn take_slot(gateway: &Gateway) -> ConnectionSlot {
    let never = "the semaphores of connections are never closed";
    if let Ok(slot) = gateway.connections.clone().try_acquire_owned() {
        return ConnectionSlot::Regular(slot);
    }
    tokio::select! {
        biased;
        slot = gateway.slots_past_the_bound.clone().acquire_owned() => ConnectionSlot::PastTheBound(slot.expect(never)),
        slot = gateway.connections.clone().acquire_owned() => ConnectionSlot::Regular(slot.expect(never)),
    }
}

/// Serves `listener` until `stopping` is true and its connections have ended, or
/// [`Bounds::drain`](super::Bounds::drain) has passed since.
pub async fn serve(
    listener: TcpListener,
    gateway: Arc<Gateway>,
    stopping: watch::Receiver<bool>,
) -> OwnerGone {
    if let Err(error) = bound_kernel_buffers(&listener, gateway.bounds.kernel_receive_bytes) {
        warn!(%error, "cannot bound the kernel's buffers of connections; they have the system's sizes");
    }
    if let Err(error) = watch_for_silence(&listener) {
        warn!(%error, "cannot make the kernel detect vanished clients; the broker's own deadlines close their connections");
    }
    let interface = listener.local_addr().map_or(Interface::Network, |address| Interface::of(address.ip()));
    let mut connections = JoinSet::new();
    let (mut stop, mut slot) = (stopping.clone(), None);
    loop {
        tokio::select! {
            biased;
            _ = stop.wait_for(|stop| *stop) => break,
            Some(ended) = connections.join_next() => report(ended),
            accepted = accept(&listener, &gateway, &mut slot) => {
                connections.spawn(serve_one(accepted, interface, Arc::clone(&gateway), stopping.clone()));
            }
        }
    }
    drop(listener);
    let ended =
        timeout(gateway.bounds.drain, async { while connections.join_next().await.is_some() {} }).await;
    if ended.is_err() {
        warn!(
            connections = connections.len(),
            "closing connections that are still busy at the end of the drain"
        );
        connections.shutdown().await;
    }
    OwnerGone
}

/// Makes the kernel detect clients that have vanished, also while an answer to them is under way.
fn watch_for_silence(listener: &TcpListener) -> std::io::Result<()> {
    let socket = SockRef::from(listener);
    let keepalive = TcpKeepalive::new().with_time(KEEPALIVE_AFTER).with_interval(KEEPALIVE_EVERY);
    socket.set_tcp_keepalive(&keepalive.with_retries(KEEPALIVE_PROBES))?;
    #[cfg(any(target_os = "linux", target_os = "android"))]
    socket.set_tcp_user_timeout(Some(UNACKNOWLEDGED_MAX))?;
    Ok(())
}

/// Bounds the bytes that the kernel buffers for a listener's connections, which inherit the bounds: unsent bytes
/// always, unread bytes where memory is small. A control group counts both as memory of the process.
fn bound_kernel_buffers(listener: &TcpListener, receive_bytes: Option<usize>) -> std::io::Result<()> {
    let socket = SockRef::from(listener);
    #[cfg(any(target_os = "linux", target_os = "android"))]
    socket.set_tcp_notsent_lowat(KERNEL_UNSENT_BYTES)?;
    receive_bytes.map_or(Ok(()), |bytes| socket.set_recv_buffer_size(bytes))
}

/// Serves a connection without TLS that another transport has accepted, such as a simulated network, until it ends.
///
/// # Errors
/// The reason for its end other than a regular close.
pub async fn serve_plain<S: AsyncRead + AsyncWrite + Send + Unpin + 'static>(
    stream: S,
    gateway: Arc<Gateway>,
    stopping: watch::Receiver<bool>,
) -> Result<(), String> {
    connection::serve_plain(stream, &gateway, stopping).await
}

/// Accepts the next connection, once there is a `slot` for it. A slot that was found survives the cancellation of this
/// future: the slot may be one that another connection has just given up for the connection that waits here.
async fn accept(listener: &TcpListener, gateway: &Gateway, slot: &mut Option<ConnectionSlot>) -> Accepted {
    loop {
        if slot.is_none() {
            *slot = Some(take_slot(gateway).await);
        }
        match listener.accept().await {
            Ok((stream, peer)) => {
                let slot = slot.take().expect("it was found above");
                return Accepted { stream, peer, slot };
            }
            Err(error) => {
                if let Some(more) = FAILED.admit() {
                    warn!(more = (more > 0).then_some(more), %error, "cannot accept a connection");
                }
                sleep(ACCEPT_RETRY).await;
            }
        }
    }
}

async fn serve_one(
    accepted: Accepted,
    interface: Interface,
    gateway: Arc<Gateway>,
    stopping: watch::Receiver<bool>,
) {
    let Accepted { stream, peer, slot } = accepted;
    let _open = OpenConnection::begin(&gateway.connections_open);
    let outcome = match settle(&gateway, slot, (peer, interface)).await {
        (ConnectionSlot::Regular(_place), client) => {
            connection::serve(stream, &gateway, &client, stopping).await
        }
        (ConnectionSlot::PastTheBound(_place), client) => {
            connection::serve_past_the_bound(stream, &gateway, &client).await
        }
    };
    if let Err(reason) = outcome {
        debug!(%peer, reason, "connection ended");
    }
}

/// Admits an accepted connection: it gets a regular slot and memory, if need be by asking another connection to close.
/// Otherwise the connection is past the bound.
async fn settle(
    gateway: &Gateway,
    slot: ConnectionSlot,
    (peer, interface): (SocketAddr, Interface),
) -> (ConnectionSlot, Arc<Client>) {
    // A regular slot may have become free since this connection was accepted.
    let regular = match slot {
        ConnectionSlot::PastTheBound(_) => gateway.connections.clone().try_acquire_owned().ok(),
        ConnectionSlot::Regular(_) => None,
    };
    let slot = match (regular, slot) {
        (Some(regular), _) | (None, ConnectionSlot::Regular(regular)) => {
            match Client::open(&gateway.room, peer.ip(), interface) {
                Ok(client) => return (ConnectionSlot::Regular(regular), client),
                // No memory: the connection keeps the slot while another one gives up its memory.
                Err(Full) => regular,
            }
        }
        (None, ConnectionSlot::PastTheBound(slot)) => slot,
    };
    let client = Client::past_the_bound(&gateway.room, peer.ip(), interface);
    if gateway.room.accounts.free_slot(&client.account, &gateway.room.connections) {
        let freed = async {
            loop {
                if let Ok(regular) = gateway.connections.clone().try_acquire_owned()
                    && let Ok(client) = Client::open(&gateway.room, peer.ip(), interface)
                {
                    return (ConnectionSlot::Regular(regular), client);
                }
                sleep(SLOT_PAUSE).await;
            }
        };
        if let Ok(settled) = timeout(SLOT_PATIENCE, freed).await {
            return settled;
        }
    }
    (ConnectionSlot::PastTheBound(slot), client)
}

fn report(ended: Result<(), tokio::task::JoinError>) {
    if let Err(error) = ended {
        crate::log_at_most_once_a_second!(error, %error, "the task of a connection panicked; the connection is closed");
    }
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use super::*;

    #[tokio::test]
    async fn connections_take_over_the_bounds_of_their_listener() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        bound_kernel_buffers(&listener, Some(64 << 10)).unwrap();
        let _client = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
        let (accepted, _) = listener.accept().await.unwrap();
        let socket = SockRef::from(&accepted);
        assert_eq!(socket.tcp_notsent_lowat().unwrap(), KERNEL_UNSENT_BYTES);
        assert!(socket.recv_buffer_size().unwrap() <= 2 * (64 << 10));
    }
}
