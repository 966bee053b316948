//! Throttles: records and calls that the broker has refused for the budget of a shard.

use std::time::Duration;

use super::{Facts, Finding, Severity, shards_named};
use crate::command::doctor::throttles::{Refused, Throttles};
use crate::command::figures;
use crate::command::time::lasting;

pub(super) fn found(facts: &Facts) -> Vec<Finding> {
    let Some(throttles) = &facts.throttles else { return Vec::new() };
    // The shards' own counters say more than that of the stream.
    let found =
        if throttles.ever.shards.is_empty() { of_stream(facts, throttles) } else { of_shards(throttles) };
    found.into_iter().collect()
}

fn of_shards(throttles: &Throttles) -> Option<Finding> {
    let refused = |shards: &std::collections::BTreeMap<String, Refused>| {
        let sum = shards.values().fold(Refused::default(), |sum, own| Refused {
            records: sum.records + own.records,
            calls: sum.calls + own.calls,
        });
        let hit: Vec<String> =
            shards.iter().filter(|(_, own)| !own.is_nothing()).map(|(shard, _)| shard.clone()).collect();
        (sum, hit)
    };
    let (now, now_hit) = refused(&throttles.now.shards);
    let (ever, ever_hit) = refused(&throttles.ever.shards);
    if ever.is_nothing() {
        return None;
    }
    let is_now = !now.is_nothing();
    let hit = if is_now { now_hit } else { ever_hit };
    let hit: Vec<&str> = hit.iter().map(String::as_str).collect();
    let evidence = format!("{} in {}", counts_text(now, ever, throttles.watched), shards_named(&hit));
    Some(finding(is_now, ever, evidence))
}

fn of_stream(facts: &Facts, throttles: &Throttles) -> Option<Finding> {
    let (now, ever) = (throttles.now.stream, throttles.ever.stream);
    if ever.is_nothing() {
        return None;
    }
    let evidence = format!(
        "{}, by the node that was asked; EnableEnhancedMonitoring of {} tells them by shard",
        counts_text(now, ever, throttles.watched),
        facts.stream
    );
    Some(finding(!now.is_nothing(), ever, evidence))
}

fn counts_text(now: Refused, ever: Refused, watched: Duration) -> String {
    let amounts = |refused: Refused| {
        let records = (refused.records > 0).then(|| figures::of(refused.records, "record"));
        let calls = (refused.calls > 0).then(|| figures::of(refused.calls, "read"));
        records.into_iter().chain(calls).collect::<Vec<_>>().join(" and ")
    };
    if now.is_nothing() {
        return format!(
            "{} refused since counting began, none within the last {}",
            amounts(ever),
            lasting(watched)
        );
    }
    format!("{} refused within {}, {} since counting began", amounts(now), lasting(watched), amounts(ever))
}

fn finding(is_now: bool, ever: Refused, evidence: String) -> Finding {
    let advice = match (ever.records > 0, ever.calls > 0) {
        (true, false) => {
            "Spread the records over more shards; the findings on load and keys say which are full"
        }
        (false, true) => {
            "Read less often, by subscription (SubscribeToShard, or a group of the gRPC API), or from more shards"
        }
        _ => "Spread the records over more shards, and read by subscription rather than by polling",
    };
    Finding {
        severity: if is_now { Severity::Critical } else { Severity::Notice },
        kind: "throttles",
        what: if is_now {
            "The broker refuses what is beyond the limits of a shard".into()
        } else {
            "The broker has refused what was beyond the limits of a shard".into()
        },
        evidence,
        advice: advice.into(),
        command: None,
    }
}
