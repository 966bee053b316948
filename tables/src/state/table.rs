//! One table: its description, its items in the order of their keys, and its indexes, which are current at once.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Bound;

use super::size::{AROUND_ENTRY, AROUND_INDEX, AROUND_ITEM, AROUND_TABLE, Growth, ITEM_MIN, Size};
use crate::codec::number_len;
use crate::fault::Invalid;
use crate::request::{Billing, IndexProjection, IndexSpec};
use crate::schema::{Key, KeySchema};
use crate::value::{Item, Kind};

/// Milliseconds after which an item's time of expiry does not count any more, as with DynamoDB: five years.
const EXPIRY_COUNTS_MS: i64 = 5 * 365 * 86_400_000;

/// A table of one owner.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Table {
    /// The name.
    pub(super) name: Box<str>,
    /// The random part of its id, made of its owner, name and time of creation.
    pub(super) id: u128,
    /// Milliseconds since the epoch.
    pub(super) created_ms: i64,
    pub(super) schema: KeySchema,
    pub(super) billing: Billing,
    pub(super) is_protected: bool,
    pub(super) has_continuous_backups: bool,
    /// The attribute with the time of expiry, while items expire.
    pub(super) expiry: Option<Box<str>>,
    pub(super) tags: BTreeMap<Box<str>, Box<str>>,
    pub(super) indexes: Vec<Index>,
    pub(super) items: BTreeMap<Key, Item>,
    /// Bytes of all items in a snapshot.
    pub(super) item_bytes: u64,
    /// Bytes of all items in memory, with their keys and their entries of indexes.
    pub(super) item_memory: u64,
    /// The times at which items expire, in milliseconds since the epoch, with the keys of the items.
    pub(super) expiries: BTreeSet<(i64, Key)>,
    /// Bytes of everything else in a snapshot.
    pub(super) definition_bytes: u64,
}

/// An index: entries in the order of its key, each with the key of its item.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Index {
    pub(super) spec: IndexSpec,
    pub(super) schema: KeySchema,
    pub(super) entries: BTreeSet<Key>,
}

/// Bytes of an item in a snapshot.
pub(super) fn snapshot_bytes(item: &Item) -> u64 {
    (number_len(item.bytes().len() as u64) + item.bytes().len()) as u64
}

impl Index {
    /// An index over the items that are there.
    pub(super) fn build(spec: IndexSpec, schema: KeySchema, items: &BTreeMap<Key, Item>) -> Self {
        let mut index = Self { spec, schema, entries: BTreeSet::new() };
        index.rebuild(items);
        index
    }

    /// Makes the entries of these items, in place of those that are there.
    pub(super) fn rebuild(&mut self, items: &BTreeMap<Key, Item>) {
        self.entries = items.iter().filter_map(|(key, item)| self.schema.entry(item, key)).collect();
    }

    /// Whether two items have the same entry.
    fn has_same_entry(&self, old: Option<&Item>, new: Option<&Item>) -> bool {
        let (Some(old), Some(new)) = (old, new) else { return false };
        self.schema.attributes().all(|attribute| old.get(&attribute.name) == new.get(&attribute.name))
    }

    /// True for an attribute that the index has.
    pub(super) fn has(&self, name: &str, table: &KeySchema) -> bool {
        self.schema.has(name)
            || table.has(name)
            || match &self.spec.projection {
                IndexProjection::All => true,
                IndexProjection::KeysOnly => false,
                IndexProjection::Include(names) => names.iter().any(|own| **own == *name),
            }
    }

    /// Replaces the entry of an item.
    fn change(&mut self, key: &Key, old: Option<&Item>, new: Option<&Item>) {
        if self.has_same_entry(old, new) {
            return;
        }
        if let Some(entry) = old.and_then(|old| self.schema.entry(old, key)) {
            assert!(self.entries.remove(&entry), "an index has an entry for each of its items");
        }
        self.entries.extend(new.and_then(|new| self.schema.entry(new, key)));
    }
}

impl Table {
    /// The name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The key.
    pub fn schema(&self) -> &KeySchema {
        &self.schema
    }

    /// Milliseconds since the epoch.
    pub fn created_ms(&self) -> i64 {
        self.created_ms
    }

    /// The number of items, expired ones included.
    pub fn len(&self) -> usize {
        self.items.len()
    }

    /// True without any item.
    pub fn is_empty(&self) -> bool {
        self.items.is_empty()
    }

    /// The items that have not expired, in the order of a scan.
    pub fn items(&self, now_ms: i64) -> impl Iterator<Item = &Item> {
        self.items.values().filter(move |item| !self.is_expired(item, now_ms))
    }

    /// The items behind that one that have not expired, in the order of a scan; all of them without one. The item need
    /// not be there any more.
    pub fn items_after(&self, after: Option<&Item>, now_ms: i64) -> impl Iterator<Item = &Item> {
        let after = after.and_then(|item| self.schema.key_of_item(item).ok());
        let from = after.map_or(Bound::Unbounded, Bound::Excluded);
        let items = self.items.range((from, Bound::Unbounded)).map(|(_, item)| item);
        items.filter(move |item| !self.is_expired(item, now_ms))
    }

    /// True when an item had expired before a time, so that [`Write::Expire`](crate::Write::Expire) has work.
    pub fn has_expired(&self, before_ms: i64) -> bool {
        self.expired(before_ms).next().is_some()
    }

    /// The keys of items that had expired before a time, the first one to expire first.
    pub(super) fn expired(&self, before_ms: i64) -> impl Iterator<Item = &Key> {
        let first = (before_ms.saturating_sub(EXPIRY_COUNTS_MS), Key::default());
        let keys = self.expiries.range(first..).map(|(expiry_ms, key)| (*expiry_ms, key));
        keys.take_while(move |(expiry_ms, _)| *expiry_ms <= before_ms).map(|(_, key)| key)
    }

    /// Makes the order in which items expire, and measures the items, after a change of the description.
    pub(super) fn order_items(&mut self) {
        let expiries = self.items.iter().filter_map(|(key, item)| Some((self.expiry_ms(item)?, key.clone())));
        self.expiries = expiries.collect();
        self.item_memory = self.memory_of(&self.items);
    }

    /// Whether another table has the same indexes.
    pub(super) fn has_indexes_of(&self, other: &Self) -> bool {
        let shape = |index: &'_ Index| (index.spec.name.clone(), index.schema.clone());
        self.indexes.iter().map(shape).eq(other.indexes.iter().map(shape))
    }

    /// Bytes of items in memory when they are in this table.
    pub(super) fn memory_of(&self, items: &BTreeMap<Key, Item>) -> u64 {
        items.iter().map(|(key, item)| self.memory_of_item(key, item)).sum()
    }

    /// Bytes of an item in memory, with its key and its entries of indexes.
    fn memory_of_item(&self, key: &Key, item: &Item) -> u64 {
        let with_key = |bytes: u64| bytes + key.len() as u64;
        let entries = self.indexes.iter().filter_map(|index| index.schema.entry(item, key));
        let entries: u64 = entries.map(|entry| AROUND_ENTRY + entry.len() as u64).sum();
        let expiry = self.expiry_ms(item).map_or(0, |_| with_key(AROUND_ENTRY));
        (snapshot_bytes(item) + with_key(AROUND_ITEM) + entries + expiry).max(ITEM_MIN)
    }

    /// The bytes of the table, its owner apart.
    pub(super) fn size(&self) -> Size {
        let snapshot = self.definition_bytes + self.item_bytes;
        let around = AROUND_TABLE + AROUND_INDEX * self.indexes.len() as u64;
        Size { snapshot, memory: around + self.definition_bytes + self.item_memory }
    }

    /// True when the item's time has passed.
    pub(super) fn is_expired(&self, item: &Item, now_ms: i64) -> bool {
        self.expiry_ms(item).is_some_and(|expiry_ms| {
            expiry_ms <= now_ms && expiry_ms >= now_ms.saturating_sub(EXPIRY_COUNTS_MS)
        })
    }

    /// The time at which the item expires.
    pub(super) fn expiry_ms(&self, item: &Item) -> Option<i64> {
        let value = item.get(self.expiry.as_ref()?)?;
        let seconds = if value.kind == Kind::N { value.as_number()?.integer_part()? } else { return None };
        seconds.checked_mul(1_000)
    }

    /// The item of that key, unless it has expired.
    pub(super) fn get(&self, key: &[u8], now_ms: i64) -> Option<&Item> {
        self.items.get(key).filter(|item| !self.is_expired(item, now_ms))
    }

    /// The index of that name.
    pub(super) fn index(&self, name: &str) -> Result<&Index, Invalid> {
        let found = self.indexes.iter().find(|index| *index.spec.name == *name);
        found.ok_or_else(|| Invalid::NoSuchIndex { index: name.to_owned() })
    }

    /// Refuses an item whose attributes an index cannot take as keys.
    pub(super) fn check_indexes(&self, item: &Item) -> Result<(), Invalid> {
        self.indexes.iter().try_for_each(|index| index.schema.check_index(item, &index.spec.name))
    }

    /// Bytes by which the table grows, or shrinks, when this item replaces the one that is there.
    pub(super) fn growth(&self, key: &Key, new: Option<&Item>) -> Growth {
        let old = self.items.get(key);
        let snapshot = |item: Option<&Item>| item.map_or(0, |item| snapshot_bytes(item) as i64);
        let memory = |item: Option<&Item>| item.map_or(0, |item| self.memory_of_item(key, item) as i64);
        Growth { snapshot: snapshot(new) - snapshot(old), memory: memory(new) - memory(old) }
    }

    /// Puts or removes an item, in the table and in its indexes.
    pub(super) fn set(&mut self, key: Key, new: Option<Item>) {
        let Growth { snapshot, memory } = self.growth(&key, new.as_ref());
        let add =
            |bytes: u64, growth| bytes.checked_add_signed(growth).expect("a sum of parts that were added");
        (self.item_bytes, self.item_memory) = (add(self.item_bytes, snapshot), add(self.item_memory, memory));
        let old = self.items.get(&key);
        for index in &mut self.indexes {
            index.change(&key, old, new.as_ref());
        }
        let [was, is] = [old, new.as_ref()].map(|item| item.and_then(|item| self.expiry_ms(item)));
        if was != is {
            self.expiries.extend(is.map(|expiry_ms| (expiry_ms, key.clone())));
            if let Some(expiry_ms) = was {
                self.expiries.remove(&(expiry_ms, key.clone()));
            }
        }
        match new {
            Some(item) => match self.items.get_mut(&key) {
                Some(place) => *place = item,
                None => _ = self.items.insert(key, item),
            },
            None => _ = self.items.remove(&key),
        }
    }
}
