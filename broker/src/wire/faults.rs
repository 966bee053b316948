//! Writes a [`Fault`] as the answer that SDKs understand: a status, a `__type` and a message; or as the last message of
//! an event stream.
//!
//! Which exception a fault is stands in one table, [`Fault::exception`]; this file only knows the form.

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

    #[test]
    fn every_fault_has_the_form_that_sdks_know() {
        let text = || "why \"so\"".to_owned();
        let said = |name: &str| format!(r#"{{"__type":"{name}","message":"why \"so\""}}"#);
        for (fault, status, body) in [
            (Fault::Validation(text()), 400, said("ValidationException")),
            (Fault::InvalidArgument(text()), 400, said("InvalidArgumentException")),
            (Fault::ResourceNotFound(text()), 400, said("ResourceNotFoundException")),
            (Fault::ResourceInUse(text()), 400, said("ResourceInUseException")),
            (Fault::LimitExceeded(text()), 400, said("LimitExceededException")),
            (
                Fault::ProvisionedThroughputExceeded(text()),
                400,
                said("ProvisionedThroughputExceededException"),
            ),
            (Fault::ExpiredIterator(text()), 400, said("ExpiredIteratorException")),
            (Fault::ExpiredNextToken(text()), 400, said("ExpiredNextTokenException")),
            (Fault::NotBuilt(text()), 400, said("InvalidAction")),
            (Fault::Unavailable(text()), 503, said("ServiceUnavailable")),
            (
                Fault::Internal,
                500,
                r#"{"__type":"InternalFailure","message":"Internal Service Failure"}"#.to_owned(),
            ),
            (
                Fault::Serialization { message: Some(text()) },
                400,
                r#"{"__type":"SerializationException","Message":"why \"so\""}"#.to_owned(),
            ),
            (
                Fault::Serialization { message: None },
                400,
                r#"{"__type":"SerializationException"}"#.to_owned(),
            ),
            (Fault::UnknownOperation, 400, r#"{"__type":"UnknownOperationException"}"#.to_owned()),
        ] {
            let (found_status, found_body) = answer(&fault, Codec::Json);
            assert_eq!((found_status, String::from_utf8(found_body.clone()).unwrap()), (status, body));
            let (cbor_status, cbor_body) = answer(&fault, Codec::Cbor);
            let same = Codec::Json.decode(&found_body.into()).unwrap();
            assert_eq!((cbor_status, Codec::Cbor.decode(&cbor_body.into())), (status, Ok(same)));
        }
        let (status, body) = answer(&Fault::DryRun, Codec::Json);
        assert_eq!(status, 400);
        assert!(body.starts_with(br#"{"__type":"DryRunOperationException","message":""#));
    }
}
