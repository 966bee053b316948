//! Measures lease tables beside puts at full rate: the latency of item writes, and what they cost the puts.
//!
//! `cargo run --release -p tidelog-benches --bin lease_tables -- --endpoint 127.0.0.1:4567 --pid PID`
//!
//! Each round has three parts of the same length: PutRecords of 500 records at full rate alone; the same beside single
//! puts at a steady rate; the same beside item writes at that rate, in the form that KCL gives them: each lease is
//! renewed every 3.3 s and checkpointed every second. Latencies count from the instant at which a call is due. At the
//! end a table of 10,000 leases is filled and scanned. The broker has to run with `--limits off --control-limits off`.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use clap::Parser;
use serde_json::{Value, json};
use tidelog_benches::client::{Connection, STREAMS, TABLES, complete, connect, done};
use tokio::task::JoinHandle;
use tokio::time::{Instant, sleep, sleep_until};

/// Time between two renewals of a lease.
const RENEW_EVERY: Duration = Duration::from_millis(3_300);
/// Time between two checkpoints of a lease.
const CHECKPOINT_EVERY: Duration = Duration::from_secs(1);
/// Connections that write items, or put single records.
const WRITERS: usize = 64;
/// Connections that put at full rate, and records of each of their requests.
const PUTTERS: usize = 4;
const RECORDS: usize = 500;
/// Bytes of a record.
const RECORD_BYTES: usize = 1_024;
/// Leases of the table that is scanned.
const SCANNED: usize = 10_000;

/// Lease tables beside puts at full rate.
#[derive(Parser)]
struct Arguments {
    /// Address and port of the broker.
    #[arg(long)]
    endpoint: String,
    /// Leases that are renewed and checkpointed.
    #[arg(long, default_value_t = 1_000)]
    leases: usize,
    /// Seconds of each part of a round.
    #[arg(long, default_value_t = 10)]
    seconds: u64,
    /// Rounds.
    #[arg(long, default_value_t = 3)]
    rounds: u32,
    /// The broker's process, to tell the memory that it takes.
    #[arg(long)]
    pid: Option<u32>,
}

/// The calls beside puts at full rate.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Beside {
    Nothing,
    Puts,
    Items,
}

#[tokio::main]
async fn main() {
    let arguments = Arguments::parse();
    let mut control = connect(&arguments.endpoint).await;
    let name = format!("lease-tables-{}", std::process::id());
    complete(&mut control, STREAMS, "CreateStream", &json!({"StreamName": name, "ShardCount": 8})).await;
    create_table(&mut control, &name).await;
    for number in 0..arguments.leases {
        put_lease(&mut control, &name, number).await;
    }
    let mut counter = 0;
    for round in 0..arguments.rounds {
        let alone = part(&arguments, &name, Beside::Nothing, &mut counter).await;
        let puts = part(&arguments, &name, Beside::Puts, &mut counter).await;
        let items = part(&arguments, &name, Beside::Items, &mut counter).await;
        let report = json!({
            "round": round, "records_per_second_alone": alone.records_per_second,
            "beside_puts": puts.report(), "beside_items": items.report(),
            "ratio_of_p99": items.ms(0.99) / puts.ms(0.99),
            "ratio_of_records": items.records_per_second / alone.records_per_second,
        });
        println!("{report}");
    }
    // The broker has closed the first connection, which was idle during the rounds.
    let mut control = connect(&arguments.endpoint).await;
    scan(&mut control, &format!("{name}-scanned"), arguments.pid).await;
    complete(&mut control, TABLES, "DeleteTable", &json!({"TableName": name})).await;
    complete(&mut control, STREAMS, "DeleteStream", &json!({"StreamName": name})).await;
}

async fn create_table(control: &mut Connection, name: &str) {
    let attribute = |name: &str| json!({"AttributeName": name, "AttributeType": "S"});
    let key = |name: &str, kind: &str| json!({"AttributeName": name, "KeyType": kind});
    let create = json!({
        "TableName": name, "BillingMode": "PAY_PER_REQUEST", "KeySchema": [key("leaseKey", "HASH")],
        "AttributeDefinitions": [attribute("leaseKey"), attribute("leaseOwner")],
        "GlobalSecondaryIndexes": [{
            "IndexName": "LeaseOwnerToLeaseKeyIndex", "Projection": {"ProjectionType": "KEYS_ONLY"},
            "KeySchema": [key("leaseOwner", "HASH"), key("leaseKey", "RANGE")],
        }],
    });
    complete(control, TABLES, "CreateTable", &create).await;
}

fn lease_key(number: usize) -> Value {
    json!({"leaseKey": {"S": format!("shardId-{number:012}")}})
}

fn text(text: impl Into<String>) -> Value {
    json!({"S": text.into()})
}

fn number(number: u64) -> Value {
    json!({"N": number.to_string()})
}

/// A lease of KCL 3.
async fn put_lease(control: &mut Connection, table: &str, at: usize) {
    let mut item = lease_key(at);
    let attributes = [
        ("leaseCounter", number(0)),
        ("leaseOwner", text(format!("worker-{}", at % 50))),
        ("checkpoint", text(format!("495903382714902566085596925383615710959215759891365{at:05}"))),
        ("checkpointSubSequenceNumber", number(0)),
        ("ownerSwitchesSinceCheckpoint", number(0)),
        ("startingHashKey", text("170141183460469231731687303715884105728")),
        ("endingHashKey", text("340282366920938463463374607431768211455")),
        ("throughputKBps", json!({"N": "0.238698"})),
        ("entityType", text("LEASE")),
    ];
    for (name, value) in attributes {
        item[name] = value;
    }
    complete(control, TABLES, "PutItem", &json!({"TableName": table, "Item": item})).await;
}

/// A renewal, or a checkpoint, of a lease whose counter has that value.
fn lease_write(table: &str, at: usize, counter: u64, is_checkpoint: bool) -> String {
    let put = |value: Value| json!({"Action": "PUT", "Value": value});
    let mut updates = json!({"leaseCounter": put(number(counter + 1))});
    if is_checkpoint {
        let checkpoint = format!("4959033827149025660855969253836157109592157{counter:013}");
        updates["checkpoint"] = put(text(checkpoint));
        updates["checkpointSubSequenceNumber"] = put(number(0));
        updates["ownerSwitchesSinceCheckpoint"] = put(number(0));
        updates["pendingCheckpoint"] = json!({"Action": "DELETE"});
    }
    json!({
        "TableName": table, "Key": lease_key(at), "AttributeUpdates": updates,
        "Expected": {"leaseCounter": {"Value": number(counter)}},
    })
    .to_string()
}

/// A part of a round.
struct Part {
    records_per_second: f64,
    latencies: Vec<Duration>,
}

impl Part {
    fn ms(&self, share: f64) -> f64 {
        let last = self.latencies.len().saturating_sub(1) as f64;
        self.latencies.get((last * share) as usize).map_or(0.0, |latency| latency.as_secs_f64() * 1e3)
    }

    fn report(&self) -> Value {
        json!({
            "records_per_second": self.records_per_second, "calls": self.latencies.len(), "p50_ms": self.ms(0.5),
            "p99_ms": self.ms(0.99), "max_ms": self.ms(1.0),
        })
    }
}

async fn part(arguments: &Arguments, name: &str, beside: Beside, counter: &mut u64) -> Part {
    let (is_over, records) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicU64::new(0)));
    let mut putters = Vec::new();
    for _ in 0..PUTTERS {
        let connection = connect(&arguments.endpoint).await;
        putters.push(tokio::spawn(put(connection, name.to_owned(), is_over.clone(), records.clone())));
    }
    // The first puts open connections and files.
    sleep(Duration::from_millis(500)).await;
    let (began, before) = (Instant::now(), records.load(Ordering::Relaxed));
    let ends = began + Duration::from_secs(arguments.seconds);
    let mut writers: Vec<JoinHandle<(Vec<Duration>, u64)>> = Vec::new();
    for writer in 0..if beside == Beside::Nothing { 0 } else { WRITERS } {
        let connection = connect(&arguments.endpoint).await;
        let leases: Vec<usize> = (writer..arguments.leases).step_by(WRITERS).collect();
        let own = Own { leases, of: arguments.leases, counter: *counter };
        let writing = write(connection, name.to_owned(), own, began..ends, beside == Beside::Items);
        writers.push(tokio::spawn(writing));
    }
    sleep_until(ends).await;
    let put_in_time = records.load(Ordering::Relaxed) - before;
    let mut latencies = Vec::new();
    let mut reached = *counter;
    for writer in writers {
        let (own, last) = writer.await.expect("no writer panics");
        latencies.extend(own);
        reached = reached.max(last);
    }
    is_over.store(true, Ordering::Relaxed);
    for putter in putters {
        putter.await.expect("no putter panics");
    }
    latencies.sort_unstable();
    if beside == Beside::Items {
        *counter = reached;
        level(arguments, name, reached).await;
    }
    Part { records_per_second: put_in_time as f64 / arguments.seconds as f64, latencies }
}

/// Sets the counters of all leases to one value, from which the next part goes on.
async fn level(arguments: &Arguments, table: &str, counter: u64) {
    let mut connection = connect(&arguments.endpoint).await;
    for at in 0..arguments.leases {
        let update = json!({
            "TableName": table, "Key": lease_key(at),
            "AttributeUpdates": {"leaseCounter": {"Action": "PUT", "Value": number(counter)}},
        });
        complete(&mut connection, TABLES, "UpdateItem", &update).await;
    }
}

/// Puts requests of 500 records, one after the other.
async fn put(mut connection: Connection, stream: String, is_over: Arc<AtomicBool>, records: Arc<AtomicU64>) {
    let data = base64_simd::STANDARD.encode_to_string(vec![7; RECORD_BYTES]);
    let record = |at: usize| json!({"Data": data, "PartitionKey": at.to_string()});
    let all: Vec<Value> = (0..RECORDS).map(record).collect();
    let body = bytes::Bytes::from(json!({"StreamName": stream, "Records": all}).to_string());
    while !is_over.load(Ordering::Relaxed) {
        done(&mut connection, STREAMS, "PutRecords", body.clone()).await;
        records.fetch_add(RECORDS as u64, Ordering::Relaxed);
    }
}

/// The leases of one writer, out of so many, and the counter with which all of them begin.
struct Own {
    leases: Vec<usize>,
    of: usize,
    counter: u64,
}

/// The calls of some leases, each when it is due: item writes, or single puts instead. Returns their latencies and the
/// highest counter.
async fn write(
    mut connection: Connection,
    name: String,
    own: Own,
    time: std::ops::Range<Instant>,
    is_of_items: bool,
) -> (Vec<Duration>, u64) {
    let data = base64_simd::STANDARD.encode_to_string(vec![7; RECORD_BYTES]);
    let Own { leases, of, counter } = own;
    let mut due = Vec::new();
    for (place, lease) in leases.iter().enumerate() {
        for (every, is_checkpoint) in [(RENEW_EVERY, false), (CHECKPOINT_EVERY, true)] {
            // The calls of all leases are spread over the time between two of one.
            let mut at = time.start + every * *lease as u32 / of as u32;
            while at < time.end {
                due.push((at, place, is_checkpoint));
                at += every;
            }
        }
    }
    due.sort_unstable();
    let mut counters = vec![counter; leases.len()];
    let mut latencies = Vec::with_capacity(due.len());
    for (at, place, is_checkpoint) in due {
        sleep_until(at).await;
        if is_of_items {
            let body = lease_write(&name, leases[place], counters[place], is_checkpoint);
            done(&mut connection, TABLES, "UpdateItem", body).await;
            counters[place] += 1;
        } else {
            let body = json!({"StreamName": name, "PartitionKey": place.to_string(), "Data": data});
            done(&mut connection, STREAMS, "PutRecord", body.to_string()).await;
        }
        latencies.push(at.elapsed());
    }
    (latencies, counters.into_iter().max().unwrap_or(counter))
}

/// Fills a table of 10,000 leases, and scans it.
async fn scan(control: &mut Connection, table: &str, pid: Option<u32>) {
    create_table(control, table).await;
    let before = pid.map(resident_bytes);
    for at in 0..SCANNED {
        put_lease(control, table, at).await;
    }
    let item_bytes = before.zip(pid).map(|(before, pid)| (resident_bytes(pid) - before) / SCANNED as f64);
    let (mut pages, mut items) = (0, 0);
    let began = Instant::now();
    let mut body = json!({"TableName": table});
    loop {
        let page = complete(control, TABLES, "Scan", &body).await;
        pages += 1;
        items += page["Items"].as_array().map_or(0, Vec::len);
        let Some(last) = page.get("LastEvaluatedKey") else { break };
        body["ExclusiveStartKey"] = last.clone();
    }
    let scan_ms = began.elapsed().as_secs_f64() * 1e3;
    println!(
        "{}",
        json!({"items": items, "pages": pages, "scan_ms": scan_ms, "resident_bytes_an_item": item_bytes})
    );
}

/// Bytes of memory that a process takes.
fn resident_bytes(pid: u32) -> f64 {
    let pages = std::fs::read_to_string(format!("/proc/{pid}/statm")).expect("a process of this machine");
    let pages: f64 = pages.split(' ').nth(1).expect("resident pages").parse().expect("a number");
    pages * 4_096.0
}
