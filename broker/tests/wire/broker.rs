//! A broker in this process on a port of its own, and a client that sends bytes exactly as given.

#![allow(dead_code, reason = "a client of many tests")]

use std::net::SocketAddr;
use std::time::Duration;

use bytes::Bytes;
use tempfile::TempDir;
use tidelog::clock::Clock;
use tidelog::config::{Config, DataLocation};
use tidelog::limits::{ControlLimits, ShardLimits};
use tidelog::server::Server;
use tidelog::wire::Bounds;
use tidelog_proto::{Codec, Document};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;

/// No answer of a healthy broker takes as long.
pub const PATIENCE: Duration = Duration::from_secs(60);
/// The part that every answer of ListStreams for an empty account has.
pub const NO_STREAMS: &str = "\"StreamNames\":[]";

pub struct Broker {
    pub server: Server,
    pub directory: TempDir,
}

impl Broker {
    pub async fn start() -> Self {
        Self::start_with(Bounds::default()).await
    }

    pub async fn start_at(clock: Clock) -> Self {
        Self::start_as(Bounds::default(), ShardLimits::aws(), clock).await
    }

    pub async fn start_with(bounds: Bounds) -> Self {
        Self::start_as(bounds, ShardLimits::aws(), Clock::System).await
    }

    pub async fn start_as(bounds: Bounds, limits: ShardLimits, clock: Clock) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let config = config(DataLocation::Directory(directory.path().join("data")));
        let server = Server::start(&Config { limits, ..config }, bounds, clock).await.unwrap();
        Self { server, directory }
    }

    pub fn address(&self) -> SocketAddr {
        self.server.addresses()[0]
    }

    pub async fn client(&self) -> Client {
        Client::connect(self.address()).await
    }

    /// Another connection's request is answered: the broker itself is well.
    pub async fn assert_well(&self) {
        let mut client = self.client().await;
        client.send(&post("ListStreams", "{}")).await;
        let answer = client.answer().await;
        assert_eq!((answer.status, answer.body.contains(NO_STREAMS)), (200, true), "{answer:?}");
    }

    /// Checks that the broker answers another client; works also where streams exist.
    pub async fn assert_health(&self) {
        let mut client = self.client().await;
        client.send("GET /health HTTP/1.1\r\nHost: localhost\r\n\r\n").await;
        assert_eq!(client.answer().await.status, 200);
    }

    /// Ends the broker's process and begins it again, with the same data.
    pub async fn restart(self) -> Self {
        let Self { server, directory } = self;
        timeout(PATIENCE, server.shutdown()).await.expect("the broker stops").unwrap();
        let config = config(DataLocation::Directory(directory.path().join("data")));
        let server = Server::start(&config, Bounds::default(), Clock::System).await.unwrap();
        Self { server, directory }
    }

    pub async fn stop(self) {
        timeout(PATIENCE, self.server.shutdown()).await.expect("the broker stops").unwrap();
    }
}

pub fn config(data: DataLocation) -> Config {
    let listen = vec!["127.0.0.1:0".parse().unwrap()];
    Config { listen, control_limits: ControlLimits::off(), ..Config::new(data) }
}

/// The page at a path.
pub async fn get(address: SocketAddr, path: &str) -> Answer {
    let mut client = Client::connect(address).await;
    client.send(&format!("GET {path} HTTP/1.1\r\nHost: localhost\r\n\r\n")).await;
    client.answer().await
}

/// An HTTP/1.1 request as a SDK sends it.
pub fn post(operation: &str, body: &str) -> String {
    post_with(operation, "application/x-amz-json-1.1", "", body)
}

/// `headers`: further lines, each with its line end.
pub fn post_with(operation: &str, content_type: &str, headers: &str, body: &str) -> String {
    format!(
        "POST / HTTP/1.1\r\nHost: localhost\r\nX-Amz-Target: Kinesis_20131202.{operation}\r\n\
         Content-Type: {content_type}\r\n{headers}Content-Length: {}\r\n\r\n{body}",
        body.len()
    )
}

/// A call of that document in that codec.
pub fn post_document(operation: &str, document: &Document, codec: Codec) -> Vec<u8> {
    post_bytes(operation, codec, &codec.encode(document))
}

/// A call with those bytes as its body.
pub fn post_bytes(operation: &str, codec: Codec, body: &[u8]) -> Vec<u8> {
    let head = format!(
        "POST / HTTP/1.1\r\nHost: localhost\r\nX-Amz-Target: Kinesis_20131202.{operation}\r\n\
         Content-Type: {}\r\nContent-Length: {}\r\n\r\n",
        content_type(codec),
        body.len()
    );
    [head.as_bytes(), body].concat()
}

pub fn content_type(codec: Codec) -> &'static str {
    match codec {
        Codec::Json => "application/x-amz-json-1.1",
        Codec::Cbor => "application/x-amz-cbor-1.1",
    }
}

pub struct Client {
    pub stream: TcpStream,
    read: Vec<u8>,
}

#[derive(Debug)]
pub struct Answer {
    pub status: u16,
    pub headers: Vec<(String, String)>,
    /// The body as text; bytes that are no text are shown as well as they can be.
    pub body: String,
    pub bytes: Bytes,
}

impl Answer {
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(own, _)| own == name).map(|(_, value)| value.as_str())
    }

    /// Status and document; the answer must be in that codec.
    pub fn document(&self, codec: Codec) -> (u16, Option<Document>) {
        assert_eq!(self.header("content-type"), Some(content_type(codec)), "{self:?}");
        let document = || codec.decode(&self.bytes).unwrap_or_else(|_| panic!("a document: {self:?}"));
        (self.status, (!self.bytes.is_empty()).then(document))
    }
}

impl Client {
    pub async fn connect(address: SocketAddr) -> Self {
        Self { stream: TcpStream::connect(address).await.unwrap(), read: Vec::new() }
    }

    pub async fn send(&mut self, bytes: impl AsRef<[u8]>) {
        self.stream.write_all(bytes.as_ref()).await.unwrap();
    }

    /// Sends bytes that may come too late.
    pub async fn try_send(&mut self, bytes: impl AsRef<[u8]>) {
        drop(self.stream.write_all(bytes.as_ref()).await);
    }

    /// The next answer on this connection; it has a content length.
    pub async fn answer(&mut self) -> Answer {
        timeout(PATIENCE, self.read_answer()).await.expect("an answer within bounds").expect("an answer")
    }

    /// Calls the broker and returns the status and the document of its answer, if it has one.
    pub async fn call(
        &mut self,
        operation: &str,
        document: &Document,
        codec: Codec,
    ) -> (u16, Option<Document>) {
        self.send(post_document(operation, document, codec)).await;
        self.answer().await.document(codec)
    }

    /// The connection is closed by the broker, after at most `wait`, without another byte.
    pub async fn assert_closed(&mut self, wait: Duration) {
        let mut rest = Vec::new();
        let end = timeout(wait, self.stream.read_to_end(&mut rest)).await.expect("the connection is closed");
        assert!(end.is_err() || rest.is_empty(), "{:?}", String::from_utf8_lossy(&rest));
    }

    async fn read_answer(&mut self) -> Option<Answer> {
        let head_end = loop {
            match self.read.windows(4).position(|window| window == b"\r\n\r\n") {
                Some(at) => break at,
                None => self.read_more().await?,
            }
        };
        let head = String::from_utf8(self.read[..head_end].to_vec()).unwrap();
        let mut lines = head.split("\r\n");
        let status = lines.next()?.split(' ').nth(1)?.parse().ok()?;
        let header = |line: &str| {
            let (name, value) = line.split_once(": ")?;
            Some((name.to_ascii_lowercase(), value.to_owned()))
        };
        let headers = lines.filter_map(header).collect();
        let mut answer = Answer { status, headers, body: String::new(), bytes: Bytes::new() };
        let length: usize = answer.header("content-length")?.parse().unwrap();
        while self.read.len() < head_end + 4 + length {
            self.read_more().await?;
        }
        let rest = self.read.split_off(head_end + 4 + length);
        answer.bytes = Bytes::copy_from_slice(&self.read[head_end + 4..]);
        answer.body = String::from_utf8_lossy(&answer.bytes).into_owned();
        self.read = rest;
        Some(answer)
    }

    async fn read_more(&mut self) -> Option<()> {
        let count = self.stream.read_buf(&mut self.read).await.ok()?;
        (count > 0).then_some(())
    }
}
