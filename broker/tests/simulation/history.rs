//! The attempts and acknowledgements of all clients, in the one order of the simulation.

use tidelog::model::sequence_number::SequenceNumber;

/// A record sent once. Its data begin with its number, so that a record read belongs to exactly one attempt.
#[derive(Clone, Debug)]
pub struct Attempt {
    /// The stream's name.
    pub stream: String,
    /// The record's partition key.
    pub key: String,
    /// When it was sent, in ticks.
    pub sent: u64,
    /// When it was acknowledged, and the acknowledged shard and number.
    pub acknowledged: Option<(u64, StoredAt)>,
}

/// The shard and sequence number of a record.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct StoredAt {
    /// The shard's id.
    pub shard: String,
    /// The sequence number's digits.
    pub number: String,
}

/// All attempts, and the clock that orders them: a tick is larger than every earlier one.
#[derive(Debug, Default)]
pub struct History {
    tick: u64,
    /// By number.
    pub attempts: Vec<Attempt>,
}

impl History {
    /// Notes an attempt that is about to be sent, and gives its number.
    pub fn send(&mut self, stream: &str, key: &str) -> usize {
        self.tick += 1;
        let (stream, key) = (stream.to_owned(), key.to_owned());
        self.attempts.push(Attempt { stream, key, sent: self.tick, acknowledged: None });
        self.attempts.len() - 1
    }

    /// Notes that an attempt was acknowledged just now.
    pub fn acknowledge(&mut self, attempt: usize, shard: &str, number: &str) {
        self.tick += 1;
        let stored_at = StoredAt { shard: shard.to_owned(), number: number.to_owned() };
        self.attempts[attempt].acknowledged = Some((self.tick, stored_at));
    }

    /// How many were acknowledged.
    pub fn acknowledged(&self) -> usize {
        self.attempts.iter().filter(|attempt| attempt.acknowledged.is_some()).count()
    }
}

/// The data of an attempt: its number, then filling of so many bytes.
pub fn data_of(attempt: usize, filling_bytes: usize) -> Vec<u8> {
    let mut data = format!("{attempt}:").into_bytes();
    data.extend((0..filling_bytes).map(|at| (at * 7 + attempt) as u8));
    data
}

/// The attempt whose data these are; `None` when they are nobody's.
pub fn attempt_of(data: &[u8]) -> Option<usize> {
    let digits = data.iter().position(|byte| *byte == b':')?;
    let attempt = std::str::from_utf8(&data[..digits]).ok()?.parse().ok()?;
    (data == data_of(attempt, data.len() - digits - 1)).then_some(attempt)
}

/// A record as it was read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Record {
    /// Digits of its sequence number.
    pub number: String,
    /// The record's partition key.
    pub key: String,
    /// The attempt that its data name.
    pub attempt: Option<usize>,
    /// Arrival, milliseconds since the epoch.
    pub arrival_ms: u64,
}

impl Record {
    /// Returns the record's ordinal in its shard, from 1; 0 for a number that no shard gave out.
    pub fn ordinal(&self) -> u64 {
        SequenceNumber::parse(&self.number).map_or(0, |number| number.ordinal)
    }
}

/// A shard as it was listed and read from its beginning to its end.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ShardRead {
    /// The shard's id.
    pub id: String,
    /// Ids of its parents that are listed too.
    pub parents: Vec<String>,
    /// First and last hash key.
    pub range: (u128, u128),
    /// Whether it was listed as closed.
    pub is_closed: bool,
    /// In the order in which they were read.
    pub records: Vec<Record>,
}

/// One stream, read completely; shards in the order of their listing.
pub type StreamRead = Vec<ShardRead>;
