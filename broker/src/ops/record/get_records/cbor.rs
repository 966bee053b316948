//! The answer of GetRecords in CBOR, written without a document.

use tidelog_proto::cbor;

use super::Numbers;
use crate::model::sequence_number::DIGITS;
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
    RECORD_BYTES + key_bytes + record.data.len()
}

/// The answer. `next` and `children` are members when they are there.
pub(super) fn write_answer(
    shard: &Shard,
    read: &ReadAnswer,
    next: Option<String>,
    children: &[ChildShard],
) -> Vec<u8> {
    let mut out = Vec::with_capacity(ANSWER_BYTES + read.records.iter().map(record_bytes).sum::<usize>());
    cbor::write_map(&mut out, 2 + usize::from(next.is_some()) + usize::from(!children.is_empty()));
    cbor::write_text(&mut out, "Records");
    cbor::write_list(&mut out, read.records.len());
    let mut numbers = Numbers::new(shard);
    for record in &read.records {
        write_record(record, &mut numbers, &mut out);
    }
    cbor::write_text(&mut out, "MillisBehindLatest");
    cbor::write_integer(&mut out, i64::try_from(read.millis_behind).unwrap_or(i64::MAX));
    if let Some(next) = next {
        cbor::write_text(&mut out, "NextShardIterator");
        cbor::write_text(&mut out, &next);
    }
    if !children.is_empty() {
        cbor::write_text(&mut out, "ChildShards");
        cbor::write_document(&mut out, &list(children));
    }
    out
}

fn write_record(record: &ReadRecord, numbers: &mut Numbers<'_>, out: &mut Vec<u8>) {
    cbor::write_map(out, 3 + usize::from(record.partition_key.is_some()));
    cbor::write_text(out, "SequenceNumber");
    cbor::write_text_head(out, DIGITS);
    numbers.write(record, out);
    cbor::write_text(out, "ApproximateArrivalTimestamp");
    cbor::write_timestamp(out, i64::try_from(record.time_ms).unwrap_or(i64::MAX));
    cbor::write_text(out, "Data");
    cbor::write_blob(out, &record.data);
    if let Some(partition_key) = &record.partition_key {
        cbor::write_text(out, "PartitionKey");
        cbor::write_text(out, &String::from_utf8_lossy(partition_key));
    }
}
