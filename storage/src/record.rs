//! The body of a sub-batch: records back to back, each with its lengths in front.
//!
//! The leader encodes a body once; it then goes unchanged through the write-ahead log, the followers and the
//! segment. Reading never copies: a [`Record`] holds slices of the body. The checksum of the body belongs to
//! the frame around it, so a body is checked before it is taken apart. Called by the broker (encoding) and by
//! [`crate::shard`] (decoding).

use bytes::{BufMut, Bytes};

/// Most bytes of data in one record: 10 MiB, the service's largest `MaxRecordSizeInKiB`.
pub const RECORD_DATA_BYTES_MAX: usize = 10 * 1024 * 1024;
/// Most bytes of a partition key: 256 characters of at most four bytes of UTF-8.
pub const PARTITION_KEY_BYTES_MAX: usize = 1_024;
/// Bytes in front of each record: `u32` data length and `u16` key length, little-endian.
pub const RECORD_HEADER_BYTES: usize = 6;

/// A record that is about to be encoded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RecordRef<'a> {
    /// Partition key; `None` where the producer gave none. Never empty: a length of zero on disk means `None`.
    pub key: Option<&'a [u8]>,
    /// The record's bytes; may be empty.
    pub data: &'a [u8],
}

impl RecordRef<'_> {
    /// Bytes [`RecordRef::encode`] writes.
    pub fn encoded_len(&self) -> usize {
        encoded_len(self.key.map_or(0, <[u8]>::len), self.data.len())
    }

    /// Appends the record to a body.
    ///
    /// # Panics
    /// As [`encode_header`], and when the key is present but empty.
    pub fn encode(&self, out: &mut impl BufMut) {
        assert!(self.key != Some(&[]), "an empty partition key cannot be told from none");
        let key = self.key.unwrap_or_default();
        encode_header(out, key.len(), self.data.len());
        out.put_slice(key);
        out.put_slice(self.data);
    }
}

/// A decoded record: slices of the body it came from, which they keep alive.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Record {
    /// Partition key, `None` where the producer gave none.
    pub partition_key: Option<Bytes>,
    /// The record's bytes.
    pub data: Bytes,
}

impl Record {
    /// Bytes that count against read limits: key and data.
    pub fn charged_bytes(&self) -> usize {
        self.data.len() + self.partition_key.as_ref().map_or(0, Bytes::len)
    }
}

/// Bytes of an encoded record with a key and data of these lengths.
pub fn encoded_len(key_len: usize, data_len: usize) -> usize {
    RECORD_HEADER_BYTES + key_len + data_len
}

/// Writes the lengths that stand in front of a record; the key's bytes and then the data's must follow.
///
/// # Panics
/// When a length is above [`PARTITION_KEY_BYTES_MAX`] or [`RECORD_DATA_BYTES_MAX`]: the caller has validated both.
pub fn encode_header(out: &mut impl BufMut, key_len: usize, data_len: usize) {
    assert!(key_len <= PARTITION_KEY_BYTES_MAX, "a partition key of {key_len} bytes");
    assert!(data_len <= RECORD_DATA_BYTES_MAX, "a record of {data_len} bytes");
    out.put_u32_le(data_len as u32);
    out.put_u16_le(key_len as u16);
}

/// Why a body cannot be taken apart. The offset is that of the record's header within the body, in bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BodyError {
    /// The body ends inside the record.
    #[error("the body ends inside the record at byte {offset}")]
    Truncated {
        /// Where the record starts.
        offset: usize,
    },
    /// A length is above its limit.
    #[error("the record at byte {offset} is longer than a record can be")]
    TooLong {
        /// Where the record starts.
        offset: usize,
    },
}

/// Iterates over the records of a body; ends after the first error.
#[derive(Clone, Debug)]
pub struct Records {
    body: Bytes,
    offset: usize,
}

impl Records {
    /// Starts at the body's first record.
    pub fn new(body: Bytes) -> Records {
        Records { body, offset: 0 }
    }

    /// Passes over `count` records without slicing them; stops silently at the body's end.
    ///
    /// # Errors
    /// When one of them cannot be taken apart; the iterator is then at its end.
    pub fn pass(&mut self, count: u64) -> Result<(), BodyError> {
        for _ in 0..count {
            if self.offset == self.body.len() {
                break;
            }
            let (_, _, end) = self.next_lengths()?;
            self.offset = end;
        }
        Ok(())
    }

    /// Start of the key, start of the data and end of the next record; at the end of the body on error.
    fn next_lengths(&mut self) -> Result<(usize, usize, usize), BodyError> {
        let offset = self.offset;
        let checked = lengths_at(&self.body, offset);
        if checked.is_err() {
            self.offset = self.body.len();
        }
        checked
    }
}

impl Iterator for Records {
    type Item = Result<Record, BodyError>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.offset == self.body.len() {
            return None;
        }
        Some(self.next_lengths().map(|(key, data, end)| {
            self.offset = end;
            Record {
                partition_key: (key < data).then(|| self.body.slice(key..data)),
                data: self.body.slice(data..end),
            }
        }))
    }
}

/// A body of some of a body's records, named by their number from 0 on.
///
/// # Errors
/// When the body cannot be taken apart.
pub fn choose(body: &[u8], mut is_chosen: impl FnMut(u32) -> bool) -> Result<Bytes, BodyError> {
    let mut chosen = Vec::with_capacity(body.len());
    let (mut offset, mut number) = (0, 0);
    while offset < body.len() {
        let (_, _, end) = lengths_at(body, offset)?;
        if is_chosen(number) {
            chosen.extend_from_slice(&body[offset..end]);
        }
        (offset, number) = (end, number + 1);
    }
    Ok(chosen.into())
}

fn lengths_at(body: &[u8], offset: usize) -> Result<(usize, usize, usize), BodyError> {
    let rest = &body[offset..];
    let Some((header, rest)) = rest.split_at_checked(RECORD_HEADER_BYTES) else {
        return Err(BodyError::Truncated { offset });
    };
    let data_len = u32::from_le_bytes([header[0], header[1], header[2], header[3]]) as usize;
    let key_len = usize::from(u16::from_le_bytes([header[4], header[5]]));
    if data_len > RECORD_DATA_BYTES_MAX || key_len > PARTITION_KEY_BYTES_MAX {
        return Err(BodyError::TooLong { offset });
    }
    if rest.len() < key_len + data_len {
        return Err(BodyError::Truncated { offset });
    }
    let key = offset + RECORD_HEADER_BYTES;
    Ok((key, key + key_len, key + key_len + data_len))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn body(records: &[RecordRef<'_>]) -> Bytes {
        let mut out = Vec::new();
        for record in records {
            record.encode(&mut out);
        }
        assert_eq!(out.len(), records.iter().map(RecordRef::encoded_len).sum::<usize>());
        out.into()
    }

    #[test]
    fn encoded_messages_are_decoded() {
        let records = [
            RecordRef { key: Some(b"k"), data: b"one" },
            RecordRef { key: None, data: b"" },
            RecordRef { key: Some(&[7; PARTITION_KEY_BYTES_MAX]), data: &[1; 5000] },
        ];
        let decoded: Vec<Record> = Records::new(body(&records)).map(Result::unwrap).collect();
        assert_eq!(decoded.len(), 3);
        for (record, decoded) in records.iter().zip(&decoded) {
            assert_eq!(record.key, decoded.partition_key.as_deref());
            assert_eq!(record.data, &decoded.data[..]);
        }
        let mut records = Records::new(body(&records));
        records.pass(2).unwrap();
        assert_eq!(records.next().unwrap().unwrap().data.len(), 5000);
        assert_eq!(records.pass(9), Ok(()));
        assert!(records.next().is_none());
    }

    #[test]
    fn every_cut_ends_in_an_error_or_a_border() {
        let whole =
            body(&[RecordRef { key: Some(b"key"), data: b"data" }, RecordRef { key: None, data: b"x" }]);
        for length in 0..whole.len() {
            let read: Vec<_> = Records::new(whole.slice(..length)).collect();
            let border = length == 0 || length == 13;
            assert_eq!(read.iter().all(Result::is_ok), border, "cut at {length}");
            assert!(read.iter().rev().skip(1).all(Result::is_ok), "ends after the first error");
        }
    }

    #[test]
    fn chosen_records_are_as_they_were() {
        let all = [
            RecordRef { key: Some(b"a"), data: b"one" },
            RecordRef { key: None, data: b"" },
            RecordRef { key: Some(b"ccc"), data: b"three" },
            RecordRef { key: Some(b"d"), data: b"4" },
        ];
        let whole = body(&all);
        for chosen in [vec![], vec![0], vec![1, 2], vec![3], vec![0, 1, 2, 3]] {
            let expected: Vec<_> = chosen.iter().map(|number| all[*number as usize]).collect();
            let kept = choose(&whole, |number| chosen.contains(&number));
            assert_eq!(kept, Ok(body(&expected)), "{chosen:?}");
        }
        let cut = choose(&whole[..whole.len() - 1], |_| true);
        assert!(matches!(cut, Err(BodyError::Truncated { .. })), "{cut:?}");
    }

    #[test]
    fn lengths_above_the_limits_are_refused() {
        let mut long = vec![0; 20];
        long[..4].copy_from_slice(&(RECORD_DATA_BYTES_MAX as u32 + 1).to_le_bytes());
        assert_eq!(Records::new(long.into()).next(), Some(Err(BodyError::TooLong { offset: 0 })));
    }
}
