//! Brokers as processes, with a gRPC client of their administration.

use std::net::TcpListener;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use tempfile::TempDir;
use tidelog_client::Connection;
use tidelog_proto::v1;
use tidelog_proto::v1::streams_client::StreamsClient;
use tidelog_testkit::process::{Program, Running};
use tonic::transport::{Channel, Endpoint};

/// The binary under test.
const TIDELOG: Program = Program::new(env!("CARGO_BIN_EXE_tidelog"));

/// A broker, which ends with the test.
pub struct Node {
    running: Running,
    pub url: String,
    // Goes with the test, however the broker ends.
    _data: Option<TempDir>,
}

impl Node {
    /// On its own, without limits, with data that ends with it.
    pub fn alone() -> Self {
        let data = tempfile::tempdir().expect("a directory");
        let path = data.path().to_str().expect("is UTF-8");
        let running = Running::start(&mut command(&["--data", path, "--listen", "127.0.0.1:0"]));
        Self::of(running, Some(data))
    }

    /// Starts a node with data that is kept, and with TLS beside plain HTTP; returns the CA that signs its
    /// certificate.
    pub fn with_tls(data: &Path) -> (Self, Vec<u8>) {
        let data = data.to_str().expect("is UTF-8");
        let printed = TIDELOG.command().args(["ca", "--data", data]).output().expect("it runs");
        let running = Running::start(&mut command(&["--data", data, "--listen", "127.0.0.1:0"]));
        (Self::of(running, None), printed.stdout)
    }

    /// Where its data is, and three that form a cluster. They are to end first.
    pub fn cluster() -> (TempDir, Vec<Self>) {
        let directory = tempfile::tempdir().expect("a directory");
        // All at once, so that no port is given twice.
        let held: Vec<_> = (0..3).map(|_| TcpListener::bind("127.0.0.1:0").expect("a port")).collect();
        let address = |listener: &TcpListener| listener.local_addr().expect("is bound").to_string();
        let members: Vec<_> =
            (1..).zip(&held).map(|(id, listener)| format!("{id}={}", address(listener))).collect();
        let members = members.join(",");
        drop(held);
        let children: Vec<Child> = ["1", "2", "3"]
            .map(|id| {
                let data = directory.path().join(id);
                let data = data.to_str().expect("is UTF-8");
                let cluster = ["serve", "--node-id", id, "--cluster", &members, "--data", data];
                command(&[&cluster[..], &["--listen", "127.0.0.1:0"]].concat()).spawn().expect("it starts")
            })
            .into();
        (directory, children.into_iter().map(|child| Self::of(Running::ready(child), None)).collect())
    }

    fn of(running: Running, data: Option<TempDir>) -> Self {
        Self { url: running.url(), running, _data: data }
    }

    /// Kills the node like `kill -9`.
    pub fn kill(&mut self) {
        self.running.kill();
    }

    /// The administration of its streams.
    pub async fn streams(&self) -> StreamsClient<Channel> {
        let node = Endpoint::from_shared(self.url.clone()).expect("an address");
        StreamsClient::new(node.connect().await.expect("it listens"))
    }

    /// Makes a stream, and waits until it is there.
    pub async fn create(&self, name: &str, shard_count: u32) {
        let mut streams = self.streams().await;
        let request = v1::CreateStreamRequest { name: name.into(), shard_count, ..Default::default() };
        streams.create_stream(request).await.expect("is created");
        let active = async {
            loop {
                let request = v1::DescribeStreamRequest { stream: name.into() };
                let stream = streams.describe_stream(request).await.map(|answer| answer.into_inner().stream);
                if matches!(stream, Ok(Some(stream)) if stream.status() == v1::StreamStatus::Active) {
                    return;
                }
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
        };
        tokio::time::timeout(Duration::from_secs(30), active).await.expect("becomes active");
    }
}

fn command(arguments: &[&str]) -> Command {
    let mut command = TIDELOG.command();
    command.args(arguments).args(["--limits", "off", "--control-limits", "off"]).stderr(Stdio::inherit());
    command
}

/// Any of the nodes.
pub fn connection(nodes: &[Node]) -> Connection {
    let urls = nodes.iter().map(|node| node.url.clone());
    Connection::to(urls).request_timeout(Duration::from_secs(5)).build().expect("is valid")
}
