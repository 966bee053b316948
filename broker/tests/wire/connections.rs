//! Connections past the bound and connections that nobody uses: which ones go, and which pages are served all the
//! same.

use std::time::Duration;

use http_body_util::Full;
use hyper::client::conn::http2::handshake;
use hyper::{Request, StatusCode};
use hyper_util::rt::{TokioExecutor, TokioIo};
use tidelog::wire::Bounds;
use tokio::net::TcpStream;
use tokio::time::timeout;

use crate::broker::{Broker, PATIENCE, post};

const HALF: &str = "POST / HTTP/1.1\r\nHost: localhost\r\nX-Amz-Target: Kinesis_20131202.ListStreams\r\n\
                    Content-Type: application/x-amz-json-1.1\r\nContent-Length: 2\r\n\r\n{";

#[tokio::test]
async fn past_the_bound_the_longest_idle_goes() {
    let broker = Broker::start_with(Bounds { connections_max: 2, ..Bounds::default() }).await;
    let mut idle = broker.client().await;
    idle.send(&post("ListStreams", "{}")).await;
    assert_eq!(idle.answer().await.status, 200);
    let mut busy = broker.client().await;
    busy.send(HALF).await;
    tokio::time::sleep(Duration::from_millis(100)).await;
    let mut newcomer = broker.client().await;
    newcomer.send(&post("ListStreams", "{}")).await;
    assert_eq!(newcomer.answer().await.status, 200);
    idle.assert_closed(PATIENCE).await;
    busy.send("}").await;
    assert_eq!(busy.answer().await.status, 200);
    broker.stop().await;
}

#[tokio::test]
async fn past_the_bound_of_busy_connections_pages_are_served_and_calls_are_refused() {
    let broker = Broker::start_with(Bounds { connections_max: 1, ..Bounds::default() }).await;
    let mut busy = broker.client().await;
    busy.send(HALF).await;
    tokio::time::sleep(Duration::from_millis(100)).await;
    for page in ["/health", "/metrics"] {
        let mut probe = broker.client().await;
        probe.send(&format!("GET {page} HTTP/1.1\r\nHost: localhost\r\n\r\n")).await;
        let answer = probe.answer().await;
        assert_eq!((answer.status, answer.header("connection")), (200, Some("close")), "{page}");
    }
    for (operation, status) in [("ListStreams", 503), ("PutRecord", 400)] {
        let mut refused = broker.client().await;
        refused.send(&post(operation, "{}")).await;
        let answer = refused.answer().await;
        assert_eq!(answer.status, status, "{answer:?}");
        assert!(answer.body.contains("no room for further connections"), "{answer:?}");
    }
    busy.send("}").await;
    assert_eq!(busy.answer().await.status, 200);
    broker.stop().await;
}

#[tokio::test]
async fn a_connection_of_http2_that_nobody_uses_is_closed() {
    let idle = Duration::from_millis(400);
    let broker = Broker::start_with(Bounds { idle, ..Bounds::default() }).await;
    let stream = TcpStream::connect(broker.address()).await.unwrap();
    let (mut sender, connection) = handshake(TokioExecutor::new(), TokioIo::new(stream)).await.unwrap();
    let connection = tokio::spawn(connection);
    let request = Request::get("http://localhost/health").body(Full::<bytes::Bytes>::default()).unwrap();
    assert_eq!(sender.send_request(request).await.unwrap().status(), StatusCode::OK);
    timeout(PATIENCE, connection).await.expect("it is closed").unwrap().unwrap();
    drop(sender);
    broker.assert_well().await;
    broker.stop().await;
}
