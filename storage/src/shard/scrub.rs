//! The scrub: reads sealed segments from end to end before somebody needs them.
//!
//! One segment at a time, in the order of shards and ordinals, round and round: so the next one is the one whose last
//! check is the longest ago. The broker decides how often.

use super::{ShardError, ShardKey, ShardStore};
use crate::segment::{segment_path, verify};

/// The result of one step of the scrub.
#[derive(Debug)]
pub struct Scrubbed {
    /// The shard.
    pub key: ShardKey,
    /// The segment.
    pub first_ordinal: u64,
    /// Bytes of its file.
    pub bytes: u64,
    /// The damage of the segment, which [`ShardStore::damaged`] lists then.
    pub damage: Option<ShardError>,
}

impl ShardStore {
    /// Verifies the sealed segment that follows `after`, the first one without it. `None` behind the last one.
    ///
    /// # Errors
    /// [`ShardError::Io`] when the operating system refuses for another reason than the medium's.
    pub fn scrub(&self, after: Option<(ShardKey, u64)>) -> Result<Option<Scrubbed>, ShardError> {
        let Some((key, first_ordinal, bytes)) = self.sealed_behind(after) else { return Ok(None) };
        let path = segment_path(&self.shared.dir, key, first_ordinal);
        let damage = match verify::sealed(&*self.shared.disk, &path, (key, first_ordinal), bytes) {
            Ok(_) => None,
            Err(damage @ ShardError::Damaged { .. }) => Some(damage),
            Err(error) if error.is_missing() => {
                // Trimmed and unlinked meanwhile, or lost.
                let is_listed = self.sealed_bytes(key, first_ordinal).is_some();
                is_listed.then(|| ShardError::damaged(&path, 0, "the segment's file is missing"))
            }
            Err(error) => return Err(error),
        };
        if damage.is_some() {
            self.shared.damage.note(key, first_ordinal);
        }
        Ok(Some(Scrubbed { key, first_ordinal, bytes, damage }))
    }

    fn sealed_behind(&self, after: Option<(ShardKey, u64)>) -> Option<(ShardKey, u64, u64)> {
        let mut logs: Vec<_> = {
            let shards = self.shards.read().expect("no holder of the registry panics");
            let is_behind = |key: &ShardKey| after.is_none_or(|after| *key >= after.0);
            shards.values().filter(|log| is_behind(&log.key())).cloned().collect()
        };
        logs.sort_unstable_by_key(|log| log.key());
        logs.iter().find_map(|log| {
            let passed = after.filter(|after| after.0 == log.key()).map_or(0, |after| after.1);
            let state = log.state();
            // Segments that are wholly trimmed need not be intact any more.
            let starts = state.segment_starts().map(|start| start.0).skip(1).chain([state.next_ordinal]);
            let readable = state.sealed.iter().zip(starts).filter(|(_, next)| *next > state.trim_ordinal);
            let mut behind = readable.filter(|(segment, _)| segment.first_ordinal > passed);
            let (next, _) = behind.next()?;
            Some((log.key(), next.first_ordinal, next.file_bytes))
        })
    }

    fn sealed_bytes(&self, key: ShardKey, first_ordinal: u64) -> Option<u64> {
        let log = self.get(key)?;
        let state = log.state();
        let sealed = state.sealed.iter().find(|segment| segment.first_ordinal == first_ordinal)?;
        Some(sealed.file_bytes)
    }
}
