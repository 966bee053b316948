//! Consumer groups in a cluster: any node answers, and checkpoints survive the leader of the metadata.

use std::sync::Arc;
use std::time::{Duration, Instant};

use serde_json::json;
use tidelog::model::consumer_group::{GroupName, GroupRefusal, LeaseRef};
use tidelog::model::stream::Stream;
use tidelog::service::{
    ConsumerGroupError, GoOn, GroupBegin, GroupDescription, Lease, NewMember, Reached, Service, ShardProgress,
};

use crate::cluster::Cluster;

const LEASE_MS: u32 = 3_000;
/// Longer than anything takes that goes well.
const PATIENCE: Duration = Duration::from_secs(60);

fn at(cluster: &Cluster, node: usize) -> (Arc<Service>, Arc<Stream>) {
    let service = cluster.node(node).service();
    let stream = service.catalog().streams().values().next().expect("the stream").clone();
    (service, stream)
}

fn group() -> GroupName {
    GroupName::parse("workers").expect("a name")
}

/// Joins as members do: again while the outcome is not known.
async fn join(cluster: &Cluster, node: usize) -> u64 {
    let (service, stream) = at(cluster, node);
    let began = Instant::now();
    loop {
        let member = NewMember { name: format!("at {node}"), lease_ms: LEASE_MS };
        match service.join_group(&stream, &group(), member, GroupBegin::Latest).await {
            Ok(joined) => return joined.member,
            Err(error) => assert!(began.elapsed() < PATIENCE, "{error}"),
        }
    }
}

/// Syncs as members do: again while the outcome is not known.
async fn sync(
    cluster: &Cluster,
    node: usize,
    member: u64,
    released: &[LeaseRef],
) -> Result<Vec<Lease>, GroupRefusal> {
    let (service, stream) = at(cluster, node);
    let began = Instant::now();
    loop {
        match service.sync_group(&stream, &group(), member, released).await {
            Ok(leases) => return Ok(leases),
            Err(ConsumerGroupError::Refused(refusal)) => return Err(refusal),
            Err(error) => assert!(began.elapsed() < PATIENCE, "{error}"),
        }
    }
}

async fn describe(cluster: &Cluster, node: usize) -> GroupDescription {
    let (service, stream) = at(cluster, node);
    service.describe_group(&stream, &group()).await.expect("the group")
}

#[tokio::test(flavor = "multi_thread")]
async fn members_at_any_node_go_on_when_the_leader_dies() {
    let mut cluster = Cluster::start().await;
    cluster.create_stream(0, "a", 4).await;
    cluster.ok(1, "DescribeStreamSummary", json!({"StreamName": "a"})).await;
    cluster.ok(2, "DescribeStreamSummary", json!({"StreamName": "a"})).await;
    let (first, second) = (join(&cluster, 1).await, join(&cluster, 2).await);
    let leases = sync(&cluster, 2, first, &[]).await.expect("a member");
    assert_eq!(leases.len(), 4, "any node knows what another one was told: {leases:?}");
    let revoked = leases.iter().filter(|lease| lease.is_revoked);
    let revoked: Vec<_> = revoked.map(|own| LeaseRef { shard: own.shard, epoch: own.epoch }).collect();
    let kept = sync(&cluster, 1, first, &revoked).await.expect("a member");
    let taken = sync(&cluster, 0, second, &[]).await.expect("a member");
    assert_eq!((kept.len(), taken.len()), (2, 2));

    // Each node leads other shards; any of them knows how far behind all are.
    let mut put = std::collections::BTreeMap::new();
    for key in 0..24 {
        let record = json!({"StreamName": "a", "PartitionKey": format!("key-{key}"), "Data": "aGk="});
        let placed = cluster.persist(key % 3, "PutRecord", record).await;
        let text = |member: &str| placed[member].as_str().expect("text").to_owned();
        put.insert(text("ShardId"), text("SequenceNumber"));
    }
    for node in 0..3 {
        let behind: Vec<_> =
            describe(&cluster, node).await.shards.iter().map(|own| own.records_behind).collect();
        assert_eq!(behind.iter().map(|own| own.expect("a leader answers")).sum::<u64>(), 24, "{behind:?}");
    }
    let (service, stream) = at(&cluster, 2);
    let own = kept[0];
    let newest = put[&format!("shardId-{:012}", own.shard)].clone();
    let progress = |lease: Lease, epoch: u64| ShardProgress {
        lease: LeaseRef { shard: lease.shard, epoch },
        reached: Reached::Through(newest.clone()),
    };
    let stale = revoked[0];
    let late = ShardProgress {
        lease: stale,
        reached: Reached::Through(put[&format!("shardId-{:012}", stale.shard)].clone()),
    };
    let said = [progress(own, own.epoch), late];
    let lost = service.checkpoint_group(&stream, &group(), first, &said).await;
    assert_eq!(lost, Ok(vec![stale.shard]), "through a node that does not lead");

    drop((service, stream));
    // It leads the metadata.
    cluster.kill(0).await;
    let after = sync(&cluster, 1, first, &[]).await.expect("an election is no absence");
    let mut expected = kept.clone();
    expected[0].from = after[0].from;
    assert_eq!(after, expected);
    let GoOn::After(place) = after[0].from else { panic!("{after:?}") };
    assert_eq!(place.to_string(), newest);
    sync(&cluster, 2, second, &[]).await.expect("an election is no absence");

    // The new leader takes the shards of one that is gone.
    let gone = Instant::now();
    while sync(&cluster, 2, first, &[]).await.expect("a member").len() < 4 {
        assert!(gone.elapsed() < PATIENCE, "the shards of the dead stay where they are");
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
    assert_eq!(sync(&cluster, 1, second, &[]).await, Err(GroupRefusal::MemberUnknown));
    cluster.end().await;
}
