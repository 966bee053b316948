//! Writes the sequence numbers and shards of stored records, for both put operations in both codecs.

use tidelog_proto::{Codec, cbor};

use crate::model::sequence_number::{DIGITS, SequenceNumbers};
use crate::model::shard_id::ShardId;
use crate::service::AppendedRecord;

/// Members that [`AcknowledgementWriter::write`] writes.
pub const MEMBERS: usize = 2;

/// Writes acknowledgements of records. Numbers of records that went to one shard in one second are counted up.
#[derive(Default)]
pub struct AcknowledgementWriter {
    writers: Vec<(u32, u64, u64, SequenceNumbers)>,
}

/// Shards whose writers are kept; PutRecords over more shards builds some of them anew.
const WRITERS_MAX: usize = 64;

impl AcknowledgementWriter {
    /// Appends SequenceNumber and ShardId, in JSON without a comma around.
    pub fn write(&mut self, record: &AppendedRecord, codec: Codec, out: &mut Vec<u8>) {
        match codec {
            Codec::Json => self.write_json(record, out),
            Codec::Cbor => self.write_cbor(record, out),
        }
    }

    /// The SequenceNumber alone.
    pub fn sequence_number(&mut self, record: &AppendedRecord) -> String {
        let mut text = Vec::with_capacity(DIGITS);
        self.write_sequence_number(record, &mut text);
        String::from_utf8(text).expect("digits")
    }

    /// Appends the digits of the SequenceNumber.
    pub fn write_sequence_number(&mut self, record: &AppendedRecord, out: &mut Vec<u8>) {
        self.writer(record).format(record.ordinal, out);
    }

    fn write_json(&mut self, record: &AppendedRecord, out: &mut Vec<u8>) {
        out.extend_from_slice(br#""SequenceNumber":""#);
        self.write_sequence_number(record, out);
        out.extend_from_slice(br#"","ShardId":""#);
        ShardId(record.shard).write(out);
        out.push(b'"');
    }

    fn write_cbor(&mut self, record: &AppendedRecord, out: &mut Vec<u8>) {
        cbor::write_text(out, "SequenceNumber");
        cbor::write_text_head(out, DIGITS);
        self.write_sequence_number(record, out);
        cbor::write_text(out, "ShardId");
        cbor::write_text_head(out, ShardId::LENGTH);
        ShardId(record.shard).write(out);
    }

    fn writer(&mut self, record: &AppendedRecord) -> &mut SequenceNumbers {
        let AppendedRecord { shard, created_s, time_ms, .. } = *record;
        let time_s = time_ms / 1_000;
        let key = (shard, created_s, time_s);
        let found = self
            .writers
            .iter()
            .position(|(shard, created_s, time_s, _)| (*shard, *created_s, *time_s) == key);
        let position = found.unwrap_or_else(|| {
            if self.writers.len() == WRITERS_MAX {
                self.writers.clear();
            }
            self.writers.push((shard, created_s, time_s, SequenceNumbers::new(created_s, shard, time_s)));
            self.writers.len() - 1
        });
        &mut self.writers[position].3
    }
}
