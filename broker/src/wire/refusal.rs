//! Refusals by the wire itself, before and around an operation, each as status and body.
//!
//! [`super::faults`] has the refusals of operations, and the two of AWS's errors that the wire shares with
//! operations. The names here are the wire's own; SDKs retry a 500 or 503 and nothing else of it.

use hyper::StatusCode;
use tidelog_proto::Document;

use super::exchange::Answer;
use super::form::Form;
use super::kinesis;
use super::pages::JSON;
use crate::ops::{Codec, Fault, Unavailable};

/// Content type of AWS's answers to requests that name no protocol it knows.
const XML: &str = "application/xml";

/// Why the wire did not carry out a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Refusal {
    /// The body is longer than this many bytes.
    BodyTooLarge { bytes_max: usize },
    /// The rest of the body did not come in time.
    BodyLate,
    /// There is no room for another of these, named in the plural.
    NoRoom(&'static str),
    /// The broker stops, and the rest of the body has not come.
    Stopping,
    /// The content type names no protocol of Kinesis; `targeted`: but the request names an operation.
    ContentTypeUnknown { targeted: bool },
    /// The operation was still running at the request's deadline; whether it took effect is unknown.
    Late,
    /// The operation panicked; whether it took effect is unknown.
    Panicked,
    /// gRPC over HTTP/1.1.
    GrpcNeedsHttp2,
    /// gRPC whose messages are not protobuf.
    GrpcFormUnknown,
    /// Nothing is served at this path.
    PathUnknown,
    /// The path is served, but not by this method.
    MethodNotAllowed,
    /// A web page of an origin that is not allowed sent the request.
    OriginForeign,
    /// The request came through the loopback interface under a name that is not the broker's.
    HostForeign,
    /// The request names no host that can be read, or two.
    HostUnclear,
}

impl Refusal {
    /// The answer to a request whose protocol is unknown or does not matter.
    pub(super) fn answer(self) -> Answer {
        self.answer_in(Form::JSON)
    }

    /// The answer to a request of that protocol.
    pub(super) fn answer_in(self, form: Form) -> Answer {
        let (status, content_type, body) = match self {
            Self::BodyTooLarge { bytes_max } => (
                StatusCode::PAYLOAD_TOO_LARGE,
                form.content_type,
                error(
                    "RequestEntityTooLargeException",
                    &format!("The request body is larger than {bytes_max} bytes."),
                    form.codec,
                ),
            ),
            Self::BodyLate => (
                StatusCode::REQUEST_TIMEOUT,
                form.content_type,
                error(
                    "RequestTimeoutException",
                    "The rest of the request body did not arrive in time.",
                    form.codec,
                ),
            ),
            Self::NoRoom(purpose) => return closing(kinesis::fault(&Fault::no_room(false, purpose), form)),
            Self::Stopping => return closing(kinesis::fault(&Fault::Unavailable(Unavailable::Stopping), form)),
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
            Self::Late | Self::Panicked => return kinesis::fault(&Fault::Internal, form),
            Self::GrpcNeedsHttp2 => (
                StatusCode::HTTP_VERSION_NOT_SUPPORTED,
                JSON,
                error("HttpVersionNotSupported", "gRPC is served over HTTP/2.", Codec::Json),
            ),
            Self::GrpcFormUnknown => (
                StatusCode::UNSUPPORTED_MEDIA_TYPE,
                JSON,
                error("UnsupportedMediaType", "gRPC is served as application/grpc and application/grpc+proto.", Codec::Json),
            ),
            Self::PathUnknown => (
                StatusCode::NOT_FOUND,
                JSON,
                error("NotFound", "Operations are posted to /; /health and /metrics can be read.", Codec::Json),
            ),
            Self::MethodNotAllowed => {
                (StatusCode::METHOD_NOT_ALLOWED, JSON, error("MethodNotAllowed", "See the Allow header.", Codec::Json))
            }
            Self::OriginForeign => (
                StatusCode::FORBIDDEN,
                JSON,
                error(
                    "OriginNotAllowed",
                    "Web pages of this origin may not call this broker. --cors names the origins that may; by default \
                     they are localhost, 127.0.0.1 and [::1].",
                    Codec::Json,
                ),
            ),
            Self::HostForeign => (
                StatusCode::FORBIDDEN,
                JSON,
                error(
                    "HostNotAllowed",
                    "This broker listens on the loopback interface and does not answer to the name in the Host header. \
                     Use localhost or an address, or start the broker with --public-host and that name.",
                    Codec::Json,
                ),
            ),
            Self::HostUnclear => (
                StatusCode::BAD_REQUEST,
                JSON,
                error("BadHost", "The request must name exactly one host.", Codec::Json),
            ),
        };
        let answer = Answer::new(status, content_type, body);
        if matches!(
            self,
            Self::BodyTooLarge { .. }
                | Self::BodyLate
                | Self::GrpcNeedsHttp2
                | Self::GrpcFormUnknown
                | Self::OriginForeign
                | Self::HostForeign
                | Self::HostUnclear
        ) {
            closing(answer)
        } else {
            answer
        }
    }
}

/// The rest of the request stays unread.
fn closing(mut answer: Answer) -> Answer {
    answer.close = true;
    answer
}

fn error(name: &str, message: &str, codec: Codec) -> Vec<u8> {
    codec.encode(&Document::structure([("__type", name.into()), ("message", message.into())]))
}
