//! Every bound of the wire, with its unit and reason.

use std::time::Duration;

use crate::limits::BODY_BYTES_MAX;
use crate::room::{CONNECTION_BYTES, Class, Descriptors, Shares};
use crate::service::Pace;

const KIB: usize = 1024;
const MIB: usize = 1024 * KIB;
const GIB: usize = 1024 * MIB;

/// How much and how long the wire waits for clients. Tests shorten the waits.
#[derive(Clone, Copy, Debug)]
pub struct Bounds {
    /// Connections open at once over all listeners: 10,000 where memory and the limit of open files allow; past it the
    /// newest of the address whose connections hold most memory goes, where all are of one address the longest idle,
    /// and further ones are served pages only.
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
    /// Over which time the pace of a body counts while room is short.
    pub pace: Duration,
    /// Bytes of one request body.
    pub body_bytes_max: usize,
    /// Memory of all connections, bodies and answers, by class.
    pub memory: Shares,
    /// Bytes a client may send on one HTTP/2 stream before it is told to go on, and on one connection.
    pub http2_windows: (u32, u32),
    /// Bytes from a client that the kernel buffers before the broker reads them; Linux counts them twice over.
    /// `None` leaves it to the kernel.
    pub kernel_receive_bytes: Option<usize>,
    /// Streams of one HTTP/2 connection: consumers hold one per shard. 2,048, or half of the streams that the class
    /// connections has room for.
    pub http2_streams_max: u32,
    /// From the beginning of a node's start, how long requests wait for its end, which most restarts reach; later
    /// ones are refused at once, with the stage of the start. SDKs try three times within about a second, and may
    /// reach the same node each time.
    pub start: Duration,
    /// From a complete request to the answer of its operation.
    pub request: Duration,
    /// The times of event streams, which outlast [`Self::request`].
    pub subscriptions: Pace,
    /// For requests in flight to finish when the server stops; those whose body is not complete after a quarter of it
    /// are refused, and event streams end at once.
    pub drain: Duration,
}

impl Default for Bounds {
    fn default() -> Self {
        Self::within(&Shares::default())
    }
}

impl Bounds {
    /// Bounds by the shares of memory and the limit of open files.
    #[must_use]
    pub fn within(memory: &Shares) -> Self {
        let by_memory = memory.bytes(Class::Connections) / CONNECTION_BYTES;
        let subscriptions = Pace { run_bytes_in_flight_max: memory.bytes(Class::Events), ..Pace::default() };
        Self {
            connections_max: Descriptors::found().connections.min(by_memory),
            first_bytes: Duration::from_secs(10),
            idle: Duration::from_secs(75),
            stall: Duration::from_secs(30),
            body: Duration::from_secs(300),
            pace: Duration::from_secs(10),
            body_bytes_max: BODY_BYTES_MAX,
            memory: *memory,
            http2_windows: if memory.total() < SMALL_MEMORY_BYTES {
                HTTP2_SMALL_WINDOWS
            } else {
                HTTP2_WINDOWS
            },
            kernel_receive_bytes: (memory.total() < SMALL_MEMORY_BYTES).then_some(KERNEL_SMALL_RECEIVE_BYTES),
            http2_streams_max: u32::try_from(by_memory / 2)
                .unwrap_or(HTTP2_STREAMS_MAX)
                .clamp(HTTP2_STREAMS_MIN, HTTP2_STREAMS_MAX),
            start: Duration::from_secs(10),
            request: Duration::from_secs(30),
            subscriptions,
            drain: Duration::from_secs(3),
        }
    }
}

/// Connections past the bound that are served the pages of operators.
pub(super) const PAST_THE_BOUND_MAX: usize = 64;
/// How long one past the bound waits for the slot of another one that was asked to end.
pub(super) const SLOT_PATIENCE: Duration = Duration::from_millis(500);
/// How long one past the bound may take for its request, and for its answer.
pub(super) const PAST_THE_BOUND_DEADLINE: Duration = Duration::from_secs(2);
/// How long a connection that was told to end has for its requests under way.
pub(super) const GOODBYE: Duration = Duration::from_secs(5);
/// The time for the same of an idle connection whose place another one waits for: as long as its GOAWAY
/// takes.
pub(super) const GOODBYE_WHEN_IDLE: Duration = Duration::from_millis(50);
/// Read buffer of an HTTP/1.1 connection at its largest, bytes; it starts at 8 KiB and grows with the bytes that
/// arrive.
pub(super) const HTTP1_BUFFER_MAX: usize = 128 * KIB;
/// Headers of a request, bytes; session tokens take a few KiB.
pub(super) const HEADERS_BYTES_MAX: usize = 16 * KIB;
/// Bytes a client may send on one HTTP/2 stream before the broker opens the window again, and on one connection.
const HTTP2_WINDOWS: (u32, u32) = (256 * KIB as u32, MIB as u32);
/// The two windows below [`SMALL_MEMORY_BYTES`] of memory.
const HTTP2_SMALL_WINDOWS: (u32, u32) = (64 * KIB as u32, 256 * KIB as u32);
/// Bytes of memory below which windows are small.
const SMALL_MEMORY_BYTES: usize = GIB;
/// Largest HTTP/2 frame taken, bytes: a frame is buffered completely, beside the bytes that the windows count.
pub(super) const HTTP2_FRAME_MAX: u32 = 64 * KIB as u32;
/// Answers buffered for one HTTP/2 stream, bytes: one frame is used.
pub(super) const HTTP2_SEND_BUFFER_MAX: usize = 64 * KIB;
/// Streams of one HTTP/2 connection, however much memory there is.
const HTTP2_STREAMS_MAX: u32 = 2_048;
/// Streams of one HTTP/2 connection, however little memory there is (RFC 9113, section 6.5.2).
const HTTP2_STREAMS_MIN: u32 = 100;
/// Streams that this side has reset and still remembers, of one HTTP/2 connection.
pub(super) const HTTP2_RESETS_MAX: usize = 100;
/// How often a quiet HTTP/2 connection is asked whether it lives, and how long it has to answer.
pub(super) const HTTP2_PING: Duration = Duration::from_secs(20);
/// Bytes from one client that the kernel buffers, below [`SMALL_MEMORY_BYTES`] of memory. With more the kernel
/// finds the size by itself, up to `net.ipv4.tcp_rmem`: a size of our own is capped by `net.core.rmem_max`, and
/// bodies of 500 KiB took a tenth longer.
const KERNEL_SMALL_RECEIVE_BYTES: usize = 64 * KIB;
/// Unsent bytes that the kernel buffers before it lets a connection wait.
pub(super) const KERNEL_UNSENT_BYTES: u32 = 128 * KIB as u32;

/// Silence of a connection after which the kernel asks whether the other end is there, how often, and how many times.
pub(super) const KEEPALIVE_AFTER: Duration = Duration::from_secs(60);
pub(super) const KEEPALIVE_EVERY: Duration = Duration::from_secs(10);
pub(super) const KEEPALIVE_PROBES: u32 = 3;
/// How long sent bytes may stay without the other kernel's acknowledgement.
pub(super) const UNACKNOWLEDGED_MAX: Duration = Duration::from_secs(30);

const _: () = assert!(HTTP2_STREAMS_MAX >= 1_000 && HTTP2_WINDOWS.1 >= HTTP2_WINDOWS.0);
