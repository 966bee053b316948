//! One connection. Its first bytes distinguish TLS, HTTP/2 with prior knowledge and HTTP/1.1; inside TLS, ALPN does, or
//! the first bytes again. Then hyper serves the connection.

use std::error::Error;
use std::io;
use std::net::{IpAddr, Ipv4Addr};
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use hyper::server::conn::{http1, http2};
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite};
use tokio::net::TcpStream;
use tokio::sync::watch;
use tokio::time::{Instant, sleep, sleep_until, timeout};

use super::bounds::{
    GOODBYE, GOODBYE_WHEN_IDLE, HEADERS_BYTES_MAX, HTTP1_BUFFER_MAX, HTTP2_FRAME_MAX, HTTP2_PING,
    HTTP2_RESETS_MAX, HTTP2_SEND_BUFFER_MAX, PAST_THE_BOUND_DEADLINE,
};
use super::client::Client;
use super::stall::{StreamTasks, watched};
use super::transport::Transport;
use super::{Gateway, Interface, exchange};
use crate::room::Full;
use crate::service::Reader;
use crate::tls::{Agreed, SecureStream};

/// How every HTTP/2 client begins (RFC 9113, section 3.4).
const HTTP2_PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

/// How every TLS client begins: a handshake record of SSL 3.x, which TLS goes by to this day (RFC 8446, section 5.1).
const TLS_HANDSHAKE: &[u8] = &[0x16, 0x03];

/// The protocol of a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Protocol {
    Http1,
    Http2,
    Tls,
}

/// A connection whose protocol is known.
enum Opened {
    Plain(Transport<TcpStream>, Protocol),
    Secure(Box<Transport<SecureStream<Transport<TcpStream>>>>, Protocol),
}

/// Serves a connection until the client closes it, a bound is passed, or `stopping` is true and it is idle.
///
/// # Errors
/// The reason for its end other than a regular close; good for a debug line only.
pub(super) async fn serve(
    stream: TcpStream,
    gateway: &Arc<Gateway>,
    client: &Arc<Client>,
    mut stopping: watch::Receiver<bool>,
) -> Result<(), String> {
    stream.set_nodelay(true).map_err(|error| error.to_string())?;
    let opened = tokio::select! {
        opened = timeout(gateway.bounds.first_bytes, open(stream, gateway, client)) => opened,
        _ = stopping.wait_for(|stop| *stop) => return Ok(()),
        () = client.account.closed() => return Err("closed before its first bytes to free a slot".into()),
    };
    match opened {
        Ok(Ok(Some(Opened::Plain(stream, protocol)))) => {
            serve_http(stream, protocol, gateway, client, stopping).await
        }
        Ok(Ok(Some(Opened::Secure(stream, protocol)))) => {
            // Boxed, so that plain connections are not as large as these.
            Box::pin(serve_http(*stream, protocol, gateway, client, stopping)).await
        }
        Ok(Ok(None)) => Ok(()),
        Ok(Err(error)) => Err(error.to_string()),
        Err(_) => Err("no first bytes, or no TLS handshake, within their deadline".into()),
    }
}

/// Serves one request of a connection past the bound: operators' pages are answered, every other request is refused.
///
/// # Errors
/// The reason for its end other than a regular close.
pub(super) async fn serve_past_the_bound(
    stream: TcpStream,
    gateway: &Arc<Gateway>,
    client: &Arc<Client>,
) -> Result<(), String> {
    stream.set_nodelay(true).map_err(|error| error.to_string())?;
    let served = async {
        match open(stream, gateway, client).await {
            Ok(Some(Opened::Plain(stream, Protocol::Http1))) => {
                serve_one_request(stream, gateway, client).await
            }
            Ok(Some(Opened::Secure(stream, Protocol::Http1))) => {
                Box::pin(serve_one_request(*stream, gateway, client)).await
            }
            Ok(_) => Err("HTTP/2 past the bound of connections".into()),
            Err(error) => Err(error.to_string()),
        }
    };
    timeout(2 * PAST_THE_BOUND_DEADLINE, served)
        .await
        .unwrap_or_else(|_| Err("no request within its deadline".into()))
}

async fn serve_one_request<S: AsyncRead + AsyncWrite + Send + Unpin + 'static>(
    stream: Transport<S>,
    gateway: &Arc<Gateway>,
    client: &Arc<Client>,
) -> Result<(), String> {
    let service = service_fn(|request| exchange::answer_past_the_bound(gateway, client, request));
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(PAST_THE_BOUND_DEADLINE)
        .keep_alive(false)
        .max_header_size(HEADERS_BYTES_MAX)
        .max_buf_size(HTTP1_BUFFER_MAX)
        .serve_connection(TokioIo::new(stream), service);
    watched(None, connection).await.unwrap_or(Ok(())).map_err(|error| error.to_string())
}

/// The reason why a connection of HTTP/2 has to end.
#[derive(Clone, Copy)]
enum End {
    Stop,
    Unused,
    Wanted,
}

/// Waits for a connection to end after it was told to: for [`GOODBYE`], or for [`GOODBYE_WHEN_IDLE`] if nothing is
/// under way on it and another connection waits for its slot.
async fn ended<F: Future<Output = hyper::Result<()>>>(
    client: &Client,
    is_wanted: bool,
    connection: Pin<&mut F>,
) -> hyper::Result<()> {
    let given_up = async {
        let late = Instant::now() + GOODBYE;
        if is_wanted {
            loop {
                sleep(GOODBYE_WHEN_IDLE).await;
                if client.account.idle_ms().is_some() || Instant::now() >= late {
                    return;
                }
            }
        }
        sleep_until(late).await;
    };
    tokio::select! {
        outcome = connection => outcome,
        () = given_up => Ok(()),
    }
}

/// Returns once no request has been under way for that long.
async fn unused(client: &Client, idle: Duration) {
    loop {
        let left = match client.account.idle_ms() {
            Some(idle_ms) => idle.saturating_sub(Duration::from_millis(idle_ms)),
            None => idle,
        };
        if left.is_zero() {
            return;
        }
        sleep(left).await;
    }
}

/// Serves a connection like [`serve`], on a stream of any kind, without TLS.
pub(super) async fn serve_plain<S: AsyncRead + AsyncWrite + Send + Unpin + 'static>(
    mut stream: S,
    gateway: &Arc<Gateway>,
    stopping: watch::Receiver<bool>,
) -> Result<(), String> {
    match timeout(gateway.bounds.first_bytes, sniff(&mut stream)).await {
        Ok(Ok(Some((Protocol::Tls, _)))) => Err("a TLS handshake on a listener without TLS".into()),
        Ok(Ok(Some((protocol, first)))) => {
            let stream = Transport::new(stream, first, gateway.bounds.stall);
            let client = Client::open(&gateway.room, IpAddr::from(Ipv4Addr::LOCALHOST), Interface::Network);
            let client = client.map_err(|Full| "no room for another connection")?;
            serve_http(stream, protocol, gateway, &client, stopping).await
        }
        Ok(Ok(None)) => Ok(()),
        Ok(Err(error)) => Err(error.to_string()),
        Err(_) => Err("no first bytes within their deadline".into()),
    }
}

/// Determines the protocol of a connection, inside TLS where it uses TLS; `None` if it closed before that.
async fn open(mut stream: TcpStream, gateway: &Gateway, client: &Arc<Client>) -> io::Result<Option<Opened>> {
    let stall = gateway.bounds.stall;
    let Some((protocol, first)) = sniff(&mut stream).await? else { return Ok(None) };
    let stream = Transport::new(stream, first, stall).lingering(client.clone());
    if protocol != Protocol::Tls {
        return Ok(Some(Opened::Plain(stream, protocol)));
    }
    let Some(tls) = &gateway.tls else {
        return Err(io::Error::other("a TLS handshake on a listener without TLS"));
    };
    let (mut stream, agreed) = Box::pin(tls.accept(stream)).await?;
    let (protocol, first) = match agreed {
        // The first request may come later: clients keep connections in stock.
        Agreed::Http1 => (Protocol::Http1, Bytes::new()),
        Agreed::Http2 | Agreed::Nothing => match sniff(&mut stream).await? {
            Some(sniffed) => sniffed,
            None => return Ok(None),
        },
    };
    if protocol == Protocol::Tls || (agreed == Agreed::Http2 && protocol != Protocol::Http2) {
        return Err(io::Error::other(format!("{protocol:?} inside TLS, where {agreed:?} was agreed on")));
    }
    Ok(Some(Opened::Secure(Box::new(Transport::new(stream, first, stall)), protocol)))
}

/// Reads until the protocol is certain, and returns the protocol and the bytes; `None` if the connection closed before.
async fn sniff(stream: &mut (impl AsyncRead + Unpin)) -> io::Result<Option<(Protocol, Bytes)>> {
    let mut first = BytesMut::with_capacity(HTTP2_PREFACE.len());
    loop {
        let wanted = (HTTP2_PREFACE.len() - first.len()) as u64;
        if stream.take(wanted).read_buf(&mut first).await? == 0 {
            return Ok(None);
        }
        if let Some(protocol) = spoken(&first) {
            return Ok(Some((protocol, first.freeze())));
        }
    }
}

/// Finds the protocol of a connection that begins with these bytes; `None` when more bytes are needed.
fn spoken(first: &[u8]) -> Option<Protocol> {
    if first.starts_with(TLS_HANDSHAKE) {
        Some(Protocol::Tls)
    } else if first.starts_with(HTTP2_PREFACE) {
        Some(Protocol::Http2)
    } else if TLS_HANDSHAKE.starts_with(first) || HTTP2_PREFACE.starts_with(first) {
        None
    } else {
        Some(Protocol::Http1)
    }
}

async fn serve_http<S: AsyncRead + AsyncWrite + Send + Unpin + 'static>(
    stream: Transport<S>,
    protocol: Protocol,
    gateway: &Arc<Gateway>,
    client: &Arc<Client>,
    stopping: watch::Receiver<bool>,
) -> Result<(), String> {
    let io = TokioIo::new(stream);
    match protocol {
        Protocol::Http2 => serve_http2(io, gateway, client, stopping).await,
        Protocol::Http1 | Protocol::Tls => serve_http1(io, gateway, client, stopping).await,
    }
    .map_err(|error| error.source().map_or_else(|| error.to_string(), |source| format!("{error}: {source}")))
}

async fn serve_http1<S: AsyncRead + AsyncWrite + Send + Unpin + 'static>(
    io: TokioIo<Transport<S>>,
    gateway: &Arc<Gateway>,
    client: &Arc<Client>,
    mut stopping: watch::Receiver<bool>,
) -> hyper::Result<()> {
    let reader = Reader::connected();
    let service = service_fn(|request| reader.scope(exchange::answer(gateway, client, request)));
    let connection = async {
        let mut connection = pin!(
            http1::Builder::new()
                .timer(TokioTimer::new())
                // A client may say that it sends no more, and wait for its answer.
                .half_close(true)
                .header_read_timeout(gateway.bounds.idle)
                .max_header_size(HEADERS_BYTES_MAX)
                .max_buf_size(HTTP1_BUFFER_MAX)
                .serve_connection(io, service)
        );
        let is_stop = tokio::select! {
            outcome = &mut connection => return outcome,
            _ = stopping.wait_for(|stop| *stop) => true,
            () = client.account.closed() => false,
        };
        connection.as_mut().graceful_shutdown();
        if is_stop {
            return connection.await;
        }
        ended(client, true, connection).await
    };
    // The transport keeps the time of frames.
    watched(None, connection).await.unwrap_or(Ok(()))
}

async fn serve_http2<S: AsyncRead + AsyncWrite + Send + Unpin + 'static>(
    io: TokioIo<Transport<S>>,
    gateway: &Arc<Gateway>,
    client: &Arc<Client>,
    mut stopping: watch::Receiver<bool>,
) -> hyper::Result<()> {
    let (shared, reader) = ((Arc::clone(gateway), Arc::clone(client)), Reader::connected());
    let service = service_fn(move |request| {
        let (gateway, client) = shared.clone();
        reader.scope(async move { exchange::answer(&gateway, &client, request).await })
    });
    let (stream_window, connection_window) = gateway.bounds.http2_windows;
    let mut connection = pin!(
        http2::Builder::new(StreamTasks { stall: gateway.bounds.stall })
            .timer(TokioTimer::new())
            .initial_stream_window_size(stream_window)
            .initial_connection_window_size(connection_window)
            .max_frame_size(HTTP2_FRAME_MAX)
            .max_send_buf_size(HTTP2_SEND_BUFFER_MAX)
            .max_concurrent_streams(gateway.bounds.http2_streams_max)
            .max_header_list_size(HEADERS_BYTES_MAX as u32)
            .max_local_error_reset_streams(HTTP2_RESETS_MAX)
            .keep_alive_interval(HTTP2_PING)
            .keep_alive_timeout(HTTP2_PING)
            .serve_connection(io, service)
    );
    let end = tokio::select! {
        outcome = &mut connection => return outcome,
        _ = stopping.wait_for(|stop| *stop) => End::Stop,
        // The client keeps the connection for later.
        () = unused(client, gateway.bounds.idle) => End::Unused,
        () = client.account.closed() => End::Wanted,
    };
    connection.as_mut().graceful_shutdown();
    match end {
        End::Stop => connection.await,
        // A client that does not answer a ping would hold up a graceful end.
        End::Unused | End::Wanted => ended(client, matches!(end, End::Wanted), connection).await,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_bytes_tell() {
        let cases: [(&[u8], Option<Protocol>); 10] = [
            (b"", None),
            (b"\x16", None),
            (b"\x16\x03", Some(Protocol::Tls)),
            (b"\x16\x03\x01\x02\x00\x01", Some(Protocol::Tls)),
            (b"\x16\x02", Some(Protocol::Http1)),
            (b"P", None),
            (b"POST", Some(Protocol::Http1)),
            (b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r", None),
            (b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", Some(Protocol::Http2)),
            (b"PRI * HTTP/1.1", Some(Protocol::Http1)),
        ];
        for (first, expected) in cases {
            assert_eq!(spoken(first), expected, "{first:?}");
        }
    }
}
