//! A cluster that loses nodes: requests go on, or are refused in time and never wrongly.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use bytes::Bytes;
use futures_util::future::join_all;
use serde_json::{Value, json};
use tidelog::cluster::administration::{Administration, Teller};
use tidelog::limits::ShardLimits;
use tidelog::ops::api::Operation;
use tidelog::ops::{Call, Codec, Fault, dispatch};
use tidelog::replication::SubBatch;
use tidelog_storage::record::RecordRef;
use tidelog_storage::shard::ShardKey;
use tokio::sync::mpsc;

use crate::cluster::Cluster;

/// A put must be answered by then under every fault: clients wait for about as long.
const REQUEST_DEADLINE: Duration = Duration::from_secs(30);

fn put(name: &str, key: u64) -> Value {
    json!({"StreamName": name, "PartitionKey": format!("key-{key}"), "Data": "aGk="})
}

async fn create(cluster: &Cluster, name: &str, shards: u32) {
    cluster.create_stream(0, name, shards).await;
}

/// How many records the stream holds, asked of the node at a place.
async fn count(cluster: &Cluster, at: usize, name: &str) -> usize {
    let listed = cluster.persist(at, "ListShards", json!({"StreamName": name})).await;
    let mut records = 0;
    for shard in listed["Shards"].as_array().expect("shards") {
        let from = json!({
            "StreamName": name, "ShardId": shard["ShardId"], "ShardIteratorType": "TRIM_HORIZON",
        });
        let iterator = cluster.persist(at, "GetShardIterator", from).await["ShardIterator"].clone();
        let read = cluster.persist(at, "GetRecords", json!({"ShardIterator": iterator})).await;
        records += read["Records"].as_array().expect("records").len();
    }
    records
}

#[tokio::test(flavor = "multi_thread")]
async fn requests_go_on_when_a_leader_dies() {
    let mut cluster = Cluster::start().await;
    create(&cluster, "a", 6).await;
    for key in 0..30 {
        cluster.persist(key as usize % 3, "PutRecord", put("a", key)).await;
    }
    // It led the metadata and every third group.
    cluster.kill(0).await;
    let began = Instant::now();
    for key in 0..30 {
        cluster.persist(1 + key as usize % 2, "PutRecord", put("a", key)).await;
    }
    assert!(began.elapsed() < Duration::from_secs(15), "{:?}", began.elapsed());
    create_at(&cluster, 2, "b").await;
    let found = count(&cluster, 1, "a").await;
    // A put whose outcome was unknown has been tried again.
    assert!((60..65).contains(&found), "{found} records");
    cluster.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_node_whose_disk_is_almost_full_leads_nothing() {
    static NODES: AtomicUsize = AtomicUsize::new(0);
    let cluster = Cluster::formed_with(|config| {
        // At place 0 only the reserve is left.
        if NODES.fetch_add(1, Ordering::Relaxed) == 0 {
            config.sizes.reserved_bytes = u64::MAX;
        }
    })
    .await;
    let began = Instant::now();
    while (0..7).any(|group| cluster.leader_by(0, group) == Some(0)) {
        assert!(began.elapsed() < REQUEST_DEADLINE, "it leads on");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    create(&cluster, "a", 6).await;
    for key in 0..12 {
        cluster.persist(0, "PutRecord", put("a", key)).await;
    }
    assert!((0..7).all(|group| cluster.leader_by(0, group) != Some(0)), "nothing is handed back to it");
    cluster.end().await;
}

async fn create_at(cluster: &Cluster, at: usize, name: &str) {
    cluster.create_stream(at, name, 3).await;
    for other in cluster.running() {
        let summary = cluster.persist(other, "DescribeStreamSummary", json!({"StreamName": name})).await;
        assert_eq!(summary["StreamDescriptionSummary"]["StreamName"], name, "at {other}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_node_alone_answers_reads_and_denies_nothing() {
    let mut cluster = Cluster::start().await;
    create(&cluster, "a", 3).await;
    for key in 0..9 {
        cluster.persist(key as usize % 3, "PutRecord", put("a", key)).await;
    }
    let before = count(&cluster, 2, "a").await;
    cluster.kill(0).await;
    cluster.kill(1).await;
    let asking = [
        ("PutRecord", put("a", 1)),
        ("PutRecord", put("missing", 1)),
        ("CreateStream", json!({"StreamName": "b", "ShardCount": 1})),
        ("DeleteStream", json!({"StreamName": "missing"})),
        ("DescribeStreamSummary", json!({"StreamName": "missing"})),
        (
            "GetShardIterator",
            json!({"StreamName": "a", "ShardId": "shardId-000000000009", "ShardIteratorType": "LATEST"}),
        ),
    ]
    .map(|(operation, body)| {
        let cluster = &cluster;
        async move {
            let began = Instant::now();
            let answer = cluster.call(2, operation, body.clone()).await;
            let is_refused = matches!(answer, Err(Fault::Unavailable(_) | Fault::Internal));
            assert!(is_refused, "{operation} of {body}: {answer:?}");
            assert!(began.elapsed() < REQUEST_DEADLINE, "{operation} took {:?}", began.elapsed());
        }
    });
    join_all(asking).await;
    let puts = json!({"StreamName": "a", "Records": vec![json!({"PartitionKey": "k", "Data": "aGk="}); 3]});
    let answer = cluster.ok(2, "PutRecords", puts).await;
    assert_eq!(answer["FailedRecordCount"], 3, "{answer}");
    assert_eq!(answer["Records"][0]["ErrorCode"], "InternalFailure", "{answer}");
    cluster.ok(2, "DescribeStream", json!({"StreamName": "a"})).await;
    assert_eq!(count(&cluster, 2, "a").await, before);
    cluster.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_leader_that_is_left_alone_says_so_soon_and_charges_nothing() {
    let mut cluster = Cluster::start_with(|config| {
        config.limits = ShardLimits { write_records_per_second: Some(20), ..ShardLimits::off() };
    })
    .await;
    create(&cluster, "a", 6).await;
    let service = cluster.node(2).service();
    let stream = service.catalog().streams().values().next().expect("a stream").clone();
    // The node at place 2 leads it.
    let shard = stream.shards.iter().find(|shard| shard.group == 2).expect("a shard of each group");
    let call = Call {
        account: "000000000000".into(),
        region: "us-east-1".into(),
        codec: Codec::Json,
        body: json!({
            "StreamName": "a", "PartitionKey": "k", "ExplicitHashKey": shard.range.start.to_string(), "Data": "aGk=",
        })
        .to_string()
        .into(),
        answers: tidelog::room::AnswerRoom::default(),
    };
    let putting = tokio::spawn({
        let service = service.clone();
        async move {
            loop {
                let began = Instant::now();
                if let Err(fault) = dispatch(&service, &call, Some(Operation::PutRecord)).await {
                    return (fault, began.elapsed());
                }
                tokio::time::sleep(Duration::from_millis(100)).await;
            }
        }
    });
    tokio::time::sleep(Duration::from_millis(300)).await;
    cluster.kill(0).await;
    cluster.kill(1).await;
    let (fault, took) = putting.await.expect("no panic");
    // It was proposed: whether it is ever applied is for others to say.
    assert!(matches!(fault, Fault::Internal), "{fault:?}");
    assert!(took < Duration::from_secs(3), "{took:?}");
    assert_eq!(cluster.leader_by(2, 2), None);

    let key = ShardKey { stream_uid: stream.uid, shard: shard.index };
    let mut body = Vec::new();
    RecordRef { key: None, data: b"hi" }.encode(&mut body);
    // Twice as many as the shard takes in a second, in a fraction of one.
    let refusing = (0..40).map(|_| async {
        let batch = SubBatch::new(key, 0, 1, Bytes::from(body.clone()));
        let refused =
            service.appender().receive(2, vec![batch], false, None).await.expect_err("nobody else is there");
        assert_eq!(refused.to_string(), "not proposed");
    });
    join_all(refusing).await;
    drop((service, stream));
    cluster.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn members_change_at_one_node_at_a_time() {
    let cluster = Cluster::start().await;
    let groups = |at: usize| cluster.node(at).service().groups().clone();
    let (lines, mut told) = mpsc::channel(16);
    let remove = |at: usize, node: u64| {
        let (changing, teller) = (Administration::new(groups(at)), Teller::new(lines.clone()));
        async move { changing.remove(node, &teller).await.expect_err("not done").to_string() }
    };
    let in_flight = groups(0).membership().begin_changing().expect("nothing else changes");
    for at in 0..3 {
        let refused = remove(at, 3).await;
        assert!(refused.starts_with("node 1 is changing the members already"), "at {at}: {refused}");
    }
    drop(in_flight);
    for at in 0..3 {
        assert_eq!(remove(at, 99).await, "the cluster has never known a node 99");
    }
    assert!(told.try_recv().is_err(), "nothing was begun");
    cluster.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_rolling_restart_fails_no_request() {
    let mut cluster = Cluster::start().await;
    create(&cluster, "a", 6).await;
    let mut acknowledged = 0;
    for at in 0..3 {
        // Clients learn from their load balancer which nodes there are; the node that stops still answers the puts
        // that it took.
        let others = [(at + 1) % 3, (at + 2) % 3];
        for key in 0..20 {
            cluster.persist(others[key as usize % 2], "PutRecord", put("a", key)).await;
            acknowledged += 1;
        }
        cluster.retire(at).await;
        for (key, by) in (0..20).zip([0, 1, 2].into_iter().cycle()) {
            // It leads nothing any more, and takes requests all the same.
            cluster.ok(by, "PutRecord", put("a", key)).await;
            acknowledged += 1;
        }
        cluster.stop(at).await;
        for key in 0..20 {
            cluster.ok(others[key as usize % 2], "PutRecord", put("a", key)).await;
            acknowledged += 1;
        }
        cluster.restart(at).await;
        cluster.settled().await;
    }
    assert_eq!(count(&cluster, 0, "a").await, acknowledged);
    cluster.end().await;
}
