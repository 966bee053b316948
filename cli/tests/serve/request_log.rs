//! The form of the log, the lines of requests, and the crates whose lines a level does not concern.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::Duration;

use serde_json::{Value, json};
use tidelog_testkit::process::{Logged, Ran, Running};

use crate::{TIDELOG, tidelog};

const PATIENCE: Duration = Duration::from_secs(60);

/// A request with that target, or for that path; the whole answer.
fn send(address: &str, path: &str, target: Option<&str>, body: &str) -> String {
    let mut stream = TcpStream::connect(address).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    let (method, target) = match target {
        Some(target) => ("POST", format!("X-Amz-Target: {target}\r\n")),
        None => ("GET", String::new()),
    };
    let content_type = "application/x-amz-json-1.1";
    write!(
        stream,
        "{method} {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\nContent-Type: {content_type}\r\n{target}\
         Content-Length: {}\r\n\r\n{body}",
        body.len()
    )
    .unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).expect("an answer in time");
    answer
}

fn kinesis(address: &str, operation: &str, body: &Value) -> String {
    send(address, "/", Some(&format!("Kinesis_20131202.{operation}")), &body.to_string())
}

/// The id that the client sees.
fn request_id(answer: &str) -> &str {
    let header = "x-amzn-requestid: ";
    answer.lines().find_map(|line| line.strip_prefix(header)).unwrap_or_else(|| panic!("no id: {answer}"))
}

fn broker(more: &[&str]) -> Logged {
    Logged::start(tidelog().args(["--ephemeral", "--listen", "127.0.0.1:0"]).args(more))
}

/// The fields of the next line about a request with this part.
fn next(broker: &Logged, part: &str) -> Value {
    let line = broker.wait_for(part);
    let line: Value = serde_json::from_str(&line).unwrap_or_else(|error| panic!("{error}: {line}"));
    assert_eq!((&line["target"], &line["level"]), (&json!("tidelog::requests"), &json!("INFO")), "{line}");
    line["fields"].clone()
}

#[test]
fn each_request_has_a_line_with_the_id_that_its_client_sees() {
    let broker = broker(&["--log-format", "json", "--log-requests", "all", "--log", "warn"]);
    let address = broker.running.address();
    let create = json!({"StreamName": "clicks", "ShardCount": 1});
    let created = kinesis(address, "CreateStream", &create);
    let line = next(&broker, "CreateStream");
    assert_eq!(
        (&line["id"], &line["stream"], &line["status"], &line["caller"], &line["request_bytes"]),
        (
            &request_id(&created).into(),
            &"clicks".into(),
            &200.into(),
            &"127.0.0.1".into(),
            &json!(create.to_string().len())
        ),
    );
    assert_eq!((line.get("error"), &line["bytes"], &line["message"]), (None, &0.into(), &"request".into()));
    assert!(line["duration_ms"].as_f64().unwrap() <= line["total_ms"].as_f64().unwrap(), "{line}");

    let refused = kinesis(address, "DescribeStreamSummary", &json!({"StreamName": "other"}));
    let (_, body) = refused.split_once("\r\n\r\n").unwrap();
    let line = next(&broker, "DescribeStreamSummary");
    assert_eq!(
        (&line["id"], &line["stream"], &line["status"], &line["error"], &line["bytes"]),
        (
            &request_id(&refused).into(),
            &"other".into(),
            &400.into(),
            &"ResourceNotFoundException".into(),
            &json!(body.len())
        ),
    );

    let table = r#"{"TableName": "none"}"#;
    let refused = send(address, "/", Some("DynamoDB_20120810.DescribeTable"), table);
    let line = next(&broker, "DynamoDB.DescribeTable");
    let expected = (&request_id(&refused).into(), &400.into(), &"ResourceNotFoundException".into());
    assert_eq!((&line["id"], &line["status"], &line["error"]), expected);

    let health = send(address, "/health", None, "");
    let line = next(&broker, "GET /health");
    assert_eq!((&line["id"], &line["status"]), (&request_id(&health).into(), &200.into()));

    // The command line puts over the Kinesis protocol, and reads groups over gRPC.
    let url = broker.running.url();
    let listed = Ran::to_end(TIDELOG.command().args(["group", "list", "clicks", "--endpoint", &url]));
    assert_eq!(listed.code, Some(0), "{listed:?}");
    let line = next(&broker, "tidelog.v1.Groups/ListGroups");
    assert_eq!(
        (&line["stream"], &line["status"], line["id"].as_str().unwrap().len()),
        (&"clicks".into(), &200.into(), 36)
    );
    let missing =
        Ran::to_end(TIDELOG.command().args(["group", "describe", "clicks", "none", "--endpoint", &url]));
    assert_ne!(missing.code, Some(0), "{missing:?}");
    let line = next(&broker, "tidelog.v1.Groups/DescribeGroup");
    assert_eq!((&line["status"], &line["error"]), (&400.into(), &"GROUP_NOT_FOUND".into()), "{line}");
}

#[test]
fn errors_and_slow_requests_have_lines_and_others_none() {
    for (requests, expected) in
        [("off", &[][..]), ("errors", &["none"]), ("slow=1s", &["none"]), ("slow=1ms", &["none"])]
    {
        let broker = Running::start(tidelog().args([
            "--ephemeral",
            "--listen",
            "127.0.0.1:0",
            "--log-format",
            "json",
            "--log-requests",
            requests,
        ]));
        kinesis(broker.address(), "DescribeStreamSummary", &json!({"StreamName": "none"}));
        send(broker.address(), "/livez", None, "");
        let (code, log) = broker.terminate();
        assert_eq!(code, Some(0), "{log}");
        let lines: Vec<Value> = log.lines().map(|line| serde_json::from_str(line).expect("JSON")).collect();
        let of_requests = lines.iter().filter(|line| line["target"] == "tidelog::requests");
        // On a busy machine any request is slow.
        let named: Vec<_> = of_requests.filter_map(|line| line["fields"]["stream"].as_str()).collect();
        assert_eq!(named, expected, "{requests}: {log}");
        let is_stable =
            |line: &Value| ["timestamp", "level", "target"].iter().all(|key| line[key].is_string());
        assert!(lines.iter().all(|line| is_stable(line) && line["fields"]["message"].is_string()), "{log}");
    }
}

#[test]
fn a_level_of_debug_leaves_other_crates_at_warn() {
    let broker = Running::start(tidelog().args([
        "--ephemeral",
        "--listen",
        "127.0.0.1:0",
        "--log-format",
        "json",
        "--log",
        "debug",
    ]));
    kinesis(broker.address(), "CreateStream", &json!({"StreamName": "clicks", "ShardCount": 1}));
    let (_, log) = broker.terminate();
    let lines: Vec<Value> = log.lines().map(|line| serde_json::from_str(line).expect("JSON")).collect();
    let is_own = |line: &Value| line["target"].as_str().is_some_and(|target| target.starts_with("tidelog"));
    assert!(lines.iter().any(|line| is_own(line) && line["level"] == "DEBUG"), "{log}");
    let loud =
        |line: &&Value| !is_own(line) && !["WARN", "ERROR"].iter().any(|level| line["level"] == *level);
    assert_eq!(lines.iter().find(loud), None, "{log}");
}

#[test]
fn the_log_of_requests_is_reloaded() {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("tidelog.toml");
    let write = |requests: &str| {
        std::fs::write(&file, format!("log-format = \"json\"\nlog-requests = \"{requests}\"\n")).unwrap();
    };
    write("off");
    let broker = broker(&["--config", file.to_str().unwrap()]);
    write("all");
    broker.hang_up();
    broker.wait_for("the level of the log is reloaded");
    send(broker.running.address(), "/livez", None, "");
    assert_eq!(next(&broker, "GET /livez")["status"], 200);
}

#[test]
fn wrong_settings_of_the_log_are_refused_by_name() {
    for (flag, value, reason) in [
        ("--log-format", "xml", "text or json"),
        ("--log-requests", "slow", "slow=TIME"),
        ("--log-requests", "slow=0ms", "1ms to 3600s"),
        ("--log-requests", "slow=2h", "1ms to 3600s"),
    ] {
        let Ran { code, stderr, .. } = Ran::to_end(tidelog().args(["--ephemeral", flag, value]));
        assert_eq!(code, Some(2), "{stderr}");
        assert!(stderr.contains(flag) && stderr.contains(reason), "{stderr}");
    }
}
