//! Applications of the Kinesis Client Library (KCL): everything that a consumer group can have, and the faults of
//! leases.

use std::time::Duration;

use tidelog_proto::v1::DescribeGroupResponse;
use tidelog_proto::v1::describe_application_response::{FoundBy, Lease};
use tidelog_proto::v1::describe_group_response::{Member, Shard};

use super::groups::of_group;
use super::{Facts, Finding, Severity, shards_named};
use crate::command::doctor::facts::{Application, Group};
use crate::command::figures;
use crate::command::time::lasting;

/// How long KCL lets a worker be silent before another takes its leases, unless it is configured otherwise.
const FAILOVER_MS: u64 = 10_000;
/// How long a checkpoint may stand still beside unread records of that age before its processor counts as stuck.
const STUCK_MS: u64 = 60_000;
/// Moves of leases in a minute that are too many, if there are as many as leases.
const MOVES_MIN: u64 = 6;

pub(super) fn found(facts: &Facts) -> Vec<Finding> {
    facts.applications.iter().flat_map(|application| of_application(facts, application)).collect()
}

fn of_application(facts: &Facts, application: &Application) -> Vec<Finding> {
    if application.described.found_by() == FoundBy::Conflicting {
        return vec![shared(application)];
    }
    let mut findings = of_group(facts, &as_group(application));
    findings.extend(stuck(facts, application));
    findings.extend(thrashing(facts, application));
    findings.extend(silent_leader(facts, application));
    findings
}

/// Whether a shard waits for one of its parents.
fn is_waiting(application: &Application, lease: &Lease) -> bool {
    let is_parent = |other: &Lease| !other.is_finished && lease.parents.contains(&other.shard_id);
    application.described.leases.iter().any(is_parent)
}

/// The application in the form of a consumer group. Workers of which it is not known whether they run are members.
fn as_group(application: &Application) -> Group {
    let described = &application.described;
    let is_member =
        |worker: &str| described.workers.iter().any(|own| own.name == worker && own.is_alive != Some(false));
    let members = described.workers.iter().filter(|worker| is_member(&worker.name));
    let shard = |lease: &Lease| Shard {
        shard_id: lease.shard_id.clone(),
        member_id: lease.worker.clone(),
        is_finished: lease.is_finished,
        is_waiting: is_waiting(application, lease),
        records_behind: lease.records_behind,
        millis_behind: lease.millis_behind,
        ..Shard::default()
    };
    Group {
        name: application.name.clone(),
        described: DescribeGroupResponse {
            lease_ms: FAILOVER_MS as u32,
            members: members
                .map(|worker| Member { member_id: worker.name.clone(), ..Member::default() })
                .collect(),
            shards: described.leases.iter().map(shard).collect(),
        },
    }
}

fn describe(facts: &Facts, application: &Application) -> Option<String> {
    Some(format!("tidelog group describe {} {}", facts.stream, application.name))
}

fn stuck(facts: &Facts, application: &Application) -> Option<Finding> {
    let is_stuck = |lease: &&Lease| {
        lease.moved_ms.is_some_and(|millis| millis < FAILOVER_MS)
            && lease.checkpoint_still_ms.is_some_and(|millis| millis >= STUCK_MS)
            && lease.records_behind.is_some_and(|records| records > 0)
            && lease.millis_behind.is_some_and(|millis| millis >= STUCK_MS)
            && !is_waiting(application, lease)
    };
    let leases: Vec<&Lease> = application.described.leases.iter().filter(is_stuck).collect();
    let still_ms = leases.iter().filter_map(|lease| lease.checkpoint_still_ms).max()?;
    let shards: Vec<&str> = leases.iter().map(|lease| lease.shard_id.as_str()).collect();
    let mut workers: Vec<&str> = leases.iter().map(|lease| lease.worker.as_str()).collect();
    workers.sort_unstable();
    workers.dedup();
    let records = leases.iter().filter_map(|lease| lease.records_behind).sum();
    Some(Finding {
        severity: Severity::Warning,
        kind: "stuck_processor",
        what: format!("The processor of {} is stuck in {}", application.name, shards_named(&shards)),
        evidence: format!(
            "{} renews the lease, the checkpoint has stood still for {}, {} behind it",
            workers.join(", "),
            lasting(Duration::from_millis(still_ms)),
            figures::of(records, "record")
        ),
        advice: "Look for a record that its processRecords does not return from, or a checkpoint that it never makes".into(),
        command: describe(facts, application),
    })
}

fn thrashing(facts: &Facts, application: &Application) -> Option<Finding> {
    let moves = application.described.owner_moves?;
    let leases = application.described.leases.iter().filter(|lease| !lease.is_finished).count() as u64;
    if moves < MOVES_MIN.max(leases) {
        return None;
    }
    Some(Finding {
        severity: Severity::Warning,
        kind: "thrashing",
        what: format!("The leases of {} move to and fro", application.name),
        evidence: format!(
            "{} from one worker to another in the last minute, {}",
            figures::of(moves, "move"),
            figures::of(leases, "lease")
        ),
        advice: "Workers are too slow to renew (pauses of their JVM, few threads), or two of them have one identifier; \
                 a longer failoverTimeMillis helps against pauses"
            .into(),
        command: describe(facts, application),
    })
}

fn silent_leader(facts: &Facts, application: &Application) -> Option<Finding> {
    let leader = application.described.leader.as_ref()?;
    let silent_ms = leader.silent_ms.filter(|silent_ms| *silent_ms >= leader.lock_ms / 2)?;
    // Without a worker that runs nobody is missed.
    if !application.described.workers.iter().any(|worker| worker.is_alive == Some(true)) {
        return None;
    }
    Some(Finding {
        severity: Severity::Warning,
        kind: "silent_leader",
        what: format!("The leading worker of {} is silent", application.name),
        evidence: format!(
            "{} has not renewed its lock for {}; nobody assigns leases meanwhile",
            leader.worker,
            lasting(Duration::from_millis(silent_ms))
        ),
        advice: format!(
            "Another worker takes the lock {} after its last renewal. If it stays so, restart the workers",
            lasting(Duration::from_millis(leader.lock_ms))
        ),
        command: describe(facts, application),
    })
}

fn shared(application: &Application) -> Finding {
    Finding {
        severity: Severity::Critical,
        kind: "shared_table",
        what: format!("Two applications may share the table {}", application.name),
        evidence: format!("its checkpoints are of the streams {}", application.described.streams.join(", ")),
        advice:
            "Give each application a name of its own: by one name they overwrite each other's checkpoints"
                .into(),
        command: Some(format!("tidelog group describe {}", application.name)),
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::facts;
    use super::*;
    use crate::command::group::application_of_tests;

    /// The kinds of findings about an application that was changed.
    fn kinds(change: impl FnOnce(&mut Application)) -> Vec<&'static str> {
        let mut application = Application { name: "app".into(), described: application_of_tests() };
        // Nothing is wrong with it but for the worker that is silent, and a lease without an owner.
        for lease in &mut application.described.leases {
            (lease.records_behind, lease.millis_behind) = (Some(0), Some(0));
            lease.worker = "w-1".into();
        }
        application.described.leader.as_mut().expect("a leader").silent_ms = Some(59_000);
        change(&mut application);
        let mut facts = facts(2, &[]);
        facts.applications = vec![application];
        let mut kinds: Vec<_> = found(&facts).iter().map(|finding| finding.kind).collect();
        kinds.sort_unstable();
        kinds
    }

    /// A lease that is renewed beside a checkpoint that is not.
    fn stand_still(lease: &mut Lease) {
        (lease.moved_ms, lease.checkpoint_still_ms) = (Some(3_000), Some(61_000));
        (lease.records_behind, lease.millis_behind) = (Some(7), Some(61_000));
    }

    #[test]
    fn a_healthy_application_has_no_findings() {
        assert_eq!(kinds(|_| {}), [""; 0]);
    }

    #[test]
    fn a_processor_is_stuck_when_its_lease_lives_and_its_checkpoint_does_not() {
        let stuck = ["lag", "stuck_processor"];
        assert_eq!(kinds(|app| stand_still(&mut app.described.leases[1])), stuck);
        type Change = fn(&mut Lease);
        let exceptions: [Change; 4] = [
            |lease| lease.moved_ms = Some(FAILOVER_MS),
            |lease| lease.moved_ms = None,
            |lease| lease.checkpoint_still_ms = Some(STUCK_MS - 1),
            |lease| lease.checkpoint_still_ms = None,
        ];
        for except in exceptions {
            let found = kinds(|app| {
                stand_still(&mut app.described.leases[1]);
                except(&mut app.described.leases[1]);
            });
            assert_eq!(found, ["lag"]);
        }
        let waits = kinds(|app| {
            stand_still(&mut app.described.leases[1]);
            app.described.leases[1].parents = vec![app.described.leases[2].shard_id.clone()];
        });
        assert_eq!(waits, ["lag"], "its parent comes first");
        let idle = kinds(|app| {
            stand_still(&mut app.described.leases[1]);
            app.described.leases[1].records_behind = Some(0);
            app.described.leases[1].millis_behind = Some(0);
        });
        assert_eq!(idle, [""; 0], "there is nothing to process");
    }

    #[test]
    fn leases_without_owners_and_workers_are_found() {
        assert_eq!(kinds(|app| app.described.leases[1].worker.clear()), ["unowned"]);
        assert_eq!(kinds(|app| app.described.workers[0].is_alive = Some(false)), ["no_members"]);
        assert_eq!(kinds(|app| app.described.workers[0].is_alive = None), [""; 0], "not known yet");
    }

    #[test]
    fn moves_of_leases_and_silent_leaders_are_found() {
        assert_eq!(kinds(|app| app.described.owner_moves = Some(5)), [""; 0]);
        assert_eq!(kinds(|app| app.described.owner_moves = Some(6)), ["thrashing"]);
        let silent = |app: &mut Application| {
            app.described.leader.as_mut().expect("a leader").silent_ms = Some(60_000);
        };
        assert_eq!(kinds(silent), ["silent_leader"]);
        let alone = |app: &mut Application| {
            silent(app);
            app.described.workers[0].is_alive = Some(false);
        };
        assert_eq!(kinds(alone), ["no_members"]);
    }

    #[test]
    fn a_table_of_two_streams_is_found_and_nothing_else_is_said_of_it() {
        let shared = |app: &mut Application| {
            app.described.found_by = FoundBy::Conflicting.into();
            app.described.streams = vec!["clicks".into(), "views".into()];
            app.described.workers.clear();
        };
        assert_eq!(kinds(shared), ["shared_table"]);
    }
}
