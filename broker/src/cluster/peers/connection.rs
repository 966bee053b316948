//! One HTTP/2 connection to a peer, which tells its callers whether a call was handed to it.

use std::task::{Context, Poll};
use std::time::Duration;

use futures_util::future::{BoxFuture, FutureExt};
use hyper::body::Incoming;
use hyper::client::conn::http2::{Builder, SendRequest};
use hyper::{Error, Request, Response};
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use tonic::body::Body;
use tonic::codegen::Service;

use super::{BoxedIo, Lane};
use crate::shell::spawn_short;

/// Silence on a connection with calls under way after which it is asked whether it still lives.
const PING_AFTER: Duration = Duration::from_secs(1);
/// Silence after that after which it is given up.
const PING_DEADLINE: Duration = Duration::from_secs(2);
/// Bytes of one call that may be under way to or from a peer before it takes them.
pub(super) const CALL_WINDOW_BYTES: u32 = 8 << 20;
/// The window of all calls of a connection together, in bytes.
pub(super) const CONNECTION_WINDOW_BYTES: u32 = 32 << 20;
/// Bytes of one event stream that may be under way before its client takes them.
const EVENTS_WINDOW_BYTES: u32 = 64 << 10;
/// The window of all event streams of a connection together: so much that those whose clients take nothing never hold
/// up the others. The most that HTTP/2 knows.
const EVENTS_CONNECTION_WINDOW_BYTES: u32 = (1 << 31) - 1;
/// Bytes of one frame: few of them for a large entry.
pub(super) const FRAME_BYTES: u32 = 1 << 20;

/// One HTTP/2 connection to a peer. Clones share it.
#[derive(Clone, Debug)]
pub struct PeerConnection {
    requests: SendRequest<Body>,
}

impl PeerConnection {
    /// Speaks HTTP/2 over an open connection. It ends with the last clone and the last call.
    ///
    /// # Errors
    /// When the peer does not speak it.
    pub async fn over(io: BoxedIo, lane: Lane) -> Result<Self, Error> {
        let (call_window, connection_window) = match lane {
            Lane::Events => (EVENTS_WINDOW_BYTES, EVENTS_CONNECTION_WINDOW_BYTES),
            Lane::Control | Lane::Log | Lane::Files | Lane::Requests => {
                (CALL_WINDOW_BYTES, CONNECTION_WINDOW_BYTES)
            }
        };
        let (requests, connection) = Builder::new(TokioExecutor::new())
            .timer(TokioTimer::new())
            .initial_stream_window_size(call_window)
            .initial_connection_window_size(connection_window)
            .max_frame_size(FRAME_BYTES)
            .keep_alive_interval(PING_AFTER)
            .keep_alive_timeout(PING_DEADLINE)
            .handshake(TokioIo::new(io))
            .await?;
        spawn_short(async move {
            if let Err(error) = connection.await {
                tracing::debug!(%error, "a connection to a peer has ended");
            }
        });
        Ok(Self { requests })
    }

    /// Whether it still takes calls.
    pub fn is_usable(&self) -> bool {
        !self.requests.is_closed()
    }
}

impl Service<Request<Body>> for PeerConnection {
    type Response = Response<Incoming>;
    type Error = Error;
    type Future = BoxFuture<'static, Result<Self::Response, Error>>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), Error>> {
        self.requests.poll_ready(context)
    }

    fn call(&mut self, request: Request<Body>) -> Self::Future {
        self.requests.send_request(request).boxed()
    }
}
