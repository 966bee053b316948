//! The service Records: Read here, the other calls in `put.rs`, `put_stream.rs` and `subscribe.rs`.

use std::sync::Arc;

use futures_util::stream::{self, StreamExt};
use tidelog_proto::v1::{
    Producer, PutRequest, PutResponse, PutStreamRequest, PutStreamResponse, ReadRequest, ReadResponse,
    SubscribeRequest, SubscribeResponse, records_server,
};
use tonic::{Request, Response, Status, Streaming};

use super::caller::{self, Caller};
use super::{Messages, messages, status, subscribe};
use crate::model::producer::Stamp;
use crate::model::shard_id::ShardId;
use crate::ops::native::{self, FollowMode, Item, Source};
use crate::service::{Batch, Service, in_own_tasks};

/// Calls whose messages have their room as records, before these are read.
pub(super) const GIVING_RECORDS: [&str; 2] = ["/tidelog.v1.Records/Read", "/tidelog.v1.Records/Subscribe"];

/// The service Records.
pub(super) struct Records(pub(super) Caller);

#[tonic::async_trait]
impl records_server::Records for Records {
    /// [`super::call`] takes it before the routes come to it.
    async fn put(&self, _: Request<PutRequest>) -> Result<Response<PutResponse>, Status> {
        Err(Status::unimplemented("Put is not among the routes."))
    }

    type PutStreamStream = Messages<PutStreamResponse>;

    /// [`super::call`] takes it before the routes come to it.
    async fn put_stream(
        &self,
        _: Request<Streaming<PutStreamRequest>>,
    ) -> Result<Response<Self::PutStreamStream>, Status> {
        Err(Status::unimplemented("PutStream is not among the routes."))
    }

    type ReadStream = Messages<ReadResponse>;

    async fn read(&self, request: Request<ReadRequest>) -> Result<Response<Self::ReadStream>, Status> {
        let (call, service) = (self.0.call(request.metadata())?, &self.0.service);
        let room = service.room_for_client(caller::account(&request));
        let ReadRequest { stream, shard_id, from, records_max } = request.into_inner();
        let from = messages::at(from.as_ref())?;
        let from = from.ok_or_else(|| status::invalid("A position to read from is needed."))?;
        let start = native::find_start(service, &call, &stream, &shard_id, from).await.map_err(status::of)?;
        let mode = FollowMode::Read { records_max: (records_max > 0).then_some(records_max) };
        let source = Source::new(service.clone(), start, mode, room);
        Ok(Response::new(Reading::new(service.clone(), source).responses()))
    }

    type SubscribeStream = Messages<SubscribeResponse>;

    async fn subscribe(
        &self,
        request: Request<SubscribeRequest>,
    ) -> Result<Response<Self::SubscribeStream>, Status> {
        let call = self.0.call(request.metadata())?;
        let room = self.0.service.room_for_client(caller::account(&request));
        subscribe::begin(&self.0.service, &call, &request.into_inner(), room).await.map(Response::new)
    }
}

/// The stamp of the producer that a request names, if it names one.
pub(super) fn stamp(producer: Option<Producer>) -> Result<Option<Stamp>, Status> {
    let stamp = |Producer { id, batch, settled_below }| Stamp::new(id, batch, settled_below);
    producer.map(stamp).transpose().map_err(|error| status::invalid(format!("Producer: {error}.")))
}

/// A Read under mode. Its source has the room of the message that was given last, until the next one is asked for.
struct Reading {
    service: Arc<Service>,
    source: Source,
    /// Where it began.
    position: Batch,
    /// The continuation of the last message.
    continuation: Option<String>,
}

impl Reading {
    fn new(service: Arc<Service>, source: Source) -> Self {
        Self { service, source, position: Batch::default(), continuation: None }
    }

    fn responses(self) -> Messages<ReadResponse> {
        let responses = stream::unfold(Some(self), |state| async move {
            let mut reading = state?;
            let (response, is_last) = reading.next().await?;
            Some((response, (!is_last).then_some(reading)))
        });
        in_own_tasks(responses.boxed()).boxed()
    }

    /// The next message, and whether it is the last.
    async fn next(&mut self) -> Option<(Result<ReadResponse, Status>, bool)> {
        loop {
            match self.source.next().await? {
                Ok(Item::Batch(batch)) if batch.records.is_empty() => self.position = batch,
                Ok(Item::Batch(batch)) => {
                    let response = self.response(batch);
                    self.continuation = Some(response.continuation.clone());
                    return Some((Ok(response), false));
                }
                // A reader that was at the tip from the start gets the position.
                Ok(Item::Done) if self.continuation.is_none() => return Some((Ok(self.last()), true)),
                Ok(Item::Done) => return None,
                Ok(Item::EndOfShard(children)) => {
                    let end = Some(messages::end(&children));
                    return Some((Ok(ReadResponse { end, ..self.last() }), true));
                }
                Err(fault) => return Some((Err(status::of(fault)), true)),
            }
        }
    }

    /// A last message without records.
    fn last(&mut self) -> ReadResponse {
        let position = self.response(self.position.clone());
        let continuation = self.continuation.take().unwrap_or(position.continuation.clone());
        ReadResponse { continuation, ..position }
    }

    fn response(&self, batch: Batch) -> ReadResponse {
        messages::records(self.source.shard(), batch, self.service.now_ms())
    }
}

/// The name of a shard that a client names by its index.
pub(super) fn shard_name(index: u32) -> String {
    ShardId(index).to_string()
}
