//! The forms from before expressions, which KCL 1 to 3 send: Expected, AttributeUpdates and AttributesToGet.

use super::{Action, Comparison, Condition, Operand, Projection, SetTo, Term, Update};
use crate::fault::{Fault, Invalid};
use crate::json::Json;
use crate::request::Parts;
use crate::value::{Kind, Value, read_value};

/// Compiles `Expected`: all entries have to hold.
pub(crate) fn expected(json: Json<'_>) -> Result<Option<Condition>, Fault> {
    let Json::Map(entries) = json else { return Err(Fault::wrong_type(&json, "Map")) };
    let mut all = Vec::with_capacity(entries.len());
    for (name, entry) in entries {
        all.push(expectation(&name, entry)?);
    }
    Ok(match all.len() {
        0 => None,
        1 => all.pop(),
        _ => Some(Condition::And(all)),
    })
}

fn expectation(name: &str, entry: Json<'_>) -> Result<Condition, Fault> {
    let mut parts = Parts::of(entry)?;
    let value = parts.take("Value").map(|json| read_value(&json)).transpose()?;
    let exists = parts.flag("Exists")?;
    let operator = parts.text("ComparisonOperator")?;
    let list = parts.list("AttributeValueList")?;
    parts.finish()?;
    let attribute = || name.to_owned();
    let Some(operator) = operator else {
        if list.is_some() {
            return Err(Invalid::ListWithoutOperator { attribute: attribute() }.into());
        }
        return match (exists, value) {
            (Some(false), Some(_)) => Err(Invalid::ValueOfAbsent { attribute: attribute() }.into()),
            (Some(false), None) => Ok(Condition::NotExists(name.into())),
            (_, Some(value)) => Ok(compare(name, Comparison::Equal, value)),
            (exists, None) => {
                Err(Invalid::ValueMissing { exists: exists.is_some(), attribute: attribute() }.into())
            }
        };
    };
    if exists.is_some() {
        return Err(Invalid::ExistsWithOperator { attribute: attribute() }.into());
    }
    if value.is_some() && list.is_some() {
        return Err(Invalid::ValueAndList { attribute: attribute() }.into());
    }
    let values = match (value, list) {
        (Some(value), _) => vec![value],
        (None, Some(list)) => list.iter().map(read_value).collect::<Result<_, _>>()?,
        (None, None) => Vec::new(),
    };
    by_operator(name, &operator, values)
}

fn compare(name: &str, comparison: Comparison, value: Value) -> Condition {
    Condition::Compare(comparison, Operand::Attribute(name.into()), Operand::Value(value))
}

fn by_operator(name: &str, operator: &str, mut values: Vec<Value>) -> Result<Condition, Fault> {
    const TAKEN: [(&str, Option<Comparison>); 8] = [
        ("EQ", Some(Comparison::Equal)),
        ("NE", Some(Comparison::NotEqual)),
        ("LT", Some(Comparison::Less)),
        ("LE", Some(Comparison::LessOrEqual)),
        ("GT", Some(Comparison::Greater)),
        ("GE", Some(Comparison::GreaterOrEqual)),
        ("NULL", None),
        ("NOT_NULL", None),
    ];
    const NOT_TAKEN: [&str; 5] = ["IN", "BETWEEN", "CONTAINS", "NOT_CONTAINS", "BEGINS_WITH"];
    let Some((operator, comparison)) = TAKEN.into_iter().find(|(known, _)| *known == operator) else {
        if NOT_TAKEN.contains(&operator) {
            return Err(Invalid::NotTaken { what: format!("comparison operator {operator}") }.into());
        }
        return Err(Invalid::not_in_set(
            operator,
            "comparisonOperator",
            TAKEN.map(|(name, _)| name).as_slice(),
        )
        .into());
    };
    let Some(comparison) = comparison else {
        return match (values.is_empty(), operator) {
            (false, _) => Err(Invalid::ArgumentCount { operator }.into()),
            (true, "NULL") => Ok(Condition::NotExists(name.into())),
            (true, _) => Ok(Condition::Exists(name.into())),
        };
    };
    if values.is_empty() {
        return Err(Invalid::OperatorWithoutValue { operator, attribute: name.to_owned() }.into());
    }
    let (Some(value), true) = (values.pop(), values.is_empty()) else {
        return Err(Invalid::ArgumentCount { operator }.into());
    };
    let kind = value.as_ref().kind;
    if !matches!(comparison, Comparison::Equal | Comparison::NotEqual) && !kind.is_ordered() {
        return Err(Invalid::OperatorOfType { operator, kind }.into());
    }
    Ok(compare(name, comparison, value))
}

/// Compiles `AttributeUpdates`.
pub(crate) fn attribute_updates(json: Json<'_>) -> Result<Update, Fault> {
    let Json::Map(entries) = json else { return Err(Fault::wrong_type(&json, "Map")) };
    let mut actions: Vec<Action> = Vec::with_capacity(entries.len());
    for (name, entry) in entries {
        let action = attribute_update(&name, entry)?;
        actions.retain(|earlier| earlier.name() != &*name);
        actions.push(action);
    }
    Ok(Update { actions, is_legacy: true })
}

fn attribute_update(name: &str, entry: Json<'_>) -> Result<Action, Fault> {
    let mut parts = Parts::of(entry)?;
    let value = parts.take("Value").map(|json| read_value(&json)).transpose()?;
    let action = parts.text("Action")?;
    parts.finish()?;
    let action = action.as_deref().unwrap_or("PUT");
    let name: Box<str> = name.into();
    match (action, value) {
        ("DELETE", None) => Ok(Action::Remove(name)),
        ("PUT" | "ADD", None) => Err(Invalid::ActionWithoutValue.into()),
        ("PUT", Some(value)) => Ok(Action::Set(name, SetTo::Term(Term::Operand(Operand::Value(value))))),
        ("ADD", Some(value)) => match value.as_ref().kind {
            Kind::N | Kind::Ss | Kind::Ns | Kind::Bs => Ok(Action::Add(name, value)),
            kind => Err(Invalid::AddOfType { kind }.into()),
        },
        ("DELETE", Some(value)) => match value.as_ref().kind {
            Kind::Ss | Kind::Ns | Kind::Bs => Ok(Action::Delete(name, value)),
            kind => Err(Invalid::DeleteOfType { kind }.into()),
        },
        (other, _) => Err(Invalid::not_in_set(other, "action", &["ADD", "PUT", "DELETE"]).into()),
    }
}

/// Compiles `AttributesToGet`.
pub(crate) fn attributes_to_get(list: &[Json<'_>]) -> Result<Projection, Fault> {
    if list.is_empty() {
        return Err(Invalid::AttributesToGetEmpty.into());
    }
    let mut names: Vec<Box<str>> = Vec::with_capacity(list.len());
    for json in list {
        let Json::Text(name) = json else { return Err(Fault::wrong_type(json, "String")) };
        if names.iter().any(|own| **own == **name) {
            return Err(Invalid::AttributesToGetTwice { attribute: name.to_string() }.into());
        }
        names.push(name.as_ref().into());
    }
    Ok(Projection(names))
}
