//! Sessions whose whole output is in `expected`, with placeholders for the parts that change from run to run.

use std::path::Path;

use regex::Regex;

use tidelog_testkit::process::Ran;

use crate::broker::Broker;

/// Replaces times, sequence numbers, figures of speed and the endpoint.
fn settled(text: &str, broker: &Broker) -> String {
    let text = text.replace(&broker.endpoint, "ENDPOINT");
    let rules = [
        (r"[0-9]{56}", "NUMBER"),
        (r"[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}\.[0-9]{3}Z", "TIME"),
        (r"in [0-9]+\.[0-9] s, [0-9,.]+/s", "in S s, RATE/s"),
        (r#""seconds": [0-9.e-]+"#, r#""seconds": S"#),
    ];
    rules
        .iter()
        .fold(text, |text, (pattern, by)| Regex::new(pattern).unwrap().replace_all(&text, *by).into_owned())
}

/// Runs the commands one after the other and compares their output with the file.
fn held(name: &str, broker: &Broker, commands: &[&str]) {
    let mut told = String::new();
    for line in commands {
        let (command, input) = line.split_once(" < ").unwrap_or((line, ""));
        let arguments: Vec<_> = command.split_whitespace().collect();
        let Ran { code, stdout, stderr } = broker.fed(&arguments, &input.replace("\\n", "\n").into_bytes());
        told.push_str(&format!("$ tidelog {line}\n{}", settled(&stdout, broker)));
        told.push_str(&settled(&stderr, broker));
        if code != Some(0) {
            told.push_str(&format!("[exit {}]\n", code.unwrap_or(-1)));
        }
        told.push('\n');
    }
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/command_line/expected").join(name);
    if std::env::var_os("TIDELOG_RECORD").is_some() {
        std::fs::write(&path, &told).unwrap();
    }
    let expected = std::fs::read_to_string(&path).unwrap_or_default();
    assert_eq!(told, expected, "{name} differs; if that is meant, record it anew with TIDELOG_RECORD=1");
}

const CLICKS: &str = r#"{"user": "ada", "page": "/home"}
{"user": "alan", "page": "/cart"}
{"user": "ada", "page": "/cart"}
{"user": "grace", "page": "/home"}
"#;

#[test]
fn a_session() {
    let broker = Broker::start();
    broker.write("clicks.jsonl", CLICKS);
    broker.write("more.jsonl", "{\"user\": \"ada\", \"page\": \"/pay\"}\n");
    held(
        "session.txt",
        &broker,
        &[
            "stream list",
            "stream create clicks",
            "stream list",
            "stream list --output json",
            "put clicks clicks.jsonl --key-field user --in-flight 1",
            "tail clicks",
            "tail clicks --key ada --raw",
            "tail clicks --key alan --json",
            "stream reshard clicks --shards 2",
            "put clicks more.jsonl --key-field user --output json",
            "tail clicks --key ada",
            "tail clicks --shard 0 --from 1h --raw",
            "stream reshard clicks --merge 1 2",
            "stream reshard clicks --split 3 --at 1000",
            "shards clicks --sample 0s",
            "stream retention clicks 7d",
            "stream mode clicks on-demand",
            "stream describe clicks --output json",
            "put clicks --key k < one\\n\\ntwo",
            "tail clicks --key k --raw",
            "stream delete clicks --yes",
        ],
    );
}

#[test]
fn failing_commands() {
    let broker = Broker::start();
    broker.done(&["stream", "create", "clicks"]);
    broker.write(
        "mixed.jsonl",
        b"{\"user\": \"ada\"}\nno JSON\n{\"page\": 1}\n{\"user\": \"\xff\"}\n[]\n{\"user\": 7}\n",
    );
    held(
        "wrong.txt",
        &broker,
        &[
            "tail clikcs",
            "stream describe weather",
            "stream create clicks",
            "stream create no/such",
            "stream reshard clicks --shards 0",
            "stream reshard clicks",
            "stream reshard clicks --split 4",
            "stream reshard clicks --split 0 --at 0",
            "stream retention clicks 1h",
            "stream delete clicks",
            "tail clicks --from yesterday",
            "tail clicks --from 2999-01-01T00:00:00Z",
            "tail clicks --shard 9",
            "tail clicks --json --raw",
            "get clicks --shard 0 --sequence-number 12",
            "get clicks --shard 0 --sequence-number twelve",
            "put clicks",
            "put clicks none.txt",
            "put clicks .",
            "put clicks --key a --key-field b",
            "put clicks mixed.jsonl --key-field user --rejects rejects.jsonl",
            "put clicks mixed.jsonl --rejects mixed.jsonl",
            "put clicks /proc/self/mem",
            "tail clicks --endpoint 127.0.0.1:4567",
            "tail clicks --endpoint aws",
            "tail clicks --endpoint http://127.0.0.1:1",
            "tail clicks --endpoint https://127.0.0.1:1 --ca mixed.jsonl",
            "tail clicks --profile none",
        ],
    );
    let rejects = std::fs::read(broker.path().join("rejects.jsonl")).unwrap();
    assert_eq!(rejects, b"no JSON\n{\"page\": 1}\n{\"user\": \"\xff\"}\n[]\n");
}

#[test]
fn the_help() {
    let broker = Broker::start();
    held("help.txt", &broker, &["stream --help", "put --help", "tail --help", "shards -h", "get -h"]);
}
