//! What the operations' tests build: calls, streams and catalogs, and the set of violations in a fault.

use std::collections::BTreeSet;
use std::sync::Arc;

use bytes::Bytes;
use tidelog_proto::Document;

use super::input::Input;
use super::{Call, Codec, Fault};
use crate::model::hash_key::even_ranges;
use crate::model::stream::{
    Catalog, Consumer, ConsumerStatus, Shard, ShardLevelMetrics, Stream, StreamKey, StreamMode, StreamStatus,
    Tags,
};
use crate::room::AnswerRoom;

/// The clock of the tests, milliseconds since the epoch.
pub const NOW_MS: u64 = 1_700_000_000_000;

/// A call of account 000000000000 in us-east-1 with that JSON body.
pub fn call(body: &str) -> Call {
    Call {
        operation: "AnyOperation".to_owned(),
        account: Arc::from("000000000000"),
        region: Arc::from("us-east-1"),
        codec: Codec::Json,
        body: Bytes::copy_from_slice(body.as_bytes()),
        answers: AnswerRoom::default(),
    }
}

/// The same in CBOR, with byte strings for the members called Data.
pub fn cbor_call(body: &str) -> Call {
    let mut document = Codec::Json.decode(&Bytes::copy_from_slice(body.as_bytes())).expect("a JSON document");
    if let Document::Map(members) = &mut document {
        for (_, value) in members.iter_mut().filter(|(name, _)| name == "Data") {
            let Document::Text(text) = value else { panic!("base64: {value:?}") };
            let data = base64_simd::STANDARD.decode_to_vec(text.as_bytes()).expect("base64");
            *value = Document::Blob(data.into());
        }
    }
    Call { codec: Codec::Cbor, body: Codec::Cbor.encode(&document).into(), ..call("") }
}

/// The members of a request of that operation.
pub fn input(operation: &str, body: &str) -> Result<Input, Fault> {
    call(body).input(operation)
}

/// An ACTIVE stream that is an hour old.
pub fn stream(name: &str, shard_count: u32) -> Stream {
    let created_ms = NOW_MS - 3_600_000;
    let shard = |(index, range)| Shard {
        index,
        group: 1,
        range,
        parent: None,
        adjacent_parent: None,
        created_s: created_ms / 1_000,
        opened_ms: created_ms + 50,
        closed_ms: None,
        end_ordinal: None,
    };
    let shards = (0..).zip(even_ranges(shard_count)).map(shard).collect::<Vec<_>>();
    let routes = shards.iter().enumerate().map(|(position, shard)| (shard.range.start, position)).collect();
    Stream {
        uid: 42,
        key: StreamKey {
            account: Arc::from("000000000000"),
            region: Arc::from("us-east-1"),
            name: Arc::from(name),
        },
        status: StreamStatus::Active,
        created_ms,
        retention_hours: 24,
        mode: StreamMode::Provisioned,
        max_record_kib: 1_024,
        is_auto_distributed: false,
        warm_mib_per_second: 0,
        shard_level_metrics: ShardLevelMetrics::default(),
        tags: Tags::default(),
        policy: None,
        consumers: Vec::new(),
        reshard: None,
        shard_count_updates_ms: Vec::new(),
        mode_switches_ms: Vec::new(),
        shards,
        routes,
    }
}

/// An ACTIVE consumer, registered half an hour ago.
pub fn consumer(name: &str, uid: u64) -> Consumer {
    Consumer {
        uid,
        name: Arc::from(name),
        status: ConsumerStatus::Active,
        created_ms: NOW_MS - 1_800_000,
        tags: Tags::default(),
        policy: None,
    }
}

/// A stream whose shard 0 was split in two, `ago_ms` before now.
pub fn split_stream(name: &str, ago_ms: u64) -> Stream {
    let mut stream = stream(name, 1);
    let split_ms = NOW_MS - ago_ms;
    stream.shards[0].closed_ms = Some(split_ms);
    stream.shards[0].end_ordinal = Some(1);
    for (index, range) in (1..).zip(even_ranges(2)) {
        let parent = stream.shards[0].clone();
        let created_s = split_ms / 1_000 + 1;
        stream.shards.push(Shard {
            index,
            range,
            parent: Some(0),
            created_s,
            opened_ms: split_ms,
            closed_ms: None,
            end_ordinal: None,
            ..parent
        });
    }
    stream.routes = vec![(0, 1), (1 << 127, 2)];
    stream
}

/// A catalog of these streams.
pub fn catalog(streams: Vec<Stream>) -> Catalog {
    let mut catalog = Catalog::new(Some([7; 32]));
    for stream in streams {
        catalog.put(stream);
    }
    catalog
}

/// A document as its JSON.
pub fn json(document: &Document) -> serde_json::Value {
    serde_json::from_slice(&tidelog_proto::json::encode(document)).expect("the codec writes JSON")
}

/// The violations that a fault names, without what they have in common.
pub fn violations(fault: &Fault) -> BTreeSet<String> {
    let Fault::Validation(text) = fault else { panic!("{fault:?} is no validation fault") };
    let (head, list) = text.split_once(" detected: ").expect("a validation fault begins with a count");
    let found = list.split("; ").map(ToOwned::to_owned).collect::<BTreeSet<_>>();
    let plural = if found.len() == 1 { "" } else { "s" };
    assert_eq!(head, format!("{} validation error{plural}", found.len()));
    found
}

/// The violations expected, each as (value, path, constraint).
pub fn expected(violations: &[(&str, &str, &str)]) -> BTreeSet<String> {
    let text = |(value, path, constraint): &(&str, &str, &str)| {
        let value = if *value == "null" { "null".to_owned() } else { format!("'{value}'") };
        format!("Value {value} at '{path}' failed to satisfy constraint: {constraint}")
    };
    violations.iter().map(text).collect()
}
