//! The parts of a dial: the destination, the lane, the byte stream that it opens, and the error.

use std::io;
use std::sync::Arc;

use futures_util::future::BoxFuture;
use tokio::io::{AsyncRead, AsyncWrite};

/// The byte stream under a connection between nodes: TCP, TLS over it, or a simulated network.
pub trait Io: AsyncRead + AsyncWrite + Send + Unpin {}
impl<T: AsyncRead + AsyncWrite + Send + Unpin> Io for T {}

/// A connection between nodes.
pub type BoxedIo = Box<dyn Io>;

/// A node that is dialled.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Destination {
    /// The id that it has to prove where there are certificates; `None` for any node of the cluster.
    pub node: Option<u64>,
    /// `HOST:PORT`.
    pub address: String,
}

/// Opens a connection to a node.
pub type Dial = Arc<dyn Fn(Destination) -> BoxFuture<'static, io::Result<BoxedIo>> + Send + Sync>;

/// The purpose of a connection. Bulk data on one never delays the messages on another.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Lane {
    /// Heartbeats, votes, greetings.
    Control,
    /// Entries of the log.
    Log,
    /// Files.
    Files,
    /// Requests of clients that another node leads, and their proposals.
    Requests,
    /// Event streams for clients, which may be slow to take them.
    Events,
}

/// Nothing was said: there is no connection.
#[derive(Clone, Debug, thiserror::Error)]
#[error("node {node} ({address}) cannot be reached: {reason}")]
pub struct Unreachable {
    /// The node.
    pub node: u64,
    /// Where it was looked for.
    pub address: String,
    /// The error of the dial.
    pub reason: String,
}
