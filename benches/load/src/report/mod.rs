//! The result of a run, which is written as JSON, and shown as text and as a page that draws the JSON.

mod machine;
mod page;
mod text;

use hdrhistogram::{Counter, Histogram};
use serde::{Deserialize, Serialize};

use super::ledger::Verdict;
use super::shard_tally::Shard;
use super::tally::{Second, Tally};

pub use machine::Machine;
pub use page::page;
pub use text::{milliseconds as short_latency, rounded, summary};

/// Version of the JSON; fields are only ever added.
pub const FORMAT: u32 = 1;
/// Percentiles above are left out of the curve: one in a hundred thousand.
const CURVE_END: f64 = 0.99999;

/// A run, and everything that is reported about it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct RunResult {
    /// [`FORMAT`].
    pub format: u32,
    /// Name and version of the program.
    pub tool: String,
    /// When it began, as RFC 3339 in UTC.
    pub started: String,
    /// Why it ended before its time.
    pub cut_short: Option<String>,
    /// Whether the endpoint kept its word.
    pub verification: Verification,
    /// The arguments of the run.
    pub settings: RunSettings,
    /// The machine that the load came from.
    pub machine: Machine,
    /// Counts of all requests that were due after the warm-up.
    pub records: Totals,
    /// Requests that ended, with or without an answer.
    pub requests: u64,
    /// From the end of the warm-up to the last answer, and not less than was asked for unless the run was
    /// interrupted.
    pub elapsed_s: f64,
    /// Acknowledged.
    pub records_per_s: f64,
    /// Bytes per second of the data of acknowledged records.
    pub bytes_per_s: f64,
    /// From due to answered; in a closed loop from sent to answered.
    pub latency_ms: Option<Percentiles>,
    /// From due to read by a consumer.
    pub end_to_end_ms: Option<Percentiles>,
    /// From the end of the warm-up on.
    pub seconds: Vec<SecondResult>,
    /// By identifier.
    pub shards: Vec<ShardResult>,
    /// Errors, and how often each happened.
    pub errors: Vec<ErrorResult>,
}

/// The arguments of a run.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct RunSettings {
    /// Where the load went.
    pub endpoint: String,
    /// The stream that the load went to.
    pub stream: String,
    /// `PutRecords` or `Records.PutStream`.
    pub api: String,
    /// Whether requests were due by the clock. In a closed loop they follow each other.
    pub is_open_loop: bool,
    /// Records a second, in an open loop.
    pub rate: Option<f64>,
    /// Records of a request.
    pub batch: u16,
    /// Size of a record, in words.
    pub size: String,
    /// Partition keys.
    pub keys: u32,
    /// In words.
    pub skew: String,
    /// Open shards at the beginning.
    pub shards: usize,
    /// Connections.
    pub producers: u16,
    /// Messages under way for each.
    pub in_flight: u16,
    /// Threads of the producers.
    pub threads: u16,
    /// Number of consumers.
    pub consumers: u16,
    /// How they read.
    pub consume: Option<String>,
    /// Whether requests were signed.
    pub is_signed: bool,
    /// Seconds.
    pub warm_up_s: f64,
    /// Seconds.
    pub duration_s: f64,
    /// Seconds.
    pub timeout_s: f64,
}

/// Records by their outcome.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Totals {
    /// Handed to a connection.
    pub sent: u64,
    /// Written, by the word of the endpoint.
    pub acknowledged: u64,
    /// Refused because of a limit.
    pub throttled: u64,
    /// Certainly not written, for another reason.
    pub failed: u64,
    /// Never answered.
    pub unknown: u64,
    /// Due, and not sent before the time was over, because every connection was busy.
    pub unsent: u64,
    /// Read by consumers, each of them counted.
    pub received: u64,
}

/// A distribution of times, in milliseconds.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Percentiles {
    /// Values.
    pub count: u64,
    /// Their mean.
    pub mean: f64,
    /// Half were shorter.
    pub p50: f64,
    /// Nine in ten were.
    pub p90: f64,
    /// 99 in 100.
    pub p99: f64,
    /// 999 in 1,000.
    pub p999: f64,
    /// The longest.
    pub max: f64,
    /// Quantiles, 0 to 0.99999, and their values.
    pub curve: Vec<(f64, f64)>,
}

/// One second of a run.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct SecondResult {
    /// Records sent in it.
    pub sent: u64,
    /// Records acknowledged in it.
    pub acknowledged: u64,
    /// Records throttled in it.
    pub throttled: u64,
    /// Records that failed in it, those of unknown outcome too.
    pub failed: u64,
    /// Records that consumers read in it.
    pub received: u64,
    /// Latencies of requests that were due in it: p50, p99 and longest, in milliseconds.
    pub latency_ms: Option<[f64; 3]>,
    /// Times from due to read, of records that were due in it: p50, p99 and longest, in milliseconds.
    pub end_to_end_ms: Option<[f64; 3]>,
}

/// One shard of a run.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ShardResult {
    /// Such as shardId-000000000000.
    pub id: String,
    /// Records acknowledged after the warm-up.
    pub acknowledged: u64,
    /// In each second.
    pub seconds: Vec<u64>,
}

/// Something that went wrong.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ErrorResult {
    /// In words.
    pub what: String,
    /// How many records it hit.
    pub records: u64,
}

/// Whether every acknowledged record was read.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "state", rename_all = "snake_case")]
pub enum Verification {
    /// The records were not compared.
    Off {
        /// The reason.
        reason: String,
    },
    /// Reading did not come to its end.
    Incomplete {
        /// The reason.
        reason: String,
    },
    /// The records were read and compared.
    Done {
        /// The findings.
        verdict: Verdict,
    },
}

impl RunResult {
    /// Whether nothing speaks against it: something was acknowledged, it was not interrupted, and no promise was
    /// broken.
    pub fn is_clean(&self) -> bool {
        let is_violated = match &self.verification {
            Verification::Off { .. } => false,
            Verification::Incomplete { .. } => true,
            Verification::Done { verdict } => !verdict.is_clean(),
        };
        self.records.acknowledged > 0 && self.cut_short.is_none() && !is_violated
    }

    /// Describes the kind of load in one phrase.
    pub fn described(&self) -> String {
        let RunSettings { rate, batch, api, producers, .. } = &self.settings;
        match rate {
            Some(rate) => format!("open loop, {} records/s due, {api} of {batch}", rounded(*rate)),
            None => {
                format!("closed loop, {producers} producers as fast as they are answered, {api} of {batch}")
            }
        }
    }
}

impl Percentiles {
    /// Percentiles of a histogram of microseconds; `None` when it is empty.
    pub fn of(histogram: &Histogram<u64>) -> Option<Self> {
        let at = |quantile| histogram.value_at_quantile(quantile) as f64 / 1_000.0;
        let mut curve: Vec<(f64, f64)> = histogram
            .iter_quantiles(5)
            .map(|step| (step.quantile_iterated_to(), step.value_iterated_to() as f64 / 1_000.0))
            .take_while(|(quantile, _)| *quantile <= CURVE_END)
            .collect();
        curve.dedup_by(|later, earlier| later.1 == earlier.1 && later.0 - earlier.0 < 1e-9);
        (!histogram.is_empty()).then(|| Self {
            count: histogram.len(),
            mean: histogram.mean() / 1_000.0,
            p50: at(0.5),
            p90: at(0.9),
            p99: at(0.99),
            p999: at(0.999),
            max: histogram.max() as f64 / 1_000.0,
            curve,
        })
    }
}

impl SecondResult {
    fn of(second: &Second) -> Self {
        let counts = &second.counts;
        Self {
            sent: counts.sent,
            acknowledged: counts.acknowledged,
            throttled: counts.throttled,
            failed: counts.failed + counts.unknown,
            received: counts.received,
            latency_ms: three(&second.latency),
            end_to_end_ms: three(&second.end_to_end),
        }
    }
}

fn three<T: Counter>(histogram: &Histogram<T>) -> Option<[f64; 3]> {
    let at = |quantile| histogram.value_at_quantile(quantile) as f64 / 1_000.0;
    (!histogram.is_empty()).then(|| [at(0.5), at(0.99), histogram.max() as f64 / 1_000.0])
}

/// Counts per second and per shard.
pub fn series(tally: &Tally) -> (Vec<SecondResult>, Vec<ShardResult>) {
    let seconds = tally.seconds.iter().map(SecondResult::of).collect();
    let shard = |(id, shard): (&str, &Shard)| ShardResult {
        id: id.to_owned(),
        acknowledged: shard.seconds.iter().sum(),
        seconds: shard.seconds.clone(),
    };
    let mut shards: Vec<ShardResult> = tally.shards.iter().map(shard).collect();
    shards.sort_by(|one, other| one.id.cmp(&other.id));
    (seconds, shards)
}
