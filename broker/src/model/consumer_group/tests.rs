//! Single changes of a consumer group have their effects.

use super::*;
use crate::model::fixture;
use crate::model::stream::Stream;

mod random_changes;

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
