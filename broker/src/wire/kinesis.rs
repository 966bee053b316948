//! Calls of Kinesis: from a `POST /` to an operation and back.
//!
//! Order: the content type is judged once the body is there; the operations check that the body parses, and only then
//! that they know the target.

use bytes::Bytes;
use hyper::StatusCode;
use hyper::header::{HeaderMap, HeaderName, HeaderValue};
use tidelog_proto::event_stream;
use tokio::time::Instant;

use super::answer_body::AnswerBody;
use super::call::{ProtocolCall, TARGET, bounded, in_room};
use super::caller::{self, Caller};
use super::client::Client;
use super::exchange::Answer;
use super::form::Form;
use super::refusal::Refusal;
use super::timing::OperationTiming;
use super::{Gateway, Open, faults};
use crate::ops::api::Operation;
use crate::ops::fault::Unavailable;
use crate::ops::{self, Call, Fault, Reply};
use crate::room::{AnswerRoom, Full};

/// Header that names the exception of an answer, as its body does.
pub(super) const ERROR_TYPE: HeaderName = HeaderName::from_static("x-amzn-errortype");
/// The name of the class in refusals of answers that find no room.
pub(super) const ANSWERS: &str = "answers";
/// The prefix of the operation's name.
pub(super) const TARGET_PREFIX: &str = "Kinesis_20131202.";

/// A call of Kinesis, as far as its head says.
pub(super) struct KinesisCall {
    operation: Option<Operation>,
    /// None where the content type is unknown.
    form: Option<Form>,
    is_targeted: bool,
    caller: Caller,
}

impl KinesisCall {
    /// The call of a request with these headers.
    pub(super) fn new(gateway: &Gateway, headers: &HeaderMap) -> Self {
        Self {
            operation: operation(headers),
            form: Form::of(headers),
            is_targeted: headers.contains_key(TARGET),
            caller: caller::of(headers, &gateway.account, &gateway.region),
        }
    }
}

impl ProtocolCall for KinesisCall {
    fn refuse(&self, refusal: Refusal) -> Answer {
        refused(self.operation, refusal, self.form.unwrap_or(Form::JSON))
    }

    async fn run<'g>(
        self,
        gateway: &'g Gateway,
        client: &Client,
        body: &Bytes,
    ) -> (Answer, Option<&'g OperationTiming>) {
        let Self { operation, form, is_targeted, caller } = self;
        let Some(form) = form else {
            return (Refusal::ContentTypeUnknown { targeted: is_targeted }.answer(), None);
        };
        let call = Call {
            account: caller.account,
            region: caller.region,
            codec: form.codec,
            body: body.clone(),
            answers: AnswerRoom::new(&client.room.answers, &client.account),
        };
        let answer = run(gateway, &call, operation, form).await;
        (answer, Some(gateway.timing.of_operation(operation)))
    }
}

async fn run(gateway: &Gateway, call: &Call, operation: Option<Operation>, form: Form) -> Answer {
    let began = Instant::now();
    let Some(Open { service, .. }) = gateway.opened(gateway.bounds.request).await else {
        return fault(&Fault::Unavailable(Unavailable::Starting(gateway.stage.current())), form);
    };
    let may_be_throttled = operation.is_some_and(Operation::may_be_throttled);
    let answered = |body: AnswerBody| Answer::new(StatusCode::OK, form.content_type, body);
    let complete = |body: Bytes| match in_room(gateway, &call.answers, body) {
        Ok(body) => answered(body),
        Err(Full) => fault(&Fault::no_room(may_be_throttled, ANSWERS), form),
    };
    let deadline = gateway.bounds.request.saturating_sub(began.elapsed());
    match bounded(deadline, ops::dispatch(service, call, operation)).await {
        Ok(Ok(Reply::Charged(body, charge))) => {
            answered(AnswerBody::charged(body, charge, gateway.bounds.pace))
        }
        Ok(Ok(Reply::Answer(answer))) => complete(answer.encode(call.codec)),
        Ok(Ok(Reply::Complete(body))) => complete(body),
        Ok(Ok(Reply::Events(events))) => {
            let body = AnswerBody::events(events, gateway.bounds.stall, gateway.stopping.clone());
            // A client that takes the stream too slowly loses its connection.
            Answer { close: true, ..Answer::new(StatusCode::OK, event_stream::CONTENT_TYPE, body) }
        }
        Ok(Err(refused)) => fault(&refused, form),
        Err(refusal) => refusal.answer_in(form),
    }
}

/// The answer to a request for which there is no room beside those that are under way.
pub(super) fn refuse(headers: &HeaderMap, what: &'static str) -> Answer {
    refused(operation(headers), Refusal::NoRoom(what), Form::of(headers).unwrap_or(Form::JSON))
}

/// A refusal of the wire as the operation's clients understand it: they retry a throttled call after a longer pause
/// than an unavailable one.
fn refused(operation: Option<Operation>, refusal: Refusal, form: Form) -> Answer {
    match refusal {
        Refusal::NoRoom(what) if operation.is_some_and(Operation::may_be_throttled) => {
            Answer { close: true, ..fault(&Fault::no_room(true, what), form) }
        }
        refusal => refusal.answer_in(form),
    }
}

/// A row of the table of faults as an answer.
pub(super) fn fault(fault: &Fault, form: Form) -> Answer {
    let (status, body) = faults::answer(fault, form.codec);
    let status = StatusCode::from_u16(status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    Answer::new(status, form.content_type, Bytes::from(body))
        .with(ERROR_TYPE, HeaderValue::from_static(fault.name()))
}

/// The operation that the target names; `None` for a target of another service, and without one.
fn operation(headers: &HeaderMap) -> Option<Operation> {
    let target = headers.get(TARGET)?.to_str().ok()?;
    Operation::named(target.strip_prefix(TARGET_PREFIX)?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_target_names_an_operation_of_this_service() {
        let cases = [
            ("Kinesis_20131202.PutRecord", Some(Operation::PutRecord)),
            ("Kinesis_20131202.PutRecord2", None),
            ("PutRecord", None),
            ("DynamoDB_20120810.Scan", None),
            ("", None),
        ];
        for (target, expected) in cases {
            let mut headers = HeaderMap::new();
            headers.insert(TARGET, HeaderValue::from_static(target));
            assert_eq!(operation(&headers), expected);
        }
    }
}
