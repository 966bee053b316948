//! Holds an endpoint to its word: every acknowledged record is read exactly once, where it was said to be, with its
//! bytes; sequence numbers increase within a shard, and a producer's requests keep their order there.
//!
//! Producers write down the answer to each of their records, consumers the records that they have read; the
//! comparison is a pure function of both. A record of unknown outcome may appear once or not at all. Within one
//! request no order is promised.

use std::collections::HashMap;

use serde::{Deserialize, Serialize};

use super::record::{Filler, Header};
use super::tally::is_before;

/// Records that are verified without being asked to: 8 bytes each are kept for writing, 24 for each reading.
pub const RECORDS_BY_DEFAULT_MAX: u64 = 5_000_000;
/// Violations that are described; others are counted.
const EXAMPLES_MAX: usize = 10;

const UNSENT: u64 = 0;
const UNKNOWN: u64 = 1;
const REFUSED: u64 = 2;

/// Shard and sequence number in one figure, which is none of the three above. Two records have the same one by chance
/// in 2^-62 of cases.
pub fn fingerprint(shard: &[u8], number: &[u8]) -> u64 {
    let mut hash = 0x9E37_79B9_7F4A_7C15_u64;
    for chunk in shard.chunks(8).chain(number.chunks(8)) {
        let mut word = [0; 8];
        word[..chunk.len()].copy_from_slice(chunk);
        let product = u128::from(hash ^ u64::from_le_bytes(word)) * 0xD6E8_FEB8_6659_FD93_u128;
        hash = (product as u64 ^ (product >> 64) as u64).wrapping_add(chunk.len() as u64);
    }
    hash | 4
}

/// The answers to a producer's records, by their sequence.
#[derive(Debug, Default)]
pub struct Answers(Vec<u64>);

impl Answers {
    /// Records from `first` on are under way: without an answer their outcome is unknown.
    pub fn send(&mut self, first: u64, records: usize) {
        self.0.resize(first as usize, UNSENT);
        self.0.resize(first as usize + records, UNKNOWN);
    }

    /// The record is in that [`fingerprint`].
    pub fn acknowledge(&mut self, sequence: u64, place: u64) {
        self.0[sequence as usize] = place;
    }

    /// The record was certainly not written.
    pub fn refuse(&mut self, sequence: u64) {
        self.0[sequence as usize] = REFUSED;
    }
}

/// The answers of all producers, by their number.
#[derive(Debug)]
pub struct Ledger {
    /// Records of a request of the run.
    pub batch: u64,
    /// By producer.
    pub answers: Vec<Answers>,
}

/// The mark that tells the records of a run from others.
#[derive(Debug)]
pub struct Mark {
    /// The number of the run.
    pub run: u32,
    /// Records of a request of the run.
    pub batch: u64,
    /// Nobody else writes to the stream.
    pub is_alone: bool,
    /// Whether records that are read are written down.
    pub keeps: bool,
}

#[derive(Clone, Copy, Debug)]
struct Seen {
    producer: u16,
    sequence: u64,
    place: u64,
}

/// The records that one consumer has read of one shard.
#[derive(Debug, Default)]
pub struct ShardLog {
    shard: String,
    last: String,
    seen: Vec<Seen>,
    findings: Findings,
    /// Records of this run.
    pub records: u64,
}

impl ShardLog {
    /// Begins the log of the shard with that identifier.
    pub fn new(shard: &str) -> Self {
        Self { shard: shard.into(), ..Self::default() }
    }

    /// Takes the next record. The record's header, if the record is of this run and intact.
    pub fn take(&mut self, mark: &Mark, filler: &Filler, number: &str, data: &[u8]) -> Option<Header> {
        let shard = &self.shard;
        if !self.last.is_empty() && !is_before(&self.last, number) {
            let last = &self.last;
            self.findings
                .add(|kinds| &mut kinds.disordered, || format!("{shard}: {number} was read behind {last}"));
        }
        number.clone_into(&mut self.last);
        let header = Header::decode(data).filter(|header| header.run == mark.run);
        let Some(header) = header else {
            if mark.is_alone {
                self.findings.add(
                    |kinds| &mut kinds.corrupted,
                    || format!("{shard}: {number} is no record of this run"),
                );
            } else {
                self.findings.kinds.foreign += 1;
            }
            return None;
        };
        self.records += 1;
        if mark.keeps {
            let place = fingerprint(shard.as_bytes(), number.as_bytes());
            self.seen.push(Seen { producer: header.producer, sequence: header.sequence, place });
        }
        if !filler.is_intact(&header, mark.batch, data) {
            self.findings.add(
                |kinds| &mut kinds.corrupted,
                || format!("{shard}: {number} has other bytes than were sent"),
            );
            return None;
        }
        Some(header)
    }
}

/// Violations by kind; foreign records are none.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Kinds {
    /// Acknowledged, and not read.
    pub missing: u64,
    /// Read more than once by one consumer.
    pub duplicated: u64,
    /// Read under another shard or sequence number than acknowledged.
    pub misplaced: u64,
    /// Sequence numbers that do not increase within a shard.
    pub disordered: u64,
    /// Read behind records of a later request of the same producer in the same shard.
    pub overtaken: u64,
    /// Other bytes than were sent.
    pub corrupted: u64,
    /// Read although it was refused.
    pub refused: u64,
    /// Read although it was never sent.
    pub unsent: u64,
    /// Records of another writer: no violation.
    pub foreign: u64,
}

impl Kinds {
    /// Names and figures of the violations.
    pub fn violations(&self) -> [(&'static str, u64); 8] {
        [
            ("acknowledged but not read", self.missing),
            ("read more than once", self.duplicated),
            ("read in another place than acknowledged", self.misplaced),
            ("sequence numbers out of order", self.disordered),
            ("overtaken by a later request", self.overtaken),
            ("with other bytes than were sent", self.corrupted),
            ("refused, but read", self.refused),
            ("never sent, but read", self.unsent),
        ]
    }
}

#[derive(Clone, Debug, Default)]
struct Findings {
    kinds: Kinds,
    examples: Vec<String>,
}

impl Findings {
    fn add(&mut self, kind: impl Fn(&mut Kinds) -> &mut u64, words: impl FnOnce() -> String) {
        *kind(&mut self.kinds) += 1;
        if self.examples.len() < EXAMPLES_MAX {
            self.examples.push(words());
        }
    }

    fn merge(&mut self, other: &Self) {
        self.kinds.disordered += other.kinds.disordered;
        self.kinds.corrupted += other.kinds.corrupted;
        self.kinds.foreign += other.kinds.foreign;
        self.examples
            .extend(other.examples.iter().take(EXAMPLES_MAX.saturating_sub(self.examples.len())).cloned());
    }
}

/// The result of the comparison.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Verdict {
    /// Records that were acknowledged, those of the warm-up too.
    pub acknowledged: u64,
    /// Times that the stream was read.
    pub readings: u64,
    /// Records of unknown outcome that were read.
    pub unknown_read: u64,
    /// How many of each kind.
    pub violations: Kinds,
    /// Some of them in words.
    pub examples: Vec<String>,
}

impl Verdict {
    /// Whether everything was as promised.
    pub fn is_clean(&self) -> bool {
        self.violations.violations().iter().all(|(_, count)| *count == 0)
    }
}

/// Compares. Each reading is of one consumer, that has read all shards.
pub fn verify(ledger: &Ledger, readings: &[Vec<ShardLog>]) -> Verdict {
    let acknowledged =
        ledger.answers.iter().flat_map(|answers| &answers.0).filter(|answer| **answer > REFUSED).count();
    let mut verdict =
        Verdict { acknowledged: acknowledged as u64, readings: readings.len() as u64, ..Verdict::default() };
    let mut findings = Findings::default();
    for reading in readings {
        let mut times: Vec<Vec<u8>> = ledger.answers.iter().map(|answers| vec![0; answers.0.len()]).collect();
        for log in reading {
            findings.merge(&log.findings);
            verdict.unknown_read += compare_shard(ledger, log, &mut times, &mut findings);
        }
        for (producer, times) in times.iter().enumerate() {
            for (sequence, times) in times.iter().enumerate() {
                let is_acknowledged = ledger.answers[producer].0[sequence] > REFUSED;
                let record = || format!("record {sequence} of producer {producer}");
                if *times == 0 && is_acknowledged {
                    findings.add(
                        |kinds| &mut kinds.missing,
                        || format!("{} was acknowledged and not read", record()),
                    );
                }
                if *times > 1 {
                    findings.add(
                        |kinds| &mut kinds.duplicated,
                        || format!("{} was read {times} times", record()),
                    );
                }
            }
        }
    }
    verdict.violations = findings.kinds;
    verdict.examples = findings.examples;
    verdict
}

/// How many records of unknown outcome it holds.
fn compare_shard(ledger: &Ledger, log: &ShardLog, times: &mut [Vec<u8>], findings: &mut Findings) -> u64 {
    let (mut unknown, mut newest) = (0, HashMap::<u16, u64>::new());
    for seen in &log.seen {
        let (producer, sequence) = (usize::from(seen.producer), seen.sequence as usize);
        let record = || format!("{}: record {sequence} of producer {producer}", log.shard);
        let answer = ledger.answers.get(producer).and_then(|answers| answers.0.get(sequence)).copied();
        match answer.unwrap_or(UNSENT) {
            UNSENT => findings.add(|kinds| &mut kinds.unsent, || format!("{} was never sent", record())),
            // It may have arrived long after its producer had given it up: no order is promised.
            UNKNOWN => unknown += 1,
            REFUSED => findings.add(|kinds| &mut kinds.refused, || format!("{} was refused", record())),
            place => {
                if place != seen.place {
                    findings.add(
                        |kinds| &mut kinds.misplaced,
                        || format!("{} was acknowledged elsewhere", record()),
                    );
                }
                let request = seen.sequence / ledger.batch;
                let newest = newest.entry(seen.producer).or_default();
                if request < *newest {
                    findings.add(
                        |kinds| &mut kinds.overtaken,
                        || format!("{} is behind a later request", record()),
                    );
                }
                *newest = request.max(*newest);
            }
        }
        if let Some(times) = times.get_mut(producer).and_then(|times| times.get_mut(sequence)) {
            *times = times.saturating_add(1);
        }
    }
    unknown
}

#[cfg(test)]
mod tests;
