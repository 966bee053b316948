//! A record to be written. Made by the application, checked where it is made, so that one record out of bounds does not
//! fail those that it would travel with.

use bytes::Bytes;
use tidelog_proto::v1;

use crate::aggregation::{UserRecord, hash_key};
use crate::error::{Error, Reason};

/// Characters of a partition key.
const KEY_CHARACTERS_MAX: usize = 256;

/// Bytes of data and key together that no stream can be set above.
pub const RECORD_BYTES_MAX: usize = 10 << 20;

/// A record to be written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NewRecord {
    partition_key: Option<String>,
    explicit_hash_key: Option<u128>,
    data: Bytes,
}

impl NewRecord {
    /// A record with a partition key of 1 to 256 characters, which decides its shard. Key and data together have up to
    /// the stream's record size, 1 MiB by default and 10 MiB at most.
    pub fn new(partition_key: impl Into<String>, data: impl Into<Bytes>) -> Self {
        Self { partition_key: Some(partition_key.into()), explicit_hash_key: None, data: data.into() }
    }

    /// A record for a stream with AUTO distribution, where the broker decides the shard. Such records have no order.
    pub fn without_key(data: impl Into<Bytes>) -> Self {
        Self { partition_key: None, explicit_hash_key: None, data: data.into() }
    }

    /// Decides the shard instead of the key. Order holds among the records of a hash key.
    #[must_use]
    pub fn explicit_hash_key(mut self, hash_key: u128) -> Self {
        self.explicit_hash_key = Some(hash_key);
        self
    }

    /// Bytes of key and data, as limits count them.
    pub(super) fn bytes(&self) -> usize {
        self.partition_key.as_ref().map_or(0, String::len) + self.data.len()
    }

    /// Where it lies in the ring of hash keys; anywhere without a key.
    pub(super) fn hash_key(&self) -> u128 {
        match (self.explicit_hash_key, &self.partition_key) {
            (Some(explicit), _) => explicit,
            (None, Some(key)) => hash_key(key),
            (None, None) => rand::random(),
        }
    }

    /// # Errors
    /// [`Reason::Invalid`] when it is out of bounds that hold for every stream.
    pub(super) fn check(&self) -> Result<(), Error> {
        let invalid = |message: &str| Err(Error::new(Reason::Invalid, message));
        if let Some(key) = &self.partition_key
            && !(1..=KEY_CHARACTERS_MAX).contains(&key.chars().count())
        {
            return invalid("a partition key has 1 to 256 characters");
        }
        if self.bytes() > RECORD_BYTES_MAX {
            return invalid("data and key of a record have at most 10 MiB together");
        }
        Ok(())
    }

    pub(super) fn to_wire(&self) -> v1::NewRecord {
        v1::NewRecord {
            partition_key: self.partition_key.clone(),
            explicit_hash_key: self.explicit_hash_key.map(|hash_key| hash_key.to_string()),
            data: self.data.clone(),
        }
    }

    /// Converts the record into a part of an aggregated record, which a record without a key cannot be.
    pub(super) fn to_part(&self) -> Option<UserRecord> {
        Some(UserRecord {
            partition_key: self.partition_key.clone()?,
            explicit_hash_key: self.explicit_hash_key.map(|hash_key| hash_key.to_string()),
            data: self.data.clone(),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bounds() {
        let cases = [
            (NewRecord::new("k", "data"), true),
            (NewRecord::without_key(""), true),
            (NewRecord::new("\u{fc}".repeat(256), ""), true),
            (NewRecord::new("\u{fc}".repeat(257), ""), false),
            (NewRecord::new("", "data"), false),
            (NewRecord::new("k", vec![0; RECORD_BYTES_MAX - 1]), true),
            (NewRecord::new("k", vec![0; RECORD_BYTES_MAX]), false),
        ];
        for (record, valid) in cases {
            assert_eq!(record.check().is_ok(), valid, "{} bytes", record.bytes());
        }
    }

    #[test]
    fn the_explicit_hash_key_comes_first() {
        assert_eq!(NewRecord::new("a", "").hash_key(), 0x0cc1_75b9_c0f1_b6a8_31c3_99e2_6977_2661);
        assert_eq!(NewRecord::new("a", "").explicit_hash_key(7).hash_key(), 7);
        assert_eq!(
            NewRecord::new("a", "").explicit_hash_key(7).to_wire().explicit_hash_key.as_deref(),
            Some("7")
        );
    }
}
