//! Reading all shards of a stream at once: a call to each per poll, merged by time of arrival.

use std::collections::HashMap;
use std::ops::RangeInclusive;
use std::sync::Arc;

use futures_util::stream::{self, StreamExt};

use super::sequence::Sequence;
use super::show::Shown;
use crate::command::CommandError;
use crate::command::shards::listed;
use tidelog_kinesis::operations::{
    ChildShard, GetRecords, GetRecordsAnswer, GetShardIterator, HashKeyRange, SequenceNumberRange, Shard,
    StartingPosition,
};
use tidelog_kinesis::{Client, KinesisError, Timestamp};

/// How many shards are asked at once.
const CALLS_MAX: usize = 32;
/// How many records a poll may bring altogether, so that many shards do not fill the memory.
const RECORDS_MAX: usize = 40_000;
/// Bounds of GetRecords.
const LIMIT_MIN: usize = 100;
const LIMIT_MAX: usize = 10_000;

/// Where a shard goes on.
#[derive(Clone, Debug, Default)]
struct Position {
    iterator: Option<String>,
    /// Number of the last record.
    last: Option<String>,
    /// Latest arrival so far: arrivals may go back a little within a shard, and its order counts more.
    arrival: Timestamp,
    /// Whether the last call brought the newest record.
    is_at_tip: bool,
}

/// Reads a stream.
#[derive(Debug)]
pub(super) struct Reader<'a> {
    client: &'a Client,
    stream: &'a str,
    follows: bool,
    is_restricted: bool,
    /// Records that arrived at that time or later are not wanted.
    until: Option<Timestamp>,
    /// Shown with each record, where several streams are read.
    label: Option<Arc<str>>,
    sequence: Sequence,
    positions: HashMap<String, Position>,
}

/// The outcome of one call to a shard.
type Answered = (Shard, Result<GetRecordsAnswer, KinesisError>);

impl<'a> Reader<'a> {
    pub(super) fn new(
        client: &'a Client,
        stream: &'a str,
        position: StartingPosition,
        follows: bool,
    ) -> Self {
        let sequence = Sequence::new(position);
        let (is_restricted, until, label, positions) = (false, None, None, HashMap::new());
        Self { client, stream, follows, is_restricted, until, label, sequence, positions }
    }

    /// The shards that are there.
    pub(super) fn begin(&mut self, shards: Vec<Shard>) {
        self.sequence.take(shards);
    }

    /// Whether shards that come of these are left out.
    pub(super) fn restrict(&mut self, is_restricted: bool) {
        self.is_restricted = is_restricted;
    }

    /// Ends each shard at that time.
    pub(super) fn end_at(&mut self, until: Timestamp) {
        self.until = Some(until);
    }

    /// Names the stream in each record.
    pub(super) fn label(&mut self) {
        self.label = Some(self.stream.into());
    }

    /// Whether every shard that is read was at its newest record at the last call.
    pub(super) fn is_at_tip(&mut self) -> bool {
        let reading = self.sequence.reading();
        reading.iter().all(|(shard, _)| self.positions.get(&shard.shard_id).is_some_and(|own| own.is_at_tip))
    }

    /// Whether there may be more.
    pub(super) fn is_going_on(&self) -> bool {
        self.sequence.is_going_on()
    }

    /// A call to each shard that is to be read now; their records, by time of arrival.
    pub(super) async fn poll(&mut self) -> Result<Vec<Shown>, CommandError> {
        let reading = self.sequence.reading();
        let limit = (RECORDS_MAX / reading.len().max(1)).clamp(LIMIT_MIN, LIMIT_MAX);
        let calls = reading.into_iter().map(|(shard, start)| {
            let position = self.positions.get(&shard.shard_id).cloned().unwrap_or_default();
            let (client, stream) = (self.client, self.stream);
            async move {
                let answer = read(client, stream, &shard.shard_id, start, &position, limit).await;
                (shard, answer)
            }
        });
        let answers: Vec<Answered> = stream::iter(calls).buffered(CALLS_MAX).collect().await;
        let mut dated = Vec::new();
        for (shard, answer) in answers {
            match answer {
                Ok(answer) => self.take(&shard, answer, &mut dated).await?,
                Err(error) => self.missed(&shard, error).await?,
            }
        }
        // Stable, so that each shard's records keep their order.
        dated.sort_by_key(|(arrival, _)| *arrival);
        Ok(dated.into_iter().map(|(_, shown)| shown).collect())
    }

    async fn take(
        &mut self,
        shard: &Shard,
        answer: GetRecordsAnswer,
        dated: &mut Vec<(Timestamp, Shown)>,
    ) -> Result<(), CommandError> {
        let range: Option<RangeInclusive<u128>> =
            shard.hash_key_range.bounds().map(|(first, last)| first..=last);
        let position = self.positions.entry(shard.shard_id.clone()).or_default();
        let mut is_past_end = false;
        for record in &answer.records {
            position.arrival = position.arrival.max(record.approximate_arrival_timestamp);
            is_past_end = self.until.is_some_and(|until| position.arrival >= until);
            if is_past_end {
                break;
            }
            let parts = Shown::parts(&shard.shard_id, record, range.as_ref());
            let parts = parts.into_iter().map(|shown| Shown { stream: self.label.clone(), ..shown });
            dated.extend(parts.map(|shown| (position.arrival, shown)));
        }
        if let Some(last) = answer.records.last() {
            position.last = Some(last.sequence_number.clone());
        }
        let is_ended = answer.next_shard_iterator.is_none();
        position.iterator = answer.next_shard_iterator;
        // An endpoint that does not say how far behind this is has nothing left when it brings nothing.
        let is_at_tip = answer.millis_behind_latest.map_or(answer.records.is_empty(), |millis| millis == 0);
        position.is_at_tip = is_at_tip;
        let now = Timestamp(jiff::Timestamp::now().as_millisecond());
        is_past_end |= is_at_tip && self.until.is_some_and(|until| now >= until);
        if is_past_end {
            self.sequence.finish(&shard.shard_id);
            Ok(())
        } else if is_ended {
            self.end(shard, answer.child_shards).await
        } else {
            // A closed shard ends by itself, and its children wait for that.
            if is_at_tip && !self.follows && shard.is_open() {
                self.sequence.finish(&shard.shard_id);
            }
            Ok(())
        }
    }

    /// The shard is read to its end: its children are next.
    async fn end(&mut self, shard: &Shard, children: Vec<ChildShard>) -> Result<(), CommandError> {
        self.sequence.finish(&shard.shard_id);
        self.positions.remove(&shard.shard_id);
        if self.is_restricted
            || (children.iter().all(|child| self.sequence.knows(&child.shard_id)) && !shard.is_open())
        {
            return Ok(());
        }
        self.sequence.take(listed(self.client, self.stream).await?);
        // A list may lag behind.
        let missing = children.into_iter().filter(|child| !self.sequence.knows(&child.shard_id));
        let missing: Vec<_> = missing.map(unlisted).collect();
        self.sequence.take(missing);
        Ok(())
    }

    /// A call failed: the iterator is too old, the shard has expired, or it is serious.
    async fn missed(&mut self, shard: &Shard, error: KinesisError) -> Result<(), CommandError> {
        match error.exception() {
            Some("ExpiredIteratorException") => {
                self.positions.entry(shard.shard_id.clone()).or_default().iterator = None;
                Ok(())
            }
            Some("ResourceNotFoundException") => {
                let there = listed(self.client, self.stream).await?;
                if there.iter().any(|other| other.shard_id == shard.shard_id) {
                    return Err(CommandError::of_call(self.client, None, error).await);
                }
                self.sequence.finish(&shard.shard_id);
                if !self.is_restricted {
                    self.sequence.take(there);
                }
                Ok(())
            }
            _ => Err(CommandError::of_call(self.client, Some(self.stream), error).await),
        }
    }
}

async fn read(
    client: &Client,
    stream: &str,
    shard: &str,
    start: StartingPosition,
    position: &Position,
    limit: usize,
) -> Result<GetRecordsAnswer, KinesisError> {
    let shard_iterator = match (&position.iterator, &position.last) {
        (Some(iterator), _) => iterator.clone(),
        (None, last) => {
            let position =
                last.clone().map_or(start, |number| StartingPosition::AfterSequenceNumber { number });
            let (stream_name, shard_id) = (stream.into(), shard.into());
            client.call(&GetShardIterator { stream_name, shard_id, position }).await?.shard_iterator
        }
    };
    client.call(&GetRecords { shard_iterator, limit: u32::try_from(limit).ok() }).await
}

/// A shard of which only its parents are known.
fn unlisted(child: ChildShard) -> Shard {
    let mut parents = child.parent_shards.into_iter();
    Shard {
        shard_id: child.shard_id,
        parent_shard_id: parents.next(),
        adjacent_parent_shard_id: parents.next(),
        // Every hash key, so that nothing is left out.
        hash_key_range: HashKeyRange {
            starting_hash_key: "0".into(),
            ending_hash_key: u128::MAX.to_string(),
        },
        sequence_number_range: SequenceNumberRange {
            starting_sequence_number: "0".into(),
            ending_sequence_number: None,
        },
    }
}
