//! The bodies of a producer's PutRecords requests, made by copying into one buffer that is used again and again.
//!
//! Where all records have one size, requests differ in their headers and keys only: then the buffer is laid out once
//! and only those are written, wherever the connection has let go of it.

use std::sync::Arc;

use bytes::Bytes;
use rand::SeedableRng;
use rand::rngs::SmallRng;

use super::record::{Filler, HEADER_CHARACTERS, Header};
use super::size::Size;
use super::skew::Keys;

/// Bytes of data and keys that the protocol takes in one request.
pub const REQUEST_BYTES_MAX: usize = 10 << 20;
/// Characters of every key: `key-` and eight hexadecimal digits.
pub const KEY_CHARACTERS: usize = 12;

/// The parameters that all producers' records have in common.
#[derive(Debug)]
pub struct Load {
    /// Name of the stream.
    pub stream: String,
    /// The run's number: [`Header::run`].
    pub run: u32,
    /// Records of a request.
    pub batch: usize,
    /// Bytes of a record.
    pub size: Size,
    /// Partition keys.
    pub keys: Keys,
    /// The bytes that fill records up.
    pub filler: Filler,
}

/// Draws a producer's records, one request after the other.
#[derive(Debug)]
pub struct Records {
    load: Arc<Load>,
    producer: u16,
    random: SmallRng,
    requests: u64,
}

impl Records {
    /// The producer of that number.
    pub fn new(load: Arc<Load>, producer: u16) -> Self {
        let seed = u64::from(load.run) << 16 | u64::from(producer);
        Self { load, producer, random: SmallRng::seed_from_u64(seed), requests: 0 }
    }

    /// Calls `each` with place, header and key of the next request's records. A request that would be larger than the
    /// protocol allows gets fewer records. The number of records, and the first one's sequence.
    pub fn next(
        &mut self,
        due_ns: u64,
        mut each: impl FnMut(usize, &Header, [u8; KEY_CHARACTERS]),
    ) -> (usize, u64) {
        let first = self.requests * self.load.batch as u64;
        self.requests += 1;
        let mut bytes = 0;
        for place in 0..self.load.batch {
            let length = self.load.size.draw(&mut self.random);
            bytes += length + KEY_CHARACTERS;
            if bytes > REQUEST_BYTES_MAX {
                return (place, first);
            }
            let header = Header {
                run: self.load.run,
                producer: self.producer,
                sequence: first + place as u64,
                due_ns,
                length: length as u32,
            };
            each(place, &header, key(self.load.keys.draw(&mut self.random)));
        }
        (self.load.batch, first)
    }

    /// Returns the parameters that these records share with those of other producers.
    pub fn load(&self) -> &Arc<Load> {
        &self.load
    }
}

/// The key of that number.
fn key(number: u32) -> [u8; KEY_CHARACTERS] {
    let mut key = *b"key-00000000";
    for (place, character) in key[4..].iter_mut().enumerate() {
        *character = b"0123456789abcdef"[(number >> (28 - 4 * place)) as usize & 15];
    }
    key
}

/// Makes a producer's bodies.
#[derive(Debug)]
pub struct Bodies {
    records: Records,
    /// The body before: shared with the connection until its answer has come.
    last: Bytes,
    /// Where the data and the key of each record stand in it, when every body has the same layout.
    slots: Vec<(usize, usize)>,
}

/// A body, and the records in it.
#[derive(Debug)]
pub struct Body {
    /// The body in JSON.
    pub bytes: Bytes,
    /// Sequence of its first record; the others follow.
    pub first: u64,
    /// Number of records.
    pub records: usize,
}

impl Bodies {
    /// Makes the bodies of those records.
    pub fn new(records: Records) -> Self {
        Self { records, last: Bytes::new(), slots: Vec::new() }
    }

    /// The next request, which is due at that time.
    pub fn next(&mut self, due_ns: u64) -> Body {
        // A connection that still holds the last body, after a timeout, keeps it: then there is a new buffer.
        let mut buffer: Vec<u8> =
            std::mem::take(&mut self.last).try_into_mut().map(Vec::from).unwrap_or_default();
        let (records, first) = if buffer.is_empty() || self.slots.is_empty() {
            self.lay_out(&mut buffer, due_ns)
        } else {
            self.stamp(&mut buffer, due_ns)
        };
        self.last = buffer.into();
        Body { bytes: self.last.clone(), first, records }
    }

    fn lay_out(&mut self, buffer: &mut Vec<u8>, due_ns: u64) -> (usize, u64) {
        let load = self.records.load().clone();
        buffer.clear();
        self.slots.clear();
        buffer.extend_from_slice(b"{\"StreamName\":\"");
        buffer.extend_from_slice(load.stream.as_bytes());
        buffer.extend_from_slice(b"\",\"Records\":[");
        let slots = &mut self.slots;
        let laid_out = self.records.next(due_ns, |place, header, key| {
            if place > 0 {
                buffer.push(b',');
            }
            buffer.extend_from_slice(b"{\"Data\":\"");
            let data_at = buffer.len();
            buffer.extend_from_slice(&[0; HEADER_CHARACTERS]);
            header.encode_base64(&mut buffer[data_at..]);
            load.filler.append_base64(place, header.length as usize, buffer);
            buffer.extend_from_slice(b"\",\"PartitionKey\":\"");
            slots.push((data_at, buffer.len()));
            buffer.extend_from_slice(&key);
            buffer.extend_from_slice(b"\"}");
        });
        buffer.extend_from_slice(b"]}");
        if !matches!(load.size, Size::Fixed(_)) {
            self.slots.clear();
        }
        laid_out
    }

    fn stamp(&mut self, buffer: &mut [u8], due_ns: u64) -> (usize, u64) {
        let slots = &self.slots;
        self.records.next(due_ns, |place, header, key| {
            let (data_at, key_at) = slots[place];
            header.encode_base64(&mut buffer[data_at..data_at + HEADER_CHARACTERS]);
            buffer[key_at..key_at + KEY_CHARACTERS].copy_from_slice(&key);
        })
    }
}

/// A record's bytes, for APIs that take them as they are.
pub fn plain(load: &Load, place: usize, header: &Header) -> Bytes {
    let mut bytes = Vec::with_capacity(header.length as usize);
    bytes.extend_from_slice(&header.encode());
    bytes.extend_from_slice(load.filler.piece(place, header.length as usize));
    bytes.into()
}

#[cfg(test)]
mod tests {
    use serde_json::Value;

    use super::*;
    use crate::skew::Skew;

    fn bodies(size: &str, batch: usize) -> Bodies {
        let size: Size = size.parse().expect("a size");
        let load = Load {
            stream: "s".into(),
            run: 9,
            batch,
            size,
            keys: Keys::new(3, Skew::Uniform),
            filler: Filler::new(9, size.most()),
        };
        Bodies::new(Records::new(load.into(), 2))
    }

    #[test]
    fn every_record_of_a_body_is_whole() {
        for size in ["31", "100", "uniform:30-300", "lognormal:200:1"] {
            let mut bodies = bodies(size, 70);
            // A connection still has the third while the fourth is made.
            let mut held = Bytes::new();
            for request in 0..5_u64 {
                let body = bodies.next(request * 1_000);
                assert_eq!((body.first, body.records), (request * 70, 70));
                let document: Value = serde_json::from_slice(&body.bytes).expect("JSON");
                assert_eq!(document["StreamName"], "s");
                for (place, record) in document["Records"].as_array().expect("records").iter().enumerate() {
                    let data = record["Data"].as_str().expect("data");
                    let data = base64_simd::STANDARD.decode_to_vec(data).expect("base64");
                    let header = Header::decode(&data).expect("a header");
                    assert_eq!((header.run, header.producer, header.due_ns), (9, 2, request * 1_000));
                    assert_eq!(header.sequence, request * 70 + place as u64);
                    assert!(bodies.records.load().filler.is_intact(&header, 70, &data));
                    let key = record["PartitionKey"].as_str().expect("a key");
                    assert!(["key-00000000", "key-00000001", "key-00000002"].contains(&key), "{key}");
                }
                if request == 2 {
                    held = body.bytes;
                }
            }
            assert!(!held.is_empty());
        }
    }

    #[test]
    fn a_request_is_not_larger_than_allowed() {
        let mut bodies = bodies("uniform:1MiB-2MiB", 20);
        let body = bodies.next(0);
        assert!((5..=10).contains(&body.records), "{}", body.records);
        assert_eq!(bodies.next(0).first, 20, "the others' sequences stay unused");
    }

    #[test]
    fn a_key_is_its_number() {
        assert_eq!(&key(0x0123_89AF), b"key-012389af");
    }
}
