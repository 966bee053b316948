//! Conversions between messages of the API and types of operations.

use prost_types::Timestamp;
use tidelog_proto::v1::{
    AppendedRecord as AppendedRecordMessage, ChildShard, NewRecord, Position, PutResult, ReadResponse,
    Record, ShardEnd, position, put_result,
};
use tonic::Status;

use super::status;
use crate::model::sequence_number::SequenceNumber;
use crate::model::shard_id::ShardId;
use crate::model::stream::Shard;
use crate::ops::native::{AcknowledgementWriter, At, Numbers, PutEntry};
use crate::service::{AppendFailure, AppendedRecord, Batch, ReadRecord};

/// Records to be put.
pub(super) fn entries(records: &[NewRecord]) -> impl ExactSizeIterator<Item = PutEntry<'_>> {
    records.iter().map(|record| PutEntry {
        partition_key: record.partition_key.as_deref(),
        explicit_hash_key: record.explicit_hash_key.as_deref(),
        data: &record.data,
    })
}

/// The outcome of each record, as a message.
pub(super) fn results(results: &[Result<AppendedRecord, AppendFailure>]) -> Vec<PutResult> {
    let mut writer = AcknowledgementWriter::default();
    let result = |result: &Result<AppendedRecord, AppendFailure>| {
        let result = match result {
            Ok(record) => put_result::Result::Record(AppendedRecordMessage {
                shard_id: ShardId(record.shard).to_string(),
                sequence_number: writer.sequence_number(record),
            }),
            Err(refusal) => put_result::Result::Failure(status::failure(*refusal)),
        };
        PutResult { result: Some(result) }
    };
    results.iter().map(result).collect()
}

/// A position; `None` when the message says none.
///
/// # Errors
/// INVALID_ARGUMENT for a time that cannot be one.
pub(super) fn at(position: Option<&Position>) -> Result<Option<At<'_>>, Status> {
    let Some(at) = position.and_then(|position| position.at.as_ref()) else { return Ok(None) };
    Ok(Some(match at {
        position::At::TrimHorizon(_) => At::TrimHorizon,
        position::At::Latest(_) => At::Latest,
        position::At::AtSequenceNumber(number) => At::Number(number),
        position::At::AfterSequenceNumber(number) => At::AfterNumber(number),
        position::At::AtTimestamp(time) => At::Time(millis(time)?),
    }))
}

/// Milliseconds since the epoch; a part of one counts as the next, so that nothing earlier is meant.
fn millis(time: &Timestamp) -> Result<i64, Status> {
    let nanos = i64::from(time.nanos);
    let millis = time.seconds.checked_mul(1_000).filter(|_| (0..1_000_000_000).contains(&nanos));
    let millis = millis.and_then(|millis| millis.checked_add((nanos + 999_999) / 1_000_000));
    millis.ok_or_else(|| status::invalid("A timestamp has 0 to 999,999,999 nanos beside its seconds."))
}

/// Milliseconds since the epoch, as a message has them.
pub(super) fn timestamp(time_ms: u64) -> Timestamp {
    let seconds = i64::try_from(time_ms / 1_000).expect("a thousandth of u64 fits");
    let nanos = i32::try_from(time_ms % 1_000).expect("less than 1,000") * 1_000_000;
    Timestamp { seconds, nanos }
}

/// Records of a shard, as they are given to a reader. Reading goes on after the last record, or where the batch ends.
pub(super) fn records(shard: &Shard, batch: Batch, now_ms: u64) -> ReadResponse {
    let Batch { records, next_ordinal, millis_behind } = batch;
    let mut numbers = Numbers::new(shard);
    let records: Vec<Record> = records.into_iter().map(|read| record(read, &mut numbers)).collect();
    let continuation = records.last().map(|last| last.sequence_number.clone());
    let place = || SequenceNumber {
        created_s: shard.created_s,
        shard: shard.index,
        ordinal: next_ordinal.saturating_sub(1),
        time_s: now_ms / 1_000,
        after: true,
    };
    ReadResponse {
        continuation: continuation.unwrap_or_else(|| place().to_string()),
        records,
        millis_behind_latest: millis_behind,
        end: None,
    }
}

fn record(read: ReadRecord, numbers: &mut Numbers<'_>) -> Record {
    let mut number = Vec::new();
    numbers.write(&read, &mut number);
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).expect("keys and numbers are text");
    Record {
        sequence_number: text(number),
        approximate_arrival: Some(timestamp(read.time_ms)),
        partition_key: read.partition_key.map(|key| text(key.to_vec())),
        data: read.data,
    }
}

/// The end of a shard with these children.
pub(super) fn end(children: &[Shard]) -> ShardEnd {
    let child = |shard: &Shard| ChildShard {
        shard_id: ShardId(shard.index).to_string(),
        parents: parents(shard).map(|parent| ShardId(parent).to_string()).collect(),
    };
    ShardEnd { children: children.iter().map(child).collect() }
}

/// The parents of a shard.
pub(super) fn parents(shard: &Shard) -> impl Iterator<Item = u32> {
    shard.parent.into_iter().chain(shard.adjacent_parent)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_timestamp_is_a_millisecond_and_never_an_earlier_one() {
        let time = |seconds, nanos| millis(&Timestamp { seconds, nanos }).ok();
        for (seconds, nanos, expected) in [
            (1, 0, Some(1_000)),
            (1, 1, Some(1_001)),
            (1, 1_000_000, Some(1_001)),
            (1, 999_999_999, Some(2_000)),
            (-1, 0, Some(-1_000)),
            (1, -1, None),
            (1, 1_000_000_000, None),
            (i64::MAX, 0, None),
        ] {
            assert_eq!(time(seconds, nanos), expected, "{seconds} {nanos}");
        }
    }
}
