//! Where records went, as both put operations answer it in both codecs.

use tidelog_proto::{Codec, cbor};

use crate::model::sequence_number::{DIGITS, SequenceNumbers};
use crate::model::shard_id::ShardId;
use crate::service::Placed;

/// Members that [`Places::write`] writes.
pub const MEMBERS: usize = 2;

/// Writes where records went. Numbers of records that went to one shard in one second are counted up.
#[derive(Default)]
pub struct Places {
    writers: Vec<(u32, u64, u64, SequenceNumbers)>,
}

/// Shards whose writers are kept; PutRecords over more shards builds some of them anew.
const WRITERS_MAX: usize = 64;

impl Places {
    /// Appends SequenceNumber and ShardId, in JSON without a comma around.
    pub fn write(&mut self, placed: &Placed, codec: Codec, out: &mut Vec<u8>) {
        match codec {
            Codec::Json => self.write_json(placed, out),
            Codec::Cbor => self.write_cbor(placed, out),
        }
    }

    /// The SequenceNumber alone.
    pub fn sequence_number(&mut self, placed: &Placed) -> String {
        let mut text = Vec::with_capacity(DIGITS);
        self.write_sequence_number(placed, &mut text);
        String::from_utf8(text).expect("digits")
    }

    /// Appends the digits of the SequenceNumber.
    pub fn write_sequence_number(&mut self, placed: &Placed, out: &mut Vec<u8>) {
        self.writer(placed).format(placed.ordinal, out);
    }

    fn write_json(&mut self, placed: &Placed, out: &mut Vec<u8>) {
        out.extend_from_slice(br#""SequenceNumber":""#);
        self.write_sequence_number(placed, out);
        out.extend_from_slice(br#"","ShardId":""#);
        ShardId(placed.shard).write(out);
        out.push(b'"');
    }

    fn write_cbor(&mut self, placed: &Placed, out: &mut Vec<u8>) {
        cbor::write_text(out, "SequenceNumber");
        cbor::write_text_head(out, DIGITS);
        self.write_sequence_number(placed, out);
        cbor::write_text(out, "ShardId");
        cbor::write_text_head(out, ShardId::LENGTH);
        ShardId(placed.shard).write(out);
    }

    fn writer(&mut self, placed: &Placed) -> &mut SequenceNumbers {
        let Placed { shard, created_s, time_ms, .. } = *placed;
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
