//! PutRecords: up to 500 records in one call, each of which succeeds or fails by itself.
//!
//! Limits: 500 records; 10 MiB of data and partition keys in all; each record up to the stream's own size; the
//! budgets of the shards. Errors: ResourceNotFound also while the stream is CREATING or DELETING; InvalidArgument
//! for sizes and hash keys, which fails the whole call. A throttled record is told in the answer, whose status is
//! 200; so is one whose outcome is unknown, which may be stored.

use std::sync::Arc;

use serde::Deserialize;
use tidelog_proto::json;

use super::entry::{self, Borrowed, Entry, Places};
use crate::limits::{PUT_RECORDS_BYTES_MAX, PUT_RECORDS_MAX};
use crate::model::shard_id::ShardId;
use crate::model::stream::{Stream, StreamKey};
use crate::model::stream_name::StreamName;
use crate::ops::validate::Violations;
use crate::ops::{Call, Codec, Fault, Reply, target};
use crate::service::{AppendRefusal, NewRecord, Placed, Service};

/// Puts the records.
pub async fn run(service: &Arc<Service>, call: &Call) -> Result<Reply, Fault> {
    if call.codec == Codec::Json
        && let Some(fast) = read_fast(&call.body)
        && let Some(entries) = fast.entries()
    {
        let name = entry::text(fast.stream_name.as_ref());
        return put(service, call, &target::named(call, name, None)?, &entries, false).await;
    }
    let input = call.input("PutRecords")?;
    let entries = input.structures("Records").map(Entry::from_input).collect::<Vec<_>>();
    let key = target::key(call, &input)?;
    put(service, call, &key, &entries, input.is_true("DryRun")).await
}

/// The request as nearly every client writes it. A member it does not know, a null or any other oddity makes the
/// reading fail, and the table of members takes over.
#[derive(Deserialize)]
#[serde(rename_all = "PascalCase", deny_unknown_fields)]
struct FastRequest<'a> {
    #[serde(borrow)]
    stream_name: Option<Borrowed<'a>>,
    #[serde(borrow, rename = "StreamARN")]
    stream_arn: Option<Borrowed<'a>>,
    #[serde(borrow)]
    records: Vec<FastEntry<'a>>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase", deny_unknown_fields)]
struct FastEntry<'a> {
    #[serde(borrow)]
    data: Borrowed<'a>,
    #[serde(borrow)]
    partition_key: Borrowed<'a>,
    #[serde(borrow)]
    explicit_hash_key: Option<Borrowed<'a>>,
}

fn read_fast(body: &[u8]) -> Option<FastRequest<'_>> {
    if !entry::is_shallow(body) {
        return None;
    }
    let request = sonic_rs::from_slice::<FastRequest<'_>>(body).ok()?;
    let name = entry::text(request.stream_name.as_ref())?;
    let is_plain = StreamName::parse(name).is_some()
        && request.stream_arn.is_none()
        && (1..=PUT_RECORDS_MAX).contains(&request.records.len());
    is_plain.then_some(request)
}

impl FastRequest<'_> {
    /// The records; `None` when one is out of bounds.
    fn entries(&self) -> Option<Vec<Entry<'_>>> {
        let mut entries = Vec::with_capacity(self.records.len());
        for record in &self.records {
            let hash_key = entry::text(record.explicit_hash_key.as_ref());
            entries.push(Entry::from_texts(&record.data.0, &record.partition_key.0, hash_key)?);
        }
        Some(entries)
    }
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
    let results = service.append(&stream, &records).await;
    assert_eq!(results.len(), records.len(), "an append answers for every record");
    match call.codec {
        Codec::Json => Ok(Reply::Complete(write_answer(&stream.key, &results).into())),
    }
}

fn records<'a>(stream: &Stream, entries: &[Entry<'a>]) -> Result<Vec<NewRecord<'a>>, Fault> {
    entry::check_takes_records(stream)?;
    let bytes = entries.iter().map(Entry::bytes).sum::<u64>();
    if bytes > PUT_RECORDS_BYTES_MAX {
        return Err(Fault::InvalidArgument(format!(
            "The records of one request can have up to {PUT_RECORDS_BYTES_MAX} bytes of data and partition keys. \
             These have {bytes}."
        )));
    }
    let mut violations = Violations::default();
    for (entry, number) in entries.iter().zip(1..) {
        entry.check_key(stream, || format!("records.{number}.member.partitionKey"), &mut violations);
    }
    violations.into_result()?;
    entries.iter().map(|entry| entry.record(stream)).collect()
}

/// Why one record failed. What may succeed later looks like an internal failure, because there is no third error
/// that clients of PutRecords know.
fn record_fault(key: &StreamKey, refusal: &AppendRefusal) -> Fault {
    match refusal {
        AppendRefusal::Throttled { shard } => Fault::rate_exceeded(key, ShardId(*shard)),
        AppendRefusal::Unknown | AppendRefusal::Unavailable => Fault::Internal,
    }
}

/// Bytes of the answer for one record that was put, and a little for the rest of it.
const RESULT_BYTES: usize = 128;

fn write_answer(key: &StreamKey, results: &[Result<Placed, AppendRefusal>]) -> Vec<u8> {
    let mut out = Vec::with_capacity((results.len() + 1) * RESULT_BYTES);
    out.extend_from_slice(br#"{"FailedRecordCount":"#);
    json::write_number(&mut out, results.iter().filter(|result| result.is_err()).count());
    out.extend_from_slice(br#","Records":["#);
    let mut places = Places::default();
    for (position, result) in results.iter().enumerate() {
        out.extend_from_slice(if position > 0 { b",{" } else { b"{" });
        match result {
            Ok(placed) => places.write(placed, &mut out),
            Err(refusal) => write_failure(&record_fault(key, refusal), &mut out),
        }
        out.push(b'}');
    }
    out.extend_from_slice(b"]}");
    out
}

fn write_failure(fault: &Fault, out: &mut Vec<u8>) {
    let exception = fault.exception();
    out.extend_from_slice(br#""ErrorCode":"#);
    json::write_text(out, exception.name);
    out.extend_from_slice(br#","ErrorMessage":"#);
    json::write_text(out, exception.message.map_or("", |(_, text)| text));
}

#[cfg(test)]
mod tests;
