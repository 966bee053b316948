//! Commands change the metadata group's state as they should, and a checkpoint restores it.

use super::*;
use crate::model::stream::{StreamKey, Tags};
use crate::replication::metadata::quotas::DAY_MS;
use crate::replication::metadata::stored::store_key;

fn key(name: &str) -> StreamKey {
    StreamKey { account: "000000000000".into(), region: "us-east-1".into(), name: name.into() }
}

fn command(now_ms: u64, command: Command) -> stored::MetaCommand {
    stored::MetaCommand { now_ms, command: Some(command), bounds: None, quotas: None }
}

fn create(state: &mut MetaState, name: &str, shard_count: u32, now_ms: u64) -> MetaOutcome {
    let begin = stored::BeginCreateStream {
        stream: Some(store_key(&key(name))),
        shard_count,
        max_record_kib: 1_024,
        ..stored::BeginCreateStream::default()
    };
    state.apply(&command(now_ms, Command::BeginCreateStream(begin)))
}

#[test]
fn open_shards_cover_every_hash_key_once() {
    let mut state = MetaState::default();
    assert_eq!(create(&mut state, "a", 7, 1_000), MetaOutcome::Created(1));
    let catalog = state.catalog();
    let stream = &catalog.streams()[&key("a")];
    let mut next = 0;
    for shard in stream.open_shards() {
        assert_eq!(shard.range.start, next);
        next = shard.range.end.wrapping_add(1);
        assert_eq!(stream.route(shard.range.start).map(|shard| shard.index), Some(shard.index));
        assert_eq!(stream.route(shard.range.end).map(|shard| shard.index), Some(shard.index));
    }
    assert_eq!(next, 0, "the last range ends at 2^128 - 1");
}

#[test]
fn a_name_is_taken_until_its_stream_is_gone_and_its_successor_sorts_above() {
    let mut state = MetaState::default();
    create(&mut state, "a", 1, 50_000);
    assert_eq!(create(&mut state, "a", 1, 50_000), MetaOutcome::NameTaken);
    let uid = stored::StreamRef { uid: 1 };
    state.apply(&command(
        50_000,
        Command::BeginDeleteStream(stored::BeginDeleteStream { uid: 1, spares_consumed: false }),
    ));
    state.apply(&command(50_000, Command::FinishDeleteStream(uid)));
    // The clock even goes back: the successor's creation second still lies above.
    assert_eq!(create(&mut state, "a", 1, 20_000), MetaOutcome::Created(2));
    assert_eq!(state.catalog().streams()[&key("a")].shards[0].created_s, 51);
}

/// Applies commands one after another, a second apart, and returns their outcomes.
fn run(state: &mut MetaState, commands: impl IntoIterator<Item = Command>) -> Vec<MetaOutcome> {
    let apply = |(second, own): (u64, Command)| state.apply(&command(100_000 + 1_000 * second, own));
    (0..).zip(commands).map(apply).collect()
}

/// The stream of that uid.
fn stream(state: &MetaState, uid: u64) -> Stream {
    Stream::clone(state.catalog().by_uid(uid).expect("a stream"))
}

fn register(stream_uid: u64, name: &str) -> Command {
    let tags = Tags::from([("team".to_owned(), name.to_owned())]);
    Command::BeginRegisterConsumer(stored::BeginRegisterConsumer { stream_uid, name: name.to_owned(), tags })
}

fn consumer(uid: u64) -> stored::ConsumerRef {
    stored::ConsumerRef { stream_uid: 1, uid }
}

fn resource(stream_uid: u64, consumer_uid: Option<u64>) -> Option<stored::ResourceRef> {
    Some(stored::ResourceRef { stream_uid, consumer_uid })
}

fn tag(resource: Option<stored::ResourceRef>, removed: &[&str], set: &[(&str, &str)]) -> Command {
    let removed = removed.iter().map(|key| (*key).to_owned()).collect();
    let set = set.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect();
    Command::ChangeTags(stored::ChangeTags { resource, removed, set })
}

fn policy(resource: Option<stored::ResourceRef>, policy: Option<&str>) -> Command {
    Command::SetPolicy(stored::SetPolicy { resource, policy: policy.map(str::to_owned) })
}

fn change(change: stored::ChangeStream) -> Command {
    Command::ChangeStream(stored::ChangeStream { uid: 1, ..change })
}

fn commit(is_enabled: bool) -> Command {
    let (account, region) = ("000000000000".to_owned(), "us-east-1".to_owned());
    Command::SetCommitment(stored::SetCommitment { account, region, is_enabled })
}

#[test]
fn consumers_come_and_go_by_name() {
    let mut state = MetaState::default();
    create(&mut state, "a", 1, 1_000);
    const DONE: MetaOutcome = MetaOutcome::Done;
    const GONE: MetaOutcome = MetaOutcome::NoSuchConsumer;
    let begun = [register(1, "b"), register(1, "a"), register(1, "b"), register(7, "b")];
    let expected =
        [MetaOutcome::Created(2), MetaOutcome::Created(3), MetaOutcome::NameTaken, MetaOutcome::NoSuchStream];
    assert_eq!(run(&mut state, begun), expected);
    let finished =
        [Command::FinishRegisterConsumer(consumer(2)), Command::FinishRegisterConsumer(consumer(9))];
    assert_eq!(run(&mut state, finished), [DONE, GONE]);
    let shown = |state: &MetaState| {
        let consumers = stream(state, 1).consumers;
        consumers.into_iter().map(|own| (own.name.to_string(), own.uid, own.status)).collect::<Vec<_>>()
    };
    let (creating, active) = (ConsumerStatus::Creating, ConsumerStatus::Active);
    assert_eq!(shown(&state), [("a".to_owned(), 3, creating), ("b".to_owned(), 2, active)]);
    assert_eq!(stream(&state, 1).consumer("a").expect("a").created_ms, 101_000);
    assert_eq!(stream(&state, 1).consumer("a").expect("a").tags["team"], "a");

    // A registration that finishes late does not bring back a consumer that is being deleted.
    let ended = [
        Command::BeginDeregisterConsumer(consumer(3)),
        Command::FinishRegisterConsumer(consumer(3)),
        Command::BeginDeregisterConsumer(consumer(9)),
    ];
    assert_eq!(run(&mut state, ended), [DONE, DONE, GONE]);
    assert_eq!(shown(&state)[0], ("a".to_owned(), 3, ConsumerStatus::Deleting));
    let finish = Command::FinishDeregisterConsumer(consumer(3));
    assert_eq!(
        run(&mut state, [finish.clone(), finish, register(1, "a")]),
        [DONE, DONE, MetaOutcome::Created(4)]
    );
    assert_eq!(shown(&state)[0], ("a".to_owned(), 4, creating));
}

#[test]
fn a_stream_and_its_consumer_have_tags_and_policies_of_their_own() {
    let mut state = MetaState::default();
    create(&mut state, "a", 1, 1_000);
    run(&mut state, [register(1, "c")]);
    let (of_stream, of_consumer) = (resource(1, None), resource(1, Some(2)));
    let outcomes = run(
        &mut state,
        [
            tag(of_stream, &[], &[("x", "1"), ("y", "2")]),
            tag(of_stream, &["x", "z"], &[("y", "3")]),
            tag(of_consumer, &["team"], &[("x", "4")]),
            policy(of_stream, Some("{}")),
            policy(of_consumer, Some("[]")),
            policy(of_stream, None),
            tag(resource(1, Some(9)), &[], &[]),
            policy(resource(9, None), None),
        ],
    );
    let (done, refused) = outcomes.split_at(6);
    assert_eq!(
        (done, refused),
        (
            &[const { MetaOutcome::Done }; 6][..],
            &[MetaOutcome::NoSuchConsumer, MetaOutcome::NoSuchStream][..]
        )
    );
    let stream = stream(&state, 1);
    let pair = |key: &str, value: &str| Tags::from([(key.to_owned(), value.to_owned())]);
    assert_eq!((stream.tags, stream.policy), (pair("y", "3"), None));
    let consumer = &stream.consumers[0];
    assert_eq!((&consumer.tags, consumer.policy.as_deref()), (&pair("x", "4"), Some("[]")));
}

#[test]
fn settings_that_are_not_named_stay() {
    let mut state = MetaState::default();
    create(&mut state, "a", 1, 1_000);
    let before = stream(&state, 1);
    let none = stored::ChangeStream::default();
    let on_demand = Some(stored::StreamMode::OnDemand.into());
    for (asked, expected) in [
        (none, before.clone()),
        (
            stored::ChangeStream { max_record_kib: Some(2_048), ..none },
            Stream { max_record_kib: 2_048, ..before.clone() },
        ),
        (
            stored::ChangeStream { warm_mib_per_second: Some(9), is_auto_distributed: Some(true), ..none },
            Stream { warm_mib_per_second: 9, is_auto_distributed: true, ..before.clone() },
        ),
        (
            stored::ChangeStream { shard_level_metrics: Some(0x7f), ..none },
            Stream { shard_level_metrics: ShardLevelMetrics::ALL, ..before.clone() },
        ),
        (
            stored::ChangeStream { mode: on_demand, ..none },
            Stream {
                mode: read_mode(stored::StreamMode::OnDemand),
                mode_switches_ms: vec![100_000],
                ..before.clone()
            },
        ),
        // The present mode is no switch.
        (stored::ChangeStream { mode: Some(stored::StreamMode::Provisioned.into()), ..none }, before.clone()),
    ] {
        let mut state = state.clone();
        assert_eq!(run(&mut state, [change(asked)]), [MetaOutcome::Done]);
        assert_eq!(stream(&state, 1), expected);
    }
}

#[test]
fn a_days_mode_switches_are_remembered() {
    let mut state = MetaState::default();
    create(&mut state, "a", 1, 1_000);
    let switch = |state: &mut MetaState, mode: stored::StreamMode, now_ms| {
        let asked =
            change(stored::ChangeStream { mode: Some(mode.into()), ..stored::ChangeStream::default() });
        state.apply(&command(now_ms, asked));
        stream(state, 1).mode_switches_ms
    };
    let (on_demand, provisioned) = (stored::StreamMode::OnDemand, stored::StreamMode::Provisioned);
    assert_eq!(switch(&mut state, on_demand, 5_000), [5_000]);
    assert_eq!(switch(&mut state, provisioned, DAY_MS + 4_999), [5_000, DAY_MS + 4_999]);
    assert_eq!(switch(&mut state, on_demand, DAY_MS + 5_000), [DAY_MS + 4_999, DAY_MS + 5_000]);
}

#[test]
fn a_commitment_begins_anew_each_time() {
    let mut state = MetaState::default();
    let place = ("000000000000".into(), "us-east-1".into());
    let mut seen = Vec::new();
    for (second, is_enabled) in [(0, false), (1, true), (2, true), (3, false), (4, false), (5, true)] {
        state.apply(&command(second * 1_000, commit(is_enabled)));
        seen.push(state.catalog().commitments.get(&place).copied());
    }
    let commitment = |is_enabled, started_ms, ended_ms| Some(Commitment { is_enabled, started_ms, ended_ms });
    let expected = [
        None,
        commitment(true, 1_000, None),
        commitment(true, 1_000, None),
        commitment(false, 1_000, Some(3_000)),
        commitment(false, 1_000, Some(3_000)),
        commitment(true, 5_000, None),
    ];
    assert_eq!(seen, expected);
}

#[test]
fn a_checkpoint_gives_back_the_same_state() {
    let mut state = MetaState::default();
    let bootstrap = stored::Bootstrap { sealing_key: Bytes::from_static(&[7; 32]) };
    state.apply(&command(1, Command::Bootstrap(bootstrap)));
    create(&mut state, "a", 3, 10_000);
    run(
        &mut state,
        [
            Command::FinishCreateStream(stored::StreamRef { uid: 1 }),
            Command::SetRetention(stored::SetRetention { uid: 1, retention_hours: 48, direction: 0 }),
            register(1, "b"),
            register(1, "a"),
            register(1, "c"),
            Command::FinishRegisterConsumer(consumer(2)),
            Command::BeginDeregisterConsumer(consumer(3)),
            tag(resource(1, None), &[], &[("x", "1"), ("y", "")]),
            tag(resource(1, Some(2)), &[], &[("z", "2")]),
            policy(resource(1, None), Some("{\"Statement\": []}")),
            policy(resource(1, Some(4)), Some("{}")),
            change(stored::ChangeStream {
                mode: Some(stored::StreamMode::OnDemand.into()),
                max_record_kib: Some(4_096),
                warm_mib_per_second: Some(12),
                is_auto_distributed: Some(true),
                shard_level_metrics: Some(0b101_0101),
                ..stored::ChangeStream::default()
            }),
            commit(true),
            commit(false),
        ],
    );
    let back = MetaState::restore(&state.store()).expect("restores");
    assert_eq!(back.store(), state.store());
    assert_eq!(back.catalog().streams(), state.catalog().streams());
    assert_eq!(back.catalog().commitments, state.catalog().commitments);
    assert_eq!(back.catalog().sealing_key, Some([7; 32]));
    let stored = stream(&back, 1);
    assert_eq!((stored.consumers.len(), stored.tags.len(), stored.mode_switches_ms.len()), (3, 2, 1));
}

#[test]
fn the_id_of_a_node_that_is_gone_is_remembered() {
    let mut state = MetaState::default();
    state.note_members([1, 2, 3]);
    state.note_members([1, 2, 4]);
    let stored = state.store();
    let used = |stored| MetaState::restore(&stored).expect("restores").catalog().used_nodes;
    assert_eq!(used(stored.clone()), [1, 2, 3, 4].into());
    // A checkpoint of an earlier version names the members alone.
    let node = |id| stored::membership::Node { id, ..stored::membership::Node::default() };
    let membership = stored::Membership { nodes: vec![node(1)], ..stored::Membership::default() };
    let earlier = stored::MetaState { used_nodes: vec![], membership: Some(membership), ..stored };
    assert_eq!(used(earlier), [1].into());
}

#[test]
fn a_life_is_taken_when_it_follows_the_one_that_is_kept() {
    let mut state = MetaState::default();
    state.note_members([1, 2]);
    let life = |number: u64, nonce: u64| stored::Life { number, nonce };
    let begin = |state: &mut MetaState, new: stored::Life, after: &[stored::Life]| {
        let begin = stored::BeginLife { node: 2, life: Some(new), after: after.to_vec() };
        state.apply(&stored::MetaCommand {
            now_ms: 0,
            command: Some(Command::BeginLife(begin)),
            bounds: None,
            quotas: None,
        })
    };
    assert_eq!(begin(&mut state, life(1, 11), &[]), MetaOutcome::Done);
    assert_eq!(begin(&mut state, life(1, 11), &[life(1, 11)]), MetaOutcome::Done, "again");
    assert_eq!(begin(&mut state, life(2, 22), &[life(1, 11)]), MetaOutcome::Done);
    for (new, after) in [
        (life(2, 23), vec![life(1, 11)]),
        (life(9, 99), vec![life(1, 11), life(2, 23), life(3, 33)]),
        (life(1, 12), vec![]),
    ] {
        assert_eq!(begin(&mut state, new, &after), MetaOutcome::LifeRefused);
    }
    let mut state = MetaState::restore(&state.store()).expect("restores");
    assert_eq!(begin(&mut state, life(2, 23), &[life(1, 11)]), MetaOutcome::LifeRefused, "after a start");
    assert_eq!(begin(&mut state, life(3, 33), &[life(2, 22)]), MetaOutcome::Done);
    state.note_members([1]);
    assert_eq!(state.catalog().lives.len(), 0, "the node has gone");
}
