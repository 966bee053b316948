//! Any node of a cluster takes any request.

use std::collections::BTreeSet;
use std::time::Duration;

use serde_json::{Value, json};
use tidelog::limits::ShardLimits;
use tidelog::ops::Reply;
use tidelog::room::{AnswerRoom, Class, FILE_READ_BYTES, Room, Shares};

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
    cluster.create_stream(0, name, shards).await;
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
    // Each request has more than the shard takes in its second, on every node.
    let records = json!(vec![json!({"Data": "aGk=", "PartitionKey": "k"}); 100]);
    for at in 0..3 {
        tokio::time::sleep(Duration::from_millis(1_100)).await;
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

#[tokio::test(flavor = "multi_thread")]
async fn records_of_another_node_are_as_many_as_there_is_room_for() {
    const RECORDS: usize = 6;
    let cluster = Cluster::start().await;
    cluster.create_stream(0, "large", 3).await;
    let data = base64_simd::STANDARD.encode_to_string(vec![b'x'; 1_000_000]);
    let put = json!({"StreamName": "large", "PartitionKey": "k", "Data": data});
    let mut shard = Value::Null;
    for _ in 0..RECORDS {
        shard = cluster.persist(0, "PutRecord", put.clone()).await["ShardId"].clone();
    }
    let from = json!({"StreamName": "large", "ShardId": shard, "ShardIteratorType": "TRIM_HORIZON"});
    // 20 MiB: 3.5 are for answers that are neither small nor out of the reserve.
    let memory = Shares::default().with(Class::Answers, FILE_READ_BYTES + (20 << 20));
    for at in 0..3 {
        let room = Room::new(memory);
        let account = room.accounts.open([127, 0, 0, 1].into());
        let answers = AnswerRoom::new(&room.answers, &account);
        let mut iterator =
            cluster.persist(at, "GetShardIterator", from.clone()).await["ShardIterator"].clone();
        let (mut records, mut answered) = (0, 0);
        while records < RECORDS {
            let read = json!({"ShardIterator": iterator});
            let reply = cluster.reply_in(answers.clone(), at, "GetRecords", read).await;
            let Ok(Reply::Charged(body, charge)) = reply else {
                panic!("at {at}: an answer under its charge")
            };
            assert_eq!((charge.bytes(), room.answers.used() >= body.len()), (body.len(), true));
            let answer: Value = serde_json::from_slice(&body).unwrap();
            iterator = answer["NextShardIterator"].clone();
            records += answer["Records"].as_array().unwrap().len();
            answered += 1;
        }
        assert!(records == RECORDS && answered > 2, "at {at}: {answered} answers");
        assert_eq!(room.answers.used(), 0);
    }
    cluster.end().await;
}
