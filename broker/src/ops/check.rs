//! Reading and checking a request without carrying it out: what fuzz targets call with anything at all.

use super::api::{Operation, Request};
use super::{Call, Fault, check_operation, record};

/// Reads the request of a call in every way that there is, and checks it against the service model.
///
/// # Errors
/// What [`super::dispatch`] answers before it looks at any stream.
///
/// # Panics
/// When the fast way of reading a put takes a request that the table of members refuses or understands differently, and
/// when a request that is written and read again is another one.
pub fn check(call: &Call, operation: Option<Operation>) -> Result<(), Fault> {
    let operation = check_operation(call, operation)?;
    let request = call.read(operation);
    let agree = match (operation, &request) {
        (Operation::PutRecord, Ok(Request::PutRecord(input))) => {
            record::put_record::ways_agree(call, Some(input))
        }
        (Operation::PutRecord, _) => record::put_record::ways_agree(call, None),
        (Operation::PutRecords, Ok(Request::PutRecords(input))) => {
            record::put_records::ways_agree(call, Some(input))
        }
        (Operation::PutRecords, _) => record::put_records::ways_agree(call, None),
        _ => true,
    };
    assert!(agree, "both ways of reading a put understand the same");
    let request = request?;
    let written = call.codec.encode(&request.write()).into();
    let again = Call { body: written, ..call.clone() }.read(operation);
    assert_eq!(again.as_ref(), Ok(&request), "a request is read as it is written");
    Ok(())
}
