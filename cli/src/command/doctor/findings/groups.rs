//! Consumer groups: records that expire before they are read, lag, and shards that nobody has.

use std::time::Duration;

use tidelog_proto::v1::describe_group_response::Shard;

use super::{Facts, Finding, Severity, percent, shards_first, shards_named};
use crate::command::doctor::facts::Group;
use crate::command::figures;
use crate::command::group::{Standing, standing};
use crate::command::time::lasting;

/// Part of the retention from which on a lag will cost records, or is about to.
const RETENTION_WARNING: f64 = 0.5;
const RETENTION_CRITICAL: f64 = 0.8;
/// From here on it is not known whether records are lost already: expired ones are not counted.
const RETENTION_PASSED: f64 = 0.98;
/// A lag that says that a group does not keep up.
const LAG_TELLING: Duration = Duration::from_secs(60);
/// The longest retention that can be set, in hours.
const RETENTION_HOURS_MAX: u32 = 8760;

pub(super) fn found(facts: &Facts) -> Vec<Finding> {
    facts.groups.iter().flat_map(|group| of_group(facts, group)).collect()
}

pub(super) fn of_group(facts: &Facts, group: &Group) -> Vec<Finding> {
    let late = expiring(facts, group).or_else(|| behind(facts, group));
    let alone =
        if group.described.members.is_empty() { Some(deserted(facts, group)) } else { unowned(facts, group) };
    late.into_iter().chain(alone).collect()
}

/// The shards that are not finished, by how far behind they are, the latest first.
fn latest<'a>(group: &'a Group) -> Vec<(&'a Shard, Duration)> {
    let unfinished = group.described.shards.iter().filter(|shard| standing(shard) != Standing::Finished);
    let behind = |shard: &'a Shard| Some((shard, Duration::from_millis(shard.millis_behind?)));
    let mut known: Vec<_> = unfinished.filter_map(behind).collect();
    known.sort_by_key(|(_, behind)| std::cmp::Reverse(*behind));
    known
}

fn ids<'a>(shards: &[(&'a Shard, Duration)]) -> Vec<&'a str> {
    shards.iter().map(|(shard, _)| shard.shard_id.as_str()).collect()
}

fn expiring(facts: &Facts, group: &Group) -> Option<Finding> {
    let retention = Duration::from_secs(u64::from(facts.retention_hours) * 3600);
    let part = |behind: Duration| behind.as_secs_f64() / retention.as_secs_f64().max(1.0);
    let mut near = latest(group);
    near.retain(|(_, behind)| part(*behind) >= RETENTION_WARNING);
    let (_, worst) = *near.first()?;
    let left = retention.saturating_sub(worst);
    let what = if part(worst) >= RETENTION_PASSED {
        format!("Records expire before {} reads them", group.name)
    } else {
        format!("{} reads records shortly before they expire", group.name)
    };
    let hours = facts.retention_hours.saturating_mul(2).min(RETENTION_HOURS_MAX);
    let can_keep_longer = hours > facts.retention_hours;
    let remedy = "Add members, or make their processing of a record faster";
    Some(Finding {
        severity: if part(worst) >= RETENTION_CRITICAL { Severity::Critical } else { Severity::Warning },
        kind: "retention",
        what,
        evidence: format!(
            "{} behind in {}, {} of the {} that records are kept; {} left",
            lasting(worst),
            shards_named(&ids(&near)),
            percent(part(worst)),
            figures::hours(facts.retention_hours),
            lasting(left)
        ),
        advice: if can_keep_longer {
            format!("{remedy}; until then keep records longer")
        } else {
            remedy.into()
        },
        command: can_keep_longer.then(|| format!("tidelog stream retention {} {hours}h", facts.stream)),
    })
}

fn behind(facts: &Facts, group: &Group) -> Option<Finding> {
    let mut late = latest(group);
    late.retain(|(_, behind)| *behind >= LAG_TELLING);
    let (_, worst) = *late.first()?;
    let records: u64 = late.iter().filter_map(|(shard, _)| shard.records_behind).sum();
    let (members, open) = (group.described.members.len(), facts.shards.len());
    let advice = match (members, members < open) {
        (0, _) => "Start its members",
        (_, true) => "Start more members: there are fewer of them than shards",
        // More members than shards would have nothing to do.
        (_, false) => {
            "Make its members' processing of a record faster, or split shards so that more members can share them"
        }
    };
    Some(Finding {
        severity: Severity::Warning,
        kind: "lag",
        what: format!("{} is {} behind", group.name, lasting(worst)),
        evidence: format!(
            "{} in {}; {}, {}",
            figures::of(records, "record"),
            shards_named(&ids(&late)),
            figures::of(members as u64, "member"),
            figures::of(open as u64, "open shard")
        ),
        advice: advice.into(),
        command: Some(format!("tidelog group describe {} {}", facts.stream, group.name)),
    })
}

fn deserted(facts: &Facts, group: &Group) -> Finding {
    let waiting: u64 = group.described.shards.iter().filter_map(|shard| shard.records_behind).sum();
    Finding {
        severity: if waiting > 0 { Severity::Warning } else { Severity::Notice },
        kind: "no_members",
        what: format!("{} has no members", group.name),
        evidence: format!("{} not processed", of_waiting(waiting)),
        advice: "Start its members, or delete it if it is not needed any more".into(),
        command: Some(format!("tidelog group delete {} {}", facts.stream, group.name)),
    }
}

fn of_waiting(records: u64) -> String {
    if records == 1 { "1 record is".into() } else { format!("{} are", figures::of(records, "record")) }
}

fn unowned(facts: &Facts, group: &Group) -> Option<Finding> {
    let shards = group.described.shards.iter().filter(|shard| standing(shard) == Standing::Unowned);
    let shards: Vec<_> = shards.map(|shard| shard.shard_id.as_str()).collect();
    if shards.is_empty() {
        return None;
    }
    let lease = lasting(Duration::from_millis(group.described.lease_ms.into()));
    let have = if shards.len() == 1 { "has" } else { "have" };
    Some(Finding {
        severity: Severity::Warning,
        kind: "unowned",
        what: format!("{} of {} {have} no owner", shards_first(&shards), group.name),
        evidence: format!(
            "{}, none of them has it now",
            figures::of(group.described.members.len() as u64, "member")
        ),
        advice: format!(
            "Members take it within a lease ({lease}). If it stays so, they hang or cannot reach the broker: look again"
        ),
        command: Some(format!("tidelog group describe {} {}", facts.stream, group.name)),
    })
}
