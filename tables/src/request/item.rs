//! PutItem, GetItem, UpdateItem and DeleteItem.

use super::parts::{Parts, required};
use super::{GetItem, ItemWrite, Returns, Verb, table_name};
use crate::expression::{Condition, Projection, Substitutions, Update, Which, legacy};
use crate::fault::{Fault, Invalid, Rule};
use crate::json::Json;
use crate::owner::Owner;
use crate::value::{Item, read_attributes};

const RETURNS: [(&str, Returns); 5] = [
    ("ALL_NEW", Returns::AllNew),
    ("UPDATED_OLD", Returns::UpdatedOld),
    ("ALL_OLD", Returns::AllOld),
    ("NONE", Returns::None),
    ("UPDATED_NEW", Returns::UpdatedNew),
];

/// The texts of the expressions of a request, and its substitutions.
pub(super) struct Expressions<'a> {
    texts: Vec<(Which, Option<std::borrow::Cow<'a, str>>)>,
    pub(super) substitutions: Substitutions,
}

impl<'a> Expressions<'a> {
    /// Takes the expressions and their substitutions. `legacy` are the members that exclude them.
    pub(super) fn take(parts: &mut Parts<'a>, all: &[Which], legacy: &[&'static str]) -> Result<Self, Fault> {
        let given: Vec<&'static str> =
            all.iter().map(|which| which.member()).filter(|name| parts.has(name)).collect();
        let legacy: Vec<&'static str> =
            legacy.iter().copied().filter(|name| parts.has_content(name)).collect();
        if !legacy.is_empty() && !given.is_empty() {
            return Err(Invalid::BothForms { legacy, expressions: given }.into());
        }
        let mut texts = Vec::with_capacity(all.len());
        for which in all {
            texts.push((*which, parts.text(which.member())?));
        }
        let names = parts.take("ExpressionAttributeNames");
        let values = parts.take("ExpressionAttributeValues");
        let is_given: Vec<_> = texts.iter().map(|(which, text)| (*which, text.is_some())).collect();
        Ok(Self { substitutions: Substitutions::read(names, values, &is_given)?, texts })
    }

    fn text(&self, which: Which) -> Option<&str> {
        self.texts.iter().find(|(own, _)| *own == which).and_then(|(_, text)| text.as_deref())
    }

    /// Parses an expression, if it is given.
    pub(super) fn parse<T>(
        &self,
        which: Which,
        parse: impl FnOnce(&str, &Substitutions) -> Result<T, Invalid>,
    ) -> Result<Option<T>, Fault> {
        Ok(self.text(which).map(|text| parse(text, &self.substitutions)).transpose()?)
    }

    pub(super) fn condition(&self, which: Which) -> Result<Option<Condition>, Fault> {
        self.parse(which, |text, substitutions| Condition::parse(which, text, substitutions))
    }

    pub(super) fn check_used(&self) -> Result<(), Fault> {
        Ok(self.substitutions.check_used()?)
    }
}

fn expected(parts: &mut Parts<'_>) -> Result<Option<Condition>, Fault> {
    parts.take("Expected").map_or(Ok(None), legacy::expected)
}

/// True for `ALL_OLD`.
pub(super) fn returns_failed_item(parts: &mut Parts<'_>) -> Result<bool, Fault> {
    let member = "returnValuesOnConditionCheckFailure";
    let choice =
        parts.choice("ReturnValuesOnConditionCheckFailure", member, &[("ALL_OLD", true), ("NONE", false)])?;
    Ok(choice.unwrap_or(false))
}

pub(super) fn attributes(json: Option<Json<'_>>, member: &str) -> Result<Item, Fault> {
    read_attributes(&required(json, member)?)
}

fn returns(parts: &mut Parts<'_>) -> Result<Returns, Fault> {
    Ok(parts.choice("ReturnValues", "returnValues", &RETURNS)?.unwrap_or(Returns::None))
}

fn returns_old(parts: &mut Parts<'_>) -> Result<Returns, Fault> {
    match returns(parts)? {
        returns @ (Returns::None | Returns::AllOld) => Ok(returns),
        _ => Err(Invalid::Rule(Rule::ReturnsOldOnly).into()),
    }
}

pub(super) fn put_item(mut parts: Parts<'_>, owner: &Owner) -> Result<ItemWrite, Fault> {
    let table = table_name(&mut parts, owner, "PutItem")?;
    let expressions =
        Expressions::take(&mut parts, &[Which::Condition], &["Expected", "ConditionalOperator"])?;
    let returns = returns_old(&mut parts)?;
    let return_failed_item = returns_failed_item(&mut parts)?;
    let item = attributes(parts.take("Item"), "item")?;
    let legacy = expected(&mut parts)?;
    parts.finish()?;
    let condition = expressions.condition(Which::Condition)?.or(legacy);
    expressions.check_used()?;
    Ok(ItemWrite { table, condition, verb: Verb::Put(item), returns, return_failed_item })
}

pub(super) fn delete_item(mut parts: Parts<'_>, owner: &Owner) -> Result<ItemWrite, Fault> {
    let table = table_name(&mut parts, owner, "DeleteItem")?;
    let expressions =
        Expressions::take(&mut parts, &[Which::Condition], &["Expected", "ConditionalOperator"])?;
    let returns = returns_old(&mut parts)?;
    let return_failed_item = returns_failed_item(&mut parts)?;
    let key = attributes(parts.take("Key"), "key")?;
    let legacy = expected(&mut parts)?;
    parts.finish()?;
    let condition = expressions.condition(Which::Condition)?.or(legacy);
    expressions.check_used()?;
    Ok(ItemWrite { table, condition, verb: Verb::Delete { key }, returns, return_failed_item })
}

pub(super) fn update_item(mut parts: Parts<'_>, owner: &Owner) -> Result<ItemWrite, Fault> {
    const LEGACY: [&str; 3] = ["AttributeUpdates", "Expected", "ConditionalOperator"];
    let table = table_name(&mut parts, owner, "UpdateItem")?;
    let expressions = Expressions::take(&mut parts, &[Which::Update, Which::Condition], &LEGACY)?;
    let returns = returns(&mut parts)?;
    let return_failed_item = returns_failed_item(&mut parts)?;
    let key = attributes(parts.take("Key"), "key")?;
    let legacy_update = parts.take("AttributeUpdates").map(legacy::attribute_updates).transpose()?;
    let legacy_condition = expected(&mut parts)?;
    parts.finish()?;
    let update = expressions.parse(Which::Update, Update::parse)?.or(legacy_update).unwrap_or_default();
    let condition = expressions.condition(Which::Condition)?.or(legacy_condition);
    expressions.check_used()?;
    Ok(ItemWrite { table, condition, verb: Verb::Update { key, update }, returns, return_failed_item })
}

/// Takes the projection of a read, in either form.
pub(super) fn projection(
    parts: &mut Parts<'_>,
    expressions: &Expressions<'_>,
) -> Result<Option<Projection>, Fault> {
    let legacy = parts.list("AttributesToGet")?.map(|list| legacy::attributes_to_get(&list)).transpose()?;
    Ok(expressions.parse(Which::Projection, Projection::parse)?.or(legacy))
}

pub(super) fn get_item(mut parts: Parts<'_>, owner: &Owner) -> Result<GetItem, Fault> {
    let table = table_name(&mut parts, owner, "GetItem")?;
    let expressions = Expressions::take(&mut parts, &[Which::Projection], &["AttributesToGet"])?;
    parts.flag("ConsistentRead")?;
    let key = attributes(parts.take("Key"), "key")?;
    let projection = projection(&mut parts, &expressions)?;
    parts.finish()?;
    expressions.check_used()?;
    Ok(GetItem { table, key, projection })
}
