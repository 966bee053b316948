//! The protocols of services beside Kinesis: the forms of their requests, answers and errors.

use bytes::Bytes;
use hyper::StatusCode;
use hyper::header::{HeaderName, HeaderValue};
use tidelog_proto::{Codec, Document, Unreadable};

use super::known::Service;
use super::refusal::Failure;
use super::xml;
use crate::wire::exchange::{Answer, REQUEST_ID};
use crate::wire::refusal::Refusal;

const SMITHY_PROTOCOL: HeaderName = HeaderName::from_static("smithy-protocol");
const RPC_V2_CBOR: HeaderValue = HeaderValue::from_static("rpc-v2-cbor");
/// Header with the name that the query protocol has for an error.
const QUERY_ERROR: HeaderName = HeaderName::from_static("x-amzn-query-error");

/// How a request is written, and its answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::wire) enum Protocol {
    /// Forms, answered in XML.
    Xml,
    /// `awsJson1_0`
    Json,
    /// `rpcv2Cbor`
    Cbor,
}

impl Protocol {
    /// Name for readers.
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Xml => "form",
            Self::Json => "JSON document",
            Self::Cbor => "CBOR document",
        }
    }

    fn content_type(self) -> &'static str {
        match self {
            Self::Xml => "text/xml",
            Self::Json => "application/x-amz-json-1.0",
            Self::Cbor => "application/cbor",
        }
    }

    /// Reads a document that fills the whole of `body`; for JSON and CBOR.
    ///
    /// # Errors
    /// [`Unreadable`] when it is anything else.
    pub(super) fn decode(self, body: &Bytes) -> Result<Document, Unreadable> {
        match self {
            Self::Xml => Err(Unreadable),
            Self::Json => Codec::Json.decode(body),
            Self::Cbor => Codec::Cbor.decode(body),
        }
    }
}

/// The answer of one call, to be written in its protocol.
#[derive(Clone, Debug)]
pub(super) struct Reply {
    protocol: Protocol,
    request_id: HeaderValue,
}

impl Reply {
    pub(super) fn new(protocol: Protocol, request_id: HeaderValue) -> Self {
        Self { protocol, request_id }
    }

    pub(super) fn request_id(&self) -> &str {
        self.request_id.to_str().unwrap_or_default()
    }

    /// The answer to an operation that has nothing to say.
    pub(super) fn empty(&self, operation: &str, service: &Service) -> Answer {
        self.write(
            StatusCode::OK,
            match self.protocol {
                Protocol::Xml => xml::empty(operation, service, self.request_id()).into_bytes(),
                Protocol::Json => Codec::Json.encode(&Document::structure([])),
                Protocol::Cbor => Codec::Cbor.encode(&Document::structure([])),
            },
        )
    }

    /// An answer in XML.
    pub(super) fn xml(&self, text: String) -> Answer {
        self.write(StatusCode::OK, text.into_bytes())
    }

    /// A failure of a service, in the form of its errors.
    pub(super) fn failed(&self, failure: &Failure, service: Option<&Service>) -> Answer {
        let Failure { status, code, shape, message } = failure;
        let is_sender = *status < 500;
        let document =
            || Document::structure([("__type", (*shape).into()), ("message", message.as_str().into())]);
        let id = self.request_id();
        let body = match self.protocol {
            Protocol::Xml if service.is_some_and(|service| service.scope == "s3") => {
                xml::plain_error(code, message, id).into_bytes()
            }
            Protocol::Xml => xml::error(service, (is_sender, code), message, id).into_bytes(),
            Protocol::Json => Codec::Json.encode(&document()),
            Protocol::Cbor => Codec::Cbor.encode(&document()),
        };
        let status = StatusCode::from_u16(*status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        let answer = self.write(status, body);
        let has_query_name =
            self.protocol != Protocol::Xml && service.is_some_and(|service| !service.version.is_empty());
        if !has_query_name {
            return answer;
        }
        let named = format!("{code};{}", if is_sender { "Sender" } else { "Receiver" });
        answer.with(QUERY_ERROR, HeaderValue::try_from(named).expect("codes are ASCII"))
    }

    /// A refusal by the wire itself.
    pub(super) fn refused(&self, refusal: Refusal) -> Answer {
        let Answer { status, close, .. } = refusal.answer();
        let failure = match refusal {
            Refusal::BodyTooLarge { bytes_max } => Failure::too_large(bytes_max),
            Refusal::BodyLate => Failure {
                status: status.as_u16(),
                code: "RequestTimeout",
                shape: "RequestTimeoutException",
                message: "The rest of the request body did not arrive in time.".to_owned(),
            },
            Refusal::NoRoom(purpose) => {
                Failure::unavailable(format!("The memory set aside for {purpose} is full; try again."))
            }
            _ => Failure::unavailable("The broker is stopping; try again.".to_owned()),
        };
        Answer { close, ..self.failed(&failure, None) }
    }

    fn write(&self, status: StatusCode, body: Vec<u8>) -> Answer {
        let answer = Answer::new(status, self.protocol.content_type(), Bytes::from(body))
            .with(REQUEST_ID, self.request_id.clone());
        if self.protocol == Protocol::Cbor { answer.with(SMITHY_PROTOCOL, RPC_V2_CBOR) } else { answer }
    }
}
