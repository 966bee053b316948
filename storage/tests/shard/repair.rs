//! Damaged segments where a peer has copies: never served, listed, and repaired to the same bytes.

use std::sync::Arc;

use crate::model::{ALL, Model, SHARDS, body, file_bytes, key, segment_path, segments_of, small_options};
use crate::replica::{Replica, same_files};
use tidelog_storage::disk::Open;
use tidelog_storage::shard::{ShardError, ShardStore, StoreOptions};
use tidelog_storage::transfer::{Staging, Wanted};
use tidelog_storage::{Disk, SimDisk};

fn options() -> StoreOptions {
    StoreOptions { is_repairable: true, tail_bytes_max: 0, ..small_options() }
}

fn apply(replica: &Replica, model: &mut Model, numbers: std::ops::Range<u64>) {
    for number in numbers {
        let (body, checksum) = body(number, 2, 700);
        model.apply(number * 50, body.clone());
        replica.shard(key(0)).apply(number * 50, 2, body, checksum);
    }
}

/// Two equal nodes with sealed segments and an open one.
fn pair() -> (Replica, Replica, Model) {
    let mut model = Model::default();
    let nodes = [1, 2].map(|seed| {
        let mut node = Replica::new(seed, options());
        model = Model::default();
        apply(&node, &mut model, 0..48);
        node.checkpoint(&[key(0)], 48).expect("the disk is well");
        node
    });
    let [own, peer] = nodes;
    assert_eq!(segments_of(&own.disk, key(0)).len(), 4);
    (own, peer, model)
}

fn reopen(node: Replica) -> Replica {
    Replica::open(node.disk, options()).expect("a damaged sealed segment is no reason to stay down").0
}

fn damaged_open(node: &Replica) -> (Vec<Wanted>, Arc<Staging>) {
    let loaded = tidelog_storage::checkpoint::load(&node.disk, crate::model::CHECKPOINTS.as_ref());
    let shards = loaded.expect("whole").expect("there is one").checkpoint.groups.remove(0).shards;
    let disk: Arc<SimDisk> = Arc::new(node.disk.clone());
    ShardStore::damaged_open(disk, SHARDS.into(), &shards).expect("listed")
}

#[test]
fn a_flipped_bit_is_never_served_and_repaired_wherever_it_is() {
    let (own, peer, model) = pair();
    let mut own = reopen(own);
    let names = segments_of(&own.disk, key(0));
    let mut repaired = 0;
    for name in &names {
        let path = segment_path(key(0), name);
        let whole = file_bytes(&own.disk, &path);
        for part in 0..40 {
            let bit = (whole.len() as u64 * 8 - 1) * part / 39;
            own.disk.flip_bit(&path, bit);
            if !damaged_open(&own).0.is_empty() {
                // The open segment's last frames are read before the start.
                own.disk.flip_bit(&path, bit);
                continue;
            }
            // Opened anew, so that the checks of an opening run.
            own = reopen(own);
            let log = own.shard(key(0));
            let mut next = 1;
            while next < model.next_ordinal() {
                match log.read(next, ALL) {
                    Ok(batch) => next = batch.next_ordinal,
                    Err(ShardError::Damaged { .. }) => break,
                    Err(other) => panic!("{other}"),
                }
            }
            if own.store.damaged().is_empty() {
                // In the part of the open segment that memory has.
                own.disk.flip_bit(&path, bit);
                continue;
            }
            for damaged in own.store.damaged() {
                assert!(own.repair(&peer.store, damaged).expect("the copy is whole"));
            }
            assert!(own.store.damaged().is_empty());
            assert!(file_bytes(&own.disk, &path) == whole, "{name} bit {bit}");
            model.check_reads(&log, 1, ALL);
            repaired += 1;
        }
    }
    assert!(repaired > 120, "{repaired}");
}

#[test]
fn a_segment_repaired_while_it_is_written_goes_on_to_the_same_bytes() {
    for late in [false, true] {
        let (own, mut peer, mut model) = pair();
        let mut own = reopen(own);
        let open = segments_of(&own.disk, key(0)).pop().expect("a segment is open");
        assert_eq!(open, "00000000000000000079.seg");
        own.disk.flip_bit(&segment_path(key(0), &open), 900);
        apply(&own, &mut model.clone(), 48..51);
        if late {
            // The peer is ahead of this node, or behind it.
            apply(&peer, &mut model.clone(), 48..51);
            peer.checkpoint(&[key(0)], 51).expect("the disk is well");
        } else {
            own.flusher.checkpoint(vec![own.shard(key(0)).snapshot()]).expect("nothing is sealed yet");
        }
        assert!(matches!(own.shard(key(0)).read(79, ALL), Err(ShardError::Damaged { .. })));
        let damaged = own.store.damaged();
        assert_eq!(damaged.len(), 1);
        assert!(own.repair(&peer.store, damaged[0]).expect("the copy is whole"));
        if !late {
            apply(&peer, &mut model.clone(), 48..51);
        }
        apply(&own, &mut Model::default(), 51..85);
        apply(&peer, &mut Model::default(), 51..85);
        apply_model(&mut model, 48..85);
        for node in [&mut own, &mut peer] {
            node.checkpoint(&[key(0)], 85).expect("the disk is well");
        }
        assert!(same_files(&own.disk, &peer.disk, key(0), |_| true) > 6);
        model.check_reads(&own.shard(key(0)), 1, ALL);
    }
}

fn apply_model(model: &mut Model, numbers: std::ops::Range<u64>) {
    for number in numbers {
        model.apply(number * 50, body(number, 2, 700).0);
    }
}

#[test]
fn a_damaged_segment_is_sealed_without_a_copy_and_repaired_to_the_same_bytes_when_one_comes() {
    let (own, mut peer, mut model) = pair();
    let mut own = reopen(own);
    let open = segments_of(&own.disk, key(0)).pop().expect("a segment is open");
    own.disk.flip_bit(&segment_path(key(0), &open), 600);
    for node in [&mut own, &mut peer] {
        apply(node, &mut Model::default(), 48..85);
        node.checkpoint(&[key(0)], 85).expect("no copy is waited for");
    }
    apply_model(&mut model, 48..85);
    let own = reopen(own);
    assert!(matches!(own.shard(key(0)).read(79, ALL), Err(ShardError::Damaged { .. })));
    assert!(own.repair(&peer.store, own.store.damaged()[0]).expect("the copy is whole"));
    assert!(same_files(&own.disk, &peer.disk, key(0), |_| true) > 6);
    model.check_reads(&own.shard(key(0)), 1, ALL);
}

#[test]
fn lost_and_short_sealed_segments_are_listed_at_the_start_and_repaired() {
    for length in [None, Some(0), Some(4_096)] {
        let (own, peer, model) = pair();
        let path = segment_path(key(0), &segments_of(&own.disk, key(0))[1]);
        let whole = file_bytes(&own.disk, &path);
        match length {
            None => own.disk.remove_file(&path).expect("removed"),
            Some(bytes) => {
                own.disk.open(&path, Open::Write).and_then(|file| file.set_len(bytes)).expect("cut");
            }
        }
        let own = reopen(own);
        let damaged = own.store.damaged();
        assert_eq!(damaged.len(), 1);
        let log = own.shard(key(0));
        let whole_until = log.read(damaged[0].1, ALL).map_or(damaged[0].1, |batch| batch.next_ordinal);
        assert!(matches!(log.read(whole_until, ALL), Err(ShardError::Damaged { .. })));
        assert!(own.repair(&peer.store, damaged[0]).expect("the copy is whole"));
        assert!(file_bytes(&own.disk, &path) == whole);
        model.check_reads(&log, 1, ALL);
    }
}

#[test]
fn a_damaged_open_segment_is_staged_before_the_start() {
    for damage in 0..3 {
        let (own, peer, model) = pair();
        let path = segment_path(key(0), &segments_of(&own.disk, key(0))[3]);
        let whole = file_bytes(&own.disk, &path);
        match damage {
            0 => own.disk.remove_file(&path).expect("removed"),
            1 => own.disk.open(&path, Open::Write).and_then(|file| file.set_len(4_096)).expect("cut"),
            _ => own.disk.flip_bit(&path, whole.len() as u64 * 8 - 1),
        }
        let (damaged, staging) = damaged_open(&own);
        assert_eq!(damaged.len(), 1);
        crate::replica::pull_file(&staging, &peer.store, &damaged[0], 1_000).expect("pulled");
        staging.complete(&damaged[0].need).expect("the copy is whole");
        let own = reopen(own);
        assert!(file_bytes(&own.disk, &path) == whole);
        model.check_reads(&own.shard(key(0)), 1, ALL);
    }
}

#[test]
fn the_scrub_looks_at_every_sealed_segment_and_finds_every_kind_of_damage() {
    let (own, ..) = pair();
    let own = reopen(own);
    let names = segments_of(&own.disk, key(0));
    for flipped in [None, Some(0), Some(1), Some(2)] {
        let path = segment_path(key(0), &names[flipped.unwrap_or(0)]);
        for part in 0..30 {
            let bit = (file_bytes(&own.disk, &path).len() as u64 * 8 - 1) * part / 29;
            if flipped.is_some() {
                own.disk.flip_bit(&path, bit);
            }
            let (mut after, mut found) = (None, Vec::new());
            while let Some(step) = own.store.scrub(after).expect("readable") {
                found.push(step.damage.is_some());
                after = Some((step.key, step.first_ordinal));
            }
            let expected: Vec<bool> = (0..3).map(|number| Some(number) == flipped).collect();
            assert_eq!(found, expected, "bit {bit}");
            assert_eq!(own.store.damaged().is_empty(), flipped.is_none());
            if flipped.is_some() {
                own.disk.flip_bit(&path, bit);
                let (key, first_ordinal) = own.store.damaged()[0];
                assert!(own.repair(&own.store, (key, first_ordinal)).expect("whole again"));
            }
        }
    }
}
