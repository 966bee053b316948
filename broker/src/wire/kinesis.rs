//! From a `POST /` to an operation and back: target, content type, caller, body, deadline, and the answer's form.
//!
//! Order: the whole body is read first (so that a refusal reaches its client), then the content type is judged; the
//! operations check that the body parses, and only then that they know the target.

use std::panic::AssertUnwindSafe;
use std::time::Duration;

use bytes::Bytes;
use futures_util::FutureExt;
use hyper::body::Incoming;
use hyper::header::{EXPECT, HeaderMap, HeaderName, HeaderValue};
use hyper::{Request, StatusCode};
use tidelog_proto::event_stream;
use tokio::time::{Instant, timeout};

use super::answer_body::AnswerBody;
use super::client::Client;
use super::exchange::{Answer, Disconnected};
use super::form::Form;
use super::refusal::Refusal;
use super::{Gateway, Open, body, caller, faults};
use crate::ops::api::Operation;
use crate::ops::fault::Unavailable;
use crate::ops::{self, Call, Fault, Reply};
use crate::room::{AnswerRoom, Full};

/// Header that names the exception of an answer, as its body does.
const ERROR_TYPE: HeaderName = HeaderName::from_static("x-amzn-errortype");
/// Header that names the operation.
pub(super) const TARGET: &str = "x-amz-target";
/// The name of the class in refusals of answers that find no room.
pub(super) const ANSWERS: &str = "answers";
/// The prefix of the operation's name.
pub(super) const TARGET_PREFIX: &str = "Kinesis_20131202.";

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
    let operation = operation(&head.headers);
    let form = Form::of(&head.headers);
    let (waits, targeted) = (head.headers.contains_key(EXPECT), head.headers.contains_key(TARGET));
    let caller = caller::of(&head.headers, &gateway.account, &gateway.region);
    // A client that takes its time with the body does not hold the headers meanwhile.
    drop(head);
    let body = match read_body(gateway, client, incoming, waits).await {
        Ok(body) => body,
        Err(body::Failure::Refused(refusal)) => {
            return Ok(refused(operation, refusal, form.unwrap_or(Form::JSON)));
        }
        Err(body::Failure::Left(disconnected)) => return Err(disconnected),
    };
    let Some(form) = form else {
        return Ok(Refusal::ContentTypeUnknown { targeted }.answer());
    };
    let timing = gateway.timing.of_operation(operation);
    let started = Instant::now();
    let call = Call {
        account: caller.account,
        region: caller.region,
        codec: form.codec,
        body: body.bytes.clone(),
        answers: AnswerRoom::new(&client.room.answers, &client.account),
    };
    let answer = run(gateway, &call, operation, form).await;
    timing.record(answer.status, started.elapsed());
    Ok(answer)
}

/// The whole body of a request, unless a stop of the broker leaves no time for it.
pub(super) async fn read_body(
    gateway: &Gateway,
    client: &Client,
    incoming: Incoming,
    waits: bool,
) -> Result<body::Body, body::Failure> {
    tokio::select! {
        biased;
        read = body::read(gateway, client, incoming, waits) => read,
        () = gateway.no_time_for_bodies() => Err(Refusal::Stopping.into()),
    }
}

async fn run(gateway: &Gateway, call: &Call, operation: Option<Operation>, form: Form) -> Answer {
    let began = Instant::now();
    let Some(Open { service, .. }) = gateway.opened(gateway.bounds.request).await else {
        return fault(&Fault::Unavailable(Unavailable::Starting(gateway.stage.current())), form);
    };
    let may_be_throttled = operation.is_some_and(Operation::may_be_throttled);
    let charged = |body, charge| {
        let body = AnswerBody::charged(body, charge, gateway.bounds.pace);
        Answer::new(StatusCode::OK, form.content_type, body)
    };
    let complete = |body: Bytes| match call.answers.take(body.len()) {
        Ok(None) => Answer::new(StatusCode::OK, form.content_type, body),
        Ok(Some(charge)) => charged(body, charge),
        Err(Full) => fault(&Fault::no_room(may_be_throttled, ANSWERS), form),
    };
    let deadline = gateway.bounds.request.saturating_sub(began.elapsed());
    match bounded(deadline, ops::dispatch(service, call, operation)).await {
        Ok(Ok(Reply::Charged(body, charge))) => charged(body, charge),
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

/// Returns the outcome of `operation`, or a refusal when it panics or runs past `deadline`. An event stream
/// has begun by then; it has bounds of its own.
pub(super) async fn bounded<T>(deadline: Duration, operation: impl Future<Output = T>) -> Result<T, Refusal> {
    match timeout(deadline, AssertUnwindSafe(operation).catch_unwind()).await {
        Ok(Ok(outcome)) => Ok(outcome),
        Ok(Err(_panic)) => {
            crate::log_at_most_once_a_second!(
                error,
                "an operation panicked; its request is answered with 500"
            );
            Err(Refusal::Panicked)
        }
        Err(_) => {
            crate::log_at_most_once_a_second!(
                warn,
                "an operation did not end within the deadline; its request is answered with 500"
            );
            Err(Refusal::Late)
        }
    }
}

/// The operation that the target names; `None` for a target of another service, and without one.
fn operation(headers: &HeaderMap) -> Option<Operation> {
    let target = headers.get(TARGET)?.to_str().ok()?;
    Operation::named(target.strip_prefix(TARGET_PREFIX)?)
}

#[cfg(test)]
mod tests {
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
