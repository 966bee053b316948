//! A batch under way: the outcome of each of its records, as answers arrive. Decisions only; `delivery` sends it.
//!
//! The rules, by the contract of records.proto: while one record's outcome is unknown the whole batch is sent
//! again, the same records under the same number. A record that an attempt may have written stays uncertain until
//! the broker says where it stands: that a later attempt was refused says nothing about the earlier one. Once
//! nothing is uncertain, records that were certainly not written go back to their lane, and into a later batch.

use std::mem;
use std::ops::RangeInclusive;

use tidelog_proto::v1;
use tidelog_proto::v1::put_result;
use tokio::time::Instant;

use super::receipt::{Acknowledgement, Pending};
use crate::error::{Error, Reason};

/// Records that are sent together, of one lane.
#[derive(Debug)]
pub(super) struct Batch {
    /// Hash keys of the lane that it was made from: none of them is sent in another batch meanwhile.
    pub range: RangeInclusive<u128>,
    /// Where it is expected to go, if that is known.
    pub shard_id: Option<String>,
    pub producer: u64,
    pub number: u64,
    pub entries: Vec<Entry>,
    /// The error of the last attempt.
    pub failed: Option<Error>,
}

/// One record of the stream; several of the application's when it is aggregated.
#[derive(Debug)]
pub(super) struct Entry {
    pub wire: v1::NewRecord,
    pub members: Vec<Pending>,
    pub is_aggregate: bool,
    pub state: State,
}

/// The state of an entry, as far as it is known.
#[derive(Debug)]
pub(super) enum State {
    /// Not answered, and certainly not written.
    Unsent,
    /// An attempt may have written it.
    Uncertain,
    /// Certainly not written, as of the last attempt.
    Failed(Error),
    /// Written.
    Acknowledged(Acknowledgement),
}

impl Batch {
    /// The request, always the same.
    pub fn request(&self, stream: &str) -> v1::PutRequest {
        v1::PutRequest {
            stream: stream.to_owned(),
            records: self.entries.iter().map(|entry| entry.wire.clone()).collect(),
            // A lane has one batch under way at a time, so that all before it are settled.
            producer: Some(v1::Producer {
                id: self.producer,
                batch: self.number,
                settled_below: self.number,
            }),
        }
    }

    /// Takes in how an attempt ended.
    pub fn take(&mut self, answer: Result<v1::PutResponse, Error>) {
        match answer {
            Ok(response) if response.results.len() == self.entries.len() => {
                for (entry, result) in self.entries.iter_mut().zip(response.results) {
                    match result.result {
                        Some(put_result::Result::Record(record)) => entry.note(record),
                        Some(put_result::Result::Failure(failure)) => entry.fail(&failure.into()),
                        None => entry.fail(&Error::new(Reason::UnknownOutcome, "an answer without a result")),
                    }
                }
            }
            Ok(_) => {
                self.fail(&Error::new(Reason::UnknownOutcome, "an answer for another number of records"));
            }
            Err(error) => self.fail(&error),
        }
        for entry in &mut self.entries {
            entry.acknowledge(self.shard_id.as_deref());
        }
    }

    fn fail(&mut self, error: &Error) {
        self.failed = Some(error.clone());
        for entry in &mut self.entries {
            entry.fail(error);
        }
    }

    /// Fails records whose outcome is unknown after their delivery timeout.
    pub fn give_up_late(&mut self, now: Instant) {
        let error = self.failed.clone().unwrap_or_else(|| {
            Error::new(Reason::UnknownOutcome, "the delivery timeout ended before the outcome was known")
        });
        let uncertain = self.entries.iter_mut().filter(|entry| matches!(entry.state, State::Uncertain));
        for entry in uncertain {
            for late in entry.members.extract_if(.., |member| member.is_late(now)) {
                late.give_up(true, error.clone());
            }
        }
    }

    /// Whether the batch has to be sent again as it is.
    pub fn is_uncertain(&self) -> bool {
        self.entries.iter().any(|entry| matches!(entry.state, State::Uncertain) && !entry.members.is_empty())
    }

    /// When the last record that waits for it is late.
    pub fn deadline(&self) -> Option<Instant> {
        self.entries.iter().flat_map(|entry| &entry.members).map(|member| member.deadline).max()
    }

    /// How many records of the application wait for it.
    pub fn len(&self) -> usize {
        self.entries.iter().map(|entry| entry.members.len()).sum()
    }

    /// Takes out records that are not written, once nothing is uncertain: records that may be retried come back,
    /// the rest ends here.
    pub fn unwritten(&mut self) -> Unwritten {
        let is_alone = self.len() <= 1;
        let mut unwritten = Unwritten::default();
        for entry in &mut self.entries {
            let State::Failed(error) = &entry.state else { continue };
            let is_split = error.reason() == Reason::Invalid && !is_alone;
            unwritten.is_split |= is_split;
            let again = is_split || error.is_transient();
            for mut member in mem::take(&mut entry.members) {
                if again {
                    member.failed = Some(error.clone());
                    unwritten.returned.push(member);
                } else {
                    member.give_up(false, error.clone());
                }
            }
        }
        unwritten
    }

    /// Takes out aggregated records that went to another shard than the one they were made for.
    pub fn misplaced(&mut self) -> Vec<(Acknowledgement, Vec<Pending>)> {
        let misplaced = self.entries.iter_mut().filter(|entry| !entry.members.is_empty());
        misplaced
            .filter_map(|entry| match &entry.state {
                State::Acknowledged(acknowledgement) => {
                    Some((acknowledgement.clone(), mem::take(&mut entry.members)))
                }
                _ => None,
            })
            .collect()
    }

    /// Whether a record with a key went elsewhere than expected: there was a reshard.
    pub fn has_strayed(&self) -> bool {
        self.entries.iter().any(|entry| match &entry.state {
            State::Acknowledged(acknowledgement) => {
                entry.wire.partition_key.is_some()
                    && Some(&acknowledgement.shard_id) != self.shard_id.as_ref()
            }
            _ => false,
        })
    }
}

/// The records that a settled batch returns to their lanes.
#[derive(Debug, Default)]
pub(super) struct Unwritten {
    pub returned: Vec<Pending>,
    /// One of them is invalid and it is not known which: they are to be sent in smaller batches.
    pub is_split: bool,
}

impl Entry {
    fn note(&mut self, record: v1::AppendedRecord) {
        let v1::AppendedRecord { shard_id, sequence_number } = record;
        self.state = State::Acknowledged(Acknowledgement { shard_id, sequence_number });
    }

    fn fail(&mut self, error: &Error) {
        match (&self.state, error.reason()) {
            (State::Acknowledged(_), _) => {}
            (_, Reason::UnknownOutcome) => self.state = State::Uncertain,
            (State::Uncertain, _) if error.is_transient() => {}
            (State::Uncertain, _) => {
                for member in mem::take(&mut self.members) {
                    member.give_up(true, error.clone());
                }
            }
            _ => self.state = State::Failed(error.clone()),
        }
    }

    /// Resolves the receipts of an entry that is written; not yet when it may have to be written again elsewhere.
    fn acknowledge(&mut self, expected: Option<&str>) {
        let State::Acknowledged(acknowledgement) = &self.state else { return };
        if self.is_aggregate && Some(acknowledgement.shard_id.as_str()) != expected {
            return;
        }
        for member in mem::take(&mut self.members) {
            member.acknowledge(acknowledgement.clone());
        }
    }
}
