//! Streams of two accounts, or of two regions, have nothing to do with each other, whatever they are called.

use serde_json::{Value, json};
use tidelog::limits::ControlLimits;
use tidelog::ops::Fault;

use crate::START_MS;
use crate::broker::{Broker, said};

const PLACES: [(&str, &str); 3] =
    [("000000000000", "us-east-1"), ("000000000000", "eu-west-1"), ("123456789012", "us-east-1")];

fn arn((account, region): (&str, &str), name: &str) -> String {
    format!("arn:aws:kinesis:{region}:{account}:stream/{name}")
}

async fn ok(broker: &Broker, place: (&str, &str), operation: &str, body: Value) -> Value {
    broker
        .call_as(place, operation, body)
        .await
        .unwrap_or_else(|fault| panic!("{operation} as {place:?}: {fault:?}"))
}

/// Data of the records of the stream of that ARN, as `place` reads them.
async fn read(broker: &Broker, place: (&str, &str), arn: &str) -> Vec<String> {
    let from =
        json!({"StreamARN": arn, "ShardId": "shardId-000000000000", "ShardIteratorType": "TRIM_HORIZON"});
    let iterator = ok(broker, place, "GetShardIterator", from).await["ShardIterator"].clone();
    let records = ok(broker, place, "GetRecords", json!({"ShardIterator": iterator})).await;
    let data = |record: &Value| record["Data"].as_str().unwrap().to_owned();
    records["Records"].as_array().unwrap().iter().map(data).collect()
}

#[tokio::test]
async fn namesakes_in_other_accounts_and_regions_are_apart() {
    let directory = tempfile::tempdir().unwrap();
    let broker = Broker::start(directory.path(), START_MS).await;
    for (place, shards) in PLACES.into_iter().zip(1..) {
        ok(&broker, place, "CreateStream", json!({"StreamName": "a", "ShardCount": shards})).await;
        let put = json!({"StreamName": "a", "PartitionKey": "k", "ExplicitHashKey": "0", "Data": format!("AAA{shards}")});
        ok(&broker, place, "PutRecord", put).await;
        let register = json!({"StreamARN": arn(place, "a"), "ConsumerName": "app"});
        ok(&broker, place, "RegisterStreamConsumer", register).await;
    }
    for (place, shards) in PLACES.into_iter().zip(1..) {
        let arn = arn(place, "a");
        let summary = ok(&broker, place, "DescribeStreamSummary", json!({"StreamName": "a"})).await;
        let summary = &summary["StreamDescriptionSummary"];
        assert_eq!((&summary["OpenShardCount"], &summary["StreamARN"]), (&json!(shards), &json!(arn)));
        let limits = ok(&broker, place, "DescribeLimits", json!({})).await;
        assert_eq!(limits["OpenShardCount"], shards);
        let listed = ok(&broker, place, "ListStreams", json!({})).await;
        assert_eq!(listed["StreamNames"], json!(["a"]));
        assert_eq!(listed["StreamSummaries"][0]["StreamARN"], json!(arn));
        // With an ARN its account and region decide, not those of the caller.
        for caller in PLACES {
            assert_eq!(read(&broker, caller, &arn).await, [format!("AAA{shards}")]);
            let found = ok(&broker, caller, "ListShards", json!({"StreamARN": arn})).await;
            assert_eq!(found["Shards"].as_array().unwrap().len(), shards);
            let found = ok(&broker, caller, "ListStreamConsumers", json!({"StreamARN": arn})).await;
            let consumer = found["Consumers"][0]["ConsumerARN"].as_str().unwrap();
            assert!(consumer.starts_with(&format!("{arn}/consumer/app:")), "{consumer}");
        }
    }
    // A stream that is deleted in one account and region stays in the others.
    let delete = json!({"StreamName": "a", "EnforceConsumerDeletion": true});
    ok(&broker, PLACES[0], "DeleteStream", delete).await;
    let gone = broker.call_as(PLACES[0], "DescribeStreamSummary", json!({"StreamName": "a"})).await;
    let text = "Stream a under account 000000000000 not found.";
    assert_eq!(said(gone), ("ResourceNotFoundException", text.to_owned()));
    for place in &PLACES[1..] {
        ok(&broker, *place, "DescribeStreamSummary", json!({"StreamName": "a"})).await;
    }
    let elsewhere = arn(("123456789012", "eu-west-1"), "a");
    for operation in
        ["DescribeStream", "DescribeStreamSummary", "ListShards", "DeleteStream", "ListStreamConsumers"]
    {
        let gone = broker.call_as(PLACES[2], operation, json!({"StreamARN": elsewhere})).await;
        assert!(matches!(gone, Err(Fault::ResourceNotFound(_))), "{operation}: {gone:?}");
    }
    broker.stop().await;
}

#[tokio::test]
async fn invented_accounts_do_not_fill_the_metadata() {
    let directory = tempfile::tempdir().unwrap();
    let broker = Broker::start_with(directory.path(), START_MS, |config| {
        config.control_limits = ControlLimits { cluster_shards_max: 400, ..ControlLimits::off() };
    })
    .await;
    let mut shards = 0;
    for account in 0..40 {
        let account = format!("{account:012}");
        let create = json!({"StreamName": "large", "ShardCount": 100});
        match broker.call_as((&account, "us-east-1"), "CreateStream", create).await {
            Ok(_) => shards += 100,
            Err(fault) => {
                let exception = fault.exception();
                let text = exception.text();
                assert_eq!(exception.name, "LimitExceededException", "{text}");
                assert!(text.contains("of the 400") || text.contains("limit of 400 shards"), "{text}");
            }
        }
    }
    assert_eq!(shards, 300, "each leaves as much as it has");
    // Others still find room, and a deleted stream makes room again.
    ok(
        &broker,
        ("999999999999", "us-east-1"),
        "CreateStream",
        json!({"StreamName": "small", "ShardCount": 4}),
    )
    .await;
    ok(&broker, ("000000000000", "us-east-1"), "DeleteStream", json!({"StreamName": "large"})).await;
    broker.stop().await;
    // A start survives being at the bound, also one that has become smaller.
    let broker = Broker::start_with(directory.path(), START_MS, |config| {
        config.control_limits = ControlLimits { cluster_shards_max: 50, ..ControlLimits::off() };
    })
    .await;
    let small = ("999999999999", "us-east-1");
    ok(&broker, small, "DescribeStream", json!({"StreamName": "small"})).await;
    let refused = broker.call_as(small, "CreateStream", json!({"StreamName": "b", "ShardCount": 1})).await;
    let words = "This request would exceed the limit of 50 shards of the cluster. Closed shards count until their records \
                 have expired.";
    assert_eq!(said(refused), ("LimitExceededException", words.to_owned()));
    broker.stop().await;
}
