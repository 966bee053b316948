//! PutRecords: up to 500 records in one call, each of which succeeds or fails by itself.
//!
//! Limits: 500 records; 10 MiB of data and partition keys in all; each record up to the stream's own size; the
//! budgets of the shards. Errors: ResourceNotFound also while the stream is CREATING or DELETING; InvalidArgument
//! for sizes and hash keys, which fails the whole call. The answer, whose status is 200, lists throttled records,
//! and those whose outcome is unknown, which may be stored.

mod cbor;
mod json;

use std::sync::Arc;

use super::entry::{self, Entry};
use crate::limits::PUT_RECORDS_BYTES_MAX;
use crate::model::shard_id::ShardId;
use crate::model::stream::{Stream, StreamKey};
use crate::ops::api::validate::Violations;
use crate::ops::api::{Operation, PutRecordsInput, Request};
use crate::ops::fault::InvalidRecords;
use crate::ops::{Call, Codec, Fault, Reply, target};
use crate::service::{AppendFailure, NewRecord, Service};

/// Puts the records.
pub async fn run(service: &Arc<Service>, call: &Call) -> Result<Reply, Fault> {
    match call.codec {
        Codec::Json => {
            if let Some(fast) = json::read(&call.body)
                && let Some(entries) = fast.entries()
            {
                let key = target::named(call, Some(fast.stream_name()), None)?;
                return put(service, call, &key, &entries, false).await;
            }
        }
        Codec::Cbor => {
            if let Some((stream_name, entries)) = cbor::read(&call.body) {
                let key = target::named(call, Some(stream_name), None)?;
                return put(service, call, &key, &entries, false).await;
            }
        }
    }
    let Request::PutRecords(input) = call.read(Operation::PutRecords)? else { unreachable!("a PutRecords") };
    put_input(service, call, &input).await
}

/// Puts the records of a request that no fast way takes.
pub async fn put_input(service: &Arc<Service>, call: &Call, input: &PutRecordsInput) -> Result<Reply, Fault> {
    let entries: Vec<_> = entries(input).collect();
    put(service, call, &target::key(call, input)?, &entries, input.dry_run == Some(true)).await
}

fn entries(input: &PutRecordsInput) -> impl Iterator<Item = Entry<'_>> {
    input.records.iter().map(|record| {
        Entry::from_members(&record.data, record.partition_key.as_ref(), record.explicit_hash_key.as_ref())
    })
}

/// Whether the fast reader, if it takes the request, reads it like the table of members.
pub fn paths_agree(call: &Call, input: Option<&PutRecordsInput>) -> bool {
    match call.codec {
        Codec::Json => json::read(&call.body).is_none_or(|fast| {
            fast.entries().is_none_or(|entries| is_same(fast.stream_name(), &entries, input))
        }),
        Codec::Cbor => {
            cbor::read(&call.body).is_none_or(|(stream_name, entries)| is_same(stream_name, &entries, input))
        }
    }
}

fn is_same(stream_name: &str, fast: &[Entry<'_>], input: Option<&PutRecordsInput>) -> bool {
    input.is_some_and(|input| {
        input.stream_name.as_deref() == Some(stream_name)
            && input.stream_arn.is_none()
            && input.dry_run != Some(true)
            && entries(input).eq(fast.iter().cloned())
    })
}

async fn put(
    service: &Arc<Service>,
    call: &Call,
    key: &StreamKey,
    entries: &[Entry<'_>],
    is_dry_run: bool,
) -> Result<Reply, Fault> {
    let stream = target::find(&service.catalog(), key)?;
    let records = records(&stream, entries)?;
    if is_dry_run {
        return Err(Fault::DryRun);
    }
    let results = service.appender().append(&stream, &records, None).await;
    assert_eq!(results.len(), records.len(), "an append answers for every record");
    let answer = match call.codec {
        Codec::Json => json::write_answer(&stream.key, &results),
        Codec::Cbor => cbor::write_answer(&stream.key, &results),
    };
    Ok(Reply::Complete(answer.into()))
}

/// For the service, within the bounds of the stream and of a request.
///
/// # Errors
/// As those of the operation.
pub fn records<'a>(stream: &Stream, entries: &[Entry<'a>]) -> Result<Vec<NewRecord<'a>>, Fault> {
    entry::check_takes_records(stream)?;
    let bytes = entries.iter().map(Entry::bytes).sum::<u64>();
    if bytes > PUT_RECORDS_BYTES_MAX {
        return Err(InvalidRecords::RequestBytes(bytes).into());
    }
    let mut violations = Violations::default();
    for (entry, number) in entries.iter().zip(1..) {
        entry.check_key(stream, || format!("records.{number}.member.partitionKey"), &mut violations);
    }
    violations.into_result()?;
    entries.iter().map(|entry| entry.record(stream)).collect()
}

/// The fault of one record. A failure that may pass looks like an internal failure, because there is no third error
/// that clients of PutRecords know.
fn record_fault(key: &StreamKey, refusal: &AppendFailure) -> Fault {
    match refusal {
        AppendFailure::Throttled { shard } => Fault::rate_exceeded(key, ShardId(*shard)),
        AppendFailure::Unknown | AppendFailure::Unavailable => Fault::Internal,
        // This protocol's records have no producer.
        AppendFailure::ProducerStale | AppendFailure::ProducerTableFull => Fault::Internal,
    }
}

#[cfg(test)]
mod cbor_tests;
#[cfg(test)]
mod tests;
