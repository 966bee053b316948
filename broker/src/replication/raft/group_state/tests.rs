//! Groups as their logs leave them: the batches of producers, through a reshard and a checkpoint.

use tidelog_storage::disk::RealDisk;
use tidelog_storage::record::RecordRef;
use tidelog_storage::shard::StoreOptions;

use tidelog_proto::stored::data_command;
use tidelog_storage::shard::ShardStore;

use super::*;
use crate::model::producer::Stamp;
use crate::model::producers::{ProducerRefusal, Run, Table};
use crate::replication::data::stored::store_producer;
use crate::replication::types::command::Origin;
use crate::replication::types::command::SubBatch;
use crate::replication::types::outcome::AppendOutcome;

const UID: u64 = 5;
const START_MS: u64 = 1_700_000_000_000;

fn group(store: &Arc<ShardStore>) -> GroupState {
    GroupState::Data(DataState::new(store.clone(), Arc::default()))
}

fn key(shard: u32) -> ShardKey {
    ShardKey { stream_uid: UID, shard }
}

fn control(group: &mut GroupState, command: data_command::Command) -> Outcome {
    group.apply(&LogCommand::Data(Arc::new(stored::DataCommand { command: Some(command) })))
}

/// Sends records of a batch to a shard, each with its position as data.
fn send(group: &mut GroupState, shard: u32, batch: u64, positions: &[u32]) -> AppendOutcome {
    let mut body = Vec::new();
    for position in positions {
        RecordRef { key: None, data: position.to_string().as_bytes() }.encode(&mut body);
    }
    let origin = Origin {
        stamp: Stamp::new(77, batch, 2).expect("a stamp"),
        positions: positions.iter().copied().collect(),
        created_s: u64::from(shard) + 1,
    };
    let batch = SubBatch::new(key(shard), START_MS, positions.len() as u32, body.into());
    match group.apply(&LogCommand::Records(Arc::new(vec![batch.with_origin(Some(origin))]))) {
        Outcome::Appended(mut outcomes) => outcomes.pop().expect("an outcome"),
        other => panic!("{other:?}"),
    }
}

fn appended(first_ordinal: u64) -> AppendOutcome {
    AppendOutcome::Appended { first_ordinal, time_ms: START_MS }
}

fn run(shard: u32, positions: &[u32], first_ordinal: u64) -> Run {
    let positions = positions.iter().copied().collect();
    Run { positions, shard, created_s: u64::from(shard) + 1, first_ordinal, time_ms: START_MS }
}

fn table(group: &GroupState, shard: u32) -> Option<&Table> {
    group.data().and_then(|state| state.producers_of(key(shard)))
}

/// The group with the producers that a checkpoint keeps.
fn stored_and_restored(group: &mut GroupState) {
    let store = |group: &GroupState| group.store(&StoredMembershipOf::<TypeConfig>::default());
    let stored = store(group);
    let table = |group: &GroupState| {
        group
            .data()
            .map(|state| (0..9).map(|shard| state.producers_of(key(shard)).cloned()).collect::<Vec<_>>())
    };
    let before = table(group);
    group.restore(stored.clone()).expect("it was stored so");
    assert_eq!(table(group), before);
    assert_eq!(store(group), stored);
}

#[test]
fn children_answer_for_their_parents_in_the_same_group_and_in_another() {
    let directory = tempfile::tempdir().expect("a directory");
    let disk = Arc::new(RealDisk);
    let store = ShardStore::open(disk, directory.path().into(), StoreOptions::default(), Vec::new());
    let store = store.expect("an empty store");
    let (mut here, mut there) = (group(&store), group(&store));
    control(&mut here, data_command::Command::OpenShards(stored::OpenShards { uid: UID, shards: vec![0] }));
    assert_eq!(send(&mut here, 0, 2, &[0, 1, 2, 3]), appended(1));
    assert_eq!(send(&mut here, 0, 4, &[1, 3]), appended(5));
    assert_eq!(
        send(&mut here, 0, 2, &[0, 1, 2, 3]),
        AppendOutcome::Duplicate(vec![run(0, &[0, 1, 2, 3], 1)])
    );
    assert_eq!(send(&mut there, 0, 2, &[0]), AppendOutcome::NoSuchShard);

    // Each step comes twice, as when its driver dies.
    for _ in 0..2 {
        let seal_and_open = |sealed, opened| {
            data_command::Command::SealAndOpen(stored::SealAndOpen { uid: UID, sealed, opened })
        };
        let ends = control(&mut here, seal_and_open(vec![0], vec![1]));
        assert!(matches!(&ends, Outcome::Sealed(ends) if *ends == [(0, 7)]), "{ends:?}");
        control(&mut there, seal_and_open(vec![], vec![2]));
        assert_eq!(send(&mut here, 0, 2, &[0]), AppendOutcome::Sealed);
        let known = table(&here, 0).expect("what the parent remembers");
        let producers: Vec<_> = known.producers().map(store_producer).collect();
        for (group, shard) in [(&mut here, 1), (&mut there, 2)] {
            let producers = producers.clone();
            let copy = stored::CopyProducers { uid: UID, shard, producers, clock_ms: 1_700_000_000_000 };
            control(group, data_command::Command::CopyProducers(copy));
        }
    }
    assert_eq!((table(&here, 1), table(&there, 2)), (table(&here, 0), table(&here, 0)));
    stored_and_restored(&mut here);
    stored_and_restored(&mut there);

    for (group, shard) in [(&mut here, 1), (&mut there, 2)] {
        // Known completely; only in part; not at all; not any more.
        let known = AppendOutcome::Duplicate(vec![run(0, &[0, 1, 2, 3], 1)]);
        assert_eq!(send(group, shard, 2, &[1, 3]), known);
        let partly = AppendOutcome::Duplicate(vec![run(0, &[1, 3], 5), run(shard, &[0, 7], 1)]);
        assert_eq!(send(group, shard, 4, &[0, 1, 7]), partly);
        assert_eq!(send(group, shard, 4, &[0, 1, 3, 7]), partly);
        assert_eq!(send(group, shard, 3, &[0]), appended(3));
        assert_eq!(send(group, shard, 1 + 1, &[0]), known);
        let log = store.get(key(shard)).expect("the child");
        assert_eq!(log.bounds().next_ordinal, 4, "only what was not known was written");
    }

    let drop_shards = stored::DropShards { uid: UID, shards: vec![0] };
    control(&mut here, data_command::Command::DropShards(drop_shards));
    assert_eq!(table(&here, 0), None);
    assert!(table(&here, 1).is_some());
    control(&mut here, data_command::Command::DropStream(stored::StreamRef { uid: UID }));
    assert_eq!(table(&here, 1), None);
}

#[test]
fn hidden_records_count_when_states_are_compared() {
    let directory = tempfile::tempdir().expect("a directory");
    let disk = Arc::new(RealDisk);
    let store = ShardStore::open(disk, directory.path().into(), StoreOptions::default(), Vec::new());
    let store = store.expect("an empty store");
    let mut group = group(&store);
    control(&mut group, data_command::Command::OpenShards(stored::OpenShards { uid: UID, shards: vec![0] }));
    assert_eq!(send(&mut group, 0, 2, &[0, 1, 2]), appended(1));
    let log = store.get(key(0)).expect("the shard");
    log.hide_below(3);
    assert_eq!(log.bounds().first_ordinal, 3);
    // A leader trims by a clock that is behind this node's, so its state may begin before the records that are
    // hidden here.
    let bounds = group.bounds();
    assert_eq!((bounds[0].1.first_ordinal, bounds[0].1.next_ordinal), (1, 4));
}

#[test]
fn records_without_a_producer_leave_no_trace_in_the_state() {
    let directory = tempfile::tempdir().expect("a directory");
    let disk = Arc::new(RealDisk);
    let store = ShardStore::open(disk, directory.path().into(), StoreOptions::default(), Vec::new());
    let mut group = group(&store.expect("an empty store"));
    let open = stored::OpenShards { uid: UID, shards: vec![0] };
    control(&mut group, data_command::Command::OpenShards(open));
    let before = group.store(&StoredMembershipOf::<TypeConfig>::default());
    let mut body = Vec::new();
    RecordRef { key: None, data: b"data" }.encode(&mut body);
    let batch = SubBatch::new(key(0), START_MS, 1, body.into());
    group.apply(&LogCommand::Records(Arc::new(vec![batch; 3])));
    assert_eq!(group.store(&StoredMembershipOf::<TypeConfig>::default()), before);
    // A refused batch leaves none either.
    for number in 2..=65 {
        assert!(matches!(send(&mut group, 0, number, &[0]), AppendOutcome::Appended { .. }), "{number}");
    }
    let full = AppendOutcome::Refused(ProducerRefusal::TableFull);
    let before = group.store(&StoredMembershipOf::<TypeConfig>::default());
    assert_eq!(send(&mut group, 0, 66, &[0]), full);
    assert_eq!(group.store(&StoredMembershipOf::<TypeConfig>::default()), before);
}
