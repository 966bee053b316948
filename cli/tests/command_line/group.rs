//! `tidelog group` and `tidelog doctor` by the real binary, against a real broker and against another server.

use std::io::{Read, Write};
use std::net::TcpListener;
use std::process::Stdio;

use serde_json::{Value, json};
use tidelog_proto::v1::groups_client::GroupsClient;
use tidelog_proto::v1::{JoinRequest, LeaveRequest, SyncRequest};
use tidelog_testkit::process::Ran;
use tonic::transport::Channel;

use crate::broker::{Broker, tidelog};

fn ran(arguments: &[&str]) -> Ran {
    Ran::to_end(tidelog().args(arguments))
}

/// Runs a command with this broker for its endpoint.
fn run(broker: &Broker, arguments: &[&str]) -> Ran {
    Ran::to_end(tidelog().args(arguments).args(["--endpoint", &broker.endpoint]))
}

/// Runs a command like [`run`], which must succeed.
fn done(broker: &Broker, arguments: &[&str]) -> Ran {
    let ran = run(broker, arguments);
    assert_eq!(ran.code, Some(0), "{arguments:?}: {}{}", ran.stdout, ran.stderr);
    ran
}

/// Puts so many lines under a key, or each under one of its own.
fn put(broker: &Broker, lines: usize, key: Option<&str>) -> Ran {
    let mut command = tidelog();
    command.args(["put", "clicks", "--endpoint", &broker.endpoint]);
    command.stdin(Stdio::piped()).args(key.map(|key| ["--key", key]).into_iter().flatten());
    let mut child = command.spawn().expect("it runs");
    let text: String = (0..lines).map(|line| format!("line {line}\n")).collect();
    child.stdin.take().expect("its input").write_all(text.as_bytes()).expect("it reads");
    child.wait_with_output().expect("it ends").into()
}

fn groups(broker: &Broker) -> GroupsClient<Channel> {
    GroupsClient::new(Channel::from_shared(broker.endpoint.clone()).expect("a URL").connect_lazy())
}

/// The one member of the group `billing` of `clicks`.
async fn member(groups: &mut GroupsClient<Channel>) -> String {
    let join = JoinRequest {
        stream: "clicks".into(),
        group: "billing".into(),
        member_name: "host".into(),
        lease_ms: 300_000,
        ..JoinRequest::default()
    };
    let member_id = groups.join(join).await.expect("joins").into_inner().member_id;
    let sync = SyncRequest {
        stream: "clicks".into(),
        group: "billing".into(),
        member_id: member_id.clone(),
        released: Vec::new(),
    };
    assert_eq!(groups.sync(sync).await.expect("is in").into_inner().leases.len(), 2);
    member_id
}

#[tokio::test(flavor = "multi_thread")]
async fn groups_are_listed_described_reset_and_deleted() {
    let broker = Broker::start();
    done(&broker, &["stream", "create", "clicks", "--shards", "2"]);
    assert_eq!(put(&broker, 3, None).code, Some(0));
    let none = done(&broker, &["group", "list", "clicks"]);
    assert!(
        none.stdout.is_empty() && none.stderr.contains("no consumer groups of clicks"),
        "{}",
        none.stderr
    );

    let mut groups = groups(&broker);
    let member_id = member(&mut groups).await;
    let list = done(&broker, &["group", "list", "clicks", "--output", "json"]).json();
    let told = |name: &str| list[0][name].as_u64();
    assert_eq!(
        (told("members"), told("shards"), told("records_behind")),
        (Some(1), Some(2), Some(3)),
        "{list}"
    );
    let described = done(&broker, &["group", "describe", "clicks", "billing"]).stdout;
    assert!(described.contains("host") && described.contains("oldest record"), "{described}");
    let described = done(&broker, &["group", "describe", "clicks", "billing", "--output", "json"]).json();
    assert_eq!(described["members"][0]["id"], member_id.as_str());
    assert_eq!(
        (&described["shards"][1]["state"], &described["shards"][0]["position"]),
        (&"owned".into(), &"trim_horizon".into())
    );

    for command in ["reset clicks billing --to trim", "delete clicks billing"] {
        let arguments: Vec<_> = ["group"].into_iter().chain(command.split(' ')).collect();
        let refused = run(&broker, &arguments);
        assert_eq!(refused.code, Some(1));
        assert!(
            refused.stderr.contains("billing of clicks has members: stop them first"),
            "{}",
            refused.stderr
        );
    }
    let leave = LeaveRequest { stream: "clicks".into(), group: "billing".into(), member_id };
    groups.leave(leave).await.expect("leaves");

    let reset = done(&broker, &["group", "reset", "clicks", "billing", "--to", "latest"]).stdout;
    assert_eq!(reset, "billing of clicks goes on at latest\n");
    let list = done(&broker, &["group", "list", "clicks", "--output", "json"]).json();
    assert_eq!(
        (&list[0]["members"], &list[0]["records_behind"], &list[0]["unowned_shards"]),
        (&0.into(), &0.into(), &2.into())
    );
    done(&broker, &["group", "reset", "clicks", "billing", "--to", "10m"]);
    let list = done(&broker, &["group", "list", "clicks", "--output", "json"]).json();
    assert_eq!(list[0]["records_behind"], 3);
    assert_eq!(
        done(&broker, &["group", "delete", "clicks", "billing"]).stdout,
        "deleted billing of clicks\n"
    );
    assert_eq!(
        done(&broker, &["group", "list", "clicks", "--output", "json"]).json(),
        Value::Array(Vec::new())
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_missing_stream_is_named_with_those_that_exist() {
    let broker = Broker::start();
    done(&broker, &["stream", "create", "clicks", "--shards", "2"]);
    member(&mut groups(&broker)).await;
    let cases = [
        (
            vec!["group", "describe", "clicks", "biling"],
            "the stream clicks has no group biling. Did you mean billing?",
        ),
        (vec!["group", "describe", "cliks", "billing"], "there is no stream cliks at"),
        (vec!["group", "list", "cliks"], "Did you mean clicks?"),
        (vec!["doctor", "cliks"], "Did you mean clicks?"),
        (vec!["group", "describe", "clicks", "a b"], "1 to 128 of"),
    ];
    for (arguments, expected) in cases {
        let ran = run(&broker, &arguments);
        assert_eq!(ran.code, Some(1), "{arguments:?}");
        assert!(ran.stderr.contains(expected), "{arguments:?}: {}", ran.stderr);
    }
    for arguments in [
        vec!["group", "reset", "clicks", "billing", "--to", "2999-01-01"],
        vec!["doctor", "clicks", "--sample", "0s"],
    ] {
        assert_eq!(run(&broker, &arguments).code, Some(2), "{arguments:?}");
    }
}

/// A table of leases with one of each shard of `clicks`, which a worker has.
fn application(broker: &Broker, name: &str) {
    let create = json!({
        "TableName": name,
        "KeySchema": [{"AttributeName": "leaseKey", "KeyType": "HASH"}],
        "AttributeDefinitions": [{"AttributeName": "leaseKey", "AttributeType": "S"}],
        "BillingMode": "PAY_PER_REQUEST",
    });
    broker.call_tables("CreateTable", &create);
    let shards = broker.call("ListShards", &json!({"StreamName": "clicks"}));
    for shard in shards["Shards"].as_array().expect("shards") {
        let range = &shard["HashKeyRange"];
        let item = json!({
            "leaseKey": {"S": shard["ShardId"]}, "leaseCounter": {"N": "1"}, "leaseOwner": {"S": "worker-1"},
            "checkpoint": {"S": "TRIM_HORIZON"}, "checkpointSubSequenceNumber": {"N": "0"},
            "startingHashKey": {"S": range["StartingHashKey"]}, "endingHashKey": {"S": range["EndingHashKey"]},
        });
        broker.call_tables("PutItem", &json!({"TableName": name, "Item": item}));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn kcl_applications_stand_beside_the_groups_of_a_stream() {
    let broker = Broker::start();
    done(&broker, &["stream", "create", "clicks", "--shards", "2"]);
    assert_eq!(put(&broker, 3, None).code, Some(0));
    member(&mut groups(&broker)).await;
    application(&broker, "my-app");
    let list = done(&broker, &["group", "list", "--output", "json"]).json();
    let rows: Vec<_> = list
        .as_array()
        .expect("rows")
        .iter()
        .map(|row| (&row["name"], &row["kind"], &row["records_behind"]))
        .collect();
    assert_eq!(
        rows,
        [(&"billing".into(), &"tidelog".into(), &3.into()), (&"my-app".into(), &"kcl".into(), &3.into())]
    );
    let text = done(&broker, &["group", "list", "clicks"]).stdout;
    assert!(text.lines().any(|line| line.starts_with("my-app   kcl")), "{text}");
    let text = done(&broker, &["group", "describe", "my-app"]).stdout;
    for expected in ["clicks (its shards are those of the leases)", "worker-1", "TRIM_HORIZON", "3 records"] {
        assert!(text.contains(expected), "{expected}: {text}");
    }

    // A trial says what would change, and why it would be refused: nobody knows yet whether the worker runs.
    let trial = done(&broker, &["group", "reset", "my-app", "--to", "latest", "--dry-run"]).stdout;
    assert!(trial.contains("2 leases set") && trial.contains("refused now: "), "{trial}");
    for command in ["reset clicks my-app --to latest", "delete my-app"] {
        let arguments: Vec<_> = ["group"].into_iter().chain(command.split(' ')).collect();
        let refused = run(&broker, &arguments);
        assert_eq!(refused.code, Some(1), "{command}: {}", refused.stdout);
        assert!(refused.stderr.contains("whether the application runs"), "{command}: {}", refused.stderr);
    }

    let exported = done(&broker, &["group", "export", "my-app"]).stdout;
    let file = broker.directory.path().join("leases.json");
    std::fs::write(&file, &exported).expect("a file");
    let file = file.to_str().expect("a path");
    let taken = run(&broker, &["group", "import", "my-app", "--file", file]);
    assert!(taken.code == Some(1) && taken.stderr.contains("replaces it only if"), "{}", taken.stderr);
    let copied = done(&broker, &["group", "import", "copy", "--file", file]).stdout;
    assert!(copied.starts_with("copy of clicks has its leases, as they are: 2 leases created"), "{copied}");
    assert_eq!(
        done(&broker, &["group", "describe", "copy", "--output", "json"]).json()["members"],
        json!([])
    );

    // One name for a group of each kind: nothing is changed before one is chosen.
    application(&broker, "billing");
    let torn = run(&broker, &["group", "describe", "clicks", "billing"]);
    assert!(torn.code == Some(2) && torn.stderr.contains("--kind"), "{}", torn.stderr);
    for (kind, expected) in [("kcl", "worker-1"), ("tidelog", "host")] {
        let text = done(&broker, &["group", "describe", "clicks", "billing", "--kind", kind]).stdout;
        assert!(text.contains(expected), "{kind}: {text}");
    }
    let missing = run(&broker, &["group", "describe", "my-ap"]);
    assert!(missing.stderr.contains("Did you mean my-app?"), "{}", missing.stderr);

    // Two streams with the same shards: a lease without a sequence number fits both.
    done(&broker, &["stream", "create", "views", "--shards", "2"]);
    let text = done(&broker, &["group", "describe", "my-app"]).stdout;
    assert!(text.contains("one of clicks, views: name it"), "{text}");
    let refused = run(&broker, &["group", "reset", "my-app", "--to", "trim"]);
    assert!(
        refused.stderr.contains("fit several streams (clicks, views): name the stream"),
        "{}",
        refused.stderr
    );
    let text = done(&broker, &["group", "describe", "clicks", "my-app"]).stdout;
    assert!(text.contains("3 records"), "{text}");
}

/// Answers every request with 404, as a server of HTTP/1.1 does that knows nothing of it.
fn stranger() -> String {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let address = listener.local_addr().expect("is bound");
    std::thread::spawn(move || {
        for mut connection in listener.incoming().map_while(Result::ok) {
            let _ = connection.read(&mut [0; 4096]);
            let _ = connection
                .write_all(b"HTTP/1.1 404 Not Found\r\ncontent-length: 0\r\nconnection: close\r\n\r\n");
        }
    });
    format!("http://{address}")
}

#[test]
fn servers_that_are_no_tidelog_are_recognized() {
    let stranger = stranger();
    for command in ["group list clicks", "group describe clicks billing", "doctor clicks"] {
        let of = |endpoint: &str| {
            let arguments: Vec<_> = command.split(' ').chain(["--endpoint", endpoint]).collect();
            ran(&arguments)
        };
        for endpoint in [stranger.as_str(), "aws"] {
            let ran = of(endpoint);
            assert_eq!(ran.code, Some(1), "{command} {endpoint}");
            let is_reported = ran.stderr.contains("is not a Tidelog.")
                && ran.stderr.contains("name a Tidelog with --endpoint");
            assert!(is_reported, "{command} {endpoint}: {}", ran.stderr);
        }
        let nobody = of("http://127.0.0.1:1");
        assert_eq!(nobody.code, Some(1));
        assert!(nobody.stderr.contains("cannot reach http://127.0.0.1:1"), "{}", nobody.stderr);
    }
}

fn kinds(report: &Value) -> Vec<&str> {
    let findings = report["findings"].as_array().expect("findings");
    findings.iter().filter_map(|finding| finding["kind"].as_str()).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn the_doctor_finds_hot_keys_and_groups_without_members() {
    let broker = Broker::start();
    done(&broker, &["stream", "create", "clicks", "--shards", "2"]);
    let healthy = done(&broker, &["doctor", "clicks"]).stdout;
    assert!(healthy.ends_with("nothing wrong was found\n"), "{healthy}");

    assert_eq!(put(&broker, 100, None).code, Some(0));
    assert_eq!(put(&broker, 400, Some("ada")).code, Some(0));
    let mut groups = groups(&broker);
    let member_id = member(&mut groups).await;
    let leave = LeaveRequest { stream: "clicks".into(), group: "billing".into(), member_id };
    groups.leave(leave).await.expect("leaves");

    let ran = run(&broker, &["doctor", "clicks", "--output", "json"]);
    assert_eq!(ran.code, Some(3), "{}{}", ran.stdout, ran.stderr);
    let report = ran.json();
    assert_eq!(kinds(&report), ["no_members", "uneven_load", "hot_key"], "{report}");
    assert_eq!(
        (&report["busiest_keys"][0]["key"], &report["busiest_keys"][0]["records"]),
        (&"ada".into(), &400.into())
    );
    assert_eq!(report["unknown"], Value::Array(Vec::new()));

    let text = run(&broker, &["doctor", "clicks"]).stdout;
    let command = format!("  $ tidelog group delete clicks billing --endpoint {}\n", broker.endpoint);
    for expected in ["clicks: 2 open shards, 500 records", "notice: The key ada is hot", &command] {
        assert!(text.contains(expected), "{expected}: {text}");
    }
}

#[test]
fn the_doctor_finds_throttles() {
    let broker = Broker::limited("write-records=100");
    done(&broker, &["stream", "create", "clicks", "--shards", "1"]);
    let put = put(&broker, 300, None);
    assert_eq!(put.code, Some(0), "{}", put.stderr);
    let report = run(&broker, &["doctor", "clicks", "--output", "json"]);
    assert_eq!(report.code, Some(3), "{}{}", report.stdout, report.stderr);
    let report = report.json();
    assert!(kinds(&report).contains(&"throttles"), "{report}");
    assert!(
        report["findings"][0]["evidence"].as_str().is_some_and(|told| told.contains("refused")),
        "{report}"
    );
}
