//! Two brokers get the same calls, one in JSON and one in CBOR, and must answer the same.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::time::Duration;

use tidelog::clock::Clock;
use tidelog::ops::Codec;
use tidelog::ops::api::{Operation, State};
use tidelog_proto::Document;

use crate::broker::{Broker, Client};
use crate::model::Model;

/// Operations and requests, in order; `$Name` stands for the last token of that name that was answered. The effects
/// of a call are waited for (`settled`).
const CALLS: &[(&str, &str)] = &[
    ("CreateStream", r#"{"StreamName":"a","ShardCount":2}"#),
    ("CreateStream", r#"{"StreamName":"a","ShardCount":2}"#),
    ("DescribeStreamSummary", r#"{"StreamName":"a"}"#),
    ("PutRecord", r#"{"StreamName":"a","Data":"/wD/","PartitionKey":"é"}"#),
    ("PutRecord", r#"{"StreamName":"a","Data":"","PartitionKey":"k","ExplicitHashKey":"0","DryRun":false}"#),
    ("PutRecord", r#"{"StreamName":"a","Data":"","PartitionKey":"k","ExplicitHashKey":"0","DryRun":true}"#),
    (
        "PutRecords",
        r#"{"StreamName":"a","Records":[{"Data":"aGk=","PartitionKey":"k"},{"Data":"aG8=","PartitionKey":"x"}]}"#,
    ),
    (
        "PutRecords",
        r#"{"StreamARN":"arn:aws:kinesis:us-east-1:000000000000:stream/a","Records":[{"Data":"aGk=","PartitionKey":"k"}]}"#,
    ),
    ("PutRecords", r#"{"StreamName":"none","Records":[{"Data":"aGk=","PartitionKey":"k"}]}"#),
    ("GetShardIterator", r#"{"StreamName":"a","ShardId":"shardId-0","ShardIteratorType":"TRIM_HORIZON"}"#),
    ("GetRecords", r#"{"ShardIterator":"$ShardIterator","Limit":1}"#),
    ("GetRecords", r#"{"ShardIterator":"$NextShardIterator"}"#),
    (
        "GetShardIterator",
        r#"{"StreamName":"a","ShardId":"shardId-1","ShardIteratorType":"AT_TIMESTAMP","Timestamp":1700000000}"#,
    ),
    ("GetRecords", r#"{"ShardIterator":"$ShardIterator"}"#),
    (
        "GetShardIterator",
        r#"{"StreamName":"a","ShardId":"shardId-1","ShardIteratorType":"AT_TIMESTAMP","Timestamp":1700000001}"#,
    ),
    ("ListShards", r#"{"StreamName":"a","MaxResults":1}"#),
    ("ListShards", r#"{"NextToken":"$NextToken"}"#),
    ("ListShards", r#"{"StreamName":"a","ShardFilter":{"Type":"AT_TIMESTAMP","Timestamp":1700000000}}"#),
    ("SplitShard", r#"{"StreamName":"a","ShardToSplit":"shardId-0","NewStartingHashKey":"1000"}"#),
    ("DescribeStream", r#"{"StreamName":"a"}"#),
    ("GetShardIterator", r#"{"StreamName":"a","ShardId":"shardId-0","ShardIteratorType":"TRIM_HORIZON"}"#),
    ("GetRecords", r#"{"ShardIterator":"$ShardIterator"}"#),
    ("IncreaseStreamRetentionPeriod", r#"{"StreamName":"a","RetentionPeriodHours":48}"#),
    ("DescribeStream", r#"{"StreamName":"a"}"#),
    ("ListStreams", "{}"),
    ("DescribeLimits", "{}"),
    ("NoSuchOperation", "{}"),
];

/// Members whose values are sealed anew each time.
const TOKENS: [&str; 3] = ["ShardIterator", "NextShardIterator", "NextToken"];

struct Side {
    client: Client,
    codec: Codec,
    tokens: HashMap<String, Document>,
}

impl Side {
    async fn new(broker: &Broker, codec: Codec) -> Self {
        Self { client: broker.client().await, codec, tokens: HashMap::new() }
    }

    /// Answers with the tokens taken out.
    async fn call(&mut self, operation: &str, mut request: Document) -> (u16, Option<String>) {
        let Document::Map(members) = &mut request else { panic!("a structure") };
        for (_, value) in members {
            if let Document::Text(text) = value
                && let Some(name) = text.strip_prefix('$')
            {
                *value = self.tokens[name].clone();
            }
        }
        let (status, mut answer) = self.client.call(operation, &request, self.codec).await;
        if let Some(Document::Map(members)) = &mut answer {
            for (name, value) in members.iter_mut().filter(|(name, _)| TOKENS.contains(&&**name)) {
                self.tokens.insert(name.to_string(), std::mem::replace(value, "sealed".into()));
            }
        }
        let shown = |answer| String::from_utf8(Codec::Json.encode(&answer)).expect("JSON is text");
        (status, answer.map(shown))
    }

    /// Waits until the stream, if there is one, has completed its last change.
    async fn settled(&mut self) {
        let request = Document::structure([("StreamName", "a".into())]);
        for _ in 0..500 {
            let (status, answer) = self.call("DescribeStreamSummary", request.clone()).await;
            if status != 200 || answer.is_some_and(|answer| answer.contains("\"StreamStatus\":\"ACTIVE\"")) {
                return;
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        panic!("the stream does not come to rest");
    }
}

#[tokio::test]
async fn both_codecs_say_the_same() {
    let model = Model::read();
    let clock = || Clock::Manual(Arc::new(AtomicU64::new(1_700_000_000_007)));
    let (json_broker, cbor_broker) = (Broker::start_at(clock()).await, Broker::start_at(clock()).await);
    let mut json = Side::new(&json_broker, Codec::Json).await;
    let mut cbor = Side::new(&cbor_broker, Codec::Cbor).await;
    let inputs = model.operations().collect::<HashMap<_, _>>();
    let called = CALLS.iter().map(|(operation, body)| {
        let document = Codec::Json.decode(&(*body).into()).expect("JSON");
        let shape = inputs.get(operation).copied().flatten();
        (*operation, shape.map_or(document.clone(), |shape| model.typed(shape, document)))
    });
    // The smallest request of every other operation; operations that make or end streams were called above.
    let others = Operation::ALL.iter().map(|operation| operation.name()).filter(|name| {
        *name != "SubscribeToShard"
            && *name != "DeleteStream"
            && CALLS.iter().all(|(called, _)| called != name)
    });
    let others = others.map(|name| (name, model.request(name)));
    let last = [("DeleteStream", Document::structure([("StreamName", "a".into())]))];
    for (operation, request) in called.chain(others).chain(last) {
        let expected = json.call(operation, request.clone()).await;
        if let Some(known) = Operation::named(operation) {
            let is_refused = format!("{expected:?}").contains("not available");
            assert_eq!(
                is_refused,
                matches!(known.properties().state, State::NotBuilt(_)),
                "{operation}: {expected:?}"
            );
        }
        assert_eq!(cbor.call(operation, request).await, expected, "{operation}");
        json.settled().await;
        cbor.settled().await;
    }
    json_broker.stop().await;
    cbor_broker.stop().await;
}

#[tokio::test]
async fn records_come_back_in_the_other_codec() {
    let broker = Broker::start().await;
    let mut json = Side::new(&broker, Codec::Json).await;
    let mut cbor = Side::new(&broker, Codec::Cbor).await;
    let create = Document::structure([("StreamName", "a".into()), ("ShardCount", 1u32.into())]);
    assert_eq!(cbor.call("CreateStream", create).await, (200, None));
    cbor.settled().await;
    for (side, key) in [(&mut cbor, "from cbor"), (&mut json, "from json")] {
        let data = Document::Blob(b"\x00\xff".as_slice().into());
        let put =
            Document::structure([("StreamName", "a".into()), ("Data", data), ("PartitionKey", key.into())]);
        assert_eq!(side.call("PutRecord", put).await.0, 200);
    }
    let from = Document::structure([
        ("StreamName", "a".into()),
        ("ShardId", "0".into()),
        ("ShardIteratorType", "TRIM_HORIZON".into()),
    ]);
    for side in [&mut json, &mut cbor] {
        side.call("GetShardIterator", from.clone()).await;
        let (_, records) =
            side.call("GetRecords", Document::structure([("ShardIterator", "$ShardIterator".into())])).await;
        let records = records.expect("an answer");
        assert_eq!(records.matches(r#""Data":"AP8=""#).count(), 2, "{records}");
        assert!(records.contains("from cbor") && records.contains("from json"), "{records}");
    }
    broker.stop().await;
}

#[tokio::test]
async fn refusals_outside_of_operations_use_the_codec_of_the_request() {
    let bounds = tidelog::wire::Bounds { body_bytes_max: 100, ..tidelog::wire::Bounds::default() };
    let broker = Broker::start_with(bounds).await;
    for codec in [Codec::Json, Codec::Cbor] {
        let mut client = broker.client().await;
        let request = Document::structure([("NextToken", "a".repeat(200).into())]);
        let (status, answer) = client.call("ListStreams", &request, codec).await;
        let name = answer.as_ref().and_then(|answer| answer.get("__type")).cloned();
        assert_eq!((status, name), (413, Some("RequestEntityTooLargeException".into())));
    }
    broker.stop().await;
}
