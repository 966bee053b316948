//! Commands are judged one after the other, whatever their proposers saw.

use super::*;
use crate::model::reshard::{Child, Plan};
use crate::replication::metadata::state::MetaOutcome;
use crate::replication::metadata::state::MetaState;
use crate::replication::metadata::stored::{store_hash_key, store_key};

const NOW_MS: u64 = 1_700_000_000_000;
const QUOTAS: Quotas = Quotas {
    shards_max: Some(8),
    creating_streams_max: Some(2),
    on_demand_streams_max: Some(1),
    shard_count_updates_max: Some(2),
    mode_switches_max: Some(2),
    creating_consumers_max: Some(2),
    consumers_max: Some(3),
    committed_consumers_max: Some(4),
    tags_max: Some(3),
    shards_per_change_max: Some(6),
};

fn apply_at(state: &mut MetaState, now_ms: u64, command: Command) -> MetaOutcome {
    let quotas = may_exceed(&command).then_some(QUOTAS);
    state.apply(&stored::MetaCommand { now_ms, command: Some(command), bounds: None, quotas })
}

fn apply(state: &mut MetaState, command: Command) -> MetaOutcome {
    apply_at(state, NOW_MS, command)
}

fn exceeded(quota: Quota, limit: u32, present: u32, additional: u32) -> MetaOutcome {
    MetaOutcome::QuotaExceeded(QuotaExceeded { quota, limit, present, additional })
}

fn begin(name: &str, shard_count: u32, mode: stored::StreamMode) -> Command {
    let key = StreamKey { account: "000000000000".into(), region: "us-east-1".into(), name: name.into() };
    Command::BeginCreateStream(stored::BeginCreateStream {
        stream: Some(store_key(&key)),
        shard_count,
        mode: mode.into(),
        ..stored::BeginCreateStream::default()
    })
}

/// A provisioned stream that is ACTIVE.
fn active(state: &mut MetaState, name: &str, shard_count: u32) -> u64 {
    let created = apply(state, begin(name, shard_count, stored::StreamMode::Provisioned));
    let MetaOutcome::Created(uid) = created else { panic!("{created:?}") };
    apply(state, Command::FinishCreateStream(stored::StreamRef { uid }));
    uid
}

fn reshard(state: &MetaState, uid: u64, plan: impl FnOnce(&Stream) -> Plan) -> Command {
    let catalog = state.catalog();
    let plan = plan(catalog.by_uid(uid).expect("a stream"));
    let new_shard = |child: &Child| stored::NewShard {
        hash_start: store_hash_key(child.range.start),
        hash_end: store_hash_key(child.range.end),
        parent: Some(child.parent),
        adjacent_parent: child.adjacent_parent,
    };
    Command::BeginReshard(stored::BeginReshard {
        uid,
        sealed: plan.sealed.clone(),
        opened: plan.children.iter().map(new_shard).collect(),
        is_count_update: true,
        first_new_shard: plan.first,
    })
}

fn commit(state: &mut MetaState, uid: u64) {
    let sealed = state.catalog().by_uid(uid).and_then(|stream| stream.reshard.clone()).expect("begun").sealed;
    let ends = sealed.into_iter().map(|shard| stored::commit_reshard::End { shard, ordinal: 8 }).collect();
    assert_eq!(apply(state, Command::CommitReshard(stored::CommitReshard { uid, ends })), MetaOutcome::Done);
}

#[test]
fn streams_and_shards_of_an_account_are_counted() {
    let mut state = MetaState::default();
    let (provisioned, on_demand) = (stored::StreamMode::Provisioned, stored::StreamMode::OnDemand);
    let refused = exceeded(Quota::ShardsPerChange, 6, 0, 7);
    assert_eq!(apply(&mut state, begin("a", 7, provisioned)), refused);
    assert_eq!(apply(&mut state, begin("a", 2, provisioned)), MetaOutcome::Created(1));
    assert_eq!(apply(&mut state, begin("b", 4, on_demand)), MetaOutcome::Created(2));
    assert_eq!(apply(&mut state, begin("b", 4, on_demand)), MetaOutcome::NameTaken);
    assert_eq!(apply(&mut state, begin("c", 1, provisioned)), exceeded(Quota::CreatingStreams, 2, 2, 1));
    for uid in [1, 2] {
        apply(&mut state, Command::FinishCreateStream(stored::StreamRef { uid }));
    }
    assert_eq!(apply(&mut state, begin("c", 1, on_demand)), exceeded(Quota::OnDemandStreams, 1, 1, 1));
    assert_eq!(apply(&mut state, begin("c", 3, provisioned)), exceeded(Quota::Shards, 8, 6, 3));
    assert_eq!(apply(&mut state, begin("c", 2, provisioned)), MetaOutcome::Created(3));
    let warm = |mib| stored::ChangeStream { uid: 2, warm_mib_per_second: Some(mib), ..Default::default() };
    assert_eq!(apply(&mut state, Command::ChangeStream(warm(5))), exceeded(Quota::Shards, 8, 8, 1));
    assert_eq!(apply(&mut state, Command::ChangeStream(warm(4))), MetaOutcome::Done);
}

#[test]
fn a_reshard_counts_from_its_beginning_and_only_for_the_shards_it_leaves_open() {
    let mut state = MetaState::default();
    let (one, other) = (active(&mut state, "a", 4), active(&mut state, "b", 2));
    let grow = |count| move |stream: &Stream| Plan::even(stream, count);
    let (first, second) = (reshard(&state, one, grow(6)), reshard(&state, other, grow(3)));
    assert_eq!(apply(&mut state, first), MetaOutcome::Done);
    assert_eq!(apply(&mut state, second.clone()), exceeded(Quota::Shards, 8, 8, 1), "while it is under way");
    commit(&mut state, one);
    assert_eq!(apply(&mut state, second), exceeded(Quota::Shards, 8, 8, 1), "and when it is over");
    let shrink = reshard(&state, one, grow(3));
    assert_eq!(apply(&mut state, shrink), MetaOutcome::Done);
    let second = reshard(&state, other, grow(3));
    assert_eq!(apply(&mut state, second.clone()), exceeded(Quota::Shards, 8, 8, 1), "parents are open still");
    commit(&mut state, one);
    assert_eq!(apply(&mut state, second), MetaOutcome::Done);
    let third = reshard(&state, one, grow(2));
    assert_eq!(apply(&mut state, third.clone()), exceeded(Quota::ShardCountUpdates, 2, 2, 1));
    assert_eq!(apply_at(&mut state, NOW_MS + DAY_MS, third), MetaOutcome::Done);
}

#[test]
fn a_streams_mode_consumers_and_tags_are_counted() {
    let mut state = MetaState::default();
    let uid = active(&mut state, "a", 1);
    let mode = |mode: stored::StreamMode| {
        Command::ChangeStream(stored::ChangeStream { uid, mode: Some(mode.into()), ..Default::default() })
    };
    let (provisioned, on_demand) = (stored::StreamMode::Provisioned, stored::StreamMode::OnDemand);
    assert_eq!(apply(&mut state, mode(on_demand)), MetaOutcome::Done);
    assert_eq!(apply(&mut state, mode(on_demand)), MetaOutcome::Done, "no switch");
    assert_eq!(apply(&mut state, mode(provisioned)), MetaOutcome::Done);
    assert_eq!(apply(&mut state, mode(on_demand)), exceeded(Quota::ModeSwitches, 2, 2, 1));
    assert_eq!(apply_at(&mut state, NOW_MS + DAY_MS, mode(on_demand)), MetaOutcome::Done);

    let register = |name: &str| {
        let name = name.to_owned();
        Command::BeginRegisterConsumer(stored::BeginRegisterConsumer {
            stream_uid: uid,
            name,
            ..Default::default()
        })
    };
    let finish = |state: &mut MetaState| {
        let consumers = state.catalog().by_uid(uid).expect("a stream").consumers.clone();
        for consumer in consumers {
            let of = stored::ConsumerRef { stream_uid: uid, uid: consumer.uid };
            apply(state, Command::FinishRegisterConsumer(of));
        }
    };
    for name in ["a", "b"] {
        assert!(matches!(apply(&mut state, register(name)), MetaOutcome::Created(_)));
    }
    assert_eq!(apply(&mut state, register("a")), MetaOutcome::NameTaken);
    assert_eq!(apply(&mut state, register("c")), exceeded(Quota::CreatingConsumers, 2, 2, 1));
    finish(&mut state);
    assert!(matches!(apply(&mut state, register("c")), MetaOutcome::Created(_)));
    assert_eq!(apply(&mut state, register("d")), exceeded(Quota::Consumers, 3, 3, 1));
    let (account, region) = ("000000000000".to_owned(), "us-east-1".to_owned());
    apply(&mut state, Command::SetCommitment(stored::SetCommitment { account, region, is_enabled: true }));
    assert!(matches!(apply(&mut state, register("d")), MetaOutcome::Created(_)), "on demand and committed");

    let resource = Some(stored::ResourceRef { stream_uid: uid, consumer_uid: None });
    let tag = |removed: &[&str], set: &[&str]| {
        let removed = removed.iter().map(|key| (*key).to_owned()).collect();
        let set = set.iter().map(|key| ((*key).to_owned(), String::new())).collect();
        Command::ChangeTags(stored::ChangeTags { resource, removed, set })
    };
    assert_eq!(apply(&mut state, tag(&[], &["a", "b"])), MetaOutcome::Done);
    assert_eq!(apply(&mut state, tag(&[], &["c", "d"])), exceeded(Quota::Tags, 3, 2, 2));
    assert_eq!(apply(&mut state, tag(&["a"], &["b", "c", "d"])), MetaOutcome::Done);
    assert_eq!(apply(&mut state, tag(&[], &["b"])), MetaOutcome::Done, "a new value is no new tag");
}

#[test]
fn commands_of_before_have_no_quotas_to_keep() {
    let mut state = MetaState::default();
    let command = Some(begin("a", 100, stored::StreamMode::OnDemand));
    let command = stored::MetaCommand { now_ms: NOW_MS, command, bounds: None, quotas: None };
    assert_eq!(state.apply(&command), MetaOutcome::Created(1));
}

#[test]
fn the_basis_of_a_change_is_checked_again() {
    let mut state = MetaState::default();
    let uid = active(&mut state, "a", 1);
    let set = |hours, direction: stored::set_retention::Direction| {
        let direction = direction.into();
        Command::SetRetention(stored::SetRetention { uid, retention_hours: hours, direction })
    };
    use stored::set_retention::Direction::{Down, Up};
    assert_eq!(apply(&mut state, set(100, Up)), MetaOutcome::Done);
    assert_eq!(apply(&mut state, set(48, Up)), MetaOutcome::Overtaken);
    assert_eq!(apply(&mut state, set(48, Down)), MetaOutcome::Done);
    assert_eq!(apply(&mut state, set(100, Down)), MetaOutcome::Overtaken);
    assert_eq!(state.catalog().by_uid(uid).expect("a stream").retention_hours, 48);

    let register = || {
        let name = "app".to_owned();
        Command::BeginRegisterConsumer(stored::BeginRegisterConsumer {
            stream_uid: uid,
            name,
            ..Default::default()
        })
    };
    let delete =
        |spares_consumed| Command::BeginDeleteStream(stored::BeginDeleteStream { uid, spares_consumed });
    assert!(matches!(apply(&mut state, register()), MetaOutcome::Created(_)));
    assert_eq!(apply(&mut state, delete(true)), MetaOutcome::Overtaken);
    assert_eq!(apply(&mut state, delete(false)), MetaOutcome::Done);
    assert_eq!(apply(&mut state, delete(true)), MetaOutcome::Done, "it is under way");
    let refused = MetaOutcome::NotActive(StreamStatus::Deleting);
    let other = stored::BeginRegisterConsumer { stream_uid: uid, name: "b".to_owned(), ..Default::default() };
    assert_eq!(apply(&mut state, Command::BeginRegisterConsumer(other)), refused);
}
