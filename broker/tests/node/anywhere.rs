//! Any node of a cluster takes any request.

use std::collections::BTreeSet;

use serde_json::{Value, json};
use tidelog::limits::ShardLimits;

use crate::cluster::Cluster;

/// Hash keys in the middle of each of six even shards.
fn keys() -> Vec<String> {
    (0..6u128).map(|shard| (u128::MAX / 12 * (2 * shard + 1)).to_string()).collect()
}

fn records(name: &str) -> Value {
    let record = |key: &String| json!({"Data": "aGk=", "PartitionKey": name, "ExplicitHashKey": key});
    Value::Array(keys().iter().map(record).collect())
}

async fn create(cluster: &Cluster, name: &str, shards: u32) {
    cluster.ok(0, "CreateStream", json!({"StreamName": name, "ShardCount": shards})).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn puts_through_every_node_reach_every_shard_in_order() {
    let cluster = Cluster::start().await;
    create(&cluster, "a", 6).await;
    let mut last = vec![String::new(); 6];
    for round in 0..6 {
        let at = round % 3;
        let put = json!({"StreamName": "a", "Records": records(&round.to_string())});
        let answer = cluster.persist(at, "PutRecords", put).await;
        assert_eq!(answer["FailedRecordCount"], 0, "through {at}: {answer}");
        let results = answer["Records"].as_array().expect("results");
        let shards: BTreeSet<_> = results.iter().map(|result| result["ShardId"].to_string()).collect();
        assert_eq!(shards.len(), 6);
        for (result, last) in results.iter().zip(&mut last) {
            let number = result["SequenceNumber"].as_str().expect("a number").to_owned();
            assert!((last.len(), &*last) < (number.len(), &number), "through {at}: {last}, then {number}");
            *last = number;
        }
    }
    cluster.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn records_are_charged_once_and_where_their_shard_is_led() {
    let cluster = Cluster::start_with(|config| {
        config.limits = ShardLimits { write_records_per_second: Some(20), ..ShardLimits::off() };
    })
    .await;
    create(&cluster, "a", 1).await;
    // Each request is of one second and more than the shard takes in it, whoever is asked.
    let records = json!(vec![json!({"Data": "aGk=", "PartitionKey": "k"}); 100]);
    for at in 0..3 {
        tokio::time::sleep(std::time::Duration::from_millis(1_100)).await;
        let answer = cluster.persist(at, "PutRecords", json!({"StreamName": "a", "Records": records})).await;
        let results = answer["Records"].as_array().expect("results");
        let taken: Vec<_> = results.iter().filter(|result| result["SequenceNumber"].is_string()).collect();
        // Some more come in while the request is looked at.
        assert!((20..=25).contains(&taken.len()), "through {at}: {}", taken.len());
        assert!(taken[..20].iter().zip(results).all(|(taken, result)| *taken == result), "the first ones");
        let refused = results.last().expect("results");
        assert_eq!(refused["ErrorCode"], "ProvisionedThroughputExceededException", "through {at}");
    }
    cluster.end().await;
}
