//! Each line of shards gets one lease, and no other lease stays.

use tidelog_tables::Item;

use super::*;
use crate::model::fixture::{self, NOW_MS};

const SPLIT_AGO_MS: u64 = 600_000;
const SPLIT_MS: u64 = NOW_MS - SPLIT_AGO_MS;

/// Shard 0 was split into 1 and 2 ten minutes ago.
fn split() -> Stream {
    fixture::split_stream("clicks", SPLIT_AGO_MS)
}

/// Shard 0 was split ten minutes ago, and its children were merged into 3 five minutes ago.
fn merged() -> Stream {
    let mut stream = split();
    let closed_ms = SPLIT_MS + 300_000;
    for shard in &mut stream.shards[1..] {
        shard.closed_ms = Some(closed_ms);
        shard.end_ordinal = Some(1);
    }
    stream.shards.push(Shard {
        index: 3,
        range: stream.shards[0].range,
        parent: Some(1),
        adjacent_parent: Some(2),
        created_s: closed_ms / 1_000 + 1,
        opened_ms: closed_ms,
        closed_ms: None,
        end_ordinal: None,
        ..stream.shards[0].clone()
    });
    stream
}

fn lease(stream: &Stream, shard: u32, checkpoint: &str) -> Lease {
    let id = ShardId(shard);
    let range = stream.shard(shard).map_or((0, 0), |shard| (shard.range.start, shard.range.end));
    let item = format!(
        r#"{{"leaseKey": {{"S": "{id}"}}, "checkpoint": {{"S": "{checkpoint}"}}, "leaseCounter": {{"N": "1"}},
             "startingHashKey": {{"S": "{}"}}, "endingHashKey": {{"S": "{}"}}}}"#,
        range.0, range.1
    );
    Lease::of(&Item::from_json(item.as_bytes()).expect("an item")).expect("a lease")
}

fn indexes(stream: &Stream, position: Position, skew_ms: u64) -> Vec<u32> {
    cut(stream, |_| position, skew_ms).iter().map(|shard| shard.index).collect()
}

#[test]
fn the_cut_has_the_shards_that_were_open_at_the_position() {
    let time = |ms: i64| Position::Time(SPLIT_MS.saturating_add_signed(ms));
    let cases: [(Stream, Position, &[u32]); 10] = [
        (split(), Position::Oldest, &[0]),
        (split(), Position::Newest, &[1, 2]),
        (split(), time(-1), &[0]),
        (split(), time(0), &[1, 2]),
        (merged(), Position::Oldest, &[0]),
        (merged(), Position::Newest, &[3]),
        (merged(), time(-1), &[0]),
        (merged(), time(299_999), &[1, 2]),
        (merged(), time(300_000), &[3]),
        (fixture::stream("clicks", 2), time(0), &[0, 1]),
    ];
    for (stream, position, expected) in cases {
        assert_eq!(indexes(&stream, position, 0), expected, "{position:?}");
    }
    assert_eq!(indexes(&split(), time(9_999), 10_000), [0], "clocks may be that far apart");
    assert_eq!(indexes(&split(), time(10_000), 10_000), [1, 2]);
    // The first shard is forgotten: its children have no parents any more.
    let mut forgotten = merged();
    forgotten.shards.remove(0);
    assert_eq!(indexes(&forgotten, Position::Oldest, 0), [1, 2]);
}

#[test]
fn going_back_across_a_reshard_sets_the_parent_and_deletes_the_children() {
    let stream = split();
    let leases =
        [lease(&stream, 0, "SHARD_END"), lease(&stream, 1, "TRIM_HORIZON"), lease(&stream, 2, "LATEST")];
    let leases: Vec<&Lease> = leases.iter().collect();
    let found = |leases: &[&Lease], cut: &[(u32, &str)]| {
        let cut: Vec<_> = cut
            .iter()
            .map(|(index, to)| (stream.shard(*index).expect("a shard"), (*to).to_owned()))
            .collect();
        let changes = changes("app", &stream, leases, &cut, false).expect("leases of the stream");
        let change = |(change, _): &(LeaseChange, ItemWrite)| {
            (
                change.lease.trim_start_matches("shardId-0000000000").to_owned(),
                change.from.clone(),
                change.to.clone(),
            )
        };
        changes.iter().map(change).collect::<Vec<_>>()
    };
    let row = |shard: &str, from: Option<&str>, to: Option<&str>| {
        (shard.to_owned(), from.map(str::to_owned), to.map(str::to_owned))
    };
    let back = [
        row("00", Some("SHARD_END"), Some("TRIM_HORIZON")),
        row("01", Some("TRIM_HORIZON"), None),
        row("02", Some("LATEST"), None),
    ];
    assert_eq!(found(&leases, &[(0, "TRIM_HORIZON")]), back);
    let created = [row("00", None, Some("TRIM_HORIZON")), row("01", Some("TRIM_HORIZON"), None)];
    assert_eq!(found(&leases[1..2], &[(0, "TRIM_HORIZON")]), created);
    let forward = [
        row("01", Some("TRIM_HORIZON"), Some("7")),
        row("02", None, Some("8")),
        row("00", Some("SHARD_END"), None),
    ];
    assert_eq!(found(&leases[..2], &[(1, "7"), (2, "8")]), forward);
}

#[test]
fn leases_of_another_stream_are_refused() {
    let stream = split();
    let other = lease(&stream, 9, "TRIM_HORIZON");
    let refused = changes("app", &stream, &[&other], &[], false);
    assert!(matches!(refused, Err(ApplicationError::OtherStream { .. })), "{refused:?}");
}

#[test]
fn a_checkpoint_lies_between_the_record_before_and_the_next() {
    let stream = split();
    let shard = &stream.shards[1];
    let number = |ordinal, time_s| {
        let starting = SequenceNumber::starting(shard.created_s, shard.index);
        SequenceNumber { ordinal, time_s, ..starting }.to_string()
    };
    assert_eq!(checkpoint_before(shard, 1, 5), TRIM_HORIZON);
    let arrived_s = shard.created_s + 10;
    let checkpoint = checkpoint_before(shard, 8, arrived_s + 5);
    // KCL passes over records that are not above its checkpoint.
    assert!(number(7, arrived_s) <= checkpoint && checkpoint < number(8, arrived_s));
}

#[test]
fn positions_of_other_services_are_taken_by_their_time() {
    let stream = split();
    let recorded = "49546986683135544286507457936321625675700192471156785154";
    let recorded_ms = 1_421_279_386_000;
    let cases = [
        (recorded, Some(Position::Time(recorded_ms))),
        ("TRIM_HORIZON", Some(Position::Oldest)),
        ("LATEST", Some(Position::Newest)),
        ("AT_TIMESTAMP", Some(Position::Oldest)),
        ("12345", Some(Position::Oldest)),
        ("SHARD_END", None),
    ];
    for (checkpoint, expected) in cases {
        assert_eq!(position_by_time(&lease(&stream, 0, checkpoint)), expected, "{checkpoint}");
    }
    // Two halves were read to different places: the whole begins at the earlier one.
    let halves = [lease(&stream, 1, recorded), lease(&stream, 2, "LATEST")];
    let position = |index| position_of_range(stream.shard(index).expect("a shard"), &halves);
    assert_eq!(position(0), Position::Time(recorded_ms));
    assert_eq!((position(1), position(2)), (Position::Time(recorded_ms), Position::Newest));
    let ended = [lease(&stream, 0, "SHARD_END")];
    assert_eq!(position_of_range(&stream.shards[0], &ended), Position::Oldest);
}
