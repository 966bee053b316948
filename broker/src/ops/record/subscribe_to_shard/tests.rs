//! Requests and the bytes of events; the life of a subscription is tested at the wire.

use serde_json::{Value, json};
use tidelog_proto::event_stream::Part;

use super::*;
use crate::ops::api::ShardIteratorType;
use crate::ops::cases::{self, NOW_MS};
use crate::ops::record::position::Begin;
use crate::service::Run;

const CONSUMER: &str = "arn:aws:kinesis:us-east-1:000000000000:stream/S/consumer/app:1699998200";

fn body(position: &str) -> String {
    format!(r#"{{"ConsumerARN":"{CONSUMER}","ShardId":"shardId-0","StartingPosition":{position}}}"#)
}

fn payload(parts: &[Bytes]) -> Value {
    let mut bytes = Bytes::from(parts.concat());
    let message = event_stream::decode(&mut bytes).unwrap().unwrap();
    assert!(bytes.is_empty());
    assert_eq!(message.header(":event-type"), Some("SubscribeToShardEvent"));
    serde_json::from_slice(&message.payload).unwrap()
}

fn record(ordinal: u64, data: &'static [u8]) -> ReadRecord {
    let key = Bytes::from_static(b"k");
    ReadRecord { ordinal, time_ms: NOW_MS, partition_key: Some(key), data: Bytes::from_static(data) }
}

fn event(records: &[ReadRecord], next_ordinal: u64, millis_behind: u64) -> Event {
    let encoded = Part::new(encode(&cases::stream("S", 1).shards[0], records));
    let records = records.len() as u64;
    let run = Run { next_ordinal, last_time_ms: NOW_MS, records, bytes: 0, encoded };
    Event { run: (records > 0).then(|| Arc::new(run)), next_ordinal, millis_behind }
}

#[test]
fn an_event_has_the_members_that_consumers_know() {
    let shard = &cases::stream("S", 1).shards[0];
    let number = SequenceNumber { time_s: NOW_MS / 1_000, ..SequenceNumber::starting(shard.created_s, 0) };
    let written = |ordinal| {
        let number = SequenceNumber { ordinal, ..number }.to_string();
        json!({
            "SequenceNumber": number,
            "ApproximateArrivalTimestamp": 1_700_000_000.0,
            "Data": "aGk=",
            "PartitionKey": "k",
        })
    };
    let large: &'static [u8] = Box::leak(vec![0; 100_000].into());
    for (records, expected) in [
        (vec![], json!([])),
        (vec![record(6, b"hi"), record(7, b"hi")], json!([written(6), written(7)])),
        (vec![record(7, large)], Value::Null),
    ] {
        let parts = write_event(shard, &event(&records, 8, 1_500), NOW_MS);
        let mut found = payload(&parts);
        let found_records = found["Records"].take();
        if expected != Value::Null {
            assert_eq!(found_records, expected);
        }
        assert_eq!(found_records.as_array().unwrap().len(), records.len());
        let after = SequenceNumber { ordinal: 7, after: true, ..number }.to_string();
        let rest = json!({"Records": null, "MillisBehindLatest": 1_500, "ContinuationSequenceNumber": after});
        assert_eq!(found, rest);
    }
}

#[test]
fn a_continuation_repeats_and_skips_nothing_wherever_it_is_used() {
    let stream = cases::stream("S", 1);
    let shard = &stream.shards[0];
    for next_ordinal in [1, 2, 8, 1 << 40] {
        let found = payload(&write_event(shard, &event(&[], next_ordinal, 0), NOW_MS));
        let number = found["ContinuationSequenceNumber"].as_str().unwrap();
        let record = |ordinal| SequenceNumber {
            ordinal,
            time_s: NOW_MS / 1_000,
            ..SequenceNumber::starting(shard.created_s, 0)
        };
        assert!(
            *number > *record(next_ordinal - 1).to_string() && *number < *record(next_ordinal).to_string()
        );
        for kind in [ShardIteratorType::AtSequenceNumber, ShardIteratorType::AfterSequenceNumber] {
            for operation in ["GetShardIterator", "SubscribeToShard"] {
                let asked = Asked { operation, kind, number: Some(number), time_ms: None };
                let begin = asked.begin(&stream, shard, NOW_MS);
                assert_eq!(begin, Ok(Begin::Ordinal(next_ordinal)), "{operation} {kind:?}");
            }
        }
    }
}

#[test]
fn the_end_of_a_shard_has_children_and_no_continuation() {
    let found = payload(&[write_end(&cases::split_stream("S", 600_000), ShardId(0))]);
    assert_eq!((&found["Records"], &found["MillisBehindLatest"]), (&json!([]), &json!(0)));
    assert_eq!(found.get("ContinuationSequenceNumber"), None);
    let children = found["ChildShards"].as_array().unwrap();
    assert_eq!(children.len(), 2);
    assert_eq!(children[0]["ParentShards"], json!(["shardId-000000000000"]));
}

#[test]
fn positions_are_read_from_their_structure() {
    let stream = cases::stream("S", 1);
    let number = SequenceNumber { ordinal: 7, ..SequenceNumber::starting(stream.shards[0].created_s, 0) };
    for (position, expected) in [
        (r#"{"Type":"TRIM_HORIZON"}"#.to_owned(), Begin::Ordinal(1)),
        (r#"{"Type":"LATEST"}"#.to_owned(), Begin::Latest),
        (r#"{"Type":"AT_TIMESTAMP","Timestamp":1699999999.5}"#.to_owned(), Begin::Time(1_699_999_999_500)),
        (format!(r#"{{"Type":"AT_SEQUENCE_NUMBER","SequenceNumber":"{number}"}}"#), Begin::Ordinal(7)),
        (format!(r#"{{"Type":"AFTER_SEQUENCE_NUMBER","SequenceNumber":"{number}"}}"#), Begin::Ordinal(8)),
    ] {
        let input = cases::input::<SubscribeToShardInput>(&body(&position)).unwrap();
        assert_eq!(asked(&input).begin(&stream, &stream.shards[0], NOW_MS), Ok(expected), "{position}");
    }
    let foreign = SequenceNumber { created_s: number.created_s - 1, ..number };
    let position = format!(r#"{{"Type":"AT_SEQUENCE_NUMBER","SequenceNumber":"{foreign}"}}"#);
    let input = cases::input::<SubscribeToShardInput>(&body(&position)).unwrap();
    let expected = format!(
        "StartingSequenceNumber {foreign} used in SubscribeToShard on shard shardId-000000000000 in stream S under \
         account 000000000000 is invalid because it did not come from this stream."
    );
    let begun = asked(&input).begin(&stream, &stream.shards[0], NOW_MS).map_err(Fault::from);
    assert_eq!(cases::said(begun), ("InvalidArgumentException", expected));
}

#[test]
fn bounds_are_named_in_aws_words() {
    let fault = cases::input::<SubscribeToShardInput>(r#"{"ShardId":"a","StartingPosition":{"Type":"x"}}"#);
    let expected = cases::expected(&[
        ("null", "consumerARN", "Member must not be null"),
        (
            "x",
            "startingPosition.type",
            "Member must satisfy enum value set: [AT_SEQUENCE_NUMBER, AFTER_SEQUENCE_NUMBER, TRIM_HORIZON, LATEST, \
             AT_TIMESTAMP]",
        ),
    ]);
    assert_eq!(cases::violations(&fault.unwrap_err()), expected);
}

#[test]
fn a_consumer_has_to_be_active_and_alone() {
    let stream = cases::stream("S", 1);
    let mut consumer = cases::consumer("app", 7);
    assert_eq!(check_active(&stream, &consumer), Ok(()));
    for status in [ConsumerStatus::Creating, ConsumerStatus::Deleting] {
        consumer.status = status;
        let text = "Consumer app with creation timestamp 1699998200 under stream: S , account 000000000000 is not in \
                    ACTIVE status.";
        assert_eq!(
            cases::said(check_active(&stream, &consumer)),
            ("ResourceInUseException", text.to_owned())
        );
    }
    let fault = subscription_fault(SubscribeRefusal::TooSoon, &stream, &consumer);
    let text = "Another active subscription exists for this consumer: 000000000000:S:app";
    assert_eq!(fault.exception().text(), text);
}
