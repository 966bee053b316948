//! Descriptions of consumer groups: their members, the owner of each shard, and how far behind it is.

use std::sync::Arc;

use super::{ConsumerGroupError, GoOn, Service, ServiceError, check_usable};
use crate::model::consumer_group::{GroupName, GroupPosition, GroupRefusal, GroupShard};
use crate::model::stream::Stream;
use crate::service::read::behind::Unread;

/// A group as of one moment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GroupDescription {
    /// Milliseconds.
    pub lease_ms: u32,
    /// In the order of joining.
    pub members: Vec<MemberDescription>,
    /// By index.
    pub shards: Vec<ShardDescription>,
}

/// A member of a group.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MemberDescription {
    /// The member's uid.
    pub member: u64,
    /// For people.
    pub name: Arc<str>,
    /// Milliseconds since the epoch.
    pub joined_ms: u64,
}

/// A shard of a group.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ShardDescription {
    /// The shard's index.
    pub shard: u32,
    /// The member that has it.
    pub owner: Option<u64>,
    /// The epoch of the newest lease; 0 before the first one.
    pub epoch: u64,
    /// The position at which the next owner goes on.
    pub from: GoOn,
    /// Whether it was processed to its end.
    pub is_finished: bool,
    /// Whether it waits for its parents.
    pub is_waiting: bool,
    /// Records behind the position; `None` when that is not known now.
    pub records_behind: Option<u64>,
    /// Age of the oldest of them in milliseconds; `None` when that is not known now.
    pub millis_behind: Option<u64>,
}

impl Service {
    /// Names of the stream's groups, ascending.
    ///
    /// # Errors
    /// [`ServiceError`].
    pub async fn list_groups(&self, stream: &Stream) -> Result<Vec<Arc<str>>, ServiceError> {
        let groups = self.certain_groups().await?;
        self.usable(stream.uid)?;
        Ok(groups.of_stream(stream.uid).map(|(name, _)| name.clone()).collect())
    }

    /// A group, and how far behind each of its shards is.
    ///
    /// # Errors
    /// [`ConsumerGroupError`]: [`GroupRefusal::NoSuchGroup`].
    pub async fn describe_group(
        &self,
        stream: &Stream,
        group: &GroupName,
    ) -> Result<GroupDescription, ConsumerGroupError> {
        let groups = self.certain_groups().await?;
        let stream = self.usable(stream.uid)?;
        let group = groups.get(stream.uid, group.as_str()).ok_or(GroupRefusal::NoSuchGroup)?;
        let unfinished = group.shards.iter().filter(|(_, own)| !own.is_finished);
        let unread: Vec<_> = unfinished.map(|(index, own)| (*index, unread(own))).collect();
        let behind = self.behind(&stream, &unread).await;
        let shards = group.shards.iter().filter_map(|(index, own)| {
            let found = behind.get(index).map(|behind| (behind.records, behind.millis));
            let found = if own.is_finished { Some((0, 0)) } else { found };
            Some(ShardDescription {
                shard: *index,
                owner: own.owner,
                epoch: own.epoch,
                from: GoOn::new(stream.shard(*index)?, own.position),
                is_finished: own.is_finished,
                is_waiting: !own.is_finished && group.is_waiting(own),
                records_behind: found.map(|(records, _)| records),
                millis_behind: found.map(|(_, millis)| millis),
            })
        });
        let members = group.members.iter().map(|(uid, member)| MemberDescription {
            member: *uid,
            name: member.name.clone(),
            joined_ms: member.joined_ms,
        });
        Ok(GroupDescription {
            lease_ms: group.lease_ms,
            members: members.collect(),
            shards: shards.collect(),
        })
    }

    fn usable(&self, stream_uid: u64) -> Result<Arc<Stream>, ServiceError> {
        let stream = self.catalog().by_uid(stream_uid).cloned().ok_or(ServiceError::StreamGone)?;
        check_usable(&stream).map(|()| stream)
    }
}

fn unread(own: &GroupShard) -> Unread {
    match own.position {
        GroupPosition::TrimHorizon => Unread::Ordinal(1),
        GroupPosition::Time(time_ms) => Unread::Time(time_ms),
        GroupPosition::After(place) => Unread::Ordinal(place.ordinal + 1),
    }
}
