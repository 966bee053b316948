//! Records in and out in each form: cuts and encodings of `put`, choices and forms of `tail`.

use std::io::Write;
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::broker::Broker;

/// Keys and data of a stream, in the order of its one shard.
fn records(broker: &Broker, stream: &str) -> Vec<(String, Value)> {
    let told = broker.done(&["tail", stream, "--json"]);
    let records = told.lines().map(|line| serde_json::from_str::<Value>(line).unwrap());
    let data = |record: &Value| record.get("data").or(record.get("data_base64")).unwrap().clone();
    records.map(|record| (record["key"].as_str().unwrap().to_owned(), data(&record))).collect()
}

fn put(broker: &Broker, arguments: &[&str], input: &[u8]) {
    let ran = broker.fed(&[&["put"], arguments].concat(), input);
    assert_eq!((ran.code, ran.stderr.as_str()), (Some(0), ""), "{arguments:?}");
}

#[test]
fn an_input_is_cut_and_decoded_as_asked() {
    let broker = Broker::start();
    let cases: [(&[&str], &[u8], &[&str]); 6] = [
        (&["--null"], b"a\nb\0c\0\0d", &["a\nb", "c", "d"]),
        (&["--delimiter", "\\x1e"], b"a\x1eb\nc", &["a", "b\nc"]),
        (&["--delimiter", ", "], b"a, b,c", &["a", "b,c"]),
        (&["--whole-file"], b"a\nb\n", &["a\nb\n"]),
        (&["--base64"], b"YQ==\nYgpj\n", &["a", "b\nc"]),
        (&["--base64", "--whole-file"], b"YQ\n==\n", &["a"]),
    ];
    for (number, (arguments, input, expected)) in cases.iter().enumerate() {
        let stream = format!("clicks-{number}");
        broker.done(&["stream", "create", &stream]);
        let one_call_at_a_time = ["--key", "k", "--in-flight", "1"];
        put(&broker, &[&[stream.as_str()], &one_call_at_a_time[..], arguments].concat(), input);
        let found: Vec<_> = records(&broker, &stream).into_iter().map(|(_, data)| data).collect();
        assert_eq!(found, *expected, "{arguments:?}");
    }
    for wrong in [
        ["--null", "--whole-file"].as_slice(),
        &["--json-records", "--key", "k"],
        &["--json-records", "--base64"],
        &["--delimiter", ""],
        &["--rate", "0"],
        &["--whole-file", "--rejects", "r"],
    ] {
        assert_eq!(broker.run(&[&["put", "clicks-0"], wrong].concat()).code, Some(2), "{wrong:?}");
    }
}

#[test]
fn records_go_from_tail_to_put_and_stay_the_same() {
    let broker = Broker::start();
    broker.done(&["stream", "create", "from"]);
    broker.done(&["stream", "create", "to"]);
    for (key, data) in [("a", "\x00\u{1} text"), ("b\"", "{\"n\":1.50}"), ("a", " {}"), ("c", "null")] {
        put(&broker, &["from", "--key", key, "--whole-file"], data.as_bytes());
    }
    put(&broker, &["from", "--key", "d", "--whole-file"], b"\xff\x00");
    put(&broker, &["from", "--key", "e", "--whole-file"], b"");
    let told = broker.done(&["tail", "from", "--json"]);
    put(&broker, &["to", "--json-records", "--in-flight", "1"], told.as_bytes());
    let (mut from, mut to) = (records(&broker, "from"), records(&broker, "to"));
    assert_eq!(from.len(), 6);
    for all in [&mut from, &mut to] {
        all.sort_by_key(|(key, _)| key.clone());
    }
    assert_eq!(from, to);
    let wrong = "{\"key\":\"k\"}\n{\"key\":\"k\",\"data\":\"x\"}\nno\n";
    let ran = broker.fed(&["put", "to", "--json-records", "--rejects", "r"], wrong.as_bytes());
    assert_eq!(ran.code, Some(3));
    assert!(ran.stderr.contains("line 1: neither member data nor data_base64"), "{}", ran.stderr);
    assert_eq!(std::fs::read_to_string(broker.path().join("r")).unwrap(), "{\"key\":\"k\"}\nno\n");
}

#[test]
fn a_rate_slows_a_put_down() {
    let broker = Broker::start();
    broker.done(&["stream", "create", "clicks"]);
    let began = Instant::now();
    put(&broker, &["clicks", "--rate", "20"], "x\n".repeat(21).as_bytes());
    assert!(began.elapsed() > Duration::from_millis(850), "{:?}", began.elapsed());
}

#[test]
fn tail_chooses_records_by_number_time_and_text() {
    let broker = Broker::start();
    for stream in ["clicks", "orders"] {
        broker.done(&["stream", "create", stream, "--shards", "2"]);
    }
    let lines: String = (0..30).map(|number| format!("line {number}\n")).collect();
    put(&broker, &["clicks", "--key", "k"], lines.as_bytes());
    put(&broker, &["orders", "--key", "k"], b"order\n");
    let raw = |arguments: &[&str]| broker.done(&[&["tail"], arguments, &["--raw"]].concat());
    assert_eq!(raw(&["clicks", "-n", "2"]), "line 28\nline 29\n");
    assert_eq!(raw(&["clicks", "-n", "100"]), lines);
    assert_eq!(raw(&["clicks", "-n", "1", "--grep", "^line 1.$"]), "line 19\n");
    assert_eq!(raw(&["clicks", "--grep", "7$", "--last", "1h"]), "line 7\nline 17\nline 27\n");
    assert_eq!(raw(&["clicks", "--until", "1h"]), "");
    assert_eq!(raw(&["clicks", "--until", "2999-01-01T00:00:00Z"]), lines);
    let both =
        broker.done(&["tail", "clicks", "orders", "-n", "2", "--format", "{stream} {shard} {key} {data}"]);
    assert_eq!(both.lines().collect::<Vec<_>>().last(), Some(&"orders 1 k order"), "{both}");
    assert!(both.starts_with("clicks 1 k line 29\n"), "{both}");
    for wrong in [
        ["clicks", "-n", "0"].as_slice(),
        &["clicks", "--grep", "("],
        &["clicks", "--format", "{keys}"],
        &["clicks", "--format", "{key}", "--json"],
        &["clicks", "--until", "trim"],
        &["clicks", "--last", "1h", "--from", "trim"],
        &["clicks", "orders", "--shard", "0"],
    ] {
        let ran = broker.run(&[&["tail"], wrong].concat());
        assert_eq!(ran.code, Some(2), "{wrong:?}: {}", ran.stderr);
    }
}

#[test]
fn the_last_records_are_followed_by_new_ones() {
    let broker = Broker::start();
    broker.done(&["stream", "create", "clicks"]);
    put(&broker, &["clicks", "--key", "k"], b"1\n2\n3\n");
    let until = jiff::Timestamp::now() + Duration::from_secs(4);
    let child =
        broker.command(&["tail", "clicks", "-n", "1", "-f", "--raw", "--until", &until.to_string()]).spawn();
    let child = child.unwrap();
    put(&broker, &["clicks", "--key", "k"], b"4\n");
    let told = child.wait_with_output().unwrap();
    // Reading may have begun before or after the last put.
    let told = String::from_utf8(told.stdout).unwrap();
    assert!(told == "3\n4\n" || told == "4\n", "{told}");
}

#[test]
fn encoded_data_is_decoded_and_what_cannot_be_is_named() {
    let broker = Broker::start();
    broker.done(&["stream", "create", "clicks"]);
    let mut packed = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    packed.write_all(b"packed").unwrap();
    put(&broker, &["clicks", "--key", "k", "--whole-file"], &packed.finish().unwrap());
    put(&broker, &["clicks", "--key", "k"], b"plain\n");
    assert_eq!(broker.done(&["tail", "clicks", "--decode", "auto", "--raw"]), "packed\nplain\n");
    let ran = broker.run(&["tail", "clicks", "--decode", "gzip", "--raw"]);
    assert_eq!((ran.code, ran.stdout.as_str()), (Some(3), "packed\nplain\n"));
    assert!(ran.stderr.starts_with("tidelog: 1 record could not be decoded"), "{}", ran.stderr);
}
