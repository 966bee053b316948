//! Takes aggregated records apart.

use bytes::Bytes;
use md5::{Digest, Md5};
use prost::Message;

use super::UserRecord;
use super::format::{AggregatedRecord, DIGEST_BYTES, MAGIC};

/// Most bytes of keys in the records of one aggregated record. Records name their keys by an index of few bytes, and
/// each gets a copy: without a bound a crafted record of 1 MiB would take gigabytes. KPL's keys have 256 characters at
/// most.
const KEY_BYTES_MAX: usize = 64 << 20;

/// The records in the data of an aggregated record, in their order, sharing its memory. `None` when the data is
/// anything else: a record as it is, be it one that looks like an aggregated one at its beginning only, or one whose
/// keys would take more than 64 MiB.
pub fn deaggregate(data: &Bytes) -> Option<Vec<UserRecord>> {
    let message_end = data.len().checked_sub(DIGEST_BYTES)?;
    if !data.starts_with(&MAGIC) || message_end < MAGIC.len() {
        return None;
    }
    let message = data.slice(MAGIC.len()..message_end);
    if Md5::digest(&message)[..] != data[message_end..] {
        return None;
    }
    let message = AggregatedRecord::decode(message).ok()?;
    let (keys, hashes) = (&message.partition_key_table, &message.explicit_hash_key_table);
    let mut key_bytes = 0;
    let mut named = |table: &[String], index: u64| {
        let key = table.get(usize::try_from(index).ok()?)?;
        key_bytes += key.len();
        (key_bytes <= KEY_BYTES_MAX).then(|| key.clone())
    };
    message
        .records
        .into_iter()
        .map(|part| {
            let partition_key = named(keys, part.partition_key_index)?;
            let explicit_hash_key = match part.explicit_hash_key_index {
                Some(index) => Some(named(hashes, index)?),
                None => None,
            };
            Some(UserRecord { partition_key, explicit_hash_key, data: part.data })
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::super::format::Part;
    use super::*;

    fn sealed(message: &[u8]) -> Bytes {
        [&MAGIC[..], message, &Md5::digest(message)].concat().into()
    }

    #[test]
    fn anything_else_is_left_as_it_is() {
        let part = Part { partition_key_index: 1, explicit_hash_key_index: None, data: Bytes::new() };
        let beyond_table = AggregatedRecord {
            partition_key_table: vec!["a".into()],
            explicit_hash_key_table: Vec::new(),
            records: vec![part],
        };
        let mut wrong_digest = sealed(b"\x0a\x01a").to_vec();
        *wrong_digest.last_mut().expect("not empty") ^= 1;
        let cases: [(&str, Bytes); 7] = [
            ("empty", Bytes::new()),
            ("text", Bytes::from_static(b"{\"a\": \"some line of JSON, long enough\"}")),
            ("the magic alone", Bytes::from_static(&MAGIC)),
            ("too short for a digest", [&MAGIC[..], &[0; 15]].concat().into()),
            ("a wrong digest", wrong_digest.into()),
            ("no message", sealed(b"\xff\xff\xff")),
            ("a key that is not in the table", sealed(&beyond_table.encode_to_vec())),
        ];
        for (name, data) in cases {
            assert_eq!(deaggregate(&data), None, "{name}");
        }
        assert_eq!(deaggregate(&sealed(b"")), Some(Vec::new()), "no records");
    }

    #[test]
    fn one_long_key_does_not_take_its_bytes_for_each_record() {
        let record = |parts: usize| {
            let part = Part { partition_key_index: 0, explicit_hash_key_index: None, data: Bytes::new() };
            let key = "k".repeat(KEY_BYTES_MAX / 64);
            let message = AggregatedRecord {
                partition_key_table: vec![key],
                explicit_hash_key_table: Vec::new(),
                records: vec![part; parts],
            };
            sealed(&message.encode_to_vec())
        };
        assert_eq!(deaggregate(&record(64)).map(|records| records.len()), Some(64));
        assert_eq!(deaggregate(&record(65)), None);
    }

    #[test]
    fn fields_that_are_not_known_are_passed_over() {
        // A record with a tag (field 4), as KPL may write it.
        let message = b"\x0a\x01a\x1a\x0a\x08\x00\x1a\x01x\x22\x03\x0a\x01t";
        let records = deaggregate(&sealed(message)).expect("is aggregated");
        assert_eq!(records[0].data, "x");
        assert!(records[0].belongs_to(&(0..=u128::MAX)));
        assert!(!records[0].belongs_to(&(0..=1)));
    }
}
