//! The budgets of one stream's shards, which outlive a reshard: the shards that stay keep what they owe.

use std::sync::{Arc, Mutex};

use super::throttle::Budget;
use crate::model::stream::{Shard, Stream};

/// One budget per shard.
#[derive(Debug, Default)]
pub struct Budgets {
    /// By shard index, ascending.
    by_shard: Vec<(u32, Arc<Mutex<Budget>>)>,
}

impl Budgets {
    /// The budgets of a stream's shards: as before for those that have one, full for the others.
    pub fn following(before: Option<&Self>, stream: &Stream) -> Self {
        let budget = |index| before.and_then(|before| before.find(index)).cloned().unwrap_or_default();
        Self { by_shard: stream.shards.iter().map(|shard| (shard.index, budget(shard.index))).collect() }
    }

    /// Whether every shard of the stream has one. Numbers only grow, so the newest shard tells.
    pub fn cover(&self, stream: &Stream) -> bool {
        self.by_shard.last().map(|(index, _)| *index) >= stream.shards.last().map(|shard| shard.index)
    }

    /// The budget of a shard. One that was forgotten meanwhile gets a full one, for this once.
    pub fn of(&self, shard: &Shard) -> Arc<Mutex<Budget>> {
        self.find(shard.index).cloned().unwrap_or_default()
    }

    fn find(&self, index: u32) -> Option<&Arc<Mutex<Budget>>> {
        let found = self.by_shard.binary_search_by_key(&index, |(index, _)| *index).ok()?;
        Some(&self.by_shard[found].1)
    }
}
