//! One connection to a broker, and the calls that benches make over it.

use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::client::conn::http1::{SendRequest, handshake};
use hyper::{Request, Response};
use hyper_util::rt::TokioIo;
use serde_json::Value;
use tokio::net::TcpStream;

/// A connection of HTTP/1.1.
pub type Connection = SendRequest<Full<Bytes>>;

/// The protocol of a call: the prefix of its target, and the content type of its body.
#[derive(Clone, Copy, Debug)]
pub struct Protocol {
    target: &'static str,
    content_type: &'static str,
}

/// The protocol of streams.
pub const STREAMS: Protocol =
    Protocol { target: "Kinesis_20131202", content_type: "application/x-amz-json-1.1" };
/// The protocol of lease tables.
pub const TABLES: Protocol =
    Protocol { target: "DynamoDB_20120810", content_type: "application/x-amz-json-1.0" };

/// Connects to a broker.
///
/// # Panics
/// When none listens.
pub async fn connect(endpoint: &str) -> Connection {
    let stream = TcpStream::connect(endpoint).await.expect("a broker that listens");
    stream.set_nodelay(true).expect("a TCP stream");
    let (sender, connection) = handshake(TokioIo::new(stream)).await.expect("HTTP/1.1");
    tokio::spawn(connection);
    sender
}

/// Sends a request, and returns the head of its answer.
///
/// # Panics
/// When the broker closes the connection.
pub async fn send(
    connection: &mut Connection,
    protocol: Protocol,
    operation: &str,
    body: impl Into<Bytes>,
) -> Response<Incoming> {
    let request = Request::post("/")
        .header("host", "localhost")
        .header("content-type", protocol.content_type)
        .header("x-amz-target", format!("{}.{operation}", protocol.target))
        .body(Full::from(body.into()))
        .expect("a request");
    connection.ready().await.expect("an open connection");
    connection.send_request(request).await.expect("an answer")
}

/// The answer's body, of a call that is done.
///
/// # Panics
/// When the call is refused.
pub async fn done(
    connection: &mut Connection,
    protocol: Protocol,
    operation: &str,
    body: impl Into<Bytes>,
) -> Bytes {
    let response = send(connection, protocol, operation, body).await;
    let status = response.status();
    let bytes = response.into_body().collect().await.expect("a whole answer").to_bytes();
    assert!(status.is_success(), "{operation}: {}", String::from_utf8_lossy(&bytes));
    bytes
}

/// The answer of a call that is done, as JSON.
///
/// # Panics
/// When the call is refused.
pub async fn complete(
    connection: &mut Connection,
    protocol: Protocol,
    operation: &str,
    body: &Value,
) -> Value {
    let bytes = done(connection, protocol, operation, body.to_string()).await;
    if bytes.is_empty() { Value::Null } else { serde_json::from_slice(&bytes).expect("JSON") }
}
