//! Hot keys: partition keys with a large part of all records or bytes, which no reshard can spread.

use super::{AT, Facts, Finding, LIGHT, NEAR, RECORDS_TELLING, Severity, percent};
use crate::command::doctor::sample::{Amount, Key, Rate, Sample};
use crate::command::figures;
use crate::command::shards::short;
use crate::command::tail::show::visible;

/// A key with this part of the stream's records or bytes is hot ...
const HOT_PART: f64 = 0.2;
/// ... if it is so many times the average of a key: few keys have large parts, each of them.
const HOT_TIMES: f64 = 5.0;
/// How many keys are named.
const FINDINGS_MAX: usize = 3;

/// A key and the sample it was seen in.
pub(in crate::command::doctor) struct Seen<'a> {
    pub(in crate::command::doctor) key: &'a Key,
    pub(in crate::command::doctor) sample: &'a Sample,
}

/// The keys of all samples, those with the largest part of the stream's records or bytes first.
pub(in crate::command::doctor) fn busiest(facts: &Facts) -> Vec<Seen<'_>> {
    let keyed = facts.keyed();
    let mut seen = Vec::new();
    for sample in &facts.samples {
        seen.extend(sample.keys.iter().map(|key| Seen { key, sample }));
    }
    seen.sort_by(|one, other| {
        let part = |seen: &Seen<'_>| seen.key.amount.part_of(keyed);
        part(other).total_cmp(&part(one)).then_with(|| one.key.name.cmp(&other.key.name))
    });
    seen
}

pub(super) fn found(facts: &Facts) -> Vec<Finding> {
    let keyed = facts.keyed();
    let distinct: u64 = facts.samples.iter().map(|sample| sample.distinct_keys).sum();
    if keyed.records < RECORDS_TELLING {
        return Vec::new();
    }
    let hot_from = HOT_PART.max(HOT_TIMES / distinct.max(1) as f64);
    let hot = busiest(facts).into_iter().filter(|seen| seen.key.amount.part_of(keyed) >= hot_from);
    hot.take(FINDINGS_MAX).map(|seen| finding(facts, &seen, keyed)).collect()
}

fn finding(facts: &Facts, seen: &Seen<'_>, keyed: Amount) -> Finding {
    let Seen { key, sample } = seen;
    // The part of its shard's limits that the key alone uses.
    let part = |own: u64, all: u64| own as f64 / all.max(1) as f64;
    let own = Rate {
        records: part(key.amount.records, sample.keyed.records) * sample.rate.records,
        bytes: part(key.amount.bytes, sample.keyed.bytes) * sample.rate.bytes,
    };
    let used = own.used(facts.limits);
    let name = visible(&key.name);
    Finding {
        severity: match used {
            AT.. => Severity::Critical,
            LIGHT.. => Severity::Warning,
            _ => Severity::Notice,
        },
        kind: "hot_key",
        what: format!("The key {name} is hot"),
        evidence: format!(
            "{} of the stream's records and {} of its bytes, in shard {}: {}, {} of what a shard takes",
            percent(part(key.amount.records, keyed.records)),
            percent(part(key.amount.bytes, keyed.bytes)),
            short(&sample.shard_id),
            figures::of(key.amount.records, "record"),
            percent(used)
        ),
        advice: if used >= NEAR {
            "A key cannot be split: spread it over several, such as by a suffix, at the cost of its order"
                .into()
        } else {
            "It stays in one shard however many there are: if it grows, spread it over several keys".into()
        },
        command: None,
    }
}
