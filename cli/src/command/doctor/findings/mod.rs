//! Findings about a stream: pure functions of the facts. Each finding says what is wrong, by what it was
//! seen, and what to do.

mod applications;
mod damage;
mod groups;
pub(super) mod keys;
mod load;
mod refusals;

use super::facts::Facts;

/// Records that a sample needs before its distribution says anything.
const RECORDS_TELLING: u64 = 100;
/// Part of a shard's limits from which on a shard, or a key, is near them ...
const NEAR: f64 = 0.8;
/// ... or at them.
const AT: f64 = 0.95;
/// Below this part of a shard's limits a load does no harm, however it is spread.
const LIGHT: f64 = 0.2;

/// How bad it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Severity {
    /// Records are refused or lost, or are about to be.
    Critical,
    /// The problem gets worse with more load or more time.
    Warning,
    /// No harm now.
    Notice,
}

impl Severity {
    pub(super) fn word(self) -> &'static str {
        match self {
            Self::Critical => "critical",
            Self::Warning => "warning",
            Self::Notice => "notice",
        }
    }
}

/// Something that is wrong.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Finding {
    pub(super) severity: Severity,
    /// For programs: always the same for the same cause.
    pub(super) kind: &'static str,
    pub(super) what: String,
    pub(super) evidence: String,
    pub(super) advice: String,
    /// The command to run, without the flags of the connection.
    pub(super) command: Option<String>,
}

/// Everything that is found, the worst first.
pub(super) fn all(facts: &Facts) -> Vec<Finding> {
    let mut findings = damage::found(facts);
    findings.extend(refusals::found(facts));
    findings.extend(groups::found(facts));
    findings.extend(applications::found(facts));
    findings.extend(load::found(facts));
    findings.extend(keys::found(facts));
    // Stable: of the same severity in the order above.
    findings.sort_by_key(|finding| finding.severity);
    findings
}

/// Percent of a whole, without decimals.
fn percent(part: f64) -> String {
    format!("{:.0} %", part * 100.0)
}

/// `shard 1`, `shards 1, 2 and 3`; of many the first ones.
fn shards_named(shard_ids: &[&str]) -> String {
    const NAMED_MAX: usize = 5;
    let named: Vec<_> =
        shard_ids.iter().take(NAMED_MAX).map(|id| crate::command::shards::short(id)).collect();
    match (named.as_slice(), shard_ids.len().saturating_sub(NAMED_MAX)) {
        ([one], _) => format!("shard {one}"),
        ([first @ .., last], 0) => format!("shards {} and {last}", first.join(", ")),
        (named, more) => format!("shards {} and {more} more", named.join(", ")),
    }
}

/// Names shards at the beginning of a sentence.
fn shards_first(shard_ids: &[&str]) -> String {
    let named = shards_named(shard_ids);
    format!("S{}", &named[1..])
}

#[cfg(test)]
pub(super) mod tests;
