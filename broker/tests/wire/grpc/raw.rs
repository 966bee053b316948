//! Clients of other kinds: HTTP/1.1, other forms of messages, and a deadline that only the broker keeps.

use std::time::{Duration, Instant};

use bytes::Bytes;
use futures_util::stream;
use http_body_util::{BodyExt, Full, StreamBody};
use hyper::Request;
use hyper::body::{Body, Frame};
use hyper::client::conn::http2::{SendRequest, handshake};
use hyper_util::rt::{TokioExecutor, TokioIo};
use prost::Message;
use tidelog_proto::v1::*;
use tokio::net::TcpStream;
use tokio::time::timeout;
use tonic::{Code, Status};

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

/// A connection without a client of gRPC on it.
async fn connected<B>(grpc: &Grpc) -> SendRequest<B>
where
    B: Body<Data = Bytes, Error: Into<Box<dyn std::error::Error + Send + Sync>>> + Send + Unpin + 'static,
{
    let stream = TcpStream::connect(grpc.broker.address()).await.unwrap();
    let (sender, connection) = handshake(TokioExecutor::new(), TokioIo::new(stream)).await.unwrap();
    tokio::spawn(connection);
    sender
}

#[tokio::test]
async fn the_broker_keeps_the_deadline_of_a_client_that_waits_on() {
    let grpc = Grpc::new(1).await;
    let mut sender = connected(&grpc).await;
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

/// A message as it stands in a body, its flag first.
fn framed(flag: u8, message: &[u8]) -> Vec<u8> {
    let length = u32::try_from(message.len()).unwrap().to_be_bytes();
    [&[flag][..], &length, message].concat()
}

#[tokio::test]
async fn messages_of_a_put_stream_are_read_in_any_frames_and_refused_when_malformed() {
    let grpc = Grpc::new(1).await;
    let mut sender = connected(&grpc).await;
    let records = vec![record("key", vec![7; 100]), record("other", "x")];
    let message = PutStreamRequest { stream: "S".into(), records, ..Default::default() }.encode_to_vec();
    let whole = framed(0, &message);
    let mut not_text = whole.clone();
    let key = whole.windows(3).position(|three| three == b"key").unwrap();
    not_text[key] = 0xFF;
    let unknown = Code::InvalidArgument;
    for (body, part, header, answered, code) in [
        (whole.repeat(3), 7, ("te", "trailers"), 3, Code::Ok),
        (whole.repeat(3), usize::MAX, ("te", "trailers"), 3, Code::Ok),
        (vec![], usize::MAX, ("grpc-encoding", "identity"), 0, Code::Ok),
        ([&whole[..], &framed(1, &message)].concat(), 50, ("te", "trailers"), 1, unknown),
        ([&whole[..], &not_text].concat(), usize::MAX, ("te", "trailers"), 1, unknown),
        (whole[..whole.len() - 1].to_vec(), usize::MAX, ("te", "trailers"), 0, unknown),
        (framed(0, b""), usize::MAX, ("te", "trailers"), 0, unknown),
        (whole.clone(), usize::MAX, ("grpc-encoding", "gzip"), 0, Code::Unimplemented),
    ] {
        let part = part.min(body.len()).max(1);
        let frames: Vec<_> = body
            .chunks(part)
            .map(|part| Ok::<_, Status>(Frame::data(Bytes::copy_from_slice(part))))
            .collect();
        let request = Request::post("http://localhost/tidelog.v1.Records/PutStream")
            .header("content-type", "application/grpc+proto")
            .header(header.0, header.1)
            .body(StreamBody::new(stream::iter(frames)))
            .unwrap();
        let answer =
            timeout(PATIENCE, sender.send_request(request)).await.expect("an answer in time").unwrap();
        let headers = answer.headers().clone();
        let taken = timeout(PATIENCE, answer.into_body().collect()).await.expect("an end in time").unwrap();
        let told = taken.trailers().cloned().unwrap_or(headers);
        let case = format!("{answered} {code:?} {told:?}");
        assert_eq!(told["grpc-status"], (code as i32).to_string(), "{case}");
        assert_eq!(told.contains_key("grpc-accept-encoding"), code == Code::Unimplemented, "{case}");
        let (mut rest, mut messages) = (taken.to_bytes(), 0);
        while !rest.is_empty() {
            let length = u32::from_be_bytes(rest[1..5].try_into().unwrap()) as usize;
            let response = PutStreamResponse::decode(&rest[5..5 + length]).unwrap();
            assert_eq!((response.position, response.results.len()), (messages, 2), "{case}");
            messages += 1;
            rest = rest.split_off(5 + length);
        }
        assert_eq!(messages, answered, "{case}");
    }
    drop(sender);
    grpc.stop().await;
}

#[tokio::test]
async fn a_put_is_one_message_and_empty_records_are_counted_before_they_are_read() {
    let grpc = Grpc::new(1).await;
    let mut sender = connected(&grpc).await;
    let message = PutRequest { stream: "S".into(), records: vec![record("k", "x")], producer: None };
    let whole = framed(0, &message.encode_to_vec());
    // Seven million.
    let empty = framed(0, &[0x12, 0].repeat(7 << 20));
    let cut = whole[..whole.len() - 1].to_vec();
    for (call, body, code, words) in [
        ("Put", whole.clone(), Code::Ok, ""),
        ("Put", vec![], Code::InvalidArgument, "one message"),
        ("Put", cut, Code::InvalidArgument, "is incomplete"),
        ("Put", framed(1, &whole), Code::InvalidArgument, "encoded"),
        ("Put", framed(0, &[0x12, 5]), Code::InvalidArgument, "cannot be read"),
        ("Put", empty.clone(), Code::InvalidArgument, "1 to 500 records. This one has 7340032"),
        ("PutStream", empty, Code::InvalidArgument, "1 to 500 records. This one has 7340032"),
    ] {
        let request = Request::post(format!("http://localhost/tidelog.v1.Records/{call}"))
            .header("content-type", "application/grpc")
            .body(StreamBody::new(stream::iter([Ok::<_, Status>(Frame::data(Bytes::from(body)))])))
            .unwrap();
        let answer =
            timeout(PATIENCE, sender.send_request(request)).await.expect("an answer in time").unwrap();
        let headers = answer.headers().clone();
        let taken = timeout(PATIENCE, answer.into_body().collect()).await.expect("an end in time").unwrap();
        let status = Status::from_header_map(taken.trailers().unwrap_or(&headers)).expect("a status");
        assert_eq!(status.code(), code, "{words}: {status:?}");
        assert!(status.message().replace("%20", " ").contains(words), "{words}: {status:?}");
        if code == Code::Ok {
            let response = PutResponse::decode(&taken.to_bytes()[5..]).unwrap();
            assert_eq!(response.results.len(), 1);
        }
    }
    drop(sender);
    grpc.stop().await;
}
