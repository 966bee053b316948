//! The service Groups: consumer groups, on whichever node is asked.
//!
//! Members of requests are checked and turned into the domain's types here; the service does the rest.

use std::sync::Arc;

use tidelog_proto::v1::{
    CheckpointRequest, CheckpointResponse, DeleteApplicationRequest, DeleteApplicationResponse,
    DeleteGroupRequest, DeleteGroupResponse, DescribeApplicationRequest, DescribeApplicationResponse,
    DescribeGroupRequest, DescribeGroupResponse, ExportApplicationRequest, ExportApplicationResponse,
    ImportApplicationRequest, ImportApplicationResponse, JoinRequest, JoinResponse, Lease as LeaseMessage,
    LeaseRef as LeaseName, LeaveRequest, LeaveResponse, ListApplicationsRequest, ListApplicationsResponse,
    ListGroupsRequest, ListGroupsResponse, Position, Progress, ResetApplicationRequest,
    ResetApplicationResponse, ResetGroupRequest, ResetGroupResponse, SyncRequest, SyncResponse, TrimHorizon,
    describe_group_response, groups_server, position, progress,
};
use tonic::metadata::MetadataMap;
use tonic::{Code, Request, Response, Status};

use super::caller::Caller;
use super::{applications, messages, status};
use crate::limits::{
    GROUP_SHARDS_PER_CALL_MAX, LEASE_MS_BY_DEFAULT, LEASE_MS_MAX, LEASE_MS_MIN, MEMBER_NAME_LENGTH_MAX,
};
use crate::model::consumer_group::{GroupName, GroupRefusal, LeaseRef};
use crate::model::shard_id::ShardId;
use crate::model::stream::Stream;
use crate::ops::native::{self, At};
use crate::ops::{Call, Fault};
use crate::service::{
    ConsumerGroupError, GoOn, GroupBegin, GroupDescription, Lease, MemberDescription, NewMember, Reached,
    ShardDescription, ShardProgress,
};

/// The service Groups.
pub(super) struct Groups(pub(super) Caller);

type Answer<T> = Result<Response<T>, Status>;

/// A group of a stream, which is certainly there; the group may be or not.
struct Named {
    stream: Arc<Stream>,
    group: GroupName,
}

impl Groups {
    async fn stream(&self, metadata: &MetadataMap, text: &str) -> Result<Arc<Stream>, Status> {
        let call: Call = self.0.call(metadata)?;
        let key = native::stream_key(&call, text).map_err(status::of)?;
        let found = self.0.service.certain_stream(&key).await;
        found.map_err(|error| status::of(Fault::of_stream(error, &key)))
    }

    async fn named(&self, metadata: &MetadataMap, stream: &str, group: &str) -> Result<Named, Status> {
        let group = group_name(group)?;
        Ok(Named { stream: self.stream(metadata, stream).await?, group })
    }
}

impl Named {
    /// The status of a call that has come to nothing.
    fn failed(&self, error: ConsumerGroupError) -> Status {
        let Self { stream, group } = self;
        let words = |text: &str| format!("Group {group} of stream {} {text}.", stream.key.name);
        match error {
            ConsumerGroupError::Service(error) => status::of(Fault::of_stream(error, &stream.key)),
            ConsumerGroupError::OutOfRange(words) => {
                status::with_reason(Code::OutOfRange, "OUT_OF_RANGE", words)
            }
            ConsumerGroupError::Refused(refusal) => match refusal {
                GroupRefusal::NoSuchGroup => {
                    status::with_reason(Code::NotFound, "GROUP_NOT_FOUND", words("does not exist"))
                }
                GroupRefusal::MemberUnknown => status::with_reason(
                    Code::FailedPrecondition,
                    "MEMBER_UNKNOWN",
                    words("has no such member (any more): join again"),
                ),
                GroupRefusal::HasMembers => {
                    status::with_reason(Code::FailedPrecondition, "IN_USE", words("has members"))
                }
                GroupRefusal::TooManyGroups => {
                    let text = "cannot begin: the stream, or the cluster, has as many groups as it can";
                    status::with_reason(Code::ResourceExhausted, "QUOTA", words(text))
                }
                GroupRefusal::TooManyMembers => {
                    let text = "has as many members as it can";
                    status::with_reason(Code::ResourceExhausted, "QUOTA", words(text))
                }
            },
        }
    }

    /// The member with that id. A text that is no number was never given out as an id.
    fn member(&self, text: &str) -> Result<u64, Status> {
        let number = text.parse::<u64>().ok().filter(|number| number.to_string() == text);
        number.ok_or_else(|| self.failed(GroupRefusal::MemberUnknown.into()))
    }
}

#[tonic::async_trait]
impl groups_server::Groups for Groups {
    async fn join(&self, request: Request<JoinRequest>) -> Answer<JoinResponse> {
        let asked = request.get_ref();
        let (member, from) = (new_member(asked)?, group_begin(asked.from.as_ref())?);
        let named = self.named(request.metadata(), &asked.stream, &asked.group).await?;
        let joined = self.0.service.join_group(&named.stream, &named.group, member, from).await;
        let joined = joined.map_err(|error| named.failed(error))?;
        Ok(Response::new(JoinResponse { member_id: joined.member.to_string(), lease_ms: joined.lease_ms }))
    }

    async fn sync(&self, request: Request<SyncRequest>) -> Answer<SyncResponse> {
        let asked = request.get_ref();
        check_count("released", asked.released.len())?;
        let released = asked.released.iter().map(lease_name).collect::<Result<Vec<_>, _>>()?;
        let named = self.named(request.metadata(), &asked.stream, &asked.group).await?;
        let member = named.member(&asked.member_id)?;
        let leases = self.0.service.sync_group(&named.stream, &named.group, member, &released).await;
        let leases = leases.map_err(|error| named.failed(error))?;
        Ok(Response::new(SyncResponse { leases: leases.into_iter().map(lease).collect() }))
    }

    async fn checkpoint(&self, request: Request<CheckpointRequest>) -> Answer<CheckpointResponse> {
        let asked = request.get_ref();
        check_count("shards", asked.shards.len())?;
        let shards = asked.shards.iter().map(shard_progress).collect::<Result<Vec<_>, _>>()?;
        let named = self.named(request.metadata(), &asked.stream, &asked.group).await?;
        let member = named.member(&asked.member_id)?;
        let lost = self.0.service.checkpoint_group(&named.stream, &named.group, member, &shards).await;
        let lost = lost.map_err(|error| named.failed(error))?;
        Ok(Response::new(CheckpointResponse { lost: lost.into_iter().map(shard_name).collect() }))
    }

    async fn leave(&self, request: Request<LeaveRequest>) -> Answer<LeaveResponse> {
        let asked = request.get_ref();
        let named = self.named(request.metadata(), &asked.stream, &asked.group).await?;
        let member = named.member(&asked.member_id)?;
        let left = self.0.service.leave_group(&named.stream, &named.group, member).await;
        left.map_err(|error| named.failed(error))?;
        Ok(Response::new(LeaveResponse {}))
    }

    async fn list_groups(&self, request: Request<ListGroupsRequest>) -> Answer<ListGroupsResponse> {
        let stream = self.stream(request.metadata(), &request.get_ref().stream).await?;
        let groups = self.0.service.list_groups(&stream).await;
        let groups = groups.map_err(|error| status::of(Fault::of_stream(error, &stream.key)))?;
        Ok(Response::new(ListGroupsResponse { groups: groups.iter().map(ToString::to_string).collect() }))
    }

    async fn describe_group(&self, request: Request<DescribeGroupRequest>) -> Answer<DescribeGroupResponse> {
        let asked = request.get_ref();
        let named = self.named(request.metadata(), &asked.stream, &asked.group).await?;
        let described = self.0.service.describe_group(&named.stream, &named.group).await;
        let described = described.map_err(|error| named.failed(error))?;
        Ok(Response::new(description(described)))
    }

    async fn reset_group(&self, request: Request<ResetGroupRequest>) -> Answer<ResetGroupResponse> {
        let asked = request.get_ref();
        if asked.to.is_none() {
            return Err(status::invalid("`to` is needed: trim horizon, latest or a timestamp."));
        }
        let to = group_begin(asked.to.as_ref())?;
        let named = self.named(request.metadata(), &asked.stream, &asked.group).await?;
        let reset = self.0.service.reset_group(&named.stream, &named.group, to).await;
        reset.map_err(|error| named.failed(error))?;
        Ok(Response::new(ResetGroupResponse {}))
    }

    async fn delete_group(&self, request: Request<DeleteGroupRequest>) -> Answer<DeleteGroupResponse> {
        let asked = request.get_ref();
        let named = self.named(request.metadata(), &asked.stream, &asked.group).await?;
        let deleted = self.0.service.delete_group(&named.stream, &named.group).await;
        deleted.map_err(|error| named.failed(error))?;
        Ok(Response::new(DeleteGroupResponse {}))
    }

    async fn list_applications(
        &self,
        request: Request<ListApplicationsRequest>,
    ) -> Answer<ListApplicationsResponse> {
        applications::list(&self.0, &request).await
    }

    async fn describe_application(
        &self,
        request: Request<DescribeApplicationRequest>,
    ) -> Answer<DescribeApplicationResponse> {
        applications::describe(&self.0, &request).await
    }

    async fn reset_application(
        &self,
        request: Request<ResetApplicationRequest>,
    ) -> Answer<ResetApplicationResponse> {
        applications::reset(&self.0, &request).await
    }

    async fn delete_application(
        &self,
        request: Request<DeleteApplicationRequest>,
    ) -> Answer<DeleteApplicationResponse> {
        applications::delete(&self.0, &request).await
    }

    async fn export_application(
        &self,
        request: Request<ExportApplicationRequest>,
    ) -> Answer<ExportApplicationResponse> {
        applications::export(&self.0, &request).await
    }

    async fn import_application(
        &self,
        request: Request<ImportApplicationRequest>,
    ) -> Answer<ImportApplicationResponse> {
        applications::import(&self.0, &request).await
    }
}

fn group_name(text: &str) -> Result<GroupName, Status> {
    GroupName::parse(text).ok_or_else(|| status::invalid("`group` has 1 to 128 of [a-zA-Z0-9_.-]."))
}

fn new_member(asked: &JoinRequest) -> Result<NewMember, Status> {
    if asked.member_name.chars().count() > MEMBER_NAME_LENGTH_MAX {
        let words = format!("`member_name` has up to {MEMBER_NAME_LENGTH_MAX} characters.");
        return Err(status::invalid(words));
    }
    let lease_ms = match asked.lease_ms {
        0 => LEASE_MS_BY_DEFAULT,
        lease_ms if (LEASE_MS_MIN..=LEASE_MS_MAX).contains(&lease_ms) => lease_ms,
        _ => {
            let words = format!("`lease_ms` is {LEASE_MS_MIN} to {LEASE_MS_MAX}, or 0.");
            return Err(status::invalid(words));
        }
    };
    Ok(NewMember { name: asked.member_name.clone(), lease_ms })
}

pub(super) fn group_begin(position: Option<&Position>) -> Result<GroupBegin, Status> {
    match messages::at(position)? {
        None | Some(At::TrimHorizon) => Ok(GroupBegin::TrimHorizon),
        Some(At::Latest) => Ok(GroupBegin::Latest),
        // A time before 1970 is before the oldest record.
        Some(At::Time(time_ms)) => Ok(GroupBegin::Time(u64::try_from(time_ms).unwrap_or(0))),
        Some(At::Number(_) | At::AfterNumber(_)) => {
            let words = "A group begins at the trim horizon, latest or a timestamp: a sequence number is of one shard.";
            Err(status::invalid(words))
        }
    }
}

fn check_count(member: &str, count: usize) -> Result<(), Status> {
    if count > GROUP_SHARDS_PER_CALL_MAX {
        let words = format!("`{member}` has up to {GROUP_SHARDS_PER_CALL_MAX} entries.");
        return Err(status::invalid(words));
    }
    Ok(())
}

fn lease_ref(shard_id: &str, epoch: u64) -> Result<LeaseRef, Status> {
    let shard = ShardId::parse(shard_id);
    let shard = shard.ok_or_else(|| status::invalid(format!("{shard_id} is not the id of a shard.")))?;
    Ok(LeaseRef { shard: shard.0, epoch })
}

fn lease_name(name: &LeaseName) -> Result<LeaseRef, Status> {
    lease_ref(&name.shard_id, name.epoch)
}

fn shard_progress(progress: &Progress) -> Result<ShardProgress, Status> {
    let reached = match &progress.reached {
        Some(progress::Reached::SequenceNumber(number)) => Reached::Through(number.clone()),
        Some(progress::Reached::Finished(_)) => Reached::End,
        None => {
            let words = format!("`reached` is needed for {}.", progress.shard_id);
            return Err(status::invalid(words));
        }
    };
    Ok(ShardProgress { lease: lease_ref(&progress.shard_id, progress.epoch)?, reached })
}

fn shard_name(index: u32) -> String {
    ShardId(index).to_string()
}

fn go_on(from: GoOn) -> Position {
    let at = match from {
        GoOn::TrimHorizon => position::At::TrimHorizon(TrimHorizon {}),
        GoOn::Time(time_ms) => position::At::AtTimestamp(messages::timestamp(time_ms)),
        GoOn::After(number) => position::At::AfterSequenceNumber(number.to_string()),
    };
    Position { at: Some(at) }
}

fn lease(lease: Lease) -> LeaseMessage {
    LeaseMessage {
        shard_id: shard_name(lease.shard),
        epoch: lease.epoch,
        from: Some(go_on(lease.from)),
        is_revoked: lease.is_revoked,
    }
}

fn description(described: GroupDescription) -> DescribeGroupResponse {
    let member = |own: MemberDescription| describe_group_response::Member {
        member_id: own.member.to_string(),
        name: own.name.to_string(),
        joined: Some(messages::timestamp(own.joined_ms)),
    };
    let shard = |own: ShardDescription| describe_group_response::Shard {
        shard_id: shard_name(own.shard),
        member_id: own.owner.map(|owner| owner.to_string()).unwrap_or_default(),
        epoch: own.epoch,
        from: Some(go_on(own.from)),
        is_finished: own.is_finished,
        is_waiting: own.is_waiting,
        records_behind: own.records_behind,
        millis_behind: own.millis_behind,
    };
    DescribeGroupResponse {
        lease_ms: described.lease_ms,
        members: described.members.into_iter().map(member).collect(),
        shards: described.shards.into_iter().map(shard).collect(),
    }
}

#[cfg(test)]
mod tests {
    use prost_types::Timestamp;
    use tidelog_proto::v1::Latest;

    use super::*;

    fn begin(at: Option<position::At>) -> Result<GroupBegin, Code> {
        group_begin(Some(&Position { at })).map_err(|status| status.code())
    }

    #[test]
    fn a_group_begins_at_a_place_that_all_shards_have() {
        let time = |seconds| position::At::AtTimestamp(Timestamp { seconds, nanos: 0 });
        let number = "49546986683135544286507457936321625675700192471156785154".to_owned();
        for (at, expected) in [
            (None, Ok(GroupBegin::TrimHorizon)),
            (Some(position::At::TrimHorizon(TrimHorizon {})), Ok(GroupBegin::TrimHorizon)),
            (Some(position::At::Latest(Latest {})), Ok(GroupBegin::Latest)),
            (Some(time(5)), Ok(GroupBegin::Time(5_000))),
            (Some(time(-5)), Ok(GroupBegin::Time(0))),
            (Some(position::At::AtSequenceNumber(number.clone())), Err(Code::InvalidArgument)),
            (Some(position::At::AfterSequenceNumber(number)), Err(Code::InvalidArgument)),
        ] {
            assert_eq!(begin(at.clone()), expected, "{at:?}");
        }
        assert_eq!(group_begin(None).unwrap(), GroupBegin::TrimHorizon);
    }

    #[test]
    fn values_out_of_bounds_are_reported() {
        let joined = |lease_ms, name: String| {
            let asked = JoinRequest { lease_ms, member_name: name, ..JoinRequest::default() };
            new_member(&asked).map(|member| member.lease_ms).ok()
        };
        for (lease_ms, length, expected) in [
            (0, 256, Some(10_000)),
            (1_000, 0, Some(1_000)),
            (300_000, 1, Some(300_000)),
            (999, 1, None),
            (300_001, 1, None),
            (0, 257, None),
        ] {
            assert_eq!(joined(lease_ms, "ä".repeat(length)), expected, "{lease_ms} {length}");
        }
        assert!(check_count("released", 10_000).is_ok() && check_count("released", 10_001).is_err());
        for (name, is_one) in [("a", true), ("a_.-9", true), ("", false), ("ä", false), ("a b", false)] {
            assert_eq!(group_name(name).is_ok(), is_one, "{name}");
        }
        assert!(group_name(&"n".repeat(128)).is_ok() && group_name(&"n".repeat(129)).is_err());
        let progress =
            |shard_id: &str, reached| Progress { shard_id: shard_id.to_owned(), epoch: 1, reached };
        let end = Some(progress::Reached::Finished(tidelog_proto::v1::Finished {}));
        assert!(shard_progress(&progress("shardId-000000000001", end.clone())).is_ok());
        assert!(shard_progress(&progress("shard?", end)).is_err());
        assert!(shard_progress(&progress("shardId-000000000001", None)).is_err());
    }
}
