//! PutStream: messages of records that are put one after the other without waiting for each.
//!
//! A call is one [`PutSession`]: a message begins when the one before it is in all of its queues, so that records of
//! one shard are written in the order in which they came. Answers come in the order of the messages. The call takes
//! further messages while fewer than [`UNANSWERED_MAX`] with less than [`UNANSWERED_BYTES_MAX`] are unanswered. The
//! first message that is refused as a whole ends the call once those before it are answered; no message after it is
//! put. A stop of the broker ends the call alike. Each message is put by a task of its own: it may wait for shares of
//! memory that all puts of the node wait for, and goes on although the client takes no answers. The data of a message
//! that comes in one frame is encoded for the write-ahead log from that frame, without a copy in between.

use std::collections::VecDeque;
use std::sync::Arc;

use bytes::Bytes;
use futures_util::stream::{self, StreamExt};
use hyper::{Request, Response};
use tidelog_proto::v1::{Acknowledgement, PutStreamRequest};
use tokio::sync::watch;
use tonic::Status;
use tonic::metadata::MetadataMap;

use super::answer::stopping_node;
use super::body::{BodyRoom, RequestBody};
use super::caller::Caller;
use super::framing::{self, MessageReader, PREFIX_BYTES};
use super::{acknowledgements, messages, put, records, status};
use crate::ops::{Call, native};
use crate::service::{OwnTask, PutSession, Service};

/// Where the call is found.
pub(super) const PATH: &str = "/tidelog.v1.Records/PutStream";

/// No further message is taken once this many bytes of a call are unanswered.
const UNANSWERED_BYTES_MAX: usize = 16 << 20;
/// No further message is taken once this many messages of a call are unanswered. The bound keeps one call from filling
/// the links to other nodes, which all calls share.
const UNANSWERED_MAX: usize = 256;

/// Begins a call, which has its share of the room for all requests' bodies. It ends by itself when the broker
/// stops, once its messages so far are answered.
///
/// # Errors
/// INVALID_ARGUMENT for a malformed caller, UNIMPLEMENTED for compressed messages.
pub(super) fn begin(
    caller: &Caller,
    stopping: watch::Receiver<bool>,
    request: Request<RequestBody>,
    room: BodyRoom,
) -> Result<Response<tonic::body::Body>, Status> {
    let (head, body) = request.into_parts();
    framing::check_encoding(&head.headers)?;
    let put = PutStream {
        service: caller.service.clone(),
        call: Arc::new(caller.call(&MetadataMap::from_headers(head.headers))?),
        room,
        stopping,
        incoming: Some(MessageReader::new(body)),
        failure: None,
        stream: "".into(),
        acknowledgement: Acknowledgement::Each,
        position: 0,
        unanswered: VecDeque::new(),
        unanswered_bytes: 0,
        session: PutSession::default(),
        is_queueing: false,
    };
    let responses = stream::unfold(Some(put), |put| async move {
        let mut put = put?;
        let response = put.next().await?;
        let goes_on = response.is_ok();
        Some((response, goes_on.then_some(put)))
    });
    Ok(framing::response(responses.boxed()))
}

/// A call under way.
struct PutStream {
    service: Arc<Service>,
    call: Arc<Call>,
    /// The messages' share of the room for all requests' bodies.
    room: BodyRoom,
    /// True once the broker stops.
    stopping: watch::Receiver<bool>,
    /// `None` once no further message is taken.
    incoming: Option<MessageReader<RequestBody>>,
    /// Why no further message is taken, unless all have arrived.
    failure: Option<Status>,
    /// Where the next message's records go.
    stream: Arc<str>,
    acknowledgement: Acknowledgement,
    /// The position of the next message.
    position: u64,
    /// In the order of the messages.
    unanswered: VecDeque<OwnTask<Answered>>,
    unanswered_bytes: usize,
    session: PutSession,
    /// True while the message that began last is not in all of its queues.
    is_queueing: bool,
}

/// The answer to a message.
struct Answered {
    bytes: usize,
    /// The framed response.
    outcome: Result<Bytes, Status>,
}

impl PutStream {
    /// The next answer, in the order of the messages.
    async fn next(&mut self) -> Option<Result<Bytes, Status>> {
        loop {
            let takes = !self.is_queueing
                && self.unanswered_bytes < UNANSWERED_BYTES_MAX
                && self.unanswered.len() < UNANSWERED_MAX;
            tokio::select! {
                biased;
                Some(answered) = first(&mut self.unanswered), if !self.unanswered.is_empty() => {
                    self.unanswered.pop_front();
                    self.unanswered_bytes -= answered.bytes;
                    self.room.give_back(answered.bytes);
                    return Some(answered.outcome);
                }
                is_queued = self.session.last_is_queued(), if self.is_queueing => {
                    self.is_queueing = false;
                    if !is_queued {
                        // The message was refused, and its answer will say so.
                        self.incoming = None;
                    }
                }
                () = stopped(&mut self.stopping), if self.incoming.is_some() => {
                    (self.incoming, self.failure) = (None, Some(stopping_node()));
                }
                message = message(&mut self.incoming), if takes && self.incoming.is_some() => {
                    let begun = match message {
                        Ok(Some(message)) => self.take(&message),
                        Ok(None) => Err(None),
                        Err(status) => Err(Some(status)),
                    };
                    if let Err(failure) = begun {
                        (self.incoming, self.failure) = (None, failure);
                    }
                }
                else => return self.failure.take().map(Err),
            }
        }
    }

    /// Begins to put a message's records.
    fn take(&mut self, message: &Bytes) -> Result<(), Option<Status>> {
        let bytes = PREFIX_BYTES + message.len();
        let PutStreamRequest { stream, records, producer, acknowledgement } = put::read(message)?;
        let stamp = records::stamp(producer)?;
        if let Some(acknowledgement) = acknowledgement {
            let known = Acknowledgement::try_from(acknowledgement);
            self.acknowledgement =
                known.map_err(|_| status::invalid("An acknowledgement is EACH or FAILED."))?;
        }
        if !stream.is_empty() {
            self.stream = stream.into();
        }
        if self.stream.is_empty() {
            return Err(Some(status::invalid("The first message has to name a stream.")));
        }
        let ordered = self.session.begin();
        self.is_queueing = true;
        self.unanswered_bytes += bytes;
        let (service, call, stream) = (self.service.clone(), self.call.clone(), self.stream.clone());
        let (position, acknowledgement) = (self.position, self.acknowledgement);
        self.position += 1;
        let putting = async move {
            let entries = messages::entries(&records);
            let results = native::put(&service, &call, &stream, entries, stamp.as_ref(), Some(ordered)).await;
            let outcome = results.map(|results| match acknowledgement {
                Acknowledgement::Each => acknowledgements::each(position, &results),
                Acknowledgement::Failed => acknowledgements::failed(position, &results),
            });
            Answered { bytes, outcome: outcome.map_err(status::of) }
        };
        self.unanswered.push_back(OwnTask::start(putting));
        Ok(())
    }
}

async fn first(unanswered: &mut VecDeque<OwnTask<Answered>>) -> Option<Answered> {
    Some(unanswered.front_mut()?.await)
}

async fn stopped(stopping: &mut watch::Receiver<bool>) {
    // Without a sender the broker is gone altogether.
    drop(stopping.wait_for(|stop| *stop).await);
}

async fn message(incoming: &mut Option<MessageReader<RequestBody>>) -> Result<Option<Bytes>, Status> {
    match incoming {
        Some(incoming) => incoming.next().await,
        None => Ok(None),
    }
}
