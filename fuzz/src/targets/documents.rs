//! Bodies of requests. An input is a line with the name of an operation, and the body.

use std::sync::Arc;

use bytes::Bytes;
use tidelog::ops::api::Operation;
use tidelog::ops::{Call, Codec, check};
use tidelog_proto::Document;

/// JSON: a document that can be read can be written and read again unchanged; every request is read without a
/// panic, and in both ways alike where there are two.
///
/// # Panics
/// When one of that does not hold.
pub fn json(data: &[u8]) {
    let (operation, body) = request(data);
    judge(operation, Codec::Json, &body);
    let Ok(document) = Codec::Json.decode(&body) else { return };
    let again =
        Codec::Json.decode(&Codec::Json.encode(&document).into()).expect("what was written can be read");
    assert!(is_same(&document, &again), "{document:?} comes back as {again:?}");
}

/// CBOR: as [`json`], and bytes come back exactly. Every document can be written in JSON.
///
/// # Panics
/// When one of that does not hold.
pub fn cbor(data: &[u8]) {
    let (operation, body) = request(data);
    judge(operation, Codec::Cbor, &body);
    let Ok(document) = Codec::Cbor.decode(&body) else { return };
    let written = Bytes::from(Codec::Cbor.encode(&document));
    let again = Codec::Cbor.decode(&written).expect("what was written can be read");
    // Compared as bytes, because a number that is none is not equal to itself.
    assert_eq!(Codec::Cbor.encode(&again), written, "{document:?} comes back as {again:?}");
    let reread = Codec::Json.decode(&Codec::Json.encode(&document).into());
    assert!(reread.is_ok(), "{document:?} cannot be read back as JSON");
}

fn request(data: &[u8]) -> (&str, Bytes) {
    let end = data.iter().position(|byte| *byte == b'\n').unwrap_or(0);
    let operation = str::from_utf8(&data[..end]).unwrap_or_default();
    (operation, Bytes::copy_from_slice(data.get(end + 1..).unwrap_or_default()))
}

/// Every result is right, as long as it is no panic.
fn judge(operation: &str, codec: Codec, body: &Bytes) {
    let call = Call {
        account: Arc::from("000000000000"),
        region: Arc::from("us-east-1"),
        codec,
        body: body.clone(),
        answers: tidelog::room::AnswerRoom::default(),
    };
    let _: Result<(), _> = check(&call, Operation::named(operation));
}

/// Equal, except that a number may come back as another kind of number and without its last digit.
fn is_same(before: &Document, after: &Document) -> bool {
    match (before, after) {
        (Document::List(before), Document::List(after)) => {
            before.len() == after.len()
                && before.iter().zip(after).all(|(before, after)| is_same(before, after))
        }
        (Document::Map(before), Document::Map(after)) => {
            let is_member = |((name, before), (again, after)): (&(_, _), &(_, _))| {
                name == again && is_same(before, after)
            };
            before.len() == after.len() && before.iter().zip(after).all(is_member)
        }
        (Document::Double(before), after) => number(after).is_some_and(|after| is_near(*before, after)),
        _ => before == after,
    }
}

fn number(document: &Document) -> Option<f64> {
    match document {
        Document::Double(value) => Some(*value),
        Document::Integer(value) => Some(*value as f64),
        _ => None,
    }
}

fn is_near(before: f64, after: f64) -> bool {
    (before - after).abs() <= before.abs() * 1e-15 + f64::MIN_POSITIVE
}
