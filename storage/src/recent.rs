//! A map that knows which of its entries was used the longest ago: open files, for reading and for writing.
//!
//! Safe code over two standard maps: a use costs a lookup in each, however many entries there are.

use std::collections::{BTreeMap, HashMap};
use std::hash::Hash;

/// Entries in the order of their last use.
pub(crate) struct Recent<K, V> {
    uses: u64,
    entries: HashMap<K, (u64, V)>,
    /// The key of each entry, by the number of its last use.
    order: BTreeMap<u64, K>,
}

impl<K, V> Default for Recent<K, V> {
    fn default() -> Self {
        Self { uses: 0, entries: HashMap::new(), order: BTreeMap::new() }
    }
}

impl<K: Copy + Eq + Hash, V> Recent<K, V> {
    pub fn len(&self) -> usize {
        self.entries.len()
    }

    pub fn contains(&self, key: &K) -> bool {
        self.entries.contains_key(key)
    }

    /// The entry, which counts as used now.
    pub fn get_mut(&mut self, key: &K) -> Option<&mut V> {
        let (used, value) = self.entries.get_mut(key)?;
        self.order.remove(used);
        self.uses += 1;
        *used = self.uses;
        self.order.insert(*used, *key);
        Some(value)
    }

    /// Adds an entry, used now; gives the one that it replaces.
    pub fn insert(&mut self, key: K, value: V) -> Option<V> {
        let replaced = self.remove(&key);
        self.uses += 1;
        self.order.insert(self.uses, key);
        self.entries.insert(key, (self.uses, value));
        replaced
    }

    pub fn remove(&mut self, key: &K) -> Option<V> {
        let (used, value) = self.entries.remove(key)?;
        self.order.remove(&used);
        Some(value)
    }

    /// Takes out the entry that was used the longest ago.
    pub fn pop_oldest(&mut self) -> Option<V> {
        let (_, key) = self.order.pop_first()?;
        self.entries.remove(&key).map(|(_, value)| value)
    }

    /// All entries, in no order; none of them counts as used.
    pub fn values_mut(&mut self) -> impl Iterator<Item = &mut V> {
        self.entries.values_mut().map(|(_, value)| value)
    }

    /// Takes out the entries that are meant.
    pub fn take_all(&mut self, is_meant: impl Fn(&K, &V) -> bool) -> Vec<V> {
        let keys: Vec<K> = self
            .entries
            .iter()
            .filter(|(key, (_, value))| is_meant(key, value))
            .map(|(key, _)| *key)
            .collect();
        keys.iter().filter_map(|key| self.remove(key)).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_entry_used_the_longest_ago_goes_first() {
        let mut recent = Recent::default();
        for key in 0..4 {
            assert_eq!(recent.insert(key, key * 10), None);
        }
        assert_eq!(recent.get_mut(&0).copied(), Some(0));
        assert_eq!(recent.insert(1, 11), Some(10));
        assert_eq!(recent.take_all(|key, _| *key == 3), [30]);
        assert!(!recent.contains(&3));
        assert_eq!(recent.len(), 3);
        let order: Vec<_> = std::iter::from_fn(|| recent.pop_oldest()).collect();
        assert_eq!(order, [20, 0, 11]);
        assert_eq!(recent.len(), 0);
    }
}
