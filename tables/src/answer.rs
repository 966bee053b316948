//! Bodies of answers that are made of the answers of several groups.

use crate::expression::Projection;
use crate::json::{Json, Structure, parse, structure, write_text};
use crate::request::{BatchPart, ListTables};
use crate::value::write_attributes;

/// The body of BatchGetItem, of each table's name and the list that [`Tables::read`](crate::Tables::read) gave for it.
pub fn batch_get_body<'a>(parts: impl IntoIterator<Item = (&'a str, Vec<u8>)>) -> Vec<u8> {
    batch_get_body_until(parts, [])
}

/// The body of a BatchGetItem that has no room for all items. `left` has the keys that are left to ask for again, as
/// parts of the request with the number of keys that were read.
pub fn batch_get_body_until<'a>(
    parts: impl IntoIterator<Item = (&'a str, Vec<u8>)>,
    left: impl IntoIterator<Item = (&'a BatchPart, usize)>,
) -> Vec<u8> {
    structure(|out| {
        out.structure("Responses", |out| {
            for (table, mut items) in parts {
                out.member(table).append(&mut items);
            }
        });
        out.structure("UnprocessedKeys", |out| {
            for (part, read) in left {
                out.structure(&part.table, |out| write_left(out, part, read));
            }
        });
    })
}

/// A part of a request as a client sends it again.
fn write_left(out: &mut Structure<'_>, part: &BatchPart, read: usize) {
    out.list("Keys", &part.keys[read..], |out, key| write_attributes(out, key.attributes()));
    let Some(Projection(names)) = &part.projection else { return };
    let references: Vec<String> = (0..names.len()).map(|at| format!("#p{at}")).collect();
    out.text("ProjectionExpression", &references.join(",")).structure("ExpressionAttributeNames", |out| {
        for (reference, name) in references.iter().zip(names) {
            out.text(reference, name);
        }
    });
}

/// The body of BatchWriteItem, when all its commands are done.
pub fn batch_write_body() -> Vec<u8> {
    structure(|out| {
        out.structure("UnprocessedItems", |_| {});
    })
}

/// The body of ListTables, of the names of the owner's tables in all groups, in any order.
pub fn list_tables_body<'a>(request: &ListTables, names: impl IntoIterator<Item = &'a str>) -> Vec<u8> {
    let start = request.start.as_deref();
    let mut names: Vec<&str> =
        names.into_iter().filter(|name| start.is_none_or(|start| *name > start)).collect();
    names.sort_unstable();
    names.dedup();
    let has_more = names.len() > request.limit;
    names.truncate(request.limit);
    structure(|out| {
        out.list("TableNames", &names, |out, name| write_text(out, name));
        if let (true, Some(last)) = (has_more, names.last()) {
            out.text("LastEvaluatedTableName", last);
        }
    })
}

/// The sentence of an error's body; all of it when it has none.
pub fn message_of(body: &[u8]) -> String {
    let sentence = match parse(body) {
        Ok(Json::Map(members)) => members.into_iter().find_map(|(name, value)| match value {
            Json::Text(text) if name == "message" => Some(text.into_owned()),
            _ => None,
        }),
        _ => None,
    };
    sentence.unwrap_or_else(|| String::from_utf8_lossy(body).into_owned())
}

/// The body of DescribeLimits: DynamoDB's defaults, because capacity means nothing here.
pub fn limits_body() -> Vec<u8> {
    structure(|out| {
        out.number("AccountMaxReadCapacityUnits", 80_000)
            .number("AccountMaxWriteCapacityUnits", 80_000)
            .number("TableMaxReadCapacityUnits", 40_000)
            .number("TableMaxWriteCapacityUnits", 40_000);
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fault::Fault;

    #[test]
    fn the_sentence_of_an_error_is_found() {
        let fault = Fault::TableExists { table: "app".into() };
        assert_eq!(message_of(&fault.body()), "Table already exists: app");
        assert_eq!(message_of(b"no JSON"), "no JSON");
    }
}
