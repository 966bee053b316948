//! Segments that no checkpoint lists are never removed because of that: they wait until the log has brought their
//! records back.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::model::{ALL, Model, body, checkpoint, file_bytes, key, open, segments_of, small_options};
use tidelog_storage::flusher::Flusher;
use tidelog_storage::shard::{ShardLog, StoreOptions};
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

fn aside(name: &str) -> PathBuf {
    Path::new("data/set-aside").join(format!("{}/0/{name}", key(0).stream_uid))
}

/// A shard of four segments, and the bytes of their files.
fn filled() -> (SimDisk, Model, Vec<(String, Vec<u8>)>) {
    let disk = SimDisk::new(1);
    let store = open(&disk, options(), Vec::new());
    let (log, mut model) = (store.create(key(0)), Model::default());
    apply(&log, &mut model, 0..48);
    checkpoint(&disk, &mut Flusher::new(store), &[log], (1, 1)).expect("durable");
    let names = segments_of(&disk, key(0));
    let files = names.into_iter().map(|name| {
        let bytes = file_bytes(&disk, &crate::model::segment_path(key(0), &name));
        (name, bytes)
    });
    let files: Vec<_> = files.collect();
    assert_eq!(files.len(), 4);
    (disk, model, files)
}

#[test]
fn without_a_checkpoint_every_segment_is_set_aside_and_goes_when_the_log_is_replayed() {
    let (disk, mut model, files) = filled();
    let store = open(&disk, options(), Vec::new());
    assert!(segments_of(&disk, key(0)).is_empty());
    for (name, bytes) in &files {
        assert!(file_bytes(&disk, &aside(name)) == *bytes, "{name}");
    }
    // The log has not been replayed: no segment may go yet.
    assert_eq!(store.discard_set_aside(|_| false).expect("listed").len(), 4);
    let log = store.create(key(0));
    let mut again = Model::default();
    apply(&log, &mut again, 0..20);
    // Twenty frames bring back the first segment and part of the second.
    let left = store.discard_set_aside(|_| true).expect("listed");
    assert_eq!(left, [(key(0), 27), (key(0), 53), (key(0), 79)]);
    apply(&log, &mut again, 20..48);
    assert_eq!(store.discard_set_aside(|_| true).expect("listed"), []);
    assert!(disk.list(Path::new("data/set-aside")).expect("it was made").is_empty());
    model.trim(1);
    model.check_reads(&log, 1, ALL);
}

#[test]
fn a_segment_stays_when_other_records_have_taken_the_place_of_its_own() {
    let (disk, ..) = filled();
    let store = open(&disk, options(), Vec::new());
    let (log, mut other) = (store.create(key(0)), Model::default());
    // The log brings back one segment; then new records come.
    apply(&log, &mut other, 0..13);
    apply(&log, &mut other, 1_000..1_100);
    let left = store.discard_set_aside(|_| true).expect("listed");
    assert_eq!(left, [(key(0), 27), (key(0), 53), (key(0), 79)]);
    // Trimmed by its retention, nothing of them is wanted any more.
    log.trim(log.bounds().next_ordinal);
    assert_eq!(store.discard_set_aside(|_| true).expect("listed"), []);
}

#[test]
fn a_removed_stream_goes_only_when_the_metadata_knows_that_it_was_there() {
    let (disk, ..) = filled();
    let store = open(&disk, options(), Vec::new());
    assert_eq!(store.discard_set_aside(|uid| uid < key(0).stream_uid).expect("listed").len(), 4);
    assert_eq!(store.discard_set_aside(|uid| uid <= key(0).stream_uid).expect("listed"), []);
}

#[test]
fn of_two_starts_the_longer_segment_stays_aside() {
    let (disk, _, files) = filled();
    open(&disk, options(), Vec::new());
    // The next start finds the beginning of the first segment, written again.
    let store = open(&disk, options(), Vec::new());
    let log = store.create(key(0));
    apply(&log, &mut Model::default(), 0..4);
    Flusher::new(store).checkpoint(vec![log.snapshot()]).expect("there is space");
    assert_eq!(segments_of(&disk, key(0)).len(), 1);
    let store = open(&disk, options(), Vec::new());
    assert!(file_bytes(&disk, &aside(&files[0].0)) == files[0].1);
    assert_eq!(store.discard_set_aside(|_| false).expect("listed").len(), 4);
    let disk: Arc<SimDisk> = Arc::new(disk);
    assert!(disk.list(Path::new("data/shards")).expect("it is there").is_empty());
}

#[test]
fn a_trimmed_segment_of_another_length_is_set_aside() {
    let (disk, model, files) = filled();
    let store = open(&disk, options(), Vec::new());
    let (log, mut again) = (store.create(key(0)), Model::default());
    apply(&log, &mut again, 0..48);
    log.trim(60);
    let shards = checkpoint(&disk, &mut Flusher::new(store), &[log], (2, 2)).expect("durable");
    let path = crate::model::segment_path(key(0), &files[0].0);
    disk.open(&path, tidelog_storage::disk::Open::Write).and_then(|file| file.set_len(8_192)).expect("cut");
    disk.remove_dir_all(Path::new("data/set-aside")).expect("removed");
    let store = open(&disk, options(), shards);
    assert_eq!(file_bytes(&disk, &aside(&files[0].0)).len(), 8_192);
    assert_eq!(store.damaged(), []);
    assert_eq!(store.get(key(0)).expect("listed").bounds().next_ordinal, model.next_ordinal());
}
