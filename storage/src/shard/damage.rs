//! Segments of this node that are known to be damaged: found by a read, at the start, by the scrub or by the flusher.
//!
//! Nothing here repairs: the broker takes the list, where there is a peer to repair from. Damage that does not fit
//! the list is found again.

use std::collections::BTreeMap;
use std::ops::Range;
use std::sync::{Mutex, MutexGuard};

use super::{ShardError, ShardKey};
use crate::segment::parse_segment_name;

/// Most damaged segments that are remembered.
const DAMAGED_SEGMENTS_MAX: usize = 10_000;

/// The ordinals of a segment that cannot be read, once that is known.
type Unreadable = Option<Vec<Range<u64>>>;

/// The damaged segments, by shard and first ordinal.
#[derive(Default)]
pub(crate) struct Damage(Mutex<BTreeMap<(ShardKey, u64), Unreadable>>);

impl Damage {
    /// Remembers a damaged segment.
    pub fn note(&self, key: ShardKey, first_ordinal: u64) {
        let mut damaged = self.damaged();
        if damaged.len() < DAMAGED_SEGMENTS_MAX {
            damaged.entry((key, first_ordinal)).or_default();
        }
    }

    /// Remembers the segment an error names, if it is one of damage. Returns the segment's first ordinal.
    pub fn note_error(&self, key: ShardKey, error: &ShardError) -> Option<u64> {
        let ShardError::Damaged { path, .. } = error else { return None };
        let first_ordinal = parse_segment_name(path.file_name()?.to_str()?)?;
        self.note(key, first_ordinal);
        Some(first_ordinal)
    }

    pub fn holds(&self, key: ShardKey, first_ordinal: u64) -> bool {
        self.damaged().contains_key(&(key, first_ordinal))
    }

    pub fn forget(&self, key: ShardKey, first_ordinal: u64) {
        self.damaged().remove(&(key, first_ordinal));
    }

    pub fn forget_all(&self, is_meant: impl Fn(ShardKey) -> bool) {
        self.damaged().retain(|(key, _), _| !is_meant(*key));
    }

    /// All of them.
    pub fn list(&self) -> Vec<(ShardKey, u64)> {
        self.damaged().keys().copied().collect()
    }

    /// All of them, with the unreadable ordinals of each where they are known.
    pub fn surveyed(&self) -> Vec<((ShardKey, u64), Unreadable)> {
        self.damaged().iter().map(|(segment, unreadable)| (*segment, unreadable.clone())).collect()
    }

    /// Notes which ordinals of a damaged segment cannot be read.
    pub fn set_unreadable(&self, key: ShardKey, first_ordinal: u64, unreadable: Vec<Range<u64>>) {
        if let Some(known) = self.damaged().get_mut(&(key, first_ordinal)) {
            *known = Some(unreadable);
        }
    }

    fn damaged(&self) -> MutexGuard<'_, BTreeMap<(ShardKey, u64), Unreadable>> {
        self.0.lock().expect("no holder of the list panics")
    }
}
