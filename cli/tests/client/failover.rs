//! A producer whose nodes die: nothing is lost, nothing is there twice, each key is in order.

use std::time::Duration;

use tidelog_client::Producer;

use crate::node::{Node, connection};
use crate::records::{Seen, record};

const KEYS: usize = 23;
const COUNT: usize = 6_000;

#[tokio::test(flavor = "multi_thread")]
async fn the_death_of_a_leader_neither_loses_nor_doubles() {
    let (_data, mut nodes) = Node::cluster();
    // The stream's shards are in groups that all three nodes lead.
    nodes[0].create("orders", 6).await;
    let connection = connection(&nodes);
    let producer = Producer::builder(&connection, "orders").build().expect("is valid");
    let mut receipts = Vec::new();
    for number in 0..COUNT {
        receipts.push(producer.send(record(number, KEYS)).await.expect("is accepted"));
        if number % 4 == 0 {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        if number == COUNT / 3 {
            nodes[0].kill();
        }
    }
    producer.close().await;
    for receipt in receipts {
        receipt.await.expect("is written, by one of the two that are left");
    }
    Seen::read(&connection, "orders").await.check_once_in_order(COUNT, KEYS);
}
