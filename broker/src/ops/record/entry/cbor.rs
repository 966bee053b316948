//! The members of a record read from CBOR without a document, as they come.

use tidelog_proto::cbor::Reader;

use super::Entry;

/// The members of one record that were found so far.
#[derive(Debug, Default)]
pub struct FoundRecord<'a> {
    data: Option<&'a [u8]>,
    partition_key: Option<&'a str>,
    explicit_hash_key: Option<&'a str>,
}

impl<'a> FoundRecord<'a> {
    /// Reads the value of the member `name`. `None` when no record has such a member, it came before, or its value is
    /// anything but a plain one.
    pub fn take(&mut self, name: &str, reader: &mut Reader<'a>) -> Option<()> {
        match name {
            "Data" => once(&mut self.data, reader.bytes().ok()?),
            "PartitionKey" => once(&mut self.partition_key, reader.text().ok()?),
            "ExplicitHashKey" => once(&mut self.explicit_hash_key, reader.text().ok()?),
            _ => None,
        }
    }

    /// The record; `None` when a member is missing or out of bounds.
    pub fn entry(self) -> Option<Entry<'a>> {
        Entry::from_bytes(self.data?, self.partition_key?, self.explicit_hash_key)
    }
}

fn once<T>(place: &mut Option<T>, value: T) -> Option<()> {
    place.replace(value).is_none().then_some(())
}
