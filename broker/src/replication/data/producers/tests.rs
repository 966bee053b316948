//! Producers against a model: a map of everything that was ever written.

use proptest::collection::vec;
use proptest::prelude::*;
use tidelog_storage::record::{RecordRef, Records};

use super::*;
use crate::model::producer::{Positions, Stamp};
use crate::model::producers::ProducerRefusal;

const START_MS: u64 = 1_700_000_000_000;
const RECORDS: u32 = 70;

/// A record: producer, batch, position.
type Written = (u64, u64, u32);

/// Shards of one stream in two groups, split and merged at will.
#[derive(Default)]
struct World {
    groups: [Producers; 2],
    /// Open shards by the lowest of the 256 hash keys that they take.
    open: BTreeMap<u8, u32>,
    next_shard: u32,
    /// The records of every shard, by ordinal from 1 on.
    logs: BTreeMap<u32, Vec<Written>>,
    now_ms: u64,
}

#[derive(Clone, Debug)]
enum Step {
    /// An attempt at a batch that comes to some of the shards.
    Send {
        producer: u64,
        batch: u64,
        settled_back: u64,
        reached: u8,
    },
    Split(u8),
    Merge(u8),
    Pass(u64),
    Restart,
}

fn key(shard: u32) -> ShardKey {
    ShardKey { stream_uid: 5, shard }
}

fn hash((producer, batch, position): Written) -> u8 {
    (producer * 89 + batch * 57 + u64::from(position) * 37) as u8
}

fn text(record: Written) -> String {
    format!("{record:?}")
}

impl World {
    fn new() -> Self {
        let mut world = Self { now_ms: START_MS, ..Self::default() };
        world.open_shard(0);
        world
    }

    fn open_shard(&mut self, start: u8) -> u32 {
        let shard = self.next_shard;
        self.open.insert(start, shard);
        self.logs.insert(shard, Vec::new());
        self.next_shard += 1;
        shard
    }

    fn group(shard: u32) -> usize {
        shard as usize % 2
    }

    fn copy_producers(&mut self, child: u32, parents: &[u32]) {
        for parent in parents {
            let group = &self.groups[Self::group(*parent)];
            let (table, clock_ms) = (group.of(key(*parent)).cloned().unwrap_or_default(), group.clock_ms());
            self.groups[Self::group(child)].remember_all(key(child), table, clock_ms);
        }
    }

    fn split(&mut self, at: u8) {
        let (&start, &parent) = self.open.range(..=at).next_back().expect("every key has a shard");
        if start == at {
            return;
        }
        for start in [start, at] {
            let child = self.open_shard(start);
            self.copy_producers(child, &[parent]);
        }
    }

    fn merge(&mut self, at: u8) {
        let (&start, &lower) = self.open.range(..=at).next_back().expect("every key has a shard");
        let Some((&next, &upper)) = self.open.range(start..).nth(1) else { return };
        self.open.remove(&next);
        let child = self.open_shard(start);
        self.copy_producers(child, &[lower, upper]);
    }

    /// Sends the records of a batch that go to the reached shards, and checks every answer.
    fn send(&mut self, stamp: Stamp, reached: u8, settled: &BTreeMap<u64, u64>) {
        let (producer, batch) = (stamp.producer(), stamp.batch());
        let mut parts: BTreeMap<u32, Vec<u32>> = BTreeMap::new();
        for position in 0..RECORDS {
            let hash = hash((producer, batch, position));
            let (_, shard) = self.open.range(..=hash).next_back().expect("every key has a shard");
            parts.entry(*shard).or_default().push(position);
        }
        for (shard, positions) in parts {
            if reached >> (shard % 8) & 1 == 1 {
                self.send_part(stamp, shard, &positions, settled);
            }
        }
    }

    fn send_part(&mut self, stamp: Stamp, shard: u32, sent: &[u32], settled: &BTreeMap<u64, u64>) {
        let (producer, number) = (stamp.producer(), stamp.batch());
        let mut body = Vec::new();
        for position in sent {
            let data = text((producer, number, *position));
            RecordRef { key: None, data: data.as_bytes() }.encode(&mut body);
        }
        let positions: Positions = sent.iter().copied().collect();
        let origin = Origin { stamp, positions, created_s: created_s(shard) };
        let batch = SubBatch::new(key(shard), self.now_ms, sent.len() as u32, body.into());
        let (logs, now_ms) = (&mut self.logs, self.now_ms);
        let outcome = self.groups[Self::group(shard)].append(&batch, &origin, |count, body, body_crc| {
            assert_eq!(crc32fast::hash(&body), body_crc);
            let records: Vec<_> =
                Records::new(body).map(|record| record.expect("a whole body").data).collect();
            assert_eq!(records.len(), count as usize);
            let mut wanted = sent.iter().map(|position| (producer, number, *position));
            let first_ordinal = logs[&shard].len() as u64 + 1;
            for data in records {
                let record =
                    wanted.find(|record| text(*record) == data).expect("one that was sent, in order");
                assert!(!logs.values().flatten().any(|known| *known == record), "{record:?} twice");
                logs.get_mut(&shard).expect("the shard").push(record);
            }
            Appended { first_ordinal, time_ms: now_ms }
        });
        let runs = match outcome {
            AppendOutcome::Appended { first_ordinal, time_ms } => {
                vec![Run { positions, shard, created_s: created_s(shard), first_ordinal, time_ms }]
            }
            AppendOutcome::Duplicate(runs) => runs,
            AppendOutcome::Refused(ProducerRefusal::Stale) => {
                assert!(number < settled[&producer], "batch {number} is not settled");
                return;
            }
            other => panic!("{other:?}"),
        };
        for position in sent {
            let found = runs.iter().find_map(|run| Some((run, run.ordinal(*position)?)));
            let (run, ordinal) = found.expect("an answer for every record");
            assert_eq!(self.logs[&run.shard][ordinal as usize - 1], (producer, number, *position));
            assert_eq!(run.created_s, created_s(run.shard));
        }
    }

    fn restart(&mut self) {
        for group in &mut self.groups {
            let restored = Producers::restore(&group.store()).expect("it was stored so");
            assert_eq!(restored, *group);
            *group = restored;
        }
    }
}

fn created_s(shard: u32) -> u64 {
    1_600_000_000 + u64::from(shard)
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        6 => (1..=3_u64, 1..=8_u64, 0..6_u64, any::<u8>()).prop_map(
            |(producer, batch, settled_back, reached)| Step::Send { producer, batch, settled_back, reached }
        ),
        1 => any::<u8>().prop_map(Step::Split),
        1 => any::<u8>().prop_map(Step::Merge),
        1 => (0..45_000_u64).prop_map(Step::Pass),
        1 => Just(Step::Restart),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(128))]
    #[test]
    fn nothing_is_written_twice_and_every_answer_is_the_first(steps in vec(step(), 1..60)) {
        let mut world = World::new();
        let mut settled = BTreeMap::new();
        for step in steps {
            match step {
                Step::Send { producer, batch, settled_back, reached } => {
                    let below = batch.saturating_sub(settled_back);
                    let known: &mut u64 = settled.entry(producer).or_default();
                    *known = below.max(*known);
                    let stamp = Stamp::new(producer, batch, below).expect("a stamp");
                    world.send(stamp, reached, &settled);
                }
                Step::Split(at) => world.split(at),
                Step::Merge(at) => world.merge(at),
                Step::Pass(ms) => world.now_ms += ms,
                Step::Restart => world.restart(),
            }
        }
    }
}

/// Sends batches of one record to a shard; true for each that is written or known.
fn take(producers: &mut Producers, shard: u32, stamp: Stamp, now_ms: u64) -> AppendOutcome {
    let mut body = Vec::new();
    RecordRef { key: None, data: b"data" }.encode(&mut body);
    let batch = SubBatch::new(key(shard), now_ms, 1, body.into());
    let origin = Origin { stamp, positions: [0].into_iter().collect(), created_s: 1 };
    producers.append(&batch, &origin, |_, _, _| Appended { first_ordinal: 1, time_ms: now_ms })
}

fn stamp(producer: u64, batch: u64) -> Stamp {
    Stamp::new(producer, batch, 0).expect("a stamp")
}

#[test]
fn producers_are_forgotten_by_the_logs_time_alone() {
    const HOUR_MS: u64 = 3_600_000;
    let mut producers = Producers::default();
    let is_known = |producers: &mut Producers, now_ms| {
        matches!(take(producers, 0, stamp(7, 1), now_ms), AppendOutcome::Duplicate(_))
    };
    assert!(!is_known(&mut producers, START_MS));
    // Records without a producer let time pass as well; a clock that goes back takes nothing from it.
    let pass = |producers: &mut Producers, from_ms: u64, to_ms: u64| {
        (from_ms..=to_ms).step_by(10_000).for_each(|time_ms| producers.pass(time_ms));
    };
    pass(&mut producers, START_MS, START_MS + HOUR_MS - 1);
    producers.pass(START_MS - HOUR_MS);
    assert!(is_known(&mut producers, START_MS - HOUR_MS));
    pass(&mut producers, START_MS + HOUR_MS, START_MS + 2 * HOUR_MS - 60_000);
    assert!(is_known(&mut producers, START_MS));
    pass(&mut producers, START_MS + 2 * HOUR_MS, START_MS + 3 * HOUR_MS + 60_000);
    assert_eq!(producers.tables, BTreeMap::new());
    assert!(!is_known(&mut producers, START_MS + 3 * HOUR_MS + 60_000));
}

#[test]
fn a_group_keeps_to_its_bound() {
    let mut producers = Producers::default();
    let mut refused = 0;
    let shards = ENTRIES_MAX as u32 / (1_024 * 64) + 1;
    for shard in 0..shards {
        for (producer, batch) in (1..=1_024).flat_map(|producer| (1..=64).map(move |batch| (producer, batch)))
        {
            if let AppendOutcome::Refused(refusal) =
                take(&mut producers, shard, stamp(producer, batch), START_MS)
            {
                assert_eq!(refusal, ProducerRefusal::TableFull);
                refused += 1;
            }
        }
    }
    let entries: usize = producers.tables.values().map(Table::entries).sum();
    assert!(refused > 0 && (ENTRIES_MAX - 1..=ENTRIES_MAX).contains(&entries), "{entries}, {refused}");
    assert_eq!(producers.entries, entries);
    producers.forget(|key| key.shard == 0);
    assert!(matches!(take(&mut producers, 9, stamp(1, 1), START_MS), AppendOutcome::Appended { .. }));
}

/// A clock that is two hours ahead for one batch makes no shard forget a producer.
#[test]
fn producers_are_remembered_over_a_batch_that_is_stamped_hours_ahead() {
    const HOUR_MS: u64 = 3_600_000;
    let mut producers = Producers::default();
    let is_known = |producers: &mut Producers, id, now_ms| {
        matches!(take(producers, 0, stamp(id, 1), now_ms), AppendOutcome::Duplicate(_))
    };
    assert!(!is_known(&mut producers, 7, START_MS));
    assert!(!is_known(&mut producers, 8, START_MS + 2 * HOUR_MS));
    for second in 1..600 {
        producers.pass(START_MS + second * 1_000);
    }
    assert!(is_known(&mut producers, 7, START_MS + 600_000), "the leap made the group forget it");
    // The clock stays ahead: the hour is counted from there.
    for second in 0..2_900 {
        producers.pass(START_MS + 2 * HOUR_MS + second * 1_000);
    }
    assert!(is_known(&mut producers, 7, START_MS + 2 * HOUR_MS + 2_900_000));
    for second in 2_900..6_600 {
        producers.pass(START_MS + 2 * HOUR_MS + second * 1_000);
    }
    assert!(!is_known(&mut producers, 7, START_MS + 4 * HOUR_MS), "an hour after its last batch");
}

#[test]
fn a_child_remembers_as_long_as_its_parent_with_any_times_of_their_groups() {
    const HOUR_MS: u64 = 3_600_000;
    let (mut parents, mut children) = (Producers::default(), Producers::default());
    assert!(matches!(take(&mut parents, 0, stamp(7, 1), START_MS), AppendOutcome::Appended { .. }));
    // The children's group has seen a day pass.
    let mut now_ms = START_MS;
    while now_ms < START_MS + 24 * HOUR_MS {
        now_ms += 30_000;
        assert!(!matches!(take(&mut children, 3, stamp(9, now_ms), now_ms), AppendOutcome::Duplicate(_)));
        children.forget(|key| key.shard == 2);
    }
    let table = parents.of(key(0)).cloned().expect("a producer");
    children.remember_all(key(1), table, parents.clock_ms());
    let mut is_known = |now_ms| {
        children.pass(now_ms);
        matches!(take(&mut children, 1, stamp(7, 1), now_ms), AppendOutcome::Duplicate(_))
    };
    assert!((1..60).all(|minute| is_known(now_ms + minute * 50_000)));
}
