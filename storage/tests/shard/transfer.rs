//! A lagging node takes over another one's state by manifest and files: after every interruption it has the same
//! records and, from then on, the same bytes.

use crate::model::{ALL, Model, body, key, small_options};
use crate::replica::{Replica, same_files};
use bytes::Bytes;
use proptest::prelude::*;
use tidelog_storage::Disk;
use tidelog_storage::shard::{ReadLimit, ShardError, ShardKey, StoreOptions};

const SHARD_COUNT: u32 = 2;

#[derive(Clone, Debug)]
enum Entry {
    Batch { shard: u32, time_ms: u64, count: u32, body: Bytes, checksum: u32 },
    Trim { shard: u32, percent: u64 },
}

fn entries(steps: &[(u32, u64, u32, usize, u64)]) -> Vec<Entry> {
    let mut time_ms = 0;
    let entry = |(number, step): (usize, &(u32, u64, u32, usize, u64))| {
        let (shard, passed_ms, count, data_bytes, trim) = *step;
        time_ms += passed_ms;
        if trim < 100 && number % 7 == 6 {
            return Entry::Trim { shard, percent: trim };
        }
        let (body, checksum) = body(number as u64, count, data_bytes);
        Entry::Batch { shard, time_ms, count, body, checksum }
    };
    steps.iter().enumerate().map(entry).collect()
}

fn keys() -> Vec<ShardKey> {
    (0..SHARD_COUNT).map(key).collect()
}

fn apply(replica: &Replica, entries: &[Entry]) {
    keys().into_iter().for_each(|key| drop(replica.shard(key)));
    for entry in entries {
        match entry {
            Entry::Batch { shard, time_ms, count, body, checksum } => {
                replica.shard(key(*shard)).apply(*time_ms, *count, body.clone(), *checksum);
            }
            Entry::Trim { shard, percent } => {
                let log = replica.shard(key(*shard));
                log.trim(log.bounds().next_ordinal * percent / 100);
            }
        }
    }
}

fn models(entries: &[Entry]) -> Vec<Model> {
    let mut models = vec![Model::default(); SHARD_COUNT as usize];
    for entry in entries {
        match entry {
            Entry::Batch { shard, time_ms, body, .. } => {
                models[*shard as usize].apply(*time_ms, body.clone());
            }
            Entry::Trim { shard, percent } => {
                let model = &mut models[*shard as usize];
                model.trim(model.next_ordinal() * percent / 100);
            }
        }
    }
    models
}

fn check(replica: &Replica, entries: &[Entry]) {
    for (shard, model) in models(entries).iter().enumerate() {
        let log = replica.shard(key(shard as u32));
        model.check_times(&log);
        model.check_reads(&log, 1, ReadLimit { records: 50, bytes: 30_000 });
    }
}

fn options() -> StoreOptions {
    StoreOptions { is_repairable: true, ..small_options() }
}

fn step() -> impl Strategy<Value = (u32, u64, u32, usize, u64)> {
    let data_bytes = prop_oneof![5 => 0..300usize, 3 => 1_000..6_000usize, 1 => 6_000..40_000usize];
    (0..SHARD_COUNT, 0..3_000u64, 1..5u32, data_bytes, 0..400u64)
}

proptest! {
    #[test]
    fn a_transfer_cut_short_anywhere_ends_with_the_same_records_and_files(
        seed in any::<u64>(),
        steps in proptest::collection::vec(step(), 12..100),
        (has_percent, saved_percent, sent_percent) in (0..80usize, 0..100usize, 80..101usize),
        piece in 500..9_000u64,
        power_cuts in proptest::collection::vec(0..60u64, 0..4),
    ) {
        let entries = entries(&steps);
        let sent = entries.len() * sent_percent / 100;
        let mut leader = Replica::new(seed, options());
        apply(&leader, &entries[..sent]);
        let group = leader.checkpoint(&keys(), sent as u64).expect("the disk is well");
        apply(&leader, &entries[sent..]);

        // The follower has a beginning, a part of it in a checkpoint, and files beyond that.
        let has = sent * has_percent / 100;
        let saved = has * saved_percent / 100;
        let mut follower = Replica::new(seed + 1, options());
        apply(&follower, &entries[..saved]);
        follower.checkpoint(&keys(), saved as u64).expect("the disk is well");
        apply(&follower, &entries[saved..has]);
        follower.flusher.flush_some().expect("the disk is well");

        for operations in power_cuts {
            follower.disk.cut_power_after(operations);
            let _ = follower.install(&leader.store, &group, piece);
            follower.disk.crash();
            let (reopened, index) = Replica::open(follower.disk, options()).expect("recoverable");
            prop_assert!(index == saved as u64 || index == sent as u64);
            let until = if index == sent as u64 { sent } else { has };
            follower = reopened;
            apply(&follower, &entries[index as usize..until]);
            check(&follower, &entries[..until]);
        }
        follower.install(&leader.store, &group, piece).expect("the disk is well");
        check(&follower, &entries[..sent]);
        follower.disk.crash();
        let (mut follower, index) = Replica::open(follower.disk, options()).expect("recoverable");
        prop_assert_eq!(index, sent as u64);
        apply(&follower, &entries[sent..]);
        check(&follower, &entries);

        follower.checkpoint(&keys(), entries.len() as u64).expect("the disk is well");
        leader.checkpoint(&keys(), entries.len() as u64).expect("the disk is well");
        for key in keys() {
            let theirs = crate::model::segments_of(&leader.disk, key);
            same_files(&follower.disk, &leader.disk, key, |name| theirs.iter().any(|other| other == name));
        }
    }
}

/// A leader with several sealed segments in each shard, and its manifest.
fn leader() -> (Replica, Vec<Entry>, tidelog_storage::checkpoint::GroupCheckpoint) {
    let steps: Vec<_> = (0..60).map(|n| (n % SHARD_COUNT, 100, 2, 900, 400)).collect();
    let entries = entries(&steps);
    let mut leader = Replica::new(1, options());
    apply(&leader, &entries);
    let group = leader.checkpoint(&keys(), 60).expect("the disk is well");
    (leader, entries, group)
}

#[test]
fn bytes_pulled_before_a_failure_are_not_pulled_again() {
    let (leader, entries, group) = leader();
    let whole: u64 = Replica::new(2, options()).pull(&leader.store, &group.shards, 1_000).expect("pulled");
    assert!(whole > 100_000, "{whole}");
    let follower = Replica::new(3, options());
    let wanted = follower.store.wanted(&group.shards).expect("listed");
    let part = follower.store.staging();
    for wanted in &wanted[..wanted.len() / 2] {
        crate::replica::pull_file(part, &leader.store, wanted, 1_000).expect("pulled");
        part.complete(&wanted.need).expect("whole");
    }
    let begun = &wanted[wanted.len() / 2].need;
    let bytes = leader.store.read_file(begun.key, begun.first_ordinal, 0, 3_000).expect("readable");
    part.append(begun, 0, &bytes).expect("there is space");
    let had: u64 = wanted[..wanted.len() / 2].iter().map(|wanted| wanted.need.bytes).sum::<u64>() + 3_000;

    let (mut follower, _) = Replica::open(follower.disk, options()).expect("restarted");
    let rest = follower.pull(&leader.store, &group.shards, 1_000).expect("pulled");
    assert_eq!(rest, whole - had);
    follower.install(&leader.store, &group, 1_000).expect("all is there");
    check(&follower, &entries);
}

#[test]
fn a_copy_with_a_flipped_bit_is_never_taken() {
    let (leader, _, group) = leader();
    let follower = Replica::new(2, options());
    for (number, wanted) in follower.store.wanted(&group.shards).expect("listed").into_iter().enumerate() {
        let name = format!("{:020}.seg", wanted.need.first_ordinal);
        let path = crate::model::segment_path(wanted.need.key, &name);
        for part in 0..6 {
            let bit = (wanted.need.bytes * 8 - 1) * part / 5;
            // The last bits of an open segment's blocks may be those of a frame that ends in the remainder.
            leader.disk.flip_bit(&path, bit);
            crate::replica::pull_file(follower.store.staging(), &leader.store, &wanted, 4_096)
                .expect("pulled");
            let refused = follower.store.staging().complete(&wanted.need);
            assert!(matches!(refused, Err(ShardError::Damaged { .. })), "file {number} bit {bit}");
            assert_eq!(follower.store.staging().staged_bytes(&wanted.need).expect("asked"), 0);
            leader.disk.flip_bit(&path, bit);
        }
    }
    assert!(follower.pull(&leader.store, &group.shards, 4_096).expect("pulled") > 0);
}

#[test]
fn pinned_files_stay_and_go_afterwards() {
    let (mut leader, ..) = leader();
    let pin = leader.store.pin();
    leader.shard(key(0)).trim(u64::MAX);
    leader.store.remove_shard(key(1));
    let before = crate::model::segments_of(&leader.disk, key(0)).len();
    for index in 0..3 {
        leader.checkpoint(&[key(0)], 61 + index).expect("the disk is well");
    }
    assert_eq!(crate::model::segments_of(&leader.disk, key(0)).len(), before);
    assert!(!crate::model::segments_of(&leader.disk, key(1)).is_empty());
    drop(pin);
    leader.checkpoint(&[key(0)], 64).expect("the disk is well");
    assert!(crate::model::segments_of(&leader.disk, key(0)).is_empty());
    assert!(crate::model::segments_of(&leader.disk, key(1)).is_empty());
}

#[test]
fn readers_of_replaced_shards_keep_what_they_saw() {
    let (leader, entries, group) = leader();
    let mut follower = Replica::new(2, options());
    apply(&follower, &entries[..41]);
    follower.checkpoint(&keys(), 41).expect("the disk is well");
    let old = follower.shard(key(0));
    let before = old.read(1, ALL).expect("readable");
    follower.install(&leader.store, &group, 4_096).expect("installed");
    assert_eq!(old.read(1, ALL).expect("still readable"), before);
    assert!(follower.shard(key(0)).read(1, ALL).expect("readable").records.len() > before.records.len());
    check(&follower, &entries);
    assert!(follower.disk.list(std::path::Path::new("data/transfer/7/0")).expect("listed").is_empty());
}
