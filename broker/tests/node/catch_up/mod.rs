//! Three nodes, of which one has lost time or bits: it comes back with the same records and the same bytes.

mod cluster;

use std::collections::BTreeMap;
use std::time::Duration;

use cluster::{Cluster, brittle, flip_bit, small};
use tidelog::replication::RepairPace;
use tidelog_storage::checkpoint;
use tidelog_storage::disk::RealDisk;
use tidelog_storage::shard::{ReadLimit, ShardError};

const RECORD_BYTES: usize = 50_000;

/// Stops node 3, and lets the others go on until their logs no longer reach back to where it was.
async fn leave_behind(cluster: &mut Cluster) {
    cluster.write(6, RECORD_BYTES).await;
    cluster.check(3, RECORD_BYTES).await;
    cluster.stop(3).await;
    cluster.write(80, RECORD_BYTES).await;
    cluster.checkpoint(&[1, 2]).await;
    cluster.write(6, RECORD_BYTES).await;
    cluster.checkpoint(&[1, 2]).await;
    let group = usize::from(cluster.shard.1);
    for node in [1, 2] {
        cluster
            .until("the log is purged", || {
                // Checkpoints come by themselves too: entries in the newer half of the bound may be kept.
                (cluster.groups(node).membership().status()[group].purged_index > 20).then_some(())
            })
            .await;
    }
}

/// The node has two checkpoints, and its log goes on where either ends.
fn can_start_from_either_checkpoint(cluster: &Cluster, node: u64) {
    let kept = cluster.dir(node).join("checkpoint");
    let copy = tempfile::tempdir().expect("a directory");
    let mut names: Vec<_> =
        std::fs::read_dir(&kept).expect("a directory").flatten().map(|entry| entry.file_name()).collect();
    names.retain(|name| name.to_string_lossy().ends_with(".checkpoint"));
    names.sort();
    let [older, _] = &names[..] else { panic!("two are kept, not {names:?}") };
    std::fs::copy(kept.join(older), copy.path().join(older)).expect("copied");
    let loaded = checkpoint::load(&RealDisk, copy.path()).expect("readable").expect("it is there");
    for status in cluster.groups(node).membership().status() {
        let group = loaded.checkpoint.groups.iter().find(|group| group.group == status.group);
        let ends = group.and_then(|group| group.applied).map_or(0, |(_, index)| index);
        assert!(ends >= status.purged_index, "{ends} in the older checkpoint: {status:?}");
    }
}

/// Every sealed segment that two nodes have is the same on both; gives how many.
async fn same_files(cluster: &Cluster, nodes: [u64; 2]) -> usize {
    cluster.checkpoint(&nodes).await;
    let files: Vec<BTreeMap<_, _>> = nodes.iter().map(|node| cluster.files(*node)).collect();
    let bytes = |path| std::fs::read(path).expect("readable");
    for (name, path) in &files[0] {
        assert!(bytes(path) == bytes(&files[1][name]), "{name} differs");
    }
    files[0].len()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_node_that_the_log_no_longer_reaches_catches_up_by_files() {
    let mut cluster = Cluster::form(small(200_000)).await;
    leave_behind(&mut cluster).await;
    cluster.start(3, None).await;
    cluster.check(3, RECORD_BYTES).await;
    can_start_from_either_checkpoint(&cluster, 3);
    assert!(same_files(&cluster, [1, 3]).await > 20);

    // It takes entries again, and a restart finds everything.
    cluster.write(50, RECORD_BYTES).await;
    cluster.check(3, RECORD_BYTES).await;
    cluster.stop(3).await;
    cluster.start(3, None).await;
    cluster.check(3, RECORD_BYTES).await;
    assert!(same_files(&cluster, [3, 2]).await > 20);
    cluster.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_transfer_over_connections_that_break_goes_on_where_it_was() {
    // No connection lives long enough for one file.
    let mut cluster = Cluster::form(small(2_000_000)).await;
    leave_behind(&mut cluster).await;
    cluster.start(3, Some(brittle(700_000))).await;
    cluster.check(3, RECORD_BYTES).await;
    assert!(same_files(&cluster, [1, 3]).await >= 2);
    cluster.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_flipped_bit_is_never_served_and_comes_right_by_a_read_or_by_the_scrub() {
    // Peers may have the lost records in memory only: those of a sealed segment, and those of an open one.
    for (is_scrubbed, written, segment) in
        [(false, &[1, 2, 3][..], 1), (true, &[1, 2, 3], 1), (false, &[2], 1), (false, &[2], usize::MAX)]
    {
        let mut sizes = small(200_000);
        if is_scrubbed {
            let pause = Duration::from_millis(200);
            sizes.repair_pace =
                RepairPace { scrub_pause: pause, scrub_bytes_per_second: 1 << 30, ..sizes.repair_pace };
        }
        let mut cluster = Cluster::form(sizes).await;
        cluster.write(20, RECORD_BYTES).await;
        cluster.check(2, RECORD_BYTES).await;
        cluster.checkpoint(written).await;
        let mut files = cluster.files(2).into_values();
        let path = if segment == usize::MAX { files.next_back() } else { files.nth(segment) };
        let path = path.expect("several segments");
        let whole = std::fs::read(&path).expect("readable");
        flip_bit(&path, whole.len() as u64 * 3);
        if !is_scrubbed {
            let log = cluster.groups(2).shard(cluster.shard.0).expect("the shard is there");
            let limit = ReadLimit { records: 200, bytes: usize::MAX };
            let mut next = 1;
            let refused = loop {
                match log.read(next, limit) {
                    Ok(batch) => next = batch.next_ordinal,
                    Err(error) => break error,
                }
            };
            assert!(matches!(refused, ShardError::Damaged { .. }), "{refused}");
        }
        cluster
            .until("the segment is repaired", || {
                let is_listed = !cluster.groups(2).repairs().damaged_segments().is_empty();
                (!is_listed && std::fs::read(&path).expect("readable") == whole).then_some(())
            })
            .await;
        cluster.check(2, RECORD_BYTES).await;
        cluster.end().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn segments_that_were_lost_while_a_node_was_down_come_from_its_peers() {
    let mut cluster = Cluster::form(small(200_000)).await;
    cluster.write(22, RECORD_BYTES).await;
    cluster.check(2, RECORD_BYTES).await;
    cluster.checkpoint(&[1, 3]).await;
    cluster.stop(2).await;
    let files = cluster.files(2);
    let mut paths = files.values();
    // The first sealed one is gone, the next is short, and the open one is damaged in its last frame.
    std::fs::remove_file(paths.next().expect("several")).expect("removed");
    std::fs::write(paths.next().expect("several"), b"TIDELSEG").expect("written");
    let open = paths.next_back().expect("an open one");
    flip_bit(open, std::fs::metadata(open).expect("it is there").len() * 8 - 1);

    cluster.start(2, None).await;
    let groups = cluster.groups(2);
    cluster.until("all is repaired", || groups.repairs().damaged_segments().is_empty().then_some(())).await;
    drop(groups);
    cluster.check(2, RECORD_BYTES).await;
    assert!(same_files(&cluster, [2, 1]).await > 4);
    cluster.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn nodes_that_each_lack_an_open_segment_help_each_other_to_start() {
    let mut cluster = Cluster::form(small(200_000)).await;
    cluster.write(22, RECORD_BYTES).await;
    let first = cluster.turn_to_new("more").await;
    cluster.write(22, RECORD_BYTES).await;
    for node in [1, 2, 3] {
        cluster.check(node, RECORD_BYTES).await;
    }
    cluster.checkpoint(&[1, 2, 3]).await;
    let of_second = cluster.files(3);
    let second = (cluster.shard, 22);
    cluster.turn_to(first);
    let of_first = [cluster.files(1), cluster.files(2)];
    for node in [1, 2, 3] {
        cluster.stop(node).await;
    }
    // Nodes 1 and 2 have lost the same one, which node 3 has; it has lost the other.
    for files in of_first.iter().chain([&of_second]) {
        let open = files.values().next_back().expect("an open one");
        flip_bit(open, std::fs::metadata(open).expect("it is there").len() * 8 - 1);
    }

    cluster.start_all(&[1, 2, 3]).await;
    for shard in [first, second] {
        cluster.turn_to(shard);
        for node in [1, 2, 3] {
            cluster.check(node, RECORD_BYTES).await;
        }
        assert!(same_files(&cluster, [1, 2]).await > 4);
        assert!(same_files(&cluster, [2, 3]).await > 4);
    }
    cluster.write(22, RECORD_BYTES).await;
    cluster.check(3, RECORD_BYTES).await;
    cluster.end().await;
}
