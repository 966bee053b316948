//! Requests of web pages and under foreign names: refused before they run, unless a setting admits them.

use hyper::StatusCode;
use tidelog::clock::Clock;
use tidelog::config::{AllowedOrigins, Config, DataLocation};
use tidelog::server::Server;
use tidelog::wire::Bounds;

use crate::broker::{Answer, Broker, config, post_with};

const JSON: &str = "application/x-amz-json-1.1";

async fn broker(origins: &str, public_hosts: &[&str], listen: &str) -> Broker {
    let directory = tempfile::tempdir().unwrap();
    let origins = if origins.is_empty() { AllowedOrigins::default() } else { origins.parse().unwrap() };
    let config = Config {
        origins,
        public_hosts: public_hosts.iter().map(ToString::to_string).collect(),
        listen: vec![listen.parse().unwrap()],
        ..config(DataLocation::Directory(directory.path().join("data")))
    };
    let server = Server::start(&config, Bounds::default(), Clock::System).await.unwrap();
    Broker { server, directory }
}

/// Sends `request`, bytes as given, on a connection of its own.
async fn answered(broker: &Broker, request: String) -> Answer {
    let mut client = broker.client().await;
    client.send(request).await;
    client.answer().await
}

async fn create(broker: &Broker, headers: &str) -> Answer {
    let body = "{\"StreamName\":\"s\",\"ShardCount\":1}";
    answered(broker, post_with("CreateStream", JSON, headers, body)).await
}

async fn streams(broker: &Broker, headers: &str) -> Answer {
    answered(broker, post_with("ListStreams", JSON, headers, "{}")).await
}

fn preflight(origin: &str) -> String {
    format!(
        "OPTIONS / HTTP/1.1\r\nHost: localhost\r\nOrigin: {origin}\r\nAccess-Control-Request-Method: POST\r\n\
         Access-Control-Request-Headers: x-amz-target,content-type,authorization\r\n\r\n"
    )
}

fn get(path: &str, headers: &str) -> String {
    format!("GET {path} HTTP/1.1\r\n{headers}\r\n")
}

#[tokio::test]
async fn a_page_of_a_foreign_origin_is_refused_before_its_request_runs() {
    let broker = broker("", &[], "127.0.0.1:0").await;
    for origin in ["https://evil.example", "null", "http://localhost.evil.example"] {
        let refused = create(&broker, &format!("Origin: {origin}\r\n")).await;
        assert_eq!(refused.status, 403, "{refused:?}");
        assert!(refused.body.contains("--cors names the origins that may"), "{refused:?}");
        assert_eq!(refused.header("access-control-allow-origin"), None);
        let refused = answered(&broker, preflight(origin)).await;
        assert_eq!((refused.status, refused.header("access-control-allow-headers")), (403, None));
        let page = get("/metrics", &format!("Host: localhost\r\nOrigin: {origin}\r\n"));
        assert_eq!(answered(&broker, page).await.status, 403);
    }
    assert!(streams(&broker, "").await.body.contains("\"StreamNames\":[]"));
    broker.stop().await;
}

#[tokio::test]
async fn an_allowed_origin_is_answered_by_its_name() {
    let local = broker("", &[], "127.0.0.1:0").await;
    let listed = broker("https://app.example", &[], "127.0.0.1:0").await;
    for (broker, origin) in [(&local, "http://localhost:3000"), (&listed, "https://app.example")] {
        let answer = answered(broker, preflight(origin)).await;
        assert_eq!((answer.status, answer.body.as_str()), (200, ""));
        assert_eq!(answer.header("access-control-allow-origin"), Some(origin));
        assert_eq!(answer.header("access-control-allow-methods"), Some("POST"));
        let headers = "x-amz-target,content-type,authorization";
        assert_eq!(answer.header("access-control-allow-headers"), Some(headers));
        assert_eq!(answer.header("access-control-max-age"), Some("172800"));
        let answer = streams(broker, &format!("Origin: {origin}\r\n")).await;
        assert_eq!(answer.header("access-control-allow-origin"), Some(origin));
        assert_eq!(answer.header("vary"), Some("origin"));
        assert_eq!(
            answer.header("access-control-expose-headers"),
            Some("x-amzn-RequestId,x-amzn-ErrorType,x-amz-request-id,x-amz-id-2,x-amzn-ErrorMessage,Date")
        );
    }
    local.stop().await;
    listed.stop().await;
}

#[tokio::test]
async fn every_origin_passes_where_the_setting_says_so() {
    let broker = broker("*", &[], "127.0.0.1:0").await;
    for origin in ["https://example.com", "null"] {
        let answer = streams(&broker, &format!("Origin: {origin}\r\n")).await;
        assert_eq!((answer.status, answer.header("access-control-allow-origin")), (200, Some("*")));
    }
    broker.stop().await;
}

#[tokio::test]
async fn a_foreign_name_is_refused_on_the_loopback_interface_alone() {
    let foreign = "Host: evil.example\r\n";
    let loopback = broker("", &["proxy.example"], "127.0.0.1:0").await;
    let refused = answered(&loopback, get("/health", foreign)).await;
    assert_eq!(refused.status, 403, "{refused:?}");
    assert!(refused.body.contains("--public-host"), "{refused:?}");
    for own in
        ["Host: proxy.example\r\n", "Host: 127.0.0.1\r\n", "Host: kinesis.us-east-1.amazonaws.com\r\n", ""]
    {
        assert_eq!(answered(&loopback, get("/health", own)).await.status, 200, "{own}");
    }
    loopback.stop().await;

    let everywhere = broker("", &[], "0.0.0.0:0").await;
    assert_eq!(answered(&everywhere, get("/health", foreign)).await.status, 200);
    everywhere.stop().await;
}

#[tokio::test]
async fn two_hosts_are_none() {
    let broker = broker("", &[], "127.0.0.1:0").await;
    for request in [
        get("/health", "Host: localhost\r\nHost: localhost\r\n"),
        get("http://localhost/health", "Host: 127.0.0.1\r\n"),
    ] {
        assert_eq!(answered(&broker, request).await.status, 400);
    }
    let absolute = get("http://evil.example/health", "Host: evil.example\r\n");
    assert_eq!(answered(&broker, absolute).await.status, 403);
    broker.stop().await;
}

#[tokio::test]
async fn http2_names_its_host_by_the_authority() {
    let broker = broker("", &[], "127.0.0.1:0").await;
    for (uri, host, expected) in [
        ("http://evil.example/health", None, StatusCode::FORBIDDEN),
        ("http://localhost/health", Some("evil.example"), StatusCode::BAD_REQUEST),
        ("http://localhost/health", None, StatusCode::OK),
    ] {
        let mut sender = crate::http2::connect(&broker).await;
        let request = hyper::Request::get(uri);
        let request = host.into_iter().fold(request, |request, host| request.header("host", host));
        let answer = sender.send_request(request.body(Default::default()).unwrap()).await.unwrap();
        assert_eq!(answer.status(), expected, "{uri} {host:?}");
    }
    broker.stop().await;
}
