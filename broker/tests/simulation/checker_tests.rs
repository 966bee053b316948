//! Every kind of violation, planted in a history that has none, is seen by the checker.

use std::collections::BTreeMap;

use tidelog::model::hash_key::of_partition_key;
use tidelog::model::sequence_number::SequenceNumber;

use crate::checker::{check_kept, check_stream};
use crate::history::{History, Record, ShardRead, StreamRead};

const NAME: &str = "stream";
const PARENT_S: u64 = 1_700_000_000;

fn record(created_s: u64, shard: u32, ordinal: u64, attempt: usize) -> Record {
    let number = SequenceNumber { created_s, shard, ordinal, time_s: PARENT_S + 10, after: false };
    Record {
        number: number.to_string(),
        key: "key".into(),
        attempt: Some(attempt),
        arrival_ms: 1_000 + ordinal,
    }
}

/// A parent with three records and its two children, the one that takes the key with two; all were acknowledged, one
/// after the other.
fn sound() -> (History, StreamRead) {
    let hash_key = of_partition_key("key");
    let shard = |id: &str, parents: &[&str], range, is_closed, records| ShardRead {
        id: id.into(),
        parents: parents.iter().map(|id| (*id).into()).collect(),
        range,
        is_closed,
        records,
    };
    let parent = (0..3).map(|at| record(PARENT_S, 0, at + 1, at as usize)).collect();
    let child = (0..2).map(|at| record(PARENT_S + 5, 1, at + 1, at as usize + 3)).collect();
    let shards = vec![
        shard("parent", &[], (0, u128::MAX), true, parent),
        shard("child", &["parent"], (0, hash_key), false, child),
        shard("sister", &["parent"], (hash_key + 1, u128::MAX), false, Vec::new()),
    ];
    let mut history = History::default();
    for shard in &shards {
        for record in &shard.records {
            let attempt = history.send(NAME, "key");
            history.acknowledge(attempt, &shard.id, &record.number);
        }
    }
    (history, shards)
}

type Harm = fn(&mut History, &mut StreamRead);

/// Changes to a sound history, and a word of the violation that each must cause.
const HARMS: [(&str, Harm); 12] = [
    ("lost", |_, shards| drop(shards[0].records.pop())),
    ("gap", |_, shards| drop(shards[0].records.remove(0))),
    ("stored twice", |_, shards| shards[1].records[1].attempt = Some(3)),
    ("nobody sent", |_, shards| shards[0].records[1].attempt = None),
    ("another stream or key", |_, shards| shards[0].records[1].key = "other".into()),
    ("arrived at", |_, shards| shards[0].records[2].arrival_ms = 1),
    ("does not hold its key", |_, shards| shards[1].range = (0, 0)),
    ("read as", |history, _| {
        let (tick, mut place) = history.attempts[1].acknowledged.clone().expect("acknowledged");
        place.number.replace_range(50.., "000000");
        history.attempts[1].acknowledged = Some((tick, place));
    }),
    ("was acknowledged before one below it was sent", |history, _| history.attempts[0].sent = 5),
    ("was acknowledged before one below it was sent", |history, _| history.attempts[2].sent = 100),
    ("is not above its parents'", |_, shards| shards[1].records[0].number = "1".repeat(56)),
    ("open shards", |_, shards| shards[2].is_closed = true),
];

/// Plants each violation in a sound history, and fails unless the checker names it.
pub fn all_are_seen() -> Result<(), String> {
    let (history, shards) = sound();
    let found = check_stream(NAME, &history, &shards);
    if !found.is_empty() {
        return Err(format!("a sound history: {found:?}"));
    }
    for (word, harm) in HARMS {
        let (mut history, mut shards) = sound();
        harm(&mut history, &mut shards);
        let found = check_stream(NAME, &history, &shards);
        if !found.iter().any(|violation| violation.contains(word)) {
            return Err(format!("{word:?} is not seen: {found:?}"));
        }
    }
    let read = BTreeMap::from([("parent".to_owned(), vec![record(PARENT_S, 0, 1, 2)])]);
    if check_kept(NAME, &read, &shards).is_empty() {
        return Err("a record that changed after it was read is not seen".into());
    }
    Ok(())
}
