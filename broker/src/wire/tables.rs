//! Calls of lease tables: the DynamoDB protocol, JSON 1.0, told apart from Kinesis by the prefix of the target.

use bytes::Bytes;
use futures_util::FutureExt;
use hyper::body::Incoming;
use hyper::header::{EXPECT, HeaderMap, HeaderName, HeaderValue};
use hyper::{Request, StatusCode};
use tidelog_tables::{Fault, Operation, Owner};
use tokio::time::Instant;

use super::answer_body::AnswerBody;
use super::client::Client;
use super::exchange::{Answer, Disconnected};
use super::form::Form;
use super::kinesis::{TARGET, bounded, read_body};
use super::{Gateway, body, caller};
use crate::room::{AnswerRoom, Full};

/// The prefix of the target.
const TARGET_PREFIX: &str = "DynamoDB_20120810.";
/// CRC-32 of the body, decimal: SDKs check it where it is there.
const CHECKSUM: HeaderName = HeaderName::from_static("x-amz-crc32");
/// The answer where the broker was told to serve none.
const OFF: &str = r#"{"__type":"com.amazonaws.dynamodb.v20120810#UnknownOperationException","message":"This is Tidelog, and its lease tables are off (--lease-tables off)."}"#;

/// Whether a request with these headers calls for a lease table.
pub(super) fn is_meant(headers: &HeaderMap) -> bool {
    target(headers).is_some()
}

/// The name behind the target's prefix.
fn target(headers: &HeaderMap) -> Option<&str> {
    headers.get(TARGET)?.to_str().ok()?.strip_prefix(TARGET_PREFIX)
}

/// Carries out one call of a connection.
///
/// # Errors
/// [`Disconnected`] when the client left before its request was complete.
pub(super) async fn call(
    gateway: &Gateway,
    client: &Client,
    request: Request<Incoming>,
) -> Result<Answer, Disconnected> {
    let (head, incoming) = request.into_parts();
    let operation = target(&head.headers).unwrap_or_default().to_owned();
    let waits = head.headers.contains_key(EXPECT);
    let caller = caller::of(&head.headers, &gateway.account, &gateway.region);
    drop(head);
    let body = match read_body(gateway, client, incoming, waits).await {
        Ok(body) => body,
        Err(body::Failure::Refused(refusal)) => return Ok(refusal.answer_in(Form::TABLES)),
        Err(body::Failure::Left(disconnected)) => return Err(disconnected),
    };
    let timing = gateway.timing.of_tables(Operation::from_name(&operation).ok());
    let started = Instant::now();
    let owner = Owner::new(&caller.account, &caller.region);
    let room = AnswerRoom::new(&client.room.answers, &client.account);
    let answer = run(gateway, &owner, &operation, &body.bytes, &room).await;
    timing.record(answer.status, started.elapsed());
    Ok(answer)
}

async fn run(gateway: &Gateway, owner: &Owner, operation: &str, body: &Bytes, room: &AnswerRoom) -> Answer {
    let Some(open) = gateway.opened(gateway.bounds.request).await else {
        return refused(&Fault::Internal);
    };
    let tables = open.service.lease_tables();
    if !tables.are_served() {
        return answer(StatusCode::BAD_REQUEST, Bytes::from_static(OFF.as_bytes()));
    }
    // Boxed, because its type is too deep for the compiler inside that of a connection.
    let calling = tables.call(owner, operation, body).boxed();
    let answered = match bounded(gateway.bounds.request, calling).await {
        Ok(Ok(answered)) => answered,
        Ok(Err(fault)) => return refused(&fault),
        Err(refusal) => return refusal.answer_in(Form::TABLES),
    };
    let status = StatusCode::from_u16(answered.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    match room.take(answered.body.len()) {
        Ok(None) => answer(status, answered.body),
        Ok(Some(charge)) => {
            let checksum = checksum(&answered.body);
            let body = AnswerBody::charged(answered.body, charge, gateway.bounds.pace);
            Answer::new(status, Form::TABLES.content_type, body).with(CHECKSUM, checksum)
        }
        Err(Full) => refused(&Fault::Throttled),
    }
}

fn refused(fault: &Fault) -> Answer {
    let status = StatusCode::from_u16(fault.status()).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    answer(status, fault.body().into())
}

fn answer(status: StatusCode, body: Bytes) -> Answer {
    let checksum = checksum(&body);
    Answer::new(status, Form::TABLES.content_type, body).with(CHECKSUM, checksum)
}

fn checksum(body: &[u8]) -> HeaderValue {
    HeaderValue::from(crc32fast::hash(body))
}
