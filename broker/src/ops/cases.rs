//! Calls and inputs for the tests of the operations, and the set of violations in a fault. Streams and catalogs come
//! from the model's fixture.

use std::collections::BTreeSet;
use std::sync::Arc;

use bytes::Bytes;
use tidelog_proto::Document;

use super::api::{Fields, Operation, Request, Structure, validate};
use super::{Call, Codec, Fault};
pub use crate::model::fixture::{NOW_MS, catalog, consumer, split_stream, stream};
use crate::room::AnswerRoom;

/// A call of account 000000000000 in us-east-1 with that JSON body.
pub fn call(body: &str) -> Call {
    Call {
        account: Arc::from("000000000000"),
        region: Arc::from("us-east-1"),
        codec: Codec::Json,
        body: Bytes::copy_from_slice(body.as_bytes()),
        answers: AnswerRoom::default(),
    }
}

/// Makes a call in CBOR, with byte strings for the members called Data.
pub fn cbor_call(body: &str) -> Call {
    let mut document = Codec::Json.decode(&Bytes::copy_from_slice(body.as_bytes())).expect("a JSON document");
    if let Document::Map(members) = &mut document {
        for (_, value) in members.iter_mut().filter(|(name, _)| name == "Data") {
            let Document::Text(text) = value else { panic!("base64: {value:?}") };
            let data = base64_simd::STANDARD.decode_to_vec(text.as_bytes()).expect("base64");
            *value = Document::Blob(data.into());
        }
    }
    Call { codec: Codec::Cbor, body: Codec::Cbor.encode(&document).into(), ..call("") }
}

/// A request, as the call of that body has it.
pub fn input<T: Structure>(body: &str) -> Result<T, Fault> {
    read(&call(body))
}

/// A request, as a call has it.
pub fn read<T: Structure>(call: &Call) -> Result<T, Fault> {
    let fields = Fields::read(call.document()?, T::MEMBERS, call.codec)?;
    validate::check(&fields, T::MEMBERS)?;
    Ok(T::read(fields).expect("a request that was checked is as its table says"))
}

/// A request of that operation.
pub fn request(operation: Operation, body: &str) -> Request {
    call(body).read(operation).expect("a request within its bounds")
}

/// The JSON of an answer.
pub fn json<T: Structure>(answer: &T) -> serde_json::Value {
    serde_json::from_slice(&tidelog_proto::json::encode(&answer.write())).expect("the codec writes JSON")
}

/// The exception and the sentence of a refusal, as its client reads them.
pub fn said<T: std::fmt::Debug>(result: Result<T, Fault>) -> (&'static str, String) {
    let exception = result.expect_err("a refusal").exception();
    (exception.name, exception.text().to_owned())
}

/// The violations that a fault names, without the text that they share.
pub fn violations(fault: &Fault) -> BTreeSet<String> {
    assert!(matches!(fault, Fault::Validation(_)), "{fault:?} is no validation fault");
    let exception = fault.exception();
    let text = exception.text();
    let (head, list) = text.split_once(" detected: ").expect("a validation fault begins with a count");
    let found = list.split("; ").map(ToOwned::to_owned).collect::<BTreeSet<_>>();
    let plural = if found.len() == 1 { "" } else { "s" };
    assert_eq!(head, format!("{} validation error{plural}", found.len()));
    found
}

/// The violations expected, each as (value, path, constraint).
pub fn expected(violations: &[(&str, &str, &str)]) -> BTreeSet<String> {
    let text = |(value, path, constraint): &(&str, &str, &str)| {
        let value = if *value == "null" { "null".to_owned() } else { format!("'{value}'") };
        format!("Value {value} at '{path}' failed to satisfy constraint: {constraint}")
    };
    violations.iter().map(text).collect()
}
