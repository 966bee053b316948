//! HTTP/2 with prior knowledge on the same port.

use crate::broker::{Broker, NO_STREAMS, PATIENCE};
use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use hyper::client::conn::http2::{SendRequest, handshake};
use hyper::{Request, Response, StatusCode, Version};
use hyper_util::rt::{TokioExecutor, TokioIo};
use tokio::net::TcpStream;
use tokio::time::timeout;

pub async fn connect(broker: &Broker) -> SendRequest<Full<Bytes>> {
    let stream = TcpStream::connect(broker.address()).await.unwrap();
    let (sender, connection) = handshake(TokioExecutor::new(), TokioIo::new(stream)).await.unwrap();
    tokio::spawn(connection);
    sender
}

fn request(body: impl Into<Bytes>) -> Request<Full<Bytes>> {
    Request::post("http://localhost/")
        .header("x-amz-target", "Kinesis_20131202.ListStreams")
        .header("content-type", "application/x-amz-json-1.1")
        .body(Full::new(body.into()))
        .unwrap()
}

async fn text(answer: Response<hyper::body::Incoming>) -> String {
    String::from_utf8(answer.into_body().collect().await.unwrap().to_bytes().to_vec()).unwrap()
}

#[tokio::test]
async fn many_streams_of_one_connection_are_answered() {
    let broker = Broker::start().await;
    let sender = connect(&broker).await;
    let mut calls = tokio::task::JoinSet::new();
    for _ in 0..100 {
        let mut sender = sender.clone();
        calls.spawn(async move { sender.send_request(request("{}")).await.unwrap() });
    }
    let mut answered = 0;
    while let Some(answer) = timeout(PATIENCE, calls.join_next()).await.unwrap() {
        let answer = answer.unwrap();
        assert_eq!((answer.status(), answer.version()), (StatusCode::OK, Version::HTTP_2));
        let headers = answer.headers().clone();
        let body = text(answer).await;
        assert!(body.contains(NO_STREAMS), "{body}");
        assert_eq!(headers["content-length"], body.len().to_string());
        assert!(headers.contains_key("date") && headers.contains_key("x-amzn-requestid"));
        answered += 1;
    }
    assert_eq!(answered, 100);
    drop(sender);
    broker.stop().await;
}

#[tokio::test]
async fn an_empty_answer_says_so() {
    let broker = Broker::start().await;
    let mut sender = connect(&broker).await;
    let preflight = Request::options("http://localhost/").header("origin", "https://localhost");
    let answer = sender.send_request(preflight.body(Full::default()).unwrap()).await.unwrap();
    assert_eq!((answer.status(), answer.headers()["content-length"].as_bytes()), (StatusCode::OK, &b"0"[..]));
    assert!(answer.headers().contains_key("content-type"));
    assert_eq!(text(answer).await, "");
    drop(sender);
    broker.stop().await;
}

#[tokio::test]
async fn a_body_past_the_bound_is_413_and_the_connection_goes_on() {
    let broker = Broker::start().await;
    let mut sender = connect(&broker).await;
    let answer = timeout(PATIENCE, sender.send_request(request(vec![b' '; 21 * 1024 * 1024]))).await.unwrap();
    let answer = answer.unwrap();
    assert_eq!(answer.status(), StatusCode::PAYLOAD_TOO_LARGE);
    assert!(text(answer).await.contains("\"__type\""));
    let answer = timeout(PATIENCE, sender.send_request(request("{}"))).await.unwrap().unwrap();
    assert_eq!(answer.status(), StatusCode::OK);
    drop(sender);
    broker.stop().await;
}

#[tokio::test]
async fn a_stopping_broker_says_goodbye_to_open_connections() {
    let broker = Broker::start().await;
    let mut sender = connect(&broker).await;
    assert_eq!(sender.send_request(request("{}")).await.unwrap().status(), StatusCode::OK);
    let began = std::time::Instant::now();
    broker.stop().await;
    assert!(began.elapsed() < tidelog::wire::Bounds::default().drain / 2, "{:?}", began.elapsed());
    assert!(sender.send_request(request("{}")).await.is_err());
}

#[tokio::test]
async fn a_large_body_passes() {
    let broker = Broker::start().await;
    let mut sender = connect(&broker).await;
    let mut body = vec![b' '; 15 * 1024 * 1024];
    body.extend_from_slice(b"{}");
    let answer = timeout(PATIENCE, sender.send_request(request(body))).await.unwrap().unwrap();
    assert_eq!(answer.status(), StatusCode::OK);
    drop(sender);
    broker.stop().await;
}
