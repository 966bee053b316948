//! PutStream: messages of records that are put one after the other without waiting for each.
//!
//! A message is begun when the one before it has its places in the queues of its shards' groups (see
//! [`Turn`]), so that records of one shard are written in the order in which they came; messages whose
//! shards are led elsewhere are put one at a time. Answers come in the order of the messages. Further messages are taken
//! only while less than [`UNANSWERED_BYTES_MAX`] of those that were taken are unanswered. The first message that is
//! refused as a whole ends the call once those before it are answered; none after it is put. So does a stop of the broker.

use std::collections::BTreeMap;
use std::sync::Arc;

use futures_util::future::{BoxFuture, FutureExt};
use futures_util::stream::{self, FuturesOrdered, StreamExt};
use prost::Message;
use tidelog_proto::v1::{Acknowledgement, Failure, PutStreamRequest, PutStreamResponse};
use tokio::sync::{oneshot, watch};
use tonic::{Status, Streaming};

use super::answer::stopping_node;
use super::body::Room;
use super::records;
use super::{Messages, messages, status};
use crate::model::stream::Stream;
use crate::ops::{Call, native};
use crate::service::{AppendRefusal, Placed, Service, Turn};

/// Bytes of messages that wait for their answers past which no further one is taken.
const UNANSWERED_BYTES_MAX: usize = 16 << 20;

/// A call under way.
pub(super) struct PutStream {
    service: Arc<Service>,
    call: Arc<Call>,
    /// The messages' share of the room for all requests' bodies.
    room: Option<Room>,
    /// True once the broker stops.
    stopping: watch::Receiver<bool>,
    /// `None` once no further message is taken.
    incoming: Option<Streaming<PutStreamRequest>>,
    /// Why none is, if it is not that all have come.
    failure: Option<Status>,
    /// Where the next message's records go.
    stream: Arc<str>,
    acknowledgement: Acknowledgement,
    /// Of the next message.
    position: u64,
    unanswered: FuturesOrdered<BoxFuture<'static, Answered>>,
    unanswered_bytes: usize,
    /// Whether the message that was begun last lets the next one begin.
    handing_over: Option<oneshot::Receiver<Arc<Stream>>>,
    routed_before: Option<Arc<Stream>>,
    /// Closed once all messages are answered.
    earlier: Option<oneshot::Receiver<()>>,
}

/// A message that has its answer.
struct Answered {
    bytes: usize,
    outcome: Result<PutStreamResponse, Status>,
    /// Closed when the answer is given, and with it those of all messages before.
    _answered: oneshot::Sender<()>,
}

impl PutStream {
    pub(super) fn new(
        service: Arc<Service>,
        call: Call,
        room: Option<Room>,
        stopping: watch::Receiver<bool>,
        incoming: Streaming<PutStreamRequest>,
    ) -> Self {
        Self {
            service,
            call: Arc::new(call),
            room,
            stopping,
            incoming: Some(incoming),
            failure: None,
            stream: "".into(),
            acknowledgement: Acknowledgement::Each,
            position: 0,
            unanswered: FuturesOrdered::new(),
            unanswered_bytes: 0,
            handing_over: None,
            routed_before: None,
            earlier: None,
        }
    }

    /// The answers, in the order of the messages.
    pub(super) fn responses(self) -> Messages<PutStreamResponse> {
        let responses = stream::unfold(Some(self), |state| async move {
            let mut put = state?;
            let response = put.next().await?;
            let goes_on = response.is_ok();
            Some((response, goes_on.then_some(put)))
        });
        responses.boxed()
    }

    async fn next(&mut self) -> Option<Result<PutStreamResponse, Status>> {
        loop {
            let takes = self.handing_over.is_none() && self.unanswered_bytes < UNANSWERED_BYTES_MAX;
            tokio::select! {
                biased;
                Some(answered) = self.unanswered.next(), if !self.unanswered.is_empty() => {
                    self.unanswered_bytes -= answered.bytes;
                    self.give_back(answered.bytes);
                    return Some(answered.outcome);
                }
                stream = handed_over(&mut self.handing_over), if self.handing_over.is_some() => {
                    self.handing_over = None;
                    match stream {
                        Some(stream) => self.routed_before = Some(stream),
                        // The message was refused, and its answer will say so.
                        None => self.incoming = None,
                    }
                }
                () = stopped(&mut self.stopping), if self.incoming.is_some() => {
                    (self.incoming, self.failure) = (None, Some(stopping_node()));
                }
                message = message(&mut self.incoming), if takes && self.incoming.is_some() => {
                    let begun = match message {
                        Ok(Some(message)) => self.begin(message),
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

    /// Gives back the room of a message that is answered; all there is with the last one, so that nothing adds up.
    fn give_back(&self, bytes: usize) {
        if let Some(room) = &self.room {
            room.give_back(if self.unanswered.is_empty() { usize::MAX } else { bytes });
        }
    }

    /// Begins to put a message's records.
    fn begin(&mut self, message: PutStreamRequest) -> Result<(), Option<Status>> {
        let bytes = message.encoded_len();
        let PutStreamRequest { stream, records, producer, acknowledgement } = message;
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
        let (handed_over, handing_over) = oneshot::channel();
        let (answered, earlier) = oneshot::channel();
        let turn = Turn {
            routed_before: self.routed_before.take(),
            earlier: self.earlier.replace(earlier),
            handed_over: Some(handed_over),
        };
        self.handing_over = Some(handing_over);
        self.unanswered_bytes += bytes;
        let (service, call, stream) = (self.service.clone(), self.call.clone(), self.stream.clone());
        let (position, acknowledgement) = (self.position, self.acknowledgement);
        self.position += 1;
        let putting = async move {
            let given = messages::given(&records);
            let results = native::put(&service, &call, &stream, given, stamp.as_ref(), Some(turn)).await;
            let outcome = results.map(|results| response(position, acknowledgement, &results));
            Answered { bytes, outcome: outcome.map_err(status::of), _answered: answered }
        };
        self.unanswered.push_back(putting.boxed());
        Ok(())
    }
}

async fn handed_over(handing_over: &mut Option<oneshot::Receiver<Arc<Stream>>>) -> Option<Arc<Stream>> {
    handing_over.as_mut()?.await.ok()
}

async fn stopped(stopping: &mut watch::Receiver<bool>) {
    // Without a sender the broker is gone altogether.
    drop(stopping.wait_for(|stop| *stop).await);
}

async fn message(
    incoming: &mut Option<Streaming<PutStreamRequest>>,
) -> Result<Option<PutStreamRequest>, Status> {
    match incoming {
        Some(incoming) => incoming.message().await,
        None => Ok(None),
    }
}

fn response(
    position: u64,
    acknowledgement: Acknowledgement,
    results: &[Result<Placed, AppendRefusal>],
) -> PutStreamResponse {
    match acknowledgement {
        Acknowledgement::Each => {
            PutStreamResponse { position, results: messages::results(results), failures: BTreeMap::new() }
        }
        Acknowledgement::Failed => {
            PutStreamResponse { position, results: Vec::new(), failures: failures(results) }
        }
    }
}

/// The failed records by their place.
fn failures(results: &[Result<Placed, AppendRefusal>]) -> BTreeMap<u32, Failure> {
    let failed = |(place, result): (u32, &Result<Placed, AppendRefusal>)| {
        let refusal = result.as_ref().err()?;
        Some((place, status::failure(*refusal)))
    };
    (0..).zip(results).filter_map(failed).collect()
}
