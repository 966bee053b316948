//! The service Records: Put and Read here, the calls with streams of their own in `put_stream.rs` and `subscribe.rs`.

use futures_util::stream::{self, StreamExt};
use tidelog_proto::v1::{
    Producer, PutRequest, PutResponse, PutStreamRequest, PutStreamResponse, ReadRequest, ReadResponse,
    SubscribeRequest, SubscribeResponse, records_server,
};
use tokio::sync::OwnedSemaphorePermit;
use tonic::{Request, Response, Status, Streaming};

use super::body::Room;
use super::caller::Caller;
use super::put_stream::PutStream;
use super::{Messages, messages, status, subscribe};
use crate::model::producer::Stamp;
use crate::model::shard_id::ShardId;
use crate::ops::native::{self, Item, Source, Way};
use crate::service::{Batch, Service};

/// See the module.
pub(super) struct Records(pub(super) Caller);

#[tonic::async_trait]
impl records_server::Records for Records {
    async fn put(&self, request: Request<PutRequest>) -> Result<Response<PutResponse>, Status> {
        let call = self.0.call(request.metadata())?;
        let PutRequest { stream, records, producer } = request.into_inner();
        let stamp = stamp(producer)?;
        let given = messages::given(&records);
        let results = native::put(&self.0.service, &call, &stream, given, stamp.as_ref(), None).await;
        let results = results.map_err(status::of)?;
        Ok(Response::new(PutResponse { results: messages::results(&results) }))
    }

    type PutStreamStream = Messages<PutStreamResponse>;

    async fn put_stream(
        &self,
        request: Request<Streaming<PutStreamRequest>>,
    ) -> Result<Response<Self::PutStreamStream>, Status> {
        let call = self.0.call(request.metadata())?;
        let room = request.extensions().get::<Room>().cloned();
        let put = PutStream::new(self.0.service.clone(), call, room, request.into_inner());
        Ok(Response::new(put.responses()))
    }

    type ReadStream = Messages<ReadResponse>;

    async fn read(&self, request: Request<ReadRequest>) -> Result<Response<Self::ReadStream>, Status> {
        let (call, service) = (self.0.call(request.metadata())?, &self.0.service);
        let ReadRequest { stream, shard_id, from, records_max } = request.into_inner();
        let from = messages::at(from.as_ref())?;
        let from = from.ok_or_else(|| status::invalid("A position to read from is needed."))?;
        let place = native::place(service, &call, &stream, &shard_id, from).await.map_err(status::of)?;
        let way = Way::Read { records_max: (records_max > 0).then_some(records_max) };
        let source = Source::new(service.clone(), place, way);
        Ok(Response::new(Reading { service: service.clone(), source, place: None, room: None }.responses()))
    }

    type SubscribeStream = Messages<SubscribeResponse>;

    async fn subscribe(
        &self,
        request: Request<SubscribeRequest>,
    ) -> Result<Response<Self::SubscribeStream>, Status> {
        let call = self.0.call(request.metadata())?;
        subscribe::begin(&self.0.service, &call, &request.into_inner()).await.map(Response::new)
    }
}

/// Who writes, if it is said.
pub(super) fn stamp(producer: Option<Producer>) -> Result<Option<Stamp>, Status> {
    let stamp = |Producer { id, batch, settled_below }| Stamp::new(id, batch, settled_below);
    producer.map(stamp).transpose().map_err(|error| status::invalid(format!("Producer: {error}.")))
}

/// A Read under way.
struct Reading {
    service: std::sync::Arc<Service>,
    source: Source,
    /// Where it stands as long as no message has told.
    place: Option<Batch>,
    /// Of the message that was given last, until the next one is asked for.
    room: Option<OwnedSemaphorePermit>,
}

impl Reading {
    fn responses(self) -> Messages<ReadResponse> {
        let responses = stream::unfold(Some(self), |state| async move {
            let mut reading = state?;
            let (response, is_last) = reading.next().await?;
            Some((response, (!is_last).then_some(reading)))
        });
        responses.boxed()
    }

    /// The next message, and whether it is the last.
    async fn next(&mut self) -> Option<(Result<ReadResponse, Status>, bool)> {
        self.room = None;
        loop {
            match self.source.next().await? {
                Ok(Item::Batch(batch)) if batch.records.is_empty() => self.place = Some(batch),
                Ok(Item::Batch(batch)) => {
                    let bytes = batch.records.iter().map(|record| record.data.len()).sum();
                    self.room = self.service.room(bytes).await;
                    let next_ordinal = batch.next_ordinal;
                    let response = self.response(batch);
                    self.place = Some(Batch { next_ordinal, ..Batch::default() });
                    return Some((Ok(response), false));
                }
                Ok(Item::Done) => {
                    // The place of a reader who is at the tip already.
                    let place = self.place.take().unwrap_or_default();
                    return Some((Ok(self.response(place)), true));
                }
                Ok(Item::EndOfShard(children)) => {
                    let place = self.place.take().unwrap_or_default();
                    let end = Some(messages::end(&children));
                    return Some((Ok(ReadResponse { end, ..self.response(place) }), true));
                }
                Err(fault) => return Some((Err(status::of(fault)), true)),
            }
        }
    }

    fn response(&self, batch: Batch) -> ReadResponse {
        messages::records(self.source.shard(), batch, self.service.now_ms())
    }
}

/// The name of a shard that a client names by its index.
pub(super) fn shard_name(index: u32) -> String {
    ShardId(index).to_string()
}
