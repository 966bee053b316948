//! The client port answers while the node starts: the stage of the start, and refusals that can be retried.

use std::net::{SocketAddr, TcpListener};
use std::time::Duration;

use tidelog::clock::Clock;
use tidelog::config::{ClusterConfig, Config, DataLocation};
use tidelog::server::Server;
use tidelog::wire::Bounds;
use tidelog_proto::v1::ListStreamsRequest;
use tidelog_proto::v1::streams_client::StreamsClient;
use tidelog_proto::{Codec, Document};
use tokio::net::TcpStream;
use tokio::time::{sleep, timeout};
use tonic::Code;

use crate::broker::{Client, PATIENCE, config, get};

fn free() -> SocketAddr {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap()
}

#[tokio::test]
async fn a_node_that_waits_for_its_cluster_says_so_and_refuses_retryably() {
    let directory = tempfile::tempdir().unwrap();
    let (listen, own, other) = (free(), free(), free());
    let members = [(1, own.to_string()), (2, other.to_string())].into();
    let cluster = ClusterConfig { node_id: 1, members, listen: None, tls: None, is_insecure: false };
    let settings = Config {
        listen: vec![listen],
        cluster: Some(cluster),
        ..config(DataLocation::Directory(directory.path().join("data")))
    };
    let starting =
        tokio::spawn(async move { Server::start(&settings, Bounds::default(), Clock::System).await });
    let reachable = async {
        while TcpStream::connect(listen).await.is_err() {
            sleep(Duration::from_millis(10)).await;
        }
    };
    timeout(PATIENCE, reachable).await.expect("the port answers at once");
    let told = async {
        loop {
            let ready = get(listen, "/ready").await;
            assert_eq!(ready.status, 503);
            if ready.body.contains("waiting for node 2") {
                return;
            }
        }
    };
    timeout(PATIENCE, told).await.expect("it says what it waits for");
    let health = get(listen, "/health").await;
    assert!(health.status == 503 && health.body.contains("waiting for node 2"), "{health:?}");
    assert_eq!(get(listen, "/livez").await.status, 200);
    let metrics = get(listen, "/metrics").await;
    assert!(metrics.status == 200 && metrics.body.contains("tidelog_connections"), "{metrics:?}");
    for codec in [Codec::Json, Codec::Cbor] {
        let mut client = Client::connect(listen).await;
        let (status, fault) = client.call("ListStreams", &Document::structure([]), codec).await;
        let fault = format!("{fault:?}");
        assert!(status == 503 && fault.contains("ServiceUnavailable"), "{status} {fault}");
        assert!(fault.contains("waiting for node 2"), "{fault}");
    }
    let mut client = StreamsClient::new(crate::grpc::channel(listen).await);
    let refused = client.list_streams(ListStreamsRequest::default()).await.unwrap_err();
    assert_eq!(refused.code(), Code::Unavailable, "{refused:?}");
    assert!(refused.message().contains("waiting for node 2"), "{refused:?}");
    assert!(!starting.is_finished());
    starting.abort();
    assert!(starting.await.unwrap_err().is_cancelled());
    let closed = async {
        while TcpStream::connect(listen).await.is_ok() {
            sleep(Duration::from_millis(10)).await;
        }
    };
    timeout(PATIENCE, closed).await.expect("a start that is given up leaves nothing behind");
}

/// A client's few attempts within a second may all reach the node of a rolling restart that is starting.
#[tokio::test]
async fn a_request_waits_for_the_start_of_its_node() {
    let directory = tempfile::tempdir().unwrap();
    let addresses = [(free(), free()), (free(), free())];
    let members = [(1, addresses[0].1.to_string()), (2, addresses[1].1.to_string())];
    let start = |id: u64| {
        let settings = Config {
            listen: vec![addresses[id as usize - 1].0],
            cluster: Some(ClusterConfig {
                node_id: id,
                members: members.clone().into(),
                listen: None,
                tls: None,
                is_insecure: false,
            }),
            ..config(DataLocation::Directory(directory.path().join(id.to_string())))
        };
        let bounds = Bounds { start: PATIENCE, request: PATIENCE, ..Bounds::default() };
        tokio::spawn(async move { Server::start(&settings, bounds, Clock::System).await })
    };
    let first = start(1);
    let reachable = async {
        while TcpStream::connect(addresses[0].0).await.is_err() {
            sleep(Duration::from_millis(10)).await;
        }
    };
    timeout(PATIENCE, reachable).await.expect("the port answers at once");
    let mut asked = tokio::spawn(async move {
        let mut client = Client::connect(addresses[0].0).await;
        // A read that needs neither a leader nor the key of the cluster, which a new one does not have at once.
        client.call("DescribeLimits", &Document::structure([]), Codec::Json).await.0
    });
    // The first node cannot start without the second.
    let early = timeout(Duration::from_millis(300), &mut asked).await;
    assert!(early.is_err() && !first.is_finished(), "answered before the start: {early:?}");
    let second = start(2);
    assert_eq!(timeout(PATIENCE, asked).await.expect("an answer").unwrap(), 200);
    for server in [first, second] {
        let server = server.await.unwrap().expect("a node");
        server.shutdown().await.expect("a clean stop");
    }
}

#[tokio::test]
async fn a_node_that_serves_is_ready() {
    let broker = crate::broker::Broker::start().await;
    let ready = get(broker.address(), "/ready").await;
    assert_eq!((ready.status, ready.body.contains("\"ok\"")), (200, true), "{ready:?}");
    broker.stop().await;
}
