//! A node that has lost entries that it had acknowledged: noticed by its peers, never trusted, and no shard waits
//! for it.

use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use serde_json::json;
use tidelog::cluster::administration::{Administration, troubles};
use tidelog::replication::{Shell, Tasks};
use tidelog_proto::peer::{AppendRequest, LogId, Vote};

use crate::cluster::Cluster;

/// How long nodes are watched for events that must not happen: longer than leaders take to be spread anew.
const WATCHED: Duration = Duration::from_secs(8);
const PATIENCE: Duration = Duration::from_secs(60);

/// Three nodes that may end themselves without ending this process.
async fn cluster() -> Cluster {
    let cluster = Cluster::start_with(|config| config.shell = Shell::Tasks(Arc::default())).await;
    cluster.create_stream(0, "a", 6).await;
    put_to_all(&cluster, &[0, 1, 2]).await;
    cluster
}

/// Puts records until every shard has taken one, through each of those nodes.
async fn put_to_all(cluster: &Cluster, through: &[usize]) {
    for (key, at) in (0..24).flat_map(|key| through.iter().map(move |at| (key, *at))) {
        let put = json!({"StreamName": "a", "PartitionKey": format!("key-{key}"), "Data": "aGk="});
        cluster.persist(at, "PutRecord", put).await;
    }
}

fn tasks(cluster: &Cluster, at: usize) -> Arc<Tasks> {
    match cluster.node(at).service().groups().shell() {
        Shell::Tasks(tasks) => tasks.clone(),
        Shell::Threads => panic!("a node of these tests runs as tasks"),
    }
}

/// Returns the troubles that the node at a place reports.
async fn troubles_at(cluster: &Cluster, at: usize) -> String {
    let groups = cluster.node(at).service().groups().clone();
    troubles(&Administration::new(groups).status().await).join("\n")
}

fn empty_log(directory: &Path) {
    for name in ["wal", "checkpoint", "shards"] {
        std::fs::remove_dir_all(directory.join(name)).expect("a directory of the node's");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_node_that_lacks_what_it_acknowledged_ends_and_does_not_come_back() {
    let mut cluster = cluster().await;
    let began = Instant::now();
    let (leader, at, ended) = loop {
        let leader = cluster.leader(2).await;
        let at = (leader + 1) % 3;
        let leading = cluster.node(leader).service().groups().membership().status().swap_remove(2);
        let request = AppendRequest {
            group: 2,
            vote: Some(Vote { term: leading.term, node: leader as u64 + 1, is_committed: true }),
            previous: Some(LogId { term: leading.term, index: leading.last_index + 1_000 }),
            ..AppendRequest::default()
        };
        let (follower, ended) = (cluster.node(at).service().groups().clone(), tasks(&cluster, at));
        let (leader_id, stranger) = (leader as u64 + 1, (leader as u64 + 1) % 3 + 1);
        for caller in [stranger, 77] {
            let refused =
                follower.peer_calls().take_heartbeat(caller, request.clone()).await.map(drop).unwrap_err();
            assert!(refused.message().contains("in a call of node"), "{refused:?}");
        }
        let taking =
            tokio::spawn(
                async move { follower.peer_calls().take_heartbeat(leader_id, request).await.map(drop) },
            );
        if taking.await.is_err_and(|error| error.is_panic()) {
            break (leader, at, ended);
        }
        // Unless another leader was elected in between, which makes it no leader's request.
        assert!(began.elapsed() < PATIENCE, "the node goes on");
    };
    let words = ended.aborted().expect("an end").to_owned();
    let expected = format!("group 2: node {} has an acknowledgement of this node for entry", leader + 1);
    assert!(words.starts_with(&expected), "{words}");

    cluster.kill(at).await;
    for _ in 0..2 {
        let refused = cluster.refused_restart(at).await;
        assert!(refused.contains("has lost the end of its log"), "{refused}");
        assert!(
            refused.contains(&format!("tidelog cluster replace {} NEW_ID=HOST:PORT", at + 1)),
            "{refused}"
        );
    }
    put_to_all(&cluster, &cluster.running()).await;
    cluster.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_node_with_an_empty_log_never_leads_and_no_shard_waits_for_it() {
    let mut cluster = cluster().await;
    cluster.kill(1).await;
    empty_log(cluster.directory(1));
    let is_refused = cluster.try_restart(1).await.is_some();
    let began = Instant::now();
    while began.elapsed() < WATCHED {
        put_to_all(&cluster, &[0, 2]).await;
        for group in 0..7 {
            assert_ne!(cluster.leader_by(0, group), Some(1), "node 2 leads group {group}");
        }
    }
    let said = Instant::now();
    while ![troubles_at(&cluster, 0).await, troubles_at(&cluster, 2).await]
        .iter()
        .all(|troubles| troubles.to_lowercase().contains("node 2"))
    {
        assert!(said.elapsed() < PATIENCE, "nobody says what is wrong with node 2 (refused: {is_refused})");
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    cluster.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_group_goes_only_to_nodes_that_have_confirmed_their_position() {
    let mut cluster = cluster().await;
    cluster.kill(1).await;
    let groups = cluster.node(0).service().groups().clone();
    let led =
        (0..7).find(|group| cluster.leader_by(0, *group) == Some(0)).expect("a group that node 1 leads");
    let status = groups.membership().status().swap_remove(usize::from(led));
    assert!(status.matched.contains_key(&3), "node 3 has confirmed its position: {status:?}");
    cluster.restart(1).await;
    // A node is listed only once it has confirmed its position since its start, and gets a group only then.
    let began = Instant::now();
    while !groups.leadership().transfer(led, 2).await {
        assert!(began.elapsed() < PATIENCE, "node 2 is never handed group {led}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    drop(groups);
    cluster.end().await;
}

/// Copies the files of a data directory of a node that does not run.
fn copy(from: &Path, to: &Path) {
    std::fs::create_dir_all(to).expect("a directory");
    for entry in std::fs::read_dir(from).expect("a directory").flatten() {
        let target = to.join(entry.file_name());
        match entry.path().is_dir() {
            true => copy(&entry.path(), &target),
            false => drop(std::fs::copy(entry.path(), target).expect("a copy")),
        }
    }
}

/// Returns once every node that runs knows a later life of node 2 than `number`; gives its number.
async fn life_after(cluster: &Cluster, number: u64) -> u64 {
    let began = Instant::now();
    loop {
        let known = |at: usize| {
            let catalog = cluster.node(at).service().groups().catalog();
            catalog.lives.get(&2).map_or(0, |life| life.number)
        };
        let oldest = cluster.running().into_iter().map(known).min().expect("a node that runs");
        let file = std::fs::read_to_string(cluster.directory(1).join("LIVES")).unwrap_or_default();
        // The node itself has noted that its life was taken.
        if oldest > number && file.lines().nth(1).is_some_and(|lives| !lives.contains(',')) {
            return oldest;
        }
        assert!(began.elapsed() < PATIENCE, "no life after {number}: {file}");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_older_copy_of_a_data_directory_is_refused_however_often_it_starts() {
    let mut cluster = cluster().await;
    let first = life_after(&cluster, 0).await;
    cluster.kill(1).await;
    let kept = tempfile::tempdir().expect("a directory");
    copy(cluster.directory(1), kept.path());
    cluster.restart(1).await;
    life_after(&cluster, first).await;
    put_to_all(&cluster, &[0, 1, 2]).await;
    cluster.kill(1).await;
    for entry in std::fs::read_dir(cluster.directory(1)).expect("a directory").flatten() {
        let path = entry.path();
        let removed = if path.is_dir() { std::fs::remove_dir_all(path) } else { std::fs::remove_file(path) };
        removed.expect("removed");
    }
    copy(kept.path(), cluster.directory(1));
    for _ in 0..3 {
        let refused = cluster.refused_restart(1).await;
        assert!(refused.contains("older copy") && refused.contains("cluster replace 2"), "{refused}");
    }
    put_to_all(&cluster, &[0, 2]).await;
    cluster.end().await;
}
