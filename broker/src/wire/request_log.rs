//! Follows a request for the request log ([`crate::observability::requests`]): from its head to the moment at which the
//! connection has taken its answer or dropped it.
//!
//! [`super::exchange`] begins an entry with each request, and the body of the answer ([`super::answer_body::Sent`])
//! ends it. Without `--log-requests` there is no entry.

use std::net::IpAddr;
use std::time::Duration;

use bytes::Bytes;
use hyper::Request;
use hyper::Response;
use hyper::body::{Body, Frame};
use hyper::header::HeaderMap;
use tidelog_proto::{Codec, Document};
use tokio::time::Instant;

use super::answer_body::Sent;
use super::call::TARGET;
use super::client::Client;
use super::exchange::{Disconnected, REQUEST_ID};
use super::{grpc, kinesis, tables};
use crate::observability::requests::{self, RequestLine, RequestLines, RequestNote};

/// Bytes of the name of an operation that a line has at most; names come from clients.
const OPERATION_BYTES_MAX: usize = 128;

/// A request that may get a line.
#[derive(Debug)]
pub(super) struct RequestEntry {
    lines: RequestLines,
    operation: String,
    note: RequestNote,
    caller: IpAddr,
    started: Instant,
    request_bytes: Option<u64>,
    /// None until the answer has begun. A request without an answer gets no line.
    answer: Option<AnswerEntry>,
}

#[derive(Debug)]
struct AnswerEntry {
    id: String,
    status: u16,
    error: Option<String>,
    duration: Duration,
    bytes: u64,
    is_whole: bool,
}

impl RequestEntry {
    /// Begins the entry of a request; `None` when no requests are logged.
    pub(super) fn begin<B: Body>(client: &Client, request: &Request<B>) -> Option<Box<Self>> {
        match requests::wanted() {
            RequestLines::Off => None,
            lines => Some(Box::new(Self {
                lines,
                operation: operation(request),
                note: RequestNote::default(),
                caller: client.address,
                started: Instant::now(),
                request_bytes: request.body().size_hint().exact(),
                answer: None,
            })),
        }
    }

    /// Answers the request, and goes on with its entry in the body of the answer.
    ///
    /// # Errors
    /// The error of `answering`; the request gets no line.
    pub(super) async fn follow(
        mut self: Box<Self>,
        answering: impl Future<Output = Result<Response<Sent>, Disconnected>> + Send,
    ) -> Result<Response<Sent>, Disconnected> {
        let response = self.note.scope(answering).await?;
        let (headers, sent) = (response.headers(), response.body());
        let text = |name| headers.get(name).and_then(|value| value.to_str().ok());
        let (mut status, mut error) = (response.status().as_u16(), None);
        if status >= 400 {
            error = error_name(headers, sent.complete());
        }
        if let Some((of_call, reason)) = grpc::failed(headers) {
            (status, error) = (of_call, Some(reason));
        }
        self.answer = Some(AnswerEntry {
            id: text(REQUEST_ID.as_str()).unwrap_or_default().to_owned(),
            status,
            error,
            duration: self.started.elapsed(),
            bytes: 0,
            is_whole: sent.is_end_stream(),
        });
        Ok(response.map(|sent| sent.logged(self)))
    }

    /// Runs the making of a frame, which may get to the stream of a call that has begun its answer.
    pub(super) fn note_within<T>(&self, work: impl FnOnce() -> T) -> T {
        self.note.sync_scope(work)
    }

    /// Notes a frame of the answer, or the end of the answer.
    pub(super) fn note_frame(&mut self, frame: Option<&Frame<Bytes>>, is_last: bool) {
        let Some(answer) = &mut self.answer else { return };
        answer.is_whole |= is_last || frame.is_none();
        if let Some(data) = frame.and_then(Frame::data_ref) {
            answer.bytes += data.len() as u64;
        }
        if let Some((status, reason)) = frame.and_then(Frame::trailers_ref).and_then(grpc::failed) {
            (answer.status, answer.error) = (status, Some(reason));
        }
    }
}

impl Drop for RequestEntry {
    fn drop(&mut self) {
        let Some(answer) = &self.answer else { return };
        if !self.lines.include(answer.status >= 400, answer.duration) {
            return;
        }
        let line = RequestLine {
            id: &answer.id,
            operation: self.note.operation().unwrap_or(&self.operation),
            stream: self.note.stream(),
            status: answer.status,
            error: answer.error.as_deref(),
            request_bytes: self.request_bytes,
            bytes: answer.bytes,
            duration: answer.duration,
            total: self.started.elapsed(),
            is_cut_off: !answer.is_whole,
            caller: self.caller,
        };
        line.write();
    }
}

/// The operation that the head of a request names, or its method and path.
fn operation<B>(request: &Request<B>) -> String {
    let (path, headers) = (request.uri().path(), request.headers());
    let target =
        || headers.get(TARGET).and_then(|value| value.to_str().ok()).filter(|target| !target.is_empty());
    let mut name = if grpc::is_meant(headers) {
        path.trim_start_matches('/').to_owned()
    } else if let Some(target) = target() {
        match target.split_once('.') {
            Some(_) if target.starts_with(kinesis::TARGET_PREFIX) => {
                target[kinesis::TARGET_PREFIX.len()..].to_owned()
            }
            Some((_, operation)) if target.starts_with(tables::TARGET_PREFIX) => {
                format!("DynamoDB.{operation}")
            }
            _ => target.to_owned(),
        }
    } else {
        format!("{} {path}", request.method())
    };
    name.truncate(name.floor_char_boundary(OPERATION_BYTES_MAX));
    name
}

/// The name of the error of an answer in a protocol of AWS.
fn error_name(headers: &HeaderMap, body: Option<&Bytes>) -> Option<String> {
    let named = headers.get(kinesis::ERROR_TYPE).and_then(|value| value.to_str().ok());
    if let Some(name) = named {
        return Some(name.to_owned());
    }
    let body = body?;
    if let Some((_, rest)) = str::from_utf8(body).ok().and_then(|text| text.split_once("<Code>")) {
        return rest.split('<').next().map(str::to_owned);
    }
    let codec = if body.first() == Some(&b'{') { Codec::Json } else { Codec::Cbor };
    match codec.decode(body).ok()?.get("__type")? {
        Document::Text(name) => name.rsplit('#').next().map(str::to_owned),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_head_names_the_operation() {
        let named = |path: &str, headers: &[(&str, &str)]| {
            let mut request = Request::post(path);
            for (name, value) in headers {
                request = request.header(*name, *value);
            }
            operation(&request.body(()).unwrap())
        };
        let long = "x".repeat(1_000);
        for (path, headers, expected) in [
            ("/", vec![(TARGET, "Kinesis_20131202.PutRecord")], "PutRecord"),
            ("/", vec![(TARGET, "DynamoDB_20120810.UpdateItem")], "DynamoDB.UpdateItem"),
            ("/", vec![(TARGET, "AmazonSQS.SendMessage")], "AmazonSQS.SendMessage"),
            ("/", vec![(TARGET, "")], "POST /"),
            ("/", vec![(TARGET, long.as_str())], &long[..OPERATION_BYTES_MAX]),
            ("/tidelog.v1.Records/Put", vec![("content-type", "application/grpc")], "tidelog.v1.Records/Put"),
            ("/health?x=1", vec![], "POST /health"),
        ] {
            assert_eq!(named(path, &headers), expected);
        }
    }

    #[test]
    fn an_error_is_named_by_header_or_body() {
        let cbor = Codec::Cbor.encode(&Document::structure([("__type", "SlowDown".into())]));
        for (body, expected) in [
            (
                &br#"{"__type":"com.amazonaws.dynamodb.v20120810#LimitExceededException"}"#[..],
                "LimitExceededException",
            ),
            (b"<ErrorResponse><Error><Code>InvalidAction</Code></Error></ErrorResponse>", "InvalidAction"),
            (&cbor, "SlowDown"),
        ] {
            let body = Bytes::copy_from_slice(body);
            assert_eq!(error_name(&HeaderMap::new(), Some(&body)).as_deref(), Some(expected));
        }
        let mut headers = HeaderMap::new();
        headers.insert(kinesis::ERROR_TYPE, "ResourceNotFoundException".parse().unwrap());
        assert_eq!(error_name(&headers, None).as_deref(), Some("ResourceNotFoundException"));
        assert_eq!(error_name(&HeaderMap::new(), Some(&Bytes::from_static(b"not found"))), None);
    }
}
