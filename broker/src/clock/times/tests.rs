//! The times of a node on its own, of two and of three, under clocks that are wrong.

use super::*;

const NOW_MS: u64 = 1_790_000_000_000;
const EARLIEST_MS: u64 = NOW_MS - 86_400_000;
const HOUR_MS: i64 = 3_600_000;

/// Nodes in a cluster, the first of which leads the metadata. Time passes for all; each has a clock of its own.
struct World {
    passed_ms: u64,
    skews_ms: Vec<i64>,
    nodes: Vec<Times>,
    kept: RetentionClock,
    newest_ms: u64,
}

impl World {
    fn new(nodes: usize) -> Self {
        let times = (0..nodes).map(|_| Times::default()).collect();
        Self {
            passed_ms: 0,
            skews_ms: vec![0; nodes],
            nodes: times,
            kept: RetentionClock::default(),
            newest_ms: 0,
        }
    }

    fn true_ms(&self) -> u64 {
        NOW_MS + self.passed_ms
    }

    fn wall_ms(&self, node: usize) -> u64 {
        self.true_ms().saturating_add_signed(self.skews_ms[node])
    }

    /// Advances the clocks by a second, exchanges the times of all nodes, and returns the leaps that were seen.
    fn second(&mut self) -> Vec<i64> {
        self.passed_ms += 1_000;
        let boot_ms = 5_000_000 + self.passed_ms;
        let voters: BTreeSet<u64> = (1..=self.nodes.len() as u64).collect();
        let said: Vec<(u64, u64)> = (0..self.nodes.len())
            .map(|node| (self.wall_ms(node), self.nodes[node].times_to_send().0))
            .collect();
        let walls: Vec<u64> = said.iter().map(|(wall_ms, _)| *wall_ms).collect();
        let (mut told, mut leaps) = ((0, 0), Vec::new());
        for (at, times) in self.nodes.iter_mut().enumerate() {
            for (other, (clock_ms, served_ms)) in said.iter().enumerate().filter(|(other, _)| *other != at) {
                times.note_voter(other as u64 + 1, *clock_ms, *served_ms, boot_ms);
            }
            if at > 0 {
                times.note_leader(told.0, told.1, boot_ms);
            }
            let (kept, newest_ms) = (self.kept, self.newest_ms);
            times.set_situation(Situation {
                node: at as u64 + 1,
                voters: voters.clone(),
                leads: at == 0,
                kept,
                newest_ms,
            });
            let look = Look { wall_ms: walls[at], boot_ms, earliest_ms: EARLIEST_MS };
            leaps.push(times.advance(look));
            if at == 0 {
                told = times.times_to_send();
            }
        }
        leaps
    }

    fn seconds(&mut self, seconds: u64) {
        for _ in 0..seconds {
            self.second();
        }
    }

    /// Ends every process and starts it again after so long; the metadata keep the retention clock.
    fn restart(&mut self, after_ms: u64) {
        self.kept.time_ms = self.nodes[0].retention_ms().unwrap_or(0);
        self.passed_ms += after_ms;
        self.nodes.iter_mut().for_each(|times| *times = Times::default());
    }

    fn deletion_lead_ms(&self, node: usize) -> Option<i64> {
        self.nodes[node].deletion_ms().map(|time_ms| signed_difference(time_ms, self.true_ms()))
    }

    fn served_lead_ms(&self, node: usize) -> Option<i64> {
        self.nodes[node].served_ms().map(|time_ms| signed_difference(time_ms, self.true_ms()))
    }
}

#[test]
fn a_clock_that_is_ahead_for_a_while_costs_no_more_than_that_while() {
    for nodes in [1, 2, 3] {
        let mut world = World::new(nodes);
        world.seconds(10);
        world.skews_ms.fill(48 * HOUR_MS);
        assert_eq!(world.second(), vec![48 * HOUR_MS; nodes], "a leap is seen at once");
        world.seconds(14);
        for node in 0..nodes {
            assert!((0..=16_000).contains(&world.deletion_lead_ms(node).unwrap()), "{nodes} nodes");
            assert!((0..=16_000).contains(&world.served_lead_ms(node).unwrap()), "{nodes} nodes");
            assert!(world.nodes[node].offset_ms() > LEAD_MS as i64 && world.nodes[node].is_usable());
        }
        world.skews_ms.fill(0);
        world.second();
        for node in 0..nodes {
            assert_eq!(world.deletion_lead_ms(node), Some(0), "right again");
            assert!((0..=16_000).contains(&world.served_lead_ms(node).unwrap()));
            assert!(world.nodes[node].offset_ms().unsigned_abs() < LEAD_MS);
        }
    }
}

#[test]
fn one_wrong_clock_of_three_moves_nothing_by_more_than_a_minute() {
    for wrong in 0..3 {
        for skew_ms in [48 * HOUR_MS, -48 * HOUR_MS, -(NOW_MS as i64), 10 * 365 * 24 * HOUR_MS] {
            let mut world = World::new(3);
            world.skews_ms[wrong] = skew_ms;
            world.seconds(300);
            for node in 0..3 {
                assert_eq!(world.deletion_lead_ms(node), Some(0), "node {node}, {skew_ms} at {wrong}");
                let lead_ms = world.served_lead_ms(node).unwrap().unsigned_abs();
                assert!(lead_ms <= LEAD_MS, "node {node}, {skew_ms} at {wrong}: {lead_ms}");
                assert!(world.nodes[node].is_usable());
                let offset_ms = world.nodes[node].offset_ms().unsigned_abs();
                assert_eq!(offset_ms > 2 * LEAD_MS, node == wrong, "the wrong clock is named and no other");
            }
        }
    }
}

#[test]
fn the_clock_that_is_behind_decides_on_deletion() {
    let mut world = World::new(2);
    world.seconds(10);
    world.skews_ms[0] = 48 * HOUR_MS;
    world.seconds(100);
    assert_eq!((world.deletion_lead_ms(0), world.deletion_lead_ms(1)), (Some(0), Some(0)));
    world.skews_ms = vec![0, -30 * 60_000];
    world.second();
    assert_eq!(world.deletion_lead_ms(0), Some(-30 * 60_000));
    // A clock that cannot be right leaves one of two, and one is no majority.
    world.skews_ms = vec![0, -(NOW_MS as i64)];
    world.second();
    assert_eq!(world.deletion_lead_ms(0), None);
    assert!(world.nodes[0].is_usable());
}

#[test]
fn a_machine_that_was_off_serves_by_its_clock_and_deletes_as_much_later() {
    for nodes in [1, 3] {
        let mut world = World::new(nodes);
        world.seconds(10);
        world.restart(240 * HOUR_MS as u64);
        let leaps = world.second();
        assert_eq!(leaps, vec![0; nodes], "that is no leap");
        world.second();
        assert_eq!(world.served_lead_ms(0), Some(0));
        let behind_ms = -world.deletion_lead_ms(0).unwrap();
        assert!((240 * HOUR_MS - 10_000..=240 * HOUR_MS).contains(&behind_ms));
        world.seconds(1_000);
        assert_eq!(-world.deletion_lead_ms(0).unwrap(), behind_ms - 1_000_000, "at twice the pace");
        assert_eq!(world.nodes[0].offset_ms(), 0);
        // An operator says that the clocks are right.
        world.kept.time_ms = world.true_ms();
        world.kept.accepted += 1;
        world.seconds(2);
        assert_eq!(world.deletion_lead_ms(0), Some(0));
    }
}

#[test]
fn an_accepted_leap_counts_on_every_node() {
    let mut world = World::new(3);
    world.seconds(10);
    world.skews_ms = vec![48 * HOUR_MS; 3];
    world.seconds(2);
    world.kept = RetentionClock { time_ms: world.wall_ms(0), accepted: 1, accepted_newest_ms: 0 };
    world.seconds(3);
    for node in 0..3 {
        assert_eq!(world.nodes[node].offset_ms(), 0);
        assert_eq!(world.served_lead_ms(node), Some(48 * HOUR_MS));
        assert_eq!(world.deletion_lead_ms(node), Some(48 * HOUR_MS));
    }
}

#[test]
fn a_node_of_a_cluster_dates_nothing_before_it_knows_the_clocks_of_a_majority() {
    let mut times = Times::default();
    let look = |seconds: u64| Look {
        wall_ms: NOW_MS + seconds * 1_000,
        boot_ms: 5_000_000 + seconds * 1_000,
        earliest_ms: EARLIEST_MS,
    };
    times.set_situation(Situation { node: 1, voters: [1, 2, 3].into(), leads: true, ..Situation::default() });
    times.advance(look(0));
    assert!(!times.is_known() && !times.is_usable());
    times.note_voter(2, NOW_MS + 1_000, 0, look(1).boot_ms);
    times.advance(look(1));
    assert!(times.is_known() && times.is_usable());
    // The others go away, and time goes on.
    times.advance(look(60));
    assert_eq!(times.served_ms(), Some(NOW_MS + 60_000));
    assert!(times.is_usable());
}

#[test]
fn clocks_reported_before_an_acceptance_do_not_decide_where_the_times_begin() {
    for skew_ms in [48 * HOUR_MS, -48 * HOUR_MS] {
        let mut world = World::new(3);
        world.seconds(10);
        world.skews_ms = vec![0, skew_ms, skew_ms];
        world.seconds(2);
        // The clocks are set right and accepted, and the leader has not heard of the others again.
        world.skews_ms.fill(0);
        world.kept = RetentionClock { time_ms: world.true_ms(), accepted: 1, accepted_newest_ms: 0 };
        let look = Look {
            wall_ms: world.wall_ms(0),
            boot_ms: 5_000_000 + world.passed_ms,
            earliest_ms: EARLIEST_MS,
        };
        let leader = &mut world.nodes[0];
        let situation = Situation { kept: world.kept, ..leader.situation.clone() };
        leader.set_situation(situation);
        leader.advance(look);
        assert!(world.served_lead_ms(0) <= Some(0) && world.deletion_lead_ms(0) <= Some(0), "{skew_ms}");
        world.seconds(3);
        for node in 0..3 {
            let lead_ms = world.served_lead_ms(node).unwrap().unsigned_abs();
            assert!(lead_ms <= LEAD_MS, "node {node}, {skew_ms}: {lead_ms}");
        }
    }
}

#[test]
fn a_clock_that_cannot_be_right_is_none_until_it_is_set() {
    let mut world = World::new(1);
    world.skews_ms[0] = -(NOW_MS as i64);
    world.seconds(5);
    assert!(!world.nodes[0].is_usable());
    assert_eq!(world.deletion_lead_ms(0), None);
    world.skews_ms[0] = 0;
    world.second();
    assert!(world.nodes[0].is_usable());
    assert_eq!((world.served_lead_ms(0), world.deletion_lead_ms(0)), (Some(0), Some(0)));
    // Back before the newest record, by more than another node's lead.
    world.newest_ms = world.true_ms();
    world.skews_ms[0] = -3 * 60_000;
    world.second();
    assert!(!world.nodes[0].is_usable());
    world.skews_ms[0] = -90_000;
    world.second();
    assert!(world.nodes[0].is_usable());
    // The records are of the future, as an operator says.
    world.newest_ms += 48 * HOUR_MS as u64;
    world.skews_ms[0] = 0;
    world.second();
    assert!(!world.nodes[0].is_usable());
    world.kept =
        RetentionClock { time_ms: world.true_ms(), accepted: 1, accepted_newest_ms: world.newest_ms };
    world.second();
    assert!(world.nodes[0].is_usable());
}

#[test]
fn data_from_before_there_was_a_retention_clock_are_not_older_than_their_newest_record() {
    let mut world = World::new(1);
    world.newest_ms = NOW_MS - 100 * HOUR_MS as u64;
    world.seconds(1);
    assert_eq!(world.deletion_lead_ms(0), Some(-100 * HOUR_MS - 1_000));
}

#[test]
fn a_node_that_starts_goes_by_the_time_of_its_cluster() {
    let mut world = World::new(3);
    world.seconds(10);
    world.skews_ms = vec![48 * HOUR_MS, 48 * HOUR_MS, 0];
    world.seconds(10);
    // The leader starts anew while two clocks of three are wrong.
    world.nodes[0] = Times::default();
    world.kept.time_ms = world.true_ms() - 60_000;
    world.seconds(2);
    for node in 0..3 {
        let lead_ms = world.served_lead_ms(node).unwrap();
        assert!(lead_ms.unsigned_abs() <= 2 * LEAD_MS, "node {node}: {lead_ms}");
    }
}
