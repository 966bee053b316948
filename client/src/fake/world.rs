//! The state of the fake broker, and the effects of writes.

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::ops::RangeInclusive;
use std::time::{Duration, SystemTime};

use tidelog_proto::v1::{self, put_result};
use tonic::{Code, Status};
use tonic_types::{ErrorDetails, StatusExt};

use super::group::FakeGroup;
use crate::aggregation::hash_key;

/// Records of larger data are invalid.
pub const DATA_BYTES_MAX: usize = 20_000;

/// The fault that happens to a put.
#[derive(Clone, Debug)]
pub enum Fault {
    /// The call is refused, with a time to wait.
    Throttled(Duration),
    /// The call is refused, nothing was done.
    Unavailable,
    /// The records of a shard are refused.
    ShardThrottled(usize),
    /// Everything is written, and the answer is lost.
    AnswerLost,
    /// Everything is written, and the outcome of each record is unknown.
    OutcomesLost,
    /// Written, and never answered.
    Hangs,
    /// Written only when the call after the next comes.
    WrittenLater,
    /// The shard is split, and the put goes on.
    Split(usize),
}

/// A shard.
#[derive(Clone, Debug)]
pub struct FakeShard {
    pub range: RangeInclusive<u128>,
    pub parents: Vec<usize>,
    pub is_open: bool,
    pub records: Vec<v1::Record>,
    /// The positions of each batch of each producer, with their places.
    producers: HashMap<u64, BTreeMap<u64, HashMap<usize, v1::AppendedRecord>>>,
}

/// The state.
#[derive(Debug)]
pub struct World {
    pub shards: Vec<FakeShard>,
    pub faults: VecDeque<Fault>,
    /// Every put that came.
    pub puts: Vec<v1::PutRequest>,
    pub group: FakeGroup,
    /// Account and region of the last put.
    pub caller: Option<(String, String)>,
    /// Subscriptions end after so many messages.
    pub subscription_messages: usize,
    late: Vec<(usize, v1::PutRequest)>,
    numbers: u64,
}

pub fn shard_id(at: usize) -> String {
    format!("shardId-{at:012}")
}

/// A status with a reason of the contract.
pub fn refusal(code: Code, reason: &str, retry: Option<Duration>) -> Status {
    let mut details = ErrorDetails::new();
    details.set_error_info(reason, "tidelog", []);
    if retry.is_some() {
        details.set_retry_info(retry);
    }
    Status::with_error_details(code, reason, details)
}

impl World {
    pub fn new(shards: usize) -> Self {
        let width = u128::MAX / shards as u128;
        let range = |at: usize| {
            let end = if at + 1 == shards { u128::MAX } else { width * (at as u128 + 1) - 1 };
            width * at as u128..=end
        };
        let shard = |at| FakeShard {
            range: range(at),
            parents: Vec::new(),
            is_open: true,
            records: Vec::new(),
            producers: HashMap::new(),
        };
        Self {
            shards: (0..shards).map(shard).collect(),
            faults: VecDeque::new(),
            puts: Vec::new(),
            group: FakeGroup::default(),
            caller: None,
            subscription_messages: usize::MAX,
            late: Vec::new(),
            numbers: 0,
        }
    }

    /// Splits an open shard in the middle.
    pub fn split(&mut self, at: usize) {
        if !std::mem::take(&mut self.shards[at].is_open) {
            return;
        }
        let (start, end) = (*self.shards[at].range.start(), *self.shards[at].range.end());
        let middle = start + (end - start) / 2;
        for range in [start..=middle, middle + 1..=end] {
            let producers = self.shards[at].producers.clone();
            let child = FakeShard { range, parents: vec![at], is_open: true, records: Vec::new(), producers };
            self.shards.push(child);
        }
    }

    /// Merges two open shards that lie side by side.
    pub fn merge(&mut self, low: usize, high: usize) {
        let mut producers = self.shards[low].producers.clone();
        producers.extend(self.shards[high].producers.clone());
        for at in [low, high] {
            self.shards[at].is_open = false;
        }
        let range = *self.shards[low].range.start()..=*self.shards[high].range.end();
        let parents = vec![low, high];
        self.shards.push(FakeShard { range, parents, is_open: true, records: Vec::new(), producers });
    }

    /// Appends without a producer.
    pub fn append(&mut self, key: &str, data: impl Into<bytes::Bytes>) -> v1::AppendedRecord {
        let record =
            v1::NewRecord { partition_key: Some(key.to_owned()), explicit_hash_key: None, data: data.into() };
        let at = self.route(&record);
        self.write(at, record)
    }

    /// The answer of a put, or `None` when there is to be none.
    pub fn put(&mut self, request: v1::PutRequest) -> Option<Result<v1::PutResponse, Status>> {
        let came = self.puts.len();
        self.puts.push(request.clone());
        let due: Vec<_> = self.late.extract_if(.., |(due, _)| *due <= came).collect();
        for (_, late) in due {
            self.apply(late, None);
        }
        if request.records.iter().any(|record| record.data.len() > DATA_BYTES_MAX) {
            return Some(Err(refusal(Code::InvalidArgument, "INVALID_ARGUMENT", None)));
        }
        let fault = self.faults.pop_front();
        Some(match fault {
            Some(Fault::Throttled(wait)) => Err(refusal(Code::ResourceExhausted, "THROTTLED", Some(wait))),
            Some(Fault::Unavailable) => Err(refusal(Code::Unavailable, "UNAVAILABLE", None)),
            Some(Fault::ShardThrottled(shard)) => Ok(self.apply(request, Some(shard))),
            Some(Fault::AnswerLost) => {
                self.apply(request, None);
                Err(refusal(Code::Internal, "UNKNOWN_OUTCOME", None))
            }
            Some(Fault::OutcomesLost) => {
                let records = request.records.len();
                self.apply(request, None);
                Ok(v1::PutResponse { results: vec![failure("UNKNOWN_OUTCOME"); records] })
            }
            Some(Fault::Hangs) => {
                self.apply(request, None);
                return None;
            }
            Some(Fault::WrittenLater) => {
                self.late.push((came + 2, request));
                Err(refusal(Code::Internal, "UNKNOWN_OUTCOME", None))
            }
            Some(Fault::Split(shard)) => {
                self.split(shard);
                Ok(self.apply(request, None))
            }
            None => Ok(self.apply(request, None)),
        })
    }

    fn route(&self, record: &v1::NewRecord) -> usize {
        let explicit = record.explicit_hash_key.as_ref().map(|decimal| decimal.parse().expect("a number"));
        let hash = explicit.unwrap_or_else(|| hash_key(record.partition_key.as_deref().unwrap_or_default()));
        let is_its = |shard: &FakeShard| shard.is_open && shard.range.contains(&hash);
        self.shards.iter().position(is_its).expect("open shards cover all")
    }

    fn apply(&mut self, request: v1::PutRequest, throttled: Option<usize>) -> v1::PutResponse {
        let producer = request.producer.expect("the client always names its producer");
        let results = request.records.into_iter().enumerate().map(|(position, record)| {
            let at = self.route(&record);
            if throttled == Some(at) {
                return failure("THROTTLED");
            }
            let known = self.shards[at].producers.entry(producer.id).or_default();
            if let Some(placed) = known.get(&producer.batch).and_then(|batch| batch.get(&position)) {
                return written(placed.clone());
            }
            let is_new = known.last_key_value().is_none_or(|(last, _)| *last <= producer.batch);
            if !is_new {
                return failure("PRODUCER_STALE");
            }
            known.retain(|batch, _| *batch >= producer.settled_below);
            if known.len() >= 64 && !known.contains_key(&producer.batch) {
                return failure("PRODUCER_TABLE_FULL");
            }
            let placed = self.write(at, record);
            let known = self.shards[at].producers.entry(producer.id).or_default();
            known.entry(producer.batch).or_default().insert(position, placed.clone());
            written(placed)
        });
        v1::PutResponse { results: results.collect() }
    }

    #[expect(clippy::disallowed_methods, reason = "no test looks at the arrival of a record")]
    fn write(&mut self, at: usize, record: v1::NewRecord) -> v1::AppendedRecord {
        self.numbers += 1;
        let sequence_number = format!("{:056}", self.numbers);
        self.shards[at].records.push(v1::Record {
            partition_key: record.partition_key,
            data: record.data,
            sequence_number: sequence_number.clone(),
            approximate_arrival: Some(SystemTime::now().into()),
        });
        v1::AppendedRecord { shard_id: shard_id(at), sequence_number }
    }
}

fn failure(reason: &str) -> v1::PutResult {
    let failure = v1::Failure { reason: reason.to_owned(), message: reason.to_owned() };
    v1::PutResult { result: Some(put_result::Result::Failure(failure)) }
}

fn written(record: v1::AppendedRecord) -> v1::PutResult {
    v1::PutResult { result: Some(put_result::Result::Record(record)) }
}
