//! Pulling a file from a peer into the directory where it waits, piece by piece, at a bounded rate.

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::Bytes;
use tidelog_proto::peer;
use tidelog_storage::shard::ShardError;
use tidelog_storage::transfer::{FileNeed, Staging};
use tokio::time::{Instant, sleep_until, timeout};

use crate::cluster::peers::{Lane, Peers};
use crate::observability as names;
use crate::replication::raft::send_snapshot::PROGRESS_DEADLINE;
use crate::shell::Shell;

/// Bytes that a node pulls in a second, all transfers together. Half of the rate of a gigabit link and of a modest
/// disk: the other half is for the log, without which the node would fall behind again.
const PULL_BYTES_PER_SECOND: u64 = 64 << 20;

/// Why a file could not be pulled.
#[derive(Debug, thiserror::Error)]
pub enum PullError {
    /// The peer does not give it, or not all of it, or not in time. The bytes that came are staged.
    #[error("node {node}: {reason}")]
    Peer {
        /// The node that failed.
        node: u64,
        /// The fault of the node, or of its answer.
        reason: String,
    },
    /// The file that it gave is damaged, or this node cannot store it.
    #[error(transparent)]
    Shard(#[from] ShardError),
}

/// Pulls files for this node.
pub struct Puller {
    peers: Arc<Peers>,
    shell: Shell,
    /// When the next piece may be taken.
    due: Mutex<Option<Instant>>,
}

impl Puller {
    /// A puller for the node that has these peers.
    pub fn new(peers: Arc<Peers>, shell: Shell) -> Self {
        Self { peers, shell, due: Mutex::default() }
    }

    /// This node's id.
    pub fn node(&self) -> u64 {
        self.peers.node()
    }

    /// The other nodes, as far as they are known.
    pub fn others(&self) -> Vec<u64> {
        let mut nodes: BTreeSet<u64> = self.peers.members().keys().copied().collect();
        nodes.extend(self.peers.configured().keys());
        nodes.remove(&self.peers.node());
        nodes.into_iter().collect()
    }

    /// Pulls the missing bytes of a file from the first of `nodes` that has them, and verifies the file. `pulled`
    /// counts the bytes as they come.
    ///
    /// # Errors
    /// The last node's [`PullError`].
    pub async fn fetch(
        &self,
        nodes: &[u64],
        need: &FileNeed,
        staging: &Arc<Staging>,
        pulled: &Arc<AtomicU64>,
    ) -> Result<(), PullError> {
        let mut failed = PullError::Peer { node: self.peers.node(), reason: "there is no other node".into() };
        for node in nodes {
            loop {
                let had = self.staged_bytes(need, staging).await?;
                failed = match self.pull_and_verify(*node, need, staging, pulled).await {
                    Ok(()) => return Ok(()),
                    Err(PullError::Shard(error)) if !matches!(error, ShardError::Damaged { .. }) => {
                        return Err(error.into());
                    }
                    Err(error) => error,
                };
                tracing::warn!(?need, %failed, "catch-up: cannot pull a file from a node; trying again or the next node");
                // Bytes that were staged before a crash may be torn: the whole file is pulled anew.
                if had == 0 || !matches!(failed, PullError::Shard(_)) {
                    break;
                }
            }
        }
        Err(failed)
    }

    async fn pull_and_verify(
        &self,
        node: u64,
        need: &FileNeed,
        staging: &Arc<Staging>,
        pulled: &Arc<AtomicU64>,
    ) -> Result<(), PullError> {
        let staged = self.pull(node, need, staging, pulled).await?;
        if staged < need.bytes && !need.may_be_shorter() {
            let reason = format!("it has only {staged} of the file's {} bytes", need.bytes);
            return Err(PullError::Peer { node, reason });
        }
        let (need, staging) = (need.clone(), staging.clone());
        self.blocking(move || staging.complete(&need)).await
    }

    /// Pulls the rest of a file from a peer, and returns the bytes of the file that are staged then.
    async fn pull(
        &self,
        node: u64,
        need: &FileNeed,
        staging: &Arc<Staging>,
        pulled: &Arc<AtomicU64>,
    ) -> Result<u64, PullError> {
        let failed = |reason: String| PullError::Peer { node, reason };
        let late = |_| failed("no bytes for too long".into());
        let mut at = self.staged_bytes(need, staging).await?;
        if at >= need.bytes {
            return Ok(at);
        }
        let message = peer::PullSegmentRequest {
            stream_uid: need.key.stream_uid,
            shard: need.key.shard,
            first_ordinal: need.first_ordinal,
            offset: at,
            bytes: need.bytes - at,
        };
        let client = self.peers.client(node, Lane::Files).await;
        let mut client = client.map_err(|error| failed(error.to_string()))?;
        let call = client.pull_segment(self.peers.request(node, message, None));
        let pieces = timeout(PROGRESS_DEADLINE, call).await.map_err(late)?;
        let mut pieces = pieces.map_err(|status| failed(status.message().to_owned()))?.into_inner();
        loop {
            let piece = timeout(PROGRESS_DEADLINE, pieces.message()).await.map_err(late)?;
            let piece = piece.map_err(|status| failed(status.message().to_owned()))?;
            let Some(peer::SegmentPiece { offset, bytes, crc }) = piece else { return Ok(at) };
            let length = bytes.len() as u64;
            if offset != at || length > need.bytes - at || crc32fast::hash(&bytes) != crc {
                return Err(failed("a piece that was not asked for, or is damaged".into()));
            }
            self.stage(need, staging, at, bytes).await?;
            at += length;
            pulled.fetch_add(length, Ordering::Relaxed);
            metrics::counter!(names::TRANSFER_BYTES).increment(length);
            self.pace(length).await;
        }
    }

    async fn staged_bytes(&self, need: &FileNeed, staging: &Arc<Staging>) -> Result<u64, PullError> {
        let (need, staging) = (need.clone(), staging.clone());
        self.blocking(move || staging.staged_bytes(&need)).await
    }

    async fn stage(
        &self,
        need: &FileNeed,
        staging: &Arc<Staging>,
        offset: u64,
        bytes: Bytes,
    ) -> Result<(), PullError> {
        let (need, staging) = (need.clone(), staging.clone());
        self.blocking(move || staging.append(&need, offset, &bytes)).await
    }

    /// Runs work that touches the disk.
    pub async fn blocking<T: Send + 'static>(
        &self,
        work: impl FnOnce() -> Result<T, ShardError> + Send + 'static,
    ) -> Result<T, PullError> {
        let done = self.shell.run_blocking(work).await;
        let panicked = |error: tokio::task::JoinError| PullError::Peer {
            node: self.peers.node(),
            reason: format!("the disk's work ended early: {error}"),
        };
        Ok(done.map_err(panicked)??)
    }

    /// Waits until so many bytes have been worth their time.
    async fn pace(&self, bytes: u64) {
        let cost = Duration::from_secs_f64(bytes as f64 / PULL_BYTES_PER_SECOND as f64);
        let now = Instant::now();
        let due = {
            let mut due = self.due.lock().expect("no code panics while it holds this lock");
            let next = due.unwrap_or(now).max(now) + cost;
            *due = Some(next);
            next
        };
        sleep_until(due).await;
    }
}
