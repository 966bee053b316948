//! A consumer group under random changes keeps its promises.

use std::collections::BTreeMap;

use proptest::prelude::*;

use super::*;

#[derive(Clone, Debug)]
enum Change {
    Join,
    Sync { member: usize, gives_up: bool },
    Checkpoint { lease: usize, is_by_present: bool, through: Option<u64> },
    Leave { member: usize },
    Absent { member: usize },
    Late { shard: usize },
    Split { shard: usize },
    Forget,
}

fn any_change() -> impl Strategy<Value = Change> {
    let at = 0..64usize;
    prop_oneof![
        2 => Just(Change::Join),
        6 => (at.clone(), any::<bool>()).prop_map(|(member, gives_up)| Change::Sync { member, gives_up }),
        8 => (at.clone(), any::<bool>(), proptest::option::weighted(0.7, 1..100u64)).prop_map(
            |(lease, is_by_present, through)| Change::Checkpoint { lease, is_by_present, through }
        ),
        1 => at.clone().prop_map(|member| Change::Leave { member }),
        1 => at.clone().prop_map(|member| Change::Absent { member }),
        2 => at.clone().prop_map(|shard| Change::Late { shard }),
        1 => at.prop_map(|shard| Change::Split { shard }),
        1 => Just(Change::Forget),
    ]
}

/// A group, its stream, and every lease that was ever given out.
struct World {
    stream: Stream,
    group: ConsumerGroup,
    next_uid: u64,
    /// The member that had each (shard, epoch).
    leased: BTreeMap<(u32, u64), u64>,
}

impl World {
    fn new(shards: u32) -> Self {
        let stream = fixture::stream("a", shards);
        Self { group: group(&stream), stream, next_uid: 0, leased: BTreeMap::new() }
    }

    fn member(&self, at: usize) -> Option<u64> {
        let uids: Vec<u64> = self.group.members.keys().copied().collect();
        (!uids.is_empty()).then(|| uids[at % uids.len()])
    }

    fn revoked(&self, uid: u64) -> Vec<LeaseRef> {
        let revoked = self.group.leases(uid).filter(|(_, shard)| shard.revocation.is_some());
        revoked.map(|(index, shard)| lease(index, shard.epoch)).collect()
    }

    fn change(&mut self, change: &Change) {
        match *change {
            Change::Join => {
                self.next_uid += 1;
                join(&mut self.group, self.next_uid);
            }
            Change::Sync { member, gives_up } => {
                let Some(uid) = self.member(member) else { return };
                let released = if gives_up { self.revoked(uid) } else { Vec::new() };
                self.group.sync(uid, &released).expect("a member");
            }
            Change::Checkpoint { lease, is_by_present, through } => {
                self.checkpoint(lease, is_by_present, through);
            }
            Change::Leave { member } => {
                let Some(uid) = self.member(member) else { return };
                self.group.leave(uid).expect("a member");
            }
            Change::Absent { member } => {
                let Some(uid) = self.member(member) else { return };
                let syncs = self.group.members[&uid].syncs;
                self.group.expire(&[(uid, syncs)], &[]);
                assert!(!self.group.members.contains_key(&uid));
            }
            Change::Late { shard } => {
                let revoked: Vec<(u32, u64)> = (self.group.shards.iter())
                    .filter_map(|(index, own)| Some((*index, own.revocation?)))
                    .collect();
                if !revoked.is_empty() {
                    self.group.expire(&[], &[revoked[shard % revoked.len()]]);
                }
            }
            Change::Split { shard } => {
                let open: Vec<u32> = (self.stream.shards.iter())
                    .filter(|shard| shard.closed_ms.is_none())
                    .map(|shard| shard.index)
                    .collect();
                split(&mut self.stream, open[shard % open.len()]);
                self.group.follow(&self.stream);
            }
            Change::Forget => {
                if self.stream.shards[0].closed_ms.is_some() {
                    self.stream.shards.remove(0);
                    self.group.follow(&self.stream);
                }
            }
        }
    }

    /// A checkpoint of any lease that was ever given out, by the member that had it; or of a present one.
    fn checkpoint(&mut self, at: usize, is_by_present: bool, through: Option<u64>) {
        let of_present = |((index, epoch), uid): (&(u32, u64), &u64)| {
            self.group
                .shards
                .get(index)
                .is_some_and(|own| own.is_leased_to(*uid, *epoch))
                .then_some((*index, *epoch))
        };
        let given: Vec<(u32, u64)> = if is_by_present {
            self.leased.iter().filter_map(of_present).collect()
        } else {
            self.leased.keys().copied().collect()
        };
        if given.is_empty() {
            return;
        }
        let (index, epoch) = given[at % given.len()];
        let uid = self.leased[&(index, epoch)];
        let before = self.group.shards.get(&index).cloned();
        let is_present = before.as_ref().is_some_and(|own| own.is_leased_to(uid, epoch));
        let was_said = before.as_ref().is_some_and(|own| own.is_finished && own.epoch == epoch);
        match self.group.checkpoint(uid, &[progress(index, epoch, through)]) {
            Ok(lost) => assert_eq!(lost.is_empty(), is_present || was_said),
            Err(refusal) => assert_eq!((refusal, is_present), (GroupRefusal::MemberUnknown, false)),
        }
        if !is_present {
            assert_eq!(
                self.group.shards.get(&index).cloned(),
                before,
                "a checkpoint under a lease that is past"
            );
        }
    }

    fn check(&mut self, before: &ConsumerGroup) {
        for (index, shard) in &*self.group.shards {
            if let Some(old) = before.shards.get(index) {
                assert!(shard.epoch >= old.epoch);
                assert!(shard.is_finished || !old.is_finished);
                let ordinal = |own: &GroupShard| match own.position {
                    GroupPosition::After(place) => place.ordinal,
                    _ => 0,
                };
                assert!(ordinal(shard) >= ordinal(old), "shard {index} went back");
                let is_moved = shard.owner.is_some() && shard.owner != old.owner;
                assert!(!is_moved || shard.epoch > old.epoch, "shard {index} moved under one epoch");
            }
            let Some(owner) = shard.owner else {
                let is_free =
                    !self.group.members.is_empty() && !shard.is_finished && !self.group.is_waiting(shard);
                assert!(!is_free, "shard {index} is left lying");
                continue;
            };
            assert!(self.group.members.contains_key(&owner) && !shard.is_finished);
            let had = *self.leased.entry((*index, shard.epoch)).or_insert(owner);
            assert_eq!(had, owner, "shard {index} was leased twice under one epoch");
            for parent in &shard.parents {
                assert!(self.group.shards.get(parent).is_none_or(|parent| parent.is_finished));
            }
        }
    }

    /// Syncs every member, releasing its revoked shards, until no lease is revoked.
    fn settle(&mut self) {
        for _ in 0..64 {
            let uids: Vec<u64> = self.group.members.keys().copied().collect();
            for uid in uids {
                let released = self.revoked(uid);
                self.group.sync(uid, &released).expect("a member");
            }
            if self.group.shards.values().all(|shard| shard.revocation.is_none()) {
                return;
            }
        }
        panic!("shards keep moving");
    }
}

proptest! {
    #[test]
    fn no_sequence_of_changes_breaks_a_promise(shards in 1..9u32, changes in prop::collection::vec(any_change(), 0..60)) {
        let mut world = World::new(shards);
        for change in &changes {
            let before = world.group.clone();
            world.change(change);
            world.check(&before);
        }
        let before = world.group.clone();
        world.settle();
        world.check(&before);
        let counts: Vec<usize> = world.group.members.keys().map(|uid| world.group.leases(*uid).count()).collect();
        if let (Some(least), Some(most)) = (counts.iter().min(), counts.iter().max()) {
            prop_assert!(most - least <= 1, "{counts:?}");
        }
        let settled = world.group.clone();
        world.group.follow(&world.stream);
        prop_assert_eq!(world.group, settled, "a settled group stays as it is");
    }
}
