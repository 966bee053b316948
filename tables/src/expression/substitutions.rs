//! `ExpressionAttributeNames` and `ExpressionAttributeValues`: what stands for `#name` and `:value`, and what was used.

use std::cell::Cell;

use crate::fault::{Fault, Invalid};
use crate::json::Json;
use crate::value::{Value, read_value};

use super::{ExpressionFault, Which};

struct Substitution<T> {
    reference: String,
    meaning: T,
    is_used: Cell<bool>,
}

/// The substitutions of one request, shared by all its expressions.
#[derive(Default)]
pub(crate) struct Substitutions {
    names: Vec<Substitution<String>>,
    values: Vec<Substitution<Value>>,
}

/// Bytes of all values together, as DynamoDB bounds them, and of all names.
const BYTES_MAX: usize = 2 * 1024 * 1024;

impl Substitutions {
    /// Reads both members. `expressions` are those that the operation has, and whether the request has each.
    pub(crate) fn read(
        names: Option<Json<'_>>,
        values: Option<Json<'_>>,
        expressions: &[(Which, bool)],
    ) -> Result<Self, Fault> {
        let has_any = expressions.iter().any(|(_, is_given)| *is_given);
        if names.is_some() && !has_any {
            return Err(Invalid::NamesWithoutExpression.into());
        }
        let takes_values = |which: Which| which != Which::Projection;
        if values.is_some() && !expressions.iter().any(|(which, is_given)| *is_given && takes_values(*which))
        {
            let members =
                expressions.iter().filter(|(which, _)| takes_values(*which)).map(|(which, _)| which.member());
            return Err(Invalid::ValuesWithoutExpression { members: members.collect() }.into());
        }
        let substitutions = Self { names: read_names(names)?, values: read_values(values)? };
        let bytes = substitutions.names.iter().map(|name| name.meaning.len()).sum::<usize>()
            + substitutions.values.iter().map(|value| value.meaning.as_ref().payload().len()).sum::<usize>();
        if bytes > BYTES_MAX {
            return Err(Invalid::SubstitutionsTooLarge.into());
        }
        Ok(substitutions)
    }

    pub(super) fn name(&self, reference: &str) -> Result<&str, ExpressionFault> {
        find(&self.names, reference)
            .map(String::as_str)
            .ok_or_else(|| ExpressionFault::UndefinedName { name: reference.to_owned() })
    }

    pub(super) fn value(&self, reference: &str) -> Result<&Value, ExpressionFault> {
        find(&self.values, reference)
            .ok_or_else(|| ExpressionFault::UndefinedValue { name: reference.to_owned() })
    }

    /// Refuses what no expression has used.
    pub(crate) fn check_used(&self) -> Result<(), Invalid> {
        if let Some(keys) = unused(&self.values) {
            return Err(Invalid::UnusedSubstitutions { member: "ExpressionAttributeValues", keys });
        }
        match unused(&self.names) {
            Some(keys) => Err(Invalid::UnusedSubstitutions { member: "ExpressionAttributeNames", keys }),
            None => Ok(()),
        }
    }
}

fn find<'s, T>(all: &'s [Substitution<T>], reference: &str) -> Option<&'s T> {
    let found = all.iter().find(|substitution| substitution.reference == reference)?;
    found.is_used.set(true);
    Some(&found.meaning)
}

fn unused<T>(all: &[Substitution<T>]) -> Option<String> {
    let mut keys: Vec<&str> =
        all.iter().filter(|one| !one.is_used.get()).map(|one| one.reference.as_str()).collect();
    keys.sort_unstable();
    (!keys.is_empty()).then(|| keys.join(", "))
}

/// True for the mark and at least one letter, digit or underscore.
fn is_reference(reference: &str, mark: char) -> bool {
    let is_part = |character: char| character.is_ascii_alphanumeric() || character == '_';
    reference.strip_prefix(mark).is_some_and(|rest| !rest.is_empty() && rest.chars().all(is_part))
}

fn read_names(names: Option<Json<'_>>) -> Result<Vec<Substitution<String>>, Fault> {
    read(names, "ExpressionAttributeNames", '#', |_, json| match json {
        Json::Text(name) if name.is_empty() => Err(Invalid::EmptyAttributeName.into()),
        Json::Text(name) => Ok(name.into_owned()),
        other => Err(Fault::wrong_type(&other, "String")),
    })
}

fn read_values(values: Option<Json<'_>>) -> Result<Vec<Substitution<Value>>, Fault> {
    let member = "ExpressionAttributeValues";
    read(values, member, ':', |reference, json| {
        read_value(&json).map_err(|fault| match fault {
            Fault::Invalid(fault) => Invalid::BadValue { reference: reference.to_owned(), fault }.into(),
            other => other,
        })
    })
}

fn read<T>(
    json: Option<Json<'_>>,
    member: &'static str,
    mark: char,
    read_one: impl Fn(&str, Json<'_>) -> Result<T, Fault>,
) -> Result<Vec<Substitution<T>>, Fault> {
    let members = match json {
        None => return Ok(Vec::new()),
        Some(Json::Map(members)) => members,
        Some(other) => return Err(Fault::wrong_type(&other, "Map")),
    };
    if members.is_empty() {
        return Err(Invalid::EmptySubstitutions { member }.into());
    }
    // No expression of 4 KB can use as many, and each is looked up from the front.
    if members.len() > super::BYTES_MAX {
        return Err(Invalid::SubstitutionsTooLarge.into());
    }
    let one = |(reference, json): (std::borrow::Cow<'_, str>, Json<'_>)| {
        if !is_reference(&reference, mark) {
            return Err(Invalid::BadReference { member, reference: reference.into_owned() }.into());
        }
        Ok(Substitution {
            meaning: read_one(&reference, json)?,
            reference: reference.into_owned(),
            is_used: Cell::new(false),
        })
    };
    members.into_iter().map(one).collect()
}
