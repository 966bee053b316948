//! BatchGetItem, BatchWriteItem and TransactWriteItems.

use super::item::{Expressions, attributes, projection, returns_failed_item};
use super::parts::{Parts, required};
use super::{BatchPart, ItemWrite, Read, Returns, Verb, Write, table_name};
use crate::expression::{Update, Which};
use crate::fault::{Fault, Invalid, Rule};
use crate::json::Json;
use crate::owner::{Owner, application_of};

/// Items of one BatchGetItem, and parts of one transaction; DynamoDB's bounds.
const ITEMS_MAX: usize = 100;

/// Characters of a ClientRequestToken; DynamoDB's bound.
const TOKEN_CHARACTERS_MAX: usize = 36;

/// Writes of one BatchWriteItem; DynamoDB's bound.
const WRITES_MAX: usize = 25;

fn length_rule(member: &str, rule: &str) -> Fault {
    Invalid::constraint("[]", member, rule).into()
}

pub(super) fn batch_get_item(mut parts: Parts<'_>, owner: &Owner) -> Result<Vec<Read>, Fault> {
    let tables = required(parts.structure("RequestItems")?, "requestItems")?.into_members();
    parts.finish()?;
    if tables.is_empty() {
        return Err(length_rule("requestItems", "Member must have length greater than or equal to 1"));
    }
    let mut reads = Vec::with_capacity(tables.len());
    let mut count = 0;
    for (table, json) in tables {
        let part = batch_part(&table, Parts::of(json)?, owner)?;
        count += part.keys.len();
        reads.push(Read::Batch(part));
    }
    if count > ITEMS_MAX {
        return Err(Invalid::TooManyInBatch { operation: "BatchGetItem" }.into());
    }
    Ok(reads)
}

fn batch_part(table: &str, mut parts: Parts<'_>, owner: &Owner) -> Result<BatchPart, Fault> {
    let table = owner.table_name(table, "BatchGetItem")?;
    let expressions = Expressions::take(&mut parts, &[Which::Projection], &["AttributesToGet"])?;
    parts.flag("ConsistentRead")?;
    let keys = required(parts.list("Keys")?, "requestItems.member.keys")?;
    let projection = projection(&mut parts, &expressions)?;
    parts.finish()?;
    expressions.check_used()?;
    if keys.is_empty() {
        return Err(length_rule(
            "requestItems.member.keys",
            "Member must have length greater than or equal to 1",
        ));
    }
    let keys = keys.into_iter().map(|key| attributes(Some(key), "key")).collect::<Result<_, _>>()?;
    Ok(BatchPart { table, keys, projection })
}

pub(super) fn batch_write_item(mut parts: Parts<'_>, owner: &Owner) -> Result<Vec<Write>, Fault> {
    let tables = required(parts.structure("RequestItems")?, "requestItems")?.into_members();
    parts.finish()?;
    if tables.is_empty() {
        return Err(length_rule("requestItems", "Member must have length greater than or equal to 1"));
    }
    let mut writes: Vec<ItemWrite> = Vec::new();
    for (table, json) in tables {
        let table = owner.table_name(&table, "BatchWriteItem")?;
        let Json::List(requests) = json else { return Err(Fault::wrong_type(&json, "List")) };
        if requests.is_empty() {
            return Err(Invalid::Rule(Rule::EmptyBatch).into());
        }
        for request in requests {
            writes.push(batch_write(&table, Parts::of(request)?)?);
        }
    }
    if writes.len() > WRITES_MAX {
        return Err(Invalid::TooManyInBatch { operation: "BatchWriteItem" }.into());
    }
    Ok(by_application(writes).into_iter().map(Write::Batch).collect())
}

/// Writes of each application together, in the order of their first ones.
fn by_application(writes: Vec<ItemWrite>) -> Vec<Vec<ItemWrite>> {
    let mut groups: Vec<Vec<ItemWrite>> = Vec::new();
    for write in writes {
        let application = application_of(&write.table);
        match groups.iter_mut().find(|group| application_of(&group[0].table) == application) {
            Some(group) => group.push(write),
            None => groups.push(vec![write]),
        }
    }
    groups
}

fn batch_write(table: &str, mut parts: Parts<'_>) -> Result<ItemWrite, Fault> {
    let put = parts.structure("PutRequest")?;
    let delete = parts.structure("DeleteRequest")?;
    parts.finish()?;
    let verb = match (put, delete) {
        (Some(mut put), None) => {
            let item = attributes(put.take("Item"), "item")?;
            put.finish()?;
            Verb::Put(item)
        }
        (None, Some(mut delete)) => {
            let key = attributes(delete.take("Key"), "key")?;
            delete.finish()?;
            Verb::Delete { key }
        }
        _ => {
            return Err(Invalid::Rule(Rule::BatchWriteCount).into());
        }
    };
    let table = table.into();
    Ok(ItemWrite { table, condition: None, verb, returns: Returns::None, return_failed_item: false })
}

pub(super) fn transact_write_items(mut parts: Parts<'_>, owner: &Owner) -> Result<Write, Fault> {
    let items = required(parts.list("TransactItems")?, "transactItems")?;
    let token = parts.text("ClientRequestToken")?.map(|token| check_token(&token)).transpose()?;
    parts.finish()?;
    if items.is_empty() {
        return Err(length_rule("transactItems", "Member must have length greater than or equal to 1"));
    }
    if items.len() > ITEMS_MAX {
        return Err(length_rule("transactItems", "Member must have length less than or equal to 100"));
    }
    let writes: Vec<ItemWrite> =
        items.into_iter().map(|item| transact_item(Parts::of(item)?, owner)).collect::<Result<_, _>>()?;
    let application = application_of(&writes[0].table);
    if writes.iter().any(|write| application_of(&write.table) != application) {
        return Err(Invalid::SeveralApplications.into());
    }
    Ok(match token {
        Some(token) => Write::TransactionOnce { writes, token },
        None => Write::Transaction(writes),
    })
}

fn check_token(token: &str) -> Result<Box<str>, Fault> {
    let rule = match token.chars().count() {
        0 => "Member must have length greater than or equal to 1",
        count if count > TOKEN_CHARACTERS_MAX => "Member must have length less than or equal to 36",
        _ => return Ok(token.into()),
    };
    Err(Invalid::constraint(token, "clientRequestToken", rule).into())
}

fn transact_item(mut parts: Parts<'_>, owner: &Owner) -> Result<ItemWrite, Fault> {
    const NAMES: [&str; 4] = ["ConditionCheck", "Put", "Update", "Delete"];
    let mut given = Vec::new();
    for name in NAMES {
        given.extend(parts.structure(name)?.map(|inner| (name, inner)));
    }
    parts.finish()?;
    let (Some((name, inner)), true) = (given.pop(), given.is_empty()) else {
        return Err(Invalid::Rule(Rule::TransactItemCount).into());
    };
    transact_write(name, inner, owner)
}

fn transact_write(name: &str, mut parts: Parts<'_>, owner: &Owner) -> Result<ItemWrite, Fault> {
    let table = table_name(&mut parts, owner, "TransactWriteItems")?;
    let is_update = name == "Update";
    let all: &[Which] = if is_update { &[Which::Update, Which::Condition] } else { &[Which::Condition] };
    let expressions = Expressions::take(&mut parts, all, &[])?;
    let return_failed_item = returns_failed_item(&mut parts)?;
    let attributes = match name {
        "Put" => attributes(parts.take("Item"), "transactItems.member.put.item")?,
        _ => attributes(parts.take("Key"), "transactItems.member.key")?,
    };
    parts.finish()?;
    let condition = expressions.condition(Which::Condition)?;
    let update = expressions.parse(Which::Update, Update::parse)?;
    expressions.check_used()?;
    let verb = match name {
        "Put" => Verb::Put(attributes),
        "Update" => Verb::Update {
            key: attributes,
            update: required(update, "transactItems.member.update.updateExpression")?,
        },
        "Delete" => Verb::Delete { key: attributes },
        _ => {
            required(condition.as_ref(), "transactItems.member.conditionCheck.conditionExpression")?;
            Verb::Check { key: attributes }
        }
    };
    Ok(ItemWrite { table, condition, verb, returns: Returns::None, return_failed_item })
}
