//! One record to be put, as both put operations take it: members, bounds, hash key and size.
//!
//! The fast readers borrow their texts from the request's body. They accept only entries that are plainly right;
//! everything else goes by the table of members, which finds AWS's words for it or is lenient where AWS is.

mod cbor;

use std::borrow::Cow;

use serde::Deserialize;

pub use cbor::FoundRecord;

use crate::limits::{PARTITION_KEY_LENGTH_MAX, RECORD_DATA_BYTES_MAX};
use crate::model::hash_key;
use crate::model::stream::{Stream, StreamStatus};
use crate::ops::Fault;
use crate::ops::api::shape::utf16_length;
use crate::ops::api::validate::Violations;
use crate::ops::api::{Blob, base64_length};
use crate::ops::fault::{InvalidRecords, OutOfBounds};
use crate::service::{NewRecord, Payload};

/// Opening brackets of a body that is read the fast way: those of 500 records, and some inside texts.
const OPENINGS_MAX: usize = 640;

/// Whether a body cannot be nested deeply. The fast readers have no bound of their own on depth and would exhaust
/// the stack; the slow way has one. Counting is far cheaper than following the nesting.
pub fn is_shallow(body: &[u8]) -> bool {
    body.iter().filter(|byte| matches!(byte, b'[' | b'{')).count() <= OPENINGS_MAX
}

/// A text that borrows from the body unless it has escapes.
#[derive(Deserialize)]
pub struct Borrowed<'a>(#[serde(borrow)] pub Cow<'a, str>);

/// The text, if there is one.
pub fn text<'a>(member: Option<&'a Borrowed<'_>>) -> Option<&'a str> {
    member.map(|text| &*text.0)
}

/// A record within the bounds of the service model.
#[derive(Clone, Debug, PartialEq)]
pub struct Entry<'a> {
    /// Only a stream that distributes its records by itself does without.
    partition_key: Option<&'a str>,
    explicit_hash_key: Option<&'a str>,
    data: Payload<'a>,
    data_bytes: usize,
}

impl<'a> Entry<'a> {
    /// From checked members.
    pub fn from_members(
        data: &'a Blob,
        partition_key: Option<&'a String>,
        explicit_hash_key: Option<&'a String>,
    ) -> Self {
        Self {
            partition_key: partition_key.map(String::as_str),
            explicit_hash_key: explicit_hash_key.map(String::as_str),
            data: data.payload(),
            data_bytes: data.decoded_len(),
        }
    }

    /// From texts of the body, the data in base64; `None` when anything is out of bounds.
    pub fn from_texts(
        data: &'a str,
        partition_key: &'a str,
        explicit_hash_key: Option<&'a str>,
    ) -> Option<Self> {
        let decoded_len = base64_length(data)?;
        let data = Payload::Base64 { text: data, decoded_len };
        Self::checked(data, Some(partition_key), explicit_hash_key).ok()
    }

    /// From bytes and texts of the body; `None` when anything is out of bounds.
    pub fn from_bytes(
        data: &'a [u8],
        partition_key: &'a str,
        explicit_hash_key: Option<&'a str>,
    ) -> Option<Self> {
        Self::checked(Payload::Raw(data), Some(partition_key), explicit_hash_key).ok()
    }

    /// Checks the bounds of the table of members.
    ///
    /// # Errors
    /// The bound that is broken.
    pub fn checked(
        data: Payload<'a>,
        partition_key: Option<&'a str>,
        explicit_hash_key: Option<&'a str>,
    ) -> Result<Self, OutOfBounds> {
        let data_bytes = data.len();
        let is_key = |key| (1..=PARTITION_KEY_LENGTH_MAX).contains(&utf16_length(key));
        if data_bytes as u64 > RECORD_DATA_BYTES_MAX {
            Err(OutOfBounds::Data)
        } else if !partition_key.is_none_or(is_key) {
            Err(OutOfBounds::PartitionKey)
        } else if !explicit_hash_key.is_none_or(is_plain_number) {
            Err(OutOfBounds::ExplicitHashKey)
        } else {
            Ok(Self { partition_key, explicit_hash_key, data, data_bytes })
        }
    }

    /// Bytes of data and partition key, as limits count them.
    pub fn bytes(&self) -> u64 {
        (self.data_bytes + self.partition_key.map_or(0, str::len)) as u64
    }

    /// Notes a partition key that the stream needs and that is missing at `path`.
    pub fn check_key(&self, stream: &Stream, path: impl FnOnce() -> String, violations: &mut Violations) {
        if self.partition_key.is_none() && !stream.is_auto_distributed {
            violations.add_missing(&path());
        }
    }

    /// For the service. A stream that distributes its records by itself takes no notice of the keys.
    ///
    /// # Errors
    /// [`Fault::InvalidArgument`] when it is larger than the stream allows or its hash key is 2^128 or more.
    pub fn record(&self, stream: &Stream) -> Result<NewRecord<'a>, Fault> {
        let bytes_max = u64::from(stream.max_record_kib) * 1_024;
        if self.bytes() > bytes_max {
            let (stream, bytes) = (stream.key.name.to_string(), self.bytes());
            return Err(InvalidRecords::RecordBytes { stream, bytes, bytes_max }.into());
        }
        let explicit = self
            .explicit_hash_key
            .map(|text| {
                hash_key::parse_explicit(text)
                    .ok_or_else(|| Fault::from(InvalidRecords::ExplicitHashKey(text.to_owned())))
            })
            .transpose()?;
        let hash_key = match explicit {
            _ if stream.is_auto_distributed => rand::random(),
            Some(hash_key) => hash_key,
            None => hash_key::of_partition_key(self.partition_key.unwrap_or_default()),
        };
        Ok(NewRecord { hash_key, partition_key: self.partition_key, data: self.data })
    }
}

/// Digits of a hash key that could be one; all else is judged by the service model.
fn is_plain_number(text: &str) -> bool {
    hash_key::parse_explicit(text).is_some() && (text == "0" || !text.starts_with('0'))
}

/// Whether the stream takes records.
///
/// # Errors
/// [`Fault::ResourceNotFound`] while it is CREATING or DELETING, as AWS answers puts.
pub fn check_takes_records(stream: &Stream) -> Result<(), Fault> {
    match stream.status {
        StreamStatus::Active | StreamStatus::Updating => Ok(()),
        StreamStatus::Creating | StreamStatus::Deleting => Err(Fault::stream_not_found(&stream.key)),
    }
}
