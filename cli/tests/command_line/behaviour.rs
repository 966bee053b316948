//! Behaviour that no recording shows: order across reshards, a broker that goes away, signals, closed pipes.

use std::collections::HashMap;
use std::io::{BufRead, BufReader, Read, Write};
use std::process::{Child, Stdio};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;

use tidelog_testkit::process::Ran;

use crate::broker::Broker;

/// Waits until the stream has that many records.
fn wait_for(broker: &Broker, records: usize) {
    let end = Instant::now() + Duration::from_secs(30);
    while broker.done(&["tail", "clicks", "--json"]).lines().count() < records {
        assert!(Instant::now() < end, "{records} records never came");
    }
}

fn ended(child: Child) -> Ran {
    Ran::from(child.wait_with_output().unwrap())
}

fn lines(keys: usize, numbers: std::ops::Range<usize>) -> String {
    numbers.map(|number| format!("{{\"key\":\"k{}\",\"number\":{number}}}\n", number % keys)).collect()
}

#[test]
fn a_tail_across_reshards_has_every_line_once_and_each_key_in_order() {
    let broker = Broker::start();
    broker.done(&["stream", "create", "clicks", "--shards", "2"]);
    let mut follower = broker.command(&["tail", "clicks", "--from", "trim", "-f", "--json"]).spawn().unwrap();
    let changes = [["--shards", "5"].as_slice(), &["--split", "6"], &["--merge", "2", "3"]];
    let put = |round: usize| {
        let text = lines(30, round * 300..(round + 1) * 300);
        let ran = broker.fed(&["put", "clicks", "--key-field", "key"], text.as_bytes());
        assert_eq!((ran.code, ran.stderr.as_str()), (Some(0), ""), "{}", ran.stdout);
    };
    put(0);
    for (round, change) in changes.iter().enumerate() {
        let shards = broker.done(&["shards", "clicks", "--output", "json"]);
        let shards: Vec<Value> = serde_json::from_str(&shards).unwrap();
        let open: Vec<_> = shards.iter().filter(|shard| shard["open"] == true).collect();
        // Ordered by their place among the open ones, not by their numbers.
        let id = |place: usize| open[place % open.len()]["shard"].as_str().unwrap().to_owned();
        let arguments: Vec<String> = match change {
            ["--split", _] => vec!["--split".into(), id(1)],
            ["--merge", ..] => {
                let mut by_range: Vec<_> =
                    open.iter().map(|shard| (start(shard), shard["shard"].as_str().unwrap())).collect();
                by_range.sort();
                vec!["--merge".into(), by_range[0].1.into(), by_range[1].1.into()]
            }
            other => other.iter().map(|part| (*part).to_owned()).collect(),
        };
        let arguments: Vec<_> = arguments.iter().map(String::as_str).collect();
        broker.done(&[&["stream", "reshard", "clicks"], arguments.as_slice()].concat());
        put(round + 1);
    }
    let whole = broker.done(&["tail", "clicks", "--json"]);
    in_order(whole.lines().map(Into::into), 1200);
    let followed = BufReader::new(follower.stdout.take().unwrap()).lines();
    in_order(followed.take(1200).map(Result::unwrap), 1200);
    kill_process(Pid::from_child(&follower), Signal::INT).unwrap();
    let ran = ended(follower);
    assert_eq!((ran.code, ran.stderr.as_str()), (Some(130), ""));
    assert_eq!(broker.done(&["tail", "clicks", "--from", "latest"]), "");
}

fn start(shard: &Value) -> u128 {
    shard["hash_key_range"]["StartingHashKey"].as_str().unwrap().parse().unwrap()
}

/// Every number once, and those of a key increasing.
fn in_order(records: impl Iterator<Item = String>, count: usize) {
    let mut last: HashMap<String, u64> = HashMap::new();
    let mut seen = 0;
    for record in records {
        let record: Value = serde_json::from_str(&record).unwrap();
        let (key, number) = (record["key"].as_str().unwrap(), record["data"]["number"].as_u64().unwrap());
        if let Some(before) = last.insert(key.into(), number) {
            assert_eq!(number, before + 30, "{key}");
        }
        seen += 1;
    }
    assert_eq!((seen, last.len()), (count, 30));
}

#[test]
fn a_record_is_found_by_its_number_and_its_bytes_are_those_put() {
    let broker = Broker::start();
    broker.done(&["stream", "create", "clicks"]);
    let bytes = b"\xff\xfe no text \x00\nplain\r\n{\"a\":1}";
    assert_eq!(broker.fed(&["put", "clicks", "--key", "k"], bytes).code, Some(0));
    let raw = broker.command(&["tail", "clicks", "--raw"]).output().unwrap().stdout;
    assert_eq!(raw, b"\xff\xfe no text \x00\nplain\n{\"a\":1}\n");
    let all = broker.done(&["tail", "clicks", "--json"]);
    let records: Vec<Value> = all.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(records[0]["data_base64"], "//4gbm8gdGV4dCAA");
    let number = records[1]["sequence_number"].as_str().unwrap();
    let get = |more: &[&str]| {
        broker.done(
            &[&["get", "clicks", "--shard", "shardId-000000000000", "--sequence-number", number], more]
                .concat(),
        )
    };
    assert!(get(&[]).ends_with("  0  k  plain\n"), "{}", get(&[]));
    assert_eq!(get(&["--raw"]), "plain\n");
    assert_eq!(serde_json::from_str::<Value>(&get(&["--output", "json"])).unwrap(), records[1]);
    let shards = broker.done(&["shards", "clicks", "--output", "json"]);
    let shards: Vec<Value> = serde_json::from_str(&shards).unwrap();
    assert!(shards[0]["records_per_second"].as_f64().unwrap() > 0.0, "{shards:?}");
}

#[test]
fn a_broker_that_goes_away_leaves_no_line_unnamed() {
    let mut broker = Broker::start();
    broker.done(&["stream", "create", "clicks"]);
    let arguments = ["put", "clicks", "--key", "k", "--retry-for", "1s", "--rejects", "rejects.txt"];
    let mut put = broker.command(&arguments).stdin(Stdio::piped()).spawn().unwrap();
    let mut input = put.stdin.take().unwrap();
    input.write_all((1..=10).map(|line| format!("line {line}\n")).collect::<String>().as_bytes()).unwrap();
    wait_for(&broker, 10);
    broker.kill();
    let rest: String = (11..=5000).map(|line| format!("line {line}\n")).collect();
    input.write_all(rest.as_bytes()).unwrap();
    drop(input);
    let ran = ended(put);
    assert_eq!(ran.code, Some(3), "{}", ran.stderr);
    assert!(ran.stdout.starts_with("clicks: 10 lines put"), "{}", ran.stdout);
    assert!(ran.stderr.starts_with("tidelog: 4,990 lines were not acknowledged\n"), "{}", ran.stderr);
    let named: Vec<_> = ran.stderr.lines().filter(|line| line.starts_with("  line")).collect();
    assert!(named.iter().all(|line| line.contains("127.0.0.1")), "{}", ran.stderr);
    assert!(named[0].contains(" 11"), "{}", ran.stderr);
    let mut rejects: Vec<_> = std::fs::read_to_string(broker.path().join("rejects.txt"))
        .unwrap()
        .lines()
        .map(String::from)
        .collect();
    rejects.sort_by_key(|line| line[5..].parse::<u32>().unwrap());
    assert_eq!(rejects.join("\n") + "\n", rest);
}

#[test]
fn without_rejects_unread_lines_are_named_by_the_first_one() {
    let mut broker = Broker::start();
    broker.done(&["stream", "create", "clicks"]);
    let mut put = broker
        .command(&["put", "clicks", "--key", "k", "--retry-for", "1s"])
        .stdin(Stdio::piped())
        .spawn()
        .unwrap();
    let mut input = put.stdin.take().unwrap();
    input.write_all(b"1\n").unwrap();
    wait_for(&broker, 1);
    broker.kill();
    input.write_all(b"2\n3\n").unwrap();
    // Held open: more may follow.
    let mut told = String::new();
    put.stderr.take().unwrap().read_to_string(&mut told).unwrap();
    assert_eq!(put.wait().unwrap().code(), Some(3));
    assert!(told.starts_with("tidelog: 2 lines were not acknowledged\n"), "{told}");
    assert!(told.ends_with("  lines from 4 on: not read, and not put\n"), "{told}");
    drop(input);
}

#[test]
fn ctrl_c_in_a_put_names_the_remaining_lines() {
    let broker = Broker::start();
    broker.done(&["stream", "create", "clicks"]);
    let mut put = broker.command(&["put", "clicks"]).stdin(Stdio::piped()).spawn().unwrap();
    let mut input = put.stdin.take().unwrap();
    input.write_all(b"one\ntwo\n").unwrap();
    wait_for(&broker, 2);
    kill_process(Pid::from_child(&put), Signal::INT).unwrap();
    let ran = ended(put);
    assert_eq!(ran.code, Some(130), "{}", ran.stderr);
    assert_eq!(
        ran.stderr,
        "tidelog: the input was not read to its end\n  lines from 3 on: not read, and not put\n"
    );
    drop(input);
}

#[test]
fn a_closed_pipe_ends_a_tail_quietly() {
    let broker = Broker::start();
    broker.done(&["stream", "create", "clicks"]);
    assert_eq!(broker.fed(&["put", "clicks"], b"one\n").code, Some(0));
    let mut tail = broker.command(&["tail", "clicks", "--from", "trim", "-f"]).spawn().unwrap();
    let mut output = BufReader::new(tail.stdout.take().unwrap());
    let mut line = String::new();
    output.read_line(&mut line).unwrap();
    assert!(line.ends_with("one\n"), "{line}");
    drop(output);
    assert_eq!(broker.fed(&["put", "clicks"], b"two\n").code, Some(0));
    let ran = ended(tail);
    assert_eq!((ran.code, ran.stderr.as_str()), (Some(0), ""));
}

#[test]
fn completions_and_manual_pages_know_the_commands() {
    let broker = Broker::start();
    for shell in ["bash", "zsh", "fish"] {
        let script = broker.done(&["completions", shell]);
        assert!(script.contains("--key-field") || script.contains("key-field"), "{shell}");
        assert!(script.contains("serve") && script.contains("retention"), "{shell}");
    }
    assert!(broker.done(&["man"]).starts_with(".ie"), "a page in roff");
    assert_eq!(broker.done(&["man", "--directory", "pages"]), "");
    let page = std::fs::read_to_string(broker.path().join("pages/tidelog-stream-reshard.1")).unwrap();
    assert!(page.contains("\\-\\-split") && page.contains("\\-\\-endpoint"), "{page}");
}
