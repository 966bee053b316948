use std::path::Path;

use openraft::entry::RaftEntry;
use openraft::storage::RaftLogStorage;
use openraft::{EntryPayload, alias::EntryOf};
use tidelog_storage::disk::SimDisk;
use tidelog_storage::wal::{Vote, Wal, WalOp, WalOptions, WalReader};

use super::*;
use crate::replication::raft::log_store::RecentBytes;
use crate::replication::types::config::{log_id, raft_vote};
use crate::replication::workers::wal_worker::{Durability, WalHandle};
use crate::shell::Tasks;

const GROUP: u8 = 3;

/// A node's log of one group: entries 1 to 5 of term 1, 6 to 12 of term 2, applied up to 10, following node 2 in term
/// 2.
struct Scene {
    disk: SimDisk,
    reader: WalReader,
    log: LogStore,
    tasks: Arc<Tasks>,
    promises: Promises,
}

fn at(term: u64, index: u64) -> LogPosition {
    LogPosition { term, index }
}

fn open(disk: &SimDisk, shell: &Shell) -> (WalHandle, WalReader) {
    let options = WalOptions { file_bytes: 1 << 20, first_file_bytes: 1 << 16, sync_every_commit: true };
    let (wal, reader, _) = Wal::open(Arc::new(disk.clone()), Path::new("/data/wal"), options).expect("a log");
    let (wal, _) = WalHandle::start(wal, Durability::Fsync, shell).expect("a worker");
    (wal, reader)
}

async fn scene() -> Scene {
    let disk = SimDisk::new(1);
    disk.create_dir_all(Path::new("/data/wal")).expect("a directory");
    let tasks = Arc::new(Tasks::default());
    let shell = Shell::Tasks(tasks.clone());
    let (wal, reader) = open(&disk, &shell);
    let entry = |index: u64| WalOp::Append {
        group: GROUP,
        position: at(if index <= 5 { 1 } else { 2 }, index),
        payload: Vec::new(),
    };
    let vote = Vote { term: 2, node: 2, committed: true };
    let ops = [WalOp::Vote { group: GROUP, vote }].into_iter().chain((1..=12).map(entry));
    wal.write(ops.collect()).await.expect("written");
    let log = LogStore::new(GROUP, wal, reader.clone(), shell.clone(), RecentBytes::default());
    log.applied().set(at(2, 10));
    let promises = Promises::new(1, log.clone(), shell, Arc::new(disk.clone()), "/data".into());
    Scene { disk, reader, log, tasks, promises }
}

fn request(term: u64, previous: LogPosition, entries: &[LogPosition]) -> AppendEntriesRequest<TypeConfig> {
    let entry = |at: &LogPosition| EntryOf::<TypeConfig>::new(log_id(*at), EntryPayload::Blank);
    AppendEntriesRequest {
        vote: raft_vote(Vote { term, node: term, committed: true }),
        prev_log_id: Some(log_id(previous)),
        entries: entries.iter().map(entry).collect(),
        leader_commit: None,
    }
}

#[tokio::test]
async fn a_leader_with_other_entries_below_applied_ones_is_contradicted() {
    let scene = scene().await;
    let other = |leader: u64, theirs: LogPosition, term: u64| {
        Some(Contradiction::OtherEntryApplied { group: GROUP, leader, theirs, term })
    };
    for (request, expected) in [
        // A leader may send entries at the end, a little behind, again, and beyond the end, and it may
        // replace entries that are not applied.
        (request(2, at(2, 12), &[at(2, 13)]), None),
        (request(2, at(2, 10), &[at(2, 11)]), None),
        (request(2, at(1, 4), &[at(1, 5), at(2, 6), at(2, 7)]), None),
        (request(3, at(3, 40), &[]), None),
        (request(3, at(2, 10), &[at(3, 11)]), None),
        (request(3, at(3, 11), &[]), None),
        // No leader may send these.
        (request(2, at(1, 10), &[]), other(2, at(1, 10), 2)),
        (request(3, at(3, 7), &[]), other(3, at(3, 7), 2)),
        (request(3, at(1, 5), &[at(3, 6)]), other(3, at(3, 6), 2)),
        // A leader that has been followed by another one is none any more.
        (request(1, at(1, 6), &[]), None),
    ] {
        let found = scene.promises.contradicted(&request);
        assert_eq!(found, expected, "{:?}", request.prev_log_id);
    }
}

#[tokio::test]
async fn a_truncation_below_applied_entries_ends_the_node_and_leaves_its_log_intact() {
    let scene = scene().await;
    let mut log = scene.log.clone();
    log.truncate_after(Some(log_id(at(2, 11)))).await.expect("nothing of it is applied");
    let cutting = crate::shell::spawn_short(async move { log.truncate_after(Some(log_id(at(1, 5)))).await });
    assert!(cutting.await.is_err_and(|error| error.is_panic()), "the node goes on");
    let words = scene.tasks.aborted().expect("an end").to_owned();
    assert!(words.starts_with("group 3: a leader wants the log truncated after entry 5"), "{words}");
    assert!(words.contains("other nodes have lost entries"), "{words}");
    assert_eq!(scene.reader.state(GROUP).last, Some(at(2, 11)));
    scene.disk.crash();
    let (_, reader) = open(&scene.disk, &Shell::Tasks(Arc::default()));
    assert_eq!(reader.state(GROUP).last, Some(at(2, 11)), "after a start");
}

#[test]
fn a_state_that_is_older_than_the_one_here_is_refused() {
    let key = ShardKey { stream_uid: 7, shard: 2 };
    let new = |applied: u64, trim_ordinal: u64, next_ordinal: u64| GroupCheckpoint {
        group: GROUP,
        applied: Some((2, applied)),
        state: bytes::Bytes::new(),
        shards: vec![ShardCheckpoint {
            key,
            next_ordinal,
            last_time_ms: 0,
            trim_ordinal,
            segments: Vec::new(),
            open: None,
        }],
    };
    let here = Bounds { first_ordinal: 5, next_ordinal: 9, last_time_ms: 0, oldest_time_ms: None };
    let dropped = ShardKey { stream_uid: 6, shard: 0 };
    let here = [(dropped, here), (key, here)];
    for (new, expected) in [
        (new(10, 5, 9), None),
        (new(11, 6, 10), None),
        (new(9, 5, 9), Some("it ends at entry 9, and entry 10 is applied here")),
        (new(11, 5, 8), Some("shard 2 of stream 7 ends before record 8, and before record 9 here")),
        (new(11, 4, 9), Some("shard 2 of stream 7 is trimmed before record 4, and before record 5 here")),
    ] {
        let expected = expected
            .map_or(Ok(()), |reason| Err(Contradiction::OlderState { group: GROUP, reason: reason.into() }));
        assert_eq!(check_newer(&new, 10, &here), expected);
    }
}
