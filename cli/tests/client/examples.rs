//! The small example programs of the client, each against a broker.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use tidelog_client::Shards;
use tokio::time::{sleep, timeout};

use crate::node::{Node, connection};

#[allow(dead_code, reason = "its main function is that of a program")]
#[path = "../../../client/examples/aggregate.rs"]
mod aggregate;
#[allow(dead_code, reason = "its main function is that of a program")]
#[path = "../../../client/examples/put.rs"]
mod put;
#[allow(dead_code, reason = "its main function is that of a program")]
#[path = "../../../client/examples/read_shard.rs"]
mod read_shard;
#[allow(dead_code, reason = "its main function is that of a program")]
#[path = "../../../client/examples/streams.rs"]
mod streams;
#[allow(dead_code, reason = "its main function is that of a program")]
#[path = "../../../client/examples/tail.rs"]
mod tail;
#[allow(dead_code, reason = "its main function is that of a program")]
#[path = "../../../client/examples/tls.rs"]
mod tls;

const PATIENCE: Duration = Duration::from_secs(60);

fn arguments(words: &[&str]) -> impl Iterator<Item = String> {
    words.iter().map(|word| (*word).to_owned()).collect::<Vec<_>>().into_iter()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stream_is_made_once_written_and_read() {
    let node = Node::alone();
    for _ in 0..2 {
        let names = streams::run(arguments(&["clicks", "1", &node.url])).await.expect("it goes well");
        assert_eq!(names, ["clicks"]);
    }
    let placed = put::run(arguments(&["clicks", "ada", "a click", &node.url])).await.expect("it goes well");
    let mut printed = Vec::new();
    let shard = "shardId-000000000000";
    read_shard::run(arguments(&["clicks", shard, &node.url]), &mut printed).await.expect("it goes well");
    assert_eq!(String::from_utf8(printed).expect("text"), format!("{placed} a click\n"));
    let missing = put::run(arguments(&["clicks", "ada"])).await.expect_err("it lacks its data");
    assert_eq!(missing.to_string(), "put STREAM KEY DATA [NODE…]");
}

#[tokio::test(flavor = "multi_thread")]
async fn small_records_share_records_of_the_stream() {
    let node = Node::alone();
    node.create("readings", 2).await;
    let (parts, records) =
        aggregate::run(arguments(&["readings", "1000", &node.url])).await.expect("it goes well");
    assert_eq!(parts, 1000);
    assert!((2..500).contains(&records), "{records}");
}

/// Lines that a test looks at while a program writes them.
#[derive(Clone, Default)]
struct Lines(Arc<Mutex<Vec<u8>>>);

impl std::io::Write for Lines {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().expect("no panic").write(bytes)
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn records_are_printed_until_the_interrupt() {
    let node = Node::alone();
    node.create("clicks", 1).await;
    let lines = Lines::default();
    let (stop, stopped) = tokio::sync::oneshot::channel::<()>();
    let (mut output, words) = (lines.clone(), [String::from("clicks"), node.url.clone()]);
    let tailing = tokio::spawn(async move {
        let interrupted = async { drop(stopped.await) };
        let ran = tail::run(words.into_iter(), &mut output, interrupted).await;
        ran.map_err(|error| error.to_string())
    });
    // Which record is the first one after the subscription has begun is not known.
    let printed = async {
        while lines.0.lock().expect("no panic").is_empty() {
            put::run(arguments(&["clicks", "ada", "a click", &node.url])).await.expect("it goes well");
            sleep(Duration::from_millis(50)).await;
        }
    };
    timeout(PATIENCE, printed).await.expect("a line is printed");
    stop.send(()).expect("it waits for it");
    timeout(PATIENCE, tailing).await.expect("it ends").expect("no panic").expect("it goes well");
    let text = String::from_utf8(lines.0.lock().expect("no panic").clone()).expect("text");
    assert!(text.lines().all(|line| line == "shardId-000000000000 ada a click"), "{text}");
}

#[tokio::test(flavor = "multi_thread")]
async fn shards_are_listed_by_tls() {
    let data = tempfile::tempdir().expect("a directory");
    let (node, ca_pem) = Node::with_tls(data.path());
    node.create("clicks", 2).await;
    let ca = data.path().join("trusted.pem");
    std::fs::write(&ca, ca_pem).expect("room");
    let url = node.url.replace("http://", "https://");
    let lines =
        tls::run(arguments(&["clicks", ca.to_str().expect("UTF-8"), &url])).await.expect("it goes well");
    let shards = Shards::list(&connection(std::slice::from_ref(&node)), "clicks").await.expect("it is there");
    assert_eq!(lines.len(), shards.iter().count());
    assert!(lines[0].starts_with("shardId-000000000000 open 00000000"), "{lines:?}");
}
