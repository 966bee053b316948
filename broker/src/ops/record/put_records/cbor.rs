//! A PutRecords in CBOR, read and answered without a document.

use tidelog_proto::Codec;
use tidelog_proto::cbor::{self, Reader};

use super::record_fault;
use crate::limits::PUT_RECORDS_MAX;
use crate::model::stream::StreamKey;
use crate::model::stream_name::StreamName;
use crate::ops::Fault;
use crate::ops::record::acknowledgement::{self, AcknowledgementWriter};
use crate::ops::record::entry::{Entry, FoundRecord};
use crate::service::{AppendFailure, AppendedRecord};

/// The stream's name and the records of a request as nearly every client writes it, borrowed from its body. Anything
/// odd makes the reading fail, and the table of members takes over.
pub(super) fn read(body: &[u8]) -> Option<(&str, Vec<Entry<'_>>)> {
    let reader = &mut Reader::new(body);
    let (mut stream_name, mut entries) = (None, None);
    let mut members = reader.map().ok()?;
    while reader.follows(&mut members).ok()? {
        match reader.text().ok()? {
            "StreamName" if stream_name.is_none() => stream_name = Some(reader.text().ok()?),
            "Records" if entries.is_none() => entries = Some(read_entries(reader)?),
            _ => return None,
        }
    }
    reader.end().ok()?;
    let stream_name = stream_name.filter(|name| StreamName::parse(name).is_some())?;
    let entries = entries.filter(|entries| !entries.is_empty())?;
    Some((stream_name, entries))
}

fn read_entries<'a>(reader: &mut Reader<'a>) -> Option<Vec<Entry<'a>>> {
    let mut entries = Vec::new();
    let mut elements = reader.list().ok()?;
    while reader.follows(&mut elements).ok()? {
        if entries.len() == PUT_RECORDS_MAX {
            return None;
        }
        let mut found = FoundRecord::default();
        let mut members = reader.map().ok()?;
        while reader.follows(&mut members).ok()? {
            found.take(reader.text().ok()?, reader)?;
        }
        entries.push(found.entry()?);
    }
    Some(entries)
}

/// Bytes of the answer for one record that was put, and a little for the rest of it.
const RESULT_BYTES: usize = 112;

/// The answer.
pub(super) fn write_answer(key: &StreamKey, results: &[Result<AppendedRecord, AppendFailure>]) -> Vec<u8> {
    let mut out = Vec::with_capacity((results.len() + 1) * RESULT_BYTES);
    let failed = results.iter().filter(|result| result.is_err()).count();
    cbor::write_map(&mut out, 2);
    cbor::write_text(&mut out, "FailedRecordCount");
    cbor::write_integer(&mut out, failed as i64);
    cbor::write_text(&mut out, "Records");
    cbor::write_list(&mut out, results.len());
    let mut writer = AcknowledgementWriter::default();
    for result in results {
        match result {
            Ok(placed) => {
                cbor::write_map(&mut out, acknowledgement::MEMBERS);
                writer.write(placed, Codec::Cbor, &mut out);
            }
            Err(refusal) => write_failure(&record_fault(key, refusal), &mut out),
        }
    }
    out
}

fn write_failure(fault: &Fault, out: &mut Vec<u8>) {
    let exception = fault.exception();
    cbor::write_map(out, 2);
    cbor::write_text(out, "ErrorCode");
    cbor::write_text(out, exception.name);
    cbor::write_text(out, "ErrorMessage");
    cbor::write_text(out, exception.text());
}
