//! Operations that came to another node and run here, because this node leads their subject.

use std::future::ready;
use std::panic::AssertUnwindSafe;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use futures_util::{FutureExt, Stream, StreamExt, stream};
use tidelog_proto::peer::{self, execute_response::Part};
use tokio::time::sleep;
use tonic::Status;

use crate::ops::{self, Call, Codec, Events, Fault, Reply, relayed};
use crate::room::Charge;
use crate::service::Service;

/// How long a client may take for the rest of an event stream that is over before its connection is closed.
const REST_DEADLINE: Duration = Duration::from_secs(30);

pub(super) type Parts = Pin<Box<dyn Stream<Item = Result<peer::ExecuteResponse, Status>> + Send>>;

/// Runs an operation for a peer; without a service nothing is done.
pub(super) async fn execute(service: Option<Arc<Service>>, request: peer::ExecuteRequest) -> Parts {
    let Some(service) = service else { return one(Part::NotHere(peer::Done {})) };
    let bytes_max = usize::try_from(request.answer_bytes_max).unwrap_or(usize::MAX);
    let answers = match bytes_max {
        0 => service.answers_for_peers(),
        bytes_max => service.answers_for_peers().bounded(bytes_max),
    };
    let call = Call {
        account: request.account.into(),
        region: request.region.into(),
        codec: if request.is_cbor { Codec::Cbor } else { Codec::Json },
        body: request.body,
        answers,
    };
    match ops::execute(&service, &call, &request.operation).await {
        Ok(Some(Reply::Answer(answer))) => one(Part::Complete(answer.encode(call.codec))),
        Ok(Some(Reply::Complete(body))) => one(Part::Complete(body)),
        Ok(Some(Reply::Charged(body, charge))) => one_charged(Part::Complete(body), charge),
        Ok(Some(Reply::Events(events))) => send_events(events),
        Ok(None) => one(Part::NotHere(peer::Done {})),
        Err(fault) => one(send_fault(&fault)),
    }
}

fn response(part: Part) -> Result<peer::ExecuteResponse, Status> {
    Ok(peer::ExecuteResponse { part: Some(part) })
}

fn one(part: Part) -> Parts {
    stream::iter([response(part)]).boxed()
}

/// An answer that is charged until it is handed over and the next part is asked for.
fn one_charged(part: Part, charge: Charge) -> Parts {
    let held = stream::once(async move { drop(charge) }).filter_map(|()| ready(None));
    stream::iter([response(part)]).chain(held).boxed()
}

fn send_fault(fault: &Fault) -> Part {
    Part::Fault(relayed::encode_fault(fault))
}

/// The messages of an event stream; its failure or panic is the last.
fn send_events(events: Events) -> Parts {
    let Events { messages, over } = events;
    let cut = async move {
        over.await;
        sleep(REST_DEADLINE).await;
    };
    let part = |event: std::thread::Result<Result<_, Fault>>| match event {
        Ok(Ok(bytes)) => response(Part::Events(bytes)),
        Ok(Err(fault)) => response(send_fault(&fault)),
        Err(_panic) => {
            crate::log_at_most_once_a_second!(error, "an event stream panicked; ending it with an error");
            response(send_fault(&Fault::Internal))
        }
    };
    AssertUnwindSafe(messages).catch_unwind().map(part).take_until(cut.boxed()).boxed()
}
