//! The budgets of one stream's shards, which outlive a reshard: the shards that stay keep their debts.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, RwLock};

use super::throttle::Budget;
use crate::model::stream::{Catalog, Shard, Stream};

/// The budgets of every stream whose shards this node has charged, by the stream's uid.
#[derive(Debug, Default)]
pub struct BudgetTable(RwLock<HashMap<u64, Arc<Budgets>>>);

impl BudgetTable {
    /// The budgets of a stream's shards; those of shards that are new to it are full.
    pub fn of(&self, stream: &Stream) -> Arc<Budgets> {
        let table = self.0.read().expect("no code panics while it holds this lock");
        let known = table.get(&stream.uid).cloned();
        drop(table);
        if let Some(budgets) = &known
            && budgets.cover(stream)
        {
            return budgets.clone();
        }
        let mut table = self.0.write().expect("no code panics while it holds this lock");
        // Another request may have been quicker.
        let budgets = match table.get(&stream.uid) {
            Some(budgets) if budgets.cover(stream) => budgets.clone(),
            before => Arc::new(Budgets::following(before.map(|budgets| &**budgets), stream)),
        };
        table.insert(stream.uid, budgets.clone());
        budgets
    }

    /// Forgets the budgets of streams that the catalog does not have.
    pub fn retain(&self, catalog: &Catalog) {
        let mut table = self.0.write().expect("no code panics while it holds this lock");
        table.retain(|uid, _| catalog.by_uid(*uid).is_some());
    }
}

/// One budget per shard.
#[derive(Debug, Default)]
pub struct Budgets {
    /// By shard index, ascending.
    by_shard: Vec<(u32, Arc<Mutex<Budget>>)>,
}

impl Budgets {
    /// The budgets of a stream's shards: the present one of a shard that has one, a full one for each other shard.
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
