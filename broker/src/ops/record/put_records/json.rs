//! A PutRecords in JSON, read and answered without a document.

use serde::Deserialize;
use tidelog_proto::{Codec, json};

use super::record_fault;
use crate::limits::PUT_RECORDS_MAX;
use crate::model::stream::StreamKey;
use crate::model::stream_name::StreamName;
use crate::ops::Fault;
use crate::ops::record::acknowledgement::AcknowledgementWriter;
use crate::ops::record::entry::{self, Borrowed, Entry};
use crate::service::{AppendFailure, AppendedRecord};

/// The request as nearly every client writes it. A member it does not know, a null or any other oddity makes the
/// reading fail, and the table of members takes over.
#[derive(Deserialize)]
#[serde(rename_all = "PascalCase", deny_unknown_fields)]
pub(super) struct Request<'a> {
    #[serde(borrow)]
    stream_name: Borrowed<'a>,
    #[serde(borrow, rename = "StreamARN")]
    stream_arn: Option<Borrowed<'a>>,
    #[serde(borrow)]
    records: Vec<Record<'a>>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase", deny_unknown_fields)]
struct Record<'a> {
    #[serde(borrow)]
    data: Borrowed<'a>,
    #[serde(borrow)]
    partition_key: Borrowed<'a>,
    #[serde(borrow)]
    explicit_hash_key: Option<Borrowed<'a>>,
}

/// The request, when it is written in that way.
pub(super) fn read(body: &[u8]) -> Option<Request<'_>> {
    if !entry::is_shallow(body) {
        return None;
    }
    let request = sonic_rs::from_slice::<Request<'_>>(body).ok()?;
    let is_plain = StreamName::parse(request.stream_name()).is_some()
        && request.stream_arn.is_none()
        && (1..=PUT_RECORDS_MAX).contains(&request.records.len());
    is_plain.then_some(request)
}

impl Request<'_> {
    /// The stream's name.
    pub(super) fn stream_name(&self) -> &str {
        &self.stream_name.0
    }

    /// The records; `None` when one is out of bounds.
    pub(super) fn entries(&self) -> Option<Vec<Entry<'_>>> {
        let mut entries = Vec::with_capacity(self.records.len());
        for record in &self.records {
            let hash_key = entry::text(record.explicit_hash_key.as_ref());
            entries.push(Entry::from_texts(&record.data.0, &record.partition_key.0, hash_key)?);
        }
        Some(entries)
    }
}

/// Bytes of the answer for one record that was put, and a little for the rest of it.
const RESULT_BYTES: usize = 128;

/// The answer.
pub(super) fn write_answer(key: &StreamKey, results: &[Result<AppendedRecord, AppendFailure>]) -> Vec<u8> {
    let mut out = Vec::with_capacity((results.len() + 1) * RESULT_BYTES);
    out.extend_from_slice(br#"{"FailedRecordCount":"#);
    json::write_number(&mut out, results.iter().filter(|result| result.is_err()).count());
    out.extend_from_slice(br#","Records":["#);
    let mut writer = AcknowledgementWriter::default();
    for (position, result) in results.iter().enumerate() {
        out.extend_from_slice(if position > 0 { b",{" } else { b"{" });
        match result {
            Ok(placed) => writer.write(placed, Codec::Json, &mut out),
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
    json::write_text(out, exception.text());
}
