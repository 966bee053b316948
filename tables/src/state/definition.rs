//! Changes of tables other than of their items, and the stored form of a description.

use std::collections::{BTreeMap, BTreeSet};

use super::size::{Growth, NOTHING, Size};
use super::table::{Index, Table};
use super::{Outcome, Tables, describe};
use crate::codec::{Damaged, Reader, fnv, put_bytes, put_number, put_signed};
use crate::command::Stamp;
use crate::command::encoding::{put_billing, put_spec, take_billing, take_spec};
use crate::fault::{Fault, Invalid, Rule};
use crate::owner::{Owner, check_name};
use crate::request::{
    Billing, CreateTable, INDEXES_MAX, IndexChange, IndexSpec, TAGS_MAX, Throughput, UpdateTable, resolve,
};
use crate::schema::{KeyAttribute, KeySchema};
use crate::value::Kind;

/// A number made of names and a time, which is the same on every node.
fn id_of(owner: &Owner, table: &str, created_ms: i64) -> u128 {
    let time = created_ms.to_be_bytes();
    let parts: [&[u8]; 4] = [owner.account.as_bytes(), owner.region.as_bytes(), table.as_bytes(), &time];
    fnv(parts.into_iter().flat_map(|part| part.iter().chain(&[0xff])).copied())
}

impl Table {
    fn create(owner: &Owner, create: &CreateTable, created_ms: i64) -> Result<Self, Invalid> {
        let mut table = Self {
            name: create.table.clone(),
            id: id_of(owner, &create.table, created_ms),
            created_ms,
            schema: create.schema.clone(),
            billing: create.billing,
            is_protected: create.is_protected,
            has_continuous_backups: false,
            expiry: None,
            tags: create.tags.iter().cloned().collect(),
            indexes: Vec::new(),
            items: BTreeMap::new(),
            item_bytes: 0,
            item_memory: 0,
            expiries: BTreeSet::new(),
            definition_bytes: 0,
        };
        for spec in &create.indexes {
            table.add_index(spec, &create.definitions)?;
        }
        table.measure();
        Ok(table)
    }

    /// The description alone.
    fn without_items(&self) -> Self {
        let empty = |index: &Index| Index::build(index.spec.clone(), index.schema.clone(), &BTreeMap::new());
        Self {
            name: self.name.clone(),
            schema: self.schema.clone(),
            expiry: self.expiry.clone(),
            tags: self.tags.clone(),
            indexes: self.indexes.iter().map(empty).collect(),
            items: BTreeMap::new(),
            item_bytes: 0,
            item_memory: 0,
            expiries: BTreeSet::new(),
            ..*self
        }
    }

    /// Measures the description anew, after a change of it.
    fn measure(&mut self) {
        let mut out = Vec::new();
        self.encode_definition(&mut out);
        self.definition_bytes = out.len() as u64;
    }

    /// The attributes of all keys, each once, in the order of their names.
    pub(super) fn definitions(&self) -> BTreeMap<&str, Kind> {
        let schemas = std::iter::once(&self.schema).chain(self.indexes.iter().map(|index| &index.schema));
        schemas.flat_map(KeySchema::attributes).map(|attribute| (&*attribute.name, attribute.kind)).collect()
    }

    fn add_index(&mut self, spec: &IndexSpec, given: &[KeyAttribute]) -> Result<(), Invalid> {
        if self.indexes.iter().any(|index| index.spec.name == spec.name) {
            return Err(Invalid::Rule(Rule::IndexExists));
        }
        if self.indexes.len() >= INDEXES_MAX {
            return Err(Invalid::TooManyIndexes { indexes: INDEXES_MAX });
        }
        let mut definitions: Vec<KeyAttribute> = self
            .definitions()
            .into_iter()
            .map(|(name, kind)| KeyAttribute { name: name.into(), kind })
            .collect();
        for one in given {
            match definitions.iter().find(|own| own.name == one.name) {
                Some(own) if own.kind != one.kind => {
                    return Err(Invalid::DefinitionConflict { attribute: one.name.to_string() });
                }
                Some(_) => {}
                None => definitions.push(one.clone()),
            }
        }
        let schema = resolve(&spec.hash, spec.range.as_deref(), &definitions)?;
        if matches!(self.billing, Billing::Provisioned(_)) && spec.throughput.is_none() {
            return Err(Invalid::IndexThroughputMissing { index: spec.name.to_string() });
        }
        self.indexes.push(Index::build(spec.clone(), schema, &self.items));
        Ok(())
    }

    fn index_at(&self, name: &str) -> Result<usize, Fault> {
        self.indexes.iter().position(|index| *index.spec.name == *name).ok_or(Fault::NoIndex)
    }

    fn update(&mut self, update: &UpdateTable) -> Result<(), Fault> {
        self.billing = billing_after(self.billing, update.is_per_request, update.throughput)?;
        self.is_protected = update.is_protected.unwrap_or(self.is_protected);
        for change in &update.indexes {
            match change {
                IndexChange::Create(spec) => self.add_index(spec, &update.definitions)?,
                IndexChange::Delete(name) => {
                    let at = self.index_at(name)?;
                    self.indexes.remove(at);
                }
                IndexChange::Update(name, throughput) => {
                    let at = self.index_at(name)?;
                    self.indexes[at].spec.throughput = Some(*throughput);
                }
            }
        }
        self.measure();
        Ok(())
    }

    /// Appends the description as it stands in a snapshot.
    pub(super) fn encode_definition(&self, out: &mut Vec<u8>) {
        put_bytes(out, self.name.as_bytes());
        out.extend_from_slice(&self.id.to_be_bytes());
        put_signed(out, self.created_ms);
        self.schema.encode(out);
        put_billing(out, &self.billing);
        out.extend([u8::from(self.is_protected), u8::from(self.has_continuous_backups)]);
        out.push(u8::from(self.expiry.is_some()));
        if let Some(attribute) = &self.expiry {
            put_bytes(out, attribute.as_bytes());
        }
        put_number(out, self.tags.len() as u64);
        for (key, value) in &self.tags {
            put_bytes(out, key.as_bytes());
            put_bytes(out, value.as_bytes());
        }
        put_number(out, self.indexes.len() as u64);
        for index in &self.indexes {
            put_spec(out, &index.spec);
            out.extend(index.schema.attributes().map(|attribute| attribute.kind as u8));
        }
    }

    /// Reads a description; the table has no items yet.
    pub(super) fn decode_definition(reader: &mut Reader<'_>) -> Result<Self, Damaged> {
        let before = reader.0.len();
        let name = reader.name()?;
        check_name(&name, "").map_err(|_| Damaged)?;
        let id = u128::from_be_bytes(reader.take(16)?.try_into().expect("16 bytes"));
        let created_ms = reader.signed()?;
        let schema = KeySchema::decode(reader)?;
        let billing = take_billing(reader)?;
        let (is_protected, has_continuous_backups) = (reader.flag()?, reader.flag()?);
        let expiry = if reader.flag()? { Some(reader.name()?) } else { None };
        let mut tags = BTreeMap::<Box<str>, Box<str>>::new();
        for _ in 0..reader.count()? {
            let (key, value) = (reader.name()?, reader.name()?);
            if tags.last_key_value().is_some_and(|(last, _)| *last >= key) {
                return Err(Damaged);
            }
            tags.insert(key, value);
        }
        let mut indexes: Vec<Index> = Vec::new();
        for _ in 0..reader.count()? {
            let index = decode_index(reader)?;
            if indexes.iter().any(|other| other.spec.name == index.spec.name) {
                return Err(Damaged);
            }
            indexes.push(index);
        }
        let definition_bytes = (before - reader.0.len()) as u64;
        Ok(Self {
            name,
            id,
            created_ms,
            schema,
            billing,
            is_protected,
            has_continuous_backups,
            expiry,
            tags,
            indexes,
            items: BTreeMap::new(),
            item_bytes: 0,
            item_memory: 0,
            expiries: BTreeSet::new(),
            definition_bytes,
        })
    }
}

fn decode_index(reader: &mut Reader<'_>) -> Result<Index, Damaged> {
    let spec = take_spec(reader)?;
    let kind = |reader: &mut Reader<'_>| {
        let kind = Kind::from_byte(reader.byte()?)?;
        if kind.is_ordered() { Ok(kind) } else { Err(Damaged) }
    };
    let hash = KeyAttribute { name: spec.hash.clone(), kind: kind(reader)? };
    let range = match &spec.range {
        Some(name) => Some(KeyAttribute { name: name.clone(), kind: kind(reader)? }),
        None => None,
    };
    Ok(Index::build(spec, KeySchema { hash, range }, &BTreeMap::new()))
}

fn billing_after(
    now: Billing,
    is_per_request: Option<bool>,
    given: Option<Throughput>,
) -> Result<Billing, Invalid> {
    let is_per_request = is_per_request.unwrap_or(now == Billing::PerRequest);
    match (is_per_request, given, now) {
        (true, None, _) => Ok(Billing::PerRequest),
        (true, Some(_), _) => Err(Invalid::Rule(Rule::UnitsPerRequest)),
        (false, Some(throughput), _) => Ok(Billing::Provisioned(throughput)),
        (false, None, Billing::Provisioned(_)) => Ok(now),
        (false, None, Billing::PerRequest) => Err(Invalid::Rule(Rule::UnitsMissing)),
    }
}

/// The size of a table with its owner.
pub(super) fn size_with_owner(owner: &Owner, table: &Table) -> Size {
    let (size, around) = (table.size(), super::snapshot::bytes_around(owner));
    Size { snapshot: size.snapshot + around, memory: size.memory + around }
}

/// Bytes by which a table grows when its description becomes that of a trial, which has no items and the memory of all.
fn growth_of_definition(table: &Table, trial: &Table) -> Growth {
    Growth {
        snapshot: trial.definition_bytes as i64 - table.definition_bytes as i64,
        memory: trial.size().memory as i64 - table.size().memory as i64,
    }
}

impl Tables {
    pub(super) fn create_table(
        &mut self,
        owner: &Owner,
        create: &CreateTable,
        stamp: &Stamp,
    ) -> Result<Outcome, Fault> {
        if self.table(owner, &create.table).is_some() {
            return Err(Fault::TableExists { table: create.table.to_string() });
        }
        let here = self.owners.get(owner).map_or(0, BTreeMap::len) as u64;
        if here.saturating_add(stamp.tables_elsewhere) >= stamp.bounds.tables {
            let (account, region) = (owner.account.to_string(), owner.region.to_string());
            return Err(Fault::TooManyTables { tables: stamp.bounds.tables, account, region });
        }
        let table = Table::create(owner, create, stamp.now_ms)?;
        let size = size_with_owner(owner, &table);
        let growth = Growth { snapshot: size.snapshot as i64, memory: size.memory as i64 };
        self.check_growth(&owner.account, growth, &stamp.bounds)?;
        let body = describe::table_body("TableDescription", owner, &table, "ACTIVE");
        self.owners.entry(owner.clone()).or_default().insert(create.table.clone(), table);
        self.resize(&owner.account, NOTHING, size);
        Ok(Outcome::Body(body))
    }

    pub(super) fn delete_table(&mut self, owner: &Owner, name: &str) -> Result<Outcome, Fault> {
        let table = self.find(owner, name)?;
        if table.is_protected {
            return Err(Invalid::Protected { arn: owner.arn(name) }.into());
        }
        let body = describe::table_body("TableDescription", owner, table, "DELETING");
        let size = size_with_owner(owner, table);
        self.resize(&owner.account, size, NOTHING);
        let tables = self.owners.get_mut(owner).expect("its table was found");
        tables.remove(name);
        if tables.is_empty() {
            self.owners.remove(owner);
            self.forget_tokens(owner, i64::MAX);
        }
        Ok(Outcome::Body(body))
    }

    /// Changes a description: on a copy without items first, so that a refused change has changed nothing.
    fn redefine<T>(
        &mut self,
        owner: &Owner,
        name: &str,
        stamp: Option<&Stamp>,
        change: impl Fn(&mut Table) -> Result<T, Fault>,
    ) -> Result<T, Fault> {
        let table = self.find(owner, name)?;
        let mut trial = table.without_items();
        change(&mut trial)?;
        trial.measure();
        let is_reordered = trial.expiry != table.expiry || !trial.has_indexes_of(table);
        if let Some(stamp) = stamp {
            trial.item_memory = if is_reordered { trial.memory_of(&table.items) } else { table.item_memory };
            let growth = growth_of_definition(table, &trial);
            self.check_growth(&owner.account, growth, &stamp.bounds)?;
        }
        self.with_table(owner, name, |table| {
            let result = change(table);
            table.measure();
            if is_reordered {
                table.order_items();
            }
            result
        })?
    }

    pub(super) fn update_table(
        &mut self,
        owner: &Owner,
        update: &UpdateTable,
        stamp: &Stamp,
    ) -> Result<Outcome, Fault> {
        self.redefine(owner, &update.table, Some(stamp), |table| table.update(update))?;
        let table = self.find(owner, &update.table)?;
        Ok(Outcome::Body(describe::table_body("TableDescription", owner, table, "ACTIVE")))
    }

    pub(super) fn set_continuous_backups(
        &mut self,
        owner: &Owner,
        name: &str,
        is_enabled: bool,
    ) -> Result<Outcome, Fault> {
        self.redefine(owner, name, None, |table| {
            table.has_continuous_backups = is_enabled;
            Ok(())
        })?;
        Ok(Outcome::Body(describe::continuous_backups_body(is_enabled)))
    }

    pub(super) fn set_time_to_live(
        &mut self,
        owner: &Owner,
        name: &str,
        attribute: &str,
        is_enabled: bool,
        stamp: &Stamp,
    ) -> Result<Outcome, Fault> {
        self.redefine(owner, name, Some(stamp), |table| {
            match (&table.expiry, is_enabled) {
                (Some(_), true) | (None, false) => return Err(Invalid::TimeToLiveIs { is_enabled }.into()),
                (Some(own), false) if **own != *attribute => {
                    return Err(Invalid::TimeToLiveOfOther { attribute: own.to_string() }.into());
                }
                _ => table.expiry = is_enabled.then(|| attribute.into()),
            }
            Ok(())
        })?;
        Ok(Outcome::Body(describe::time_to_live_specification(attribute, is_enabled)))
    }

    pub(super) fn tag(
        &mut self,
        owner: &Owner,
        name: &str,
        tags: &[(Box<str>, Box<str>)],
        stamp: &Stamp,
    ) -> Result<Outcome, Fault> {
        self.find(owner, name).map_err(|_| Fault::NoResource { arn: owner.arn(name) })?;
        self.redefine(owner, name, Some(stamp), |table| {
            table.tags.extend(tags.iter().cloned());
            if table.tags.len() > TAGS_MAX {
                Err(Invalid::TooManyTags { tags: TAGS_MAX }.into())
            } else {
                Ok(())
            }
        })?;
        Ok(Outcome::Done)
    }

    pub(super) fn untag(&mut self, owner: &Owner, name: &str, keys: &[Box<str>]) -> Result<Outcome, Fault> {
        self.find(owner, name).map_err(|_| Fault::NoResource { arn: owner.arn(name) })?;
        self.redefine(owner, name, None, |table| {
            keys.iter().for_each(|key| _ = table.tags.remove(key));
            Ok(())
        })?;
        Ok(Outcome::Done)
    }
}
