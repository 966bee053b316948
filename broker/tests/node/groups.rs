//! Consumer groups on one node: members share the shards, the dead are replaced, reshards are followed.

use std::sync::Arc;
use std::time::{Duration, Instant};

use serde_json::json;
use tidelog::model::consumer_group::{GroupName, GroupRefusal, LeaseRef};
use tidelog::model::sequence_number::SequenceNumber;
use tidelog::model::stream::Stream;
use tidelog::ops::Fault;
use tidelog::service::{
    ConsumerGroupError, GoOn, GroupBegin, Lease, NewMember, Reached, Service, ShardProgress,
};

use crate::START_MS;
use crate::broker::Broker;

const LEASE: Duration = Duration::from_millis(1_000);
/// Longer than anything takes that goes well.
const PATIENCE: Duration = Duration::from_secs(20);

/// Calls of members at a broker. It keeps nothing of the broker, which could not stop otherwise.
struct Members<'a> {
    broker: &'a Broker,
    group: GroupName,
}

impl<'a> Members<'a> {
    fn of(broker: &'a Broker) -> Self {
        Self { broker, group: GroupName::parse("workers").expect("a name") }
    }

    fn service(&self) -> Arc<Service> {
        self.broker.node.service()
    }

    fn stream(&self) -> Arc<Stream> {
        self.service().catalog().streams().values().next().expect("the stream").clone()
    }

    async fn join(&self, from: GroupBegin) -> u64 {
        let member = NewMember { name: "host".to_owned(), lease_ms: LEASE.as_millis() as u32 };
        let joined = self.service().join_group(&self.stream(), &self.group, member, from).await;
        joined.expect("joins").member
    }

    async fn sync(&self, member: u64, released: &[LeaseRef]) -> Result<Vec<Lease>, ConsumerGroupError> {
        self.service().sync_group(&self.stream(), &self.group, member, released).await
    }

    /// The shards of a member.
    async fn shards(&self, member: u64) -> Vec<u32> {
        let leases = self.sync(member, &[]).await.expect("a member");
        leases.iter().map(|lease| lease.shard).collect()
    }

    async fn checkpoint(
        &self,
        member: u64,
        lease: Lease,
        reached: Reached,
    ) -> Result<Vec<u32>, ConsumerGroupError> {
        let progress = ShardProgress { lease: name(lease), reached };
        self.service().checkpoint_group(&self.stream(), &self.group, member, &[progress]).await
    }
}

fn name(lease: Lease) -> LeaseRef {
    LeaseRef { shard: lease.shard, epoch: lease.epoch }
}

async fn with_shards(broker: &Broker, shards: u32) {
    broker.ok("CreateStream", json!({"StreamName": "events", "ShardCount": shards})).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_second_member_takes_its_share_and_the_first_one_all_when_it_dies() {
    let directory = tempfile::tempdir().expect("a directory");
    let broker = Broker::start(directory.path(), START_MS).await;
    with_shards(&broker, 4).await;
    let members = Members::of(&broker);
    let first = members.join(GroupBegin::TrimHorizon).await;
    assert_eq!(members.shards(first).await, [0, 1, 2, 3]);
    let second = members.join(GroupBegin::Latest).await;
    let leases = members.sync(first, &[]).await.expect("a member");
    let revoked: Vec<_> = leases.iter().filter(|lease| lease.is_revoked).copied().map(name).collect();
    assert_eq!(revoked.len(), 2, "{leases:?}");
    members.sync(first, &revoked).await.expect("a member");
    assert_eq!(members.shards(second).await, [2, 3]);
    assert_eq!(members.shards(first).await, [0, 1]);

    // From now on only the first one syncs.
    let died = Instant::now();
    while members.shards(first).await.len() < 4 {
        assert!(died.elapsed() < PATIENCE, "the shards of the dead stay where they are");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    assert!(died.elapsed() >= LEASE, "taken after {:?}", died.elapsed());
    let refused = members.sync(second, &[]).await;
    assert_eq!(refused, Err(GroupRefusal::MemberUnknown.into()));
    broker.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_shard_that_is_not_released_is_taken_and_its_checkpoints_count_no_more() {
    let directory = tempfile::tempdir().expect("a directory");
    let broker = Broker::start(directory.path(), START_MS).await;
    with_shards(&broker, 2).await;
    broker.ok("PutRecord", json!({"StreamName": "events", "PartitionKey": "k", "ExplicitHashKey": "340282366920938463463374607431768211455", "Data": "b25l"})).await;
    let members = Members::of(&broker);
    let slow = members.join(GroupBegin::TrimHorizon).await;
    let old = members.sync(slow, &[]).await.expect("a member")[1];
    let second = members.join(GroupBegin::TrimHorizon).await;
    let began = Instant::now();
    let taken = loop {
        members.sync(slow, &[]).await.expect("it lives and releases nothing");
        match members.sync(second, &[]).await.expect("a member").as_slice() {
            [] => {}
            leases => break leases[0],
        }
        assert!(began.elapsed() < PATIENCE, "a revoked shard stays where it is");
        tokio::time::sleep(Duration::from_millis(50)).await;
    };
    assert!(began.elapsed() >= LEASE, "taken after {:?}", began.elapsed());
    assert_eq!((taken.shard, taken.epoch, taken.from), (1, old.epoch + 1, GoOn::TrimHorizon));

    let created_s = members.stream().shards[1].created_s;
    let first_record = SequenceNumber { ordinal: 1, ..SequenceNumber::starting(created_s, 1) };
    let reached = Reached::Through(first_record.to_string());
    assert_eq!(members.checkpoint(slow, old, reached.clone()).await, Ok(vec![1]));
    let beyond = SequenceNumber { ordinal: 2, ..first_record }.to_string();
    let refused = members.checkpoint(second, taken, Reached::Through(beyond)).await;
    assert!(matches!(refused, Err(ConsumerGroupError::OutOfRange(_))), "{refused:?}");
    let refused = members.checkpoint(second, taken, Reached::End).await;
    assert!(matches!(refused, Err(ConsumerGroupError::OutOfRange(_))), "an open shard: {refused:?}");
    assert_eq!(members.checkpoint(second, taken, reached).await, Ok(vec![]));

    broker.stop().await;
    // It is all in the log and in checkpoints.
    let broker = Broker::start(directory.path(), START_MS).await;
    let members = Members::of(&broker);
    let leases = members.sync(second, &[]).await.expect("still a member");
    assert_eq!(leases, [Lease { from: GoOn::After(first_record), ..taken }]);
    broker.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn children_are_leased_once_their_parents_are_finished() {
    let directory = tempfile::tempdir().expect("a directory");
    let broker = Broker::start(directory.path(), START_MS).await;
    with_shards(&broker, 2).await;
    for key in 0..20 {
        let put = json!({"StreamName": "events", "PartitionKey": format!("key-{key}"), "Data": "b25l"});
        broker.ok("PutRecord", put).await;
    }
    let members = Members::of(&broker);
    let member = members.join(GroupBegin::TrimHorizon).await;
    assert_eq!(members.shards(member).await, [0, 1]);
    let merge = json!({
        "StreamName": "events", "ShardToMerge": "shardId-000000000000",
        "AdjacentShardToMerge": "shardId-000000000001",
    });
    broker.ok("MergeShards", merge).await;
    let leases = members.sync(member, &[]).await.expect("a member");
    assert_eq!(leases.iter().map(|lease| lease.shard).collect::<Vec<_>>(), [0, 1]);
    let described =
        members.service().describe_group(&members.stream(), &members.group).await.expect("a group");
    assert!(described.shards[2].is_waiting && !described.shards[0].is_waiting, "{described:?}");
    assert_eq!(members.checkpoint(member, leases[0], Reached::End).await, Ok(vec![]));
    assert_eq!(members.shards(member).await, [1], "one of two parents is not enough");
    assert_eq!(members.checkpoint(member, leases[1], Reached::End).await, Ok(vec![]));
    assert_eq!(members.shards(member).await, [2]);
    broker.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn lag_is_seen_and_a_group_without_members_is_set_anew() {
    let directory = tempfile::tempdir().expect("a directory");
    let broker = Broker::start(directory.path(), START_MS).await;
    broker.create("events").await;
    broker.put("events", "b25l").await;
    let members = Members::of(&broker);
    let member = members.join(GroupBegin::Latest).await;
    let behind = async || {
        let described = members.service().describe_group(&members.stream(), &members.group).await;
        let shard = described.expect("a group").shards.remove(0);
        (shard.records_behind, shard.millis_behind)
    };
    assert_eq!(behind().await, (Some(0), Some(0)));
    broker.pass(1_000);
    let number = broker.put("events", "dHdv").await;
    broker.put("events", "dGhyZWU=").await;
    broker.pass(500);
    assert_eq!(behind().await, (Some(2), Some(500)));
    let lease = members.sync(member, &[]).await.expect("a member")[0];
    assert_eq!(members.checkpoint(member, lease, Reached::Through(number.clone())).await, Ok(vec![]));
    assert_eq!(behind().await, (Some(1), Some(500)));

    let (stream, group, service) = (members.stream(), &members.group, members.service());
    let refused = service.reset_group(&stream, group, GroupBegin::TrimHorizon).await;
    assert_eq!(refused, Err(GroupRefusal::HasMembers.into()));
    assert_eq!(service.delete_group(&stream, group).await, Err(GroupRefusal::HasMembers.into()));
    let fault = broker.call("DeleteStream", json!({"StreamName": "events"})).await.expect_err("members");
    assert!(matches!(fault, Fault::ResourceInUse(_)), "{fault:?}");

    service.leave_group(&stream, group, member).await.expect("a member");
    let to = [(GroupBegin::TrimHorizon, 3), (GroupBegin::Time(START_MS + 500), 2), (GroupBegin::Latest, 0)];
    for (to, records) in to {
        service.reset_group(&stream, group, to).await.expect("nobody is there");
        assert_eq!(behind().await.0, Some(records), "{to:?}");
    }
    let future = service.reset_group(&stream, group, GroupBegin::Time(START_MS + 10_000_000)).await;
    assert!(matches!(future, Err(ConsumerGroupError::OutOfRange(_))), "{future:?}");
    assert_eq!(service.list_groups(&stream).await.expect("groups"), ["workers".into()]);
    service.delete_group(&stream, group).await.expect("nobody is there");
    assert_eq!(service.list_groups(&stream).await, Ok(vec![]));
    let gone = service.describe_group(&stream, group).await;
    assert_eq!(gone, Err(GroupRefusal::NoSuchGroup.into()));
    drop(service);

    members.join(GroupBegin::TrimHorizon).await;
    let delete = json!({"StreamName": "events", "EnforceConsumerDeletion": true});
    broker.ok("DeleteStream", delete).await;
    broker.create("events").await;
    assert_eq!(
        members.service().list_groups(&members.stream()).await,
        Ok(vec![]),
        "groups go with their stream"
    );
    broker.stop().await;
}
