//! Heads of requests and windows of HTTP/2: how much a client may send before anybody has taken anything.

use std::time::Duration;

use bytes::Bytes;
use http_body_util::Full;
use hyper::client::conn::http2::handshake;
use hyper::{Request, StatusCode};
use hyper_util::rt::{TokioExecutor, TokioIo};
use tidelog::room::Shares;
use tidelog::wire::Bounds;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;

use crate::broker::{Broker, PATIENCE, post_with};

#[tokio::test]
async fn a_head_past_the_bound_is_431() {
    let broker = Broker::start().await;
    let large = "x".repeat(17 * 1024);
    let mut client = broker.client().await;
    client
        .send(&post_with("ListStreams", "application/x-amz-json-1.1", &format!("X-Large: {large}\r\n"), "{}"))
        .await;
    assert_eq!(client.answer().await.status, 431);
    let fitting = "x".repeat(14 * 1024);
    let mut client = broker.client().await;
    client
        .send(&post_with(
            "ListStreams",
            "application/x-amz-json-1.1",
            &format!("X-Large: {fitting}\r\n"),
            "{}",
        ))
        .await;
    assert_eq!(client.answer().await.status, 200);
    let stream = TcpStream::connect(broker.address()).await.unwrap();
    let (mut sender, connection) = handshake(TokioExecutor::new(), TokioIo::new(stream)).await.unwrap();
    tokio::spawn(connection);
    let request = Request::get("http://localhost/health").header("x-large", &large);
    let answer = sender.send_request(request.body(Full::<Bytes>::default()).unwrap()).await;
    assert_eq!(answer.unwrap().status(), StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE);
    broker.stop().await;
}

/// The initial window of a stream and the increment of the connection's, as the broker tells them.
async fn windows(bounds: Bounds) -> (u32, u32) {
    let broker = Broker::start_with(bounds).await;
    let mut stream = TcpStream::connect(broker.address()).await.unwrap();
    stream.write_all(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0").await.unwrap();
    let (mut of_stream, mut of_connection) = (0, 0);
    while of_stream == 0 || of_connection == 0 {
        let mut head = [0; 9];
        timeout(PATIENCE, stream.read_exact(&mut head)).await.unwrap().unwrap();
        let mut payload = vec![0; u32::from_be_bytes([0, head[0], head[1], head[2]]) as usize];
        timeout(PATIENCE, stream.read_exact(&mut payload)).await.unwrap().unwrap();
        let figure = |bytes: &[u8]| u32::from_be_bytes(bytes.try_into().unwrap());
        match head[3] {
            // SETTINGS: identifiers of two bytes, values of four.
            4 => {
                let setting = payload.chunks(6).find(|setting| setting[..2] == [0, 4]);
                of_stream = setting.map_or(of_stream, |setting| figure(&setting[2..]));
            }
            // WINDOW_UPDATE.
            8 => of_connection = figure(&payload),
            _ => {}
        }
    }
    drop(stream);
    broker.stop().await;
    (of_stream, of_connection + 65_535)
}

#[tokio::test]
async fn windows_are_fixed_and_small() {
    assert_eq!(windows(Bounds::default()).await, (256 << 10, 1 << 20));
    assert_eq!(windows(Bounds::within(&Shares::of(256 << 20))).await, (64 << 10, 256 << 10));
}

#[tokio::test]
async fn a_client_that_never_ends_its_head_is_cut() {
    let idle = Duration::from_millis(300);
    let broker = Broker::start_with(Bounds { idle, ..Bounds::default() }).await;
    let mut client = broker.client().await;
    client.send("POST / HTTP/1.1\r\nHost: localhost\r\nX-Large: ").await;
    client.assert_closed(PATIENCE).await;
    broker.stop().await;
}
