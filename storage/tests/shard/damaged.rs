//! Damage on a node that is alone: it stops the readers of the damaged records, never the start, the other shards, or
//! the records behind it.

use std::path::Path;

use crate::model::{
    ALL, Model, SHARDS, body, checkpoint, file_bytes, key, open, segment_path, segments_of, small_options,
};
use tidelog_storage::disk::Open;
use tidelog_storage::flusher::Flusher;
use tidelog_storage::shard::{ShardCheckpoint, ShardError, ShardLog, StoreOptions, give_up};
use tidelog_storage::{Disk, SimDisk};

fn options() -> StoreOptions {
    StoreOptions { tail_bytes_max: 0, ..small_options() }
}

fn apply(log: &ShardLog, model: &mut Model, numbers: std::ops::Range<u64>) {
    for number in numbers {
        let (body, checksum) = body(number, 2, 700);
        model.apply(number * 50, body.clone());
        log.apply(number * 50, 2, body, checksum);
    }
}

/// Two equal shards of three sealed segments and an open one.
fn filled() -> (SimDisk, Model, Vec<ShardCheckpoint>) {
    let disk = SimDisk::new(1);
    let store = open(&disk, options(), Vec::new());
    let logs = [0, 2].map(|shard| store.create(key(shard)));
    let mut model = Model::default();
    for log in &logs {
        model = Model::default();
        apply(log, &mut model, 0..48);
    }
    let shards = checkpoint(&disk, &mut Flusher::new(store), &logs, (1, 1)).expect("durable");
    assert_eq!(segments_of(&disk, key(0)).len(), 4);
    (disk, model, shards)
}

/// Reads all that can be read and checks it; gives the ordinals at which reads fail, going on behind each.
fn unreadable(log: &ShardLog, model: &Model) -> Vec<u64> {
    let (mut next, mut failed) = (1, Vec::new());
    while next < model.next_ordinal() {
        match log.read(next, ALL) {
            Ok(batch) => {
                assert_eq!(batch.records[0].ordinal, next);
                assert!(batch.records.iter().all(|record| model.is_same(record)));
                next = batch.next_ordinal;
            }
            Err(ShardError::Damaged { .. }) => {
                failed.push(next);
                next += 1;
            }
            Err(other) => panic!("damage is called damage, not {other}"),
        }
    }
    failed
}

/// Harms a segment's file in some way.
fn harm(disk: &SimDisk, path: &Path, way: usize) {
    let bytes = file_bytes(disk, path).len();
    let cut = |bytes| disk.open(path, Open::Write).and_then(|file| file.set_len(bytes)).expect("cut");
    match way {
        0 => disk.remove_file(path).expect("removed"),
        1 => cut(0),
        2 => cut(4_096),
        3 => disk.flip_bit(path, 9),
        4 => disk.flip_bit(path, 70 * 8),
        5 => disk.flip_bit(path, bytes as u64 * 8 - 1),
        _ => disk.make_unreadable(path, 4_096..4_608),
    }
}

#[test]
fn a_damaged_segment_stops_its_records_only_and_the_shard_goes_on_behind_it() {
    for segment in 0..4 {
        for way in 0..7 {
            let (disk, mut model, shards) = filled();
            let path = segment_path(key(0), &segments_of(&disk, key(0))[segment]);
            harm(&disk, &path, way);
            let store = open(&disk, options(), shards);
            let logs = [0, 2].map(|shard| store.get(key(shard)).expect("it is in the checkpoint"));
            model.check_reads(&logs[1], 1, ALL);
            let failed = unreadable(&logs[0], &model);
            let damaged_records = [1..27, 27..53, 53..79, 79..97][segment].clone();
            assert!(
                failed.iter().all(|ordinal| damaged_records.contains(ordinal)),
                "{segment} {way} {failed:?}"
            );
            assert_eq!(store.damaged(), [(key(0), damaged_records.start)], "{segment} {way}");
            // The shard goes on, is sealed, checkpointed, and opened again.
            let mut flusher = Flusher::new(store.clone());
            for (sequence, numbers) in [(2, 48..49), (3, 49..50), (4, 50..90)] {
                for log in &logs {
                    let mut model = model.clone();
                    apply(log, &mut model, numbers.clone());
                }
                apply_model(&mut model, numbers);
                let shards = checkpoint(&disk, &mut flusher, &logs, (sequence, sequence)).expect("durable");
                flusher.unlink().expect("nothing is trimmed");
                let failed = unreadable(&logs[0], &model);
                assert!(failed.iter().all(|ordinal| damaged_records.contains(ordinal)), "{failed:?}");
                let again = open(&disk.fork(), options(), shards);
                let again = [0, 2].map(|shard| again.get(key(shard)).expect("it is in the checkpoint"));
                model.check_reads(&again[1], 1, ALL);
                let failed = unreadable(&again[0], &model);
                assert!(failed.iter().all(|ordinal| damaged_records.contains(ordinal)), "{failed:?}");
            }
        }
    }
}

fn apply_model(model: &mut Model, numbers: std::ops::Range<u64>) {
    for number in numbers {
        model.apply(number * 50, body(number, 2, 700).0);
    }
}

#[test]
fn records_before_the_damage_are_given_and_the_next_read_fails() {
    let (disk, model, shards) = filled();
    let path = segment_path(key(0), "00000000000000000027.seg");
    // In the data of record 36, whose frame has the records 35 and 36.
    let bytes = file_bytes(&disk, &path);
    let at = bytes.windows(5).position(|bytes| bytes == b"17/1/").expect("it is in this segment");
    disk.flip_bit(&path, at as u64 * 8);
    let store = open(&disk, options(), shards);
    let log = store.get(key(0)).expect("it is in the checkpoint");
    let batch = log.read(30, ALL).expect("the records up to the damage");
    assert_eq!(batch.next_ordinal, 35);
    assert!(batch.records.iter().all(|record| model.is_same(record)));
    assert!(matches!(log.read(batch.next_ordinal, ALL), Err(ShardError::Damaged { .. })));
    let behind = log.read(batch.next_ordinal + 2, ALL).expect("the frame behind it is whole");
    assert_eq!(behind.records[0].ordinal, batch.next_ordinal + 2);
}

#[test]
fn a_survey_names_unreadable_records_and_reads_skip_given_up_ones() {
    for segment in 0..4 {
        for way in 0..7 {
            let (disk, model, shards) = filled();
            let names = segments_of(&disk, key(0));
            harm(&disk, &segment_path(key(0), &names[segment]), way);
            let store = open(&disk, options(), shards.clone());
            let log = store.get(key(0)).expect("it is in the checkpoint");
            let failed = unreadable(&log, &model);
            assert!(store.survey_damage().expect("readable") <= 1);
            let report = store.damage_report();
            let named: Vec<u64> = report
                .iter()
                .flat_map(|damaged| damaged.unreadable.clone().expect("surveyed"))
                .flatten()
                .collect();
            assert_eq!(named, failed, "{segment} {way}");
            assert_eq!(store.survey_damage().expect("readable"), 0);
            drop((log, store));
            for range in report.into_iter().flat_map(|damaged| damaged.unreadable.expect("surveyed")) {
                give_up(&disk, Path::new(SHARDS), key(0), range).expect("written");
            }
            let store = open(&disk, options(), shards);
            let log = store.get(key(0)).expect("it is in the checkpoint");
            let (mut next, mut seen) = (1, Vec::new());
            while next < model.next_ordinal() {
                let batch = log.read(next, ALL).expect("nothing unreadable is left");
                assert!(batch.records.iter().all(|record| model.is_same(record)));
                assert!(batch.records.windows(2).all(|pair| pair[0].ordinal + 1 == pair[1].ordinal));
                seen.extend(batch.records.iter().map(|record| record.ordinal));
                assert!(batch.next_ordinal > next);
                next = batch.next_ordinal;
            }
            let readable: Vec<u64> =
                (1..model.next_ordinal()).filter(|ordinal| !failed.contains(ordinal)).collect();
            assert_eq!(seen, readable);
            for ordinal in &readable {
                let time_ms = model.records[*ordinal as usize - 1].0;
                assert!(log.ordinal_at_time(time_ms).expect("nothing is in the way") <= *ordinal);
            }
            store.survey_damage().expect("readable");
            assert_eq!(store.damage_report(), [], "what was given up is named no more");
        }
    }
}
