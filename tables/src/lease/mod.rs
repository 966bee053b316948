//! Leases of the Kinesis Client Library (KCL): the items of its tables by meaning.
//!
//! A table of leases has the key `leaseKey`. An item with a `checkpoint` is the lease of a shard; KCL 3.5 keeps its
//! lock, its state and the statistics of its workers in the same table, and tells them apart by `entityType`. [`Lease`]
//! and [`Lock`] read items, `writes` makes the writes that set leases anew.

mod writes;

pub use writes::NewLease;

use crate::Owner;
use crate::owner::application_of;
use crate::state::{Table, Tables};
use crate::value::{Decimal, Item, Kind, ValueRef};

/// The key of a table of leases.
pub const KEY: &str = "leaseKey";
/// The key of the lock, and the attribute that is the key of a table of KCL 3 beside the leases.
const LOCK: &str = "Leader";
const STATE_KEY: &str = "key";
const CHECKPOINT: &str = "checkpoint";
const SUB_SEQUENCE_NUMBER: &str = "checkpointSubSequenceNumber";
const COUNTER: &str = "leaseCounter";
const OWNER: &str = "leaseOwner";
const ENTITY: &str = "entityType";
const ENTITY_LEASE: &str = "LEASE";
const STREAM: &str = "streamName";
const SHARD: &str = "shardId";
const PARENTS: &str = "parentShardId";
const RANGE_START: &str = "startingHashKey";
const RANGE_END: &str = "endingHashKey";

/// The checkpoint of a shard whose records were all processed.
pub const SHARD_END: &str = "SHARD_END";
/// The checkpoint of a shard that is read from its oldest record on.
pub const TRIM_HORIZON: &str = "TRIM_HORIZON";
/// The checkpoint of a shard that is read from the time on at which its worker starts.
pub const LATEST: &str = "LATEST";

/// The lease of one shard.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Lease {
    /// The item's key.
    pub key: Box<str>,
    /// `ACCOUNT:STREAM:EPOCH`, for an application that reads several streams.
    pub stream: Option<Box<str>>,
    /// The id of the shard.
    pub shard: Box<str>,
    /// The worker that has the lease.
    pub owner: Option<Box<str>>,
    /// The counter, which each renewal raises; empty without one.
    pub counter: String,
    /// A sequence number, or one of the words in its place.
    pub checkpoint: Box<str>,
    /// The position inside an aggregated record.
    pub sub_sequence_number: u64,
    /// The hash keys of the shard, both ends included.
    pub range: Option<(u128, u128)>,
    /// Ids of the parents of the shard.
    pub parents: Vec<Box<str>>,
    /// Everything that the item has.
    pub item: Item,
}

/// The lock by which one worker of KCL 3 leads the others.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Lock {
    /// The worker that leads.
    pub owner: Box<str>,
    /// Changes with each renewal.
    pub version: Box<str>,
    /// Milliseconds after which another worker may take a lock that was not renewed.
    pub duration_ms: u64,
}

/// The lock's duration in KCL 3, for an item that does not say it.
const LOCK_DURATION_MS: u64 = 120_000;

fn boxed(item: &Item, name: &str) -> Option<Box<str>> {
    item.text(name).filter(|text| !text.is_empty()).map(Into::into)
}

fn number(value: ValueRef<'_>) -> Option<u64> {
    u64::try_from(value.as_number()?.integer_part()?).ok()
}

fn hash_key(item: &Item, name: &str) -> Option<u128> {
    item.text(name)?.parse().ok()
}

impl Lease {
    /// The lease that an item is.
    pub fn of(item: &Item) -> Option<Self> {
        let is_lease = item.text(ENTITY).is_none_or(|entity| entity == ENTITY_LEASE);
        let (key, checkpoint) = (boxed(item, KEY)?, boxed(item, CHECKPOINT)?);
        if !is_lease {
            return None;
        }
        let parent = |parent: &[u8]| std::str::from_utf8(parent).ok().map(Into::into);
        let parents = item.get(PARENTS).filter(|value| value.kind == Kind::Ss);
        let range = hash_key(item, RANGE_START).zip(hash_key(item, RANGE_END));
        Some(Self {
            stream: boxed(item, STREAM),
            shard: boxed(item, SHARD).unwrap_or_else(|| key.clone()),
            owner: boxed(item, OWNER),
            counter: item
                .get(COUNTER)
                .and_then(ValueRef::as_number)
                .as_ref()
                .map_or_else(String::new, Decimal::text),
            sub_sequence_number: item.get(SUB_SEQUENCE_NUMBER).and_then(number).unwrap_or(0),
            range: range.filter(|(start, end)| start <= end),
            parents: parents.into_iter().flat_map(ValueRef::elements).filter_map(parent).collect(),
            key,
            checkpoint,
            item: item.clone(),
        })
    }

    /// Whether the shard was processed to its end.
    pub fn is_ended(&self) -> bool {
        *self.checkpoint == *SHARD_END
    }

    /// The name of the stream, for an application that reads several.
    pub fn stream_name(&self) -> Option<&str> {
        self.stream.as_deref()?.split(':').nth(1)
    }
}

impl Lock {
    /// The lock that an item is.
    pub fn of(item: &Item) -> Option<Self> {
        if ![KEY, STATE_KEY].into_iter().any(|key| item.text(key) == Some(LOCK)) {
            return None;
        }
        let duration_ms = item.text("leaseDuration").and_then(|text| text.parse().ok());
        Some(Self {
            owner: boxed(item, "ownerName")?,
            version: boxed(item, "recordVersionNumber")?,
            duration_ms: duration_ms.unwrap_or(LOCK_DURATION_MS),
        })
    }
}

/// A part of a table, in the order of a scan.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Page {
    /// The items.
    pub items: Vec<Item>,
    /// Whether others follow.
    pub has_more: bool,
    /// The items of the whole table, expired ones included.
    pub table_items: u64,
}

impl Tables {
    /// The owner's tables that hold leases, in the order of their names. The tables that KCL 3 keeps beside them are
    /// left out.
    pub fn lease_tables<'t>(&'t self, owner: &Owner) -> impl Iterator<Item = &'t Table> {
        self.tables(owner).filter(|table| is_of_leases(table))
    }

    /// Names of the tables of an application, its own first.
    pub fn tables_of<'t>(&'t self, owner: &Owner, application: &str) -> impl Iterator<Item = &'t str> {
        self.tables(owner).map(Table::name).filter(move |name| application_of(name) == application)
    }

    /// A part of a table behind one of its items; `None` when there is no such table.
    pub fn page(
        &self,
        owner: &Owner,
        table: &str,
        after: Option<&Item>,
        items_max: usize,
        now_ms: i64,
    ) -> Option<Page> {
        let table = self.table(owner, table)?;
        let mut rest = table.items_after(after, now_ms);
        let items: Vec<Item> = rest.by_ref().take(items_max).cloned().collect();
        Some(Page { items, has_more: rest.next().is_some(), table_items: table.len() as u64 })
    }
}

fn is_of_leases(table: &Table) -> bool {
    let schema = table.schema();
    let is_key = &*schema.hash.name == KEY && schema.hash.kind == Kind::S && schema.range.is_none();
    is_key && application_of(table.name()) == table.name()
}

#[cfg(test)]
mod tests;
