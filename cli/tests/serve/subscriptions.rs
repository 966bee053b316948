//! Metrics of subscriptions. In a process of its own: metrics belong to a process.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use tidelog_testkit::subscriber::{Subscriber, call};
use tokio::time::timeout;

use tidelog_testkit::process::Running;

use crate::tidelog;

const PATIENCE: Duration = Duration::from_secs(60);
const STREAM: &str = "arn:aws:kinesis:us-east-1:000000000000:stream/S";

/// Subscriptions that the broker at `address` says are open.
fn open_subscriptions(address: SocketAddr) -> Option<u32> {
    let mut connection = TcpStream::connect(address).unwrap();
    connection.write_all(b"GET /metrics HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n").unwrap();
    let mut page = String::new();
    connection.read_to_string(&mut page).unwrap();
    let line = page.lines().find_map(|line| line.strip_prefix("tidelog_subscriptions "))?;
    line.parse().ok()
}

#[tokio::test]
async fn clients_that_disconnect_leave_no_subscription() {
    let arguments = ["--ephemeral", "--listen", "127.0.0.1:0", "--control-limits", "off"];
    let process = Running::start(tidelog().args(arguments));
    let address = process.address().parse().unwrap();
    let mut input = json!({"ShardId": "shardId-0", "StartingPosition": {"Type": "LATEST"}});
    assert_eq!(call(address, "CreateStream", &json!({"StreamName": "S", "ShardCount": 1})).await.0, 200);
    for (is_http2, name) in [(false, "a"), (true, "b")] {
        let register = json!({"StreamARN": STREAM, "ConsumerName": name});
        let (_, registered) = call(address, "RegisterStreamConsumer", &register).await;
        input["ConsumerARN"] = registered["Consumer"]["ConsumerARN"].clone();
        let active = async {
            while call(address, "SubscribeToShard", &with_dry_run(&input)).await.1["__type"]
                != "DryRunOperationException"
            {}
        };
        timeout(PATIENCE, active).await.expect("the consumer becomes active");
        let subscriber = Subscriber::begin(address, is_http2, &input).await;
        assert_eq!(open_subscriptions(address), Some(1));
        drop(subscriber);
        // HTTP/2 says so, and is noticed before the next event is due. HTTP/1.1 cannot tell a client that has gone from
        // one that sends no more: the first event sent to it is refused, and with the next one, 5 s later, that is
        // seen.
        let within = Duration::from_secs(if is_http2 { 4 } else { 12 });
        let left = Instant::now();
        while open_subscriptions(address) != Some(0) {
            assert!(left.elapsed() < within, "the subscription ends");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }
    assert_eq!(process.terminate().0, Some(0));
}

fn with_dry_run(input: &Value) -> Value {
    let mut input = input.clone();
    input["DryRun"] = true.into();
    input
}
