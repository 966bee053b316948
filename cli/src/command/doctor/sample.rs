//! The recent traffic of a shard, by its keys and its seconds: counted while it is read, the records
//! themselves are not kept.

use std::collections::{BTreeMap, HashMap};
use std::time::Duration;

use tidelog_proto::v1::{self, position};
use tokio::time::timeout;

use tidelog_client::Connection;
use tidelog_client::Error;
use tidelog_client::aggregation::deaggregate;

/// Records, and bytes, that are read of a shard at most.
pub(super) const RECORDS_MAX: u64 = 10_000;
pub(super) const BYTES_MAX: u64 = 4 << 20;
/// How many of a shard's keys are kept: those with the most records, and those with the most bytes.
const KEYS_MAX: usize = 50;

/// Records and bytes of data and keys.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Amount {
    pub(super) records: u64,
    pub(super) bytes: u64,
}

impl Amount {
    pub(super) fn add(&mut self, other: Self) {
        self.records += other.records;
        self.bytes += other.bytes;
    }

    /// The part of `whole` that it is, 0 to 1: of its records or of its bytes, whichever is more.
    pub(super) fn part_of(self, whole: Self) -> f64 {
        let part = |own: u64, all: u64| own as f64 / all.max(1) as f64;
        part(self.records, whole.records).max(part(self.bytes, whole.bytes))
    }
}

/// Records and bytes a second.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(super) struct Rate {
    pub(super) records: f64,
    pub(super) bytes: f64,
}

impl Rate {
    /// The part of a shard's limits that it is: 1 at the nearer one, 0 where there are none.
    pub(super) fn used(self, limits: Limits) -> f64 {
        (self.records / limits.records).max(self.bytes / limits.bytes)
    }
}

/// The limits of a shard per second; infinite where the broker sets no limit.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Limits {
    pub(super) records: f64,
    pub(super) bytes: f64,
}

impl Default for Limits {
    /// AWS's figures, which are Tidelog's by default.
    fn default() -> Self {
        Self { records: 1000.0, bytes: 1024.0 * 1024.0 }
    }
}

/// A partition key and its traffic, records of KPL in their parts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Key {
    pub(super) name: String,
    pub(super) amount: Amount,
}

/// The recent traffic of a shard.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Sample {
    pub(super) shard_id: String,
    /// The traffic as it was put.
    pub(super) amount: Amount,
    /// On average.
    pub(super) rate: Rate,
    /// In the second that took the most.
    pub(super) busiest: Rate,
    /// Records with a key, those of KPL in their parts.
    pub(super) keyed: Amount,
    pub(super) distinct_keys: u64,
    /// The most frequent ones and the largest ones; the most frequent ones first.
    pub(super) keys: Vec<Key>,
}

/// Reads the records that arrived within `span`, up to the bounds.
pub(super) async fn sampled(
    connection: &Connection,
    stream: &str,
    shard_id: &str,
    span: Duration,
    limits: Limits,
) -> Result<Sample, Error> {
    let now = jiff::Timestamp::now().as_millisecond();
    let since_ms = now.saturating_sub(i64::try_from(span.as_millis()).unwrap_or(i64::MAX)).max(0);
    let node = connection.node_for_stream();
    let message = v1::ReadRequest {
        stream: stream.to_owned(),
        shard_id: shard_id.to_owned(),
        from: Some(at(since_ms)),
        records_max: RECORDS_MAX,
    };
    let mut messages = node.answer(node.records().read(node.request(message))).await?;
    let mut counting = Counting { limits, ..Counting::default() };
    let within = connection.request_timeout();
    let is_complete = loop {
        let message = timeout(within, messages.message()).await.map_err(|_| Error::late(within))?;
        let Some(message) = message.map_err(Error::from)? else {
            break counting.amount.records < RECORDS_MAX;
        };
        message.records.iter().for_each(|record| counting.take(record));
        if counting.amount.bytes >= BYTES_MAX {
            break false;
        }
    };
    Ok(counting.sample(shard_id, since_ms, span, is_complete))
}

fn at(millis: i64) -> v1::Position {
    let nanos = i32::try_from(millis.rem_euclid(1000) * 1_000_000).expect("below 1,000 milliseconds");
    let time = prost_types::Timestamp { seconds: millis.div_euclid(1000), nanos };
    v1::Position { at: Some(position::At::AtTimestamp(time)) }
}

/// A sample while it is read.
#[derive(Debug, Default)]
struct Counting {
    limits: Limits,
    amount: Amount,
    seconds: BTreeMap<i64, Amount>,
    keyed: Amount,
    keys: HashMap<String, Amount>,
    last_ms: i64,
}

impl Counting {
    fn take(&mut self, record: &v1::Record) {
        let arrival = record.approximate_arrival.unwrap_or_default();
        self.last_ms =
            arrival.seconds.saturating_mul(1000).saturating_add(i64::from(arrival.nanos) / 1_000_000);
        let own = amount(record.partition_key.as_deref(), &record.data);
        self.amount.add(own);
        self.seconds.entry(arrival.seconds).or_default().add(own);
        match (deaggregate(&record.data), &record.partition_key) {
            (Some(parts), _) => parts.iter().for_each(|part| {
                self.take_key(&part.partition_key, amount(Some(&part.partition_key), &part.data));
            }),
            (None, Some(key)) => self.take_key(key, own),
            (None, None) => {}
        }
    }

    fn take_key(&mut self, key: &str, amount: Amount) {
        self.keyed.add(amount);
        match self.keys.get_mut(key) {
            Some(sum) => sum.add(amount),
            None => {
                self.keys.insert(key.to_owned(), amount);
            }
        }
    }

    /// Over the whole span if these are all its records, over the time that they cover otherwise.
    fn sample(self, shard_id: &str, since_ms: i64, span: Duration, is_complete: bool) -> Sample {
        let covered =
            if is_complete { span.as_secs_f64() } else { (self.last_ms - since_ms).max(1) as f64 / 1000.0 };
        let rate = |amount: Amount, seconds: f64| Rate {
            records: amount.records as f64 / seconds,
            bytes: amount.bytes as f64 / seconds,
        };
        let seconds = self.seconds.values().map(|second| rate(*second, 1.0));
        let used = |second: &Rate| second.used(self.limits);
        Sample {
            shard_id: shard_id.to_owned(),
            amount: self.amount,
            rate: rate(self.amount, covered),
            busiest: seconds.max_by(|one, other| used(one).total_cmp(&used(other))).unwrap_or_default(),
            keyed: self.keyed,
            distinct_keys: self.keys.len() as u64,
            keys: most(self.keys),
        }
    }
}

fn amount(key: Option<&str>, data: &[u8]) -> Amount {
    Amount { records: 1, bytes: (key.map_or(0, str::len) + data.len()) as u64 }
}

/// The keys with the most records, and those with the most bytes.
fn most(keys: HashMap<String, Amount>) -> Vec<Key> {
    let mut keys: Vec<Key> = keys.into_iter().map(|(name, amount)| Key { name, amount }).collect();
    keys.sort_by(|one, other| (other.amount.bytes, &one.name).cmp(&(one.amount.bytes, &other.name)));
    let largest: Vec<Key> = keys.iter().take(KEYS_MAX).cloned().collect();
    keys.sort_by(|one, other| (other.amount.records, &one.name).cmp(&(one.amount.records, &other.name)));
    keys.truncate(KEYS_MAX);
    for key in largest {
        if !keys.contains(&key) {
            keys.push(key);
        }
    }
    keys
}

#[cfg(test)]
mod tests {
    use super::*;
    use tidelog_client::aggregation::{UserRecord, aggregate};

    fn record(key: &str, data: &[u8], seconds: i64) -> v1::Record {
        v1::Record {
            partition_key: Some(key.into()),
            data: data.to_vec().into(),
            sequence_number: "1".into(),
            approximate_arrival: Some(prost_types::Timestamp { seconds, nanos: 500_000_000 }),
        }
    }

    #[test]
    fn records_are_counted_by_key_and_by_second() {
        let mut counting = Counting::default();
        for (key, bytes, second) in [("ada", 7, 10), ("ada", 7, 10), ("alan", 96, 11), ("ada", 7, 12)] {
            counting.take(&record(key, &vec![b'x'; bytes], second));
        }
        let sample = counting.sample("shardId-000000000001", 8_500, Duration::from_secs(10), false);
        assert_eq!(sample.amount, Amount { records: 4, bytes: 130 });
        assert_eq!(sample.rate, Rate { records: 1.0, bytes: 32.5 });
        assert_eq!(sample.busiest, Rate { records: 2.0, bytes: 20.0 });
        let keys = [("ada", 3, 30), ("alan", 1, 100)];
        let keys =
            keys.map(|(name, records, bytes)| Key { name: name.into(), amount: Amount { records, bytes } });
        assert_eq!((sample.keys.as_slice(), sample.distinct_keys), (keys.as_slice(), 2));
    }

    #[test]
    fn a_sample_that_is_whole_covers_its_span() {
        let mut counting = Counting::default();
        counting.take(&record("k", b"123456789", 10));
        let sample = counting.sample("shard", 8_500, Duration::from_secs(10), true);
        assert_eq!(sample.rate, Rate { records: 0.1, bytes: 1.0 });
        let nothing = Counting::default().sample("shard", 0, Duration::from_secs(10), true);
        assert_eq!(nothing, Sample { shard_id: "shard".into(), ..Sample::default() });
    }

    #[test]
    fn records_of_kpl_are_counted_by_the_keys_within() {
        let part = |key: &str| UserRecord {
            partition_key: key.into(),
            explicit_hash_key: None,
            data: bytes::Bytes::from_static(b"data"),
        };
        let mut counting = Counting::default();
        counting.take(&record("a", &aggregate([part("ada"), part("ada"), part("alan")]), 10));
        assert_eq!((counting.amount.records, counting.keyed), (1, Amount { records: 3, bytes: 22 }));
        assert_eq!(counting.keys["ada"], Amount { records: 2, bytes: 14 });
    }

    #[test]
    fn few_of_many_keys_are_kept_and_large_ones_among_them() {
        let mut keys: HashMap<String, Amount> =
            (0..500).map(|at| (format!("key-{at:03}"), Amount { records: 1000 - at, bytes: 1 })).collect();
        keys.insert("large".into(), Amount { records: 1, bytes: 1 << 20 });
        let kept = most(keys);
        assert!(kept.len() <= 2 * KEYS_MAX && kept[0].name == "key-000");
        assert!(kept.iter().any(|key| key.name == "large"));
    }
}
