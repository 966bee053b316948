//! Damage: records that the node which was asked cannot read from its disk.

use super::{Facts, Finding, Severity};

pub(super) fn found(facts: &Facts) -> Vec<Finding> {
    let finding = |damaged: &crate::command::doctor::damaged::Damaged| {
        let records = match damaged.last {
            Some(last) => format!("records {} to {last}", damaged.first),
            None => format!("records from {} on", damaged.first),
        };
        Finding {
            severity: Severity::Critical,
            kind: "damaged-records",
            what: format!("Shard {} has {records} that cannot be read", damaged.shard),
            evidence: "the node's page of health names them; a read fails there and does not pass over them"
                .into(),
            advice: damaged.advice.clone(),
            command: None,
        }
    };
    facts.damaged.iter().map(finding).collect()
}
