//! One connection: its first bytes tell HTTP/2 with prior knowledge from HTTP/1.1, then hyper serves it.

use std::error::Error;
use std::io;
use std::pin::pin;
use std::sync::Arc;

use bytes::BytesMut;
use hyper::server::conn::{http1, http2};
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use tokio::io::AsyncReadExt;
use tokio::net::TcpStream;
use tokio::sync::watch;
use tokio::time::timeout;

use super::bounds::{
    HTTP1_BUFFER_MAX, HTTP2_CONNECTION_WINDOW, HTTP2_FRAME_MAX, HTTP2_HEADER_LIST_MAX, HTTP2_PING,
    HTTP2_SEND_BUFFER_MAX, HTTP2_STREAM_WINDOW, HTTP2_STREAMS_MAX,
};
use super::transport::Transport;
use super::{Gateway, exchange};

/// How every HTTP/2 client begins (RFC 9113, section 3.4).
const HTTP2_PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

/// What a connection speaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Protocol {
    Http1,
    Http2,
}

/// Serves a connection until the client closes it, a bound is passed, or `stopping` is true and it is idle.
///
/// # Errors
/// What ended it other than a regular close; good for a debug line only.
pub(super) async fn serve(
    stream: TcpStream,
    gateway: &Arc<Gateway>,
    mut stopping: watch::Receiver<bool>,
) -> Result<(), String> {
    stream.set_nodelay(true).map_err(|error| error.to_string())?;
    let mut stream = stream;
    let mut first = BytesMut::with_capacity(HTTP2_PREFACE.len());
    let protocol = tokio::select! {
        protocol = timeout(gateway.bounds.first_bytes, sniff(&mut stream, &mut first)) => protocol,
        _ = stopping.wait_for(|stop| *stop) => return Ok(()),
    };
    let protocol = match protocol {
        Ok(Ok(Some(protocol))) => protocol,
        Ok(Ok(None)) => return Ok(()),
        Ok(Err(error)) => return Err(error.to_string()),
        Err(_) => return Err("no first bytes within their deadline".into()),
    };
    let io = TokioIo::new(Transport::new(stream, first.freeze(), gateway.bounds.stall));
    match protocol {
        Protocol::Http1 => serve_http1(io, gateway, stopping).await,
        Protocol::Http2 => serve_http2(io, gateway, stopping).await,
    }
    .map_err(|error| error.source().map_or_else(|| error.to_string(), |source| format!("{error}: {source}")))
}

/// Reads until the protocol is certain. `None`: closed before that.
async fn sniff(stream: &mut TcpStream, first: &mut BytesMut) -> io::Result<Option<Protocol>> {
    while first.len() < HTTP2_PREFACE.len() {
        let wanted = (HTTP2_PREFACE.len() - first.len()) as u64;
        if stream.take(wanted).read_buf(first).await? == 0 {
            return Ok(None);
        }
        if !HTTP2_PREFACE.starts_with(first) {
            return Ok(Some(Protocol::Http1));
        }
    }
    Ok(Some(Protocol::Http2))
}

async fn serve_http1(
    io: TokioIo<Transport>,
    gateway: &Arc<Gateway>,
    mut stopping: watch::Receiver<bool>,
) -> hyper::Result<()> {
    let service = service_fn(|request| exchange::answer(gateway, request));
    let mut connection = pin!(
        http1::Builder::new()
            .timer(TokioTimer::new())
            .header_read_timeout(gateway.bounds.idle)
            .max_buf_size(HTTP1_BUFFER_MAX)
            .serve_connection(io, service)
    );
    tokio::select! {
        outcome = &mut connection => return outcome,
        _ = stopping.wait_for(|stop| *stop) => connection.as_mut().graceful_shutdown(),
    }
    connection.await
}

async fn serve_http2(
    io: TokioIo<Transport>,
    gateway: &Arc<Gateway>,
    mut stopping: watch::Receiver<bool>,
) -> hyper::Result<()> {
    let shared = Arc::clone(gateway);
    let service = service_fn(move |request| {
        let gateway = Arc::clone(&shared);
        async move { exchange::answer(&gateway, request).await }
    });
    let mut connection = pin!(
        http2::Builder::new(TokioExecutor::new())
            .timer(TokioTimer::new())
            .initial_stream_window_size(HTTP2_STREAM_WINDOW)
            .initial_connection_window_size(HTTP2_CONNECTION_WINDOW)
            .max_frame_size(HTTP2_FRAME_MAX)
            .max_send_buf_size(HTTP2_SEND_BUFFER_MAX)
            .max_concurrent_streams(HTTP2_STREAMS_MAX)
            .max_header_list_size(HTTP2_HEADER_LIST_MAX)
            .keep_alive_interval(HTTP2_PING)
            .keep_alive_timeout(HTTP2_PING)
            .serve_connection(io, service)
    );
    tokio::select! {
        outcome = &mut connection => return outcome,
        _ = stopping.wait_for(|stop| *stop) => connection.as_mut().graceful_shutdown(),
    }
    connection.await
}
