//! A PutRecord in JSON, read and answered without a document.

use serde::Deserialize;
use tidelog_proto::Codec;

use crate::model::stream_name::StreamName;
use crate::ops::record::acknowledgement::AcknowledgementWriter;
use crate::ops::record::entry::{self, Borrowed, Entry};
use crate::service::AppendedRecord;

/// The request as nearly every client writes it.
#[derive(Deserialize)]
#[serde(rename_all = "PascalCase", deny_unknown_fields)]
pub(super) struct Request<'a> {
    #[serde(borrow)]
    stream_name: Borrowed<'a>,
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
    StreamName::parse(&request.stream_name.0).is_some().then_some(request)
}

impl Request<'_> {
    /// The stream's name.
    pub(super) fn stream_name(&self) -> &str {
        &self.stream_name.0
    }

    /// The record; `None` when it is out of bounds.
    pub(super) fn entry(&self) -> Option<Entry<'_>> {
        let hash_key = entry::text(self.explicit_hash_key.as_ref());
        Entry::from_texts(&self.data.0, &self.partition_key.0, hash_key)
    }
}

/// The answer.
pub(super) fn write_answer(placed: &AppendedRecord) -> Vec<u8> {
    let mut out = Vec::with_capacity(128);
    out.push(b'{');
    AcknowledgementWriter::default().write(placed, Codec::Json, &mut out);
    out.push(b'}');
    out
}
