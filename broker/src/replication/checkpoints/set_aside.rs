//! Segments that the start has set aside because no checkpoint lists them: the log brings their records back.
//!
//! They go only once two checkpoints agree on it. No removal rests on this process's memory: both checkpoint files
//! are read again first.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use tidelog_storage::shard::ShardStore;
use tidelog_storage::wal::{GROUPS, WalReader};

use crate::shell::Shell;

/// Segments that were set aside because no checkpoint lists them.
#[derive(Debug)]
pub struct SetAside {
    /// Where each group's log ended at the start.
    log_ends: Vec<Option<u64>>,
    /// Segments whose records nothing has brought back.
    left: AtomicUsize,
}

impl SetAside {
    /// The segments set aside over a log that was just recovered.
    pub fn new(reader: &WalReader) -> Self {
        let log_ends = (0..GROUPS as u8).map(|group| reader.state(group).last.map(|at| at.index)).collect();
        Self { log_ends, left: AtomicUsize::new(0) }
    }

    /// Whether checkpoints with these ends were made after the log had been replayed.
    pub fn is_replayed(&self, kept: &[Option<u64>]) -> bool {
        self.log_ends.iter().zip(kept).all(|(log_end, kept)| log_end <= kept)
    }

    /// How many segments have records that nothing has brought back.
    pub fn left(&self) -> usize {
        self.left.load(Ordering::Relaxed)
    }

    /// Removes the segments whose records are back, of streams up to `newest_uid`.
    pub async fn discard(&self, store: &Arc<ShardStore>, newest_uid: u64, shell: &Shell) {
        let store = store.clone();
        let discarded = move || store.discard_set_aside(|stream_uid| stream_uid <= newest_uid);
        match shell.run_blocking(discarded).await {
            Ok(Ok(left)) => {
                let before = self.left.swap(left.len(), Ordering::Relaxed);
                if let (Some((key, first_ordinal)), true) = (left.first(), left.len() != before) {
                    tracing::error!(
                        ?key,
                        first_ordinal,
                        segments = left.len(),
                        "the log has not brought back the records of segments that no checkpoint lists: they stay in the \
                         directory set-aside"
                    );
                }
            }
            Ok(Err(error)) => {
                tracing::warn!(%error, "cannot remove segments that were set aside; trying again after the next checkpoint");
            }
            Err(error) => {
                tracing::warn!(%error, "cannot look at segments that were set aside; trying again after the next checkpoint");
            }
        }
    }
}
