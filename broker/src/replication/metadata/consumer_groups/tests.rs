//! Commands change consumer groups as they should, and a checkpoint restores them.

use tidelog_proto::stored::meta_command::Command;

use super::*;
use crate::model::stream::StreamKey;
use crate::replication::metadata::state::MetaState;
use crate::replication::metadata::stored::{store_hash_key, store_key};

const NOW_MS: u64 = 1_700_000_000_000;

fn apply(state: &mut MetaState, command: Command) -> MetaOutcome {
    state.apply(&stored::MetaCommand { now_ms: NOW_MS, command: Some(command), bounds: None, quotas: None })
}

fn change(state: &mut MetaState, name: &str, change: Change) -> MetaOutcome {
    let command = stored::GroupCommand { stream_uid: 1, name: name.to_owned(), change: Some(change) };
    apply(state, Command::ConsumerGroup(command))
}

/// A state with an ACTIVE stream of two shards, uid 1.
fn with_stream() -> MetaState {
    let mut state = MetaState::default();
    let key = StreamKey { account: "000000000000".into(), region: "us-east-1".into(), name: "a".into() };
    let begin = stored::BeginCreateStream {
        stream: Some(store_key(&key)),
        shard_count: 2,
        ..stored::BeginCreateStream::default()
    };
    assert_eq!(apply(&mut state, Command::BeginCreateStream(begin)), MetaOutcome::Created(1));
    let creating = MetaOutcome::NotActive(StreamStatus::Creating);
    assert_eq!(change(&mut state, "g", join(&Begin::TrimHorizon)), creating);
    apply(&mut state, Command::FinishCreateStream(stored::StreamRef { uid: 1 }));
    state
}

fn join(begin: &Begin) -> Change {
    let begin = Some(store_begin(begin));
    Change::Join(stored::JoinGroup { member_name: "host".to_owned(), lease_ms: 5_000, begin })
}

fn sync(member: u64, released: &[(u32, u64)]) -> Change {
    let released = released.iter().map(|(shard, epoch)| stored::LeaseRef { shard: *shard, epoch: *epoch });
    Change::Sync(stored::SyncGroup { member, released: released.collect() })
}

fn checkpoint(member: u64, shards: &[(u32, u64, Option<u64>)]) -> Change {
    let progress = |(shard, epoch, through): &(u32, u64, Option<u64>)| {
        let through = through.map(|ordinal| RecordPosition { ordinal, time_s: 1_700_000_000 });
        store_progress(&Progress { lease: LeaseRef { shard: *shard, epoch: *epoch }, through })
    };
    Change::Checkpoint(stored::CheckpointGroup { member, shards: shards.iter().map(progress).collect() })
}

fn group(state: &MetaState) -> ConsumerGroup {
    state.consumer_groups().get(1, "g").expect("the group").clone()
}

fn refused(refusal: GroupRefusal) -> MetaOutcome {
    MetaOutcome::GroupRefused(refusal)
}

/// Splits shard 0 at its middle.
fn split(state: &mut MetaState) {
    let range = state.catalog().by_uid(1).expect("the stream").shards[0].range;
    let middle = range.start + (range.end - range.start) / 2;
    let child = |start, end| stored::NewShard {
        hash_start: store_hash_key(start),
        hash_end: store_hash_key(end),
        parent: Some(0),
        adjacent_parent: None,
    };
    let begin = stored::BeginReshard {
        uid: 1,
        sealed: vec![0],
        opened: vec![child(range.start, middle), child(middle + 1, range.end)],
        is_count_update: false,
        first_new_shard: 2,
    };
    assert_eq!(apply(state, Command::BeginReshard(begin)), MetaOutcome::Done);
    assert_eq!(group(state).shards.len(), 2, "children come with the commit");
    let end = stored::commit_reshard::End { shard: 0, ordinal: 8 };
    apply(state, Command::CommitReshard(stored::CommitReshard { uid: 1, ends: vec![end] }));
}

#[test]
fn a_group_is_there_from_its_first_member_on_until_it_is_deleted() {
    let mut state = with_stream();
    assert_eq!(change(&mut state, "g", sync(2, &[])), refused(GroupRefusal::NoSuchGroup));
    let without_begin = Change::Join(stored::JoinGroup { lease_ms: 9_000, ..Default::default() });
    assert_eq!(change(&mut state, "g", without_begin.clone()), refused(GroupRefusal::NoSuchGroup));
    assert_eq!(change(&mut state, "g", join(&Begin::Time(77))), MetaOutcome::Created(2));
    assert_eq!(change(&mut state, "g", without_begin), MetaOutcome::Created(3));
    let begun = group(&state);
    assert_eq!((begun.lease_ms, begun.members.len()), (5_000, 2), "the first member's lease time counts");
    assert_eq!(begun.shards[&1].position, GroupPosition::Time(77));
    assert_eq!(change(&mut state, "g", sync(9, &[])), refused(GroupRefusal::MemberUnknown));

    let reset = Change::Reset(store_begin(&Begin::TrimHorizon));
    let delete = Change::Delete(stored::DeleteGroup {});
    assert_eq!(change(&mut state, "g", reset.clone()), refused(GroupRefusal::HasMembers));
    assert_eq!(change(&mut state, "g", delete.clone()), refused(GroupRefusal::HasMembers));
    for member in [2, 3] {
        let leave = Change::Leave(stored::MemberRef { member });
        assert_eq!(change(&mut state, "g", leave.clone()), MetaOutcome::Done);
        assert_eq!(change(&mut state, "g", leave), refused(GroupRefusal::MemberUnknown));
    }
    assert_eq!(change(&mut state, "g", reset), MetaOutcome::Done);
    assert_eq!(group(&state).shards[&1].position, GroupPosition::TrimHorizon);
    assert_eq!(change(&mut state, "g", delete.clone()), MetaOutcome::Done);
    assert_eq!(change(&mut state, "g", delete), refused(GroupRefusal::NoSuchGroup));
}

#[test]
fn groups_follow_the_streams_shards_and_go_with_it() {
    let mut state = with_stream();
    change(&mut state, "g", join(&Begin::TrimHorizon));
    split(&mut state);
    let owners = |state: &MetaState| {
        let shards = group(state).shards;
        shards.iter().map(|(index, shard)| (*index, shard.owner)).collect::<Vec<_>>()
    };
    assert_eq!(owners(&state), [(0, Some(2)), (1, Some(2)), (2, None), (3, None)]);
    let lost = change(&mut state, "g", checkpoint(2, &[(0, 1, None), (1, 4, Some(3))]));
    assert_eq!(lost, MetaOutcome::LeasesLost(vec![1]));
    assert_eq!(owners(&state), [(0, None), (1, Some(2)), (2, Some(2)), (3, Some(2))]);

    apply(&mut state, Command::ForgetShards(stored::ForgetShards { uid: 1, shards: vec![0] }));
    assert_eq!(group(&state).shards.keys().copied().collect::<Vec<_>>(), [1, 2, 3]);

    let uid = stored::StreamRef { uid: 1 };
    apply(
        &mut state,
        Command::BeginDeleteStream(stored::BeginDeleteStream { uid: 1, spares_consumed: false }),
    );
    assert_eq!(change(&mut state, "g", sync(2, &[])), MetaOutcome::NoSuchStream);
    apply(&mut state, Command::FinishDeleteStream(uid));
    assert!(!state.consumer_groups().knows(1));
    assert_eq!(change(&mut state, "g", sync(2, &[])), MetaOutcome::NoSuchStream);
}

#[test]
fn only_leases_that_the_leader_saw_unchanged_are_taken() {
    let mut state = with_stream();
    change(&mut state, "g", join(&Begin::TrimHorizon));
    change(&mut state, "g", join(&Begin::TrimHorizon));
    change(&mut state, "g", sync(2, &[]));
    let expire = |member, syncs, number| {
        let members = vec![stored::expire_leases::Absent { member, syncs }];
        let revocations = vec![stored::expire_leases::Revocation { shard: 1, number }];
        Change::Expire(stored::ExpireLeases { members, revocations })
    };
    assert_eq!(change(&mut state, "g", expire(2, 0, 7)), MetaOutcome::Done);
    assert_eq!(group(&state).members.len(), 2);
    assert_eq!(group(&state).shards[&1].owner, Some(2));
    change(&mut state, "g", expire(9, 0, 1));
    assert_eq!(group(&state).shards[&1].owner, Some(3));
    change(&mut state, "g", expire(2, 1, 1));
    assert_eq!(group(&state).members.keys().copied().collect::<Vec<_>>(), [3]);
}

#[test]
fn a_checkpoint_gives_back_the_same_groups() {
    let mut state = with_stream();
    change(&mut state, "g", join(&Begin::Latest([(0, RecordPosition { ordinal: 4, time_s: 9 })].into())));
    change(&mut state, "g", join(&Begin::TrimHorizon));
    change(&mut state, "g", sync(2, &[]));
    split(&mut state);
    change(&mut state, "g", checkpoint(2, &[(0, 1, Some(6))]));
    change(&mut state, "h", join(&Begin::Time(5)));
    let stored = state.store();
    let back = MetaState::restore(&stored).expect("restores");
    assert_eq!(back.consumer_groups(), state.consumer_groups());
    assert_eq!(back.store(), stored);
    let kept = group(&back);
    assert_eq!((kept.members[&2].syncs, kept.revocations), (1, 1));
    assert_eq!(
        kept.shards[&0].position,
        GroupPosition::After(RecordPosition { ordinal: 6, time_s: 1_700_000_000 })
    );
    assert!(kept.shards[&1].revocation.is_some() && kept.is_waiting(&kept.shards[&2]));
    // A checkpoint of an earlier version has none.
    let earlier = stored::MetaState { consumer_groups: Vec::new(), ..stored };
    assert!(!MetaState::restore(&earlier).expect("restores").consumer_groups().knows(1));
}

#[test]
fn readers_are_notified_only_of_groups_that_may_have_changed() {
    let mut state = with_stream();
    change(&mut state, "g", join(&Begin::TrimHorizon));
    let before = state.consumer_groups().clone();
    apply(
        &mut state,
        Command::SetRetention(stored::SetRetention { uid: 1, retention_hours: 48, direction: 0 }),
    );
    assert!(Arc::ptr_eq(&before, state.consumer_groups()));
    change(&mut state, "g", sync(2, &[]));
    assert!(!Arc::ptr_eq(&before, state.consumer_groups()));
    assert_eq!(
        before.get(1, "g").expect("the group").members[&2].syncs,
        0,
        "what a reader holds stays as it is"
    );
}
