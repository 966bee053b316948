//! Both ways of reading a PutRecords must agree; bounds and answers are AWS's.

use proptest::prelude::*;

use super::*;
use crate::model::hash_key;
use crate::model::sequence_number::SequenceNumber;
use crate::model::stream::StreamStatus;
use crate::ops::api::PutRecordsInput;
use crate::ops::cases;
use crate::service::{AppendedRecord, Payload};

/// Reads a body in both ways; when the fast one takes it they must agree. Returns the records or the fault, and
/// whether the fast way took it.
fn read(body: &str, stream: &Stream) -> (Result<Vec<String>, Fault>, bool) {
    let call = cases::call(body);
    let shown = |entries: Vec<Entry<'_>>| {
        let records = records(stream, &entries)?;
        Ok(records.iter().map(|record| format!("{record:?}")).collect::<Vec<_>>())
    };
    let slow = cases::read::<PutRecordsInput>(&call);
    let slow = slow.and_then(|input| shown(entries(&input).collect()));
    let fast = json::read(&call.body);
    let fast = fast.as_ref().and_then(json::Request::entries).map(shown);
    let was_fast = fast.is_some();
    if let Some(fast) = fast {
        assert_eq!(fast, slow, "{body}");
    }
    (slow, was_fast)
}

#[test]
fn the_usual_request_is_read_without_a_copy() {
    let body = r#"{"StreamName":"a","Records":[{"Data":"aGk=","PartitionKey":"é"},
        {"PartitionKey":"k","ExplicitHashKey":"7","Data":""}]}"#;
    let request = json::read(body.as_bytes()).unwrap();
    let stream = cases::stream("a", 1);
    let entries = request.entries().unwrap();
    let records = records(&stream, &entries).unwrap();
    assert_eq!(records[0].hash_key, hash_key::of_partition_key("é"));
    assert_eq!(records[0].data, Payload::Base64 { text: "aGk=", decoded_len: 2 });
    assert_eq!((records[1].hash_key, records[1].partition_key), (7, Some("k")));
    let Payload::Base64 { text, .. } = records[0].data else { panic!("the data stays base64") };
    assert!(body.as_bytes().as_ptr_range().contains(&text.as_ptr()));
}

#[test]
fn oddities_take_the_slow_path_and_mean_the_same() {
    let stream = cases::stream("a", 1);
    let usual = r#"{"StreamName":"a","Records":[{"Data":"aGk=","PartitionKey":"k"}]}"#;
    let expected = read(usual, &stream).0.unwrap();
    for (body, fast) in [
        (usual, true),
        (r#" {"Records":[{"PartitionKey":"\u006b","Data":"aGk\u003d"}] , "StreamName":"\u0061"} "#, true),
        (r#"{"StreamName":"a","Records":[{"Data":"aGk=","PartitionKey":"k","ExplicitHashKey":null}]}"#, true),
        (r#"{"StreamName":"a","New":[{}],"Records":[{"Data":"aGk=","PartitionKey":"k","x":1}]}"#, false),
        (r#"{"StreamName":"b","StreamName":"a","Records":[{"Data":"aGk=","PartitionKey":"k"}]}"#, false),
        (
            r#"{"StreamARN":"arn:aws:kinesis:us-east-1:000000000000:stream/a","Records":[{"Data":"aGk=","PartitionKey":"k"}]}"#,
            false,
        ),
    ] {
        assert_eq!(read(body, &stream), (Ok(expected.clone()), fast), "{body}");
    }
}

#[test]
fn bounds_are_named_in_aws_words() {
    let stream = cases::stream("a", 1);
    let long_key = "é".repeat(257);
    let records = r#"{"Data":"","PartitionKey":"k"},"#.repeat(501);
    for (body, expected) in [
        ("{}".to_owned(), vec![("null", "records", "Member must not be null")]),
        (
            r#"{"Records":[]}"#.to_owned(),
            vec![("[]", "records", "Member must have length greater than or equal to 1")],
        ),
        (
            r#"{"StreamName":"a","Records":[null,{"Data":"","PartitionKey":""}]}"#.to_owned(),
            vec![
                ("null", "records.1.member.data", "Member must not be null"),
                ("", "records.2.member.partitionKey", "Member must have length greater than or equal to 1"),
            ],
        ),
        (
            format!(r#"{{"Records":[{{"Data":"","PartitionKey":"{long_key}","ExplicitHashKey":"01"}}]}}"#),
            vec![
                (
                    &long_key,
                    "records.1.member.partitionKey",
                    "Member must have length less than or equal to 256",
                ),
                (
                    "01",
                    "records.1.member.explicitHashKey",
                    r"Member must satisfy regular expression pattern: 0|([1-9]\d{0,38})",
                ),
            ],
        ),
    ] {
        let (found, fast) = read(&body, &stream);
        assert_eq!(cases::violations(&found.unwrap_err()), cases::expected(&expected), "{body}");
        assert!(!fast);
    }
    let body = format!(r#"{{"Records":[{}]}}"#, records.trim_end_matches(','));
    let text = cases::violations(&read(&body, &stream).0.unwrap_err()).pop_first().unwrap();
    assert!(text.ends_with(
        "at 'records' failed to satisfy constraint: Member must have length less than or equal to 500"
    ));
}

#[test]
fn only_ten_violations_are_named() {
    let body = format!(r#"{{"Records":[{}]}}"#, ["{}"; 20].join(","));
    let fault = read(&body, &cases::stream("a", 1)).0.unwrap_err();
    assert_eq!(cases::violations(&fault).len(), 10);
}

#[test]
fn wrong_types_are_named_in_aws_words() {
    let in_record = |data: &str| format!(r#"{{"Records":[{{"Data":{data},"PartitionKey":"k"}}]}}"#);
    for (body, expected) in [
        (r#"{"Records":{}}"#.to_owned(), "Start of structure or map found where not expected."),
        (r#"{"Records":"a"}"#.to_owned(), "Expected list or null"),
        (r#"{"Records":[[]]}"#.to_owned(), "Start of list found where not expected"),
        (r#"{"Records":["a"]}"#.to_owned(), "Expected null"),
        (
            in_record("1"),
            "class com.amazon.coral.value.json.numbers.TruncatingBigNumber can not be converted to a Blob",
        ),
        (
            in_record(r#""abc""#),
            "'abc' can not be converted to a Blob: Base64 encoded length is expected a multiple of 4 bytes but found: 3",
        ),
        (in_record(r#""a*bc""#), "'a*bc' can not be converted to a Blob: Invalid Base64 character: '*'"),
        (
            in_record(r#""aGj=""#),
            "'aGj=' can not be converted to a Blob: Invalid last non-pad Base64 character detected",
        ),
    ] {
        let (found, is_fast) = read(&body, &cases::stream("a", 1));
        assert_eq!(cases::said(found), ("SerializationException", expected.to_owned()), "{body}");
        assert!(!is_fast, "{body}");
    }
}

#[test]
fn sizes_and_hash_keys_fail_the_whole_call() {
    let mut stream = cases::stream("a", 1);
    let data = |bytes: usize| base64_simd::STANDARD.encode_to_string(vec![0; bytes]);
    let body = |records: &[String]| format!(r#"{{"StreamName":"a","Records":[{}]}}"#, records.join(","));
    let record = |bytes: usize| format!(r#"{{"Data":"{}","PartitionKey":"k"}}"#, data(bytes));
    assert!(read(&body(&[record((1 << 20) - 1)]), &stream).0.is_ok());
    assert!(matches!(read(&body(&[record(1 << 20)]), &stream).0, Err(Fault::InvalidArgument(_))));
    stream.max_record_kib = 10_240;
    let half = record((5 << 20) - 1);
    assert!(read(&body(&[half.clone(), half.clone()]), &stream).0.is_ok());
    let whole = read(&body(&[half.clone(), half, record(0)]), &stream).0;
    assert!(matches!(whole, Err(Fault::InvalidArgument(_))));
    let over = read(&body(&[record((10 << 20) + 1)]), &stream).0.unwrap_err();
    let expected = cases::expected(&[(
        "java.nio.HeapByteBuffer[pos=0 lim=10485761 cap=10485761]",
        "records.1.member.data",
        "Member must have length less than or equal to 10485760",
    )]);
    assert_eq!(cases::violations(&over), expected);
    let high =
        r#"{"Data":"","PartitionKey":"k","ExplicitHashKey":"340282366920938463463374607431768211456"}"#;
    let text = "Invalid ExplicitHashKey. ExplicitHashKey must be in the range: [0, 2^128-1]. Specified value was \
                340282366920938463463374607431768211456";
    let (found, is_fast) = read(&body(&[high.to_owned()]), &stream);
    assert_eq!((cases::said(found), is_fast), (("InvalidArgumentException", text.to_owned()), false));
}

#[test]
fn a_stream_takes_records_while_it_is_active() {
    let body = r#"{"StreamName":"a","Records":[{"Data":"","PartitionKey":"k"}]}"#;
    for (status, taken) in [
        (StreamStatus::Creating, false),
        (StreamStatus::Active, true),
        (StreamStatus::Updating, true),
        (StreamStatus::Deleting, false),
    ] {
        let mut stream = cases::stream("a", 1);
        stream.status = status;
        match read(body, &stream).0 {
            Ok(_) => assert!(taken),
            Err(fault) => assert_eq!((fault, taken), (Fault::stream_not_found(&stream.key), false)),
        }
    }
}

#[test]
fn each_record_has_its_own_answer() {
    let key = cases::stream("a", 1).key;
    let placed = |shard, ordinal| {
        Ok(AppendedRecord { shard, created_s: 1_700_000_000, ordinal, time_ms: 1_700_000_100_999 })
    };
    let results = [
        placed(0, 1),
        Err(AppendFailure::Throttled { shard: 1 }),
        placed(1, 9),
        placed(0, 2),
        Err(AppendFailure::Unknown),
        Err(AppendFailure::Unavailable),
    ];
    let json = json::write_answer(&key, &results);
    let cbor = cbor::write_answer(&key, &results);
    assert_eq!(Codec::Cbor.decode(&cbor.into()), Codec::Json.decode(&json.clone().into()));
    let answer = serde_json::from_slice::<serde_json::Value>(&json).unwrap();
    let number = |shard, ordinal| {
        let starting = SequenceNumber::starting(1_700_000_000, shard);
        SequenceNumber { ordinal, time_s: 1_700_000_100, ..starting }.to_string()
    };
    let failure =
        serde_json::json!({"ErrorCode": "InternalFailure", "ErrorMessage": "Internal Service Failure"});
    let expected = serde_json::json!({"FailedRecordCount": 3, "Records": [
        {"SequenceNumber": number(0, 1), "ShardId": "shardId-000000000000"},
        {
            "ErrorCode": "ProvisionedThroughputExceededException",
            "ErrorMessage": "Rate exceeded for shard shardId-000000000001 in stream a under account 000000000000.",
        },
        {"SequenceNumber": number(1, 9), "ShardId": "shardId-000000000001"},
        {"SequenceNumber": number(0, 2), "ShardId": "shardId-000000000000"},
        failure,
        failure,
    ]});
    assert_eq!(answer, expected);
}

#[test]
fn deep_bodies_do_not_exhaust_the_stack() {
    for opening in ["[", "{\"a\":", "{\"Records\":["] {
        let deep = opening.repeat(2_000_000);
        for body in [deep.clone(), format!(r#"{{"New":{deep}"#), format!(r#"{{"Records":[{{"Data":{deep}"#)] {
            assert!(json::read(body.as_bytes()).is_none());
            let fault = cases::input::<PutRecordsInput>(&body).unwrap_err();
            assert_eq!(fault, Fault::Unreadable);
        }
    }
}

/// Bodies that are nearly right.
fn any_body() -> impl Strategy<Value = String> {
    let scalar = prop_oneof![
        Just("null".to_owned()),
        Just("\"\"".to_owned()),
        Just("\"aGk=\"".to_owned()),
        Just("1e400".to_owned()),
        Just("[]".to_owned()),
        "[0-9]{1,25}",
        "\"[a-zA-Z0-9+/=\\\\u]{0,8}\"",
        "\"\\PC{0,4}\"",
    ];
    let member = prop_oneof![Just("Data"), Just("PartitionKey"), Just("ExplicitHashKey"), Just("Other")];
    let record = prop::collection::vec((member, scalar.clone()), 0..5).prop_map(|members| {
        let members = members.iter().map(|(name, value)| format!("\"{name}\":{value}"));
        format!("{{{}}}", members.collect::<Vec<_>>().join(","))
    });
    (prop::collection::vec(record, 0..4), scalar)
        .prop_map(|(records, name)| format!(r#"{{"StreamName":{name},"Records":[{}]}}"#, records.join(",")))
}

proptest! {
    #[test]
    fn the_fast_path_never_differs(body in any_body()) {
        let _ = read(&body, &cases::stream("a", 1));
    }

    #[test]
    fn no_bytes_make_a_reader_panic(body in prop::collection::vec(any::<u8>(), 0..200)) {
        let call = Call { body: body.into(), ..cases::call("") };
        let _ = json::read(&call.body);
        let _ = cases::read::<PutRecordsInput>(&call);
    }
}
