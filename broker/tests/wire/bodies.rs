//! Memory for request bodies: only bytes that have come are charged, a body that finds no room is refused so that
//! its client sees it, and a slow one delays no other.

use std::time::Duration;

use tidelog::room::{Class, LARGEST_BODY_BYTES, Shares};
use tidelog::wire::Bounds;
use tokio::time::timeout;

use crate::broker::{Broker, Client, NO_STREAMS, post};

const MIB: usize = 1 << 20;

/// A pool with that many MiB beside its reserve and the part for small charges.
fn bounds(mib: usize) -> Bounds {
    let bytes = (LARGEST_BODY_BYTES + mib * MIB) * 8 / 7;
    Bounds::within(&Shares::default().with(Class::Bodies, bytes))
}

fn head(operation: &str, length: usize) -> String {
    format!(
        "POST / HTTP/1.1\r\nHost: localhost\r\nX-Amz-Target: Kinesis_20131202.{operation}\r\n\
         Content-Type: application/x-amz-json-1.1\r\nContent-Length: {length}\r\n\r\n"
    )
}

/// A body of ListStreams with that many bytes.
fn padded(length: usize) -> String {
    format!("{{{}}}", " ".repeat(length - 2))
}

/// Connections that have sent so much of a body of 20 MiB, and send no more.
async fn holders(broker: &Broker, count: usize, bytes: usize) -> Vec<Client> {
    let mut holders = Vec::new();
    for _ in 0..count {
        let mut client = broker.client().await;
        client.send(&(head("ListStreams", LARGEST_BODY_BYTES) + &" ".repeat(bytes))).await;
        holders.push(client);
    }
    holders
}

#[tokio::test]
async fn an_announcement_takes_no_room() {
    let broker = Broker::start_with(bounds(8)).await;
    let announced = holders(&broker, 20, 1).await;
    for length in [100, 60_000, 13 * MIB] {
        let mut client = broker.client().await;
        client.send(&(head("ListStreams", length) + &padded(length))).await;
        let answer = client.answer().await;
        assert!(answer.status == 200 && answer.body.contains(NO_STREAMS), "{length}: {answer:?}");
    }
    drop(announced);
    broker.stop().await;
}

#[tokio::test]
async fn large_bodies_finish_one_after_the_other_in_a_full_room() {
    let broker = Broker::start_with(bounds(3)).await;
    // They fill all but the reserve.
    let holders = holders(&broker, 3, MIB).await;
    let calls = (0..4).map(|_| async {
        let mut client = broker.client().await;
        client.send(&(head("ListStreams", 13 * MIB) + &padded(13 * MIB))).await;
        client.answer().await.status
    });
    let statuses = futures_util::future::join_all(calls).await;
    assert!(statuses.iter().all(|status| [200, 503].contains(status)), "{statuses:?}");
    assert!(statuses.contains(&200), "{statuses:?}");
    let mut small = broker.client().await;
    small.send(&(head("ListStreams", 60_000) + &padded(60_000))).await;
    assert_eq!(small.answer().await.status, 200);
    drop(holders);
    broker.stop().await;
}

#[tokio::test]
async fn a_refusal_for_lack_of_room_is_read_and_puts_are_throttled() {
    // No client is disconnected for being slow: one of the holders has the reserve until the test is over.
    let broker = Broker::start_with(Bounds { pace: Duration::from_secs(300), ..bounds(3) }).await;
    let holders = holders(&broker, 4, 2 * MIB).await;
    let refused = [
        ("PutRecords", 400, "ProvisionedThroughputExceededException"),
        ("ListStreams", 503, "ServiceUnavailable"),
    ];
    let refused = refused.map(|(operation, status, exception)| {
        let broker = &broker;
        async move {
            let mut client = broker.client().await;
            client.send(&(head(operation, 13 * MIB) + &padded(13 * MIB))).await;
            let answer = client.answer().await;
            assert!(answer.status == status && answer.body.contains(exception), "{operation}: {answer:?}");
            assert!(answer.body.contains("no room for further request bodies"), "{operation}: {answer:?}");
            assert_eq!(answer.header("connection"), Some("close"), "{operation}");
        }
    });
    futures_util::future::join_all(refused).await;
    drop(holders);
    broker.stop().await;
}

#[tokio::test]
async fn slow_bodies_are_cut_only_where_room_is_short() {
    for (mib, is_cut) in [(3, true), (64, false)] {
        let bounds = Bounds { pace: Duration::from_millis(500), ..bounds(mib) };
        let broker = Broker::start_with(bounds).await;
        let mut slow = holders(&broker, 1, 2 * MIB).await.remove(0);
        let mut answer = None;
        for _ in 0..40 {
            slow.try_send(" ").await;
            answer = timeout(Duration::from_millis(100), slow.answer()).await.ok();
            if answer.is_some() {
                break;
            }
        }
        assert_eq!(answer.map(|answer| answer.status), is_cut.then_some(408), "{mib}");
        let mut client = broker.client().await;
        client.send(&post("ListStreams", "{}")).await;
        assert_eq!(client.answer().await.status, 200);
        broker.stop().await;
    }
}
