//! Outcomes of records that were sent to their shards, and the records that have to be sent again.
//!
//! Each part of a request has one outcome, wherever its group is led: [`settle_part`] notes it for the request's
//! records.

use tokio::sync::oneshot;

use super::{AppendFailure, AppendedRecord};
use crate::model::producers::Run;
use crate::replication::{AppendOutcome, ProposeError};

/// The outcome of one sub-batch.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BatchOutcome {
    /// The outcome of the records within their shard's limits; `None` when all were beyond them.
    pub outcome: Option<AppendOutcome>,
    /// Positions in the sub-batch of the records beyond the limits, ascending; these were left out.
    pub throttled: Vec<u32>,
}

impl From<AppendOutcome> for BatchOutcome {
    fn from(outcome: AppendOutcome) -> Self {
        Self { outcome: Some(outcome), throttled: Vec::new() }
    }
}

/// The reason why the records of a part have no outcome of their own.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PartError {
    /// Nothing was proposed, and the next leader may take the records: another node leads the group, the link ended
    /// before it sent them, or the leader's log is at its bound or its group has stopped.
    #[error("not proposed")]
    NotProposed,
    /// Nothing was proposed: no leader took the records in time.
    #[error("no leader in time")]
    NoLeader,
    /// Nothing was proposed: there was no memory for the records in time.
    #[error("no room in time")]
    NoRoom,
    /// Nothing was proposed: the leader takes no records at the moment, or these are damaged.
    #[error("{0}")]
    Refused(String),
    /// The records may be applied or not, now or later.
    #[error("outcome unknown")]
    Unknown,
}

impl From<ProposeError> for PartError {
    fn from(error: ProposeError) -> Self {
        match error {
            ProposeError::NotProposed => Self::NotProposed,
            ProposeError::Unknown => Self::Unknown,
        }
    }
}

impl From<oneshot::error::RecvError> for PartError {
    fn from(_: oneshot::error::RecvError) -> Self {
        Self::Unknown
    }
}

/// The accepted records of one shard, in flight.
pub struct SentRecords {
    /// The shard's index.
    pub shard: u32,
    /// The shard's creation second.
    pub created_s: u64,
    /// Positions of the records in the request, ascending.
    pub records: Vec<u32>,
}

/// Records that have to be sent again. All of them were charged.
#[derive(Default)]
pub(in crate::service) struct Retries {
    /// Records for the children of their shards.
    pub(in crate::service) sealed: Vec<SentRecords>,
    /// Records for the next leader of their group.
    pub(in crate::service) unproposed: Vec<SentRecords>,
}

pub(in crate::service) type Results = [Result<AppendedRecord, AppendFailure>];

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

/// Notes the outcome of a part: one for each of its sub-batches.
pub(in crate::service) fn settle_part(
    results: &mut Results,
    outcome: Result<
        impl IntoIterator<Item = impl Into<BatchOutcome>, IntoIter: ExactSizeIterator>,
        PartError,
    >,
    sent: Vec<SentRecords>,
    retries: &mut Retries,
) {
    match outcome {
        Ok(outcomes) => {
            let outcomes = outcomes.into_iter();
            assert_eq!(outcomes.len(), sent.len(), "one outcome per sub-batch");
            for (outcome, sent) in outcomes.zip(sent) {
                settle_batch(results, outcome.into(), sent, retries);
            }
        }
        Err(PartError::NotProposed) => retries.unproposed.extend(sent),
        Err(PartError::NoLeader | PartError::NoRoom | PartError::Refused(_)) => {
            refuse(results, &sent, AppendFailure::Unavailable);
        }
        Err(PartError::Unknown) => refuse(results, &sent, AppendFailure::Unknown),
    }
}

/// Notes the outcome of the records of one shard.
fn settle_batch(results: &mut Results, outcome: BatchOutcome, mut sent: SentRecords, retries: &mut Retries) {
    for position in outcome.throttled.iter().rev() {
        let index = sent.records.remove(*position as usize);
        results[index as usize] = Err(AppendFailure::Throttled { shard: sent.shard });
    }
    match outcome.outcome {
        None => {}
        Some(AppendOutcome::Appended { first_ordinal, time_ms }) => {
            let SentRecords { shard, created_s, records } = sent;
            for (index, ordinal) in records.into_iter().zip(first_ordinal..) {
                results[index as usize] = Ok(AppendedRecord { shard, created_s, ordinal, time_ms });
            }
        }
        Some(AppendOutcome::Sealed) => retries.sealed.push(sent),
        Some(AppendOutcome::NoSuchShard) => refuse(results, [&sent], AppendFailure::Unavailable),
        Some(AppendOutcome::Duplicate(runs)) => {
            for index in sent.records {
                // A peer may have answered nonsense.
                results[index as usize] = recall(&runs, index).ok_or(AppendFailure::Unknown);
            }
        }
        Some(AppendOutcome::Refused(refusal)) => refuse(results, [&sent], refusal.into()),
    }
}

/// The place of the record at a position of its batch.
fn recall(runs: &[Run], position: u32) -> Option<AppendedRecord> {
    runs.iter().find_map(|run| {
        let ordinal = run.ordinal(position)?;
        Some(AppendedRecord { shard: run.shard, created_s: run.created_s, ordinal, time_ms: run.time_ms })
    })
}

/// Notes that the records of these shards were not taken.
pub(in crate::service) fn refuse<'a>(
    results: &mut Results,
    sent: impl IntoIterator<Item = &'a SentRecords>,
    refusal: AppendFailure,
) {
    for index in sent.into_iter().flat_map(|sent| &sent.records) {
        results[*index as usize] = Err(refusal);
    }
}
