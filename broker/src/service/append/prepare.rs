//! Prepares the records of a request: routes them by their hash keys, charges those whose shard this node leads, and
//! encodes them once, into the parts of the groups.
//!
//! Per record: a route, a charge and one decode into its sub-batch's buffer, the only copy between the request's body
//! and the write-ahead log. Called by [`crate::service::append`]; charging also by [`super::receive`], for records that
//! another node has encoded.

use base64_simd::AppendBase64Decode;
use bytes::Bytes;
use tidelog_storage::record;
use tidelog_storage::shard::ShardKey;

use super::outcomes::SentRecords;
use super::{AppendFailure, AppendedRecord, Appender, NewRecord, Payload};
use crate::model::producer::Stamp;
use crate::model::stream::{Shard, Stream};
use crate::replication::{Leader, Origin, SubBatch};

/// The records of a request that belong to one group.
pub struct GroupPart {
    /// The group.
    pub group: u8,
    /// At least one sub-batch.
    pub batches: Vec<SubBatch>,
    /// The records of each sub-batch.
    pub sent: Vec<SentRecords>,
    /// The node that proposes the sub-batches.
    pub proposer: Proposer,
    /// True if this node has charged the records already, as it always has for [`Proposer::ThisNode`].
    pub is_charged: bool,
}

/// The node that proposes a part.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Proposer {
    /// This node, which leads the group: the part goes into the group's queue.
    ThisNode,
    /// The leader of the group, which is looked for when the part is sent. By then it may be this node.
    Leader,
}

/// Whether records still have to be charged to their shard's budget.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ChargeStatus {
    /// The leader of the group charges the records.
    Due,
    /// The records were charged before their shard was sealed or its leader changed.
    Done,
}

/// The unit that a shard's budget takes or refuses.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ChargeUnit {
    /// Each record by itself.
    Record,
    /// All records together, because those of a producer's batch are written together.
    Batch,
}

impl ChargeUnit {
    /// The unit of records with or without a producer's stamp.
    pub fn of(is_stamped: bool) -> Self {
        if is_stamped { Self::Batch } else { Self::Record }
    }
}

impl Appender {
    /// Routes the chosen records, charges those whose shard this node leads, and encodes the accepted ones, by group.
    pub(in crate::service) fn prepare(
        &self,
        stream: &Stream,
        records: &[NewRecord<'_>],
        chosen: impl IntoIterator<Item = u32>,
        stamp: Option<&Stamp>,
        charge: ChargeStatus,
        results: &mut [Result<AppendedRecord, AppendFailure>],
    ) -> Vec<GroupPart> {
        let now_ms = self.groups.clock().now_ms();
        let leaders = self.groups.leadership().leaders();
        let mut order: Vec<(u32, u32)> = Vec::with_capacity(records.len());
        for index in chosen {
            let hash_key = match stamp {
                // A retry goes to the shard of the first attempt.
                Some(stamp) if stream.is_auto_distributed => stamp.hash_key(index),
                _ => records[index as usize].hash_key,
            };
            let Some(position) = stream.route_position(hash_key) else { continue };
            order.push((position as u32, index));
        }
        order.sort_unstable();
        let mut parts: Vec<GroupPart> = Vec::new();
        for of_shard in order.chunk_by(|a, b| a.0 == b.0) {
            let shard = &stream.shards[of_shard[0].0 as usize];
            let is_local = charge == ChargeStatus::Due && leaders[usize::from(shard.group)] == Leader::Here;
            // Records that cannot be taken are not charged.
            if is_local && let Some(refusal) = self.gate.refusal() {
                self.gate.count(refusal, of_shard.len() as u64);
                continue;
            }
            let indices = of_shard.iter().map(|(_, index)| *index);
            let accepted: Vec<u32> = if is_local {
                let sized = indices.map(|index| (index, records[index as usize].bytes()));
                let refused = AppendFailure::Throttled { shard: shard.index };
                let unit = ChargeUnit::of(stamp.is_some());
                let refuse = |index| results[index as usize] = Err(refused);
                self.charge((stream, shard), now_ms, unit, sized, refuse)
            } else {
                indices.collect()
            };
            if accepted.is_empty() {
                continue;
            }
            let origin = stamp.map(|stamp| Origin {
                stamp: *stamp,
                positions: accepted.iter().copied().collect(),
                created_s: shard.created_s,
            });
            let batch = encode_batch(stream, shard, &accepted, records, now_ms).with_origin(origin);
            let sent = SentRecords { shard: shard.index, created_s: shard.created_s, records: accepted };
            match parts.iter_mut().find(|part| part.group == shard.group) {
                Some(part) => {
                    part.batches.push(batch);
                    part.sent.push(sent);
                }
                None => parts.push(GroupPart {
                    group: shard.group,
                    batches: vec![batch],
                    sent: vec![sent],
                    proposer: if is_local { Proposer::ThisNode } else { Proposer::Leader },
                    is_charged: is_local || charge == ChargeStatus::Done,
                }),
            }
        }
        parts
    }

    /// Charges records, listed by number and bytes, to the budget of their shard. Records beyond the budget are
    /// refused, each alone or all together. Returns the numbers of the others.
    pub(in crate::service) fn charge(
        &self,
        (stream, shard): (&Stream, &Shard),
        now_ms: u64,
        unit: ChargeUnit,
        records: impl ExactSizeIterator<Item = (u32, usize)> + Clone,
        mut refuse: impl FnMut(u32),
    ) -> Vec<u32> {
        let limits = self.accounts.limits;
        let budget = self.accounts.budgets.of(stream).of(shard);
        let mut budget = budget.lock().expect("no code panics while it holds this lock");
        let count = records.len();
        let mut accepted = Vec::with_capacity(count);
        let mut accepted_bytes = 0;
        let admits_batch = unit == ChargeUnit::Batch && {
            let bytes = records.clone().map(|(_, bytes)| bytes as u64).sum();
            budget.charge_writes(&limits, now_ms, count as u64, bytes).is_ok()
        };
        for (index, bytes) in records {
            let passes = match unit {
                ChargeUnit::Record => budget.charge_write(&limits, now_ms, bytes as u64).is_ok(),
                ChargeUnit::Batch => admits_batch,
            };
            if passes {
                accepted_bytes += bytes;
                accepted.push(index);
            } else {
                refuse(index);
            }
        }
        drop(budget);
        let refused = count - accepted.len();
        if refused > 0 {
            self.accounts.meters.write_throttled_records.increment(refused as u64);
            self.accounts.stream_refusals.note_records(stream, refused);
        }
        self.accounts.meters.incoming_records.increment(accepted.len() as u64);
        self.accounts.meters.incoming_bytes.increment(accepted_bytes as u64);
        if let Some(counts) = self.accounts.shard_counts.of(stream, shard) {
            counts.note_put(accepted.len(), accepted_bytes, refused);
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
