//! A shard that passes over ordinals, because the end of a log that gave them out was given up.

use std::path::Path;

use crate::model::{ALL, SHARDS, apply, checkpoint, key, open, small_options};
use tidelog_storage::SimDisk;
use tidelog_storage::flusher::Flusher;
use tidelog_storage::shard::{ShardCheckpoint, ShardLog, StoreOptions, give_up};

const GAP: u64 = 1 << 40;

fn options() -> StoreOptions {
    StoreOptions { tail_bytes_max: 0, ..small_options() }
}

/// Ordinals that reads from `from` on give.
fn ordinals(log: &ShardLog, from: u64) -> Vec<u64> {
    let (mut next, mut seen) = (from, Vec::new());
    loop {
        let batch = log.read_memory(next, ALL).unwrap_or_else(|| log.read(next, ALL).expect("readable"));
        if batch.records.is_empty() {
            return seen;
        }
        seen.extend(batch.records.iter().map(|record| record.ordinal));
        next = batch.next_ordinal;
    }
}

fn skip(disk: &SimDisk, log: &ShardLog) {
    let next = log.bounds().next_ordinal;
    give_up(disk, Path::new(SHARDS), key(0), next..next + GAP).expect("written");
    log.skip_to(next + GAP);
    log.skip_to(next);
    assert_eq!(log.bounds().next_ordinal, next + GAP, "it never goes back");
}

fn require(log: &ShardLog, before: u64, after: u64) {
    let first_after = before + 1 + GAP;
    let expected: Vec<u64> = (1..=before).chain(first_after..first_after + after).collect();
    assert_eq!(ordinals(log, 1), expected);
    for from in [before + 1, before + GAP / 2, first_after] {
        assert_eq!(ordinals(log, from), expected[before as usize..], "a reader of a lost ordinal goes on");
    }
    assert_eq!(log.count_from(1), before + after);
    assert_eq!(log.count_from(before + 1), after);
    for ordinal in &expected {
        let time_ms = log.time_of(*ordinal).expect("readable").expect("a time");
        assert!(log.ordinal_at_time(time_ms).expect("readable") <= *ordinal);
    }
}

#[test]
fn reads_pass_over_the_gap_in_memory_in_files_and_after_a_start() {
    for before in [0, 5, 90] {
        let disk = SimDisk::new(1);
        let store = open(&disk, options(), Vec::new());
        let log = store.create(key(0));
        (0..before).for_each(|number| apply(&log, number, number * 50, 1, 700));
        skip(&disk, &log);
        require(&log, before, 0);
        (0..40).for_each(|number| apply(&log, number, 10_000 + number * 50, 1, 700));
        require(&log, before, 40);
        let shards: Vec<ShardCheckpoint> =
            checkpoint(&disk, &mut Flusher::new(store), std::slice::from_ref(&log), (1, 1)).expect("durable");
        require(&log, before, 40);
        drop(log);
        let store = open(&disk, options(), shards);
        let log = store.get(key(0)).expect("it is in the checkpoint");
        require(&log, before, 40);
        store.survey_damage().expect("readable");
        assert_eq!(store.damage_report(), []);
        apply(&log, 99, 20_000, 1, 700);
        require(&log, before, 41);
    }
}

#[test]
fn a_trim_into_the_gap_goes_to_its_end() {
    let disk = SimDisk::new(1);
    let store = open(&disk, options(), Vec::new());
    let log = store.create(key(0));
    (0..10).for_each(|number| apply(&log, number, number * 50, 1, 700));
    skip(&disk, &log);
    log.trim(11);
    assert_eq!(log.bounds().first_ordinal, 11 + GAP, "nothing is left before it");
    assert_eq!(log.bounds().oldest_time_ms, None);
    apply(&log, 1, 10_000, 1, 700);
    assert_eq!(ordinals(&log, 1), [11 + GAP]);
}
