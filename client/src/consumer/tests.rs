//! Consumer and reader against a broker whose leases, shards and connections change on order.

use std::collections::BTreeMap;
use std::time::Duration;

use tidelog_proto::v1::progress;
use tokio::time::timeout;

use super::*;
use crate::aggregation::{UserRecord, aggregate};
use crate::fake::Broker;

const WAIT: Duration = Duration::from_secs(10);

fn fill(broker: &Broker, from: usize, count: usize) {
    let mut world = broker.world();
    for number in from..from + count {
        world.append(&format!("key-{}", number % 5), number.to_string());
    }
}

fn numbers(records: &[Record]) -> Vec<usize> {
    let number =
        |record: &Record| std::str::from_utf8(&record.data).expect("text").parse().expect("a number");
    records.iter().map(number).collect()
}

/// Each key's numbers, in the order in which they came.
#[derive(Default)]
struct Seen(BTreeMap<String, Vec<usize>>);

impl Seen {
    fn take(&mut self, records: &[Record]) {
        for (record, number) in records.iter().zip(numbers(records)) {
            let key = record.partition_key.clone().expect("has a key");
            self.0.entry(key).or_default().push(number);
        }
    }

    fn len(&self) -> usize {
        self.0.values().map(Vec::len).sum()
    }

    fn check(&self, count: usize) {
        for key in 0..5 {
            let expected: Vec<usize> = (key..count).step_by(5).collect();
            assert_eq!(self.0.get(&format!("key-{key}")), Some(&expected), "key {key}");
        }
    }
}

fn consumer(broker: &Broker, checkpoints: Checkpoints) -> Consumer {
    broker.world().group.lease_ms = 400;
    let builder = Consumer::builder(&broker.connection(), "orders", "billing");
    builder.checkpoints(checkpoints).build().expect("is valid")
}

async fn next(consumer: &mut Consumer) -> Batch {
    timeout(WAIT, consumer.next()).await.expect("something comes").expect("it goes well")
}

/// Waits until the broker's state is so.
async fn until(broker: &Broker, what: &str, holds: impl Fn(&crate::fake::World) -> bool) {
    let poll = async {
        while !holds(&broker.world()) {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    timeout(WAIT, poll).await.unwrap_or_else(|_| panic!("{what}: {:?}", broker.world().group));
}

fn reached(broker: &Broker, shard: &str) -> Option<progress::Reached> {
    broker.world().group.checkpoints.get(shard).cloned()
}

const FIRST: &str = "shardId-000000000000";

#[tokio::test]
async fn processed_records_are_checkpointed_and_closing_leaves() {
    let broker = Broker::start(1, 1);
    fill(&broker, 0, 20);
    broker.world().lease(0, 0);
    let mut consumer = consumer(&broker, Checkpoints::Automatic);
    let mut seen = Seen::default();
    let mut last = String::new();
    while seen.len() < 20 {
        let batch = next(&mut consumer).await;
        seen.take(batch.records());
        last = batch.records().last().expect("not empty").sequence_number.clone();
    }
    seen.check(20);
    consumer.close().await;
    assert_eq!(reached(&broker, FIRST), Some(progress::Reached::SequenceNumber(last)));
    assert_eq!(broker.world().group.history, ["join member-0", "leave member-0"]);
}

#[tokio::test]
async fn dropping_does_not_checkpoint_records_in_hand() {
    let broker = Broker::start(1, 1);
    fill(&broker, 0, 6);
    broker.world().lease(0, 0);
    let mut consumer = consumer(&broker, Checkpoints::Automatic);
    let first = next(&mut consumer).await.records().last().expect("not empty").sequence_number.clone();
    let _second = next(&mut consumer).await;
    drop(consumer);
    until(&broker, "it leaves", |world| world.group.history.len() == 2).await;
    assert_eq!(reached(&broker, FIRST), Some(progress::Reached::SequenceNumber(first)));
}

#[tokio::test]
async fn a_revoked_shard_is_finished_recorded_and_released() {
    let broker = Broker::start(1, 1);
    fill(&broker, 0, 30);
    broker.world().lease(0, 0);
    let mut consumer = consumer(&broker, Checkpoints::Manual);
    let batch = next(&mut consumer).await;
    broker.world().group.leases.get_mut(FIRST).expect("is leased").is_revoked = true;
    let more = async {
        // Some may have been handed out before the loss was known.
        let mut batches = vec![batch];
        while let Ok(batch) = timeout(Duration::from_millis(300), consumer.next()).await {
            batches.push(batch.expect("it goes well"));
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        batches
    };
    let batches = timeout(WAIT, more).await.expect("no more is handed out");
    let count: usize = batches.iter().map(|batch| batch.records().len()).sum();
    assert!(count < 30, "{count} were handed out");
    assert!(batches.iter().all(Batch::is_leased), "until they are released");
    assert!(broker.world().group.leases.contains_key(FIRST), "not while a batch is in hand");
    let last = batches.last().expect("one at least");
    last.checkpoint().await.expect("the lease is not released yet");
    let recorded = reached(&broker, FIRST);
    assert_eq!(recorded, Some(progress::Reached::SequenceNumber(last.records()[2].sequence_number.clone())));
    drop(batches);
    until(&broker, "is released", |world| !world.group.leases.contains_key(FIRST)).await;
    assert_eq!(broker.world().group.history, ["join member-0".to_owned(), format!("release {FIRST}")]);

    // Leased again, it goes on from there.
    broker.world().lease(0, 0);
    assert_eq!(numbers(next(&mut consumer).await.records())[0], count);
}

#[tokio::test]
async fn a_lost_lease_shows_at_the_checkpoint() {
    let broker = Broker::start(1, 1);
    fill(&broker, 0, 3);
    broker.world().lease(0, 0);
    let mut consumer = consumer(&broker, Checkpoints::Manual);
    let batch = next(&mut consumer).await;
    broker.world().lease(0, 7);
    let failed = batch.checkpoint().await.expect_err("another member has it");
    assert_eq!(failed.reason(), Reason::LeaseLost);
    assert!(!batch.is_leased());
    assert_eq!(batch.checkpoint().await.expect_err("still").reason(), Reason::LeaseLost);
    assert_eq!(reached(&broker, FIRST), None);
}

#[tokio::test]
async fn children_begin_when_their_parents_are_recorded_as_finished() {
    for checkpoints in [Checkpoints::Automatic, Checkpoints::Manual] {
        let broker = Broker::start(1, 2);
        fill(&broker, 0, 50);
        broker.world().split(0);
        broker.world().merge(2, 3);
        fill(&broker, 50, 50);
        broker.world().split(1);
        fill(&broker, 100, 50);
        (0..2).for_each(|shard| broker.world().lease(shard, 0));
        let mut consumer = consumer(&broker, checkpoints);
        let mut seen = Seen::default();
        while seen.len() < 150 {
            let batch = next(&mut consumer).await;
            seen.take(batch.records());
            assert!(!batch.is_end() || checkpoints == Checkpoints::Manual);
            assert_eq!(batch.records().is_empty(), batch.is_end());
            if checkpoints == Checkpoints::Manual {
                batch.checkpoint().await.expect("is leased");
            }
        }
        seen.check(150);
        let closed = [0, 1, 2, 3].map(crate::fake::shard_id);
        until(&broker, "all are finished", |world| {
            let finished = Some(progress::Reached::Finished(v1::Finished {}));
            closed.iter().all(|id| world.group.checkpoints.get(id) == finished.as_ref())
        })
        .await;
        consumer.close().await;
    }
}

#[tokio::test]
async fn a_member_that_is_unknown_joins_again() {
    let broker = Broker::start(1, 1);
    fill(&broker, 0, 3);
    broker.world().lease(0, 0);
    let mut consumer = consumer(&broker, Checkpoints::Manual);
    let batch = next(&mut consumer).await;
    batch.checkpoint().await.expect("is leased");
    broker.world().group.members[0].1 = false;
    broker.world().lease(0, 1);
    fill(&broker, 3, 3);
    let again = loop {
        let again = next(&mut consumer).await;
        if again.is_leased() && again.checkpoint().await.is_ok() {
            break again;
        }
    };
    assert_eq!(numbers(again.records()), [3, 4, 5]);
    assert!(!batch.is_leased());
    assert_eq!(broker.world().group.history, ["join member-0", "join member-1"]);
}

#[tokio::test]
async fn without_a_word_from_the_broker_leases_count_as_lost() {
    let broker = Broker::start(1, 1);
    fill(&broker, 0, 3);
    broker.world().lease(0, 0);
    let mut consumer = consumer(&broker, Checkpoints::Manual);
    let batch = next(&mut consumer).await;
    broker.world().group.is_out_of_reach = true;
    let lost = async {
        while batch.is_leased() {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    timeout(Duration::from_secs(2), lost).await.expect("within the lease time, about");
    broker.world().group.is_out_of_reach = false;
    // The lease is still this member's, and the shard comes again from the last checkpoint.
    assert_eq!(numbers(next(&mut consumer).await.records()), [0, 1, 2]);
}

#[tokio::test]
async fn subscriptions_that_break_go_on_where_they_were() {
    let mut broker = Broker::start(2, 2);
    fill(&broker, 0, 40);
    broker.world().subscription_messages = 2;
    let reader = Reader::builder(&broker.connection(), "orders").follow(true).build();
    let mut reader = reader.expect("is valid");
    let mut seen = Seen::default();
    for (count, killed) in [(20, Some(0)), (40, None), (60, None)] {
        fill(&broker, 40, if count == 60 { 20 } else { 0 });
        while seen.len() < count {
            let read = timeout(WAIT, reader.next()).await.expect("something comes").expect("it goes well");
            seen.take(&read.expect("does not end").records);
        }
        killed.into_iter().for_each(|node| broker.kill(node));
    }
    seen.check(60);
}

#[tokio::test]
async fn a_reader_goes_through_reshards_to_the_tip() {
    let broker = Broker::start(1, 2);
    fill(&broker, 0, 30);
    broker.world().split(0);
    fill(&broker, 30, 30);
    broker.world().merge(3, 1);
    fill(&broker, 60, 30);
    let mut reader = Reader::builder(&broker.connection(), "orders").build().expect("is valid");
    let mut seen = Seen::default();
    while let Some(read) = timeout(WAIT, reader.next()).await.expect("ends").expect("it goes well") {
        seen.take(&read.records);
    }
    seen.check(90);

    // Latest, and a reshard while it follows.
    let latest = Reader::builder(&broker.connection(), "orders").from(Position::Latest).follow(true);
    let mut reader = latest.build().expect("is valid");
    assert!(timeout(Duration::from_millis(300), reader.next()).await.is_err(), "nothing is new");
    fill(&broker, 0, 30);
    broker.world().split(4);
    fill(&broker, 30, 30);
    let mut seen = Seen::default();
    while seen.len() < 60 {
        let read = timeout(WAIT, reader.next()).await.expect("something comes").expect("it goes well");
        seen.take(&read.expect("does not end").records);
    }
    seen.check(60);
}

#[tokio::test]
async fn aggregated_records_come_apart_where_they_belong() {
    let broker = Broker::start(1, 2);
    let part = |key: &str| UserRecord {
        partition_key: key.into(),
        explicit_hash_key: None,
        data: bytes::Bytes::from_static(b"7"),
    };
    let keys: Vec<String> = (0..20).map(|key| format!("key-{key}")).collect();
    let data = aggregate(keys.iter().map(|key| part(key)));
    let placed = broker.world().append("key-0", data.clone());
    let range =
        broker.world().shards.iter().find(|shard| !shard.records.is_empty()).expect("one").range.clone();

    let mut whole =
        Reader::builder(&broker.connection(), "orders").deaggregate(false).build().expect("is valid");
    let read = whole.next().await.expect("it goes well").expect("one is there");
    assert_eq!(read.records[0].data, data);

    let mut reader = Reader::builder(&broker.connection(), "orders").build().expect("is valid");
    let read = reader.next().await.expect("it goes well").expect("some are there");
    let came: Vec<_> =
        read.records.iter().map(|record| record.partition_key.clone().expect("a key")).collect();
    let expected: Vec<_> = keys.iter().filter(|key| part(key).belongs_to(&range)).cloned().collect();
    assert!(expected.len() < keys.len() && !expected.is_empty());
    assert_eq!(came, expected);
    assert!(read.records.iter().all(|record| record.sequence_number == placed.sequence_number));
    assert!(reader.next().await.expect("it goes well").is_none());
}

#[tokio::test]
async fn errors_that_do_not_pass_are_returned() {
    let broker = Broker::start(1, 1);
    let reader = Reader::builder(&broker.connection(), "orders").shards(["shardId-000000000009"]).build();
    let failed = reader.expect("is valid").next().await.expect_err("there is no such shard");
    assert_eq!(failed.reason(), Reason::NotFound);

    let nobody = Connection::to(["http://127.0.0.1:1"]).build().expect("is valid");
    let reader = Reader::builder(&nobody, "orders").give_up_after(Duration::from_millis(100)).build();
    let failed = reader.expect("is valid").next().await.expect_err("nobody is there");
    assert_eq!(failed.reason(), Reason::Unavailable);

    let of_no_shard = Position::AfterSequenceNumber("1".into());
    let failed = Reader::builder(&nobody, "orders").from(of_no_shard).build().expect_err("of which shard?");
    assert_eq!(failed.reason(), Reason::Invalid);
    for name in ["", "a b", &"x".repeat(129)] {
        let failed = Consumer::builder(&nobody, "orders", name).build().expect_err("is no name");
        assert_eq!(failed.reason(), Reason::Invalid);
    }
}
