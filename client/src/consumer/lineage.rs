//! The shards that a reading follows: those that were asked for, and their descendants. Decisions only; used by
//! [`Reader`](super::Reader).

use std::collections::BTreeSet;

use crate::shard_order::ShardOrder;
use crate::shards::{Shard, Shards};

/// The shards of one reading, and how far it is.
#[derive(Debug, Default)]
pub(super) struct Lineage {
    order: ShardOrder,
    /// Shards that were read to their end, as long as they are listed.
    finished: BTreeSet<String>,
    /// Read as far as they went: neither they nor their descendants are read further.
    stopped: BTreeSet<String>,
}

impl Lineage {
    /// Adds shards to be read.
    pub fn add<'a>(&mut self, shards: impl IntoIterator<Item = &'a Shard>) {
        for shard in shards {
            self.order.add(shard.shard_id.clone(), shard.parents.clone());
        }
    }

    /// The shards that can be read now; they count as being read from now on.
    pub fn ready(&mut self) -> Vec<String> {
        self.order.start_ready()
    }

    /// A shard is read to its end. Its descendants among those that are listed now join.
    pub fn finish(&mut self, shard_id: &str, listed: &Shards) {
        self.order.finish(shard_id);
        self.finished.insert(shard_id.to_owned());
        // Parents come before their children.
        for shard in listed.iter() {
            let id = &shard.shard_id;
            let is_followed = |id: &String| self.order.is_unread(id) || self.finished.contains(id);
            let is_stopped = |id: &String| self.stopped.contains(id);
            let joins = shard.parents.iter().any(is_followed) && !shard.parents.iter().any(is_stopped);
            if joins && !is_followed(id) && !is_stopped(id) {
                self.order.add(id.clone(), shard.parents.clone());
            }
        }
        let is_listed = |id: &String| listed.iter().any(|shard| shard.shard_id == *id);
        self.finished.retain(is_listed);
    }

    /// A shard is read as far as it goes now.
    pub fn stop(&mut self, shard_id: &str) {
        self.order.finish(shard_id);
        self.stopped.insert(shard_id.to_owned());
    }

    /// Nothing is left to read.
    pub fn is_done(&self) -> bool {
        self.order.is_done()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shard(id: &str, parents: &[&str]) -> Shard {
        let parents = parents.iter().map(|id| (*id).to_owned()).collect();
        Shard { shard_id: id.to_owned(), range: 0..=u128::MAX, parents, is_open: true }
    }

    #[test]
    fn children_come_after_all_of_their_parents() {
        let mut listed = vec![shard("0", &[]), shard("1", &[])];
        let mut lineage = Lineage::default();
        lineage.add(&listed);
        assert_eq!(lineage.ready(), ["0", "1"]);

        // 0 is split into 2 and 3, then 1 and 3 are merged into 4.
        listed.extend([shard("2", &["0"]), shard("3", &["0"]), shard("4", &["1", "3"])]);
        let listed: Shards = listed.into_iter().collect();
        lineage.finish("1", &listed);
        assert_eq!(lineage.ready(), Vec::<String>::new(), "4 waits for 3, which waits for 0");
        lineage.finish("0", &listed);
        assert_eq!(lineage.ready(), ["2", "3"]);
        lineage.stop("2");
        lineage.finish("3", &listed);
        assert_eq!(lineage.ready(), ["4"], "2 is not read again");
        lineage.stop("4");
        assert!(lineage.is_done());
    }

    #[test]
    fn others_are_not_followed() {
        let listed: Shards = [shard("0", &[]), shard("1", &[]), shard("2", &["1"])].into_iter().collect();
        let mut lineage = Lineage::default();
        lineage.add(listed.iter().filter(|shard| shard.shard_id == "0"));
        assert_eq!(lineage.ready(), ["0"]);
        lineage.finish("0", &listed);
        assert!(lineage.is_done());
    }
}
