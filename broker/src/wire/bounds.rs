//! Every bound of the wire, with its unit and reason.

use std::time::Duration;

use rustix::process::{Resource, getrlimit};

use crate::limits::BODY_BYTES_MAX;
use crate::service::Pace;

const KIB: usize = 1024;
const MIB: usize = 1024 * KIB;

/// How much and how long the wire waits for clients. Tests shorten the waits.
#[derive(Clone, Copy, Debug)]
pub struct Bounds {
    /// Connections open at once over all listeners, 10,000 where the limit of open files allows; further ones wait
    /// in the kernel's queue.
    pub connections_max: usize,
    /// Until a new connection has shown which protocol it speaks, the handshake of TLS included.
    pub first_bytes: Duration,
    /// Until the complete head of the next HTTP/1.1 request, so also how long an idle connection is kept. Longer than
    /// the pools of SDKs keep theirs idle, so that the client is the one to close.
    pub idle: Duration,
    /// Without a single byte of a body that is being read, or without a byte taken of an answer.
    pub stall: Duration,
    /// For a whole request body, however steadily it trickles.
    pub body: Duration,
    /// Bytes of one request body.
    pub body_bytes_max: usize,
    /// Bytes of all request bodies at once, from their first byte to their answer.
    pub body_bytes_in_flight_max: usize,
    /// From a complete request to the answer of its operation.
    pub request: Duration,
    /// Of event streams, which outlast [`Self::request`].
    pub subscriptions: Pace,
    /// For requests in flight to finish when the server stops; event streams end at once.
    pub drain: Duration,
}

impl Default for Bounds {
    fn default() -> Self {
        Self {
            connections_max: connections_max(),
            first_bytes: Duration::from_secs(10),
            idle: Duration::from_secs(75),
            stall: Duration::from_secs(30),
            body: Duration::from_secs(300),
            body_bytes_max: BODY_BYTES_MAX,
            body_bytes_in_flight_max: 256 * MIB,
            request: Duration::from_secs(30),
            subscriptions: Pace::default(),
            drain: Duration::from_secs(10),
        }
    }
}

/// Files that the broker itself may have open: segments being read and written, the log, listeners.
const OWN_FILES_MAX: u64 = 1_200;

/// A broker that cannot open its own files any more has to end: clients never get to take them.
fn connections_max() -> usize {
    let files = getrlimit(Resource::Nofile).current.unwrap_or(u64::MAX);
    usize::try_from(files.saturating_sub(OWN_FILES_MAX).clamp(64, 10_000)).expect("at most 10,000")
}

/// Read buffer of an HTTP/1.1 connection at its largest, bytes; it starts at 8 KiB and grows with what arrives.
pub(super) const HTTP1_BUFFER_MAX: usize = MIB;
/// Headers of an HTTP/2 request, bytes; session tokens take a few KiB.
pub(super) const HTTP2_HEADER_LIST_MAX: u32 = 64 * KIB as u32;
/// Bytes a client may send on one HTTP/2 stream before it is told to go on.
pub(super) const HTTP2_STREAM_WINDOW: u32 = 2 * MIB as u32;
/// Bytes a client may send on one HTTP/2 connection before it is told to go on.
pub(super) const HTTP2_CONNECTION_WINDOW: u32 = 8 * MIB as u32;
/// Largest HTTP/2 frame taken, bytes: a body of 1 MiB may come as one.
pub(super) const HTTP2_FRAME_MAX: u32 = MIB as u32;
/// Answers buffered for one HTTP/2 stream, bytes.
pub(super) const HTTP2_SEND_BUFFER_MAX: usize = MIB;
/// Streams of one HTTP/2 connection: consumers hold one per shard.
pub(super) const HTTP2_STREAMS_MAX: u32 = 2_048;
/// How often a quiet HTTP/2 connection is asked whether it lives, and how long it has to answer.
pub(super) const HTTP2_PING: Duration = Duration::from_secs(20);

const _: () = assert!(HTTP2_STREAMS_MAX >= 1_000 && HTTP2_CONNECTION_WINDOW >= HTTP2_STREAM_WINDOW);
