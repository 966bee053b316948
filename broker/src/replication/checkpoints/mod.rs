//! Checkpoints of all groups, and the removals that they allow once they are durable: entries of the log, and
//! segments set aside.

mod purge;
mod round;
mod set_aside;

use std::path::PathBuf;
use std::sync::Arc;

use tidelog_storage::Disk;
use tidelog_storage::checkpoint;
use tidelog_storage::shard::ShardStore;
use tokio::sync::watch;

pub use self::set_aside::SetAside;
use super::error::ReplicationError;
use super::raft::Rafts;
use super::raft::replicated::Replicated;
use super::workers::flush_worker::FlushHandle;
use super::workers::node_disk::NodeDisk;
use crate::cluster::peers::Peers;
use crate::model::stream::Catalog;
use crate::shell::Shell;

/// The directory of checkpoints below the data directory.
pub const CHECKPOINTS: &str = "checkpoint";

/// The parts of a node that checkpoints are made of.
pub struct Parts {
    /// The groups.
    pub rafts: Rafts,
    /// The node's shards.
    pub store: Arc<ShardStore>,
    /// The worker that writes checkpoints.
    pub flush: FlushHandle,
    /// The state of the node's disk.
    pub node_disk: Arc<NodeDisk>,
    /// The other nodes, for which the log is kept.
    pub peers: Arc<Peers>,
    /// Up to where every member holds each group's log.
    pub replicated: Arc<Replicated>,
    /// The applied catalog.
    pub catalog: watch::Receiver<Arc<Catalog>>,
    /// The disk that checkpoints are read from.
    pub disk: Arc<dyn Disk>,
    /// The data directory.
    pub directory: PathBuf,
    /// Reads of checkpoints run in this shell.
    pub shell: Shell,
}

/// Makes checkpoints of all groups, and removes log and files that two of them cover.
pub struct Checkpoints {
    parts: Parts,
    set_aside: SetAside,
    /// Where each group's newest checkpoint ends.
    #[expect(clippy::disallowed_types, reason = "one checkpoint at a time, with the purge behind it")]
    newest: tokio::sync::Mutex<Vec<Option<u64>>>,
}

impl Checkpoints {
    /// The checkpoints of a node, of which the newest one ends at `newest`, by group.
    pub fn new(parts: Parts, set_aside: SetAside, newest: Vec<Option<u64>>) -> Self {
        Self { parts, set_aside, newest: newest.into() }
    }

    /// Makes a checkpoint of all groups durable and purges the log up to the one before. One at a time.
    ///
    /// # Errors
    /// [`ReplicationError`] when a group has ended, or there is no space.
    pub async fn make(&self) -> Result<(), ReplicationError> {
        let Parts { rafts, flush, replicated, .. } = &self.parts;
        let mut newest = self.newest.lock().await;
        let newer = round::checkpoint(rafts, flush).await?;
        let remembered = std::mem::replace(&mut *newest, newer);
        let kept = self.kept_ends(&remembered).await;
        purge::note_followers(rafts, replicated);
        purge::purge(rafts, &kept, purge::extent(&self.parts), replicated).await?;
        self.discard_set_aside(&kept).await;
        Ok(())
    }

    /// How far both checkpoints on the disk reach, and at most as far as this process remembers. Where they cannot be
    /// read there is no such place, and nothing may go.
    async fn kept_ends(&self, remembered: &[Option<u64>]) -> Vec<Option<u64>> {
        let (disk, directory) = (self.parts.disk.clone(), self.parts.directory.join(CHECKPOINTS));
        let read = self.parts.shell.run_blocking(move || checkpoint::kept(&*disk, &directory)).await;
        let kept = match read {
            Ok(Ok(kept)) => kept.unwrap_or_default(),
            Ok(Err(error)) => {
                tracing::error!(%error, "a checkpoint cannot be read again: the log is not purged until both can");
                return vec![None; remembered.len()];
            }
            Err(error) => {
                tracing::error!(%error, "the checkpoints were not read again: the log is not purged");
                return vec![None; remembered.len()];
            }
        };
        let end = |(group, remembered): (usize, &Option<u64>)| {
            let on_disk = kept.get(&(group as u8)).copied()?;
            remembered.map(|remembered| remembered.min(on_disk))
        };
        remembered.iter().enumerate().map(end).collect()
    }

    /// Removes the segments that were set aside and whose records are back, once the log behind both checkpoints had
    /// been replayed when they were made.
    async fn discard_set_aside(&self, kept: &[Option<u64>]) {
        if self.set_aside.is_replayed(kept) {
            let newest_uid = self.parts.catalog.borrow().newest_uid;
            self.set_aside.discard(&self.parts.store, newest_uid, &self.parts.shell).await;
        }
    }

    /// Segments in the directory `set-aside` whose records nothing has brought back.
    pub fn segments_left_aside(&self) -> usize {
        self.set_aside.left()
    }
}
