//! One node: records are produced and consumed, plain and aggregated, by the library and by the example programs.

use std::io::Write;
use std::sync::mpsc;
use std::time::Duration;

use tidelog_client::{Connection, Consumer, NewRecord, Producer, Reader, Reason};
use tokio::time::timeout;

use crate::node::{Node, connection};
use crate::programs::Program;
use crate::records::{Seen, send, text};

const KEYS: usize = 17;

#[tokio::test(flavor = "multi_thread")]
async fn produced_records_are_consumed() {
    let node = Node::alone();
    let connection = connection(std::slice::from_ref(&node));
    for (stream, aggregating) in [("plain", false), ("aggregated", true)] {
        node.create(stream, 3).await;
        let builder = Producer::builder(&connection, stream).batch_records_max(100);
        let builder = if aggregating { builder.aggregate_bytes_max(2_000) } else { builder };
        let producer = builder.build().expect("is valid");
        let receipts = send(&producer, 0..3_000, KEYS).await;
        producer.close().await;
        for receipt in receipts {
            assert!(receipt.await.expect("is written").shard_id.starts_with("shardId-"));
        }
        Seen::read(&connection, stream).await.check_once_in_order(3_000, KEYS);

        let mut consumer = Consumer::builder(&connection, stream, "billing").build().expect("is valid");
        let mut seen = Seen::default();
        let mut count = 0;
        while count < 3_000 {
            let batch = timeout(Duration::from_secs(30), consumer.next()).await.expect("something comes");
            for record in batch.expect("it goes well").records() {
                seen.take(std::str::from_utf8(&record.data).expect("text"));
                count += 1;
            }
        }
        consumer.close().await;
        seen.check_once_in_order(3_000, KEYS);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_reasons_of_the_broker_arrive() {
    let node = Node::alone();
    let connection = connection(std::slice::from_ref(&node));
    let producer = Producer::builder(&connection, "nowhere").build().expect("is valid");
    let failed = producer.send(NewRecord::new("k", "")).await.expect("is accepted").await;
    let failed = failed.expect_err("there is no such stream");
    assert_eq!((failed.may_be_written(), failed.error().reason()), (false, Reason::NotFound), "{failed}");

    node.create("orders", 1).await;
    let producer = Producer::builder(&connection, "orders").linger(Duration::from_millis(200));
    let producer = producer.batch_bytes_max(10 << 20).build().expect("is valid");
    // Beyond the stream's record size, among others that are not.
    let mut receipts = Vec::new();
    for bytes in [1, 2 << 20, 1] {
        receipts.push(producer.send(NewRecord::new("k", vec![b'x'; bytes])).await.expect("is accepted"));
    }
    let mut outcomes = Vec::new();
    for receipt in receipts {
        outcomes.push(receipt.await.map_err(|failed| failed.error().reason()).map(drop));
    }
    assert_eq!(outcomes, [Ok(()), Err(Reason::Invalid), Ok(())]);
}

#[tokio::test(flavor = "multi_thread")]
async fn tls_is_trusted_by_the_ca_of_the_broker() {
    let data = tempfile::tempdir().expect("a directory");
    let (node, ca_pem) = Node::with_tls(data.path());
    node.create("orders", 1).await;
    let url = node.url.replace("http://", "https://");
    let trusting = Connection::to([url.clone()]).ca_pem(ca_pem).build().expect("is a CA");
    let producer = Producer::builder(&trusting, "orders").build().expect("is valid");
    producer.send(NewRecord::new("k", "")).await.expect("is accepted").await.expect("is written");

    let suspicious = Connection::to([url]).build().expect("is valid");
    let reader = Reader::builder(&suspicious, "orders").give_up_after(Duration::from_millis(200)).build();
    let failed = reader.expect("is valid").next().await.expect_err("the CA is not one of the system's");
    assert_eq!(failed.reason(), Reason::Unavailable, "{failed}");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_example_programs_run() {
    let node = Node::alone();
    node.create("orders", 2).await;
    let mut produce = Program::start("run_produce", &["orders", &node.url]);
    let mut input = produce.input();
    for number in 0..500 {
        writeln!(input, "{}", text(number, KEYS)).expect("it reads");
    }
    drop(input);
    assert!(produce.ends_well());

    let (sender, texts) = mpsc::channel();
    let mut consume = Program::start("run_consume", &["orders", "billing", &node.url]);
    consume.follow(sender);
    let mut seen = Seen::default();
    for _ in 0..500 {
        seen.take(&texts.recv_timeout(Duration::from_secs(30)).expect("all come"));
    }
    seen.check_once_in_order(500, KEYS);
    consume.interrupt();
    assert!(consume.ends_well(), "after an interrupt");
}
