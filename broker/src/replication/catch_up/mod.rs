//! Files between nodes: a lagging node catches up by manifest and files, a damaged segment is replaced by a peer's
//! copy.
//!
//! A group whose leader's log no longer reaches back to this node's entries gets the group's part of a checkpoint
//! (the manifest), pulls the files it lacks over a connection of their own, verifies them, and only then installs
//! the state. Nothing has a total deadline: a transfer that makes no progress for
//! [`PROGRESS_DEADLINE`](super::raft::send_snapshot::PROGRESS_DEADLINE) is given up, and bytes that were pulled
//! until then are not pulled again. Bytes are never trusted: a file is taken when all its checksums match.
//!
//! `receive` is the receiver's side of a transfer, `serve` gives peers bytes of files, and `repair` runs as long as the
//! node does. The sender's side belongs to openraft's network ([`super::raft::send_snapshot`]).

pub mod pull;
mod receive;
pub mod repair;
mod serve;
pub mod serve_at_start;

use std::sync::Arc;

use tidelog_storage::shard::ShardStore;
use tidelog_storage::wal::GROUPS;

use super::raft::Rafts;
use super::workers::flush_worker::FlushHandle;
use crate::shell::Shell;
use pull::Puller;

/// Bytes of a segment that are sent at once. A connection that breaks loses as many, and as many have to come
/// within `PROGRESS_DEADLINE` over the slowest link.
const PIECE_BYTES: u64 = 256 << 10;

/// Takes groups' states from their leaders, and gives peers files of this node.
pub struct CatchUp {
    rafts: Rafts,
    puller: Arc<Puller>,
    store: Arc<ShardStore>,
    flush: FlushHandle,
    shell: Shell,
    /// Held by the transfer that a group receives.
    #[expect(clippy::disallowed_types, reason = "a group receives one transfer at a time, to its end")]
    receiving: Vec<Arc<tokio::sync::Mutex<()>>>,
}

impl CatchUp {
    /// Nothing is under way at first.
    pub fn new(
        rafts: Rafts,
        puller: Arc<Puller>,
        store: Arc<ShardStore>,
        flush: FlushHandle,
        shell: Shell,
    ) -> Self {
        Self { rafts, puller, store, flush, shell, receiving: (0..GROUPS).map(|_| Arc::default()).collect() }
    }
}
