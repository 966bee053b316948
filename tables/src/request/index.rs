//! Indexes and keys, as CreateTable and UpdateTable describe them.

use super::Throughput;
use super::parts::{Parts, required};
use super::table::rule;
use crate::fault::{Fault, Invalid, Rule};
use crate::json::Json;
use crate::owner::check_name;

/// Attributes that one INCLUDE names; DynamoDB's bound.
const INCLUDED_MAX: usize = 100;

/// The attributes that an index has besides the keys.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum IndexProjection {
    /// All.
    All,
    /// None.
    KeysOnly,
    /// Some.
    Include(Vec<Box<str>>),
}

/// An index as a request describes it; the types of its attributes stand apart.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct IndexSpec {
    /// The name.
    pub name: Box<str>,
    /// The HASH attribute.
    pub hash: Box<str>,
    /// The RANGE attribute.
    pub range: Option<Box<str>>,
    /// The attributes besides the keys.
    pub projection: IndexProjection,
    /// ProvisionedThroughput
    pub throughput: Option<Throughput>,
}

/// One of GlobalSecondaryIndexUpdates.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum IndexChange {
    /// Create
    Create(IndexSpec),
    /// Delete
    Delete(Box<str>),
    /// Update
    Update(Box<str>, Throughput),
}

/// The names of the HASH and of the RANGE attribute.
pub(super) fn key_schema(parts: &mut Parts<'_>, member: &str) -> Result<(Box<str>, Option<Box<str>>), Fault> {
    let list = required(parts.list("KeySchema")?, member)?;
    if list.is_empty() || list.len() > 2 {
        let bound = if list.is_empty() { "greater than or equal to 1" } else { "less than or equal to 2" };
        return Err(Invalid::constraint("[]", member, format!("Member must have length {bound}")).into());
    }
    let mut names: Vec<Box<str>> = Vec::with_capacity(2);
    for (at, json) in list.into_iter().enumerate() {
        let mut element = Parts::of(json)?;
        let name = required(element.text("AttributeName")?, "keySchema.member.attributeName")?;
        let choices = [("HASH", 0), ("RANGE", 1)];
        let place = required(
            element.choice("KeyType", "keySchema.member.keyType", &choices)?,
            "keySchema.member.keyType",
        )?;
        element.finish()?;
        match (at, place) {
            (0, 0) | (1, 1) => {}
            (0, _) => {
                return Err(rule(Rule::KeysWithoutHash));
            }
            _ => return Err(rule(Rule::KeysWithoutRange)),
        }
        names.push(name.into());
    }
    let range = if names.len() == 2 { names.pop() } else { None };
    let hash = names.pop().expect("one at least");
    if range.as_ref() == Some(&hash) {
        return Err(rule(Rule::KeysOfOneName));
    }
    Ok((hash, range))
}

pub(super) fn throughput(parts: &mut Parts<'_>, name: &str) -> Result<Option<Throughput>, Fault> {
    let Some(mut units) = parts.structure(name)? else { return Ok(None) };
    let mut take = |name: &str, member: &str| {
        let number = units.number(name, member, 1..=i64::MAX)?;
        required(number, member).map(|number| number as u64)
    };
    let read = take("ReadCapacityUnits", "provisionedThroughput.readCapacityUnits")?;
    let write = take("WriteCapacityUnits", "provisionedThroughput.writeCapacityUnits")?;
    units.finish()?;
    Ok(Some(Throughput { read, write }))
}

/// ProjectionType
#[derive(Clone, Copy)]
enum Kind {
    All,
    Include,
    KeysOnly,
}

fn projection(parts: &mut Parts<'_>) -> Result<IndexProjection, Fault> {
    let mut projection = required(parts.structure("Projection")?, "projection")?;
    let choices = [("ALL", Kind::All), ("INCLUDE", Kind::Include), ("KEYS_ONLY", Kind::KeysOnly)];
    let kind = projection.choice("ProjectionType", "projection.projectionType", &choices)?;
    let names = projection.list("NonKeyAttributes")?;
    projection.finish()?;
    match (kind, names) {
        (Some(Kind::All), None) => Ok(IndexProjection::All),
        (Some(Kind::KeysOnly), None) => Ok(IndexProjection::KeysOnly),
        (Some(Kind::Include), Some(list)) if !list.is_empty() && list.len() <= INCLUDED_MAX => {
            let text = |json| match json {
                Json::Text(name) if !name.is_empty() => Ok(name.into()),
                other => Err(Fault::wrong_type(&other, "String")),
            };
            list.into_iter().map(text).collect::<Result<_, _>>().map(IndexProjection::Include)
        }
        (Some(Kind::Include), _) => Err(rule(Rule::IncludeWithoutNames)),
        (Some(Kind::All | Kind::KeysOnly), Some(_)) => Err(rule(Rule::NamesWithoutInclude)),
        (None, _) => Err(rule(Rule::NoProjectionType)),
    }
}

fn index_name(parts: &mut Parts<'_>) -> Result<Box<str>, Fault> {
    let name = required(parts.text("IndexName")?, "indexName")?;
    check_name(&name, "indexName")?;
    Ok(name.into())
}

pub(super) fn index(mut parts: Parts<'_>) -> Result<IndexSpec, Fault> {
    let name = index_name(&mut parts)?;
    let (hash, range) = key_schema(&mut parts, "globalSecondaryIndexes.member.keySchema")?;
    let projection = projection(&mut parts)?;
    let throughput = throughput(&mut parts, "ProvisionedThroughput")?;
    parts.finish()?;
    Ok(IndexSpec { name, hash, range, projection, throughput })
}

pub(super) fn index_change(mut parts: Parts<'_>) -> Result<IndexChange, Fault> {
    let create = parts.structure("Create")?;
    let delete = parts.structure("Delete")?;
    let update = parts.structure("Update")?;
    parts.finish()?;
    match (create, delete, update) {
        (Some(create), None, None) => index(create).map(IndexChange::Create),
        (None, Some(mut delete), None) => {
            let name = index_name(&mut delete)?;
            delete.finish()?;
            Ok(IndexChange::Delete(name))
        }
        (None, None, Some(mut update)) => {
            let name = index_name(&mut update)?;
            let throughput = throughput(&mut update, "ProvisionedThroughput")?;
            update.finish()?;
            let throughput =
                required(throughput, "globalSecondaryIndexUpdates.member.update.provisionedThroughput")?;
            Ok(IndexChange::Update(name, throughput))
        }
        _ => Err(rule(Rule::IndexChangeCount)),
    }
}
