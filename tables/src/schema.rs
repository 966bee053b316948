//! Keys of tables and indexes, and their bytes.
//!
//! The key of an item is a hash of its hash key, the hash key behind its length, and the range key. So items lie in the
//! order of the hash, which makes equal segments of a scan; those with one hash key lie together in the order of the
//! range key. The range key is escaped and ended, because the key of the table's item follows it in an index.

use crate::codec::{Damaged, Reader, put_bytes};
use crate::fault::Invalid;
use crate::value::{Item, Kind, ValueRef};

/// Bytes of a hash key's value.
const HASH_BYTES_MAX: usize = 2_048;

/// Bytes of a range key's value.
const RANGE_BYTES_MAX: usize = 1_024;

/// Ends an escaped range key. No escaped byte begins like it.
pub(crate) const RANGE_END: [u8; 2] = [0, 0];

/// Bytes of a key or of an index's entry.
pub(crate) type Key = Box<[u8]>;

/// An attribute of a key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeyAttribute {
    /// The attribute's name.
    pub name: Box<str>,
    /// S, N or B.
    pub kind: Kind,
}

/// The key of a table or of an index.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeySchema {
    /// The HASH attribute.
    pub hash: KeyAttribute,
    /// The RANGE attribute.
    pub range: Option<KeyAttribute>,
}

/// Spreads hash keys evenly over 64 bits: FNV-1a, and the finalizer of MurmurHash3. Part of the order of scans, so it
/// stays as it is.
fn spread(bytes: &[u8]) -> u64 {
    let hash = bytes.iter().fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| {
        (hash ^ u64::from(*byte)).wrapping_mul(0x0000_0100_0000_01b3)
    });
    let hash = (hash ^ (hash >> 33)).wrapping_mul(0xff51_afd7_ed55_8ccd);
    let hash = (hash ^ (hash >> 33)).wrapping_mul(0xc4ce_b9fe_1a85_ec53);
    hash ^ (hash >> 33)
}

/// The bytes before the range key of all items with this hash key.
pub(crate) fn hash_prefix(hash: ValueRef<'_>) -> Vec<u8> {
    let payload = hash.payload();
    let mut key = Vec::with_capacity(payload.len() + 48);
    key.extend_from_slice(&spread(payload).to_be_bytes());
    key.extend_from_slice(&(payload.len() as u16).to_be_bytes());
    key.extend_from_slice(payload);
    key
}

/// Appends a range key without its end.
pub(crate) fn put_escaped(key: &mut Vec<u8>, payload: &[u8]) {
    for byte in payload {
        key.push(*byte);
        if *byte == 0 {
            key.push(0xff);
        }
    }
}

/// The table's key in an entry of an index.
pub(crate) fn primary_of<'e>(entry: &'e [u8], index: &KeySchema) -> &'e [u8] {
    let length = usize::from(u16::from_be_bytes([entry[8], entry[9]]));
    let mut rest = &entry[10 + length..];
    if index.range.is_some() {
        loop {
            match rest {
                [0, 0, after @ ..] => break rest = after,
                [0, 0xff, after @ ..] | [_, after @ ..] => rest = after,
                [] => panic!("an entry of an index ends its range key"),
            }
        }
    }
    rest
}

impl KeyAttribute {
    fn encode(&self, out: &mut Vec<u8>) {
        put_bytes(out, self.name.as_bytes());
        out.push(self.kind as u8);
    }

    fn decode(reader: &mut Reader<'_>) -> Result<Self, Damaged> {
        let (name, kind) = (reader.name()?, Kind::from_byte(reader.byte()?)?);
        if kind.is_ordered() && !name.is_empty() { Ok(Self { name, kind }) } else { Err(Damaged) }
    }
}

impl KeySchema {
    /// The attributes of the key, the hash key first.
    pub fn attributes(&self) -> impl Iterator<Item = &KeyAttribute> {
        std::iter::once(&self.hash).chain(&self.range)
    }

    /// True for an attribute of the key.
    pub fn has(&self, name: &str) -> bool {
        self.attributes().any(|attribute| *attribute.name == *name)
    }

    /// The key of a whole item.
    pub(crate) fn key_of_item(&self, item: &Item) -> Result<Key, Invalid> {
        self.key(item, |attribute, value| match value {
            None => Invalid::KeyMissing { attribute: attribute.name.to_string() },
            Some(value) => Invalid::KeyType {
                attribute: attribute.name.to_string(),
                expected: attribute.kind,
                actual: value.kind,
            },
        })
    }

    /// The key of `Key`, which has these attributes and no others.
    pub(crate) fn key_of_key(&self, key: &Item) -> Result<Key, Invalid> {
        if key.attributes().count() != self.attributes().count() {
            return Err(Invalid::KeyCount);
        }
        self.key(key, |_, _| Invalid::KeySchemaMismatch)
    }

    fn key(
        &self,
        item: &Item,
        fault: impl Fn(&KeyAttribute, Option<ValueRef<'_>>) -> Invalid,
    ) -> Result<Key, Invalid> {
        let find = |attribute: &KeyAttribute| match item.get(&attribute.name) {
            Some(value) if value.kind == attribute.kind => Ok(value),
            value => Err(fault(attribute, value)),
        };
        let hash = find(&self.hash)?;
        let range = self.range.as_ref().map(find).transpose()?;
        check_part(&self.hash, hash, HASH_BYTES_MAX, false)?;
        let mut key = hash_prefix(hash);
        if let (Some(attribute), Some(range)) = (&self.range, range) {
            check_part(attribute, range, RANGE_BYTES_MAX, true)?;
            put_escaped(&mut key, range.payload());
            key.extend_from_slice(&RANGE_END);
        }
        Ok(key.into())
    }

    /// The entry of an item in an index with this key, unless the item lacks an attribute of it.
    pub(crate) fn entry(&self, item: &Item, primary: &[u8]) -> Option<Key> {
        let find = |attribute: &KeyAttribute| {
            item.get(&attribute.name)
                .filter(|value| value.kind == attribute.kind && !value.payload().is_empty())
        };
        let mut entry = hash_prefix(find(&self.hash)?);
        if let Some(attribute) = &self.range {
            put_escaped(&mut entry, find(attribute)?.payload());
            entry.extend_from_slice(&RANGE_END);
        }
        entry.extend_from_slice(primary);
        Some(entry.into())
    }

    /// Refuses an item whose attributes cannot be keys of an index, unless they are absent.
    pub(crate) fn check_index(&self, item: &Item, index: &str) -> Result<(), Invalid> {
        for (attribute, is_range) in [(Some(&self.hash), false), (self.range.as_ref(), true)] {
            let Some(attribute) = attribute else { continue };
            let Some(value) = item.get(&attribute.name) else { continue };
            let name = || attribute.name.to_string();
            if value.kind != attribute.kind {
                let (expected, actual) = (attribute.kind, value.kind);
                return Err(Invalid::IndexKeyType {
                    attribute: name(),
                    expected,
                    actual,
                    index: index.to_owned(),
                });
            }
            if value.payload().is_empty() {
                return Err(Invalid::EmptyIndexKey { attribute: name(), index: index.to_owned() });
            }
            check_part(attribute, value, if is_range { RANGE_BYTES_MAX } else { HASH_BYTES_MAX }, is_range)?;
        }
        Ok(())
    }

    pub(crate) fn encode(&self, out: &mut Vec<u8>) {
        self.hash.encode(out);
        out.push(u8::from(self.range.is_some()));
        if let Some(range) = &self.range {
            range.encode(out);
        }
    }

    pub(crate) fn decode(reader: &mut Reader<'_>) -> Result<Self, Damaged> {
        let hash = KeyAttribute::decode(reader)?;
        let range = if reader.flag()? { Some(KeyAttribute::decode(reader)?) } else { None };
        if range.as_ref().is_some_and(|range| range.name == hash.name) {
            Err(Damaged)
        } else {
            Ok(Self { hash, range })
        }
    }
}

fn check_part(
    attribute: &KeyAttribute,
    value: ValueRef<'_>,
    bytes_max: usize,
    is_range: bool,
) -> Result<(), Invalid> {
    if value.payload().is_empty() {
        return Err(Invalid::EmptyKey { attribute: attribute.name.to_string() });
    }
    if value.payload().len() > bytes_max {
        return Err(Invalid::KeyTooLong { is_range, bytes_max });
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::value::Value;

    fn schema(hash: &str, range: &str, kind: Kind) -> KeySchema {
        let attribute = |name: &str, kind| KeyAttribute { name: name.into(), kind };
        KeySchema { hash: attribute(hash, Kind::S), range: Some(attribute(range, kind)) }
    }

    fn item(hash: &str, range: &[u8]) -> Item {
        Item::new([("h", Value::text(hash)), ("r", Value::new(Kind::B, range))])
    }

    #[test]
    fn segments_of_similar_keys_are_even() {
        let mut counts = [0_u32; 16];
        for shard in 0..16_000 {
            let name = format!("shardId-{shard:012}");
            counts[(spread(name.as_bytes()) >> 60) as usize] += 1;
        }
        assert!(counts.iter().all(|count| (850..1_150).contains(count)), "{counts:?}");
    }

    #[test]
    fn the_order_of_a_scan_stays() {
        assert_eq!(spread(b"shardId-000000000000"), 0x1edc_b636_2243_b92f);
    }

    proptest! {
        #[test]
        fn keys_lie_in_the_order_of_the_range(one in prop::collection::vec(0_u8..3, 1..6), other in prop::collection::vec(0_u8..3, 1..6)) {
            let schema = schema("h", "r", Kind::B);
            let key = |range: &[u8]| schema.key_of_item(&item("x", range)).unwrap();
            prop_assert_eq!(key(&one).cmp(&key(&other)), one.cmp(&other));
        }

        #[test]
        fn an_entry_has_its_primary_key(range in prop::collection::vec(0_u8..3, 1..6), hash in "[a-c\u{0}]{1,3}") {
            let table = KeySchema { hash: KeyAttribute { name: "h".into(), kind: Kind::S }, range: None };
            let index = schema("h", "r", Kind::B);
            let item = item(&hash, &range);
            let primary = table.key_of_item(&item).unwrap();
            let entry = index.entry(&item, &primary).unwrap();
            prop_assert_eq!(primary_of(&entry, &index), &*primary);
        }
    }
}
