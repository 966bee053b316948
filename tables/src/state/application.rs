//! A change of all tables of one application: all of it, or nothing.

use std::collections::BTreeMap;

use super::write::{all_hold, put_all};
use super::{Outcome, Table, Tables};
use crate::command::Stamp;
use crate::fault::Fault;
use crate::owner::Owner;
use crate::request::ApplicationChange;

/// Applies the change. [`Outcome::Overtaken`] when the leases are not as they were when it was decided on.
pub(super) fn apply(
    tables: &mut Tables,
    owner: &Owner,
    change: &ApplicationChange,
    stamp: &Stamp,
) -> Result<Outcome, Fault> {
    let items = tables.table(owner, &change.application).map_or(0, |table| table.len() as u64);
    if items != change.item_count {
        return Ok(Outcome::Overtaken);
    }
    let Some(writes) = all_hold(tables, owner, &change.writes, stamp)? else {
        return Ok(Outcome::Overtaken);
    };
    if change.dropped.is_empty() && change.created.is_none() {
        return put_all(tables, owner, writes, stamp).map(|()| Outcome::Done);
    }
    drop(writes);
    let before = (tables.owners.get(owner).map(|tables| taken(tables, &change.dropped)), tables.bytes);
    let replaced = replace(tables, owner, change, stamp);
    if replaced.is_err() {
        restore(tables, owner, change, before);
    }
    replaced.map(|()| Outcome::Done)
}

type Before = (Option<BTreeMap<Box<str>, Table>>, u64);

/// Copies of the tables that are dropped, to put them back.
fn taken(tables: &BTreeMap<Box<str>, Table>, names: &[Box<str>]) -> BTreeMap<Box<str>, Table> {
    names.iter().filter_map(|name| Some((name.clone(), tables.get(name)?.clone()))).collect()
}

fn replace(
    tables: &mut Tables,
    owner: &Owner,
    change: &ApplicationChange,
    stamp: &Stamp,
) -> Result<(), Fault> {
    for name in &change.dropped {
        tables.delete_table(owner, name)?;
    }
    let Some(created) = &change.created else { return Ok(()) };
    tables.create_table(owner, created, stamp)?;
    let puts: Vec<_> = change.items.iter().map(|item| ApplicationChange::put(&created.table, item)).collect();
    let puts = all_hold(tables, owner, &puts, stamp)?.expect("puts without a condition");
    put_all(tables, owner, puts, stamp)
}

fn restore(tables: &mut Tables, owner: &Owner, change: &ApplicationChange, (before, bytes): Before) {
    let mut own = tables.owners.remove(owner).unwrap_or_default();
    if let Some(created) = &change.created {
        own.remove(&created.table);
    }
    own.extend(before.unwrap_or_default());
    if !own.is_empty() {
        tables.owners.insert(owner.clone(), own);
    }
    tables.bytes = bytes;
}
