//! Consumer groups: members share the shards of a stream by leases, and record how far each shard was processed.
//!
//! Pure functions of (group, change): the metadata group applies them, so every replica comes to the same leases.
//! Nothing here knows the time. The leader of the metadata group judges which members are absent for too long, and
//! names the counts that it saw ([`GroupMember::syncs`], [`GroupShard::revocation`]); the change takes effect only if
//! they are unchanged.
//!
//! Always: a shard has one owner at most; its epoch grows with each lease, so that (shard, epoch) names one member for
//! ever; a checkpoint counts only under the present epoch and never goes back; a shard is leased only when all its
//! parents are finished.

mod leasing;
mod name;
mod registry;
mod shards;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::sync::Arc;

pub use name::GroupName;
pub use registry::ConsumerGroups;
pub use shards::Begin;

/// A group of consumers of one stream. Cheap to clone: members and shards are shared until they change.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConsumerGroup {
    /// Milliseconds after which a member that has not synced, or has not released a revoked shard, loses its leases.
    pub lease_ms: u32,
    /// By uid, which is in the order of joining. Apart from the shards: a heartbeat changes a member only.
    pub members: Arc<BTreeMap<u64, GroupMember>>,
    /// Every listed shard of the stream, by index.
    pub shards: Arc<BTreeMap<u32, GroupShard>>,
    /// Revocations that were ever made.
    pub revocations: u64,
}

/// A member of a group.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GroupMember {
    /// For people; up to 256 characters.
    pub name: Arc<str>,
    /// When it joined, milliseconds since the epoch.
    pub joined_ms: u64,
    /// The sync counter: the number of the member's syncs.
    pub syncs: u64,
}

/// A shard as a group has it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GroupShard {
    /// The shards it came from; those that are not listed any more count as finished.
    pub parents: Vec<u32>,
    /// The epoch of the newest lease; 0 before the first one.
    pub epoch: u64,
    /// The member that has it.
    pub owner: Option<u64>,
    /// The number of the revocation of its present lease: another member is to have it.
    pub revocation: Option<u64>,
    /// The position at which the next owner goes on.
    pub position: GroupPosition,
    /// Whether it was processed to its end.
    pub is_finished: bool,
    /// Whether it is closed and never had a record.
    pub is_empty: bool,
}

/// Where processing of a shard goes on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum GroupPosition {
    /// At the oldest record that is kept.
    TrimHorizon,
    /// At the first record that arrived in that millisecond or later.
    Time(u64),
    /// After that record.
    After(RecordPosition),
}

/// A record of a shard; the shard's creation second and its index make a sequence number of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RecordPosition {
    /// The record's ordinal; 0 stands before the first record.
    pub ordinal: u64,
    /// Arrival as its sequence number carries it, seconds since the epoch.
    pub time_s: u64,
}

/// The lease of a shard, as a member names it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LeaseRef {
    /// Index of the shard.
    pub shard: u32,
    /// The lease's epoch.
    pub epoch: u64,
}

/// How far a member has come with a shard.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Progress {
    /// The lease under which it was processed.
    pub lease: LeaseRef,
    /// Everything up to this record is processed; without one, the shard to its end.
    pub through: Option<RecordPosition>,
}

/// Why a change of a group was not made.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum GroupRefusal {
    /// The stream has no group of that name.
    #[error("there is no such consumer group")]
    NoSuchGroup,
    /// The member has gone, or was absent for too long.
    #[error("the group has no such member (any more)")]
    MemberUnknown,
    /// The change needs a group without members.
    #[error("the group has members")]
    HasMembers,
    /// The stream, or the cluster, has as many groups as it can.
    #[error("there are too many consumer groups")]
    TooManyGroups,
    /// The group has as many members as it can.
    #[error("the group has too many members")]
    TooManyMembers,
}

impl ConsumerGroup {
    /// Takes a member in. Its uid was never used before.
    ///
    /// # Errors
    /// [`GroupRefusal::TooManyMembers`] when there are `members_max` already.
    pub fn join(
        &mut self,
        uid: u64,
        name: &str,
        now_ms: u64,
        members_max: usize,
    ) -> Result<(), GroupRefusal> {
        if self.members.len() >= members_max {
            return Err(GroupRefusal::TooManyMembers);
        }
        let member = GroupMember { name: name.into(), joined_ms: now_ms, syncs: 0 };
        Arc::make_mut(&mut self.members).insert(uid, member);
        self.rebalance();
        Ok(())
    }

    /// Raises the sync counter of a member, and takes back the leases that it releases; leases that it does not have
    /// are ignored.
    ///
    /// # Errors
    /// [`GroupRefusal::MemberUnknown`].
    pub fn sync(&mut self, uid: u64, released: &[LeaseRef]) -> Result<(), GroupRefusal> {
        if !self.members.contains_key(&uid) {
            return Err(GroupRefusal::MemberUnknown);
        }
        let member = Arc::make_mut(&mut self.members).get_mut(&uid).expect("it was just found");
        member.syncs += 1;
        if released.is_empty() {
            // Every other change leaves the group balanced.
            return Ok(());
        }
        let shards = Arc::make_mut(&mut self.shards);
        for lease in released {
            if let Some(shard) = shards.get_mut(&lease.shard)
                && shard.is_leased_to(uid, lease.epoch)
            {
                shard.take();
            }
        }
        self.rebalance();
        Ok(())
    }

    /// Records a member's progress. Returns the shards whose lease the member no longer has: nothing is
    /// recorded for them. A position below the present checkpoint changes nothing.
    ///
    /// # Errors
    /// [`GroupRefusal::MemberUnknown`].
    pub fn checkpoint(&mut self, uid: u64, progress: &[Progress]) -> Result<Vec<u32>, GroupRefusal> {
        if !self.members.contains_key(&uid) {
            return Err(GroupRefusal::MemberUnknown);
        }
        let mut lost = Vec::new();
        let mut has_finished = false;
        let shards = Arc::make_mut(&mut self.shards);
        for Progress { lease, through } in progress {
            let shard = shards.get_mut(&lease.shard);
            match (shard, through) {
                // An earlier sync said this already, and its answer was lost.
                (Some(shard), _) if shard.is_finished && shard.epoch == lease.epoch => {}
                (Some(shard), Some(place)) if shard.is_leased_to(uid, lease.epoch) => shard.advance(*place),
                (Some(shard), None) if shard.is_leased_to(uid, lease.epoch) => {
                    shard.take();
                    shard.is_finished = true;
                    has_finished = true;
                }
                _ => lost.push(lease.shard),
            }
        }
        if has_finished {
            self.rebalance();
        }
        Ok(lost)
    }

    /// Removes a member and rebalances its shards over the other members.
    ///
    /// # Errors
    /// [`GroupRefusal::MemberUnknown`].
    pub fn leave(&mut self, uid: u64) -> Result<(), GroupRefusal> {
        if !self.members.contains_key(&uid) {
            return Err(GroupRefusal::MemberUnknown);
        }
        self.remove(uid);
        self.rebalance();
        Ok(())
    }

    /// Removes members whose count of syncs has not grown since, and reassigns shards whose revocation of that number
    /// the member has not acknowledged.
    pub fn expire(&mut self, members: &[(u64, u64)], revocations: &[(u32, u64)]) {
        let is_absent = |group: &Self, (uid, syncs): (u64, u64)| {
            group.members.get(&uid).is_some_and(|member| member.syncs == syncs)
        };
        for absent in members {
            if is_absent(self, *absent) {
                self.remove(absent.0);
            }
        }
        for (index, number) in revocations {
            if self.shards.get(index).is_some_and(|shard| shard.revocation == Some(*number)) {
                Arc::make_mut(&mut self.shards).get_mut(index).expect("it was just found").take();
            }
        }
        self.rebalance();
    }

    /// The leases of a member, by shard.
    pub fn leases(&self, uid: u64) -> impl Iterator<Item = (u32, &GroupShard)> {
        let all = self.shards.iter().map(|(index, shard)| (*index, shard));
        all.filter(move |(_, shard)| shard.owner == Some(uid))
    }

    fn remove(&mut self, uid: u64) {
        Arc::make_mut(&mut self.members).remove(&uid);
        for shard in Arc::make_mut(&mut self.shards).values_mut() {
            if shard.owner == Some(uid) {
                shard.take();
            }
        }
    }
}

impl GroupShard {
    fn is_leased_to(&self, uid: u64, epoch: u64) -> bool {
        self.owner == Some(uid) && self.epoch == epoch
    }

    /// Ends its lease.
    fn take(&mut self) {
        self.owner = None;
        self.revocation = None;
    }

    fn advance(&mut self, place: RecordPosition) {
        let is_behind = |present: RecordPosition| place.ordinal <= present.ordinal;
        if !matches!(self.position, GroupPosition::After(present) if is_behind(present)) {
            self.position = GroupPosition::After(place);
        }
    }
}
