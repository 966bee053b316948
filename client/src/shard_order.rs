//! The order in which shards are read: a child after all of its parents, so that a key's records come in order.

use std::collections::{BTreeMap, BTreeSet};

/// The shards of one reading, and how far it is. Decisions only: the caller lists the shards and reads them.
///
/// A parent that was not added counts as read: it was not asked for, or its records have expired.
#[derive(Debug, Default)]
pub struct ShardOrder {
    /// Shards that wait for their parents.
    waiting: BTreeMap<String, Vec<String>>,
    reading: BTreeSet<String>,
}

impl ShardOrder {
    /// Adds a shard to be read, with its parents.
    pub fn add(&mut self, shard_id: String, parents: Vec<String>) {
        self.waiting.insert(shard_id, parents);
    }

    /// Starts the shards whose parents are read, and returns them in the order of their names.
    pub fn start_ready(&mut self) -> Vec<String> {
        let is_ready = |parents: &Vec<String>| !parents.iter().any(|parent| self.is_unread(parent));
        let ready = self.waiting.iter().filter(|(_, parents)| is_ready(parents));
        let ready: Vec<String> = ready.map(|(shard_id, _)| shard_id.clone()).collect();
        for shard_id in &ready {
            self.waiting.remove(shard_id);
            self.reading.insert(shard_id.clone());
        }
        ready
    }

    /// Ends a shard that was started.
    pub fn finish(&mut self, shard_id: &str) {
        self.reading.remove(shard_id);
    }

    /// Whether that shard waits or is being read.
    pub fn is_unread(&self, shard_id: &str) -> bool {
        self.waiting.contains_key(shard_id) || self.reading.contains(shard_id)
    }

    /// Whether that shard is being read.
    pub fn is_reading(&self, shard_id: &str) -> bool {
        self.reading.contains(shard_id)
    }

    /// Whether no shard waits or is being read.
    pub fn is_done(&self) -> bool {
        self.waiting.is_empty() && self.reading.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_shard_is_started_once_its_parents_are_read() {
        let mut order = ShardOrder::default();
        for (shard_id, parents) in [("0", &[][..]), ("1", &["9"]), ("2", &["0"]), ("3", &["1", "2"])] {
            order.add(shard_id.to_owned(), parents.iter().map(|parent| (*parent).to_owned()).collect());
        }
        assert_eq!(order.start_ready(), ["0", "1"], "9 has expired");
        assert_eq!(order.start_ready(), [""; 0]);
        order.finish("1");
        assert_eq!(order.start_ready(), [""; 0], "3 has another parent");
        order.finish("0");
        assert_eq!(order.start_ready(), ["2"]);
        assert!(order.is_reading("2") && order.is_unread("3") && !order.is_unread("0"));
        order.finish("2");
        assert_eq!(order.start_ready(), ["3"]);
        order.finish("3");
        assert!(order.is_done());
    }
}
