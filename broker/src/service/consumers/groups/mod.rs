//! Consumer groups: members come, sync, checkpoint and go, on any node.
//!
//! Each of these is one command of the metadata group. A member's leases are read from this node's applied state
//! once the command is applied: never from before it.

mod begin;
mod checkpoint;
mod describe;
mod keeping;

use std::sync::Arc;

use tidelog_proto::stored::{self, group_command::Change, meta_command::Command};

use crate::model::consumer_group::{
    ConsumerGroup, ConsumerGroups, GroupName, GroupPosition, GroupRefusal, GroupShard, LeaseRef,
};
use crate::model::sequence_number::SequenceNumber;
use crate::model::stream::{Shard, Stream, StreamKey, StreamStatus};
use crate::replication::{META_GROUP, MetaOutcome, ProposeError, store_lease};
use crate::service::streams::changed;
use crate::service::{Service, ServiceError};

pub use begin::GroupBegin;
pub use checkpoint::{Reached, ShardProgress};
pub use describe::{GroupDescription, MemberDescription, ShardDescription};

/// Why nothing was done for a group or a member.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum GroupError {
    /// The group is not as the call needs it to be.
    #[error(transparent)]
    Refused(#[from] GroupRefusal),
    /// A position that is not of its shard, or lies in the future.
    #[error("{0}")]
    OutOfRange(String),
    /// An error that operations on streams have as well: [`ServiceError::StreamGone`],
    /// [`ServiceError::NotActive`], not now, or an unknown outcome.
    #[error(transparent)]
    Service(#[from] ServiceError),
}

impl From<ProposeError> for GroupError {
    fn from(error: ProposeError) -> Self {
        Self::Service(error.into())
    }
}

/// A member that asks to join.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NewMember {
    /// For people; up to [`MEMBER_NAME_LENGTH_MAX`](crate::limits::MEMBER_NAME_LENGTH_MAX).
    pub name: String,
    /// Milliseconds, [`LEASE_MS_MIN`](crate::limits::LEASE_MS_MIN) to
    /// [`LEASE_MS_MAX`](crate::limits::LEASE_MS_MAX). The first member's counts for the group.
    pub lease_ms: u32,
}

/// A member that has joined.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Joined {
    /// Names the member from now on; unique for ever in the cluster.
    pub member: u64,
    /// The lease time of the group, milliseconds.
    pub lease_ms: u32,
}

/// Where to go on with a shard.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum GoOn {
    /// At the oldest record that is kept.
    TrimHorizon,
    /// At the first record of that millisecond or later.
    Time(u64),
    /// After that record.
    After(SequenceNumber),
}

impl GoOn {
    fn new(shard: &Shard, position: GroupPosition) -> Self {
        match position {
            GroupPosition::TrimHorizon => Self::TrimHorizon,
            GroupPosition::Time(time_ms) => Self::Time(time_ms),
            GroupPosition::After(place) => {
                let starting = SequenceNumber::starting(shard.created_s, shard.index);
                Self::After(match place.ordinal {
                    0 => starting,
                    ordinal => SequenceNumber { ordinal, time_s: place.time_s, ..starting },
                })
            }
        }
    }
}

/// A shard that a member has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Lease {
    /// Index of the shard.
    pub shard: u32,
    /// Grows each time the shard is leased anew.
    pub epoch: u64,
    /// Where to go on.
    pub from: GoOn,
    /// Whether another member is to have it.
    pub is_revoked: bool,
}

impl Service {
    /// The stream of that key. An error that there is none, or that it is still being created, is certain.
    ///
    /// # Errors
    /// [`ServiceError::StreamGone`]; [`ServiceError::Unavailable`] when this node cannot know now.
    pub async fn certain_stream(&self, key: &StreamKey) -> Result<Arc<Stream>, ServiceError> {
        let find = || self.catalog().streams().get(key).cloned();
        if let Some(stream) = find().filter(|stream| stream.status != StreamStatus::Creating) {
            return Ok(stream);
        }
        self.groups.proposals().read_index(META_GROUP).await.map_err(not_now)?;
        find().ok_or(ServiceError::StreamGone)
    }

    /// Whether groups of a stream have members, as far as this node has applied.
    pub fn has_group_members(&self, stream_uid: u64) -> bool {
        self.groups.consumer_groups().has_members(stream_uid)
    }

    /// Comes into a group, which begins to be with its first member.
    ///
    /// # Errors
    /// [`GroupError`]: [`GroupRefusal::TooManyGroups`], [`GroupRefusal::TooManyMembers`], a time in the future.
    pub async fn join_group(
        &self,
        stream: &Stream,
        group: &GroupName,
        member: NewMember,
        from: GroupBegin,
    ) -> Result<Joined, GroupError> {
        let is_known = self.groups.consumer_groups().get(stream.uid, group.as_str()).is_some();
        // Where the newest records are matters to a new group only.
        let mut begin = match from {
            GroupBegin::Latest if is_known => None,
            from => Some(self.group_begin(stream, from).await?),
        };
        loop {
            let join = Change::Join(stored::JoinGroup {
                member_name: member.name.clone(),
                lease_ms: member.lease_ms,
                begin: begin.clone(),
            });
            match self.change_group(stream.uid, group, join).await {
                Ok(MetaOutcome::Created(uid)) => {
                    let groups = self.groups.consumer_groups();
                    let joined = groups.get(stream.uid, group.as_str());
                    let lease_ms = joined.map_or(member.lease_ms, |group| group.lease_ms);
                    return Ok(Joined { member: uid, lease_ms });
                }
                Err(GroupError::Refused(GroupRefusal::NoSuchGroup)) if begin.is_none() => {
                    begin = Some(self.group_begin(stream, from).await?);
                }
                outcome => return Err(unexpected(outcome)),
            }
        }
    }

    /// Stays in the group, gives up shards, and learns which ones the member has.
    ///
    /// # Errors
    /// [`GroupError`]: [`GroupRefusal::MemberUnknown`], [`GroupRefusal::NoSuchGroup`].
    pub async fn sync_group(
        &self,
        stream: &Stream,
        group: &GroupName,
        member: u64,
        released: &[LeaseRef],
    ) -> Result<Vec<Lease>, GroupError> {
        let released = released.iter().copied().map(store_lease).collect();
        self.change_group(stream.uid, group, Change::Sync(stored::SyncGroup { member, released })).await?;
        // Groups first: the catalog is at least as new then, and has every shard but those forgotten since.
        let groups = self.groups.consumer_groups();
        let group = groups.get(stream.uid, group.as_str()).ok_or(GroupRefusal::NoSuchGroup)?;
        if !group.members.contains_key(&member) {
            return Err(GroupRefusal::MemberUnknown.into());
        }
        let catalog = self.catalog();
        let stream = catalog.by_uid(stream.uid).ok_or(ServiceError::StreamGone)?;
        Ok(leases(group, stream, member))
    }

    /// Goes; the member's shards go to others at once.
    ///
    /// # Errors
    /// [`GroupError`]: [`GroupRefusal::MemberUnknown`], [`GroupRefusal::NoSuchGroup`].
    pub async fn leave_group(
        &self,
        stream: &Stream,
        group: &GroupName,
        member: u64,
    ) -> Result<(), GroupError> {
        self.change_group(stream.uid, group, Change::Leave(stored::MemberRef { member })).await.map(drop)
    }

    /// Removes a group and its checkpoints.
    ///
    /// # Errors
    /// [`GroupError`]: [`GroupRefusal::HasMembers`], [`GroupRefusal::NoSuchGroup`].
    pub async fn delete_group(&self, stream: &Stream, group: &GroupName) -> Result<(), GroupError> {
        self.change_group(stream.uid, group, Change::Delete(stored::DeleteGroup {})).await.map(drop)
    }

    async fn change_group(
        &self,
        stream_uid: u64,
        group: &GroupName,
        change: Change,
    ) -> Result<MetaOutcome, GroupError> {
        let name = group.as_str().to_owned();
        let command = stored::GroupCommand { stream_uid, name, change: Some(change) };
        match self.groups.proposals().propose_meta(self.now_ms(), Command::ConsumerGroup(command)).await? {
            MetaOutcome::GroupRefused(refusal) => Err(refusal.into()),
            outcome @ (MetaOutcome::Done | MetaOutcome::Created(_) | MetaOutcome::LeasesLost(_)) => {
                Ok(outcome)
            }
            outcome => Err(unexpected(changed(outcome.clone()).map(|()| outcome).map_err(Into::into))),
        }
    }

    /// Groups as of now or later.
    async fn certain_groups(&self) -> Result<Arc<ConsumerGroups>, ServiceError> {
        self.groups.proposals().read_index(META_GROUP).await.map_err(not_now)?;
        Ok(self.groups.consumer_groups())
    }
}

/// A read that could not be made certain: it changed nothing, so the caller may retry after any error.
fn not_now(_: ProposeError) -> ServiceError {
    ServiceError::Unavailable(crate::service::Unavailable::NoMetadataLeader)
}

fn unexpected(outcome: Result<MetaOutcome, GroupError>) -> GroupError {
    match outcome {
        Err(error) => error,
        Ok(outcome) => ServiceError::Internal(format!("a group was changed with {outcome:?}")).into(),
    }
}

fn leases(group: &ConsumerGroup, stream: &Stream, member: u64) -> Vec<Lease> {
    let lease = |(index, own): (u32, &GroupShard)| {
        let from = GoOn::new(stream.shard(index)?, own.position);
        Some(Lease { shard: index, epoch: own.epoch, from, is_revoked: own.revocation.is_some() })
    };
    group.leases(member).filter_map(lease).collect()
}

/// Whether groups of a stream can be used: not while it comes or goes.
fn check_usable(stream: &Stream) -> Result<(), ServiceError> {
    match stream.status {
        StreamStatus::Active | StreamStatus::Updating => Ok(()),
        StreamStatus::Creating => Err(ServiceError::NotActive(stream.status)),
        StreamStatus::Deleting => Err(ServiceError::StreamGone),
    }
}
