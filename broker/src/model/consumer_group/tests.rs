//! A group under random changes keeps its promises, and single changes have their effects.

use std::collections::BTreeMap;

use proptest::prelude::*;

use super::*;
use crate::model::fixture;
use crate::model::stream::Stream;

const NOW_MS: u64 = 1_700_000_000_000;

fn group(stream: &Stream) -> ConsumerGroup {
    ConsumerGroup::new(stream, 10_000, &Begin::TrimHorizon)
}

fn with_members(stream: &Stream, uids: &[u64]) -> ConsumerGroup {
    let mut group = group(stream);
    for uid in uids {
        join(&mut group, *uid);
    }
    group
}

fn join(group: &mut ConsumerGroup, uid: u64) {
    group.join(uid, "host", NOW_MS, 1_000).expect("room");
}

/// Splits a shard: its children get the next two numbers.
fn split(stream: &mut Stream, index: u32) {
    let first = stream.shards.last().expect("a shard").index + 1;
    let at = stream.shards.iter().position(|shard| shard.index == index).expect("the shard");
    stream.shards[at].closed_ms = Some(NOW_MS);
    stream.shards[at].end_ordinal = Some(8);
    let parent = stream.shards[at].clone();
    for index in [first, first + 1] {
        let (closed_ms, end_ordinal) = (None, None);
        let child = crate::model::stream::Shard {
            index,
            parent: Some(parent.index),
            closed_ms,
            end_ordinal,
            ..parent.clone()
        };
        stream.shards.push(child);
    }
}

fn place(ordinal: u64) -> RecordPosition {
    RecordPosition { ordinal, time_s: NOW_MS / 1_000 }
}

/// A member's leases as (shard, epoch, whether it is revoked).
fn leases(group: &ConsumerGroup, uid: u64) -> Vec<(u32, u64, bool)> {
    group.leases(uid).map(|(index, shard)| (index, shard.epoch, shard.revocation.is_some())).collect()
}

fn lease(shard: u32, epoch: u64) -> LeaseRef {
    LeaseRef { shard, epoch }
}

fn progress(shard: u32, epoch: u64, through: Option<u64>) -> Progress {
    Progress { lease: lease(shard, epoch), through: through.map(place) }
}

#[test]
fn the_first_member_gets_all_and_gives_up_half_to_the_second() {
    let mut group = with_members(&fixture::stream("a", 4), &[1]);
    assert_eq!(leases(&group, 1), [(0, 1, false), (1, 1, false), (2, 1, false), (3, 1, false)]);
    join(&mut group, 2);
    assert_eq!(leases(&group, 1), [(0, 1, false), (1, 1, false), (2, 1, true), (3, 1, true)]);
    assert_eq!(leases(&group, 2), [], "nothing is taken from a member that lives");

    group.sync(1, &[lease(2, 1)]).expect("a member");
    assert_eq!(leases(&group, 2), [(2, 2, false)]);
    // A member cannot give up a shard that it does not have, nor one under an epoch that is past.
    group.sync(2, &[lease(2, 1), lease(0, 1), lease(77, 1)]).expect("a member");
    assert_eq!(leases(&group, 2), [(2, 2, false)]);
    assert_eq!(leases(&group, 1), [(0, 1, false), (1, 1, false), (3, 1, true)]);

    let number = group.shards[&3].revocation.expect("a revocation");
    group.expire(&[], &[(3, number + 1), (0, number)]);
    assert_eq!(leases(&group, 2).len(), 1, "another revocation than that");
    group.expire(&[], &[(3, number)]);
    assert_eq!(leases(&group, 2), [(2, 2, false), (3, 2, false)]);
    assert_eq!(leases(&group, 1), [(0, 1, false), (1, 1, false)]);
}

#[test]
fn a_revocation_ends_when_the_member_it_was_for_goes() {
    let mut group = with_members(&fixture::stream("a", 2), &[1, 2]);
    assert_eq!(leases(&group, 1), [(0, 1, false), (1, 1, true)]);
    group.leave(2).expect("a member");
    assert_eq!(leases(&group, 1), [(0, 1, false), (1, 1, false)]);
    join(&mut group, 3);
    assert_eq!(group.shards[&1].revocation, Some(2), "each revocation has a number of its own");
}

#[test]
fn the_shards_of_members_that_leave_or_are_absent_go_to_others_at_once() {
    let mut group = with_members(&fixture::stream("a", 3), &[1]);
    group.leave(1).expect("a member");
    assert_eq!(group.leave(1), Err(GroupRefusal::MemberUnknown));
    assert!(group.shards.values().all(|shard| shard.owner.is_none()));
    join(&mut group, 2);
    join(&mut group, 3);
    group.sync(2, &[]).expect("a member");
    group.expire(&[(2, 0)], &[]);
    assert_eq!(group.members.len(), 2, "it has synced since");
    group.expire(&[(2, 1), (9, 0)], &[]);
    assert_eq!(leases(&group, 3), [(0, 3, false), (1, 3, false), (2, 3, false)]);
    assert_eq!(group.sync(2, &[]), Err(GroupRefusal::MemberUnknown));
    assert_eq!(group.checkpoint(2, &[progress(0, 2, Some(5))]), Err(GroupRefusal::MemberUnknown));
}

#[test]
fn a_checkpoint_counts_under_the_present_epoch_and_never_goes_back() {
    let mut group = with_members(&fixture::stream("a", 2), &[1]);
    let reached = |group: &ConsumerGroup| group.shards[&0].position;
    assert_eq!(group.checkpoint(1, &[progress(0, 1, Some(7)), progress(1, 2, Some(7))]), Ok(vec![1]));
    assert_eq!(reached(&group), GroupPosition::After(place(7)));
    assert_eq!(group.checkpoint(1, &[progress(0, 1, Some(3))]), Ok(vec![]), "ignored, and no lease is lost");
    assert_eq!(reached(&group), GroupPosition::After(place(7)));

    group.leave(1).expect("a member");
    join(&mut group, 2);
    assert_eq!(reached(&group), GroupPosition::After(place(7)), "a successor goes on there");
    assert_eq!(group.checkpoint(2, &[progress(0, 1, Some(9)), progress(9, 1, None)]), Ok(vec![0, 9]));
    assert_eq!(group.checkpoint(2, &[progress(0, 2, None)]), Ok(vec![]));
    assert!(group.shards[&0].is_finished && group.shards[&0].owner.is_none());
    assert_eq!(group.checkpoint(2, &[progress(0, 2, None)]), Ok(vec![]), "said twice");
    assert_eq!(group.checkpoint(2, &[progress(0, 1, None)]), Ok(vec![0]), "under an epoch that is past");
}

#[test]
fn children_wait_for_all_their_parents() {
    let mut stream = fixture::stream("a", 2);
    let mut group = with_members(&stream, &[1]);
    for index in [0, 1] {
        let shard = &mut stream.shards[index];
        (shard.closed_ms, shard.end_ordinal) = (Some(NOW_MS), Some(8));
    }
    let merged = crate::model::stream::Shard {
        index: 2,
        parent: Some(0),
        adjacent_parent: Some(1),
        closed_ms: None,
        end_ordinal: None,
        ..stream.shards[0].clone()
    };
    stream.shards.push(merged);
    group.follow(&stream);
    assert!(group.is_waiting(&group.shards[&2]));
    group.checkpoint(1, &[progress(0, 1, None)]).expect("a member");
    assert_eq!(leases(&group, 1), [(1, 1, false)]);
    group.checkpoint(1, &[progress(1, 1, None)]).expect("a member");
    assert_eq!(leases(&group, 1), [(2, 1, false)]);
    assert_eq!(group.shards[&2].position, GroupPosition::TrimHorizon);

    // A parent that is forgotten before anybody came to its end holds up nobody.
    let mut late = with_members(&stream, &[1]);
    assert_eq!(leases(&late, 1), [(0, 1, false), (1, 1, false)]);
    stream.shards.retain(|shard| shard.index == 2);
    late.follow(&stream);
    assert_eq!(leases(&late, 1), [(2, 1, false)]);
    assert_eq!(late.checkpoint(1, &[progress(0, 1, Some(3))]), Ok(vec![0]));
}

#[test]
fn shards_without_a_record_are_finished_by_themselves_after_their_parents() {
    let mut stream = fixture::stream("a", 1);
    let mut group = with_members(&stream, &[1]);
    split(&mut stream, 0);
    split(&mut stream, 1);
    stream.shards[1].end_ordinal = Some(1);
    group.follow(&stream);
    assert_eq!(leases(&group, 1), [(0, 1, false)]);
    group.checkpoint(1, &[progress(0, 1, None)]).expect("a member");
    assert!(group.shards[&1].is_finished);
    assert_eq!(leases(&group, 1), [(2, 1, false), (3, 1, false), (4, 1, false)]);
}

#[test]
fn a_group_begins_at_its_position_and_can_be_reset() {
    let mut stream = fixture::stream("a", 2);
    split(&mut stream, 0);
    let latest = Begin::Latest([(1, place(20)), (2, place(0))].into());
    let begun = |begin: &Begin| {
        let group = ConsumerGroup::new(&stream, 10_000, begin);
        let shards = group.shards.values().map(|shard| (shard.position, shard.is_finished));
        shards.collect::<Vec<_>>()
    };
    let (trim, after) = (GroupPosition::TrimHorizon, |ordinal| GroupPosition::After(place(ordinal)));
    assert_eq!(begun(&Begin::TrimHorizon), [(trim, false); 4]);
    assert_eq!(begun(&Begin::Time(5)), [(GroupPosition::Time(5), false); 4]);
    assert_eq!(begun(&latest), [(trim, true), (after(20), false), (after(0), false), (trim, false)]);

    let mut group = with_members(&stream, &[1]);
    assert_eq!(group.reset(&stream, &latest), Err(GroupRefusal::HasMembers));
    group.checkpoint(1, &[progress(1, 1, Some(50))]).expect("a member");
    group.leave(1).expect("a member");
    group.reset(&stream, &latest).expect("nobody is there");
    assert_eq!(group.shards[&1].position, after(20), "a reset goes back");
    join(&mut group, 2);
    assert_eq!(leases(&group, 2), [(1, 2, false), (2, 1, false), (3, 1, false)], "epochs go on");
}

#[test]
fn there_is_room_for_so_many_members() {
    let mut group = group(&fixture::stream("a", 1));
    assert_eq!(group.join(1, "a", NOW_MS, 1), Ok(()));
    assert_eq!(group.join(2, "b", NOW_MS, 1), Err(GroupRefusal::TooManyMembers));
}

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
    given: BTreeMap<(u32, u64), u64>,
}

impl World {
    fn new(shards: u32) -> Self {
        let stream = fixture::stream("a", shards);
        Self { group: group(&stream), stream, next_uid: 0, given: BTreeMap::new() }
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
                let beats = self.group.members[&uid].beats;
                self.group.expire(&[(uid, beats)], &[]);
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
            self.given.iter().filter_map(of_present).collect()
        } else {
            self.given.keys().copied().collect()
        };
        if given.is_empty() {
            return;
        }
        let (index, epoch) = given[at % given.len()];
        let uid = self.given[&(index, epoch)];
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
            let had = *self.given.entry((*index, shard.epoch)).or_insert(owner);
            assert_eq!(had, owner, "shard {index} was leased twice under one epoch");
            for parent in &shard.parents {
                assert!(self.group.shards.get(parent).is_none_or(|parent| parent.is_finished));
            }
        }
    }

    /// Has every member give up its revoked shards, until there are none.
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
