//! Putting against a server that throttles, fails and goes away.

use std::collections::HashMap;
use std::io::Write;
use std::sync::{Arc, Mutex};

use serde_json::Value;

use super::*;
use tidelog_kinesis::{Client, Settings};
use tidelog_testkit::kinesis_endpoint::{Call, Fake, Reply};

/// A file of lines, gone at the end.
struct Lines(PathBuf);

impl Lines {
    fn write(name: &str, lines: impl Iterator<Item = String>) -> Self {
        let path = std::env::temp_dir().join(format!("tidelog-put-{}-{name}", std::process::id()));
        let mut file = std::fs::File::create(&path).expect("a file of our own");
        for line in lines {
            writeln!(file, "{line}").expect("room");
        }
        Self(path)
    }
}

impl Drop for Lines {
    fn drop(&mut self) {
        drop(std::fs::remove_file(&self.0));
    }
}

/// A stream as the server has it: data by key, in the order of acceptance.
type Accepted = Arc<Mutex<HashMap<String, Vec<Value>>>>;

/// Takes the records of which `refuses` is false; it is asked with a number that counts all records.
fn takes(
    call: &Call,
    accepted: &Accepted,
    count: &Mutex<u64>,
    refuses: impl Fn(u64) -> Option<&'static str>,
) -> Reply {
    let mut results = Vec::new();
    for record in call.body["Records"].as_array().expect("records") {
        let mut count = count.lock().expect("no panic");
        *count += 1;
        if let Some(code) = refuses(*count) {
            results.push(json!({ "ErrorCode": code, "ErrorMessage": "no" }));
            continue;
        }
        let key = record["PartitionKey"].as_str().expect("text").to_owned();
        accepted.lock().expect("no panic").entry(key).or_default().push(record["Data"].clone());
        results.push(json!({ "SequenceNumber": "1", "ShardId": "shardId-000000000000" }));
    }
    let failed = results.iter().filter(|result| result.get("ErrorCode").is_some()).count();
    Reply::Answer(200, json!({ "FailedRecordCount": failed, "Records": results }))
}

async fn put(fake: &Fake, file: &Lines, keys: KeySource, patience: Duration) -> (Ending, Ledger) {
    let endpoint = format!("http://{}", fake.address).parse().expect("a URL");
    let client = Client::new(Settings::unsigned(endpoint)).expect("no files");
    let input = Input::open(std::slice::from_ref(&file.0), &Cut::Lines, 1000).expect("a file");
    let mut sender = Sender {
        client: &client,
        stream: "clicks",
        keys,
        content: Content::Plain,
        pace: None,
        keeps_order: true,
        record_max: 1000,
        calls_max: 4,
        patience,
        progress: &progress::Progress::start(None),
        ledger: Ledger::default(),
    };
    let ending = sender.run(input).await;
    (ending, sender.ledger)
}

fn numbered(count: u64, keys: u64) -> impl Iterator<Item = String> {
    (0..count).map(move |line| json!({ "key": line % keys, "line": line }).to_string())
}

const PATIENT: Duration = Duration::from_secs(20);

#[tokio::test]
async fn records_of_a_key_keep_their_order_when_some_are_refused() {
    let (accepted, count) = (Accepted::default(), Mutex::new(0));
    let server = accepted.clone();
    let fake = Fake::start(move |before, call| {
        if before == 3 {
            return Reply::HangUp;
        }
        // Every third, so that each call of more than two loses some.
        takes(call, &server, &count, |number| {
            (number % 3 == 0).then_some("ProvisionedThroughputExceededException")
        })
    })
    .await;
    let file = Lines::write("order", numbered(400, 40));
    let (ending, mut ledger) = put(&fake, &file, KeySource::Field("key".into()), PATIENT).await;
    assert_eq!((ending, ledger.acknowledged), (Ending::Complete, 400));
    assert!(
        ledger.maybe_twice > 0 && ledger.maybe_twice <= 40,
        "the call that was cut: {}",
        ledger.maybe_twice
    );
    assert!(ledger.close().0.is_empty());
    let accepted = accepted.lock().expect("no panic");
    assert_eq!(accepted.len(), 40);
    for (key, data) in accepted.iter() {
        let own = numbered(400, 40).filter(|line| line.contains(&format!("{{\"key\":{key},")));
        let expected: Vec<_> = own.map(|line| base64_simd::STANDARD.encode_to_string(line)).collect();
        assert_eq!(*data, expected, "{key}");
    }
}

#[tokio::test]
async fn lines_that_cannot_be_records_are_named_and_the_others_are_put() {
    let (accepted, count) = (Accepted::default(), Mutex::new(0));
    let fake = Fake::start(move |_, call| takes(call, &accepted, &count, |_| None)).await;
    let long = "x".repeat(2000);
    let lines = ["{\"key\":\"a\"}", "no", "", "{\"key\":[]}", "{\"key\":\"b\"}", "no", &long];
    let file = Lines::write("bad", lines.into_iter().map(Into::into));
    let (ending, mut ledger) = put(&fake, &file, KeySource::Field("key".into()), PATIENT).await;
    assert_eq!((ending, ledger.acknowledged), (Ending::Complete, 2));
    let named = ledger.close().0.to_string().replace(&file.0.display().to_string(), "FILE");
    assert_eq!(
        named,
        "4 lines were not acknowledged\n  lines FILE:2, FILE:6: not JSON\n  \
         line FILE:4: the field key is neither text nor a number\n  \
         line FILE:7: longer than the stream's largest record of 1000 B\n"
    );
}

#[tokio::test]
async fn when_nothing_is_acknowledged_any_more_it_gives_up_and_names_the_rest() {
    let (accepted, count) = (Accepted::default(), Mutex::new(0));
    let fake = Fake::start(move |_, call| {
        takes(call, &accepted, &count, |number| (number > 10).then_some("InternalFailure"))
    })
    .await;
    let file = Lines::write("gone", numbered(30, 1000));
    let (ending, mut ledger) =
        put(&fake, &file, KeySource::Field("key".into()), Duration::from_millis(300)).await;
    assert_eq!((ending, ledger.acknowledged), (Ending::GaveUp, 10));
    let named = ledger.close().0.to_string();
    assert!(named.starts_with("20 lines were not acknowledged\n"), "{named}");
    assert!(named.contains("InternalFailure: no (it may be in the stream all the same)"), "{named}");
}

#[tokio::test]
async fn a_refusal_that_does_not_pass_ends_it_at_once() {
    let fake =
        Fake::start(|_, _| Reply::exception(400, "ResourceNotFoundException", "Stream clicks not found."))
            .await;
    let file = Lines::write("final", numbered(3, 3));
    let (ending, mut ledger) = put(&fake, &file, KeySource::Random, PATIENT).await;
    assert_eq!((ending, ledger.acknowledged), (Ending::GaveUp, 0));
    let named = ledger.close().0.to_string();
    assert!(named.contains("1-3: ") || named.contains(":1-"), "{named}");
    assert!(named.contains("ResourceNotFoundException: Stream clicks not found."), "{named}");
}
