//! What a client of another kind sends and sees: HTTP/1.1, other forms of messages, and a deadline that only the broker
//! keeps.

use std::time::{Duration, Instant};

use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use hyper::Request;
use hyper::client::conn::http2::handshake;
use hyper_util::rt::{TokioExecutor, TokioIo};
use prost::Message;
use tidelog_proto::v1::*;
use tokio::net::TcpStream;
use tokio::time::timeout;
use tonic::Code;

use super::*;
use crate::broker::PATIENCE;

#[tokio::test]
async fn grpc_is_refused_where_it_cannot_be_spoken() {
    let grpc = Grpc::new(1).await;
    for (content_type, expected) in
        [("application/grpc", 505), ("application/grpc+proto", 505), ("application/grpc-web+proto", 415)]
    {
        let mut client = grpc.broker.client().await;
        let head = "POST /tidelog.v1.Records/Put HTTP/1.1\r\nHost: localhost\r\nContent-Length: 5\r\n";
        client.send(format!("{head}Content-Type: {content_type}\r\n\r\n\0\0\0\0\0")).await;
        let answer = client.answer().await;
        assert_eq!(answer.status, expected, "{answer:?}");
        assert!(answer.body.contains("gRPC is served"), "{answer:?}");
    }
    grpc.stop().await;
}

#[tokio::test]
async fn the_broker_keeps_the_deadline_of_a_client_that_waits_on() {
    let grpc = Grpc::new(1).await;
    let stream = TcpStream::connect(grpc.broker.address()).await.unwrap();
    let (mut sender, connection) = handshake(TokioExecutor::new(), TokioIo::new(stream)).await.unwrap();
    tokio::spawn(connection);
    let message = SubscribeRequest { stream: "S".into(), ..Default::default() }.encode_to_vec();
    let length = u32::try_from(message.len()).unwrap().to_be_bytes();
    let request = Request::post("http://localhost/tidelog.v1.Records/Subscribe")
        .header("content-type", "application/grpc")
        .header("te", "trailers")
        .header("grpc-timeout", "400m")
        .body(Full::new(Bytes::from([&[0][..], &length, &message].concat())))
        .unwrap();
    let began = Instant::now();
    let answer = sender.send_request(request).await.unwrap();
    assert_eq!(
        (answer.status().as_u16(), &answer.headers()["content-type"]),
        (200, &"application/grpc".parse().unwrap())
    );
    let taken = timeout(PATIENCE, answer.into_body().collect()).await.expect("an end in time").unwrap();
    let trailers = taken.trailers().cloned().expect("a status");
    assert!(!taken.to_bytes().is_empty(), "the message that tells where it begins");
    assert_eq!(trailers["grpc-status"], (Code::DeadlineExceeded as i32).to_string());
    assert!((Duration::from_millis(300)..Duration::from_secs(3)).contains(&began.elapsed()));
    drop(sender);
    grpc.stop().await;
}
