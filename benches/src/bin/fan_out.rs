//! Measures enhanced fan-out: from the begin of a put to its event at every subscriber, and the CPU time that the
//! broker spends.
//!
//! `cargo run --release -p tidelog-benches --bin fan_out -- --endpoint 127.0.0.1:4567 --subscribers 20 --pid PID`
//!
//! Puts one record at a time at a steady rate into one shard. Each record's data is the instant of its put, so every
//! subscriber tells its latency by itself. The broker has to run with `--control-limits off`.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use bytes::BytesMut;
use clap::Parser;
use http_body_util::BodyExt;
use hyper::body::Incoming;
use serde_json::{Value, json};
use tidelog_benches::client::{Connection, STREAMS, complete, connect, send};
use tidelog_proto::event_stream;
use tokio::sync::mpsc;
use tokio::time::{Instant, sleep_until};

/// Ticks of the kernel's clock of processes per second.
const TICKS_PER_SECOND: f64 = 100.0;
/// Latencies that may wait to be counted.
const QUEUED_MAX: usize = 65_536;

/// Enhanced fan-out from put to event.
#[derive(Parser)]
struct Arguments {
    /// Address and port of the broker.
    #[arg(long)]
    endpoint: String,
    /// Consumers of the one shard, each with a connection of its own.
    #[arg(long, default_value_t = 1)]
    subscribers: usize,
    /// Puts per second.
    #[arg(long, default_value_t = 100)]
    rate: u64,
    /// How long.
    #[arg(long, default_value_t = 10)]
    seconds: u64,
    /// The broker's process, to tell the CPU it took.
    #[arg(long)]
    pid: Option<u32>,
}

#[tokio::main]
async fn main() {
    let arguments = Arguments::parse();
    let stream = format!("fan-out-{}", now_ns());
    let mut control = connect(&arguments.endpoint).await;
    complete(&mut control, STREAMS, "CreateStream", &json!({"StreamName": stream, "ShardCount": 1})).await;
    let (heard, mut latencies) = mpsc::channel(QUEUED_MAX);
    for number in 0..arguments.subscribers {
        let arn = register(&mut control, &stream, number).await;
        let events = subscribe(&arguments.endpoint, &arn).await;
        tokio::spawn(listen(events, heard.clone()));
    }
    drop(heard);
    let cpu_before = arguments.pid.map(cpu_seconds);
    let begun = Instant::now();
    let puts = arguments.rate * arguments.seconds;
    let producer = async {
        for number in 0..puts {
            sleep_until(begun + Duration::from_secs(1) * number as u32 / arguments.rate as u32).await;
            let data = base64_simd::STANDARD.encode_to_string(now_ns().to_string());
            let put = json!({"StreamName": stream, "PartitionKey": "key", "Data": data});
            complete(&mut control, STREAMS, "PutRecord", &put).await;
        }
    };
    let expected = usize::try_from(puts).expect("few puts") * arguments.subscribers;
    let mut seen = Vec::with_capacity(expected);
    let consumer = async {
        while seen.len() < expected {
            seen.push(latencies.recv().await.expect("every subscriber stays until the end"));
        }
    };
    tokio::join!(producer, consumer);
    let cpu = cpu_before.zip(arguments.pid).map(|(before, pid)| cpu_seconds(pid) - before);
    seen.sort_unstable();
    let ms = |share: f64| seen[((seen.len() - 1) as f64 * share) as usize] as f64 / 1e6;
    let report = json!({
        "subscribers": arguments.subscribers, "puts_per_second": arguments.rate, "events": seen.len(),
        "p50_ms": ms(0.5), "p99_ms": ms(0.99), "max_ms": ms(1.0), "broker_cpu_seconds": cpu,
        "seconds": begun.elapsed().as_secs_f64(),
    });
    println!("{report}");
    let delete = json!({"StreamName": stream, "EnforceConsumerDeletion": true});
    complete(&mut control, STREAMS, "DeleteStream", &delete).await;
}

#[expect(
    clippy::disallowed_methods,
    reason = "records carry the machine's time, and readers compare it with theirs"
)]
fn now_ns() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).expect("a clock past 1970");
    u64::try_from(since.as_nanos()).expect("a clock before 2554")
}

/// Registers a consumer and waits until it is ACTIVE; returns its ARN.
async fn register(sender: &mut Connection, stream: &str, number: usize) -> String {
    let described = complete(sender, STREAMS, "DescribeStreamSummary", &json!({"StreamName": stream})).await;
    let stream_arn = &described["StreamDescriptionSummary"]["StreamARN"];
    let name = format!("consumer-{number}");
    let body = json!({"StreamARN": stream_arn, "ConsumerName": name});
    let registered = complete(sender, STREAMS, "RegisterStreamConsumer", &body).await;
    let arn = registered["Consumer"]["ConsumerARN"].as_str().expect("an ARN").to_owned();
    loop {
        let described =
            complete(sender, STREAMS, "DescribeStreamConsumer", &json!({"ConsumerARN": arn})).await;
        if described["ConsumerDescription"]["ConsumerStatus"] == "ACTIVE" {
            return arn;
        }
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

async fn subscribe(endpoint: &str, arn: &str) -> Incoming {
    let mut sender = connect(endpoint).await;
    let body = json!({
        "ConsumerARN": arn, "ShardId": "shardId-000000000000", "StartingPosition": {"Type": "LATEST"},
    });
    let response = send(&mut sender, STREAMS, "SubscribeToShard", body.to_string()).await;
    assert!(response.status().is_success(), "SubscribeToShard: {}", response.status());
    response.into_body()
}

/// Passes on how long each record took to come.
async fn listen(mut body: Incoming, heard: mpsc::Sender<u64>) {
    let mut pending = BytesMut::new();
    while let Some(Ok(frame)) = body.frame().await {
        let Ok(part) = frame.into_data() else { continue };
        pending.extend_from_slice(&part);
        let mut bytes = pending.split().freeze();
        while let Some(message) = event_stream::decode(&mut bytes).expect("an event stream") {
            let arrived_ns = now_ns();
            if message.header(":event-type") != Some("SubscribeToShardEvent") {
                continue;
            }
            let event: Value = serde_json::from_slice(&message.payload).expect("JSON");
            for record in event["Records"].as_array().into_iter().flatten() {
                let data = record["Data"].as_str().expect("base64");
                let put = base64_simd::STANDARD.decode_to_vec(data).expect("base64");
                let put_ns: u64 = String::from_utf8(put).expect("digits").parse().expect("a number");
                if heard.send(arrived_ns.saturating_sub(put_ns)).await.is_err() {
                    return;
                }
            }
        }
        pending.extend_from_slice(&bytes);
    }
}

/// CPU that a process has taken since its start, user and system.
fn cpu_seconds(pid: u32) -> f64 {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).expect("a process of this machine");
    let (_, fields) = stat.rsplit_once(") ").expect("the name of the process is in brackets");
    let ticks = fields.split(' ').skip(11).take(2).map(|field| field.parse::<f64>().expect("a number"));
    ticks.sum::<f64>() / TICKS_PER_SECOND
}
