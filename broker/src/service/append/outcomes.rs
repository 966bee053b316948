//! What became of records on their way to their shards, and which of them have to be sent again.

use super::receive::Delivered;
use super::{AppendRefusal, Placed};
use crate::model::producers::Run;
use crate::replication::AppendOutcome;

/// The accepted records of one shard, on their way.
pub struct SentRecords {
    /// The shard's index.
    pub shard: u32,
    /// Its creation second.
    pub created_s: u64,
    /// Positions of its records in the request, ascending.
    pub records: Vec<u32>,
}

/// What has to be sent again. All of it was charged.
#[derive(Default)]
pub(in crate::service) struct Retries {
    /// To the children of their shards.
    pub(in crate::service) sealed: Vec<SentRecords>,
    /// To the next leader of their group.
    pub(in crate::service) unproposed: Vec<SentRecords>,
}

pub(in crate::service) type Results = [Result<Placed, AppendRefusal>];

impl Retries {
    pub(in crate::service) fn is_empty(&self) -> bool {
        self.sealed.is_empty() && self.unproposed.is_empty()
    }

    pub(in crate::service) fn append(&mut self, mut other: Self) {
        self.sealed.append(&mut other.sealed);
        self.unproposed.append(&mut other.unproposed);
    }

    pub(in crate::service) fn sent(&self) -> impl Iterator<Item = &SentRecords> {
        self.sealed.iter().chain(&self.unproposed)
    }

    /// Positions in the request, ascending.
    pub(in crate::service) fn records(&self) -> Vec<u32> {
        let mut records: Vec<u32> = self.sent().flat_map(|sent| &sent.records).copied().collect();
        records.sort_unstable();
        records
    }
}

/// Notes what the leader of another node's group made of its part. It answered for every sub-batch.
pub(in crate::service) fn settle_delivered(
    results: &mut Results,
    delivered: Vec<Delivered>,
    sent: Vec<SentRecords>,
    retries: &mut Retries,
) {
    for (delivered, mut sent) in delivered.into_iter().zip(sent) {
        let Delivered { outcome, throttled } = delivered;
        for position in throttled.iter().rev() {
            let index = sent.records.remove(*position as usize);
            results[index as usize] = Err(AppendRefusal::Throttled { shard: sent.shard });
        }
        if let Some(outcome) = outcome {
            settle(results, outcome, sent, retries);
        }
    }
}

/// Notes what became of the records of one shard.
pub(in crate::service) fn settle(
    results: &mut Results,
    outcome: AppendOutcome,
    sent: SentRecords,
    retries: &mut Retries,
) {
    match outcome {
        AppendOutcome::Placed { first_ordinal, time_ms } => {
            let SentRecords { shard, created_s, records } = sent;
            for (index, ordinal) in records.into_iter().zip(first_ordinal..) {
                results[index as usize] = Ok(Placed { shard, created_s, ordinal, time_ms });
            }
        }
        AppendOutcome::Sealed => retries.sealed.push(sent),
        AppendOutcome::NoSuchShard => refuse(results, [&sent], AppendRefusal::Unavailable),
        AppendOutcome::Remembered(runs) => {
            for index in sent.records {
                // A peer may have answered nonsense.
                results[index as usize] = recall(&runs, index).ok_or(AppendRefusal::Unknown);
            }
        }
        AppendOutcome::Refused(refusal) => refuse(results, [&sent], refusal.into()),
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
    sent: impl IntoIterator<Item = &'a SentRecords>,
    refusal: AppendRefusal,
) {
    for index in sent.into_iter().flat_map(|sent| &sent.records) {
        results[*index as usize] = Err(refusal);
    }
}
