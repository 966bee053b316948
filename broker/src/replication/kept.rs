//! What goes only because two checkpoints agree on it: entries of the log, and segments that were set aside.
//!
//! Nothing is removed by what this process remembers: both checkpoint files are read again first.

use std::sync::atomic::{AtomicUsize, Ordering};

use tidelog_storage::checkpoint;
use tidelog_storage::wal::{GROUPS, WalReader};

use super::groups::Groups;

/// Segments that were set aside because no checkpoint lists them.
#[derive(Debug)]
pub struct SetAside {
    /// Where each group's log ended at the start.
    log_ends: Vec<Option<u64>>,
    /// Segments whose records nothing has brought back.
    left: AtomicUsize,
}

impl SetAside {
    /// Those of a log that was just recovered.
    pub fn new(reader: &WalReader) -> Self {
        let log_ends = (0..GROUPS as u8).map(|group| reader.state(group).last.map(|at| at.index)).collect();
        Self { log_ends, left: AtomicUsize::new(0) }
    }

    /// Whether checkpoints with these ends were made after the log had been replayed.
    fn is_replayed(&self, kept: &[Option<u64>]) -> bool {
        self.log_ends.iter().zip(kept).all(|(log_end, kept)| log_end <= kept)
    }
}

impl Groups {
    /// How far both checkpoints on the disk reach, and at most as far as this process remembers. Where they cannot be
    /// read there is no such place, and nothing may go.
    pub(super) async fn kept_ends(&self, remembered: &[Option<u64>]) -> Vec<Option<u64>> {
        let (disk, directory) = (self.config.disk.clone(), self.config.directory.join("checkpoint"));
        let read = self.config.shell.run_blocking(move || checkpoint::kept(&*disk, &directory)).await;
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
    pub(super) async fn discard_set_aside(&self, kept: &[Option<u64>]) {
        if !self.set_aside.is_replayed(kept) {
            return;
        }
        let (store, newest_uid) = (self.store.clone(), self.catalog.borrow().newest_uid);
        let discarded = move || store.discard_set_aside(|stream_uid| stream_uid <= newest_uid);
        match self.config.shell.run_blocking(discarded).await {
            Ok(Ok(left)) => {
                let before = self.set_aside.left.swap(left.len(), Ordering::Relaxed);
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
            Ok(Err(error)) => tracing::warn!(%error, "segments that were set aside cannot be removed yet"),
            Err(error) => tracing::warn!(%error, "segments that were set aside cannot be looked at"),
        }
    }

    /// Segments in the directory `set-aside` whose records nothing has brought back.
    pub fn segments_left_aside(&self) -> usize {
        self.set_aside.left.load(Ordering::Relaxed)
    }
}
