//! A group whose members come, die and go while the stream is resharded under load: every record is processed at least
//! once, and each key's in order.

use std::sync::mpsc;
use std::time::{Duration, Instant};

use tidelog_client::Producer;
use tidelog_proto::v1;

use crate::node::{Node, connection};
use crate::programs::Program;
use crate::records::{Seen, record};

const KEYS: usize = 40;
const COUNT: usize = 4_000;

fn join(node: &Node, texts: &mpsc::Sender<String>) -> Program {
    let mut member = Program::start("run_consume", &["orders", "billing", &node.url]);
    member.follow(texts.clone());
    member
}

#[tokio::test(flavor = "multi_thread")]
async fn members_come_die_and_go_while_the_stream_is_resharded() {
    let node = Node::alone();
    node.create("orders", 3).await;
    let (sender, texts) = mpsc::channel();
    let mut members = vec![join(&node, &sender), join(&node, &sender)];

    let producer = Producer::builder(&connection(std::slice::from_ref(&node)), "orders").build();
    let producer = producer.expect("is valid");
    let mut receipts = Vec::new();
    for number in 0..COUNT {
        receipts.push(producer.send(record(number, KEYS)).await.expect("is accepted"));
        tokio::time::sleep(Duration::from_millis(2)).await;
        match number {
            800 => members.push(join(&node, &sender)),
            1_600 => {
                let request = v1::UpdateShardCountRequest { stream: "orders".into(), target: 5 };
                node.streams().await.update_shard_count(request).await.expect("is resharded");
            }
            2_400 => members[0].kill(),
            _ => {}
        }
    }
    producer.close().await;
    for receipt in receipts {
        receipt.await.expect("is written");
    }

    let mut seen = Seen::default();
    let mut distinct = std::collections::HashSet::new();
    let ends = Instant::now() + Duration::from_secs(90);
    while distinct.len() < COUNT {
        let left = ends.saturating_duration_since(Instant::now());
        let Ok(text) = texts.recv_timeout(left) else {
            panic!("{} of {COUNT} were processed", distinct.len());
        };
        seen.take(&text);
        distinct.insert(text);
    }
    seen.check_at_least_once_in_order(COUNT, KEYS);
}
