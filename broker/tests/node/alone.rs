//! Refusals of a node of a cluster while its data directory is used without the others.

use serde_json::json;
use tidelog::offline::log::Prepared;
use tidelog::offline::segment::{self, GiveUp};

use crate::START_MS;
use crate::broker::Broker;
use crate::cluster::Cluster;

/// A cluster with a stream of one shard and a record in it, whose first node is stopped.
async fn cluster() -> Cluster {
    let mut cluster = Cluster::start().await;
    cluster.create_stream(0, "a", 1).await;
    cluster.persist(0, "PutRecord", json!({"StreamName": "a", "PartitionKey": "k", "Data": "aGk="})).await;
    cluster.retire(0).await;
    cluster.stop(0).await;
    cluster
}

#[tokio::test(flavor = "multi_thread")]
async fn it_does_not_start_on_its_own() {
    let cluster = cluster().await;
    let refused = Broker::try_start(cluster.directory(0), START_MS).await.err().expect("a refusal");
    assert!(refused.contains("--cluster"), "{refused}");
    cluster.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn its_log_is_not_given_up() {
    let cluster = cluster().await;
    let refused = Prepared::look(cluster.directory(0)).err().expect("a refusal").to_string();
    assert!(refused.contains("tidelog cluster replace"), "{refused}");
    cluster.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn its_records_are_given_up_only_when_no_copy_is_left() {
    let cluster = cluster().await;
    let give_up = |has_no_copy| {
        let data = cluster.directory(0).to_owned();
        let (stream, shard, first, last) = ("a".to_owned(), 0, 1, 1);
        segment::give_up(&GiveUp {
            data,
            stream,
            account: None,
            region: None,
            shard,
            first,
            last,
            has_no_copy,
        })
    };
    let refused = give_up(false).expect_err("a refusal").to_string();
    assert!(refused.contains("--no-copy-left"), "{refused}");
    let done = give_up(true).expect("given up");
    assert!(done.contains("records 1 to 1"), "{done}");
    cluster.end().await;
}
