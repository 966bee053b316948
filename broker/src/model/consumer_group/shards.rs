//! The shards of a group follow those of its stream, and where they begin.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::{ConsumerGroup, GroupPosition, GroupRefusal, GroupShard, RecordPosition};
use crate::model::stream::{Shard, Stream};

/// Where the shards of a group begin.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Begin {
    /// At the oldest records that are kept.
    TrimHorizon,
    /// At the first records of that millisecond or later.
    Time(u64),
    /// After the newest records: those of the shards that were open, by index. Shards that were closed are finished,
    /// and one that has opened since begins with its first record.
    Latest(BTreeMap<u32, RecordPosition>),
}

impl Begin {
    fn of(&self, shard: &Shard) -> (GroupPosition, bool) {
        match self {
            Self::TrimHorizon => (GroupPosition::TrimHorizon, false),
            Self::Time(time_ms) => (GroupPosition::Time(*time_ms), false),
            Self::Latest(newest) => match newest.get(&shard.index) {
                Some(place) => (GroupPosition::After(*place), false),
                None => (GroupPosition::TrimHorizon, shard.closed_ms.is_some()),
            },
        }
    }
}

impl ConsumerGroup {
    /// A group without members.
    pub fn new(stream: &Stream, lease_ms: u32, begin: &Begin) -> Self {
        let mut group = Self { lease_ms, members: Arc::default(), shards: Arc::default(), revocations: 0 };
        group.take_shards(stream, begin);
        group
    }

    /// Has the shards that the stream has: children come in, to be read from their first record, and shards that are
    /// not listed any more go.
    pub fn follow(&mut self, stream: &Stream) {
        self.take_shards(stream, &Begin::TrimHorizon);
        self.rebalance();
    }

    /// Sets the position of every shard anew.
    ///
    /// # Errors
    /// [`GroupRefusal::HasMembers`].
    pub fn reset(&mut self, stream: &Stream, to: &Begin) -> Result<(), GroupRefusal> {
        if !self.members.is_empty() {
            return Err(GroupRefusal::HasMembers);
        }
        self.take_shards(stream, &Begin::TrimHorizon);
        for (index, own) in Arc::make_mut(&mut self.shards) {
            let shard = stream.shard(*index).expect("the group has the stream's shards");
            (own.position, own.is_finished) = to.of(shard);
        }
        Ok(())
    }

    fn take_shards(&mut self, stream: &Stream, begin: &Begin) {
        let shards = Arc::make_mut(&mut self.shards);
        shards.retain(|index, _| stream.shard(*index).is_some());
        for shard in &stream.shards {
            let own = shards.entry(shard.index).or_insert_with(|| {
                let (position, is_finished) = begin.of(shard);
                let parents = shard.parent.iter().chain(&shard.adjacent_parent).copied().collect();
                let (epoch, owner, revocation) = (0, None, None);
                GroupShard { parents, epoch, owner, revocation, position, is_finished, is_empty: false }
            });
            // The first ordinal is 1.
            own.is_empty = shard.end_ordinal == Some(1);
        }
    }
}
