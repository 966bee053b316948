//! The listening side of the cluster's port.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use futures_util::Stream;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tonic::transport::server::{Connected, Router, Server};

use super::BoxedIo;
use super::connection::{CALL_WINDOW_BYTES, CONNECTION_WINDOW_BYTES, FRAME_BYTES};
use super::connection_limits::ConnectionPermit;
use crate::tls::peer::Role;

/// Silence after which a peer is asked whether it still lives.
const PING_AFTER: Duration = Duration::from_secs(5);

/// Calls that a peer may have given up before this node has looked at them, as happens to a node that was stopped
/// for a while. Past it the connection is closed; the protocol's own default, 20, is for strangers.
const GIVEN_UP_MAX: usize = 10_000;

/// Calls of one connection at a time; further ones wait at the peer. Each subscription and each request that a node
/// relays for a client is one.
const CALLS_MAX: u32 = 16_384;

/// Far end of a connection to the cluster's port.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Caller {
    /// The peer proved this role by its certificate.
    Proven(Role),
    /// Without certificates the peer is the node that its requests name.
    Unproven,
}

/// A connection that a peer has opened.
pub struct Accepted {
    pub(super) io: BoxedIo,
    pub(super) caller: Caller,
    /// Held as long as the connection lasts.
    pub(super) _permit: Option<ConnectionPermit>,
}

impl Accepted {
    /// A connection over a transport without certificates.
    pub fn unproven(io: BoxedIo) -> Self {
        Self { io, caller: Caller::Unproven, _permit: None }
    }
}

/// Peers as they connect.
pub type Incoming = Pin<Box<dyn Stream<Item = io::Result<Accepted>> + Send>>;

/// The server to add services to.
pub fn server() -> Server {
    Server::builder()
        .initial_stream_window_size(CALL_WINDOW_BYTES)
        .initial_connection_window_size(CONNECTION_WINDOW_BYTES)
        .max_frame_size(FRAME_BYTES)
        .max_concurrent_streams(CALLS_MAX)
        .http2_keepalive_interval(Some(PING_AFTER))
        .http2_max_pending_accept_reset_streams(Some(GIVEN_UP_MAX))
        .tcp_nodelay(true)
}

/// Serves peers until `stop` is over.
///
/// # Errors
/// Why it ended before.
pub async fn serve(
    router: Router,
    incoming: Incoming,
    stop: impl Future<Output = ()>,
) -> Result<(), tonic::transport::Error> {
    router.serve_with_incoming_shutdown(incoming, stop).await
}

impl Connected for Accepted {
    type ConnectInfo = Caller;

    fn connect_info(&self) -> Caller {
        self.caller
    }
}

impl AsyncRead for Accepted {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        into: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_read(context, into)
    }
}

impl AsyncWrite for Accepted {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.io).poll_write(context, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_shutdown(context)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.io).poll_write_vectored(context, slices)
    }

    fn is_write_vectored(&self) -> bool {
        self.io.is_write_vectored()
    }
}
