//! Appending: records to shards, shards to groups, groups to ordinals.
//!
//! The hot path. Per record: a route, a charge and one decode into its sub-batch's buffer, the only copy between
//! the request's body and the write-ahead log. Allocations are per request and per shard touched.

use std::sync::Arc;
use std::time::Duration;

use base64_simd::AppendBase64Decode;
use bytes::Bytes;
use tidelog_storage::record;
use tidelog_storage::shard::ShardKey;
use tokio::time::Instant;

use super::Service;
use crate::model::stream::{Shard, Stream};
use crate::replication::{AppendOutcome, ProposeError, SubBatch};

/// How long a put waits for its outcome before the client is told that it is unknown.
const OUTCOME_DEADLINE: Duration = Duration::from_secs(20);

/// A record on its way in, already validated.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct NewRecord<'a> {
    /// MD5 of the partition key, or the explicit hash key.
    pub hash_key: u128,
    /// 1 to 256 characters.
    pub partition_key: Option<&'a str>,
    /// The data.
    pub data: Payload<'a>,
}

/// A record's data as the codec left it.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Payload<'a> {
    /// Standard base64 with padding, checked.
    Base64 {
        /// The text.
        text: &'a str,
        /// Bytes it decodes to.
        decoded_len: usize,
    },
    /// The bytes themselves.
    Raw(&'a [u8]),
}

impl Payload<'_> {
    /// Bytes of data.
    pub fn len(&self) -> usize {
        match self {
            Self::Base64 { decoded_len, .. } => *decoded_len,
            Self::Raw(bytes) => bytes.len(),
        }
    }

    /// True for no data at all.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

impl NewRecord<'_> {
    fn key(&self) -> &[u8] {
        self.partition_key.unwrap_or_default().as_bytes()
    }

    /// What limits count: data and key.
    fn bytes(&self) -> usize {
        self.data.len() + self.key().len()
    }
}

/// Where a record landed; enough for its sequence number.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Placed {
    /// The shard's index.
    pub shard: u32,
    /// The shard's creation second.
    pub created_s: u64,
    /// The record's ordinal in the shard.
    pub ordinal: u64,
    /// Arrival, milliseconds since the epoch.
    pub time_ms: u64,
}

/// Why a record was not taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AppendRefusal {
    /// Its shard's write limit is exceeded; nothing was written.
    Throttled {
        /// The shard's index.
        shard: u32,
    },
    /// It may have been written or not.
    Unknown,
    /// It was not written; the same request may succeed later.
    Unavailable,
}

/// The accepted records of one shard, on their way.
struct Journey {
    shard: u32,
    created_s: u64,
    /// Positions of its records in the request, ascending.
    records: Vec<u32>,
}

/// What goes to one group.
struct GroupPart {
    group: u8,
    batches: Vec<SubBatch>,
    /// One per sub-batch.
    journeys: Vec<Journey>,
}

/// Whether records are charged to their shard's budget.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Charge {
    Whole,
    /// The shard's parent was charged before it was sealed.
    Paid,
}

impl Service {
    /// Appends records, in order per shard. One result per record; it never fails as a whole. Records whose shard is
    /// sealed meanwhile wait for its children and go there.
    pub async fn append(
        &self,
        stream: &Stream,
        records: &[NewRecord<'_>],
    ) -> Vec<Result<Placed, AppendRefusal>> {
        let mut results = vec![Err(AppendRefusal::Unavailable); records.len()];
        if self.put_refusal().is_some() {
            return results;
        }
        let deadline = Instant::now() + OUTCOME_DEADLINE;
        let all = 0..records.len() as u32;
        let parts = self.encode(stream, records, all, Charge::Whole, &mut results);
        let mut sealed = self.send(parts, deadline, &mut results).await;
        while !sealed.is_empty() {
            let Some(stream) = self.successor(stream.uid, &sealed, deadline).await else {
                refuse(&mut results, &sealed, AppendRefusal::Unavailable);
                break;
            };
            let mut late: Vec<u32> = sealed.iter().flat_map(|journey| &journey.records).copied().collect();
            late.sort_unstable();
            let parts = self.encode(&stream, records, late, Charge::Paid, &mut results);
            sealed = self.send(parts, deadline, &mut results).await;
        }
        results
    }

    /// Sends parts to their groups and notes what became of them. Returns what met a sealed shard.
    async fn send(
        &self,
        parts: Vec<GroupPart>,
        deadline: Instant,
        results: &mut [Result<Placed, AppendRefusal>],
    ) -> Vec<Journey> {
        let mut waiting = Vec::with_capacity(parts.len());
        for part in parts {
            waiting.push((self.groups.append(part.group, part.batches).await, part.journeys));
        }
        let mut sealed = Vec::new();
        for (outcome, journeys) in waiting {
            match tokio::time::timeout_at(deadline, outcome).await {
                Ok(Ok(Ok(outcomes))) => place(results, outcomes, journeys, &mut sealed),
                Ok(Ok(Err(ProposeError::NotProposed))) => {
                    refuse(results, &journeys, AppendRefusal::Unavailable);
                }
                _ => refuse(results, &journeys, AppendRefusal::Unknown),
            }
        }
        sealed
    }

    /// The stream once all of those shards are closed and their children are in sight; `None` when it is gone, or when
    /// the deadline has passed.
    async fn successor(&self, uid: u64, sealed: &[Journey], deadline: Instant) -> Option<Arc<Stream>> {
        let is_closed = |stream: &Stream| {
            let is_open = |index| stream.shard(index).is_some_and(|shard| shard.closed_ms.is_none());
            !sealed.iter().any(|journey| is_open(journey.shard))
        };
        let mut catalogs = self.groups.watch_catalog();
        let reseated =
            catalogs.wait_for(|catalog| catalog.by_uid(uid).is_none_or(|stream| is_closed(stream)));
        let catalog = tokio::time::timeout_at(deadline, reseated).await.ok()?.ok()?;
        catalog.by_uid(uid).cloned()
    }

    /// Routes and charges the chosen records and encodes the accepted ones, by group.
    fn encode(
        &self,
        stream: &Stream,
        records: &[NewRecord<'_>],
        chosen: impl IntoIterator<Item = u32>,
        charge: Charge,
        results: &mut [Result<Placed, AppendRefusal>],
    ) -> Vec<GroupPart> {
        let now_ms = self.now_ms();
        let mut order: Vec<(u32, u32)> = Vec::with_capacity(records.len());
        for index in chosen {
            let Some(position) = stream.route_position(records[index as usize].hash_key) else { continue };
            order.push((position as u32, index));
        }
        order.sort_unstable();
        let mut parts: Vec<GroupPart> = Vec::new();
        for of_shard in order.chunk_by(|a, b| a.0 == b.0) {
            let shard = &stream.shards[of_shard[0].0 as usize];
            let accepted = match charge {
                Charge::Whole => self.charge(stream, shard, of_shard, records, results, now_ms),
                Charge::Paid => of_shard.iter().map(|(_, index)| *index).collect(),
            };
            if accepted.is_empty() {
                continue;
            }
            let batch = encode_batch(stream, shard, &accepted, records, now_ms);
            let journey = Journey { shard: shard.index, created_s: shard.created_s, records: accepted };
            match parts.iter_mut().find(|part| part.group == shard.group) {
                Some(part) => {
                    part.batches.push(batch);
                    part.journeys.push(journey);
                }
                None => parts.push(GroupPart {
                    group: shard.group,
                    batches: vec![batch],
                    journeys: vec![journey],
                }),
            }
        }
        parts
    }

    /// Charges a shard's budget; records past it are refused, each alone.
    fn charge(
        &self,
        stream: &Stream,
        shard: &Shard,
        of_shard: &[(u32, u32)],
        records: &[NewRecord<'_>],
        results: &mut [Result<Placed, AppendRefusal>],
        now_ms: u64,
    ) -> Vec<u32> {
        let limits = self.shard_limits();
        let budget = self.budgets(stream).of(shard);
        let mut budget = budget.lock().expect("no code panics while it holds this lock");
        let mut accepted = Vec::with_capacity(of_shard.len());
        let mut bytes = 0;
        for (_, index) in of_shard {
            let record = &records[*index as usize];
            if budget.charge_write(&limits, now_ms, record.bytes() as u64).is_ok() {
                bytes += record.bytes();
                accepted.push(*index);
            } else {
                results[*index as usize] = Err(AppendRefusal::Throttled { shard: shard.index });
            }
        }
        drop(budget);
        let refused = of_shard.len() - accepted.len();
        if refused > 0 {
            self.meters.write_throttled_records.increment(refused as u64);
        }
        self.meters.incoming_records.increment(accepted.len() as u64);
        self.meters.incoming_bytes.increment(bytes as u64);
        if let Some(counts) = self.shard_counts.of(stream, shard) {
            counts.note_put(accepted.len(), bytes, refused);
        }
        accepted
    }
}

fn encode_batch(
    stream: &Stream,
    shard: &Shard,
    accepted: &[u32],
    records: &[NewRecord<'_>],
    now_ms: u64,
) -> SubBatch {
    let chosen = || accepted.iter().map(|index| &records[*index as usize]);
    let bytes = chosen().map(|record| record::encoded_len(record.key().len(), record.data.len())).sum();
    let mut body = Vec::with_capacity(bytes);
    for record in chosen() {
        record::encode_header(&mut body, record.key().len(), record.data.len());
        body.extend_from_slice(record.key());
        match record.data {
            Payload::Raw(data) => body.extend_from_slice(data),
            Payload::Base64 { text, .. } => {
                Vec::append_base64_decode(&base64_simd::STANDARD, text.as_bytes(), &mut body)
                    .expect("the codec has checked the text");
            }
        }
    }
    assert_eq!(body.len(), bytes, "a record's encoding has the length it announced");
    let key = ShardKey { stream_uid: stream.uid, shard: shard.index };
    SubBatch::new(key, now_ms, accepted.len() as u32, Bytes::from(body))
}

fn place(
    results: &mut [Result<Placed, AppendRefusal>],
    outcomes: Vec<AppendOutcome>,
    journeys: Vec<Journey>,
    sealed: &mut Vec<Journey>,
) {
    assert_eq!(outcomes.len(), journeys.len(), "one outcome per sub-batch");
    for (outcome, journey) in outcomes.into_iter().zip(journeys) {
        let (first_ordinal, time_ms) = match outcome {
            AppendOutcome::Placed { first_ordinal, time_ms } => (first_ordinal, time_ms),
            AppendOutcome::Sealed => {
                sealed.push(journey);
                continue;
            }
            AppendOutcome::NoSuchShard => {
                refuse(results, &[journey], AppendRefusal::Unavailable);
                continue;
            }
        };
        for (index, ordinal) in journey.records.into_iter().zip(first_ordinal..) {
            let placed = Placed { shard: journey.shard, created_s: journey.created_s, ordinal, time_ms };
            results[index as usize] = Ok(placed);
        }
    }
}

fn refuse(results: &mut [Result<Placed, AppendRefusal>], journeys: &[Journey], refusal: AppendRefusal) {
    for index in journeys.iter().flat_map(|journey| &journey.records) {
        results[*index as usize] = Err(refusal);
    }
}
