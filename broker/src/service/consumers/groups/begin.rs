//! Where a group begins, and begins anew. "After the newest record" is looked up once, when the group begins: a
//! member that takes over a shard before its first checkpoint begins there too, and skips nothing.

use tidelog_proto::stored::{self, group_command::Change};

use super::{ConsumerGroupError, Service, ServiceError, check_usable};
use crate::model::consumer_group::{Begin, GroupName, RecordPosition};
use crate::model::stream::Stream;
use crate::replication::{META_GROUP, store_begin};
use crate::service::read::behind::Unread;

/// Where a group begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum GroupBegin {
    /// At the oldest records that are kept.
    TrimHorizon,
    /// After the newest records.
    Latest,
    /// At the first records of that millisecond or later.
    Time(u64),
}

impl Service {
    /// Sets the position of every shard anew.
    ///
    /// # Errors
    /// [`ConsumerGroupError`]: [`GroupRefusal::HasMembers`](super::GroupRefusal::HasMembers),
    /// [`GroupRefusal::NoSuchGroup`](super::GroupRefusal::NoSuchGroup), a time in the future.
    pub async fn reset_group(
        &self,
        stream: &Stream,
        group: &GroupName,
        to: GroupBegin,
    ) -> Result<(), ConsumerGroupError> {
        let begin = self.group_begin(stream, to).await?;
        self.change_group(stream.uid, group, Change::Reset(begin)).await.map(drop)
    }

    /// # Errors
    /// [`ConsumerGroupError::OutOfRange`] for a time in the future; [`ServiceError::Unavailable`] when the end of a
    /// shard is not known now.
    pub(in crate::service) async fn group_begin(
        &self,
        stream: &Stream,
        begin: GroupBegin,
    ) -> Result<stored::GroupBegin, ConsumerGroupError> {
        let begin = match begin {
            GroupBegin::TrimHorizon => Begin::TrimHorizon,
            GroupBegin::Time(time_ms) if time_ms > self.latest_now_ms() => {
                return Err(ConsumerGroupError::OutOfRange("The timestamp lies in the future.".to_owned()));
            }
            GroupBegin::Time(time_ms) => Begin::Time(time_ms),
            GroupBegin::Latest => self.latest(stream.uid).await?,
        };
        Ok(store_begin(&begin))
    }

    async fn latest(&self, stream_uid: u64) -> Result<Begin, ConsumerGroupError> {
        // By the newest shards: children of one that is taken for open here would be read from their first record.
        self.groups.proposals().read_index(META_GROUP).await.map_err(super::not_now)?;
        let catalog = self.catalog();
        let stream = catalog.by_uid(stream_uid).ok_or(ServiceError::StreamGone)?;
        check_usable(stream)?;
        let unread: Vec<_> =
            stream.open_shards().map(|shard| (shard.index, Unread::Ordinal(u64::MAX))).collect();
        let found = self.behind(stream, &unread).await;
        if found.len() < unread.len() {
            return Err(ServiceError::Unavailable(crate::service::ServiceUnavailable::UnknownEnd).into());
        }
        let newest = found.into_iter().map(|(index, behind)| {
            (
                index,
                RecordPosition {
                    ordinal: behind.next_ordinal.saturating_sub(1),
                    time_s: behind.newest_ms / 1_000,
                },
            )
        });
        Ok(Begin::Latest(newest.collect()))
    }
}
