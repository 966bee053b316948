//! Shards: near their limits, loaded unevenly, or with ranges of unequal size.

use super::{AT, Facts, Finding, LIGHT, NEAR, RECORDS_TELLING, Severity, percent, shards_first};
use crate::command::doctor::sample::{Key, Limits, Rate, Sample};
use crate::command::figures;
use crate::command::shards::short;
use crate::command::tail::show::visible;
use tidelog_client::Shard;

/// A shard that takes this many times an even part of the load takes too much.
const UNEVEN_TIMES: f64 = 1.5;
/// A range that is more than this many times the smallest one is too large; one split makes twice.
const RANGE_TIMES: f64 = 2.01;
/// A key that makes up this part of a shard's load is the reason for the load.
const DOMINATING: f64 = 0.5;

pub(super) fn found(facts: &Facts) -> Vec<Finding> {
    let mut findings = full(facts);
    findings.extend(bursts(facts));
    findings.extend(uneven_load(facts));
    findings.extend(uneven_ranges(facts));
    findings
}

/// The key that fills the shard, if one does.
fn dominating(sample: &Sample) -> Option<&Key> {
    let part = |key: &Key| key.amount.part_of(sample.keyed);
    let most = sample.keys.iter().max_by(|one, other| part(one).total_cmp(&part(other)))?;
    (sample.keyed.records >= RECORDS_TELLING && part(most) >= DOMINATING).then_some(most)
}

/// A rate beside the limits, as far as there are any.
fn rate(rate: Rate, limits: Limits) -> String {
    let of = |limit: f64, written: fn(u64) -> String| match limit.is_finite() {
        true => format!(" of {}", written(limit as u64)),
        false => String::new(),
    };
    format!(
        "{} records/s{} and {}/s{}",
        figures::count(rate.records.round() as u64),
        of(limits.records, figures::count),
        figures::bytes(rate.bytes.round() as u64),
        of(limits.bytes, figures::bytes)
    )
}

/// Advises on an overloaded shard: a sentence, and a command if one helps.
fn relief(facts: &Facts, sample: &Sample) -> (String, Option<String>) {
    if let Some(key) = dominating(sample) {
        let part = percent(key.amount.part_of(sample.keyed));
        let name = visible(&key.name);
        return (
            format!(
                "A split does not help: {part} of it is of the key {name}. Spread that over several keys"
            ),
            None,
        );
    }
    if facts.is_on_demand {
        return ("The stream is on demand and splits the shard by itself when the load stays".into(), None);
    }
    let command = format!("tidelog stream reshard {} --split {}", facts.stream, short(&sample.shard_id));
    ("Split it".into(), Some(command))
}

/// Shards near their limits on average: one by one, or all at once when they are at least half of the stream.
fn full(facts: &Facts) -> Vec<Finding> {
    let near: Vec<&Sample> =
        facts.samples.iter().filter(|sample| sample.rate.used(facts.limits) >= NEAR).collect();
    let severity = |used: f64| if used >= AT { Severity::Critical } else { Severity::Warning };
    let most = near
        .iter()
        .max_by(|one, other| one.rate.used(facts.limits).total_cmp(&other.rate.used(facts.limits)));
    let Some(most) = most else { return Vec::new() };
    let is_of_keys = near.iter().any(|sample| dominating(sample).is_some());
    if near.len() > 1 && near.len() * 2 >= facts.shards.len() && !facts.is_on_demand && !is_of_keys {
        let ids: Vec<_> = near.iter().map(|sample| sample.shard_id.as_str()).collect();
        let count = facts.shards.len() * 2;
        return vec![Finding {
            severity: severity(most.rate.used(facts.limits)),
            kind: "full",
            what: format!("{} are near the limits of a shard", shards_first(&ids)),
            evidence: format!("shard {} takes {}", short(&most.shard_id), rate(most.rate, facts.limits)),
            advice: "Give the stream more shards".into(),
            command: Some(format!("tidelog stream reshard {} --shards {count}", facts.stream)),
        }];
    }
    let finding = |sample: &&Sample| {
        let (advice, command) = relief(facts, sample);
        Finding {
            severity: severity(sample.rate.used(facts.limits)),
            kind: "full",
            what: format!("{} is near the limits of a shard", shards_first(&[&sample.shard_id])),
            evidence: format!("it takes {}", rate(sample.rate, facts.limits)),
            advice,
            command,
        }
    };
    near.iter().map(finding).collect()
}

/// Shards that are near their limits in single seconds only.
fn bursts(facts: &Facts) -> Option<Finding> {
    let mut bursting: Vec<&Sample> = facts
        .samples
        .iter()
        .filter(|sample| sample.rate.used(facts.limits) < NEAR && sample.busiest.used(facts.limits) >= NEAR)
        .collect();
    bursting
        .sort_by(|one, other| other.busiest.used(facts.limits).total_cmp(&one.busiest.used(facts.limits)));
    let most = *bursting.first()?;
    let ids: Vec<_> = bursting.iter().map(|sample| sample.shard_id.as_str()).collect();
    let take = if ids.len() == 1 { "takes" } else { "take" };
    Some(Finding {
        severity: Severity::Notice,
        kind: "bursts",
        what: format!("{} {take} bursts near the limits of a shard", shards_first(&ids)),
        evidence: format!(
            "in one second shard {} took {}, on average {} of that",
            short(&most.shard_id),
            rate(most.busiest, facts.limits),
            percent(most.rate.used(facts.limits) / most.busiest.used(facts.limits))
        ),
        advice: "Have producers spread their puts over time, or split the shards".into(),
        command: None,
    })
}

/// How many times an even part a shard takes.
fn times_even(facts: &Facts, sample: &Sample) -> f64 {
    sample.amount.part_of(facts.amount()) * facts.shards.len() as f64
}

/// Whether the samples say how the load is spread.
fn is_telling(facts: &Facts) -> bool {
    facts.samples.len() == facts.shards.len() && facts.amount().records >= RECORDS_TELLING
}

fn uneven_load(facts: &Facts) -> Option<Finding> {
    if facts.shards.len() < 2 || !is_telling(facts) {
        return None;
    }
    let mut uneven: Vec<&Sample> =
        facts.samples.iter().filter(|sample| times_even(facts, sample) > UNEVEN_TIMES).collect();
    uneven.sort_by(|one, other| times_even(facts, other).total_cmp(&times_even(facts, one)));
    let most = *uneven.first()?;
    if most.rate.used(facts.limits) >= NEAR {
        // Received as full, with the same advice.
        return None;
    }
    let (advice, command) = relief(facts, most);
    let ids: Vec<_> = uneven.iter().map(|sample| sample.shard_id.as_str()).collect();
    let take = if ids.len() == 1 { "takes" } else { "take" };
    let whole = facts.amount();
    let part = |own: u64, all: u64| percent(own as f64 / all.max(1) as f64);
    Some(Finding {
        severity: if most.rate.used(facts.limits) < LIGHT { Severity::Notice } else { Severity::Warning },
        kind: "uneven_load",
        what: format!("{} {take} more than an even part of the load", shards_first(&ids)),
        evidence: format!(
            "shard {} took {} of the records and {} of the bytes; even would be {}",
            short(&most.shard_id),
            part(most.amount.records, whole.records),
            part(most.amount.bytes, whole.bytes),
            percent(1.0 / facts.shards.len() as f64)
        ),
        advice,
        command,
    })
}

/// The part of all hash keys that the shard takes, 0 to 1.
fn share(shard: &Shard) -> f64 {
    let (first, last) = (*shard.range.start(), *shard.range.end());
    (last.saturating_sub(first) as f64 + 1.0) / (u128::MAX as f64 + 1.0)
}

/// Ranges of unequal size, unless they make the load even.
fn uneven_ranges(facts: &Facts) -> Option<Finding> {
    let by_share = |one: &&Shard, other: &&Shard| share(one).total_cmp(&share(other));
    let largest = facts.shards.iter().max_by(by_share)?;
    let smallest = facts.shards.iter().min_by(by_share)?;
    let is_load_even =
        is_telling(facts) && facts.samples.iter().all(|sample| times_even(facts, sample) <= UNEVEN_TIMES);
    if facts.is_on_demand || is_load_even || share(largest) <= RANGE_TIMES * share(smallest) {
        return None;
    }
    let (large, small) = (short(&largest.shard_id), short(&smallest.shard_id));
    Some(Finding {
        severity: Severity::Notice,
        kind: "uneven_ranges",
        what: "The shards' hash ranges are of unequal size".into(),
        evidence: format!(
            "shard {large} has {:.1} % of the hash keys, shard {small} {:.1} %",
            share(largest) * 100.0,
            share(smallest) * 100.0
        ),
        advice: "Unless that is meant, split the largest".into(),
        command: Some(format!("tidelog stream reshard {} --split {large}", facts.stream)),
    })
}
