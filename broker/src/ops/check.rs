//! Reading and checking a request without carrying it out: what fuzz targets call with anything at all.

use super::{Call, Fault, JSON_ONLY, record, service_model};
use crate::ops::Codec;

/// Reads the request of a call in every way that there is, and checks it against the service model.
///
/// # Errors
/// What [`super::dispatch`] answers before it looks at any stream.
///
/// # Panics
/// When the fast way of reading a put takes a request that the table of members refuses or understands differently.
pub fn check(call: &Call) -> Result<(), Fault> {
    let Some(operation) = service_model::operation(&call.operation) else {
        call.document()?;
        return Err(Fault::UnknownOperation);
    };
    if operation.name == JSON_ONLY && call.codec != Codec::Json {
        return Err(Fault::JsonOnly);
    }
    let input = call.input(operation.name);
    let agree = match operation.name {
        "PutRecord" => record::put_record::ways_agree(call, input.as_ref().ok()),
        "PutRecords" => record::put_records::ways_agree(call, input.as_ref().ok()),
        _ => true,
    };
    assert!(agree, "both ways of reading a put understand the same");
    input.map(drop)
}
