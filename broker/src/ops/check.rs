//! Reading and checking a request without carrying it out: what fuzz targets call with anything at all.

use tidelog_proto::Document;

use super::api::{Operation, Request};
use super::{Call, Fault, check_operation, record};

/// Reads the request of a call by every reader that there is, and checks it against the service model.
///
/// # Errors
/// The faults of [`super::dispatch`] before it looks at any stream.
///
/// # Panics
/// When the fast reader of a put takes a request that the table of members refuses or understands differently, and
/// when a request that is written and read again is another one.
pub fn check(call: &Call, operation: Option<Operation>) -> Result<(), Fault> {
    let operation = check_operation(call, operation)?;
    let request = call.read(operation);
    let agree = match (operation, &request) {
        (Operation::PutRecord, Ok(Request::PutRecord(input))) => {
            record::put_record::paths_agree(call, Some(input))
        }
        (Operation::PutRecord, _) => record::put_record::paths_agree(call, None),
        (Operation::PutRecords, Ok(Request::PutRecords(input))) => {
            record::put_records::paths_agree(call, Some(input))
        }
        (Operation::PutRecords, _) => record::put_records::paths_agree(call, None),
        _ => true,
    };
    assert!(agree, "both ways of reading a put understand the same");
    let request = request?;
    let written = call.codec.encode(&request.write()).into();
    let again = Call { body: written, ..call.clone() }.read(operation);
    let is_same = again.as_ref() == Ok(&request) || has_far_instant(&request.write());
    assert!(is_same, "{request:?} was written and read as {again:?}");
    Ok(())
}

/// Whether some instant has more milliseconds than JSON's numbers tell apart.
fn has_far_instant(document: &Document) -> bool {
    match document {
        Document::Timestamp(time_ms) => time_ms.unsigned_abs() > 1 << 53,
        Document::List(elements) => elements.iter().any(has_far_instant),
        Document::Map(members) => members.iter().any(|(_, value)| has_far_instant(value)),
        _ => false,
    }
}
