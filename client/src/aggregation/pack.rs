//! Puts records together.

use std::collections::HashMap;

use bytes::{BufMut, Bytes, BytesMut};
use md5::{Digest, Md5};
use prost::Message;

use super::UserRecord;
use super::format::{AggregatedRecord, DIGEST_BYTES, MAGIC, Part};

/// Magic, digest and nothing else.
const EMPTY_BYTES: usize = MAGIC.len() + DIGEST_BYTES;

/// Most bytes of a field's tag and length, or of an index with its tag.
const FIELD_BYTES: usize = 11;

/// An aggregated record in the making.
#[derive(Debug, Default)]
pub struct Aggregate {
    message: AggregatedRecord,
    partition_keys: HashMap<String, u64>,
    explicit_hash_keys: HashMap<String, u64>,
    bytes: usize,
}

impl Aggregate {
    /// Without records.
    pub fn new() -> Self {
        Self::default()
    }

    /// How many records it holds.
    pub fn len(&self) -> usize {
        self.message.records.len()
    }

    /// Whether it holds none.
    pub fn is_empty(&self) -> bool {
        self.message.records.is_empty()
    }

    /// At most so many bytes it would have with `record` in it too.
    pub fn bytes_with(&self, record: &UserRecord) -> usize {
        EMPTY_BYTES + self.bytes + self.growth(record)
    }

    /// Takes a record behind those that are there.
    pub fn push(&mut self, record: UserRecord) {
        self.bytes += self.growth(&record);
        let key_table = &mut self.message.partition_key_table;
        let partition_key_index = index_of(&mut self.partition_keys, key_table, record.partition_key);
        let hash_table = &mut self.message.explicit_hash_key_table;
        let explicit_hash_key_index =
            record.explicit_hash_key.map(|key| index_of(&mut self.explicit_hash_keys, hash_table, key));
        self.message.records.push(Part { partition_key_index, explicit_hash_key_index, data: record.data });
    }

    /// The data of the record to be put.
    pub fn finish(self) -> Bytes {
        let message_bytes = self.message.encoded_len();
        let mut out = BytesMut::with_capacity(EMPTY_BYTES + message_bytes);
        out.put_slice(&MAGIC);
        self.message.encode(&mut out).expect("a BytesMut grows");
        let digest = Md5::digest(&out[MAGIC.len()..]);
        out.put_slice(&digest);
        out.freeze()
    }

    fn growth(&self, record: &UserRecord) -> usize {
        let new_key = |table: &HashMap<String, u64>, key: &str| {
            if table.contains_key(key) { 0 } else { FIELD_BYTES + key.len() }
        };
        let explicit = record
            .explicit_hash_key
            .as_ref()
            .map_or(0, |key| FIELD_BYTES + new_key(&self.explicit_hash_keys, key));
        let part = 3 * FIELD_BYTES + record.data.len();
        new_key(&self.partition_keys, &record.partition_key) + explicit + part
    }
}

/// Puts records together into the data of one record. Without records the answer is one that holds none.
pub fn aggregate(records: impl IntoIterator<Item = UserRecord>) -> Bytes {
    let mut aggregate = Aggregate::new();
    for record in records {
        aggregate.push(record);
    }
    aggregate.finish()
}

/// The index of `key` in its table, where it is put when it is new.
fn index_of(indexes: &mut HashMap<String, u64>, table: &mut Vec<String>, key: String) -> u64 {
    *indexes.entry(key).or_insert_with_key(|key| {
        table.push(key.clone());
        table.len() as u64 - 1
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::aggregation::deaggregate;

    fn record(key: &str, hash: Option<&str>, data: &'static [u8]) -> UserRecord {
        let explicit_hash_key = hash.map(str::to_owned);
        UserRecord { partition_key: key.into(), explicit_hash_key, data: Bytes::from_static(data) }
    }

    #[test]
    fn the_bytes_are_those_of_kpl() {
        let data = aggregate([record("a", None, b"x"), record("a", Some("7"), b"")]);
        // Written by hand from the .proto of KPL: both tables, then the records with their required fields.
        let message = b"\x0a\x01a\x12\x017\x1a\x05\x08\x00\x1a\x01x\x1a\x06\x08\x00\x10\x00\x1a\x00";
        let mut expected = b"\xf3\x89\x9a\xc2".to_vec();
        expected.extend_from_slice(message);
        expected.extend_from_slice(&Md5::digest(message));
        assert_eq!(data, expected);
    }

    #[test]
    fn aggregated_records_are_unpacked_in_order() {
        let records = vec![
            record("a", None, b"1"),
            record("b", Some("340282366920938463463374607431768211455"), b"2"),
            record("a", Some("0"), b"3"),
            record("\u{fc}", None, &[0; 300]),
        ];
        assert_eq!(deaggregate(&aggregate(records.clone())), Some(records));
    }

    #[test]
    fn the_bound_on_bytes_holds() {
        let mut aggregate = Aggregate::new();
        for at in 0..500 {
            let key = format!("key-{}", at % 50);
            let hash = (at % 3 == 0).then_some("12345678901234567890");
            let next = record(&key, hash, &[7; 200]);
            let bound = aggregate.bytes_with(&next);
            aggregate.push(next);
            let message = aggregate.message.encoded_len() + EMPTY_BYTES;
            assert!(message <= bound, "{message} bytes, at most {bound} were said");
        }
        assert_eq!(aggregate.len(), 500);
    }
}
