//! The load test against a small endpoint in memory that misbehaves on purpose.

use std::sync::{Arc, Mutex};
use std::thread::sleep;
use std::time::{Duration, Instant};

use clap::Parser;
use serde_json::{Value, json};

use super::ledger::Kinds;
use super::report::Verification;
use super::{BenchArguments, RunResult, output, run};
use tidelog_testkit::kinesis_endpoint::{Call, Fake, Reply};

const SHARD: &str = "shardId-000000000000";

/// The way in which the endpoint breaks its word.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Mischief {
    Nothing,
    /// Answers nothing for a second, a second after the first record.
    Stall,
    Lose,
    Double,
    Corrupt,
    /// Every other record is refused because of a limit.
    Throttle,
    /// Nothing is answered as it should be.
    Fail,
}

/// One shard in memory.
#[derive(Debug)]
struct Endpoint {
    mischief: Mischief,
    began: Option<Instant>,
    /// Number and data of each record.
    records: Vec<(u64, Value)>,
    next: u64,
}

impl Endpoint {
    fn reply(&mut self, call: &Call) -> Reply {
        let number = |number: u64| format!("{number:020}");
        let answer = match call.operation.as_str() {
            "DescribeStreamSummary" => json!({"StreamDescriptionSummary": {"StreamStatus": "ACTIVE"}}),
            "ListShards" => json!({"Shards": [{"ShardId": SHARD}]}),
            "GetShardIterator" => {
                let from = call.body["StartingSequenceNumber"].as_str();
                let latest = self.records.len();
                let at = from.map_or(latest, |from| {
                    self.records.iter().position(|record| number(record.0) == from).unwrap_or(latest)
                });
                json!({"ShardIterator": at.to_string()})
            }
            "GetRecords" => {
                let from: usize =
                    call.body["ShardIterator"].as_str().and_then(|at| at.parse().ok()).unwrap_or(0);
                let read = self.records.iter().skip(from).take(1_000);
                let read: Vec<Value> = read
                    .map(|(own, data)| json!({"SequenceNumber": number(*own), "Data": data, "PartitionKey": "k"}))
                    .collect();
                let next = from + read.len();
                let behind = u64::from(next < self.records.len());
                json!({"Records": read, "NextShardIterator": next.to_string(), "MillisBehindLatest": behind})
            }
            "PutRecords" if self.mischief == Mischief::Fail => {
                return Reply::exception(400, "AccessDeniedException", "not you");
            }
            "PutRecords" => {
                let records = call.body["Records"].as_array().cloned().unwrap_or_default();
                let entries: Vec<Value> =
                    records.iter().map(|record| self.put(record["Data"].clone(), number)).collect();
                json!({"FailedRecordCount": 0, "Records": entries})
            }
            other => return Reply::exception(400, "UnknownOperationException", other),
        };
        Reply::Answer(200, answer)
    }

    fn put(&mut self, data: Value, number: impl Fn(u64) -> String) -> Value {
        self.next += 1;
        if self.mischief == Mischief::Throttle && self.next.is_multiple_of(2) {
            return json!({"ErrorCode": "ProvisionedThroughputExceededException", "ErrorMessage": "Rate exceeded"});
        }
        let placed = json!({"ShardId": SHARD, "SequenceNumber": number(self.next)});
        match self.mischief {
            Mischief::Lose if self.next == 50 => {}
            Mischief::Double if self.next == 50 => {
                self.records.push((self.next, data.clone()));
                self.next += 1;
                self.records.push((self.next, data));
            }
            Mischief::Corrupt if self.next == 50 => {
                let text = data.as_str().unwrap_or_default();
                let end = if text.ends_with("AAAA") { "BBBB" } else { "AAAA" };
                self.records.push((self.next, format!("{}{end}", &text[..text.len() - 4]).into()));
            }
            _ => self.records.push((self.next, data)),
        }
        placed
    }
}

#[derive(Debug, Parser)]
struct CommandLine {
    #[command(flatten)]
    bench: BenchArguments,
}

/// Loads such an endpoint.
async fn loaded(mischief: Mischief, arguments: &str) -> RunResult {
    let endpoint = Endpoint { mischief, began: None, records: Vec::new(), next: 0 };
    let endpoint = Arc::new(Mutex::new(endpoint));
    let fake = Fake::start(move |_, call| {
        if call.operation == "PutRecords" && mischief == Mischief::Stall {
            let began = *endpoint.lock().expect("no panic").began.get_or_insert_with(Instant::now);
            let passed = began.elapsed();
            if (Duration::from_secs(1)..Duration::from_secs(2)).contains(&passed) {
                sleep(Duration::from_secs(2) - passed);
            }
        }
        endpoint.lock().expect("no panic").reply(call)
    })
    .await;
    let directory = std::env::temp_dir();
    let json =
        directory.join(format!("tidelog-bench-{}-{mischief:?}-{}.json", std::process::id(), arguments.len()));
    let line =
        format!("bench --endpoint http://{} --size 99 --json {} {arguments}", fake.address, json.display());
    let bench = CommandLine::parse_from(line.split_whitespace()).bench;
    let ran = tokio::task::spawn_blocking(move || run(&bench)).await.expect("no panic");
    let result = output::read(&json).expect("a result");
    std::fs::remove_file(json).expect("it is there");
    assert_eq!(ran.expect("a run"), result.is_clean());
    result
}

fn times(result: &RunResult) -> &super::report::Percentiles {
    result.latency_ms.as_ref().expect("answers")
}

fn violations(result: &RunResult) -> Kinds {
    match &result.verification {
        Verification::Done { verdict } => verdict.violations,
        other => panic!("{other:?}"),
    }
}

/// Producers are blocked for the time of the stall, each with a thread of the endpoint's.
#[tokio::test(flavor = "multi_thread", worker_threads = 6)]
async fn a_stall_is_seen_by_all_that_were_due_in_it() {
    let open = "--rate 200 --batch 1 --producers 2 --warm-up 0s --duration 3s";
    let result = loaded(Mischief::Stall, open).await;
    assert!(result.is_clean(), "{:?}", result.verification);
    let all = times(&result);
    assert_eq!(
        (result.records.acknowledged, all.count),
        (600, 600),
        "each that was due was sent and answered"
    );
    // A third of the requests were due in the stall and waited for the rest of it: half a second on average.
    assert!(all.p50 < 300.0, "{all:?}");
    assert!(all.p90 > 500.0, "{all:?}");
    assert!(all.p99 > 900.0 && all.max < 2_500.0, "{all:?}");
    let slowest = |second: usize| result.seconds[second].latency_ms.expect("requests")[2];
    assert!(slowest(0) < 800.0 && slowest(1) > 800.0, "{:?}", result.seconds);

    let closed = "--rate max --batch 1 --producers 2 --warm-up 0s --duration 3s";
    let result = loaded(Mischief::Stall, closed).await;
    let all = times(&result);
    assert!(!result.settings.is_open_loop && result.described().starts_with("closed loop"));
    assert!(all.p99 < 500.0 && all.max > 800.0, "in a closed loop two requests see it: {all:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn faults_of_an_endpoint_are_found() {
    let load = "--rate 200 --batch 5 --producers 2 --warm-up 0s --duration 1s";
    for reading in ["", "--consumers 2"] {
        for (mischief, expected) in [
            (Mischief::Nothing, Kinds::default()),
            (Mischief::Lose, Kinds { missing: 1, ..Kinds::default() }),
            (Mischief::Double, Kinds { duplicated: 1, misplaced: 1, ..Kinds::default() }),
            (Mischief::Corrupt, Kinds { corrupted: 1, ..Kinds::default() }),
        ] {
            let result = loaded(mischief, &format!("{load} {reading}")).await;
            let factor = if reading.is_empty() { 1 } else { 2 };
            let Kinds { missing, duplicated, misplaced, corrupted, .. } = expected;
            let expected = Kinds {
                missing: missing * factor,
                duplicated: duplicated * factor,
                misplaced: misplaced * factor,
                corrupted: corrupted * factor,
                ..expected
            };
            assert_eq!(violations(&result), expected, "{mischief:?} {reading}: {:?}", result.verification);
            assert_eq!(result.is_clean(), mischief == Mischief::Nothing);
            assert_eq!(result.records.acknowledged, 200);
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn throttles_are_counted_and_no_violation() {
    let result =
        loaded(Mischief::Throttle, "--rate 100 --batch 10 --producers 2 --warm-up 0s --duration 1s").await;
    assert!(result.is_clean(), "{:?}", result.verification);
    assert_eq!((result.records.acknowledged, result.records.throttled, result.records.sent), (50, 50, 100));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn an_endpoint_that_takes_nothing_ends_the_run() {
    let began = Instant::now();
    let result = loaded(Mischief::Fail, "--rate 100 --producers 2 --warm-up 0s --duration 60s").await;
    assert!(began.elapsed() < Duration::from_secs(30));
    let reason = result.cut_short.as_deref().unwrap_or_default();
    assert!(reason.contains("AccessDeniedException: not you"), "{reason}");
    assert!(!result.is_clean() && result.records.acknowledged == 0 && result.records.failed > 0);
    assert_eq!(result.errors[0].what, "AccessDeniedException: not you");
}
