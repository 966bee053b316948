//! The index up to which every member of a group holds its log.
//!
//! The leader knows it, and tells its followers with the entries, so that the next leader still keeps entries that
//! some member lacks.

use std::sync::atomic::{AtomicU64, Ordering};

use tidelog_storage::wal::GROUPS;

/// One index per group; 0 while nothing is known.
pub struct Replicated(Vec<AtomicU64>);

impl Default for Replicated {
    fn default() -> Self {
        Self((0..GROUPS).map(|_| AtomicU64::new(0)).collect())
    }
}

impl Replicated {
    /// Up to where every member holds the group's log, as far as known.
    pub fn get(&self, group: u8) -> u64 {
        self.0[usize::from(group)].load(Ordering::Relaxed)
    }

    /// Notes the index. A member that comes in makes it less.
    pub fn set(&self, group: u8, index: u64) {
        self.0[usize::from(group)].store(index, Ordering::Relaxed);
    }
}
