//! Calls that are retried and calls that are not, against a server with scripted answers.

use std::net::{SocketAddr, TcpListener};
use std::time::Instant;

use super::super::operations::{DeleteStream, ListStreams, PutRecords};
use super::*;
use serde_json::json;
use tidelog_testkit::kinesis_endpoint::{Fake, Reply};

fn client_of(address: SocketAddr) -> Client {
    let endpoint = format!("http://{address}").parse().expect("a URL");
    Client::new(Settings::unsigned(endpoint)).expect("no files")
}

fn listed() -> Reply {
    Reply::Answer(200, json!({ "StreamNames": ["clicks"], "HasMoreStreams": false }))
}

fn delete() -> DeleteStream {
    DeleteStream { stream_name: "clicks".into(), enforce_consumer_deletion: false }
}

#[tokio::test]
async fn a_repeatable_call_outlives_throttles_failures_and_cut_connections() {
    let fake = Fake::start(|before, _| match before {
        0 => Reply::exception(400, "LimitExceededException", "Rate exceeded for account"),
        1 => Reply::exception(500, "InternalFailure", ""),
        2 => Reply::HangUp,
        _ => listed(),
    })
    .await;
    let answer = client_of(fake.address).call(&ListStreams::default()).await.expect("the fourth attempt");
    assert_eq!(answer.stream_names, ["clicks"]);
    let calls = fake.calls();
    assert_eq!(calls.len(), 4);
    assert!(calls.iter().all(|call| call.operation == "ListStreams" && call.body == json!({})));
    assert!(calls[0].authorization.contains("/us-east-1/kinesis/aws4_request"), "{}", calls[0].authorization);
}

#[tokio::test]
async fn a_call_that_may_not_be_repeated_is_made_again_only_when_nothing_was_done() {
    for outcome in ["throttle", "cut", "failure"] {
        let fake = Fake::start(move |before, _| match (before, outcome) {
            (0, "throttle") => Reply::exception(400, "LimitExceededException", "Rate exceeded for account"),
            (0, "cut") => Reply::HangUp,
            (0, _) => Reply::exception(500, "InternalFailure", "oh"),
            _ => Reply::Answer(200, serde_json::Value::Null),
        })
        .await;
        let answer = client_of(fake.address).call(&delete()).await;
        let expected = if outcome == "throttle" { 2 } else { 1 };
        assert_eq!((answer.is_ok(), fake.calls().len()), (outcome == "throttle", expected), "{outcome}");
    }
}

#[tokio::test]
async fn an_exception_has_its_name_and_message() {
    let fake = Fake::start(|_, _| {
        Reply::exception(400, "com.amazonaws.kinesis#ResourceNotFoundException", "Stream clicks not found.")
    })
    .await;
    let error = client_of(fake.address).call(&delete()).await.expect_err("refused");
    assert_eq!(error.exception(), Some("ResourceNotFoundException"));
    assert_eq!(
        error.to_string(),
        "DeleteStream was refused: ResourceNotFoundException: Stream clicks not found."
    );
    let foreign = Fake::start(|_, _| Reply::Answer(404, json!("no such page"))).await;
    let error = client_of(foreign.address).call(&delete()).await.expect_err("not Kinesis");
    assert!(matches!(error, KinesisError::Foreign { .. }), "{error}");
    let foreign = Fake::start(|_, _| Reply::Answer(200, json!(["hello"]))).await;
    let error = client_of(foreign.address).call(&ListStreams::default()).await.expect_err("not Kinesis");
    assert!(matches!(error, KinesisError::Foreign { .. }), "{error}");
}

#[tokio::test]
async fn an_endpoint_where_nobody_ever_was_is_given_up_at_once() {
    let address =
        TcpListener::bind("127.0.0.1:0").and_then(|listener| listener.local_addr()).expect("a port");
    let began = Instant::now();
    let put = PutRecords { stream_name: "clicks".into(), records: Vec::new() };
    let error = client_of(address).call(&put).await.expect_err("nobody listens");
    assert!(matches!(error, KinesisError::Unreachable { .. }), "{error}");
    assert!(began.elapsed() < Duration::from_secs(2), "{:?}", began.elapsed());
}

#[tokio::test]
async fn patience_ends() {
    let fake = Fake::start(|_, _| Reply::exception(503, "ServiceUnavailable", "")).await;
    let client = client_of(fake.address).with_patience(Duration::from_millis(300));
    let error = client.call(&ListStreams::default()).await.expect_err("it never works");
    assert!(matches!(error, KinesisError::Refused { status: 503, .. }), "{error}");
    assert!(fake.calls().len() >= 2);
}
