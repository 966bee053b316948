//! Consumer groups by their client: a member's whole life, and how calls are refused.

use tidelog_proto::v1::groups_client::GroupsClient;
use tidelog_proto::v1::*;
use tonic::transport::Channel;
use tonic::{Code, Request, Status};

use super::*;

const S: &str = "S";

/// The client, with the names that all calls here have in common.
struct Groups(GroupsClient<Channel>);

impl Groups {
    fn of(grpc: &Grpc) -> Self {
        Self(GroupsClient::new(grpc.channel.clone()))
    }

    async fn join(&mut self, from: Option<Position>) -> String {
        let answer = self.0.join(joining(from)).await.unwrap().into_inner();
        assert_eq!(answer.lease_ms, 60_000);
        answer.member_id
    }

    async fn sync(&mut self, member_id: &str, released: &[&Lease]) -> Result<Vec<Lease>, Status> {
        let name = |lease: &&Lease| LeaseRef { shard_id: lease.shard_id.clone(), epoch: lease.epoch };
        let request = SyncRequest {
            stream: S.into(),
            group: "g".into(),
            member_id: member_id.into(),
            released: released.iter().map(name).collect(),
        };
        Ok(self.0.sync(request).await?.into_inner().leases)
    }

    async fn checkpoint(
        &mut self,
        member_id: &str,
        lease: &Lease,
        reached: progress::Reached,
    ) -> Result<Vec<String>, Status> {
        let Lease { shard_id, epoch, .. } = lease.clone();
        let request = CheckpointRequest {
            stream: S.into(),
            group: "g".into(),
            member_id: member_id.into(),
            shards: vec![Progress { shard_id, epoch, reached: Some(reached) }],
        };
        Ok(self.0.checkpoint(request).await?.into_inner().lost)
    }

    async fn describe(&mut self) -> Result<DescribeGroupResponse, Status> {
        let request = DescribeGroupRequest { stream: S.into(), group: "g".into() };
        Ok(self.0.describe_group(request).await?.into_inner())
    }

    async fn leave(&mut self, member_id: &str) -> Result<(), Status> {
        let request = LeaveRequest { stream: S.into(), group: "g".into(), member_id: member_id.into() };
        self.0.leave(request).await.map(drop)
    }

    async fn reset(&mut self, to: Option<Position>) -> Result<(), Status> {
        let request = ResetGroupRequest { stream: S.into(), group: "g".into(), to };
        self.0.reset_group(request).await.map(drop)
    }

    async fn delete(&mut self) -> Result<(), Status> {
        let request = DeleteGroupRequest { stream: S.into(), group: "g".into() };
        self.0.delete_group(request).await.map(drop)
    }
}

fn joining(from: Option<Position>) -> JoinRequest {
    let (stream, group, member_name) = (S.into(), "g".into(), "host-1".into());
    JoinRequest { stream, group, member_name, from, lease_ms: 60_000 }
}

fn through(number: &str) -> progress::Reached {
    progress::Reached::SequenceNumber(number.into())
}

fn finished() -> progress::Reached {
    progress::Reached::Finished(Finished {})
}

fn ids(leases: &[Lease]) -> Vec<&str> {
    leases.iter().map(|lease| lease.shard_id.as_str()).collect()
}

#[tokio::test]
async fn members_share_shards_checkpoint_and_follow_a_reshard() {
    let grpc = Grpc::new(2).await;
    let mut groups = Groups::of(&grpc);
    let first = groups.join(None).await;
    let leases = groups.sync(&first, &[]).await.unwrap();
    assert_eq!(ids(&leases), [shard_id(0), shard_id(1)]);
    assert_eq!(leases[0].from, at(horizon()));

    let second = groups.join(None).await;
    assert_ne!(first, second);
    let leases = groups.sync(&first, &[]).await.unwrap();
    let revoked: Vec<&Lease> = leases.iter().filter(|lease| lease.is_revoked).collect();
    assert_eq!(revoked.len(), 1, "{leases:?}");
    groups.sync(&first, &revoked).await.unwrap();
    let taken = groups.sync(&second, &[]).await.unwrap();
    assert_eq!((taken.len(), taken[0].epoch), (1, revoked[0].epoch + 1));
    assert_eq!(
        groups.checkpoint(&first, revoked[0], finished()).await.map_err(|error| error.code()),
        Err(Code::OutOfRange)
    );

    let mut of_second = Vec::new();
    for key in 0..40 {
        let placed = grpc.put(vec![record(&format!("key-{key}"), "data")]).await.remove(0);
        if placed.shard_id == taken[0].shard_id {
            of_second.push(placed.sequence_number);
        }
    }
    let middle = &of_second[of_second.len() / 2];
    assert_eq!(groups.checkpoint(&second, &taken[0], through(middle)).await.unwrap(), [""; 0]);
    let stale = Lease { epoch: 1, ..taken[0].clone() };
    assert_eq!(
        groups.checkpoint(&first, &stale, through(middle)).await.unwrap(),
        [taken[0].shard_id.clone()]
    );
    let described = groups.describe().await.unwrap();
    let member_ids: Vec<&str> = described.members.iter().map(|member| member.member_id.as_str()).collect();
    assert_eq!(member_ids, [&first, &second]);
    assert!(described.members[0].name == "host-1" && described.members[0].joined.is_some());
    let shard = &described.shards[1];
    assert_eq!((&shard.shard_id, &shard.member_id), (&taken[0].shard_id, &second));
    assert_eq!(shard.from, at(position::At::AfterSequenceNumber(middle.clone())));
    assert_eq!(shard.records_behind, Some((of_second.len() - of_second.len() / 2 - 1) as u64));
    assert!(shard.millis_behind.is_some());

    grpc.split(1).await;
    let described = groups.describe().await.unwrap();
    let waiting: Vec<bool> = described.shards.iter().map(|shard| shard.is_waiting).collect();
    assert_eq!(waiting, [false, false, true, true]);
    assert_eq!(groups.checkpoint(&second, &taken[0], finished()).await.unwrap(), [""; 0]);
    groups.leave(&first).await.unwrap();
    let leases = groups.sync(&second, &[]).await.unwrap();
    assert_eq!(ids(&leases), [shard_id(0), shard_id(2), shard_id(3)]);
    assert!(groups.describe().await.unwrap().shards[1].is_finished);
    grpc.stop().await;
}

#[tokio::test]
async fn faults_are_reported_with_a_reason() {
    let grpc = Grpc::new(1).await;
    let mut groups = Groups::of(&grpc);
    let not_found = |reason: &str| (Code::NotFound, reason.to_owned(), false);
    let failed = |reason: &str| (Code::FailedPrecondition, reason.to_owned(), false);
    let invalid = (Code::InvalidArgument, "INVALID_ARGUMENT".to_owned(), false);
    assert_eq!(failure_of(groups.sync("1", &[]).await), not_found("GROUP_NOT_FOUND"));
    assert_eq!(failure_of(groups.describe().await), not_found("GROUP_NOT_FOUND"));
    assert_eq!(failure_of(groups.delete().await), not_found("GROUP_NOT_FOUND"));
    let other = JoinRequest { stream: "other".into(), ..joining(None) };
    assert_eq!(failure_of(groups.0.join(other).await), not_found("STREAM_NOT_FOUND"));
    for wrong in [
        JoinRequest { group: "a b".into(), ..joining(None) },
        JoinRequest { lease_ms: 999, ..joining(None) },
        JoinRequest { member_name: "n".repeat(257), ..joining(None) },
        joining(at(position::At::AtSequenceNumber("1".into()))),
    ] {
        assert_eq!(failure_of(groups.0.join(wrong).await), invalid);
    }

    let member = groups.join(None).await;
    let lease = groups.sync(&member, &[]).await.unwrap().remove(0);
    for unknown in ["0", "999", "x", ""] {
        assert_eq!(failure_of(groups.sync(unknown, &[]).await), failed("MEMBER_UNKNOWN"), "{unknown}");
    }
    let out_of_range = (Code::OutOfRange, "OUT_OF_RANGE".to_owned(), false);
    assert_eq!(failure_of(groups.checkpoint(&member, &lease, through("1")).await), out_of_range);
    assert_eq!(failure_of(groups.checkpoint(&member, &lease, finished()).await), out_of_range);
    assert_eq!(failure_of(groups.reset(at(horizon())).await), failed("IN_USE"));
    assert_eq!(failure_of(groups.delete().await), failed("IN_USE"));
    let delete = |with_consumers| DeleteStreamRequest { stream: S.into(), with_consumers };
    assert_eq!(failure_of(grpc.streams().delete_stream(delete(false)).await), failed("IN_USE"));

    groups.leave(&member).await.unwrap();
    assert_eq!(failure_of(groups.leave(&member).await), failed("MEMBER_UNKNOWN"));
    assert_eq!(failure_of(groups.reset(None).await), invalid);
    groups.reset(at(position::At::Latest(Latest {}))).await.unwrap();
    let list = ListGroupsRequest { stream: S.into() };
    assert_eq!(groups.0.list_groups(list.clone()).await.unwrap().into_inner().groups, ["g"]);
    let mut elsewhere = Request::new(list.clone());
    elsewhere.metadata_mut().insert("tidelog-account", "123456789012".parse().unwrap());
    assert_eq!(failure_of(groups.0.list_groups(elsewhere).await), not_found("STREAM_NOT_FOUND"));
    groups.delete().await.unwrap();
    assert_eq!(groups.0.list_groups(list).await.unwrap().into_inner().groups, [""; 0]);

    groups.join(None).await;
    grpc.streams().delete_stream(delete(true)).await.unwrap();
    grpc.stop().await;
}
