//! The control plane over the wire: settings of a stream, its consumers and its account are described again, also
//! after a restart, and go with the stream.

use serde_json::{Value, json};

use crate::broker::{Answer, Broker, post};

const STREAM: &str = "arn:aws:kinesis:us-east-1:000000000000:stream/orders";
const POLICY: &str = r#"{"Version":"2012-10-17","Statement":{"Effect":"Allow","Principal":{"AWS":"123456789012"},
    "Action":"kinesis:GetRecords","Resource":"*"}}"#;
const SHARD_SERIES: &str =
    r#"tidelog_shard_incoming_records_total{stream="orders",shard="shardId-000000000000"}"#;

async fn call(broker: &Broker, operation: &str, body: &Value) -> Answer {
    let mut client = broker.client().await;
    client.send(&post(operation, &body.to_string())).await;
    client.answer().await
}

/// Calls an operation that must succeed, and returns its answer; null for no output.
async fn ok(broker: &Broker, operation: &str, body: Value) -> Value {
    let answer = call(broker, operation, &body).await;
    assert_eq!(answer.status, 200, "{operation} {body}: {answer:?}");
    if answer.body.is_empty() { Value::Null } else { serde_json::from_str(&answer.body).unwrap() }
}

/// The exception that an operation answers instead.
async fn refused(broker: &Broker, operation: &str, body: Value) -> String {
    let answer = call(broker, operation, &body).await;
    assert_eq!(answer.status, 400, "{operation} {body}: {answer:?}");
    serde_json::from_str::<Value>(&answer.body).unwrap()["__type"].as_str().unwrap().to_owned()
}

/// The value of a series on the page of metrics.
async fn series(broker: &Broker, name: &str) -> Option<u64> {
    let mut client = broker.client().await;
    client.send("GET /metrics HTTP/1.1\r\nHost: localhost\r\n\r\n").await;
    let page = client.answer().await.body;
    let value = page.lines().find_map(|line| line.strip_prefix(name))?;
    Some(value.trim().parse().unwrap())
}

#[tokio::test(flavor = "multi_thread")]
async fn settings_survive_a_restart_and_go_with_the_stream() {
    let broker = Broker::start().await;
    let created = json!({"StreamName": "orders", "ShardCount": 1, "Tags": {"stage": "test"}});
    ok(&broker, "CreateStream", created).await;
    let register = json!({"StreamARN": STREAM, "ConsumerName": "app", "Tags": {"team": "a"}});
    let registered = ok(&broker, "RegisterStreamConsumer", register.clone()).await;
    assert_eq!(registered["Consumer"]["ConsumerStatus"], "CREATING");
    let consumer = registered["Consumer"]["ConsumerARN"].clone();
    assert_eq!(refused(&broker, "RegisterStreamConsumer", register).await, "ResourceInUseException");

    ok(&broker, "AddTagsToStream", json!({"StreamName": "orders", "Tags": {"owner": "b"}})).await;
    ok(&broker, "TagResource", json!({"ResourceARN": consumer, "Tags": {"use": "test"}})).await;
    ok(&broker, "RemoveTagsFromStream", json!({"StreamName": "orders", "TagKeys": ["stage"]})).await;
    ok(&broker, "PutResourcePolicy", json!({"ResourceARN": STREAM, "Policy": POLICY})).await;
    ok(&broker, "PutResourcePolicy", json!({"ResourceARN": consumer, "Policy": POLICY})).await;
    ok(&broker, "DeleteResourcePolicy", json!({"ResourceARN": consumer})).await;
    ok(&broker, "EnableEnhancedMonitoring", json!({"StreamName": "orders", "ShardLevelMetrics": ["ALL"]}))
        .await;
    let fewer = json!({"StreamName": "orders", "ShardLevelMetrics": ["OutgoingBytes"]});
    let monitored = ok(&broker, "DisableEnhancedMonitoring", fewer).await;
    assert_eq!(monitored["CurrentShardLevelMetrics"].as_array().unwrap().len(), 7);
    assert_eq!(monitored["DesiredShardLevelMetrics"].as_array().unwrap().len(), 6);
    ok(&broker, "UpdateMaxRecordSize", json!({"StreamARN": STREAM, "MaxRecordSizeInKiB": 2048})).await;
    let auto = json!({"StreamARN": STREAM, "RecordDistributionStrategy": "AUTO"});
    let strategy = "UpdateStreamRecordDistributionStrategy";
    assert_eq!(refused(&broker, strategy, auto.clone()).await, "InvalidArgumentException");
    let mode = json!({"StreamARN": STREAM, "StreamModeDetails": {"StreamMode": "ON_DEMAND"}});
    ok(&broker, "UpdateStreamMode", mode.clone()).await;
    ok(&broker, "UpdateStreamMode", mode).await;
    ok(&broker, strategy, auto).await;
    let warm = json!({"StreamName": "orders", "WarmThroughputMiBps": 1});
    assert_eq!(
        refused(&broker, "UpdateStreamWarmThroughput", warm.clone()).await,
        "InvalidArgumentException"
    );
    let enable = json!({"MinimumThroughputBillingCommitment": {"Status": "ENABLED"}});
    let committed = ok(&broker, "UpdateAccountSettings", enable).await;
    assert_eq!(committed["MinimumThroughputBillingCommitment"]["Status"], "ENABLED");
    let warmed = ok(&broker, "UpdateStreamWarmThroughput", warm).await;
    assert_eq!(warmed["WarmThroughput"], json!({"TargetMiBps": 1, "CurrentMiBps": 1}));
    let encryption = json!({"StreamName": "orders", "EncryptionType": "KMS", "KeyId": "alias/aws/kinesis"});
    assert_eq!(refused(&broker, "StartStreamEncryption", encryption.clone()).await, "KMSOptInRequired");
    ok(&broker, "StopStreamEncryption", encryption).await;

    let put = json!({"StreamName": "orders", "PartitionKey": "k", "Data": "YQ=="});
    ok(&broker, "PutRecord", put.clone()).await;
    assert_eq!(series(&broker, SHARD_SERIES).await, Some(1));
    assert_eq!(series(&broker, &SHARD_SERIES.replace("incoming_records", "outgoing_bytes")).await, None);

    let told = everything(&broker, &consumer).await;
    let summary = &told[0]["StreamDescriptionSummary"];
    assert_eq!(summary["StreamModeDetails"]["StreamMode"], "ON_DEMAND");
    assert_eq!(summary["EnhancedMonitoring"][0]["ShardLevelMetrics"].as_array().unwrap().len(), 6);
    assert_eq!((&summary["ConsumerCount"], &summary["MaxRecordSizeInKiB"]), (&json!(1), &json!(2048)));
    assert_eq!(summary["RecordDistributionStrategy"], "AUTO");
    assert_eq!(told[1]["ConsumerDescription"]["ConsumerStatus"], "ACTIVE");
    assert_eq!(told[2], json!({"Tags": [{"Key": "owner", "Value": "b"}], "HasMoreTags": false}));
    let tags = json!([{"Key": "team", "Value": "a"}, {"Key": "use", "Value": "test"}]);
    assert_eq!(told[3], json!({"Tags": tags}));
    assert_eq!((&told[4]["Policy"], &told[5]["Policy"]), (&json!(POLICY), &json!("{}")));

    let broker = broker.restart().await;
    assert_eq!(everything(&broker, &consumer).await, told);
    ok(&broker, "PutRecord", put).await;
    assert_eq!(series(&broker, SHARD_SERIES).await, Some(1), "counts begin anew");

    assert_eq!(
        refused(&broker, "DeleteStream", json!({"StreamName": "orders"})).await,
        "ResourceInUseException"
    );
    ok(&broker, "DeleteStream", json!({"StreamName": "orders", "EnforceConsumerDeletion": true})).await;
    let described = json!({"ConsumerARN": consumer});
    assert_eq!(refused(&broker, "DescribeStreamConsumer", described).await, "ResourceNotFoundException");
    assert_eq!(series(&broker, SHARD_SERIES).await, None);
    broker.stop().await;
}

/// Returns the answers of the operations that describe something.
async fn everything(broker: &Broker, consumer: &Value) -> Vec<Value> {
    let mut told = Vec::new();
    for (operation, body) in [
        ("DescribeStreamSummary", json!({"StreamName": "orders"})),
        ("DescribeStreamConsumer", json!({"ConsumerARN": consumer})),
        ("ListTagsForStream", json!({"StreamName": "orders"})),
        ("ListTagsForResource", json!({"ResourceARN": consumer})),
        ("GetResourcePolicy", json!({"ResourceARN": STREAM})),
        ("GetResourcePolicy", json!({"ResourceARN": consumer})),
        ("ListStreamConsumers", json!({"StreamARN": STREAM})),
        ("DescribeAccountSettings", json!({})),
    ] {
        told.push(ok(broker, operation, body).await);
    }
    told
}

#[tokio::test(flavor = "multi_thread")]
async fn a_consumer_that_is_deregistered_makes_room_for_another_of_its_name() {
    let broker = Broker::start().await;
    ok(&broker, "CreateStream", json!({"StreamName": "orders", "ShardCount": 1})).await;
    let named = json!({"StreamARN": STREAM, "ConsumerName": "app"});
    for _ in 0..3 {
        ok(&broker, "RegisterStreamConsumer", named.clone()).await;
        let described = ok(&broker, "DescribeStreamConsumer", named.clone()).await;
        assert_eq!(described["ConsumerDescription"]["ConsumerStatus"], "ACTIVE");
        ok(&broker, "DeregisterStreamConsumer", named.clone()).await;
        let gone = refused(&broker, "DescribeStreamConsumer", named.clone()).await;
        assert_eq!(gone, "ResourceNotFoundException");
    }
    ok(&broker, "DeleteStream", json!({"StreamName": "orders"})).await;
    broker.stop().await;
}
