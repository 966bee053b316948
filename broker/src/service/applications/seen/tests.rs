//! A lease counts as idle for no longer than it was watched.

use tidelog_tables::Item;

use super::*;

const QUIET: Duration = Duration::from_secs(30);

fn lease(key: &str, owner: &str, counter: u32, checkpoint: &str) -> Lease {
    let item = format!(
        r#"{{"leaseKey": {{"S": "{key}"}}, "leaseOwner": {{"S": "{owner}"}}, "leaseCounter": {{"N": "{counter}"}},
             "checkpoint": {{"S": "{checkpoint}"}}}}"#
    );
    Lease::of(&Item::from_json(item.as_bytes()).expect("an item")).expect("a lease")
}

fn lock(version: &str) -> Option<Lock> {
    Some(Lock { owner: "w".into(), version: version.into(), duration_ms: 120_000 })
}

/// A table that is looked at after so many seconds.
struct Scene {
    table: WatchedTable,
    began: Instant,
}

impl Scene {
    fn begin(leases: &[Lease]) -> Self {
        let began = Instant::now();
        let mut table = WatchedTable::new(began);
        table.look(leases, lock("1"), began);
        Self { table, began }
    }

    fn look(&mut self, seconds: u64, leases: &[Lease]) {
        self.table.look(leases, lock("1"), self.began + Duration::from_secs(seconds));
    }

    fn check(&self, seconds: u64, leases: &[Lease]) -> Result<(), ApplicationError> {
        let report = self.table.report(self.began + Duration::from_secs(seconds));
        check_quiet(leases, &Watched::Report(report), QUIET)
    }
}

fn running(moved_ms: u64) -> Result<(), ApplicationError> {
    let (lease, worker) = ("a".to_owned(), Some("w".to_owned()));
    Err(ApplicationError::Running { lease, worker, moved_ms, quiet_s: 30 })
}

fn not_known(watched_ms: u64) -> Result<(), ApplicationError> {
    Err(ApplicationError::NotKnownYet { watched_ms, quiet_s: 30 })
}

#[test]
fn a_leader_waits_before_it_says_that_nobody_runs() {
    let idle = [lease("a", "w", 5, "TRIM_HORIZON")];
    let mut scene = Scene::begin(&idle);
    assert_eq!(scene.check(0, &idle), not_known(0));
    scene.look(20, &idle);
    assert_eq!(scene.check(29, &idle), not_known(29_000));
    assert_eq!(scene.check(30, &idle), Ok(()));
    let sentence = scene.check(29, &idle).unwrap_err().to_string();
    assert!(sentence.contains("Try again in 1 s"), "{sentence}");
}

#[test]
fn a_counter_that_moved_refuses_until_it_was_quiet() {
    let at = |counter| [lease("a", "w", counter, "TRIM_HORIZON")];
    let mut scene = Scene::begin(&at(5));
    scene.look(40, &at(6));
    assert_eq!(scene.check(45, &at(6)), running(5_000));
    assert_eq!(scene.check(69, &at(6)), running(29_000));
    assert_eq!(scene.check(70, &at(6)), Ok(()));
    assert_eq!(scene.check(70, &at(7)), running(0), "it moved after the last look");
    let sentence = scene.check(69, &at(6)).unwrap_err().to_string();
    assert!(sentence.contains("of the worker w moved 29000 ms ago"), "{sentence}");
}

#[test]
fn an_application_that_renews_rarely_has_to_be_quiet_for_longer() {
    let at = |counter| [lease("a", "w", counter, "TRIM_HORIZON")];
    let mut scene = Scene::begin(&at(5));
    for renewal in 1..=4 {
        scene.look(20 * renewal, &at(5 + renewal as u32));
    }
    // A checkpoint comes between two renewals.
    scene.look(83, &at(10));
    let report = scene.table.report(scene.began + Duration::from_secs(83));
    assert_eq!((report.leases["a"].interval_ms, report.failover_ms(&at(10))), (Some(20_000), Some(60_000)));
    let running = |moved_ms| {
        let (lease, worker) = ("a".to_owned(), Some("w".to_owned()));
        Err(ApplicationError::Running { lease, worker, moved_ms, quiet_s: 60 })
    };
    assert_eq!(scene.check(142, &at(10)), running(59_000));
    assert_eq!(scene.check(143, &at(10)), Ok(()));
    // A worker that went on after a stop has not renewed meanwhile.
    scene.look(190, &at(11));
    scene.look(291, &at(12));
    assert_eq!(scene.table.report(scene.began + Duration::from_secs(291)).failover_ms(&at(12)), None);
    // Another worker has its own failover time.
    scene.look(300, &at(13));
    let taken = [lease("a", "x", 14, "TRIM_HORIZON")];
    scene.look(310, &taken);
    assert_eq!(scene.table.report(scene.began + Duration::from_secs(310)).failover_ms(&taken), None);
}

#[test]
fn a_lease_that_came_is_watched_from_then_on() {
    let one = [lease("a", "w", 5, "TRIM_HORIZON")];
    let both = [lease("a", "w", 5, "TRIM_HORIZON"), lease("b", "w", 1, "TRIM_HORIZON")];
    let mut scene = Scene::begin(&one);
    assert_eq!(scene.check(40, &both), not_known(0), "it has not been seen yet");
    scene.look(40, &both);
    assert_eq!(scene.check(50, &both), not_known(10_000));
    assert_eq!(scene.check(70, &both), Ok(()));
    assert_eq!(scene.check(70, &[]), Ok(()), "a table without leases");
}

#[test]
fn without_a_leader_or_a_watch_nothing_may_change() {
    let leases = [lease("a", "w", 5, "TRIM_HORIZON")];
    assert_eq!(check_quiet(&leases, &Watched::NoLeader, QUIET), Err(ApplicationError::NoLeader));
    assert_eq!(check_quiet(&leases, &Watched::TooLarge, QUIET), Err(ApplicationError::NotWatched));
    let unknown = Watched::Report(WatchReport::default());
    assert_eq!(check_quiet(&leases, &unknown, QUIET), not_known(0));
}

#[test]
fn checkpoints_owners_and_the_lock_are_watched() {
    let mut scene = Scene::begin(&[lease("a", "w", 1, "TRIM_HORIZON")]);
    for second in 1..=20 {
        let owner = if second % 2 == 0 { "w" } else { "x" };
        let checkpoint = if second < 10 { "TRIM_HORIZON" } else { "LATEST" };
        scene.look(second, &[lease("a", owner, second as u32 + 1, checkpoint)]);
    }
    let report = |seconds| scene.table.report(scene.began + Duration::from_secs(seconds));
    assert_eq!((report(20).owner_moves, report(75).owner_moves, report(90).owner_moves), (20, 5, 0));
    assert_eq!(report(25).leases["a"].checkpoint_still_ms, 15_000);
    assert_eq!(report(25).lock_still_ms, Some(25_000));
    scene.table.look(&[], lock("2"), scene.began + Duration::from_secs(30));
    assert_eq!(scene.table.report(scene.began + Duration::from_secs(31)).lock_still_ms, Some(1_000));
    scene.table.look(&[], None, scene.began + Duration::from_secs(32));
    assert_eq!(scene.table.report(scene.began + Duration::from_secs(33)).lock_still_ms, None);
}
