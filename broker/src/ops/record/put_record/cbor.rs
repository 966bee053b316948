//! A PutRecord in CBOR, read and answered without a document.

use tidelog_proto::Codec;
use tidelog_proto::cbor::{self, Reader};

use crate::model::stream_name::StreamName;
use crate::ops::record::acknowledgement::{self, AcknowledgementWriter};
use crate::ops::record::entry::{Entry, FoundRecord};
use crate::service::AppendedRecord;

/// The stream's name and the record of a request as nearly every client writes it, borrowed from its body. Anything odd
/// makes the reading fail, and the table of members takes over.
pub(super) fn read(body: &[u8]) -> Option<(&str, Entry<'_>)> {
    let reader = &mut Reader::new(body);
    let (mut stream_name, mut found) = (None, FoundRecord::default());
    let mut members = reader.map().ok()?;
    while reader.follows(&mut members).ok()? {
        match reader.text().ok()? {
            "StreamName" if stream_name.is_none() => stream_name = Some(reader.text().ok()?),
            name => found.take(name, reader)?,
        }
    }
    reader.end().ok()?;
    let stream_name = stream_name.filter(|name| StreamName::parse(name).is_some())?;
    Some((stream_name, found.entry()?))
}

/// The answer.
pub(super) fn write_answer(placed: &AppendedRecord) -> Vec<u8> {
    let mut out = Vec::with_capacity(128);
    cbor::write_map(&mut out, acknowledgement::MEMBERS);
    AcknowledgementWriter::default().write(placed, Codec::Cbor, &mut out);
    out
}
