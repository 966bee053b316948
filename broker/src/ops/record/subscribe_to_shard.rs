//! SubscribeToShard: a shard's records pushed to a registered consumer, as events of a stream.
//!
//! The stream begins with an `initial-response`. Every event has a ContinuationSequenceNumber, a place strictly
//! between the last record passed and the next, until a closed shard was read to its end: then the last event has
//! ChildShards instead. Without records an empty event comes every 5 seconds; the stream ends after 5 minutes.
//!
//! Limits: a second subscription of a consumer to a shard within 5 seconds of another is refused, a later one takes
//! over. Calls that do not come to a subscription are counted against a rate of one per second. Errors: as ordinary
//! answers before the stream begins; later ResourceInUse (taken over) and ResourceNotFound (stream or consumer were
//! deleted) in it.

use std::sync::Arc;

use bytes::Bytes;
use futures_util::{StreamExt, stream};
use tidelog_proto::event_stream;
use tidelog_proto::json;

use super::get_records::json::write_records;
use super::position::{self, Asked};
use crate::model::sequence_number::SequenceNumber;
use crate::model::shard_id::ShardId;
use crate::model::stream::{Consumer, ConsumerStatus, Shard, Stream};
use crate::ops::api::{StartingPosition, SubscribeToShardInput, list};
use crate::ops::fault::Unavailable;
use crate::ops::stream::description;
use crate::ops::{Call, Events, Fault, Reply, rate, target};
use crate::service::{
    Event, Next, ReadRecord, Service, ServiceError, SubscribeRefusal, Subscription, in_own_tasks,
};

/// The type of every event after the first.
const EVENT: &str = "SubscribeToShardEvent";

/// Begins the stream.
pub async fn run(service: &Arc<Service>, call: &Call, input: &SubscribeToShardInput) -> Result<Reply, Fault> {
    let (stream, consumer) = target::consumer(&service.catalog(), &input.consumer_arn)?;
    let shard = position::find_shard(&stream, &input.shard_id)?;
    // A call too soon after a subscription is refused because of the subscription, before its own rate
    // counts.
    let refused = |refusal| subscription_fault(refusal, &stream, &consumer);
    service.check_subscribe(&stream, &consumer, shard).map_err(refused)?;
    rate::check_subscribe(service, call, input)?;
    let begin = asked(input).begin(&stream, shard, service.latest_now_ms())?;
    check_active(&stream, &consumer)?;
    if input.dry_run == Some(true) {
        return Err(Fault::DryRun);
    }
    let next_ordinal = begin.ordinal(service, &stream, shard).await?;
    let subscription = service.subscribe(&stream, &consumer, shard, next_ordinal, encode);
    let writer = Writer { service: service.clone(), stream: stream.clone(), shard: shard.clone(), consumer };
    let subscription =
        subscription.map_err(|refusal| subscription_fault(refusal, &stream, &writer.consumer))?;
    Ok(Reply::Events(events(subscription, writer)))
}

fn asked(input: &SubscribeToShardInput) -> Asked<'_> {
    let StartingPosition { kind, sequence_number, timestamp } = &input.starting_position;
    Asked {
        operation: "SubscribeToShard",
        kind: *kind,
        number: sequence_number.as_deref(),
        time_ms: timestamp.map(|time| time.0),
    }
}

fn check_active(stream: &Stream, consumer: &Consumer) -> Result<(), Fault> {
    match consumer.status {
        ConsumerStatus::Active => Ok(()),
        ConsumerStatus::Creating | ConsumerStatus::Deleting => {
            Err(Fault::consumer_not_active(&stream.key, consumer))
        }
    }
}

fn subscription_fault(refusal: SubscribeRefusal, stream: &Stream, consumer: &Consumer) -> Fault {
    match refusal {
        SubscribeRefusal::TooSoon => Fault::subscription_exists(&stream.key, &consumer.name),
        SubscribeRefusal::Full => Fault::Unavailable(Unavailable::Subscriptions),
    }
}

/// The messages of a subscription, the first one included.
fn events(subscription: Subscription, writer: Writer) -> Events {
    let over = Box::pin(subscription.over());
    let first = event_stream::event("initial-response", b"{}");
    let rest = stream::unfold(Some((subscription, writer)), |state| async move {
        let (mut subscription, writer) = state?;
        let next = subscription.next().await;
        let goes_on = matches!(next, Ok(Next::Event(_)));
        let parts = writer.write(next)?;
        Some((stream::iter(parts), goes_on.then_some((subscription, writer))))
    });
    // The events of a shard are made by one of its subscribers for all of them.
    let rest = in_own_tasks(rest.boxed()).flatten();
    Events { messages: Box::pin(stream::iter([Ok(first)]).chain(rest)), over }
}

/// Writes the events of a subscription.
struct Writer {
    service: Arc<Service>,
    stream: Arc<Stream>,
    shard: Shard,
    consumer: Consumer,
}

impl Writer {
    /// The parts of the next message; `None` when the stream ends without one.
    fn write(&self, next: Result<Next, ServiceError>) -> Option<Vec<Result<Bytes, Fault>>> {
        let (key, id) = (&self.stream.key, ShardId(self.shard.index));
        let fault = match next {
            Ok(Next::Over) => return None,
            Ok(Next::Event(event)) => {
                let parts = write_event(&self.shard, &event, self.service.now_ms());
                return Some(parts.into_iter().map(Ok).collect());
            }
            Ok(Next::EndOfShard(stream)) => return Some(vec![Ok(write_end(&stream, id))]),
            Ok(Next::TakenOver) => Fault::subscription_exists(key, &self.consumer.name),
            Ok(Next::ShardGone) => Fault::shard_not_found(key, id),
            Err(error) => Fault::of_shard(error, key, id),
        };
        Some(vec![Err(fault)])
    }
}

/// An event, as parts to be sent one after the other.
fn write_event(shard: &Shard, event: &Event, now_ms: u64) -> Vec<Bytes> {
    let continuation = SequenceNumber {
        created_s: shard.created_s,
        shard: shard.index,
        ordinal: event.next_ordinal - 1,
        time_s: now_ms / 1_000,
        after: true,
    };
    let behind = event.millis_behind;
    let mut own = format!(r#"{{"MillisBehindLatest":{behind},"ContinuationSequenceNumber":"{continuation}""#);
    match &event.run {
        Some(run) => event_stream::event_sharing(EVENT, own.as_bytes(), &run.encoded),
        None => {
            own.push_str(NO_RECORDS);
            vec![event_stream::event(EVENT, own.as_bytes())]
        }
    }
}

/// The members behind the others of an event without records.
const NO_RECORDS: &str = r#","Records":[]}"#;

/// The members behind those of an event that its subscribers do not share.
fn encode(shard: &Shard, records: &[ReadRecord]) -> Vec<u8> {
    let data_bytes = records.iter().map(|record| record.data.len()).sum::<usize>();
    let mut out = Vec::with_capacity(data_bytes.div_ceil(3) * 4 + records.len() * RECORD_BYTES + 16);
    out.extend_from_slice(br#","Records":["#);
    write_records(shard, records, &mut out);
    out.extend_from_slice(b"]}");
    out
}

/// Bytes around the data of one record, with a short key.
const RECORD_BYTES: usize = 200;

/// The last event of a closed shard.
fn write_end(stream: &Stream, id: ShardId) -> Bytes {
    let mut payload = br#"{"MillisBehindLatest":0,"Records":[],"ChildShards":"#.to_vec();
    payload.extend_from_slice(&json::encode(&list(&description::children(stream, id))));
    payload.push(b'}');
    event_stream::event(EVENT, &payload)
}

#[cfg(test)]
mod tests;
