//! HTTP/1.1 at the wire: framing, routes, headers, and the first checks of a call.

use std::time::Duration;

use tidelog::clock::Clock;
use tidelog::config::{Config, DataLocation};
use tidelog::server::Server;
use tidelog::wire::Bounds;

use crate::broker::{Broker, NO_STREAMS, config, get, post, post_with};

#[tokio::test]
async fn a_connection_is_kept_and_each_answer_has_its_headers() {
    let broker = Broker::start().await;
    let mut client = broker.client().await;
    let mut ids = Vec::new();
    for _ in 0..3 {
        client.send(&post("ListStreams", "{}")).await;
        let answer = client.answer().await;
        assert_eq!(answer.status, 200, "{answer:?}");
        assert!(answer.body.contains(NO_STREAMS), "{answer:?}");
        assert_eq!(answer.header("content-type"), Some("application/x-amz-json-1.1"));
        assert!(answer.header("date").is_some_and(|date| date.ends_with(" GMT")));
        assert!(answer.header("x-amz-id-2").is_some_and(|id| id.len() >= 32));
        assert_eq!(answer.header("x-amz-crc32"), None);
        assert_eq!(answer.header("access-control-allow-origin"), None);
        let id = answer.header("x-amzn-requestid").unwrap();
        assert_eq!(uuid::Uuid::parse_str(id).unwrap().get_version_num(), 4);
        ids.push(id.to_owned());
    }
    ids.dedup();
    assert_eq!(ids.len(), 3, "every request has an id of its own");
    broker.stop().await;
}

#[tokio::test]
async fn pipelined_requests_are_answered_in_order() {
    let broker = Broker::start().await;
    let mut client = broker.client().await;
    let both = post("NoSuchOperation", "{}") + &post("ListStreams", "{}");
    client.send(&both).await;
    assert_eq!(client.answer().await.status, 400);
    assert!(client.answer().await.body.contains(NO_STREAMS));
    broker.stop().await;
}

#[tokio::test]
async fn a_request_may_come_byte_by_byte() {
    let broker = Broker::start().await;
    let mut client = broker.client().await;
    client.stream.set_nodelay(true).unwrap();
    for byte in post("ListStreams", "{}").chars() {
        client.send(&byte.to_string()).await;
        tokio::task::yield_now().await;
    }
    assert_eq!(client.answer().await.status, 200);
    broker.stop().await;
}

#[tokio::test]
async fn a_body_may_come_in_chunks() {
    let broker = Broker::start().await;
    let mut client = broker.client().await;
    let head = "POST / HTTP/1.1\r\nHost: localhost\r\nX-Amz-Target: Kinesis_20131202.ListStreams\r\n\
                Content-Type: application/x-amz-json-1.1\r\nTransfer-Encoding: chunked\r\n\r\n";
    client.send(&format!("{head}3\r\n{{\"L\r\n")).await;
    client.send("9\r\nimit\": 5}\r\n0\r\n\r\n").await;
    let answer = client.answer().await;
    assert_eq!(answer.status, 200, "{answer:?}");
    client.send(&post("ListStreams", "{}")).await;
    assert_eq!(client.answer().await.status, 200);
    broker.stop().await;
}

#[tokio::test]
async fn a_client_that_waits_for_100_gets_it() {
    let broker = Broker::start().await;
    let mut client = broker.client().await;
    let request = post_with("ListStreams", "application/x-amz-json-1.1", "Expect: 100-continue\r\n", "{}");
    let (head, body) = request.split_at(request.len() - 2);
    client.send(head).await;
    let mut go_on = [0; 25];
    tokio::io::AsyncReadExt::read_exact(&mut client.stream, &mut go_on).await.unwrap();
    assert_eq!(&go_on, b"HTTP/1.1 100 Continue\r\n\r\n");
    client.send(body).await;
    assert_eq!(client.answer().await.status, 200);
    broker.stop().await;
}

#[tokio::test]
async fn a_malformed_head_is_400_and_ends_the_connection() {
    let broker = Broker::start().await;
    for malformed in
        ["POST / HTTP/1.1\r\nHost: localhost\r\nbad header\r\n\r\n", "\u{16}\u{2}\u{1} not http\r\n\r\n"]
    {
        let mut client = broker.client().await;
        client.send(malformed).await;
        let answer = client.answer().await;
        assert_eq!(answer.status, 400, "{answer:?}");
        client.assert_closed(Duration::from_secs(5)).await;
    }
    broker.assert_well().await;
    broker.stop().await;
}

#[tokio::test]
async fn the_body_is_judged_before_the_target() {
    let broker = Broker::start().await;
    let cases = [
        ("NoSuchOperation", "{}", "UnknownOperationException"),
        ("NoSuchOperation", "{not json", "SerializationException"),
        ("ListStreams", "{not json", "SerializationException"),
        ("ListStreams", "", "SerializationException"),
    ];
    for (operation, body, expected) in cases {
        let mut client = broker.client().await;
        client.send(&post(operation, body)).await;
        let answer = client.answer().await;
        assert_eq!(answer.status, 400, "{operation} {body}");
        assert!(
            answer.body.contains(&format!("\"__type\":\"{expected}\"")),
            "{operation} {body}: {answer:?}"
        );
    }
    broker.stop().await;
}

#[tokio::test]
async fn content_types_decide_the_form_of_the_answer() {
    let broker = Broker::start().await;
    let cases = [
        ("application/x-amz-json-1.1", 200, "application/x-amz-json-1.1", NO_STREAMS),
        ("application/x-amz-json-1.1; charset=UTF-8", 200, "application/x-amz-json-1.1", NO_STREAMS),
        ("application/json", 200, "application/json", NO_STREAMS),
        ("application/x-amz-cbor-1.1", 400, "application/x-amz-cbor-1.1", "SerializationException"),
        ("application/x-www-form-urlencoded", 403, "application/xml", "<AccessDeniedException>"),
    ];
    for (sent, status, received, part) in cases {
        let mut client = broker.client().await;
        client.send(&post_with("ListStreams", sent, "", "{}")).await;
        let answer = client.answer().await;
        assert_eq!((answer.status, answer.header("content-type")), (status, Some(received)), "{sent}");
        assert!(answer.body.contains(part), "{sent}: {answer:?}");
    }
    let mut client = broker.client().await;
    client.send("POST / HTTP/1.1\r\nHost: localhost\r\nContent-Length: 0\r\n\r\n").await;
    let answer = client.answer().await;
    assert_eq!((answer.status, answer.header("content-type")), (404, Some("application/xml")));
    broker.stop().await;
}

/// The services of the port on the page of health.
const SERVICES: &str =
    r#""services":{"cloudwatch":"running","dynamodb":"running","kinesis":"running","sts":"running"}"#;

#[tokio::test]
async fn a_service_that_is_off_is_shown_as_such() {
    let directory = tempfile::tempdir().unwrap();
    let config = config(DataLocation::Directory(directory.path().join("data")));
    let config = Config { lease_tables: false, ..config };
    let server = Server::start(&config, Bounds::default(), Clock::System).await.unwrap();
    let page = get(server.addresses()[0], "/health").await;
    assert!(page.body.contains(r#""dynamodb":"disabled","kinesis":"running""#), "{page:?}");
    server.shutdown().await.unwrap();
}

#[tokio::test]
async fn pages_and_unknown_routes() {
    let broker = Broker::start().await;
    broker.assert_well().await;
    let cases = [
        ("GET", "/health", 200, "\"status\":\"ok\""),
        ("GET", "/health", 200, "\"reasons\":[]"),
        ("GET", "/metrics", 200, "tidelog_groups_led 7"),
        ("GET", "/healthcheck", 200, "\"status\":\"ok\""),
        ("GET", "/_localstack/health", 200, SERVICES),
        ("GET", "/metrics", 200, "tidelog_request_seconds_count{operation=\"ListStreams\",outcome=\"ok\"}"),
        ("GET", "/", 405, "MethodNotAllowed"),
        ("DELETE", "/metrics", 405, "MethodNotAllowed"),
        ("GET", "/elsewhere", 404, "NotFound"),
    ];
    let mut client = broker.client().await;
    for (method, path, status, part) in cases {
        client.send(&format!("{method} {path} HTTP/1.1\r\nHost: localhost\r\n\r\n")).await;
        let answer = client.answer().await;
        assert_eq!(answer.status, status, "{method} {path}");
        assert!(answer.body.contains(part), "{method} {path}: {answer:?}");
    }
    broker.stop().await;
}
