//! The producer against a broker that fails on order: nothing lost, nothing twice, each key in order, and every record
//! with its one outcome.

use std::collections::HashMap;
use std::time::Duration;

use tidelog_proto::v1;
use tokio::time::{Instant, timeout};

use super::*;
use crate::aggregation::{deaggregate, hash_key};
use crate::fake::{Broker, Fault, World};

const STREAM: &str = "orders";

fn producer(broker: &Broker, set: impl FnOnce(ProducerBuilder) -> ProducerBuilder) -> Producer {
    let builder = Producer::builder(&broker.connection(), STREAM).delivery_timeout(Duration::from_secs(20));
    set(builder).build().expect("is valid")
}

/// Reads all records like a reader of KPL's format, key by key, parents before children.
fn read(world: &World) -> HashMap<String, Vec<String>> {
    let mut read: HashMap<String, Vec<String>> = HashMap::new();
    let text = |data: &bytes::Bytes| String::from_utf8(data.to_vec()).expect("is text");
    for shard in &world.shards {
        for record in &shard.records {
            let key = record.partition_key.clone().expect("all have keys");
            match deaggregate(&record.data) {
                None => read.entry(key).or_default().push(text(&record.data)),
                Some(parts) => {
                    for part in parts.into_iter().filter(|part| part.belongs_to(&shard.range)) {
                        read.entry(part.partition_key).or_default().push(text(&part.data));
                    }
                }
            }
        }
    }
    read
}

/// A batch is the same each time it is sent, and says that all before it are settled.
fn check_batches(puts: &[v1::PutRequest]) {
    let mut seen: HashMap<(u64, u64), &v1::PutRequest> = HashMap::new();
    for put in puts {
        let producer = put.producer.expect("says who it is");
        assert_ne!(producer.id, 0);
        assert_eq!(producer.settled_below, producer.batch, "one batch of a lane at a time");
        // Numbers may be left out, those of batches that reached no node, and one that was given up may come late.
        let first = seen.entry((producer.id, producer.batch)).or_insert(put);
        assert_eq!(first.records, put.records, "the same records under the same number");
    }
}

async fn send_numbered(producer: &Producer, keys: usize, count: usize) -> Vec<Receipt> {
    let mut receipts = Vec::new();
    for number in 0..count {
        let record = NewRecord::new(format!("key-{}", number % keys), number.to_string());
        receipts.push(producer.send(record).await.expect("is accepted"));
    }
    receipts
}

fn check_all_once_in_order(broker: &Broker, keys: usize, count: usize) {
    let world = broker.world();
    let read = read(&world);
    for key in 0..keys {
        let expected: Vec<String> = (key..count).step_by(keys).map(|number| number.to_string()).collect();
        assert_eq!(read.get(&format!("key-{key}")), Some(&expected), "key {key}");
    }
    check_batches(&world.puts);
}

#[tokio::test]
async fn each_record_is_written_once_and_in_order_despite_failures() {
    let wait = Duration::from_millis(20);
    let plans: [(&str, Vec<Fault>); 6] = [
        ("nothing fails", vec![]),
        ("refused", vec![Fault::Throttled(wait), Fault::Unavailable, Fault::ShardThrottled(0)]),
        ("answers lost", vec![Fault::AnswerLost, Fault::OutcomesLost, Fault::Hangs, Fault::AnswerLost]),
        ("written later", vec![Fault::WrittenLater, Fault::Throttled(wait), Fault::WrittenLater]),
        ("splits", vec![Fault::Split(0), Fault::AnswerLost, Fault::Split(1), Fault::ShardThrottled(2)]),
        (
            "lost over a split",
            vec![
                Fault::AnswerLost,
                Fault::Split(0),
                Fault::WrittenLater,
                Fault::Split(2),
                Fault::Unavailable,
            ],
        ),
    ];
    for aggregating in [false, true] {
        for (name, faults) in &plans {
            let broker = Broker::start(2, 2);
            broker.world().faults = faults.clone().into();
            let producer = producer(&broker, |builder| {
                let builder = builder.batch_records_max(20);
                if aggregating { builder.aggregate_bytes_max(300) } else { builder }
            });
            let receipts = send_numbered(&producer, 7, 500).await;
            producer.close().await;
            for receipt in receipts {
                receipt.await.unwrap_or_else(|failed| panic!("{name}: {failed}"));
            }
            check_all_once_in_order(&broker, 7, 500);
            assert!(broker.world().faults.is_empty(), "{name}: every fault was met");
        }
    }
}

#[tokio::test]
async fn lanes_follow_splits_and_merges() {
    let broker = Broker::start(1, 2);
    let producer = producer(&broker, |builder| builder.batch_records_max(10).linger(Duration::ZERO));
    let mut receipts = Vec::new();
    for (round, change) in [None, Some((0, 0)), Some((1, 1)), Some((3, 4))].into_iter().enumerate() {
        match change {
            Some((one, other)) if one == other => broker.world().split(one),
            Some((low, high)) => broker.world().merge(low, high),
            None => {}
        }
        for number in 0..60 {
            let text = (round * 60 + number).to_string();
            let record = NewRecord::new(format!("key-{}", number % 6), text);
            receipts.push(producer.send(record).await.expect("is accepted"));
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }
    producer.flush().await;
    for receipt in receipts {
        receipt.await.expect("is written");
    }
    check_all_once_in_order(&broker, 6, 240);
    // Once the shards are known every put is of one again.
    tokio::time::sleep(Duration::from_millis(600)).await;
    let receipts = send_numbered(&producer, 6, 60).await;
    for receipt in receipts {
        receipt.await.expect("is written");
    }
    let last = broker.world().puts.last().expect("some").clone();
    let world = broker.world();
    let shard = |record: &v1::NewRecord| {
        let hash = hash_key(record.partition_key.as_ref().expect("has a key"));
        world.shards.iter().position(|shard| shard.is_open && shard.range.contains(&hash))
    };
    assert!(last.records.iter().all(|record| shard(record) == shard(&last.records[0])));
}

#[tokio::test]
async fn only_the_failed_records_are_tried_again() {
    let broker = Broker::start(1, 1);
    let producer = producer(&broker, |builder| builder.linger(Duration::from_millis(100)));
    send_numbered(&producer, 1, 1).await.pop().expect("one").await.expect("is written");
    // The lane is over both children, until the producer learns of them.
    broker.world().split(0);
    broker.world().faults = [Fault::ShardThrottled(2)].into();
    let mut receipts = Vec::new();
    for number in 0..40_u128 {
        let record = NewRecord::new("k", number.to_string()).explicit_hash_key((number % 2) << 127);
        receipts.push(producer.send(record).await.expect("is accepted"));
    }
    for receipt in receipts {
        receipt.await.expect("is written");
    }
    let world = broker.world();
    let (sent, written): (usize, usize) = (
        world.puts.iter().map(|put| put.records.len()).sum(),
        world.shards.iter().map(|shard| shard.records.len()).sum(),
    );
    assert_eq!((sent, written), (61, 41), "20 were refused, and those alone sent again");
}

#[tokio::test]
async fn the_delivery_timeout_says_whether_the_record_may_be_written() {
    for (fault, may_be_written, reason) in [
        (Fault::Unavailable, false, Reason::Unavailable),
        (Fault::Throttled(Duration::from_millis(1)), false, Reason::Throttled),
        (Fault::AnswerLost, true, Reason::UnknownOutcome),
    ] {
        let broker = Broker::start(1, 1);
        broker.world().faults = std::iter::repeat_n(fault.clone(), 1_000).collect();
        let timeout = Duration::from_millis(400);
        let producer = producer(&broker, |builder| builder.delivery_timeout(timeout));
        let began = Instant::now();
        let receipts = send_numbered(&producer, 3, 10).await;
        for receipt in receipts {
            let failed = receipt.await.expect_err("was never answered well");
            assert_eq!(failed.may_be_written(), may_be_written, "{fault:?}: {failed}");
            assert_eq!(failed.error().reason(), reason, "{fault:?}: {failed}");
        }
        assert!(began.elapsed() >= timeout && began.elapsed() < timeout * 4, "{:?}", began.elapsed());
        // Later records are written, and the records that were given up do not come back.
        broker.world().faults.clear();
        let next = producer.send(NewRecord::new("key-0", "next")).await.expect("is accepted");
        next.await.expect("is written");
    }
}

#[tokio::test]
async fn bytes_in_the_buffer_are_bounded() {
    let broker = Broker::start(1, 1);
    broker.world().faults = std::iter::repeat_n(Fault::Unavailable, 1_000).collect();
    let producer = producer(&broker, |builder| {
        builder.buffer_bytes_max(1 << 16).delivery_timeout(Duration::from_millis(300))
    });
    let mut accepted = Vec::new();
    let wait = Duration::from_millis(50);
    while let Ok(receipt) = timeout(wait, producer.send(NewRecord::new("k", vec![0; 10_000]))).await {
        accepted.push(receipt.expect("is valid"));
        assert!(accepted.len() < 100, "no bound");
    }
    assert_eq!(accepted.len(), (1 << 16) / (10_001 + RECORD_OVERHEAD_BYTES));
    // There is room again once they are given up, and a cancelled send took none of it.
    for receipt in accepted {
        receipt.await.expect_err("is never taken");
    }
    broker.world().faults.clear();
    // A machine that is busy may take longer for it than the delivery timeout.
    let written = async {
        loop {
            let larger = producer.send(NewRecord::new("k", vec![0; 15_000])).await.expect("there is room");
            match larger.await {
                Ok(_) => return,
                Err(failed) => assert_eq!(failed.error().reason(), Reason::Unavailable, "{failed}"),
            }
        }
    };
    timeout(Duration::from_secs(30), written).await.expect("is written");
}

#[tokio::test]
async fn an_invalid_record_fails_alone() {
    let broker = Broker::start(1, 1);
    let producer = producer(&broker, |builder| builder.linger(Duration::from_millis(100)));
    let mut receipts = Vec::new();
    for number in 0..50 {
        let data = if number == 33 { vec![b'x'; 30_000] } else { number.to_string().into_bytes() };
        receipts.push(producer.send(NewRecord::new("key-0", data)).await.expect("is accepted"));
    }
    for (number, receipt) in receipts.into_iter().enumerate() {
        match receipt.await {
            Ok(_) => assert_ne!(number, 33),
            Err(failed) => {
                assert_eq!((number, failed.error().reason()), (33, Reason::Invalid));
                assert!(!failed.may_be_written());
            }
        }
    }
    let world = broker.world();
    let expected: Vec<String> =
        (0..50).filter(|number| *number != 33).map(|number| number.to_string()).collect();
    assert_eq!(read(&world)["key-0"], expected);
    check_batches(&world.puts);
}

#[tokio::test]
async fn records_wait_for_others_until_the_batch_is_full_or_flushed() {
    let broker = Broker::start(1, 1);
    let producer = producer(&broker, |builder| {
        builder.linger(Duration::from_secs(30)).batch_records_max(100).batch_bytes_max(5_000)
    });
    let receipts = send_numbered(&producer, 1, 150).await;
    timeout(Duration::from_secs(5), producer.flush()).await.expect("does not wait for the linger");
    let sizes: Vec<usize> = broker.world().puts.iter().map(|put| put.records.len()).collect();
    assert_eq!(sizes, [100, 50]);
    for receipt in receipts {
        assert_eq!(receipt.await.expect("is written").shard_id, "shardId-000000000000");
    }
    let _kept = send_numbered(&producer, 1, 1).await;
    for _ in 0..4 {
        let _kept = producer.send(NewRecord::new("k", vec![0; 2_000])).await.expect("is accepted");
    }
    timeout(Duration::from_secs(5), producer.close()).await.expect("does not wait for the linger");
    let sizes: Vec<usize> = broker.world().puts.iter().skip(2).map(|put| put.records.len()).collect();
    assert_eq!(sizes, [3, 2], "up to 5,000 bytes each");
}

#[tokio::test]
async fn another_node_takes_over() {
    let mut broker = Broker::start(3, 2);
    let producer = producer(&broker, |builder| builder.batch_records_max(10));
    let mut receipts = Vec::new();
    for round in 0..4 {
        for number in 0..100 {
            let text = (round * 100 + number).to_string();
            let record = NewRecord::new(format!("key-{}", number % 5), text);
            receipts.push(producer.send(record).await.expect("is accepted"));
            tokio::task::yield_now().await;
        }
        if round < 2 {
            broker.kill(round);
        }
    }
    producer.close().await;
    for receipt in receipts {
        receipt.await.expect("is written");
    }
    check_all_once_in_order(&broker, 5, 400);
}

#[tokio::test]
async fn records_without_a_key_are_spread() {
    let broker = Broker::start(1, 4);
    let producer = producer(&broker, |builder| builder.aggregate_bytes_max(1_000));
    let mut receipts = Vec::new();
    for number in 0..100_usize {
        receipts.push(producer.send(NewRecord::without_key(number.to_string())).await.expect("is accepted"));
    }
    for receipt in receipts {
        receipt.await.expect("is written");
    }
    let total: usize = broker.world().shards.iter().map(|shard| shard.records.len()).sum();
    assert_eq!(total, 100, "none of them aggregated");
}

#[tokio::test]
async fn requests_name_their_caller() {
    let broker = Broker::start(1, 1);
    let connection = Connection::to([broker.url(0)]).account("123456789012").region("here-1").build();
    let producer = Producer::builder(&connection.expect("is valid"), STREAM).build().expect("is valid");
    producer.send(NewRecord::new("k", "")).await.expect("is accepted").await.expect("is written");
    let caller = ("123456789012".to_owned(), "here-1".to_owned());
    assert_eq!(broker.world().caller, Some(caller));
}

#[test]
fn options_out_of_bounds_are_refused() {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    let _inside = runtime.enter();
    let connection = Connection::to(["http://127.0.0.1:1"]).build().expect("is valid");
    let builder = || Producer::builder(&connection, STREAM);
    let cases = [
        builder().linger(Duration::from_secs(61)),
        builder().batch_records_max(0),
        builder().batch_records_max(501),
        builder().batch_bytes_max(0),
        builder().batch_bytes_max((10 << 20) + 1),
        builder().buffer_bytes_max(1),
        builder().delivery_timeout(Duration::from_millis(99)),
        builder().delivery_timeout(Duration::from_secs(1_801)),
        builder().aggregate_bytes_max(63),
        builder().aggregate_bytes_max(1_000_001),
        Producer::builder(&connection, ""),
    ];
    for case in cases {
        let named = format!("{case:?}");
        assert_eq!(case.build().expect_err(&named).reason(), Reason::Invalid);
    }
    assert!(builder().build().is_ok());
}
