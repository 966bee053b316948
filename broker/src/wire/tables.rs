//! Calls of lease tables: the DynamoDB protocol, JSON 1.0, told apart from Kinesis by the prefix of the target.

use bytes::Bytes;
use futures_util::FutureExt;
use hyper::StatusCode;
use hyper::header::{HeaderMap, HeaderName, HeaderValue};
use tidelog_tables::{Fault, Operation, Owner};

use super::Gateway;
use super::answer_body::AnswerBody;
use super::call::{ProtocolCall, TARGET, bounded, with_charge};
use super::caller::{self, Caller};
use super::client::Client;
use super::exchange::Answer;
use super::form::Form;
use super::refusal::Refusal;
use super::timing::OperationTiming;
use crate::room::AnswerRoom;

/// The prefix of the target.
pub(super) const TARGET_PREFIX: &str = "DynamoDB_20120810.";
/// CRC-32 of the body, decimal: SDKs check it where it is there.
const CHECKSUM: HeaderName = HeaderName::from_static("x-amz-crc32");
/// The answer where the settings turn lease tables off.
const OFF: &str = r#"{"__type":"com.amazonaws.dynamodb.v20120810#UnknownOperationException","message":"This is Tidelog, and its lease tables are off (--lease-tables off)."}"#;

/// The name behind the target's prefix.
fn target(headers: &HeaderMap) -> Option<&str> {
    headers.get(TARGET)?.to_str().ok()?.strip_prefix(TARGET_PREFIX)
}

/// A call of a lease table, as far as its head says.
pub(super) struct TableCall {
    /// The name behind the target's prefix.
    operation: String,
    caller: Caller,
}

impl TableCall {
    /// The call of a request with these headers.
    pub(super) fn new(gateway: &Gateway, headers: &HeaderMap) -> Self {
        Self {
            operation: target(headers).unwrap_or_default().to_owned(),
            caller: caller::of(headers, &gateway.account, &gateway.region),
        }
    }
}

impl ProtocolCall for TableCall {
    fn refuse(&self, refusal: Refusal) -> Answer {
        refusal.answer_in(Form::TABLES)
    }

    async fn run<'g>(
        self,
        gateway: &'g Gateway,
        client: &Client,
        body: &Bytes,
    ) -> (Answer, Option<&'g OperationTiming>) {
        let Self { operation, caller } = self;
        let owner = Owner::new(&caller.account, &caller.region);
        let room = AnswerRoom::new(&client.room.answers, &client.account);
        let answer = run(gateway, &owner, &operation, body, &room).await;
        (answer, Some(gateway.timing.of_tables(Operation::from_name(&operation).ok())))
    }
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
    let calling = tables.call_within(room, owner, operation, body).boxed();
    let answered = match bounded(gateway.bounds.request, calling).await {
        Ok(Ok(answered)) => answered,
        Ok(Err(fault)) => return refused(&fault),
        Err(refusal) => return refusal.answer_in(Form::TABLES),
    };
    let status = StatusCode::from_u16(answered.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    let checksum = checksum(&answered.body);
    with_checksum(status, with_charge(gateway, answered.body, answered.charge), checksum)
}

fn refused(fault: &Fault) -> Answer {
    let status = StatusCode::from_u16(fault.status()).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    answer(status, fault.body().into())
}

fn answer(status: StatusCode, body: Bytes) -> Answer {
    let checksum = checksum(&body);
    with_checksum(status, body.into(), checksum)
}

fn with_checksum(status: StatusCode, body: AnswerBody, checksum: HeaderValue) -> Answer {
    Answer::new(status, Form::TABLES.content_type, body).with(CHECKSUM, checksum)
}

fn checksum(body: &[u8]) -> HeaderValue {
    HeaderValue::from(crc32fast::hash(body))
}
