//! A log, or a part of it, that is gone while the node is down: the start is refused, says what to do, and changes
//! nothing.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use tidelog_storage::checkpoint::{self, Checkpoint};
use tidelog_storage::disk::RealDisk;

use crate::START_MS;
use crate::broker::Broker;
use crate::cluster::Cluster;

/// All files below a directory with their bytes, and its directories.
fn contents(directory: &Path) -> BTreeMap<PathBuf, Option<Vec<u8>>> {
    let mut found = BTreeMap::new();
    let mut directories = vec![directory.to_owned()];
    while let Some(directory) = directories.pop() {
        for entry in fs::read_dir(&directory).expect("a directory").flatten() {
            let path = entry.path();
            let bytes = if path.is_dir() {
                directories.push(path.clone());
                None
            } else {
                Some(fs::read(&path).expect("readable"))
            };
            found.insert(path, bytes);
        }
    }
    found
}

/// Returns once nothing changes any more: the threads of a node that was killed in this process finish their work.
async fn at_rest(directory: &Path) {
    let mut before = contents(directory);
    loop {
        tokio::time::sleep(Duration::from_millis(300)).await;
        let now = contents(directory);
        if now == before {
            return;
        }
        before = now;
    }
}

fn log_files(directory: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(directory.join("wal")).expect("a log").flatten();
    let mut files: Vec<_> = entries.map(|entry| entry.path()).collect();
    files.retain(|path| path.extension().is_some_and(|extension| extension == "wal"));
    files.sort();
    files
}

/// A directory with three records of a stream, whose node has stopped.
async fn used() -> tempfile::TempDir {
    let directory = tempfile::tempdir().expect("a directory");
    let broker = Broker::start(directory.path(), START_MS).await;
    broker.create("events").await;
    for data in ["b25l", "dHdv", "dGhyZWU="] {
        broker.put("events", data).await;
    }
    broker.stop().await;
    directory
}

/// Verifies that the node is refused, twice, that nothing changes, and that no file is said to be removed.
async fn require_refused(directory: &Path, harm: &str) -> String {
    let before = contents(directory);
    let mut words = String::new();
    for _ in 0..2 {
        let refused = Broker::try_start(directory, START_MS + 1).await;
        words = refused.err().unwrap_or_else(|| panic!("{harm}: the loss went unnoticed"));
        assert!(contents(directory) == before, "{harm}: a refused start has changed the directory: {words}");
        assert!(!words.contains("remov"), "{harm}: {words}");
    }
    words
}

#[tokio::test(flavor = "multi_thread")]
async fn a_log_that_lacks_its_newest_file_or_all_of_them_is_refused_and_nothing_changes() {
    type Harm = fn(&Path);
    let harms: [(&str, Harm); 6] = [
        ("newest file", |directory| {
            fs::remove_file(log_files(directory).pop().expect("a file")).expect("removed");
        }),
        ("all files", |directory| {
            for file in log_files(directory) {
                fs::remove_file(file).expect("removed");
            }
        }),
        ("directory of the log", |directory| fs::remove_dir_all(directory.join("wal")).expect("removed")),
        ("log and mark", |directory| {
            fs::remove_dir_all(directory.join("wal")).expect("removed");
            fs::remove_file(directory.join("wal.mark")).expect("removed");
        }),
        ("mark", |directory| fs::remove_file(directory.join("wal.mark")).expect("removed")),
        ("log, mark and checkpoints", |directory| {
            for name in ["wal", "checkpoint", "shards"] {
                fs::remove_dir_all(directory.join(name)).expect("removed");
            }
            fs::remove_file(directory.join("wal.mark")).expect("removed");
        }),
    ];
    for (name, harm) in harms {
        let directory = used().await;
        harm(directory.path());
        let words = require_refused(directory.path(), name).await;
        assert!(words.contains("put the missing file back"), "{name}: {words}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_file_that_is_put_back_after_a_refusal_brings_everything_back() {
    let directory = used().await;
    let newest = log_files(directory.path()).pop().expect("a file");
    let aside = directory.path().join("aside");
    fs::rename(&newest, &aside).expect("renamed");
    for _ in 0..2 {
        assert!(Broker::try_start(directory.path(), START_MS).await.is_err(), "the newest file is missing");
    }
    fs::rename(&aside, &newest).expect("renamed");
    let broker = Broker::start(directory.path(), START_MS).await;
    assert_eq!(broker.read("events").await.len(), 3);
    broker.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn damaged_checkpoints_are_refused_without_a_new_log_file() {
    let directory = used().await;
    for entry in fs::read_dir(directory.path().join("checkpoint")).expect("checkpoints").flatten() {
        let mut bytes = fs::read(entry.path()).expect("readable");
        *bytes.last_mut().expect("a byte") ^= 1;
        fs::write(entry.path(), bytes).expect("written");
    }
    let words = require_refused(directory.path(), "checkpoints damaged").await;
    assert!(words.contains("no usable checkpoint"), "{words}");
}

/// Rewrites the newest checkpoint.
fn change_checkpoint(directory: &Path, change: impl FnOnce(&mut Checkpoint)) {
    let checkpoints = directory.join("checkpoint");
    let loaded = checkpoint::load(&RealDisk, &checkpoints).expect("whole").expect("there is one");
    let mut newest = loaded.checkpoint;
    change(&mut newest);
    checkpoint::write(&RealDisk, &checkpoints, &newest).expect("written");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_log_that_ends_before_its_checkpoint_is_refused_by_its_lsn() {
    let directory = used().await;
    change_checkpoint(directory.path(), |newest| newest.durable_lsn += 1_000);
    let words = require_refused(directory.path(), "the checkpoint's LSN lies beyond the log").await;
    assert!(words.contains("the newest checkpoint says"), "{words}");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_install_that_was_cut_short_before_the_log_was_purged_starts() {
    // The checkpoint of an install is durable before the log is purged up to it: its index lies beyond the log's end.
    let directory = used().await;
    change_checkpoint(directory.path(), |newest| {
        let group = newest.groups.iter_mut().find(|group| !group.shards.is_empty()).expect("a data group");
        let (term, index) = group.applied.expect("something was applied");
        group.applied = Some((term, index + 1_000));
    });
    let broker = Broker::start(directory.path(), START_MS).await;
    assert_eq!(broker.read("events").await.len(), 3);
    broker.put("events", "Zm91cg==").await;
    assert_eq!(broker.read("events").await.len(), 4);
    broker.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_node_of_a_cluster_that_has_lost_its_tail_asks_to_be_replaced() {
    let mut cluster = Cluster::start().await;
    cluster.kill(0).await;
    let directory = cluster.directory(0).to_owned();
    at_rest(&directory).await;
    let newest = log_files(&directory).pop().expect("a file");
    fs::remove_file(newest).expect("removed");
    let before = contents(&directory);
    let words = cluster.refused_restart(0).await;
    assert!(words.contains("tidelog cluster replace"), "{words}");
    assert!(contents(&directory) == before, "a refused start has changed the directory: {words}");
    cluster.end().await;
}
