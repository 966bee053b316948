//! Writes a [`Fault`] as the answer that SDKs understand: a status, a `__type` and a message; or as the last message of
//! an event stream.
//!
//! [`Fault::exception`] is the table of exceptions; this file only knows the form.

use bytes::Bytes;
use tidelog_proto::{Codec, Document, event_stream, json};

use crate::ops::Fault;

/// The HTTP status and the body of the answer.
pub fn answer(fault: &Fault, codec: Codec) -> (u16, Vec<u8>) {
    let exception = fault.exception();
    let mut document = Document::structure([("__type", exception.name.into())]);
    if let Some((member, text)) = exception.message {
        document = document.with(member, Some(text));
    }
    (exception.status, codec.encode(&document))
}

/// The message that ends an event stream.
pub fn message(fault: &Fault) -> Bytes {
    let exception = fault.in_stream();
    let members = Document::structure([]).with("message", exception.message.map(|(_, text)| text));
    event_stream::exception(exception.name, &json::encode(&members))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::stream::StreamKey;
    use crate::ops::fault::WrongType;

    #[test]
    fn every_fault_has_the_form_that_sdks_know() {
        let key = StreamKey { account: "1".into(), region: "r".into(), name: "\"a\"".into() };
        for (fault, status, body) in [
            (
                Fault::stream_not_found(&key),
                400,
                r#"{"__type":"ResourceNotFoundException","message":"Stream \"a\" under account 1 not found."}"#,
            ),
            (
                Fault::leaderless(),
                503,
                r#"{"__type":"ServiceUnavailable","message":"No majority of the cluster's nodes is in reach of this one now; try again."}"#,
            ),
            (Fault::Internal, 500, r#"{"__type":"InternalFailure","message":"Internal Service Failure"}"#),
            (
                Fault::Serialization(WrongType::NoList),
                400,
                r#"{"__type":"SerializationException","Message":"Expected list or null"}"#,
            ),
            (Fault::Unreadable, 400, r#"{"__type":"SerializationException"}"#),
            (Fault::UnknownOperation, 400, r#"{"__type":"UnknownOperationException"}"#),
        ] {
            let (found_status, found_body) = answer(&fault, Codec::Json);
            assert_eq!((found_status, str::from_utf8(&found_body).unwrap()), (status, body));
            let (cbor_status, cbor_body) = answer(&fault, Codec::Cbor);
            let same = Codec::Json.decode(&found_body.into()).unwrap();
            assert_eq!((cbor_status, Codec::Cbor.decode(&cbor_body.into())), (status, Ok(same)));
        }
        let (status, body) = answer(&Fault::DryRun, Codec::Json);
        assert_eq!(status, 400);
        assert!(body.starts_with(br#"{"__type":"DryRunOperationException","message":""#));
    }
}
