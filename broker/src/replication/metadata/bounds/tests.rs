//! The count of bytes is never below the stored size, and a command beyond a bound changes nothing.

use prost::Message;
use tidelog_proto::stored::{GroupBegin, GroupCommand, JoinGroup, MetaCommand, group_begin};

use super::*;
use crate::model::stream::StreamKey;
use crate::replication::metadata::state::MetaOutcome;
use crate::replication::metadata::state::MetaState;
use crate::replication::metadata::stored::{store_hash_key, store_key};

const NOW_MS: u64 = 1_700_000_000_000;
const WIDE: MetadataBounds = MetadataBounds { streams_max: 1_000, shards_max: 10_000, bytes_max: 1 << 30 };

fn apply(state: &mut MetaState, bounds: MetadataBounds, command: Command) -> MetaOutcome {
    state.apply(&MetaCommand { now_ms: NOW_MS, command: Some(command), bounds: Some(bounds), quotas: None })
}

fn create(
    state: &mut MetaState,
    bounds: MetadataBounds,
    account: &str,
    name: &str,
    shards: u32,
) -> MetaOutcome {
    let key = StreamKey { account: account.into(), region: "us-east-1".into(), name: name.into() };
    let tags = (0..3).map(|tag| (format!("key {tag}"), "value".repeat(tag)));
    let begin = stored::BeginCreateStream {
        stream: Some(store_key(&key)),
        shard_count: shards,
        tags: tags.collect(),
        ..stored::BeginCreateStream::default()
    };
    apply(state, bounds, Command::BeginCreateStream(begin))
}

fn join(state: &mut MetaState, bounds: MetadataBounds, stream_uid: u64, name: &str) -> MetaOutcome {
    let begin = GroupBegin { at: Some(group_begin::At::TimeMs(u64::MAX)) };
    let member_name = "\u{10ffff}".repeat(256);
    let join = Change::Join(JoinGroup { member_name, lease_ms: u32::MAX, begin: Some(begin) });
    let command = GroupCommand { stream_uid, name: name.to_owned(), change: Some(join) };
    apply(state, bounds, Command::ConsumerGroup(command))
}

/// The counted size of a state, and the size that a checkpoint stores.
fn counted(state: &MetaState) -> (u64, u64) {
    let catalog = state.catalog();
    let sizes = catalog.streams().values().map(|stream| MetadataSize::of(stream));
    let streams = sizes.fold(MetadataSize::default(), MetadataSize::plus);
    let bytes = streams.bytes + other_bytes(&catalog, state.consumer_groups());
    (bytes, state.store().encoded_len() as u64)
}

#[test]
fn the_count_is_never_below_the_stored_bytes() {
    let mut state = MetaState::default();
    for (uid, name) in (1..).zip(["a", &"long".repeat(32)]) {
        assert_eq!(create(&mut state, WIDE, "000000000000", name, 50), MetaOutcome::Created(uid));
    }
    for uid in [1, 2] {
        apply(&mut state, WIDE, Command::FinishCreateStream(stored::StreamRef { uid }));
    }
    for name in ["g", "h"] {
        assert!(matches!(join(&mut state, WIDE, 1, name), MetaOutcome::Created(_)));
    }
    let text = |bytes: usize| Some("x".repeat(bytes));
    for stream_uid in [1, 2] {
        let begin = stored::BeginRegisterConsumer { stream_uid, name: "c".repeat(128), ..Default::default() };
        apply(&mut state, WIDE, Command::BeginRegisterConsumer(begin));
        let resource = Some(stored::ResourceRef { stream_uid, consumer_uid: None });
        apply(&mut state, WIDE, Command::SetPolicy(stored::SetPolicy { resource, policy: text(20_000) }));
    }
    let place = stored::SetCommitment { account: "1".repeat(12), region: "r".repeat(60), is_enabled: true };
    apply(&mut state, WIDE, Command::SetCommitment(place));
    let (bytes, stored) = counted(&state);
    assert!(stored <= bytes && bytes <= 3 * stored, "{stored} {bytes}");
    // It comes back from a checkpoint as it is kept along the way.
    let restored = MetaState::restore(&state.store()).unwrap();
    assert_eq!(restored.size(), state.size());
    for uid in [1, 2] {
        apply(&mut state, WIDE, Command::FinishDeleteStream(stored::StreamRef { uid }));
    }
    assert_eq!(state.size(), MetadataSize::default());
}

#[test]
fn the_cluster_has_its_streams_and_shards_and_no_account_more_than_it_leaves() {
    let bounds = MetadataBounds { streams_max: 6, shards_max: 100, ..WIDE };
    let mut state = MetaState::default();
    let full = MetaOutcome::Full;
    assert_eq!(create(&mut state, bounds, "1", "a", 101), full(MetadataFull::Shards(100)));
    assert_eq!(create(&mut state, bounds, "1", "a", 51), full(MetadataFull::Share(100)));
    assert_eq!(create(&mut state, bounds, "1", "a", 50), MetaOutcome::Created(1));
    assert_eq!(create(&mut state, bounds, "1", "b", 1), full(MetadataFull::Share(100)));
    assert_eq!(create(&mut state, bounds, "1", "a", 1), MetaOutcome::NameTaken);
    for name in ["a", "b"] {
        assert!(matches!(create(&mut state, bounds, "2", name, 1), MetaOutcome::Created(_)));
    }
    assert_eq!(create(&mut state, bounds, "2", "c", 1), full(MetadataFull::Share(6)));
    for account in ["3", "4", "5"] {
        assert!(matches!(create(&mut state, bounds, account, "a", 1), MetaOutcome::Created(_)));
    }
    assert_eq!(create(&mut state, bounds, "6", "a", 1), full(MetadataFull::Streams(6)));
    // A setting that has become smaller takes nothing away, and a command of before there were bounds has none.
    let smaller = MetadataBounds { streams_max: 1, shards_max: 1, bytes_max: 1 };
    assert_eq!(create(&mut state, smaller, "9", "a", 1), full(MetadataFull::Streams(1)));
    let deleted = apply(
        &mut state,
        smaller,
        Command::BeginDeleteStream(stored::BeginDeleteStream { uid: 1, spares_consumed: false }),
    );
    assert_eq!(deleted, MetaOutcome::Done);
    apply(&mut state, smaller, Command::FinishDeleteStream(stored::StreamRef { uid: 1 }));
    assert_eq!(create(&mut state, bounds, "1", "a", 40), MetaOutcome::Created(7));
}

#[test]
fn a_reshard_needs_room_for_the_stream_and_its_groups() {
    let mut state = MetaState::default();
    create(&mut state, WIDE, "1", "a", 2);
    apply(&mut state, WIDE, Command::FinishCreateStream(stored::StreamRef { uid: 1 }));
    join(&mut state, WIDE, 1, "g");
    let range = |start: u128, end: u128| stored::NewShard {
        hash_start: store_hash_key(start),
        hash_end: store_hash_key(end),
        ..Default::default()
    };
    let middle = u128::MAX / 4;
    let begin = stored::BeginReshard {
        uid: 1,
        first_new_shard: 2,
        sealed: vec![0],
        opened: vec![range(0, middle), range(middle + 1, u128::MAX / 2)],
        ..Default::default()
    };
    let (bytes, _) = counted(&state);
    for (bounds, expected) in [
        (MetadataBounds { shards_max: 3, ..WIDE }, MetaOutcome::Full(MetadataFull::Shards(3))),
        (
            MetadataBounds { bytes_max: bytes + 200, ..WIDE },
            MetaOutcome::Full(MetadataFull::Bytes(bytes + 200)),
        ),
        (MetadataBounds { shards_max: 8, streams_max: 1, bytes_max: bytes + 400 }, MetaOutcome::Done),
    ] {
        assert_eq!(apply(&mut state, bounds, Command::BeginReshard(begin.clone())), expected);
    }
}

#[test]
fn groups_tags_and_policies_count_by_their_bytes() {
    let mut state = MetaState::default();
    create(&mut state, WIDE, "1", "a", 100);
    apply(&mut state, WIDE, Command::FinishCreateStream(stored::StreamRef { uid: 1 }));
    let (bytes, _) = counted(&state);
    let bounds = MetadataBounds { bytes_max: bytes + 11_000, ..WIDE };
    assert!(matches!(join(&mut state, bounds, 1, "g"), MetaOutcome::Created(_)));
    let full = MetaOutcome::Full(MetadataFull::Bytes(bounds.bytes_max));
    assert_eq!(join(&mut state, bounds, 1, "h"), full, "another group of 100 shards");
    assert!(matches!(join(&mut state, bounds, 1, "g"), MetaOutcome::Full(_)), "another member");
    let resource = stored::ResourceRef { stream_uid: 1, consumer_uid: None };
    let policy = |bytes: usize| {
        Command::SetPolicy(stored::SetPolicy { resource: Some(resource), policy: Some("x".repeat(bytes)) })
    };
    assert_eq!(apply(&mut state, bounds, policy(2_000)), full);
    assert_eq!(apply(&mut state, bounds, policy(100)), MetaOutcome::Done);
    let tags = |bytes: usize| {
        let set = [("k".to_owned(), "v".repeat(bytes))].into();
        Command::ChangeTags(stored::ChangeTags { resource: Some(resource), set, ..Default::default() })
    };
    assert_eq!(apply(&mut state, bounds, tags(2_000)), full);
    assert_eq!(apply(&mut state, bounds, tags(50)), MetaOutcome::Done);
}
