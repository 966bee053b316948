//! Damaged records on one node, from the page of health to the decision of an operator.

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use serde_json::Value;

use tidelog_testkit::process::Ran;

use crate::broker::Broker;

const RECORDS: usize = 3_000;

/// The only segment of the only shard.
fn segment(data: &Path) -> PathBuf {
    let only = |directory: PathBuf| std::fs::read_dir(directory).unwrap().next().unwrap().unwrap().path();
    only(only(only(data.join("shards"))))
}

/// The damaged records that the page of health names, once it knows them.
fn named(broker: &Broker) -> Value {
    let end = Instant::now() + Duration::from_secs(60);
    loop {
        let damaged = broker.health()["damaged"][0].clone();
        if damaged["last"].is_u64() {
            return damaged;
        }
        assert!(Instant::now() < end, "damage is never named");
        std::thread::sleep(Duration::from_millis(50));
    }
}

fn read(broker: &Broker) -> usize {
    broker.done(&["tail", "clicks", "--from", "trim", "--json"]).lines().count()
}

#[test]
fn damaged_records_are_named_and_passed_over_only_after_an_operator_has_given_them_up() {
    let data = tempfile::tempdir().unwrap();
    let directory = data.path().to_str().unwrap();
    let broker = Broker::on(data.path());
    broker.done(&["stream", "create", "clicks", "--shards", "1"]);
    let lines: String =
        (0..RECORDS).map(|number| format!("{{\"number\":{number},\"pad\":\"{number:0100}\"}}\n")).collect();
    assert_eq!(broker.fed(&["put", "clicks"], lines.as_bytes()).code, Some(0));
    assert_eq!(read(&broker), RECORDS);
    let give_up = |first: &str, last: &str| {
        let command = [
            "segment", "give-up", "clicks", "--shard", "0", "--first", first, "--last", last, "--data",
            directory,
        ];
        command.map(String::from)
    };
    let run = |broker: &Broker, arguments: &[String]| -> Ran {
        broker.run(&arguments.iter().map(String::as_str).collect::<Vec<_>>())
    };
    let refused = run(&broker, &give_up("1", "2"));
    assert!(refused.code == Some(1) && refused.stderr.contains("in use by another"), "{}", refused.stderr);
    broker.stop();

    let path = segment(data.path());
    let mut bytes = std::fs::read(&path).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    std::fs::write(&path, bytes).unwrap();
    let broker = Broker::on(data.path());
    let mut tail = broker.command(&["tail", "clicks", "--from", "trim", "--json"]).spawn().unwrap();
    let damaged = named(&broker);
    drop(tail.kill());
    drop(tail.wait());
    assert_eq!(broker.health()["status"], "degraded");
    let (first, last) = (damaged["first"].as_u64().unwrap(), damaged["last"].as_u64().unwrap());
    assert!(1 < first && first <= last && last < RECORDS as u64, "{damaged}");
    let doctor = broker.run(&["doctor", "clicks", "--sample", "1s", "--output", "json"]);
    assert!(doctor.code == Some(3) && doctor.stdout.contains("damaged-records"), "{}", doctor.stdout);
    let other = Broker::start();
    broker.stop();

    assert_eq!(run(&other, &give_up("1", "999999")).code, Some(1), "there are no such records");
    let done = run(&other, &give_up(&first.to_string(), &last.to_string()));
    assert_eq!(done.code, Some(0), "{}", done.stderr);
    let broker = Broker::on(data.path());
    assert_eq!(read(&broker) as u64, RECORDS as u64 - (last - first + 1));
    let end = Instant::now() + Duration::from_secs(60);
    while broker.health()["damaged"] != Value::Array(Vec::new()) {
        assert!(Instant::now() < end, "what was given up is no reason any more");
        std::thread::sleep(Duration::from_millis(50));
    }
}
