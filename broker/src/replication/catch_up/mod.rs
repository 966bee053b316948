//! Files between nodes: a lagging node catches up by manifest and files, a damaged segment is replaced by a peer's copy.
//!
//! A group whose leader's log no longer reaches back to what this node has gets the group's part of a checkpoint (the
//! manifest), pulls the files it lacks over a connection of their own, verifies them, and only then installs the
//! state. Nothing has a total deadline: what makes no progress for [`PROGRESS_DEADLINE`] is given up, and what was
//! pulled until then is not pulled again. Bytes are never trusted: a file is taken when all its checksums match.
//!
//! openraft calls [`send`]; peers ask for what is in `receive` and `serve`; `whole` runs as long as the node does.

mod pull;
mod receive;
mod resting;
pub mod send;
mod serve;
mod start;
mod whole;

use std::sync::Arc;
use std::time::Duration;

use tidelog_storage::wal::GROUPS;

use super::shell::Shell;
use crate::cluster::peers::Peers;
pub use pull::Puller;
pub use resting::Resting;
pub use start::repair_open_segments;
pub use whole::WholePace;

/// How long a transfer may stand still before it is given up. Longer than a slow disk takes for a write, shorter than
/// anybody wants to wait for a peer that is gone.
const PROGRESS_DEADLINE: Duration = Duration::from_secs(10);
/// How long a node that has every file may take to install a state: it writes a checkpoint.
const INSTALL_DEADLINE: Duration = Duration::from_secs(60);
/// Bytes of a segment that travel at once. What a connection loses when it breaks, and what has to come within
/// [`PROGRESS_DEADLINE`] over the slowest link.
const PIECE_BYTES: u64 = 256 << 10;

/// What the node has under way with files of other nodes.
pub struct CatchUp {
    puller: Arc<Puller>,
    /// Held by the transfer that a group receives.
    #[expect(clippy::disallowed_types, reason = "a group receives one transfer at a time, to its end")]
    receiving: Vec<Arc<tokio::sync::Mutex<()>>>,
}

impl CatchUp {
    /// Nothing is under way at first.
    pub fn new(peers: Arc<Peers>, shell: Shell) -> Self {
        Self {
            puller: Arc::new(Puller::new(peers, shell)),
            receiving: (0..GROUPS).map(|_| Arc::default()).collect(),
        }
    }
}
