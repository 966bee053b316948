//! What became of records on their way to their shards, and which of them have to be sent again.

use super::receive::Delivered;
use super::{AppendRefusal, Placed};
use crate::model::producers::Run;
use crate::replication::AppendOutcome;

/// The accepted records of one shard, on their way.
pub struct Journey {
    /// The shard's index.
    pub shard: u32,
    /// Its creation second.
    pub created_s: u64,
    /// Positions of its records in the request, ascending.
    pub records: Vec<u32>,
}

/// What has to be sent again. All of it was charged.
#[derive(Default)]
pub(in crate::service) struct Late {
    /// To the children of their shards.
    pub(in crate::service) sealed: Vec<Journey>,
    /// To the next leader of their group.
    pub(in crate::service) unproposed: Vec<Journey>,
}

pub(in crate::service) type Results = [Result<Placed, AppendRefusal>];

impl Late {
    pub(in crate::service) fn is_empty(&self) -> bool {
        self.sealed.is_empty() && self.unproposed.is_empty()
    }

    pub(in crate::service) fn append(&mut self, mut other: Self) {
        self.sealed.append(&mut other.sealed);
        self.unproposed.append(&mut other.unproposed);
    }

    pub(in crate::service) fn journeys(&self) -> impl Iterator<Item = &Journey> {
        self.sealed.iter().chain(&self.unproposed)
    }

    /// Positions in the request, ascending.
    pub(in crate::service) fn records(&self) -> Vec<u32> {
        let mut records: Vec<u32> = self.journeys().flat_map(|journey| &journey.records).copied().collect();
        records.sort_unstable();
        records
    }
}

/// Notes what the leader of another node's group made of its part. It answered for every sub-batch.
pub(in crate::service) fn place_delivered(
    results: &mut Results,
    delivered: Vec<Delivered>,
    journeys: Vec<Journey>,
    late: &mut Late,
) {
    for (delivered, mut journey) in delivered.into_iter().zip(journeys) {
        let Delivered { outcome, throttled } = delivered;
        for position in throttled.iter().rev() {
            let index = journey.records.remove(*position as usize);
            results[index as usize] = Err(AppendRefusal::Throttled { shard: journey.shard });
        }
        if let Some(outcome) = outcome {
            place(results, outcome, journey, late);
        }
    }
}

/// Notes what became of the records of one shard.
pub(in crate::service) fn place(
    results: &mut Results,
    outcome: AppendOutcome,
    journey: Journey,
    late: &mut Late,
) {
    match outcome {
        AppendOutcome::Placed { first_ordinal, time_ms } => {
            let Journey { shard, created_s, records } = journey;
            for (index, ordinal) in records.into_iter().zip(first_ordinal..) {
                results[index as usize] = Ok(Placed { shard, created_s, ordinal, time_ms });
            }
        }
        AppendOutcome::Sealed => late.sealed.push(journey),
        AppendOutcome::NoSuchShard => refuse(results, [&journey], AppendRefusal::Unavailable),
        AppendOutcome::Remembered(runs) => {
            for index in journey.records {
                // A peer may have answered nonsense.
                results[index as usize] = recall(&runs, index).ok_or(AppendRefusal::Unknown);
            }
        }
        AppendOutcome::Refused(refusal) => refuse(results, [&journey], refusal.into()),
    }
}

/// Where the record at a position of its batch stands.
fn recall(runs: &[Run], position: u32) -> Option<Placed> {
    runs.iter().find_map(|run| {
        let ordinal = run.ordinal(position)?;
        Some(Placed { shard: run.shard, created_s: run.created_s, ordinal, time_ms: run.time_ms })
    })
}

/// Notes that the records of these shards were not taken.
pub(in crate::service) fn refuse<'a>(
    results: &mut Results,
    journeys: impl IntoIterator<Item = &'a Journey>,
    refusal: AppendRefusal,
) {
    for index in journeys.into_iter().flat_map(|journey| &journey.records) {
        results[*index as usize] = Err(refusal);
    }
}
