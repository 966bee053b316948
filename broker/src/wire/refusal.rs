//! What the wire itself refuses, before and around an operation, each as status and body.
//!
//! What an operation refuses is in [`super::faults`], and so are those two of AWS's errors that the wire shares with
//! operations. The names here are the wire's own; SDKs retry a 500 or 503 and nothing else of it.

use hyper::StatusCode;

use super::exchange::Answer;
use super::faults;
use super::kinesis::{self, AMZ_JSON};
use super::pages::JSON;
use crate::ops::{Codec, Fault};

/// Content type of AWS's answers to requests that name no protocol it knows.
const XML: &str = "application/xml";
/// What a client reads that should try again.
const BUSY: &str = "Too many request bodies are in flight; try again.";

/// Why the wire did not carry out a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Refusal {
    /// The body is longer than this many bytes.
    BodyTooLarge { bytes_max: usize },
    /// The rest of the body did not come in time.
    BodyLate,
    /// Other requests' bodies fill the memory set aside for them.
    Busy,
    /// The body is CBOR.
    Cbor,
    /// The content type names no protocol of Kinesis; `targeted`: but the request names an operation.
    ContentTypeUnknown { targeted: bool },
    /// The operation was still running at the request's deadline; whether it took effect is unknown.
    Late,
    /// The operation panicked; whether it took effect is unknown.
    Panicked,
    /// Nothing is served at this path.
    PathUnknown,
    /// The path is served, but not by this method.
    MethodNotAllowed,
}

impl Refusal {
    pub(super) fn answer(self) -> Answer {
        let (status, content_type, body) = match self {
            Self::BodyTooLarge { bytes_max } => (
                StatusCode::PAYLOAD_TOO_LARGE,
                AMZ_JSON,
                error("RequestEntityTooLargeException", &format!("The request body is larger than {bytes_max} bytes.")),
            ),
            Self::BodyLate => (
                StatusCode::REQUEST_TIMEOUT,
                AMZ_JSON,
                error("RequestTimeoutException", "The rest of the request body did not arrive in time."),
            ),
            Self::Busy => return closing(fault(&Fault::Unavailable(BUSY.into()))),
            Self::Cbor => (
                StatusCode::UNSUPPORTED_MEDIA_TYPE,
                AMZ_JSON,
                error(
                    "UnsupportedMediaTypeException",
                    "CBOR is not served yet; switch the SDK to JSON (for Java: AWS_CBOR_DISABLE=true and -Daws.cborEnabled=false).",
                ),
            ),
            Self::ContentTypeUnknown { targeted: true } => (
                StatusCode::FORBIDDEN,
                XML,
                "<AccessDeniedException>\n  <Message>Unable to determine service/operation name to be authorized; \
                 send Content-Type: application/x-amz-json-1.1</Message>\n</AccessDeniedException>\n"
                    .into(),
            ),
            Self::ContentTypeUnknown { targeted: false } => {
                (StatusCode::NOT_FOUND, XML, "<UnknownOperationException/>\n".into())
            }
            Self::Late | Self::Panicked => return fault(&Fault::Internal),
            Self::PathUnknown => (
                StatusCode::NOT_FOUND,
                JSON,
                error("NotFound", "Operations are posted to /; /health and /metrics can be read."),
            ),
            Self::MethodNotAllowed => {
                (StatusCode::METHOD_NOT_ALLOWED, JSON, error("MethodNotAllowed", "See the Allow header."))
            }
        };
        let answer = Answer::new(status, content_type, body);
        if matches!(self, Self::BodyTooLarge { .. } | Self::BodyLate) { closing(answer) } else { answer }
    }
}

/// A fault that an operation might have answered with just the same.
fn fault(fault: &Fault) -> Answer {
    let (status, body) = faults::answer(fault, Codec::Json);
    kinesis::fault(status, AMZ_JSON, body)
}

/// The rest of the request stays unread.
fn closing(mut answer: Answer) -> Answer {
    answer.close = true;
    answer
}

/// `message` is plain ASCII without quotes, so it needs no escaping.
fn error(name: &str, message: &str) -> String {
    debug_assert!(message.bytes().all(|byte| (b' '..=b'~').contains(&byte) && byte != b'"' && byte != b'\\'));
    format!("{{\"__type\":\"{name}\",\"message\":\"{message}\"}}")
}
