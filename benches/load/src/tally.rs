//! The counts of a run: per second, per shard, in all. One tally for each thread of producers and of
//! consumers, locked once per request; added up at the end.
//!
//! Counts cover requests that were due after the warm-up. Latencies belong to the second in which a request
//! was due, everything else to the second in which it happened.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use hdrhistogram::Histogram;

use super::shard_tally::Shards;

/// Different words of errors that are kept; others are counted together.
const ERRORS_MAX: usize = 20;
/// Latencies above are counted as this much.
const LATENCY_MAX: Duration = Duration::from_secs(3_600);

/// Why recording and adding cannot fail.
const RESIZES: &str = "histograms resize themselves";

/// When a run began, and which part of it is measured.
#[derive(Clone, Copy, Debug)]
pub struct Window {
    /// The warm-up begins.
    pub began: Instant,
    /// The warm-up is over.
    pub from: Instant,
}

impl Window {
    /// The second of the measured part in which an instant lies; `None` before.
    pub fn second(&self, moment: Instant) -> Option<usize> {
        Some(moment.checked_duration_since(self.from)?.as_secs() as usize)
    }

    /// Nanoseconds since the run began.
    pub fn ns(&self, moment: Instant) -> u64 {
        u64::try_from(moment.saturating_duration_since(self.began).as_nanos()).unwrap_or(u64::MAX)
    }
}

/// Records by their outcome.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Handed to a connection.
    pub sent: u64,
    /// Written, by the word of the endpoint.
    pub acknowledged: u64,
    /// Refused because of a limit.
    pub throttled: u64,
    /// Certainly not written, for another reason.
    pub failed: u64,
    /// Sent, and never answered: written or not.
    pub unknown: u64,
    /// Read by consumers.
    pub received: u64,
}

impl Counts {
    /// Adds those of another thread.
    pub fn add(&mut self, other: &Self) {
        self.sent += other.sent;
        self.acknowledged += other.acknowledged;
        self.throttled += other.throttled;
        self.failed += other.failed;
        self.unknown += other.unknown;
        self.received += other.received;
    }
}

/// One second of the run.
#[derive(Clone, Debug)]
pub struct Second {
    /// The counts of the second.
    pub counts: Counts,
    /// Microseconds from due to answered, of requests due in it.
    pub latency: Histogram<u32>,
    /// Microseconds from due to read by a consumer, of records due in it.
    pub end_to_end: Histogram<u32>,
}

impl Default for Second {
    fn default() -> Self {
        let histogram = Histogram::new(2).expect("two digits are within the bounds of 0 to 5");
        Self { counts: Counts::default(), latency: histogram.clone(), end_to_end: histogram }
    }
}

/// Everything that was counted.
#[derive(Clone, Debug)]
pub struct Tally {
    window: Window,
    /// From the end of the warm-up on.
    pub seconds: Vec<Second>,
    /// Latencies of all requests that were answered, in microseconds.
    pub latency: Histogram<u64>,
    /// Times from due to read, of all records that consumers have read, in microseconds.
    pub end_to_end: Histogram<u64>,
    /// Counts of all seconds.
    pub total: Counts,
    /// Requests that were answered.
    pub requests: u64,
    /// Bytes of the data of acknowledged records.
    pub bytes: u64,
    /// By identifier.
    pub shards: Shards,
    /// Errors, and for how many records each happened.
    pub errors: BTreeMap<String, u64>,
    /// When the last answer came.
    pub last: Option<Instant>,
}

impl Tally {
    /// Nothing yet.
    pub fn new(window: Window) -> Self {
        let histogram = Histogram::new(3).expect("three digits are within the bounds of 0 to 5");
        Self {
            window,
            seconds: Vec::new(),
            latency: histogram.clone(),
            end_to_end: histogram,
            total: Counts::default(),
            requests: 0,
            bytes: 0,
            shards: Shards::default(),
            errors: BTreeMap::new(),
            last: None,
        }
    }

    /// A request of so many records was handed to its connection.
    pub fn sent(&mut self, due: Instant, now: Instant, records: u64) {
        self.count(due, now, Counts { sent: records, ..Counts::default() });
    }

    /// A request was answered, or given up. `latency` tells whether its time counts: that of an answer with at least
    /// one record written does.
    pub fn settled(&mut self, due: Instant, now: Instant, counts: Counts, latency: bool) {
        self.count(due, now, counts);
        let Some(second) = self.window.second(due) else { return };
        self.requests += 1;
        self.last = self.last.max(Some(now));
        if latency {
            let micros = micros(now.saturating_duration_since(due));
            self.latency.record(micros).expect(RESIZES);
            self.second(second).latency.record(micros).expect(RESIZES);
        }
    }

    /// A record was placed in that shard.
    pub fn placed(&mut self, due: Instant, now: Instant, shard: &str, number: &str) {
        let measured = self.window.second(due).and_then(|_| self.window.second(now));
        let counted = self.shards.of(shard);
        counted.acknowledged += 1;
        if counted.first.is_empty() || is_before(number, &counted.first) {
            number.clone_into(&mut counted.first);
        }
        if let Some(second) = measured {
            if counted.seconds.len() <= second {
                counted.seconds.resize(second + 1, 0);
            }
            counted.seconds[second] += 1;
        }
    }

    /// A consumer has read a record that was due at that moment.
    pub fn received(&mut self, due: Instant, now: Instant) {
        self.count(due, now, Counts { received: 1, ..Counts::default() });
        if let Some(second) = self.window.second(due) {
            let micros = micros(now.saturating_duration_since(due));
            self.end_to_end.record(micros).expect(RESIZES);
            self.second(second).end_to_end.record(micros).expect(RESIZES);
        }
    }

    /// Something went wrong for so many records.
    pub fn error(&mut self, words: &str, records: u64) {
        let words = if self.errors.len() >= ERRORS_MAX && !self.errors.contains_key(words) {
            "others"
        } else {
            words
        };
        *self.errors.entry(words.to_owned()).or_default() += records;
    }

    /// Adds the counts of another thread.
    pub fn merge(&mut self, other: Self) {
        self.total.add(&other.total);
        self.requests += other.requests;
        self.bytes += other.bytes;
        self.last = self.last.max(other.last);
        self.latency.add(other.latency).expect(RESIZES);
        self.end_to_end.add(other.end_to_end).expect(RESIZES);
        for (second, theirs) in other.seconds.into_iter().enumerate() {
            let own = self.second(second);
            own.counts.add(&theirs.counts);
            own.latency.add(theirs.latency).expect(RESIZES);
            own.end_to_end.add(theirs.end_to_end).expect(RESIZES);
        }
        for (words, records) in other.errors {
            self.error(&words, records);
        }
        for (id, theirs) in other.shards.iter() {
            let own = self.shards.of(id);
            own.acknowledged += theirs.acknowledged;
            if own.first.is_empty() || is_before(&theirs.first, &own.first) {
                own.first.clone_from(&theirs.first);
            }
            own.seconds.resize(own.seconds.len().max(theirs.seconds.len()), 0);
            for (own, theirs) in own.seconds.iter_mut().zip(&theirs.seconds) {
                *own += theirs;
            }
        }
    }

    fn count(&mut self, due: Instant, now: Instant, counts: Counts) {
        if let (Some(_), Some(second)) = (self.window.second(due), self.window.second(now)) {
            self.total.add(&counts);
            self.second(second).counts.add(&counts);
        }
    }

    fn second(&mut self, second: usize) -> &mut Second {
        if self.seconds.len() <= second {
            self.seconds.resize_with(second + 1, Second::default);
        }
        &mut self.seconds[second]
    }
}

fn micros(time: Duration) -> u64 {
    u64::try_from(time.min(LATENCY_MAX).as_micros()).expect("an hour of microseconds fits")
}

/// Whether one sequence number comes before another. Sequence numbers of a stream may differ in length.
pub fn is_before(one: &str, other: &str) -> bool {
    (one.len(), one) < (other.len(), other)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn requests_due_in_the_warm_up_are_not_measured() {
        let began = Instant::now();
        let window = Window { began, from: began + Duration::from_secs(2) };
        let at = |ms: u64| began + Duration::from_millis(ms);
        let mut tally = Tally::new(window);
        let one = Counts { acknowledged: 1, ..Counts::default() };
        for (due, done) in [(1_900, 2_100), (2_000, 2_010), (2_500, 4_500)] {
            tally.sent(at(due), at(due), 1);
            tally.settled(at(due), at(done), one, true);
            tally.placed(at(due), at(done), "shard", if due == 2_000 { "9" } else { "10" });
        }
        assert_eq!(tally.total, Counts { sent: 2, acknowledged: 2, ..Counts::default() });
        assert_eq!(
            tally.seconds.iter().map(|second| second.counts.acknowledged).collect::<Vec<_>>(),
            [1, 0, 1]
        );
        assert_eq!(tally.seconds[0].latency.len(), 2, "both were due in the first second");
        assert!(tally.seconds[0].latency.max() >= 1_990_000);
        let mut whole = Tally::new(window);
        whole.merge(tally.clone());
        whole.merge(tally);
        let shard = whole.shards.of("shard");
        assert_eq!((shard.acknowledged, shard.first.as_str(), &shard.seconds[..]), (6, "9", &[2, 0, 2][..]));
        assert_eq!((whole.latency.len(), whole.requests), (4, 4));
    }

    #[test]
    fn errors_are_bounded() {
        let now = Instant::now();
        let mut tally = Tally::new(Window { began: now, from: now });
        for number in 0..1_000 {
            tally.error(&format!("error {number}"), 1);
        }
        assert_eq!(tally.errors.len(), ERRORS_MAX + 1);
        assert_eq!(tally.errors["others"], 980);
    }
}
