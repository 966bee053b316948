//! A change of all tables of one application: all of it, or nothing.

use std::collections::BTreeMap;

use super::tokens::Tokens;
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
    let before = Before::take(tables, owner, change);
    let replaced = replace(tables, owner, change, stamp);
    if replaced.is_err() {
        restore(tables, owner, change, before);
    }
    replaced.map(|()| Outcome::Done)
}

/// The state that the undo of a change of whole tables puts back.
struct Before {
    /// Copies of the tables that are dropped, and of one that has the name of the table to create.
    replaced: BTreeMap<Box<str>, Table>,
    tokens: Option<Tokens>,
    bytes: u64,
    memory: u64,
    account: Option<u64>,
}

impl Before {
    fn take(tables: &Tables, owner: &Owner, change: &ApplicationChange) -> Self {
        let names = change.dropped.iter().chain(change.created.as_ref().map(|create| &create.table));
        let replaced = names.filter_map(|name| Some((name.clone(), tables.table(owner, name)?.clone())));
        Self {
            replaced: replaced.collect(),
            tokens: tables.tokens.get(owner).cloned(),
            bytes: tables.bytes,
            memory: tables.memory,
            account: tables.accounts.get(&owner.account).copied(),
        }
    }
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

fn restore(tables: &mut Tables, owner: &Owner, change: &ApplicationChange, before: Before) {
    let mut own = tables.owners.remove(owner).unwrap_or_default();
    if let Some(created) = &change.created {
        own.remove(&created.table);
    }
    own.extend(before.replaced);
    if !own.is_empty() {
        tables.owners.insert(owner.clone(), own);
    }
    if let Some(tokens) = before.tokens {
        tables.tokens.insert(owner.clone(), tokens);
    }
    (tables.bytes, tables.memory) = (before.bytes, before.memory);
    match before.account {
        Some(bytes) => tables.accounts.insert(owner.account.clone(), bytes),
        None => tables.accounts.remove(&owner.account),
    };
}
