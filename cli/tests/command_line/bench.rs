//! `tidelog bench` by its real binary against a real broker.

use std::path::Path;
use std::process::{Command, Output};
use std::thread::sleep;
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;

use crate::broker::{Broker, tidelog};

fn bench(broker: &Broker, arguments: &str) -> Command {
    let mut command = tidelog();
    command.args(["bench", "--endpoint", &broker.endpoint]).args(arguments.split_whitespace());
    command
}

fn texts(output: &Output) -> (Option<i32>, String, String) {
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    (output.status.code(), text(&output.stdout), text(&output.stderr))
}

/// How many acknowledged records are said to have been read exactly once, in order.
fn verified(said: &str) -> u64 {
    let count = said.strip_prefix("Verified: each of ").and_then(|rest| {
        rest.split_once(" acknowledged records was read exactly once, in order").map(|(count, _)| count)
    });
    count.unwrap_or_else(|| panic!("{said}")).replace(',', "").parse().expect("a number")
}

/// The range of requests that a busy machine makes of so many that are due.
fn nearly(due: u64) -> std::ops::RangeInclusive<u64> {
    due * 3 / 4..=due
}

fn result(path: &Path) -> Value {
    serde_json::from_slice(&std::fs::read(path).expect("a result")).expect("JSON")
}

#[test]
fn a_run_is_verified_and_reported_in_three_forms() {
    let broker = Broker::start();
    let directory = tempfile::tempdir().expect("a directory");
    let (json, html) = (directory.path().join("run.json"), directory.path().join("run.html"));
    let load = "--create --shards 3 --rate 500 --batch 5 --producers 4 --warm-up 1s --duration 2s --consumers 1 --progress";
    let mut command = bench(&broker, load);
    let output = command.arg("--json").arg(&json).arg("--html").arg(&html).output().expect("a run");
    let (code, said, progress) = texts(&output);
    assert_eq!(code, Some(0), "{said}{progress}");
    let verified = verified(&said);
    assert!(nearly(1_500).contains(&verified), "{said}");
    assert!(
        progress.contains("1 of 3 s, warming up") && progress.contains("records/s acknowledged"),
        "{progress}"
    );
    let run = result(&json);
    let acknowledged = run["records"]["acknowledged"].as_u64().expect("a number");
    assert!(nearly(1_000).contains(&acknowledged), "{run}");
    assert_eq!(run["records"]["received"], acknowledged);
    assert_eq!(
        (&run["requests"], &run["latency_ms"]["count"]),
        (&(acknowledged / 5).into(), &(acknowledged / 5).into())
    );
    assert_eq!(run["shards"].as_array().map(Vec::len), Some(3));
    assert_eq!(run["verification"]["verdict"]["acknowledged"], verified);
    let page = std::fs::read_to_string(&html).expect("a page");
    assert!(page.starts_with("<!doctype html>") && page.contains("Throughput per shard"));

    let load = "--create --rate max --batch 50 --producers 2 --warm-up 0s --duration 1s --json - --compare";
    let output = bench(&broker, load).arg(&json).output().expect("a run");
    let (code, second, words) = texts(&output);
    assert_eq!(code, Some(0), "{words}");
    let second: Value = serde_json::from_str(&second).expect("nothing but JSON");
    assert_eq!(second["settings"]["is_open_loop"], false);
    assert!(
        words.contains("closed loop") && words.contains("the other: open loop, 500 records/s"),
        "{words}"
    );
}

#[test]
fn loads_by_grpc_are_verified_too() {
    let broker = Broker::start();
    for how in ["--consumers 2 --consume grpc", "--consumers 1 --consume fan-out", ""] {
        let load = "--create --grpc --in-flight 4 --rate 500 --batch 5 --producers 2 --warm-up 1s --duration 2s --json -";
        let (code, run, words) = texts(&bench(&broker, &format!("{load} {how}")).output().expect("a run"));
        assert_eq!(code, Some(0), "{how}: {words}");
        assert!(nearly(1_500).contains(&verified(&words)), "{how}: {words}");
        let run: Value = serde_json::from_str(&run).expect("JSON");
        assert_eq!(run["settings"]["api"], "Records.PutStream", "{how}");
        assert!(nearly(200).contains(&run["requests"].as_u64().expect("a number")), "{how}: {run}");
    }
    let closed =
        "--create --grpc --in-flight 4 --rate max --batch 50 --producers 2 --warm-up 0s --duration 1s";
    let (code, said, errors) = texts(&bench(&broker, closed).output().expect("a run"));
    assert_eq!(code, Some(0), "{said}{errors}");
}

#[test]
fn a_broker_that_dies_in_the_middle_leaves_a_result() {
    let mut broker = Broker::start();
    let directory = tempfile::tempdir().expect("a directory");
    let json = directory.path().join("run.json");
    let mut command = bench(&broker, "--create --rate 200 --warm-up 0s --duration 60s --timeout 2s");
    let run = command.arg("--json").arg(&json).spawn().expect("a run");
    sleep(Duration::from_secs(3));
    broker.kill();
    let began = Instant::now();
    let (code, said, errors) = texts(&run.wait_with_output().expect("its output"));
    assert!(began.elapsed() < Duration::from_secs(50), "it does not wait for the end of its time");
    assert_eq!(code, Some(1), "{said}{errors}");
    assert!(said.starts_with("NOT VERIFIED: cannot reach http://127.0.0.1:"), "{said}");
    assert!(said.contains("CUT SHORT: nothing was acknowledged for 5 s"), "{said}");
    assert!(errors.contains("the stream tidelog-bench is left behind"), "{errors}");
    let run = result(&json);
    let count = |name: &str| run["records"][name].as_u64().expect("a count");
    assert!(count("acknowledged") > 100 && count("failed") > 0);
    assert_eq!(count("sent"), count("acknowledged") + count("failed") + count("unknown"));
}

#[test]
fn an_interrupt_ends_a_run_early_and_verifies_its_records() {
    let broker = Broker::start();
    let run = bench(&broker, "--create --rate 200 --warm-up 0s --duration 60s").spawn().expect("a run");
    sleep(Duration::from_secs(3));
    kill_process(Pid::from_child(&run), Signal::INT).expect("it runs");
    let (code, said, errors) = texts(&run.wait_with_output().expect("its output"));
    assert_eq!(code, Some(1), "{errors}");
    assert!(said.starts_with("Verified: ") && said.contains("\nCUT SHORT: interrupted."), "{said}");
}

#[test]
fn runs_that_cannot_be_measured_end_with_a_clear_message() {
    let broker = Broker::start();
    let create =
        bench(&broker, "--create --warm-up 0s --duration 1s --rate 10 twice").spawn().expect("a run");
    for (arguments, code, words) in [
        ("", 1, "tidelog: the stream tidelog-bench does not exist: create it first, or let --create do it"),
        (
            "--endpoint http://127.0.0.1:1",
            1,
            "tidelog: cannot reach http://127.0.0.1:1: Connection refused (os error 111). Start a broker",
        ),
        ("--endpoint https://127.0.0.1:1 --unsigned", 2, "tidelog: --unsigned is for http:// only"),
        ("--endpoint nowhere", 1, "tidelog: nowhere is not an endpoint"),
        ("--consume polling", 2, "tidelog: --consume says how consumers read, and there are none"),
        ("--batch 0", 2, "error: invalid value '0' for '--batch <BATCH>'"),
        (
            "--html /nowhere/page.html",
            1,
            "tidelog: cannot write /nowhere/page.html: No such file or directory",
        ),
        (
            "--compare /dev/null",
            1,
            "tidelog: cannot read the earlier result /dev/null: it is not a result that --json writes",
        ),
    ] {
        let mut command = tidelog();
        command.arg("bench").args(arguments.split_whitespace());
        if !arguments.contains("--endpoint") {
            command.args(["--endpoint", &broker.endpoint]);
        }
        let (got, said, errors) = texts(&command.output().expect("an end"));
        assert_eq!((got, said.as_str()), (Some(code), ""), "{arguments}: {errors}");
        assert!(errors.starts_with(words), "{arguments}: {errors}");
    }
    assert_eq!(texts(&create.wait_with_output().expect("its output")).0, Some(0));
}
