use super::*;

const START_MS: u64 = 1_700_000_000_000;
const NO_BOUND: usize = usize::MAX;

fn stamp(producer: u64, batch: u64, settled_below: u64) -> Stamp {
    Stamp::new(producer, batch, settled_below).expect("a stamp")
}

fn run(positions: impl IntoIterator<Item = u32>, first_ordinal: u64) -> Run {
    let positions = positions.into_iter().collect();
    Run { positions, shard: 3, created_s: 1_700_000_000, first_ordinal, time_ms: START_MS }
}

/// Admits a batch, and remembers its only record where nothing was known.
fn write(table: &mut Table, stamp: Stamp, now_ms: u64) -> Result<u64, ProducerRefusal> {
    let known = table.admit(&stamp, now_ms, NO_BOUND)?;
    if let [run] = *known {
        return Ok(run.first_ordinal);
    }
    let ordinal = stamp.producer() * 1_000 + stamp.batch();
    table.remember(&stamp, run([0], ordinal));
    Ok(ordinal)
}

#[test]
fn a_run_knows_the_ordinals_of_its_records() {
    let run = run([2, 3, 64, 499], 10);
    let ordinals: Vec<_> = [0, 2, 3, 4, 64, 499, 500].map(|position| run.ordinal(position)).into();
    assert_eq!(ordinals, [None, Some(10), Some(11), None, Some(12), Some(13), None]);
}

#[test]
fn a_batch_is_known_until_it_is_settled_and_stale_then() {
    let mut table = Table::default();
    // (batch, settled below, outcome)
    for (batch, settled_below, expected) in [
        (1, 1, Ok(7_001)),
        (2, 1, Ok(7_002)),
        (4, 0, Ok(7_004)),
        (1, 1, Ok(7_001)),
        (3, 3, Ok(7_003)),
        (2, 1, Err(ProducerRefusal::Stale)),
        // A delayed attempt does not unsettle anything.
        (4, 1, Ok(7_004)),
        (2, 2, Err(ProducerRefusal::Stale)),
        (9, 9, Ok(7_009)),
        (4, 3, Err(ProducerRefusal::Stale)),
        (9, 9, Ok(7_009)),
    ] {
        assert_eq!(write(&mut table, stamp(7, batch, settled_below), START_MS), expected, "batch {batch}");
    }
    assert_eq!(table.entries(), 2, "the producer and its batch that is not settled");
}

#[test]
fn batches_without_room_are_refused_and_known_ones_are_not() {
    let mut table = Table::default();
    for batch in 1..=64 {
        assert!(write(&mut table, stamp(7, batch, 0), START_MS).is_ok());
    }
    assert_eq!(write(&mut table, stamp(7, 65, 1), START_MS), Err(ProducerRefusal::TableFull));
    assert_eq!(write(&mut table, stamp(7, 5, 1), START_MS), Ok(7_005));
    assert_eq!(write(&mut table, stamp(7, 65, 2), START_MS), Ok(7_065));
    assert_eq!(write(&mut table, stamp(7, 66, 2), START_MS), Err(ProducerRefusal::TableFull));
    for producer in 8..=1_030 {
        assert!(write(&mut table, stamp(producer, 1, 0), START_MS).is_ok(), "producer {producer}");
    }
    assert_eq!(write(&mut table, stamp(2_000, 1, 0), START_MS), Err(ProducerRefusal::TableFull));
    assert_eq!(write(&mut table, stamp(1_030, 2, 0), START_MS), Ok(1_030_002));
    assert_eq!(table.entries(), 1_024 + 64 + 1_024);
}

#[test]
fn a_table_keeps_to_its_room() {
    let mut table = Table::default();
    let mut admit = |producer, batch| {
        let stamp = stamp(producer, batch, 0);
        let admitted = table.admit(&stamp, START_MS, 4)?;
        if admitted.is_empty() {
            table.remember(&stamp, run([0], 1));
        }
        Ok(())
    };
    let full = Err(ProducerRefusal::TableFull);
    let outcomes = [(7, 1), (7, 2), (8, 1), (7, 3), (7, 4), (7, 1)].map(|(of, batch)| admit(of, batch));
    assert_eq!(outcomes, [Ok(()), Ok(()), full, Ok(()), full, Ok(())]);
}

#[test]
fn a_producer_is_forgotten_an_hour_after_it_has_written() {
    let mut table = Table::default();
    write(&mut table, stamp(7, 1, 0), START_MS).expect("room");
    write(&mut table, stamp(8, 1, 0), START_MS).expect("room");
    write(&mut table, stamp(8, 1, 0), START_MS + 5).expect("known");
    table.expire(START_MS + PRODUCER_LIFE_MS - 1);
    assert_eq!(table.entries(), 4);
    table.expire(START_MS + PRODUCER_LIFE_MS);
    assert!(table.producers().map(|(id, _)| id).eq([8]));
    table.expire(START_MS + PRODUCER_LIFE_MS + 5);
    assert!(table.is_empty() && table.entries() == 0);
}

/// Id, settled below, last used, batches.
type Known<'a> = (u64, u64, u64, &'a [(u64, Run)]);

fn table(producers: &[Known<'_>]) -> Table {
    let producer = |(id, settled_below, last_used_ms, batches): &Known<'_>| {
        let mut producer = Producer::new(*settled_below, *last_used_ms);
        batches.iter().for_each(|(batch, run)| producer.remember(*batch, *run));
        (*id, producer)
    };
    producers.iter().map(producer).collect()
}

#[test]
fn tables_are_united_without_loss_and_as_often_as_one_likes() {
    let lower = table(&[
        (7, 2, 90, &[(2, run([0], 1)), (3, run([0, 2], 2)), (5, run([0], 4))]),
        (8, 1, 50, &[(1, run([4], 5))]),
    ]);
    let upper = table(&[(7, 3, 80, &[(3, run([1, 3], 1)), (4, run([9], 3))]), (9, 1, 10, &[])]);
    let mut expected = table(&[
        (7, 3, 90, &[(3, run([0, 2], 2)), (3, run([1, 3], 1)), (4, run([9], 3)), (5, run([0], 4))]),
        (8, 1, 50, &[(1, run([4], 5))]),
        (9, 1, 10, &[]),
    ]);
    let mut united = Table::default();
    for other in [&lower, &upper, &lower, &upper] {
        united.unite(other.clone());
    }
    assert_eq!(united, expected);
    assert_eq!(united.entries(), 3 + 3 + 1);
    assert_eq!(expected.admit(&stamp(7, 3, 3), 0, NO_BOUND).map(|runs| positions(&runs).len()), Ok(4));
}

#[test]
fn a_batch_has_no_more_runs_than_records() {
    let mut producer = Producer::new(0, 0);
    for _ in 0..2 {
        (0..500).for_each(|last| producer.remember(1, run(0..=last, last.into())));
    }
    let (_, runs) = producer.batches().next().expect("the batch");
    assert_eq!(runs.len(), 500);
    assert!(runs.iter().zip(0..).all(|(known, last)| *known == run(0..=last, last.into())));
}
