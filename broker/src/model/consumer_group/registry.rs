//! Every consumer group at one applied index of the metadata group: an immutable value that readers share.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::{ConsumerGroup, GroupRefusal};
use crate::limits::{CONSUMER_GROUPS_MAX, CONSUMER_GROUPS_PER_STREAM_MAX};
use crate::model::stream::Stream;

/// Groups of one stream by name.
type OfStream = BTreeMap<Arc<str>, ConsumerGroup>;

/// Groups by stream and name. Cheap to clone: a change of one group copies the names of its stream's groups, no more.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ConsumerGroups {
    by_stream: BTreeMap<u64, Arc<OfStream>>,
    count: usize,
}

impl ConsumerGroups {
    /// The group of that name.
    pub fn get(&self, stream_uid: u64, name: &str) -> Option<&ConsumerGroup> {
        self.by_stream.get(&stream_uid)?.get(name)
    }

    /// The groups of a stream by name, ascending.
    pub fn of_stream(&self, stream_uid: u64) -> impl Iterator<Item = (&Arc<str>, &ConsumerGroup)> {
        self.by_stream.get(&stream_uid).into_iter().flat_map(|groups| groups.iter())
    }

    /// Every group with the uid of its stream and its name.
    pub fn iter(&self) -> impl Iterator<Item = (u64, &Arc<str>, &ConsumerGroup)> {
        self.by_stream
            .iter()
            .flat_map(|(uid, groups)| groups.iter().map(move |(name, group)| (*uid, name, group)))
    }

    /// Whether any group of the stream has members.
    pub fn has_members(&self, stream_uid: u64) -> bool {
        self.of_stream(stream_uid).any(|(_, group)| !group.members.is_empty())
    }

    /// Adds a group, whatever the bounds say.
    pub fn put(&mut self, stream_uid: u64, name: &str, group: ConsumerGroup) {
        let groups = Arc::make_mut(self.by_stream.entry(stream_uid).or_default());
        self.count += usize::from(groups.insert(name.into(), group).is_none());
    }

    /// Whether a stream can have one more.
    ///
    /// # Errors
    /// [`GroupRefusal::TooManyGroups`] past [`CONSUMER_GROUPS_PER_STREAM_MAX`] or [`CONSUMER_GROUPS_MAX`].
    pub fn check_room(&self, stream_uid: u64) -> Result<(), GroupRefusal> {
        let own = self.by_stream.get(&stream_uid).map_or(0, |groups| groups.len());
        if own >= CONSUMER_GROUPS_PER_STREAM_MAX || self.count >= CONSUMER_GROUPS_MAX {
            return Err(GroupRefusal::TooManyGroups);
        }
        Ok(())
    }

    /// Changes a group.
    ///
    /// # Errors
    /// [`GroupRefusal::NoSuchGroup`], and the refusals of the change.
    pub fn change<T>(
        &mut self,
        stream_uid: u64,
        name: &str,
        change: impl FnOnce(&mut ConsumerGroup) -> Result<T, GroupRefusal>,
    ) -> Result<T, GroupRefusal> {
        if self.get(stream_uid, name).is_none() {
            return Err(GroupRefusal::NoSuchGroup);
        }
        let groups = Arc::make_mut(self.by_stream.get_mut(&stream_uid).expect("a stream with that group"));
        change(groups.get_mut(name).expect("it was just found"))
    }

    /// Removes a group.
    ///
    /// # Errors
    /// [`GroupRefusal::NoSuchGroup`]; [`GroupRefusal::HasMembers`].
    pub fn remove(&mut self, stream_uid: u64, name: &str) -> Result<(), GroupRefusal> {
        let group = self.get(stream_uid, name).ok_or(GroupRefusal::NoSuchGroup)?;
        if !group.members.is_empty() {
            return Err(GroupRefusal::HasMembers);
        }
        let groups = Arc::make_mut(self.by_stream.get_mut(&stream_uid).expect("a stream with that group"));
        groups.remove(name);
        self.count -= 1;
        if groups.is_empty() {
            self.by_stream.remove(&stream_uid);
        }
        Ok(())
    }

    /// Removes all groups of a stream.
    pub fn remove_stream(&mut self, stream_uid: u64) {
        self.count -= self.by_stream.remove(&stream_uid).map_or(0, |groups| groups.len());
    }

    /// Whether the stream has any group.
    pub fn knows(&self, stream_uid: u64) -> bool {
        self.by_stream.contains_key(&stream_uid)
    }

    /// Updates the consumer groups of a stream to its present shards.
    pub fn follow(&mut self, stream: &Stream) {
        if let Some(groups) = self.by_stream.get_mut(&stream.uid) {
            Arc::make_mut(groups).values_mut().for_each(|group| group.follow(stream));
        }
    }
}
