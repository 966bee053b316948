//! CreateTable, UpdateTable, and the operations that name a table alone.

use std::collections::BTreeMap;

use super::index::{IndexChange, IndexSpec, index, index_change, key_schema, throughput};
use super::parts::{Parts, required};
use super::{ListTables, settings, table_name};
use crate::fault::{Fault, Invalid, Rule};
use crate::owner::{Owner, check_name};
use crate::schema::{KeyAttribute, KeySchema};
use crate::value::Kind;

/// Indexes of one table; DynamoDB's bound.
pub(crate) const INDEXES_MAX: usize = 20;

/// Tags of one table; DynamoDB's bound.
pub(crate) const TAGS_MAX: usize = 50;

/// A tag: its key and its value.
pub type Tag = (Box<str>, Box<str>);

/// Names of one ListTables; DynamoDB's bound.
const LIST_MAX: i64 = 100;

/// Capacity units, which mean nothing here.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Throughput {
    /// ReadCapacityUnits
    pub read: u64,
    /// WriteCapacityUnits
    pub write: u64,
}

/// The way in which AWS would charge for a table.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Billing {
    /// PAY_PER_REQUEST
    PerRequest,
    /// PROVISIONED
    Provisioned(Throughput),
}

/// CreateTable
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CreateTable {
    /// The name.
    pub table: Box<str>,
    /// The key.
    pub schema: KeySchema,
    /// The types of the attributes of all keys.
    pub definitions: Vec<KeyAttribute>,
    /// BillingMode and ProvisionedThroughput
    pub billing: Billing,
    /// DeletionProtectionEnabled
    pub is_protected: bool,
    /// Tags
    pub tags: Vec<Tag>,
    /// GlobalSecondaryIndexes
    pub indexes: Vec<IndexSpec>,
}

/// UpdateTable
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UpdateTable {
    /// The name.
    pub table: Box<str>,
    /// Types of attributes, those that the table has included or not.
    pub definitions: Vec<KeyAttribute>,
    /// BillingMode; true for PAY_PER_REQUEST.
    pub is_per_request: Option<bool>,
    /// ProvisionedThroughput
    pub throughput: Option<Throughput>,
    /// DeletionProtectionEnabled
    pub is_protected: Option<bool>,
    /// GlobalSecondaryIndexUpdates
    pub indexes: Vec<IndexChange>,
}

pub(super) fn rule(rule: Rule) -> Fault {
    Invalid::Rule(rule).into()
}

/// Takes a table's name and nothing else.
pub(super) fn table_alone(
    mut parts: Parts<'_>,
    owner: &Owner,
    operation: &'static str,
) -> Result<Box<str>, Fault> {
    let table = table_name(&mut parts, owner, operation)?;
    parts.finish()?;
    Ok(table)
}

pub(super) fn list_tables(mut parts: Parts<'_>) -> Result<ListTables, Fault> {
    let start = parts.text("ExclusiveStartTableName")?;
    let limit = parts.number("Limit", "limit", 1..=LIST_MAX)?.unwrap_or(LIST_MAX);
    parts.finish()?;
    if let Some(start) = &start {
        check_name(start, "exclusiveStartTableName")?;
    }
    Ok(ListTables { start: start.map(Into::into), limit: limit as usize })
}

/// The types of attributes, each once.
fn definitions(parts: &mut Parts<'_>) -> Result<Option<Vec<KeyAttribute>>, Fault> {
    const KINDS: [(&str, Kind); 3] = [("B", Kind::B), ("N", Kind::N), ("S", Kind::S)];
    let Some(list) = parts.list("AttributeDefinitions")? else { return Ok(None) };
    let mut all: Vec<KeyAttribute> = Vec::with_capacity(list.len());
    for json in list {
        let mut definition = Parts::of(json)?;
        let name = required(definition.text("AttributeName")?, "attributeDefinitions.member.attributeName")?;
        let member = "attributeDefinitions.member.attributeType";
        let kind = required(definition.choice("AttributeType", member, &KINDS)?, member)?;
        definition.finish()?;
        check_attribute_name(&name, "attributeDefinitions.member.attributeName")?;
        if all.iter().any(|own| *own.name == *name) {
            return Err(Invalid::DuplicateDefinition { attribute: name.into_owned() }.into());
        }
        all.push(KeyAttribute { name: name.into(), kind });
    }
    Ok(Some(all))
}

fn check_attribute_name(name: &str, member: &str) -> Result<(), Fault> {
    if name.is_empty() {
        return Err(
            Invalid::constraint(name, member, "Member must have length greater than or equal to 1").into()
        );
    }
    if name.len() > 255 {
        return Err(
            Invalid::constraint(name, member, "Member must have length less than or equal to 255").into()
        );
    }
    Ok(())
}

/// Refuses streams that are to be on.
fn stream_specification(parts: &mut Parts<'_>) -> Result<(), Fault> {
    let Some(mut stream) = parts.structure("StreamSpecification")? else { return Ok(()) };
    if stream.flag("StreamEnabled")? == Some(false) {
        return Ok(());
    }
    Err(Invalid::NotTaken { what: "streams".into() }.into())
}

/// BillingMode; true for PAY_PER_REQUEST.
fn billing_mode(parts: &mut Parts<'_>) -> Result<Option<bool>, Fault> {
    parts.choice("BillingMode", "billingMode", &[("PROVISIONED", false), ("PAY_PER_REQUEST", true)])
}

pub(super) fn create_table(mut parts: Parts<'_>, owner: &Owner) -> Result<CreateTable, Fault> {
    let table = table_name(&mut parts, owner, "CreateTable")?;
    let definitions = required(definitions(&mut parts)?, "attributeDefinitions")?;
    let (hash, range) = key_schema(&mut parts, "keySchema")?;
    let is_per_request = billing_mode(&mut parts)?.unwrap_or(false);
    let throughput = throughput(&mut parts, "ProvisionedThroughput")?;
    let is_protected = parts.flag("DeletionProtectionEnabled")?.unwrap_or(false);
    let tags = settings::tags(parts.list("Tags")?.unwrap_or_default())?;
    stream_specification(&mut parts)?;
    let specs = parts.list("GlobalSecondaryIndexes")?.unwrap_or_default();
    if parts.list("LocalSecondaryIndexes")?.is_some_and(|list| !list.is_empty()) {
        return Err(Invalid::NotTaken { what: "local indexes".into() }.into());
    }
    parts.finish()?;
    let indexes: Vec<IndexSpec> =
        specs.into_iter().map(|json| index(Parts::of(json)?)).collect::<Result<_, _>>()?;
    let billing = match (is_per_request, throughput) {
        (true, None) => Billing::PerRequest,
        (false, Some(throughput)) => Billing::Provisioned(throughput),
        (true, Some(_)) => {
            return Err(rule(Rule::UnitsPerRequest));
        }
        (false, None) => {
            return Err(rule(Rule::UnitsMissing));
        }
    };
    let schema = resolve(&hash, range.as_deref(), &definitions)?;
    check_indexes(&indexes, &definitions, billing)?;
    check_all_used(&definitions, &schema, &indexes)?;
    if tags.len() > TAGS_MAX {
        return Err(Invalid::TooManyTags { tags: TAGS_MAX }.into());
    }
    Ok(CreateTable { table, schema, definitions, billing, is_protected, tags, indexes })
}

fn names<'n>(all: impl IntoIterator<Item = &'n str>) -> String {
    all.into_iter().collect::<Vec<_>>().join(", ")
}

/// The key of these attributes, with their types.
pub(crate) fn resolve(
    hash: &str,
    range: Option<&str>,
    definitions: &[KeyAttribute],
) -> Result<KeySchema, Invalid> {
    let find = |name: &str| {
        definitions.iter().find(|definition| *definition.name == *name).cloned().ok_or_else(|| {
            Invalid::UndefinedKeyAttributes {
                keys: names(std::iter::once(hash).chain(range)),
                definitions: names(definitions.iter().map(|definition| &*definition.name)),
            }
        })
    };
    Ok(KeySchema { hash: find(hash)?, range: range.map(find).transpose()? })
}

fn check_indexes(
    indexes: &[IndexSpec],
    definitions: &[KeyAttribute],
    billing: Billing,
) -> Result<(), Invalid> {
    if indexes.len() > INDEXES_MAX {
        return Err(Invalid::TooManyIndexes { indexes: INDEXES_MAX });
    }
    for (at, spec) in indexes.iter().enumerate() {
        if indexes[..at].iter().any(|other| other.name == spec.name) {
            return Err(Invalid::DuplicateIndex { index: spec.name.to_string() });
        }
        if matches!(billing, Billing::Provisioned(_)) && spec.throughput.is_none() {
            return Err(Invalid::IndexThroughputMissing { index: spec.name.to_string() });
        }
        resolve(&spec.hash, spec.range.as_deref(), definitions)?;
    }
    Ok(())
}

fn check_all_used(
    definitions: &[KeyAttribute],
    schema: &KeySchema,
    indexes: &[IndexSpec],
) -> Result<(), Invalid> {
    let mut keys: BTreeMap<&str, ()> = schema.attributes().map(|attribute| (&*attribute.name, ())).collect();
    keys.extend(
        indexes
            .iter()
            .flat_map(|spec| std::iter::once(&spec.hash).chain(&spec.range))
            .map(|name| (&**name, ())),
    );
    if definitions.iter().all(|definition| keys.contains_key(&*definition.name)) {
        return Ok(());
    }
    Err(Invalid::UnusedDefinitions {
        definitions: names(definitions.iter().map(|definition| &*definition.name)),
        keys: names(keys.into_keys()),
    })
}

pub(super) fn update_table(mut parts: Parts<'_>, owner: &Owner) -> Result<UpdateTable, Fault> {
    let table = table_name(&mut parts, owner, "UpdateTable")?;
    let definitions = definitions(&mut parts)?.unwrap_or_default();
    let is_per_request = billing_mode(&mut parts)?;
    let throughput = throughput(&mut parts, "ProvisionedThroughput")?;
    let is_protected = parts.flag("DeletionProtectionEnabled")?;
    stream_specification(&mut parts)?;
    let updates = parts.list("GlobalSecondaryIndexUpdates")?.unwrap_or_default();
    let is_ignored_alone =
        ["SSESpecification", "TableClass", "OnDemandThroughput"].iter().any(|name| parts.has(name));
    parts.finish()?;
    let indexes: Vec<IndexChange> =
        updates.into_iter().map(|json| index_change(Parts::of(json)?)).collect::<Result<_, _>>()?;
    let is_empty =
        is_per_request.is_none() && throughput.is_none() && is_protected.is_none() && indexes.is_empty();
    if is_empty && !is_ignored_alone {
        return Err(rule(Rule::NothingToUpdate));
    }
    Ok(UpdateTable { table, definitions, is_per_request, throughput, is_protected, indexes })
}
