//! Records that wait, in lanes: one for each open shard, as far as the shards are known. Decides which records go
//! into which batch and when; time is passed in. Owned by `driver`.
//!
//! Invariant: no two batches under way share a hash key. A lane whose hash keys are in a batch waits until that is
//! settled, also when the lane came into being since, by a reshard. Records that come back from a batch go before
//! everything else in its lane. So the records of a key never overtake each other.

use std::collections::VecDeque;
use std::ops::RangeInclusive;

use tokio::time::Instant;

use super::batch::{Batch, Entry, State};
use super::options::Limits;
use super::receipt::Pending;
use crate::aggregation::Aggregate;
use crate::backoff;
use crate::error::Error;
use crate::shards::Shards;

/// Batches under way.
pub(super) const BATCHES_MAX: usize = 64;

/// All lanes; together they cover every hash key once.
#[derive(Debug)]
pub(super) struct Lanes {
    /// By their first hash key.
    lanes: Vec<Lane>,
    in_flight: Vec<RangeInclusive<u128>>,
    limits: Limits,
}

#[derive(Debug)]
struct Lane {
    range: RangeInclusive<u128>,
    shard_id: Option<String>,
    /// A producer of its own to the broker, so that a lane that is stuck keeps no other from settling.
    producer: u64,
    batches: u64,
    pending: VecDeque<Pending>,
    pending_bytes: usize,
    /// Batches under way that share hash keys with it.
    blocked_by: usize,
    failures: u32,
    not_before: Option<Instant>,
    /// Less than the limit while an invalid record is looked for.
    records_max: usize,
}

impl Lanes {
    /// One lane, until the shards are known.
    pub fn new(limits: Limits) -> Self {
        let lanes = vec![Lane::new(0..=u128::MAX, None, limits.batch_records_max)];
        Self { lanes, in_flight: Vec::new(), limits }
    }

    /// Nothing waits and nothing is under way.
    pub fn are_idle(&self) -> bool {
        self.in_flight.is_empty() && self.lanes.iter().all(|lane| lane.pending.is_empty())
    }

    /// Takes a record behind those of its lane.
    pub fn push(&mut self, pending: Pending) {
        let at = self.at(pending.hash_key);
        let lane = &mut self.lanes[at];
        lane.pending_bytes += pending.record.bytes();
        lane.pending.push_back(pending);
    }

    /// Makes the lanes those of the shards that are open now. Lanes whose shard is the same stay as they are.
    pub fn reshape(&mut self, shards: &Shards) {
        let open = shards.open();
        if open.is_empty() {
            return;
        }
        let mut old = std::mem::take(&mut self.lanes);
        for (at, shard) in open.iter().enumerate() {
            let start = if at == 0 { 0 } else { *shard.range.start() };
            let end = open.get(at + 1).map_or(u128::MAX, |next| next.range.start() - 1);
            let same =
                |lane: &Lane| lane.range == (start..=end) && lane.shard_id.as_ref() == Some(&shard.shard_id);
            self.lanes.push(match old.iter().position(same) {
                Some(kept) => old.swap_remove(kept),
                None => Lane::new(start..=end, Some(shard.shard_id.clone()), self.limits.batch_records_max),
            });
        }
        let mut moved: Vec<Pending> = old.into_iter().flat_map(|lane| lane.pending).collect();
        moved.sort_by_key(|pending| pending.order);
        moved.into_iter().for_each(|pending| self.push(pending));
        for lane in &mut self.lanes {
            lane.blocked_by = self.in_flight.iter().filter(|range| overlap(range, &lane.range)).count();
        }
    }

    /// A batch that is due now, if there is one.
    pub fn next_batch(&mut self, now: Instant, flushing: bool) -> Option<Batch> {
        if self.in_flight.len() >= BATCHES_MAX {
            return None;
        }
        let limits = &self.limits;
        let due = self.lanes.iter_mut().filter_map(|lane| Some((lane.due(limits, flushing)?, lane)));
        // The lane that has waited longest goes first, so that none starves where there are more lanes than
        // batches.
        let (_, lane) = due.filter(|(due, _)| *due <= now).min_by_key(|(due, _)| *due)?;
        let batch = lane.take_batch(limits);
        for other in &mut self.lanes {
            other.blocked_by += usize::from(overlap(&other.range, &batch.range));
        }
        self.in_flight.push(batch.range.clone());
        Some(batch)
    }

    /// A batch is settled: its hash keys are free, and the records that it gives back come first.
    pub fn settle(
        &mut self,
        range: &RangeInclusive<u128>,
        returned: Vec<Pending>,
        failed: Option<&Error>,
        now: Instant,
    ) {
        let at = self.in_flight.iter().position(|other| other == range).expect("it is under way");
        self.in_flight.swap_remove(at);
        let limit = self.limits.batch_records_max;
        for lane in self.lanes.iter_mut().filter(|lane| overlap(&lane.range, range)) {
            lane.blocked_by -= 1;
            if returned.is_empty() {
                lane.failures = 0;
                lane.not_before = None;
                lane.records_max = lane.records_max.saturating_mul(2).min(limit);
            } else if let Some(error) = failed {
                lane.failures += 1;
                lane.not_before = Some(now + backoff::delay(lane.failures, error.retry_after()));
            }
        }
        for pending in returned.into_iter().rev() {
            let at = self.at(pending.hash_key);
            self.lanes[at].put_back(pending);
        }
    }

    /// Looks for an invalid record among those with these hash keys, in batches of half the size.
    pub fn split(&mut self, range: &RangeInclusive<u128>, records: usize) {
        for lane in self.lanes.iter_mut().filter(|lane| overlap(&lane.range, range)) {
            lane.records_max = (records / 2).max(1);
            lane.not_before = None;
        }
    }

    /// Fails records whose delivery timeout has passed before they were sent.
    pub fn expire(&mut self, now: Instant) {
        for lane in &mut self.lanes {
            while lane.pending.front().is_some_and(|pending| pending.is_late(now)) {
                lane.pop().expect("one is there").expire();
            }
        }
    }

    /// When there is something to do next, unless something else happens.
    pub fn wake_at(&self, flushing: bool) -> Option<Instant> {
        let is_full = self.in_flight.len() >= BATCHES_MAX;
        let deadlines = self.lanes.iter().filter_map(|lane| lane.pending.front()).map(|front| front.deadline);
        let due = self.lanes.iter().filter_map(|lane| lane.due(&self.limits, flushing)).filter(|_| !is_full);
        deadlines.chain(due).min()
    }

    fn at(&self, hash_key: u128) -> usize {
        self.lanes.partition_point(|lane| *lane.range.end() < hash_key)
    }
}

impl Lane {
    fn new(range: RangeInclusive<u128>, shard_id: Option<String>, records_max: usize) -> Self {
        Self {
            range,
            shard_id,
            producer: rand::random_range(1..=u64::MAX),
            batches: 0,
            pending: VecDeque::new(),
            pending_bytes: 0,
            blocked_by: 0,
            failures: 0,
            not_before: None,
            records_max,
        }
    }

    /// When the next batch may go, as things are.
    fn due(&self, limits: &Limits, flushing: bool) -> Option<Instant> {
        let front = self.pending.front().filter(|_| self.blocked_by == 0)?;
        let is_due = flushing
            || front.failed.is_some()
            || self.pending.len() >= self.records_max
            || self.pending_bytes >= limits.batch_bytes_max;
        let due = if is_due { front.accepted } else { front.accepted + limits.linger };
        Some(self.not_before.map_or(due, |not_before| due.max(not_before)))
    }

    fn take_batch(&mut self, limits: &Limits) -> Batch {
        self.batches += 1;
        let aggregated = limits.aggregate_bytes_max.and_then(|bytes_max| self.take_aggregate(bytes_max));
        let entries = match aggregated {
            Some(entry) => vec![entry],
            None => self.take_plain(limits),
        };
        Batch {
            range: self.range.clone(),
            shard_id: self.shard_id.clone(),
            producer: self.producer,
            number: self.batches,
            entries,
            failed: None,
        }
    }

    /// Records as they are. With aggregation on these are only the ones that cannot be aggregated.
    fn take_plain(&mut self, limits: &Limits) -> Vec<Entry> {
        let mut entries = Vec::new();
        let mut bytes = 0;
        while let Some(front) = self.pending.front() {
            bytes += front.record.bytes();
            let is_full = entries.len() >= self.records_max || bytes > limits.batch_bytes_max;
            if is_full && !entries.is_empty() {
                break;
            }
            let wire = front.record.to_wire();
            let members = vec![self.pop().expect("one is in front")];
            entries.push(Entry { wire, members, is_aggregate: false, state: State::Unsent });
            if limits.aggregate_bytes_max.is_some() {
                break;
            }
        }
        entries
    }

    /// Takes as many of the first records as fit into one aggregated record, if it is two at least. The
    /// aggregate is alone in its batch: when the shard has been split, part of it has to be written again,
    /// which must not come after anything newer.
    fn take_aggregate(&mut self, bytes_max: usize) -> Option<Entry> {
        self.shard_id.as_ref()?;
        let mut aggregate = Aggregate::new();
        for pending in self.pending.iter().take(self.records_max) {
            let Some(part) = pending.record.to_part().filter(|part| aggregate.bytes_with(part) <= bytes_max)
            else {
                break;
            };
            aggregate.push(part);
        }
        if aggregate.len() < 2 {
            return None;
        }
        let mut wire = self.pending.front().expect("two are there").record.to_wire();
        let members: Vec<Pending> = (0..aggregate.len()).filter_map(|_| self.pop()).collect();
        wire.data = aggregate.finish();
        Some(Entry { wire, members, is_aggregate: true, state: State::Unsent })
    }

    fn pop(&mut self) -> Option<Pending> {
        let pending = self.pending.pop_front()?;
        self.pending_bytes -= pending.record.bytes();
        Some(pending)
    }

    /// Before everything that was accepted after it, so that the oldest stays in front.
    fn put_back(&mut self, pending: Pending) {
        self.pending_bytes += pending.record.bytes();
        let at = self.pending.partition_point(|other| other.order < pending.order);
        self.pending.insert(at, pending);
    }
}

fn overlap(one: &RangeInclusive<u128>, other: &RangeInclusive<u128>) -> bool {
    one.start() <= other.end() && other.start() <= one.end()
}
