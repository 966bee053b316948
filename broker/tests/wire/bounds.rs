//! Clients that send too much, too slowly, or go away: each is answered or closed, and the broker stays well.

use std::time::{Duration, Instant};

use crate::broker::{Broker, config, post};
use tidelog::server::{Server, StartError};
use tidelog::wire::Bounds;
use tidelog::{clock::Clock, config::DataLocation};

const SHORT: Duration = Duration::from_millis(300);

fn impatient() -> Bounds {
    Bounds { first_bytes: SHORT, idle: SHORT, stall: SHORT, ..Bounds::default() }
}

fn head(length: usize) -> String {
    format!(
        "POST / HTTP/1.1\r\nHost: localhost\r\nX-Amz-Target: Kinesis_20131202.ListStreams\r\n\
         Content-Type: application/x-amz-json-1.1\r\nContent-Length: {length}\r\n\r\n"
    )
}

#[tokio::test]
async fn half_a_request_and_gone() {
    let broker = Broker::start().await;
    let whole = post("ListStreams", "{\"Limit\": 5}");
    for cut in [1, 20, whole.len() - 5] {
        let mut client = broker.client().await;
        client.send(&whole[..cut]).await;
        drop(client);
    }
    broker.assert_well().await;
    broker.stop().await;
}

#[tokio::test]
async fn silence_before_the_first_byte_in_the_preface_or_in_a_head_ends_the_connection() {
    let broker = Broker::start_with(impatient()).await;
    for sent in ["", "PRI * HTTP/2.0\r\n", "POST / HTTP/1.1\r\nHost: lo"] {
        let mut client = broker.client().await;
        client.send(sent).await;
        let mut rest = Vec::new();
        let reading = tokio::io::AsyncReadExt::read_to_end(&mut client.stream, &mut rest);
        let closed = tokio::time::timeout(Duration::from_secs(10), reading).await;
        assert!(closed.is_ok(), "{sent:?} is never closed");
        assert!(rest.is_empty() || rest.starts_with(b"HTTP/1.1 408"), "{sent:?}");
    }
    broker.assert_well().await;
    broker.stop().await;
}

#[tokio::test]
async fn a_body_that_stops_in_the_middle_is_408() {
    let broker = Broker::start_with(impatient()).await;
    let mut client = broker.client().await;
    client.send(&(head(1_000) + "{\"Limit\"")).await;
    let answer = client.answer().await;
    assert_eq!((answer.status, answer.header("connection")), (408, Some("close")), "{answer:?}");
    client.assert_closed(Duration::from_secs(5)).await;
    broker.assert_well().await;
    broker.stop().await;
}

#[tokio::test]
async fn a_body_past_the_bound_is_413_for_a_client_that_sends_all_of_it_first() {
    let broker = Broker::start().await;
    let length = 21 * 1024 * 1024;
    let mut client = broker.client().await;
    client.send(&(head(length) + &" ".repeat(length))).await;
    let answer = client.answer().await;
    assert_eq!(answer.status, 413, "{answer:?}");
    assert_eq!(answer.header("content-type"), Some("application/x-amz-json-1.1"));
    assert!(answer.body.starts_with("{\"__type\":\""), "{answer:?}");
    broker.assert_well().await;
    broker.stop().await;
}

#[tokio::test]
async fn a_chunked_body_past_the_bound_is_413() {
    let broker = Broker::start_with(Bounds { body_bytes_max: 1_000, ..Bounds::default() }).await;
    let mut client = broker.client().await;
    let head = "POST / HTTP/1.1\r\nHost: localhost\r\nX-Amz-Target: Kinesis_20131202.ListStreams\r\n\
                Content-Type: application/x-amz-json-1.1\r\nTransfer-Encoding: chunked\r\n\r\n";
    let chunk = format!("200\r\n{}\r\n", " ".repeat(512));
    client.send(&format!("{head}{chunk}{chunk}{chunk}0\r\n\r\n")).await;
    assert_eq!(client.answer().await.status, 413);
    broker.assert_well().await;
    broker.stop().await;
}

#[tokio::test]
async fn a_client_that_waits_for_100_is_refused_before_it_sends() {
    let broker = Broker::start().await;
    let mut client = broker.client().await;
    let expecting = head(21 * 1024 * 1024).replace("\r\n\r\n", "\r\nExpect: 100-continue\r\n\r\n");
    let asked = Instant::now();
    client.send(&expecting).await;
    assert_eq!(client.answer().await.status, 413);
    assert!(asked.elapsed() < Duration::from_secs(5));
    broker.stop().await;
}

#[tokio::test]
async fn a_stopping_broker_closes_idle_connections_and_cuts_hanging_ones() {
    let broker = Broker::start_with(Bounds { drain: SHORT, ..Bounds::default() }).await;
    let mut idle = broker.client().await;
    idle.send(&post("ListStreams", "{}")).await;
    assert_eq!(idle.answer().await.status, 200);
    let mut hanging = broker.client().await;
    hanging.send(&(head(1_000) + "{")).await;
    tokio::time::sleep(Duration::from_millis(100)).await;
    let address = broker.address();
    let began = Instant::now();
    broker.stop().await;
    assert!(began.elapsed() < Duration::from_secs(8), "{:?}", began.elapsed());
    idle.assert_closed(Duration::from_secs(5)).await;
    let refused = hanging.answer().await;
    assert_eq!(refused.status, 503, "{refused:?}");
    assert!(refused.body.contains("ServiceUnavailable"), "{refused:?}");
    hanging.assert_closed(Duration::from_secs(5)).await;
    assert!(tokio::net::TcpStream::connect(address).await.is_err(), "nothing listens any more");
}

#[tokio::test]
async fn a_stopping_broker_finishes_the_request_in_flight() {
    let broker = Broker::start_with(Bounds { drain: Duration::from_secs(60), ..Bounds::default() }).await;
    let whole = post("ListStreams", "{}");
    let mut client = broker.client().await;
    client.send(&whole[..whole.len() - 1]).await;
    tokio::time::sleep(Duration::from_millis(100)).await;
    let stop = tokio::spawn(broker.stop());
    tokio::time::sleep(Duration::from_millis(200)).await;
    client.send(&whole[whole.len() - 1..]).await;
    assert_eq!(client.answer().await.status, 200);
    client.assert_closed(Duration::from_secs(5)).await;
    stop.await.unwrap();
}

#[tokio::test]
async fn a_client_that_reads_no_answers_is_cut() {
    let broker = Broker::start_with(Bounds { stall: SHORT, ..Bounds::default() }).await;
    broker.assert_well().await;
    let asked = 30_000;
    let (mut reading, mut writing) = broker.client().await.stream.into_split();
    let sending = tokio::spawn(async move {
        let request = "GET /metrics HTTP/1.1\r\nHost: localhost\r\n\r\n".repeat(asked);
        drop(tokio::io::AsyncWriteExt::write_all(&mut writing, request.as_bytes()).await);
        // Kept open: it is the broker that ends the connection.
        writing
    });
    tokio::time::sleep(Duration::from_secs(4)).await;
    let mut received = Vec::new();
    let read = tokio::io::AsyncReadExt::read_to_end(&mut reading, &mut received);
    let end = tokio::time::timeout(Duration::from_secs(15), read).await;
    assert!(end.is_ok(), "the connection is closed");
    let answers = received.windows(15).filter(|window| window == b"HTTP/1.1 200 OK").count();
    assert!((1..asked).contains(&answers), "{answers}");
    drop(sending.await);
    broker.assert_well().await;
    broker.stop().await;
}

#[tokio::test]
async fn one_directory_serves_one_broker_at_a_time() {
    let broker = Broker::start().await;
    let same = config(DataLocation::Directory(broker.server.data_path().into()));
    let refusal = Server::start(&same, Bounds::default(), Clock::System).await.unwrap_err();
    assert!(matches!(refusal, StartError::Directory(_)), "{refusal:?}");
    assert!(refusal.to_string().contains("in use by another tidelog process"), "{refusal}");
    let Broker { server, directory } = broker;
    server.shutdown().await.unwrap();
    let again = Server::start(&same, Bounds::default(), Clock::System).await.unwrap();
    again.shutdown().await.unwrap();
    drop(directory);
}

#[tokio::test]
async fn a_taken_address_is_named() {
    let broker = Broker::start().await;
    let mut taken = config(DataLocation::Ephemeral);
    taken.listen = vec![broker.address()];
    let refusal = Server::start(&taken, Bounds::default(), Clock::System).await.unwrap_err();
    assert!(refusal.to_string().contains(&broker.address().to_string()), "{refusal}");
    broker.stop().await;
}
