//! The recent entries of a group.

use bytes::Bytes;
use openraft::EntryPayload;
use tidelog_storage::shard::ShardKey;
use tidelog_storage::wal::LogPosition;

use super::*;
use crate::replication::types::command::SubBatch;

fn entry(index: u64, body: &Bytes) -> LogEntry {
    let shard = ShardKey { stream_uid: 1, shard: 0 };
    let batch = SubBatch::new(shard, 1, 1, body.clone());
    let command = LogCommand::Records(vec![batch].into());
    LogEntry::new(log_id(LogPosition { term: 1, index }), EntryPayload::Normal(command))
}

#[test]
fn the_groups_of_a_node_share_one_bound_of_entries_in_memory() {
    let body = Bytes::from(vec![0; 1 << 20]);
    let of_all = RecentBytes::default();
    let [mut busy, mut quiet] = [(); 2].map(|()| Recent { of_all: of_all.clone(), ..Recent::default() });
    for index in 1..=4 {
        quiet.push_back(entry(index, &body));
    }
    for index in 1..=200 {
        busy.push_back(entry(index, &body));
        while busy.is_over_bound() {
            busy.pop_front();
        }
    }
    assert!(!quiet.is_over_bound() && quiet.bytes == RECENT_BYTES_OF_GROUP);
    assert_eq!(busy.bytes + quiet.bytes, RECENT_BYTES_MAX);
    busy.pop_back();
    assert_eq!(of_all.0.load(Ordering::Relaxed), RECENT_BYTES_MAX - (1 << 20));
}
