//! Consumer groups: members join, sync, checkpoint and leave, through any node.
//!
//! Each of these is one command of the metadata group. A member's leases are read from this node's applied state
//! once the command is applied: never from before it.

mod begin;
mod checkpoint;
mod describe;
mod expiry;

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

/// Why a call about a consumer group changed nothing.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ConsumerGroupError {
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

impl From<ProposeError> for ConsumerGroupError {
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

/// The position from which a member reads a shard.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum GoOn {
    /// The oldest record that is kept.
    TrimHorizon,
    /// The first record of that millisecond or later.
    Time(u64),
    /// The record after that one.
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

/// A lease of a member: its right to one shard.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Lease {
    /// Index of the shard.
    pub shard: u32,
    /// Grows each time the shard is leased anew.
    pub epoch: u64,
    /// The position from which the member reads.
    pub from: GoOn,
    /// Whether the member has to release the shard, for another member.
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

    /// Whether consumer groups of a stream have members, in the state that this node has applied.
    pub fn has_group_members(&self, stream_uid: u64) -> bool {
        self.groups.consumer_groups().has_members(stream_uid)
    }

    /// Joins a consumer group, creating it for its first member.
    ///
    /// # Errors
    /// [`ConsumerGroupError`]: [`GroupRefusal::TooManyGroups`], [`GroupRefusal::TooManyMembers`], a time in the future.
    pub async fn join_group(
        &self,
        stream: &Stream,
        group: &GroupName,
        member: NewMember,
        from: GroupBegin,
    ) -> Result<Joined, ConsumerGroupError> {
        let is_known = self.groups.consumer_groups().get(stream.uid, group.as_str()).is_some();
        // The newest positions matter to a new consumer group only.
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
                Err(ConsumerGroupError::Refused(GroupRefusal::NoSuchGroup)) if begin.is_none() => {
                    begin = Some(self.group_begin(stream, from).await?);
                }
                outcome => return Err(unexpected(outcome)),
            }
        }
    }

    /// Renews the membership, releases shards, and returns the member's leases.
    ///
    /// # Errors
    /// [`ConsumerGroupError`]: [`GroupRefusal::MemberUnknown`], [`GroupRefusal::NoSuchGroup`].
    pub async fn sync_group(
        &self,
        stream: &Stream,
        group: &GroupName,
        member: u64,
        released: &[LeaseRef],
    ) -> Result<Vec<Lease>, ConsumerGroupError> {
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

    /// Leaves the group; its shards are leased to the other members at once.
    ///
    /// # Errors
    /// [`ConsumerGroupError`]: [`GroupRefusal::MemberUnknown`], [`GroupRefusal::NoSuchGroup`].
    pub async fn leave_group(
        &self,
        stream: &Stream,
        group: &GroupName,
        member: u64,
    ) -> Result<(), ConsumerGroupError> {
        self.change_group(stream.uid, group, Change::Leave(stored::MemberRef { member })).await.map(drop)
    }

    /// Removes a group and its checkpoints.
    ///
    /// # Errors
    /// [`ConsumerGroupError`]: [`GroupRefusal::HasMembers`], [`GroupRefusal::NoSuchGroup`].
    pub async fn delete_group(&self, stream: &Stream, group: &GroupName) -> Result<(), ConsumerGroupError> {
        self.change_group(stream.uid, group, Change::Delete(stored::DeleteGroup {})).await.map(drop)
    }

    async fn change_group(
        &self,
        stream_uid: u64,
        group: &GroupName,
        change: Change,
    ) -> Result<MetaOutcome, ConsumerGroupError> {
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

    /// The consumer groups, after this node has applied everything that was committed before the call.
    async fn certain_groups(&self) -> Result<Arc<ConsumerGroups>, ServiceError> {
        self.groups.proposals().read_index(META_GROUP).await.map_err(not_now)?;
        Ok(self.groups.consumer_groups())
    }
}

/// A read that could not be made certain: it changed nothing, so the caller may retry after any error.
fn not_now(_: ProposeError) -> ServiceError {
    ServiceError::Unavailable(crate::service::ServiceUnavailable::NoMetadataLeader)
}

fn unexpected(outcome: Result<MetaOutcome, ConsumerGroupError>) -> ConsumerGroupError {
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

/// Whether consumer groups of a stream can be used: not while the stream is created or deleted.
fn check_usable(stream: &Stream) -> Result<(), ServiceError> {
    match stream.status {
        StreamStatus::Active | StreamStatus::Updating => Ok(()),
        StreamStatus::Creating => Err(ServiceError::NotActive(stream.status)),
        StreamStatus::Deleting => Err(ServiceError::StreamGone),
    }
}
