//! Taking over a group's state from another node: the flusher's part, because it owns all writes of segments.
//!
//! A crash at any point of this order can be recovered from: [`Flusher::prepare_install`], then a checkpoint with
//! the manifest, durable, then [`Flusher::install`]. A start between the last two finds the staged files and
//! finishes.

use std::sync::Arc;

use super::Flusher;
use crate::shard::{ShardCheckpoint, ShardError, ShardKey, ShardLog};

impl Flusher {
    /// Makes sure that every file the manifest needs is here or staged, durable either way: after this a checkpoint may
    /// list them. Returns false when one is lacking.
    ///
    /// # Errors
    /// [`ShardError::Io`] when the operating system refuses; after a failed sync it is fatal.
    pub fn prepare_install(&mut self, manifest: &[ShardCheckpoint]) -> Result<bool, ShardError> {
        let shared = self.store.shared.clone();
        // A file may have its length and not yet its bytes.
        self.files.sync(&*shared.disk)?;
        Ok(self.store.wanted(manifest)?.is_empty())
    }

    /// Puts the staged files in place and opens the manifest's shards instead of the group's `old` ones. To be called
    /// when a checkpoint with the manifest is durable.
    ///
    /// # Errors
    /// [`ShardError::NoSpace`] can be repeated; any other error is fatal, and the next start decides.
    pub fn install(
        &mut self,
        old: &[ShardKey],
        manifest: &[ShardCheckpoint],
    ) -> Result<Vec<Arc<ShardLog>>, ShardError> {
        let shared = self.store.shared.clone();
        for need in manifest.iter().flat_map(crate::transfer::needs) {
            if !shared.is_had(&need)? && shared.staging.place(&shared.dir, &need)? {
                shared.damage.forget(need.key, need.first_ordinal);
            }
        }
        let is_meant = |key: ShardKey| old.contains(&key) || manifest.iter().any(|shard| shard.key == key);
        self.files.forget_all(is_meant);
        self.store.replace(old, manifest.to_vec())
    }
}
