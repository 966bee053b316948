//! The assignment of shards to the members of a consumer group: even, and with as few moves as possible.
//!
//! A shard without an owner is leased at once. A shard that one member has too many is revoked: it stays with
//! the member until the member releases it. So no two members process one shard at a time, unless one of them
//! is taken for dead.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use super::{ConsumerGroup, GroupShard};

impl ConsumerGroup {
    /// Whether a shard waits for its parents.
    pub fn is_waiting(&self, shard: &GroupShard) -> bool {
        shard.parents.iter().any(|parent| self.shards.get(parent).is_some_and(|parent| !parent.is_finished))
    }

    /// Leases the free shards, and revokes the leases of shards that have to move.
    pub(super) fn rebalance(&mut self) {
        self.finish_empty();
        let leasable: Vec<u32> = (self.shards.iter())
            .filter(|(_, shard)| !shard.is_finished && !self.is_waiting(shard))
            .map(|(index, _)| *index)
            .collect();
        let owned = self.owned();
        let quotas = quotas(&owned, leasable.len());
        self.revoke_beyond(&owned, &quotas);
        self.lease_unowned(&leasable, &owned, &quotas);
    }

    /// Shards without a record need no member to come to their end; those of a reshard in several steps are many.
    fn finish_empty(&mut self) {
        let all: Vec<u32> = self.shards.keys().copied().collect();
        // Children have higher numbers than their parents.
        for index in all {
            let shard = &self.shards[&index];
            if shard.is_empty && !shard.is_finished && shard.owner.is_none() && !self.is_waiting(shard) {
                self.shard_mut(index).is_finished = true;
            }
        }
    }

    /// The shards of every member, in the reverse of the order in which they are taken away.
    fn owned(&self) -> BTreeMap<u64, Vec<u32>> {
        let mut owned: BTreeMap<u64, Vec<u32>> = self.members.keys().map(|uid| (*uid, Vec::new())).collect();
        for (index, shard) in &*self.shards {
            if let Some(owner) = shard.owner {
                owned.get_mut(&owner).expect("an owner is a member").push(*index);
            }
        }
        for shards in owned.values_mut() {
            shards.sort_by_key(|index| (self.shards[index].revocation.is_some(), *index));
        }
        owned
    }

    /// Revokes the shards that a member has beyond its quota, and withdraws the revocations of shards within it.
    fn revoke_beyond(&mut self, owned: &BTreeMap<u64, Vec<u32>>, quotas: &BTreeMap<u64, usize>) {
        for (uid, shards) in owned {
            for (position, index) in shards.iter().enumerate() {
                let is_beyond = position >= quotas[uid];
                if is_beyond == self.shards[index].revocation.is_some() {
                    continue;
                }
                self.revocations += u64::from(is_beyond);
                let number = self.revocations;
                self.shard_mut(*index).revocation = is_beyond.then_some(number);
            }
        }
    }

    /// Leases the shards that no member has to the members that have the fewest.
    fn lease_unowned(
        &mut self,
        leasable: &[u32],
        owned: &BTreeMap<u64, Vec<u32>>,
        quotas: &BTreeMap<u64, usize>,
    ) {
        let mut short: BTreeSet<(usize, u64)> = (owned.iter())
            .filter(|(uid, shards)| shards.len() < quotas[uid])
            .map(|(uid, shards)| (shards.len(), *uid))
            .collect();
        for index in leasable {
            if self.shards[index].owner.is_some() {
                continue;
            }
            let Some((count, uid)) = short.pop_first() else { return };
            let shard = self.shard_mut(*index);
            shard.owner = Some(uid);
            shard.epoch += 1;
            if count + 1 < quotas[&uid] {
                short.insert((count + 1, uid));
            }
        }
    }

    fn shard_mut(&mut self, index: u32) -> &mut GroupShard {
        Arc::make_mut(&mut self.shards).get_mut(&index).expect("a shard of the group")
    }
}

/// The number of shards that each member is to have. The numbers differ by one at most; members that have most shards
/// get the additional ones.
fn quotas(owned: &BTreeMap<u64, Vec<u32>>, leasable: usize) -> BTreeMap<u64, usize> {
    let Some(even) = leasable.checked_div(owned.len()) else { return BTreeMap::new() };
    let beyond = leasable % owned.len();
    let mut by_count: Vec<(usize, u64)> = owned.iter().map(|(uid, shards)| (shards.len(), *uid)).collect();
    by_count.sort_by_key(|(count, uid)| (std::cmp::Reverse(*count), *uid));
    let quota = |(position, (_, uid)): (usize, (usize, u64))| (uid, even + usize::from(position < beyond));
    by_count.into_iter().enumerate().map(quota).collect()
}
