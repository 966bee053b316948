//! The frame of a call in a protocol of AWS: head, whole body, deadline, answer, time.
//!
//! [`super::kinesis`], [`super::tables`] and [`super::aws`] are the protocols. [`super::exchange`] chooses one by the
//! head of the request; the id of the request is added there too, unless the protocol has it in its answer.
//!
//! Order: the whole body is read before anything is refused, so that a refusal reaches its client.

use std::panic::AssertUnwindSafe;
use std::time::Duration;

use bytes::Bytes;
use futures_util::FutureExt;
use hyper::Request;
use hyper::body::Incoming;
use hyper::header::{EXPECT, HeaderMap};
use tokio::time::{Instant, timeout};

use super::answer_body::AnswerBody;
use super::client::Client;
use super::exchange::{Answer, Disconnected};
use super::refusal::Refusal;
use super::timing::OperationTiming;
use super::{Gateway, body};
use crate::room::{AnswerRoom, Charge, Full};

/// Header that names the service and the operation.
pub(super) const TARGET: &str = "x-amz-target";

/// A call in one protocol, made from the head of its request.
pub(super) trait ProtocolCall: Sized {
    /// The answer to a request whose body was not read.
    fn refuse(&self, refusal: Refusal) -> Answer;

    /// Carries out the call. Returns its answer, and the histograms of its time; none where the body names no call.
    async fn run<'g>(
        self,
        gateway: &'g Gateway,
        client: &Client,
        body: &Bytes,
    ) -> (Answer, Option<&'g OperationTiming>);
}

/// Carries out one call of a connection.
///
/// # Errors
/// [`Disconnected`] when the client left before its request was complete.
pub(super) async fn carry_out<C: ProtocolCall>(
    gateway: &Gateway,
    client: &Client,
    request: Request<Incoming>,
    read_head: impl FnOnce(&Gateway, &HeaderMap) -> C,
) -> Result<Answer, Disconnected> {
    let (head, incoming) = request.into_parts();
    let call = read_head(gateway, &head.headers);
    let waits = head.headers.contains_key(EXPECT);
    // A client that takes its time with the body does not hold the headers meanwhile.
    drop(head);
    let body = match read_body(gateway, client, incoming, waits).await {
        Ok(body) => body,
        Err(body::Failure::Refused(refusal)) => return Ok(call.refuse(refusal)),
        Err(body::Failure::Left(disconnected)) => return Err(disconnected),
    };
    let started = Instant::now();
    let (answer, timing) = call.run(gateway, client, &body.bytes).await;
    if let Some(timing) = timing {
        timing.record(answer.status, started.elapsed());
    }
    Ok(answer)
}

/// The whole body of a request, unless a stop of the broker leaves no time for it.
async fn read_body(
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

/// A complete body in the room for answers; a large one is charged until its client has it.
///
/// # Errors
/// [`Full`] when there is no room for it.
pub(super) fn in_room(gateway: &Gateway, room: &AnswerRoom, body: Bytes) -> Result<AnswerBody, Full> {
    let charge = room.take(body.len())?;
    Ok(with_charge(gateway, body, charge))
}

/// A complete body that keeps its charge, if it has one, until its client has it.
pub(super) fn with_charge(gateway: &Gateway, body: Bytes, charge: Option<Charge>) -> AnswerBody {
    match charge {
        None => body.into(),
        Some(charge) => AnswerBody::charged(body, charge, gateway.bounds.pace),
    }
}

#[cfg(test)]
mod tests {
    use hyper::StatusCode;

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
}
