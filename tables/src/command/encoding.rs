//! The bytes of a command. Decoding checks every value again, so that bytes from elsewhere cannot break the state.

use super::{Bounds, Command, Shares, Stamp, VERSION};
use crate::codec::{Damaged, Reader, fnv, put_bytes, put_number, put_signed};
use crate::expression::{Condition, Update};
use crate::owner::{Owner, check_name};
use crate::request::{
    ApplicationChange, Billing, CreateTable, IndexChange, IndexProjection, IndexSpec, ItemWrite, Returns,
    Throughput, UpdateTable, Verb, Write,
};
use crate::schema::{KeyAttribute, KeySchema};
use crate::value::{Item, Kind};

/// The rule by which the accounts share a group, for each version from 1 on.
const SHARES: [Shares; VERSION as usize] = [Shares::None, Shares::Free, Shares::LastEighth];

const RETURNS: [Returns; 5] =
    [Returns::None, Returns::AllOld, Returns::AllNew, Returns::UpdatedOld, Returns::UpdatedNew];

impl Command {
    /// The bytes for the log.
    pub fn encode(&self) -> Vec<u8> {
        let mut out = Vec::with_capacity(256);
        let Bounds { tables, items, item_bytes, group_bytes, shares } = self.stamp.bounds;
        out.push(match shares {
            Shares::None => 1,
            Shares::Free => 2,
            Shares::LastEighth => VERSION,
        });
        put_signed(&mut out, self.stamp.now_ms);
        for number in [tables, items, item_bytes, group_bytes, self.stamp.tables_elsewhere] {
            put_number(&mut out, number);
        }
        put_text(&mut out, &self.owner.account);
        put_text(&mut out, &self.owner.region);
        put_write(&mut out, &self.write);
        out
    }

    /// Reads the bytes of a command.
    ///
    /// # Errors
    /// [`Damaged`] when they are none, or of another version.
    pub fn decode(bytes: &[u8]) -> Result<Self, Damaged> {
        let mut reader = Reader(bytes);
        let version = usize::from(reader.byte()?);
        let shares = *version.checked_sub(1).and_then(|at| SHARES.get(at)).ok_or(Damaged)?;
        let now_ms = reader.signed()?;
        let bounds = Bounds {
            tables: reader.number()?,
            items: reader.number()?,
            item_bytes: reader.number()?,
            group_bytes: reader.number()?,
            shares,
        };
        let stamp = Stamp { now_ms, bounds, tables_elsewhere: reader.number()? };
        let owner = Owner { account: reader.name()?, region: reader.name()? };
        let write = take_write(&mut reader)?;
        reader.end()?;
        Ok(Self { stamp, owner, write })
    }
}

fn put_text(out: &mut Vec<u8>, text: &str) {
    put_bytes(out, text.as_bytes());
}

fn put_all<T>(out: &mut Vec<u8>, all: &[T], put: impl Fn(&mut Vec<u8>, &T)) {
    put_number(out, all.len() as u64);
    all.iter().for_each(|one| put(out, one));
}

fn take_all<'d, T>(
    reader: &mut Reader<'d>,
    take: impl Fn(&mut Reader<'d>) -> Result<T, Damaged>,
) -> Result<Vec<T>, Damaged> {
    let mut all = Vec::new();
    for _ in 0..reader.count()? {
        all.push(take(reader)?);
    }
    Ok(all)
}

/// A value that may be absent, behind a flag.
fn put_option<T>(out: &mut Vec<u8>, value: Option<&T>, put: impl Fn(&mut Vec<u8>, &T)) {
    out.push(u8::from(value.is_some()));
    if let Some(value) = value {
        put(out, value);
    }
}

fn take_option<'d, T>(
    reader: &mut Reader<'d>,
    take: impl Fn(&mut Reader<'d>) -> Result<T, Damaged>,
) -> Result<Option<T>, Damaged> {
    if reader.flag()? { take(reader).map(Some) } else { Ok(None) }
}

fn put_write(out: &mut Vec<u8>, write: &Write) {
    let tag = match write {
        Write::Item(_) => 1,
        Write::Batch(_) => 2,
        Write::Transaction(_) => 3,
        Write::CreateTable(_) => 4,
        Write::UpdateTable(_) => 5,
        Write::DeleteTable(_) => 6,
        Write::ContinuousBackups { .. } => 7,
        Write::TimeToLive { .. } => 8,
        Write::Tag { .. } => 9,
        Write::Untag { .. } => 10,
        Write::Expire { .. } => 11,
        Write::Application(_) => 12,
        Write::TransactionOnce { .. } => 13,
        Write::ForgetTokens { .. } => 14,
    };
    out.push(tag);
    match write {
        Write::Item(write) => put_item_write(out, write),
        Write::Batch(writes) | Write::Transaction(writes) => put_all(out, writes, put_item_write),
        Write::CreateTable(create) => put_create(out, create),
        Write::UpdateTable(update) => put_update(out, update),
        Write::DeleteTable(table) => put_text(out, table),
        Write::ContinuousBackups { table, is_enabled } => {
            put_text(out, table);
            out.push(u8::from(*is_enabled));
        }
        Write::TimeToLive { table, attribute, is_enabled } => {
            put_text(out, table);
            put_text(out, attribute);
            out.push(u8::from(*is_enabled));
        }
        Write::Tag { table, tags } => {
            put_text(out, table);
            put_all(out, tags, put_tag);
        }
        Write::Untag { table, keys } => {
            put_text(out, table);
            put_all(out, keys, |out, key| put_text(out, key));
        }
        Write::Application(change) => put_application(out, change),
        Write::Expire { table, before_ms, items_max } => {
            put_text(out, table);
            put_signed(out, *before_ms);
            put_number(out, u64::from(*items_max));
        }
        Write::TransactionOnce { writes, token } => {
            put_all(out, writes, put_item_write);
            put_text(out, token);
        }
        Write::ForgetTokens { before_ms } => put_signed(out, *before_ms),
    }
}

/// A number that stands for the writes of a transaction: FNV-1a of 128 bits over their bytes.
pub(crate) fn digest(writes: &[ItemWrite]) -> u128 {
    let mut bytes = Vec::new();
    put_all(&mut bytes, writes, put_item_write);
    fnv(bytes.iter().copied())
}

fn take_write(reader: &mut Reader<'_>) -> Result<Write, Damaged> {
    Ok(match reader.byte()? {
        1 => Write::Item(take_item_write(reader)?),
        2 => Write::Batch(take_all(reader, take_item_write)?),
        3 => Write::Transaction(take_all(reader, take_item_write)?),
        4 => Write::CreateTable(take_create(reader)?),
        5 => Write::UpdateTable(take_update(reader)?),
        6 => Write::DeleteTable(take_table(reader)?),
        7 => Write::ContinuousBackups { table: take_table(reader)?, is_enabled: reader.flag()? },
        8 => Write::TimeToLive {
            table: take_table(reader)?,
            attribute: reader.name()?,
            is_enabled: reader.flag()?,
        },
        9 => Write::Tag { table: take_table(reader)?, tags: take_all(reader, take_tag)? },
        10 => Write::Untag { table: take_table(reader)?, keys: take_all(reader, Reader::name)? },
        11 => Write::Expire {
            table: take_table(reader)?,
            before_ms: reader.signed()?,
            items_max: u32::try_from(reader.number()?).map_err(|_| Damaged)?,
        },
        12 => Write::Application(Box::new(take_application(reader)?)),
        13 => Write::TransactionOnce { writes: take_all(reader, take_item_write)?, token: reader.name()? },
        14 => Write::ForgetTokens { before_ms: reader.signed()? },
        _ => return Err(Damaged),
    })
}

fn put_application(out: &mut Vec<u8>, change: &ApplicationChange) {
    put_text(out, &change.application);
    put_number(out, change.item_count);
    put_all(out, &change.writes, put_item_write);
    put_all(out, &change.dropped, |out, table| put_text(out, table));
    put_option(out, change.created.as_ref(), put_create);
    put_all(out, &change.items, |out, item| put_bytes(out, item.bytes()));
}

fn take_application(reader: &mut Reader<'_>) -> Result<ApplicationChange, Damaged> {
    Ok(ApplicationChange {
        application: take_table(reader)?,
        item_count: reader.number()?,
        writes: take_all(reader, take_item_write)?,
        dropped: take_all(reader, take_table)?,
        created: take_option(reader, take_create)?,
        items: take_all(reader, |reader| Item::decode(reader.bytes()?))?,
    })
}

fn take_table(reader: &mut Reader<'_>) -> Result<Box<str>, Damaged> {
    let name = reader.name()?;
    check_name(&name, "").map(|()| name).map_err(|_| Damaged)
}

fn put_tag(out: &mut Vec<u8>, (key, value): &(Box<str>, Box<str>)) {
    put_text(out, key);
    put_text(out, value);
}

fn take_tag(reader: &mut Reader<'_>) -> Result<(Box<str>, Box<str>), Damaged> {
    Ok((reader.name()?, reader.name()?))
}

fn put_item_write(out: &mut Vec<u8>, write: &ItemWrite) {
    put_text(out, &write.table);
    put_option(out, write.condition.as_ref(), |out, condition| condition.encode(out));
    out.push(write.returns as u8);
    out.push(u8::from(write.return_failed_item));
    let (tag, item) = match &write.verb {
        Verb::Put(item) => (1, item),
        Verb::Update { key, .. } => (2, key),
        Verb::Delete { key } => (3, key),
        Verb::Check { key } => (4, key),
    };
    out.push(tag);
    put_bytes(out, item.bytes());
    if let Verb::Update { update, .. } = &write.verb {
        update.encode(out);
    }
}

fn take_item_write(reader: &mut Reader<'_>) -> Result<ItemWrite, Damaged> {
    let table = take_table(reader)?;
    let condition = take_option(reader, Condition::decode)?;
    let returns = *RETURNS.get(usize::from(reader.byte()?)).ok_or(Damaged)?;
    let return_failed_item = reader.flag()?;
    let tag = reader.byte()?;
    let item = Item::decode(reader.bytes()?)?;
    let verb = match tag {
        1 => Verb::Put(item),
        2 => Verb::Update { key: item, update: Update::decode(reader)? },
        3 => Verb::Delete { key: item },
        4 => Verb::Check { key: item },
        _ => return Err(Damaged),
    };
    Ok(ItemWrite { table, condition, verb, returns, return_failed_item })
}

fn put_definition(out: &mut Vec<u8>, definition: &KeyAttribute) {
    put_text(out, &definition.name);
    out.push(definition.kind as u8);
}

fn take_definition(reader: &mut Reader<'_>) -> Result<KeyAttribute, Damaged> {
    let (name, kind) = (reader.name()?, Kind::from_byte(reader.byte()?)?);
    if kind.is_ordered() { Ok(KeyAttribute { name, kind }) } else { Err(Damaged) }
}

pub(crate) fn put_throughput(out: &mut Vec<u8>, throughput: &Throughput) {
    put_number(out, throughput.read);
    put_number(out, throughput.write);
}

pub(crate) fn take_throughput(reader: &mut Reader<'_>) -> Result<Throughput, Damaged> {
    Ok(Throughput { read: reader.number()?, write: reader.number()? })
}

pub(crate) fn put_billing(out: &mut Vec<u8>, billing: &Billing) {
    match billing {
        Billing::PerRequest => out.push(0),
        Billing::Provisioned(throughput) => {
            out.push(1);
            put_throughput(out, throughput);
        }
    }
}

pub(crate) fn take_billing(reader: &mut Reader<'_>) -> Result<Billing, Damaged> {
    if reader.flag()? { take_throughput(reader).map(Billing::Provisioned) } else { Ok(Billing::PerRequest) }
}

/// Appends an index. The state stores it in the same form, and its attributes' types beside it.
pub(crate) fn put_spec(out: &mut Vec<u8>, spec: &IndexSpec) {
    put_text(out, &spec.name);
    put_text(out, &spec.hash);
    put_option(out, spec.range.as_ref(), |out, range| put_text(out, range));
    match &spec.projection {
        IndexProjection::All => out.push(0),
        IndexProjection::KeysOnly => out.push(1),
        IndexProjection::Include(names) => {
            out.push(2);
            put_all(out, names, |out, name| put_text(out, name));
        }
    }
    put_option(out, spec.throughput.as_ref(), put_throughput);
}

pub(crate) fn take_spec(reader: &mut Reader<'_>) -> Result<IndexSpec, Damaged> {
    let name = take_table(reader)?;
    let hash = reader.name()?;
    let range = take_option(reader, Reader::name)?;
    if range.as_ref() == Some(&hash) {
        return Err(Damaged);
    }
    let projection = match reader.byte()? {
        0 => IndexProjection::All,
        1 => IndexProjection::KeysOnly,
        2 => IndexProjection::Include(take_all(reader, Reader::name)?),
        _ => return Err(Damaged),
    };
    Ok(IndexSpec { name, hash, range, projection, throughput: take_option(reader, take_throughput)? })
}

fn put_create(out: &mut Vec<u8>, create: &CreateTable) {
    put_text(out, &create.table);
    create.schema.encode(out);
    put_all(out, &create.definitions, put_definition);
    put_billing(out, &create.billing);
    out.push(u8::from(create.is_protected));
    put_all(out, &create.tags, put_tag);
    put_all(out, &create.indexes, put_spec);
}

fn take_create(reader: &mut Reader<'_>) -> Result<CreateTable, Damaged> {
    Ok(CreateTable {
        table: take_table(reader)?,
        schema: KeySchema::decode(reader)?,
        definitions: take_all(reader, take_definition)?,
        billing: take_billing(reader)?,
        is_protected: reader.flag()?,
        tags: take_all(reader, take_tag)?,
        indexes: take_all(reader, take_spec)?,
    })
}

fn put_flag(out: &mut Vec<u8>, flag: &bool) {
    out.push(u8::from(*flag));
}

fn put_update(out: &mut Vec<u8>, update: &UpdateTable) {
    put_text(out, &update.table);
    put_all(out, &update.definitions, put_definition);
    put_option(out, update.is_per_request.as_ref(), put_flag);
    put_option(out, update.throughput.as_ref(), put_throughput);
    put_option(out, update.is_protected.as_ref(), put_flag);
    put_all(out, &update.indexes, |out, change| match change {
        IndexChange::Create(spec) => {
            out.push(0);
            put_spec(out, spec);
        }
        IndexChange::Delete(name) => {
            out.push(1);
            put_text(out, name);
        }
        IndexChange::Update(name, throughput) => {
            out.push(2);
            put_text(out, name);
            put_throughput(out, throughput);
        }
    });
}

fn take_update(reader: &mut Reader<'_>) -> Result<UpdateTable, Damaged> {
    let change = |reader: &mut Reader<'_>| {
        Ok(match reader.byte()? {
            0 => IndexChange::Create(take_spec(reader)?),
            1 => IndexChange::Delete(take_table(reader)?),
            2 => IndexChange::Update(take_table(reader)?, take_throughput(reader)?),
            _ => return Err(Damaged),
        })
    };
    Ok(UpdateTable {
        table: take_table(reader)?,
        definitions: take_all(reader, take_definition)?,
        is_per_request: take_option(reader, Reader::flag)?,
        throughput: take_option(reader, take_throughput)?,
        is_protected: take_option(reader, Reader::flag)?,
        indexes: take_all(reader, change)?,
    })
}
