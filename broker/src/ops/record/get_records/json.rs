//! The answer of GetRecords in JSON, written without a document.

use tidelog_proto::json;

use super::Numbers;
use crate::model::stream::Shard;
use crate::ops::api::{ChildShard, list};
use crate::service::{ReadAnswer, ReadRecord};

/// Bytes around the data and the key of one record.
const RECORD_BYTES: usize = 160;
/// Bytes of an answer beside its records.
const ANSWER_BYTES: usize = 512;

/// Bytes that a record takes in an answer, about and mostly less.
pub(super) fn record_bytes(record: &ReadRecord) -> usize {
    let key_bytes = record.partition_key.as_ref().map_or(0, bytes::Bytes::len);
    RECORD_BYTES + key_bytes + record.data.len().div_ceil(3) * 4
}

/// The answer. `next` and `children` are members when they are there.
pub(super) fn write_answer(
    shard: &Shard,
    read: &ReadAnswer,
    next: Option<String>,
    children: &[ChildShard],
) -> Vec<u8> {
    let mut out = Vec::with_capacity(ANSWER_BYTES + read.records.iter().map(record_bytes).sum::<usize>());
    out.extend_from_slice(br#"{"Records":["#);
    write_records(shard, &read.records, &mut out);
    out.extend_from_slice(br#"],"MillisBehindLatest":"#);
    json::write_number(&mut out, read.millis_behind);
    if let Some(next) = next {
        out.extend_from_slice(br#","NextShardIterator":"#);
        json::write_text(&mut out, &next);
    }
    if !children.is_empty() {
        out.extend_from_slice(br#","ChildShards":"#);
        out.extend_from_slice(&json::encode(&list(children)));
    }
    out.push(b'}');
    out
}

/// Records as a list has them, without its brackets.
pub(in crate::ops::record) fn write_records(shard: &Shard, records: &[ReadRecord], out: &mut Vec<u8>) {
    let mut numbers = Numbers::new(shard);
    for (position, record) in records.iter().enumerate() {
        out.extend_from_slice(if position > 0 { b",{" } else { b"{" });
        write_record(record, &mut numbers, out);
        out.push(b'}');
    }
}

fn write_record(record: &ReadRecord, numbers: &mut Numbers<'_>, out: &mut Vec<u8>) {
    out.extend_from_slice(br#""SequenceNumber":""#);
    numbers.write(record, out);
    out.extend_from_slice(br#"","ApproximateArrivalTimestamp":"#);
    json::write_timestamp(out, i64::try_from(record.time_ms).unwrap_or(i64::MAX));
    out.extend_from_slice(br#","Data":"#);
    json::write_blob(out, &record.data);
    if let Some(partition_key) = &record.partition_key {
        out.extend_from_slice(br#","PartitionKey":"#);
        json::write_text(out, &String::from_utf8_lossy(partition_key));
    }
}
