//! Reads one shard, from a position to its end or its tip. After a failure of the connection it goes on behind the
//! last record that it has handed out. Used by [`Reader`](super::Reader), and for each lease by `membership`.

#![expect(clippy::disallowed_types, reason = "readers of one stream wait for one listing of its shards")]

use std::ops::RangeInclusive;
use std::sync::Arc;
use std::time::Duration;

use tidelog_proto::v1::{self, subscribe_response};
use tokio::sync::Mutex;
use tokio::time::{Instant, sleep, timeout};
use tonic::Streaming;

use super::record::{Opened, Position, Record};
use crate::backoff;
use crate::connection::{Connection, Node};
use crate::error::{Error, Reason};
use crate::shards::Shards;

/// The broker says something at least every 5 s: a subscription that is silent for so long is dead.
const SILENCE_MAX: Duration = Duration::from_secs(20);

/// The stream to read, and the way in which its shards are read. Shared by the readings of a stream's shards.
#[derive(Debug)]
pub(super) struct Source {
    pub connection: Connection,
    pub stream: String,
    /// The consumer whose share of the throughput is used; empty for a share of its own.
    pub consumer: String,
    /// Goes on at the tip.
    pub following: bool,
    pub deaggregating: bool,
    /// How long failures may go on.
    pub give_up_after: Duration,
    /// Kept for the hash ranges of shards.
    pub shards: Mutex<Shards>,
}

impl Source {
    /// The hash range of a shard; `None` when it is not listed any more.
    async fn range(&self, shard_id: &str) -> Result<Option<RangeInclusive<u128>>, Error> {
        let mut shards = self.shards.lock().await;
        if shards.range(shard_id).is_none() {
            *shards = Shards::list(&self.connection, &self.stream).await?;
        }
        Ok(shards.range(shard_id))
    }
}

/// One shard being read.
#[derive(Debug)]
pub(super) struct ShardReading {
    source: Arc<Source>,
    shard_id: String,
    from: v1::Position,
    call: Option<Call>,
    range: Option<RangeInclusive<u128>>,
    /// The records that were handed out last were the shard's last.
    has_ended: bool,
    failures: u32,
    succeeded: Instant,
}

/// The next item of a shard.
#[derive(Debug)]
pub(super) enum Event {
    Records(Read),
    /// The shard is closed and read to its end.
    End,
    /// Everything that was there is read. Only where the tip is not followed.
    Tip,
}

/// Some records of a shard, in order, at least one.
#[derive(Debug)]
pub(super) struct Read {
    pub records: Vec<Record>,
    /// The sequence number of the last record of the stream that was read for it.
    pub sequence_number: String,
    pub millis_behind_latest: u64,
}

#[derive(Debug)]
enum Call {
    Following(Streaming<v1::SubscribeResponse>, Node),
    Once(Streaming<v1::ReadResponse>, Node),
}

impl ShardReading {
    pub fn new(source: Arc<Source>, shard_id: String, from: v1::Position) -> Self {
        Self {
            source,
            shard_id,
            from,
            call: None,
            range: None,
            has_ended: false,
            failures: 0,
            succeeded: Instant::now(),
        }
    }

    /// Waits for the next item. To be called again unless it was the end or the tip.
    ///
    /// # Errors
    /// An error that does not pass by itself, or has lasted for too long.
    pub async fn next(&mut self) -> Result<Event, Error> {
        loop {
            match self.step().await {
                Ok(Some(event)) => return Ok(event),
                Ok(None) => {}
                Err(error)
                    if error.is_transient() && self.succeeded.elapsed() < self.source.give_up_after =>
                {
                    self.call = None;
                    self.failures += 1;
                    metrics::counter!(crate::metrics::RESUBSCRIPTIONS).increment(1);
                    tracing::debug!(shard = self.shard_id, %error, "reading again");
                    sleep(backoff::delay(self.failures, error.retry_after())).await;
                }
                Err(error) => return Err(error),
            }
        }
    }

    async fn step(&mut self) -> Result<Option<Event>, Error> {
        if std::mem::take(&mut self.has_ended) {
            return Ok(Some(Event::End));
        }
        let Some(call) = &mut self.call else {
            self.call = Some(self.begin().await?);
            return Ok(None);
        };
        let (message, node) = match call {
            Call::Following(messages, node) => {
                let message = timeout(SILENCE_MAX, messages.message()).await;
                (message.map(|message| message.map(|some| some.and_then(|response| response.event))), &*node)
            }
            Call::Once(messages, node) => {
                let message = timeout(SILENCE_MAX, messages.message()).await;
                let to_event = |some: Option<_>| some.map(subscribe_response::Event::Records);
                (message.map(|message| message.map(to_event)), &*node)
            }
        };
        let message = message.unwrap_or_else(|_| Err(tonic::Status::deadline_exceeded("nothing comes")));
        let message = message.map_err(Error::from).inspect_err(|error| node.blame(error))?;
        // A message proves that reading works; an accepted call does not.
        self.failures = 0;
        self.succeeded = Instant::now();
        match message {
            Some(subscribe_response::Event::Records(response)) => self.take(response).await,
            Some(subscribe_response::Event::End(_)) => Ok(Some(Event::End)),
            None if self.source.following => Err(Error::new(Reason::Unavailable, "the subscription ended")),
            None => Ok(Some(Event::Tip)),
        }
    }

    async fn begin(&self) -> Result<Call, Error> {
        let node = self.source.connection.node_for_stream();
        let stream = self.source.stream.clone();
        if !self.source.following {
            let (shard_id, from) = (self.shard_id.clone(), Some(self.from.clone()));
            let request = node.request(v1::ReadRequest { stream, shard_id, from, records_max: 0 });
            return Ok(Call::Once(node.answer(node.records().read(request)).await?, node));
        }
        let shard = v1::ShardPosition { shard_id: self.shard_id.clone(), from: Some(self.from.clone()) };
        let request = node.request(v1::SubscribeRequest {
            stream,
            consumer: self.source.consumer.clone(),
            shards: vec![shard],
            from: None,
            follow_reshards: false,
        });
        Ok(Call::Following(node.answer(node.records().subscribe(request)).await?, node))
    }

    /// Takes the records of a message. The position moves on only once everything in it is at hand.
    async fn take(&mut self, response: v1::ReadResponse) -> Result<Option<Event>, Error> {
        let v1::ReadResponse { records: came, millis_behind_latest, continuation, end } = response;
        let mut records = Vec::with_capacity(came.len());
        let last = came.last().map(|record| record.sequence_number.clone());
        for record in came {
            let opened = Opened::new(record, self.source.deaggregating);
            if matches!(opened, Opened::Aggregated(_)) && self.range.is_none() {
                self.range = self.source.range(&self.shard_id).await?;
            }
            records.extend(opened.into_records(self.range.as_ref()));
        }
        let sequence_number = last.unwrap_or_else(|| continuation.clone());
        if !continuation.is_empty() {
            self.from = Position::AfterSequenceNumber(continuation).into();
        }
        self.has_ended = end.is_some();
        if records.is_empty() {
            return Ok(std::mem::take(&mut self.has_ended).then_some(Event::End));
        }
        metrics::counter!(crate::metrics::RECORDS_READ).increment(records.len() as u64);
        Ok(Some(Event::Records(Read { records, sequence_number, millis_behind_latest })))
    }
}
