//! Applies commands: conditions are evaluated and items changed here and nowhere else.

use std::collections::BTreeSet;

use super::size::Growth;
use super::table::Table;
use super::tokens::Known;
use super::{Outcome, Tables, application};
use crate::command::encoding::digest;
use crate::command::{Command, Stamp};
use crate::expression::{Condition, Update};
use crate::fault::{CancellationReason, Fault, Invalid};
use crate::owner::Owner;
use crate::request::{ItemWrite, Returns, Verb, Write};
use crate::schema::Key;
use crate::value::Item;

/// A write that may be done: its condition holds, and the item fits.
pub(super) struct Prepared<'c> {
    table: &'c str,
    key: Key,
    /// The item afterwards. Nothing changes without it.
    change: Option<Option<Item>>,
    returned: Option<Item>,
    is_new: bool,
    growth: Growth,
}

/// Why a write is not done.
enum Refusal {
    Invalid(Invalid),
    Condition(Option<Item>),
}

impl From<Invalid> for Refusal {
    fn from(invalid: Invalid) -> Self {
        Self::Invalid(invalid)
    }
}

impl From<Refusal> for Fault {
    fn from(refusal: Refusal) -> Self {
        match refusal {
            Refusal::Invalid(invalid) => invalid.into(),
            Refusal::Condition(item) => Self::ConditionFailed { item },
        }
    }
}

pub(super) fn apply(tables: &mut Tables, command: &Command) -> Result<Outcome, Fault> {
    let Command { stamp, owner, write } = command;
    match write {
        Write::Item(write) => item(tables, owner, write, stamp),
        Write::Batch(writes) => batch(tables, owner, writes, stamp),
        Write::Transaction(writes) => transaction(tables, owner, writes, Growth::default(), stamp),
        Write::TransactionOnce { writes, token } => transaction_once(tables, owner, writes, token, stamp),
        Write::ForgetTokens { before_ms } => Ok(Outcome::Expired(tables.forget_tokens(owner, *before_ms))),
        Write::CreateTable(create) => tables.create_table(owner, create, stamp),
        Write::UpdateTable(update) => tables.update_table(owner, update, stamp),
        Write::DeleteTable(table) => tables.delete_table(owner, table),
        Write::ContinuousBackups { table, is_enabled } => {
            tables.set_continuous_backups(owner, table, *is_enabled)
        }
        Write::TimeToLive { table, attribute, is_enabled } => {
            tables.set_time_to_live(owner, table, attribute, *is_enabled, stamp)
        }
        Write::Tag { table, tags } => tables.tag(owner, table, tags, stamp),
        Write::Untag { table, keys } => tables.untag(owner, table, keys),
        Write::Application(change) => application::apply(tables, owner, change, stamp),
        Write::Expire { table, before_ms, items_max } => expire(tables, owner, table, *before_ms, *items_max),
    }
}

fn item(tables: &mut Tables, owner: &Owner, write: &ItemWrite, stamp: &Stamp) -> Result<Outcome, Fault> {
    let table = tables.find(owner, &write.table)?;
    let prepared = prepare(table, write, stamp)?;
    check_room(tables, owner, std::slice::from_ref(&prepared), Growth::default(), stamp)?;
    let returned = store(tables, owner, prepared);
    Ok(returned.filter(|item| !item.is_empty()).map_or(Outcome::Done, Outcome::Attributes))
}

/// Evaluates the condition of a write, and makes the item afterwards.
fn prepare<'c>(table: &Table, write: &'c ItemWrite, stamp: &Stamp) -> Result<Prepared<'c>, Refusal> {
    let key = match &write.verb {
        Verb::Put(item) => table.schema.key_of_item(item)?,
        Verb::Update { key, .. } | Verb::Delete { key } | Verb::Check { key } => {
            table.schema.key_of_key(key)?
        }
    };
    if let Verb::Update { update, .. } = &write.verb {
        check_no_key(table, update)?;
    }
    let old = table.get(&key, stamp.now_ms);
    if !write.condition.as_ref().is_none_or(|condition| holds(condition, old)) {
        return Err(Refusal::Condition(old.filter(|_| write.return_failed_item).cloned()));
    }
    let change = make(table, write, old, stamp)?;
    let growth = change.as_ref().map_or(Growth::default(), |new| table.growth(&key, new.as_ref()));
    let is_new = matches!(change, Some(Some(_))) && !table.items.contains_key(&key);
    let returned = returned(write, old, change.as_ref().and_then(Option::as_ref));
    Ok(Prepared { table: &write.table, key, change, returned, is_new, growth })
}

fn holds(condition: &Condition, item: Option<&Item>) -> bool {
    condition.holds(&|name| item.and_then(|item| item.get(name)))
}

fn check_no_key(table: &Table, update: &Update) -> Result<(), Invalid> {
    match update.actions.iter().find(|action| table.schema.has(action.name())) {
        Some(action) => Err(Invalid::KeyUpdated { attribute: action.name().to_owned() }),
        None => Ok(()),
    }
}

/// The item after a write; none inside for a deleted one, none outside for a check.
fn make(
    table: &Table,
    write: &ItemWrite,
    old: Option<&Item>,
    stamp: &Stamp,
) -> Result<Option<Option<Item>>, Invalid> {
    let (new, fault) = match &write.verb {
        Verb::Put(item) => (item.clone(), Invalid::ItemTooLarge),
        Verb::Update { key, update } => {
            // An absent item begins with its key, which operands may read.
            let old = old.unwrap_or(key);
            (old.with(&update.changes(old)?), Invalid::UpdatedItemTooLarge)
        }
        Verb::Delete { .. } => return Ok(Some(None)),
        Verb::Check { .. } => return Ok(None),
    };
    if new.is_above(usize::try_from(stamp.bounds.item_bytes).unwrap_or(usize::MAX)) {
        return Err(fault);
    }
    table.check_indexes(&new)?;
    Ok(Some(Some(new)))
}

/// The attributes that the request asks for.
fn returned(write: &ItemWrite, old: Option<&Item>, new: Option<&Item>) -> Option<Item> {
    let is_updated = |name: &str| match &write.verb {
        Verb::Update { update, .. } => update.actions.iter().any(|action| action.name() == name),
        _ => true,
    };
    match write.returns {
        Returns::None => None,
        Returns::AllOld => old.cloned(),
        Returns::AllNew => new.cloned(),
        Returns::UpdatedOld => old.map(|old| old.only(is_updated)),
        Returns::UpdatedNew => new.map(|new| new.only(is_updated)),
    }
}

/// Refuses new items above a table's bound, and growth above the group's.
fn check_room(
    tables: &Tables,
    owner: &Owner,
    all: &[Prepared<'_>],
    more: Growth,
    stamp: &Stamp,
) -> Result<(), Fault> {
    for one in all.iter().filter(|one| one.is_new) {
        let added = all.iter().filter(|other| other.table == one.table);
        let added = added.map(|other| match &other.change {
            Some(None) if other.growth.snapshot < 0 => -1,
            _ => i64::from(other.is_new),
        });
        let items = tables.find(owner, one.table)?.len() as u64;
        if items.saturating_add_signed(added.sum()) > stamp.bounds.items {
            return Err(
                Invalid::TooManyItems { table: one.table.to_owned(), items: stamp.bounds.items }.into()
            );
        }
    }
    let growth = all.iter().map(|one| one.growth).chain([more]).sum();
    Ok(tables.check_growth(&owner.account, growth, &stamp.bounds)?)
}

/// Changes the item, and returns the attributes that the request asks for.
fn store(tables: &mut Tables, owner: &Owner, prepared: Prepared<'_>) -> Option<Item> {
    let Prepared { table, key, change, returned, .. } = prepared;
    if let Some(new) = change {
        tables
            .with_table(owner, table, |table| table.set(key, new))
            .expect("the table was found when it was prepared");
    }
    returned
}

/// Refuses two writes of one item.
fn check_distinct(prepared: &[Prepared<'_>], fault: Invalid) -> Result<(), Fault> {
    let mut seen = BTreeSet::new();
    if prepared.iter().all(|one| seen.insert((one.table, &one.key))) { Ok(()) } else { Err(fault.into()) }
}

fn batch(tables: &mut Tables, owner: &Owner, writes: &[ItemWrite], stamp: &Stamp) -> Result<Outcome, Fault> {
    let mut prepared = Vec::with_capacity(writes.len());
    for write in writes {
        prepared.push(prepare(tables.find(owner, &write.table)?, write, stamp)?);
    }
    check_distinct(&prepared, Invalid::DuplicateKeys)?;
    check_room(tables, owner, &prepared, Growth::default(), stamp)?;
    for one in prepared {
        store(tables, owner, one);
    }
    Ok(Outcome::Done)
}

/// A transaction that is done once: under a token that is known nothing is done.
fn transaction_once(
    tables: &mut Tables,
    owner: &Owner,
    writes: &[ItemWrite],
    token: &str,
    stamp: &Stamp,
) -> Result<Outcome, Fault> {
    let digest = digest(writes);
    match tables.token(owner, token, digest) {
        Known::Same => return Ok(Outcome::Done),
        Known::Other => return Err(Fault::TokenReused),
        Known::No => {}
    }
    let outcome = transaction(tables, owner, writes, Tables::token_growth(token), stamp)?;
    tables.remember(owner, token, stamp.now_ms, digest);
    Ok(outcome)
}

/// All writes, or none. The state grows by `more` beside them.
fn transaction(
    tables: &mut Tables,
    owner: &Owner,
    writes: &[ItemWrite],
    more: Growth,
    stamp: &Stamp,
) -> Result<Outcome, Fault> {
    let mut prepared = Vec::with_capacity(writes.len());
    let mut reasons = Vec::with_capacity(writes.len());
    let mut seen = BTreeSet::new();
    for write in writes {
        let table = tables.find(owner, &write.table)?;
        let key = match &write.verb {
            Verb::Put(item) => table.schema.key_of_item(item),
            Verb::Update { key, .. } | Verb::Delete { key } | Verb::Check { key } => {
                table.schema.key_of_key(key)
            }
        };
        if key.is_ok_and(|key| !seen.insert((&write.table, key))) {
            return Err(Invalid::DuplicateInTransaction.into());
        }
        reasons.push(match prepare(table, write, stamp) {
            Ok(one) => {
                prepared.push(one);
                CancellationReason::None
            }
            Err(Refusal::Condition(item)) => CancellationReason::ConditionFailed { item },
            Err(Refusal::Invalid(invalid)) => CancellationReason::Invalid(invalid),
        });
    }
    if reasons.iter().any(|reason| *reason != CancellationReason::None) {
        return Err(Fault::TransactionCanceled { reasons });
    }
    check_room(tables, owner, &prepared, more, stamp)?;
    for one in prepared {
        store(tables, owner, one);
    }
    Ok(Outcome::Done)
}

/// Prepares writes of different items; `None` when the condition of one does not hold.
pub(super) fn all_hold<'c>(
    tables: &Tables,
    owner: &Owner,
    writes: &'c [ItemWrite],
    stamp: &Stamp,
) -> Result<Option<Vec<Prepared<'c>>>, Fault> {
    let mut prepared = Vec::with_capacity(writes.len());
    for write in writes {
        match prepare(tables.find(owner, &write.table)?, write, stamp) {
            Ok(one) => prepared.push(one),
            Err(Refusal::Condition(_)) => return Ok(None),
            Err(Refusal::Invalid(invalid)) => return Err(invalid.into()),
        }
    }
    check_distinct(&prepared, Invalid::DuplicateInTransaction)?;
    Ok(Some(prepared))
}

/// Makes prepared writes, if there is room for all of them.
pub(super) fn put_all(
    tables: &mut Tables,
    owner: &Owner,
    prepared: Vec<Prepared<'_>>,
    stamp: &Stamp,
) -> Result<(), Fault> {
    check_room(tables, owner, &prepared, Growth::default(), stamp)?;
    for one in prepared {
        store(tables, owner, one);
    }
    Ok(())
}

fn expire(
    tables: &mut Tables,
    owner: &Owner,
    name: &str,
    before_ms: i64,
    items_max: u32,
) -> Result<Outcome, Fault> {
    let count = tables.with_table(owner, name, |table| {
        let expired: Vec<Key> = table.expired(before_ms).take(items_max as usize).cloned().collect();
        let count = expired.len() as u32;
        expired.into_iter().for_each(|key| table.set(key, None));
        count
    })?;
    Ok(Outcome::Expired(count))
}
