//! From a `POST /` to an operation and back: target, content type, caller, body, deadline, and the answer's form.
//!
//! Order: the whole body is read first (so that a refusal reaches its client), then the content type is judged; the
//! operations check that the body parses, and only then that they know the target.

use std::panic::AssertUnwindSafe;
use std::time::{Duration, Instant};

use bytes::Bytes;
use futures_util::FutureExt;
use hyper::body::Incoming;
use hyper::header::{CONTENT_TYPE, EXPECT, HeaderMap};
use hyper::{Request, StatusCode};
use tokio::time::timeout;
use tracing::{error, warn};

use super::exchange::{Answer, Disconnected};
use super::refusal::Refusal;
use super::{Gateway, body, caller, faults, pages};
use crate::ops::{self, Call, Codec, Reply};

/// The content type of Kinesis's JSON protocol.
pub(super) const AMZ_JSON: &str = "application/x-amz-json-1.1";
/// The content type of its CBOR protocol.
const AMZ_CBOR: &str = "application/x-amz-cbor-1.1";
/// Header that names the operation.
const TARGET: &str = "x-amz-target";
/// What stands in front of the operation's name.
const TARGET_PREFIX: &str = "Kinesis_20131202.";

/// Carries out one call.
///
/// # Errors
/// [`Disconnected`] when the client left before its request was complete.
pub(super) async fn call(gateway: &Gateway, request: Request<Incoming>) -> Result<Answer, Disconnected> {
    let (head, incoming) = request.into_parts();
    let operation = operation(&head.headers);
    let body = match body::read(gateway, incoming, head.headers.contains_key(EXPECT)).await {
        Ok(body) => body,
        Err(body::Failure::Refused(refusal)) => return Ok(refusal.answer()),
        Err(body::Failure::Left(disconnected)) => return Err(disconnected),
    };
    let content_type = match content_type(&head.headers) {
        Ok(content_type) => content_type,
        Err(refusal) => return Ok(refusal.answer()),
    };
    let caller = caller::of(&head.headers, &gateway.account, &gateway.region);
    let timing = gateway.timing.of(operation);
    let started = Instant::now();
    let call = Call {
        operation: operation.to_owned(),
        account: caller.account,
        region: caller.region,
        codec: Codec::Json,
        body: body.bytes.clone(),
    };
    let answer = run(gateway, call, content_type).await;
    timing.record(answer.status, started.elapsed());
    Ok(answer)
}

async fn run(gateway: &Gateway, call: Call, content_type: &'static str) -> Answer {
    let codec = call.codec;
    match bounded(gateway.bounds.request, ops::dispatch(&gateway.service, call)).await {
        Ok(Ok(Reply::Complete(body))) => Answer::new(StatusCode::OK, content_type, body),
        Ok(Ok(Reply::Events(_))) => Refusal::Panicked.answer(),
        Ok(Err(refused)) => {
            let (status, body) = faults::answer(&refused, codec);
            fault(status, content_type, body)
        }
        Err(refusal) => refusal.answer(),
    }
}

/// A row of the table of faults as an answer.
pub(super) fn fault(status: u16, content_type: &'static str, body: Vec<u8>) -> Answer {
    let status = StatusCode::from_u16(status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    Answer::new(status, content_type, Bytes::from(body))
}

/// What `operation` comes to, unless it panics or runs past `deadline`.
async fn bounded<T>(deadline: Duration, operation: impl Future<Output = T>) -> Result<T, Refusal> {
    match timeout(deadline, AssertUnwindSafe(operation).catch_unwind()).await {
        Ok(Ok(outcome)) => Ok(outcome),
        Ok(Err(_panic)) => {
            error!("an operation panicked; its request is answered with 500");
            Err(Refusal::Panicked)
        }
        Err(_) => {
            warn!("an operation did not end within the deadline; its request is answered with 500");
            Err(Refusal::Late)
        }
    }
}

/// The operation's name; the whole target when it is another service's, and empty without one: neither is known.
fn operation(headers: &HeaderMap) -> &str {
    let target = headers.get(TARGET).and_then(|value| value.to_str().ok()).unwrap_or_default();
    target.strip_prefix(TARGET_PREFIX).unwrap_or(target)
}

/// The content type to answer in.
fn content_type(headers: &HeaderMap) -> Result<&'static str, Refusal> {
    let value = headers.get(CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
    let essence = value.split(';').next().unwrap_or_default().trim();
    let is = |known: &str| essence.eq_ignore_ascii_case(known);
    if is(AMZ_JSON) {
        Ok(AMZ_JSON)
    } else if is(pages::JSON) {
        Ok(pages::JSON)
    } else if is(AMZ_CBOR) {
        Err(Refusal::Cbor)
    } else {
        Err(Refusal::ContentTypeUnknown { targeted: headers.contains_key(TARGET) })
    }
}

#[cfg(test)]
mod tests {
    use hyper::header::HeaderValue;

    use super::*;

    #[tokio::test]
    async fn a_panic_is_a_refusal() {
        let outcome = bounded(Duration::from_secs(5), async { panic!("planted") }).await;
        assert_eq!(outcome, Err::<(), _>(Refusal::Panicked));
    }

    #[tokio::test(start_paused = true)]
    async fn an_operation_without_end_is_refused_at_the_deadline() {
        let outcome = bounded(Duration::from_secs(30), std::future::pending::<()>()).await;
        assert_eq!(outcome, Err(Refusal::Late));
        assert_eq!(Refusal::Late.answer().status, StatusCode::INTERNAL_SERVER_ERROR);
    }

    #[test]
    fn content_types_are_told_apart_whatever_their_parameters_and_case() {
        let cases = [
            ("application/x-amz-json-1.1", Ok(AMZ_JSON)),
            ("application/x-amz-json-1.1; charset=utf-8", Ok(AMZ_JSON)),
            ("Application/JSON", Ok(pages::JSON)),
            ("application/x-amz-cbor-1.1", Err(Refusal::Cbor)),
            ("text/plain", Err(Refusal::ContentTypeUnknown { targeted: false })),
            ("", Err(Refusal::ContentTypeUnknown { targeted: false })),
        ];
        for (value, expected) in cases {
            let mut headers = HeaderMap::new();
            headers.insert(CONTENT_TYPE, HeaderValue::from_static(value));
            assert_eq!(content_type(&headers), expected, "{value}");
        }
    }

    #[test]
    fn a_target_of_another_service_stays_whole() {
        let cases = [
            ("Kinesis_20131202.PutRecord", "PutRecord"),
            ("DynamoDB_20120810.Scan", "DynamoDB_20120810.Scan"),
            ("", ""),
        ];
        for (target, expected) in cases {
            let mut headers = HeaderMap::new();
            headers.insert(TARGET, HeaderValue::from_static(target));
            assert_eq!(operation(&headers), expected);
        }
    }
}
