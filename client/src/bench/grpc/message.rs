//! A producer's PutStreamRequests, laid out as they are sent: what makes the load should cost less than what takes it.

use bytes::{BufMut, Bytes};
use prost::{encode_length_delimiter, length_delimiter_len};
use tidelog_proto::v1::{Acknowledgement, PutStreamRequest, PutStreamResponse};
use tonic::Status;
use tonic::codec::{Codec, EncodeBuf, Encoder};
use tonic_prost::ProstCodec;

use crate::bench::body::{KEY_CHARACTERS, Load};
use crate::bench::record::Header;

/// Tags of a PutStreamRequest's `records`, and of a NewRecord's `partition_key` and `data`: number and kind.
const RECORDS: u8 = 2 << 3 | 2;
const PARTITION_KEY: u8 = 1 << 3 | 2;
const DATA: u8 = 3 << 3 | 2;

/// A message without records: the first one of a call says what holds for all.
pub fn begun(load: &Load, is_first: bool, capacity: usize) -> Vec<u8> {
    let mut message = Vec::with_capacity(capacity);
    if is_first {
        let first = PutStreamRequest {
            stream: load.stream.clone(),
            acknowledgement: Some(Acknowledgement::Each.into()),
            ..Default::default()
        };
        prost::Message::encode(&first, &mut message).expect("memory grows");
    }
    message
}

/// Appends a record to a message.
pub fn append(load: &Load, place: usize, header: &Header, key: [u8; KEY_CHARACTERS], message: &mut Vec<u8>) {
    let bytes = header.length as usize;
    let record_bytes = 2 + KEY_CHARACTERS + 1 + length_delimiter_len(bytes) + bytes;
    message.push(RECORDS);
    encode_length_delimiter(record_bytes, message).expect("memory grows");
    message.extend_from_slice(&[PARTITION_KEY, KEY_CHARACTERS as u8]);
    message.extend_from_slice(&key);
    message.push(DATA);
    encode_length_delimiter(bytes, message).expect("memory grows");
    message.extend_from_slice(&header.encode());
    message.extend_from_slice(load.filler.piece(place, bytes));
}

/// Sends messages as they are, and reads answers as all clients do.
#[derive(Debug, Default)]
pub struct AsLaidOut;

impl Codec for AsLaidOut {
    type Encode = Bytes;
    type Decode = PutStreamResponse;
    type Encoder = Self;
    type Decoder = <ProstCodec<(), PutStreamResponse> as Codec>::Decoder;

    fn encoder(&mut self) -> Self {
        Self
    }

    fn decoder(&mut self) -> Self::Decoder {
        ProstCodec::<(), PutStreamResponse>::default().decoder()
    }
}

impl Encoder for AsLaidOut {
    type Item = Bytes;
    type Error = Status;

    fn encode(&mut self, message: Bytes, into: &mut EncodeBuf<'_>) -> Result<(), Status> {
        into.reserve(message.len());
        into.put(message);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use prost::Message;

    use super::*;
    use crate::bench::body::Records;
    use crate::bench::record::Filler;
    use crate::bench::skew::Skew;
    use crate::bench::{size::Size, skew::Keys};

    #[test]
    fn messages_read_as_what_they_are() {
        for (size, batch) in [("30", 1), ("99", 3), ("1024", 500), ("uniform:30-40000", 7)] {
            let size: Size = size.parse().expect("a size");
            let filler = Filler::new(9, size.most());
            let keys = Keys::new(3, Skew::Uniform);
            let load = Load { stream: "s".into(), run: 9, batch, size, keys, filler };
            let mut records = Records::new(load.into(), 2);
            let load = records.load().clone();
            for is_first in [true, false] {
                let mut message = begun(&load, is_first, 0);
                let mut sent = Vec::new();
                records.next(17, |place, header, key| {
                    append(&load, place, header, key, &mut message);
                    sent.push((*header, place, key));
                });
                let read = PutStreamRequest::decode(&message[..]).expect("a message");
                assert_eq!(
                    (&*read.stream, read.acknowledgement.is_some()),
                    (if is_first { "s" } else { "" }, is_first)
                );
                assert_eq!(read.records.len(), sent.len());
                for (record, (header, place, key)) in read.records.iter().zip(sent) {
                    assert_eq!(record.partition_key.as_deref().map(str::as_bytes), Some(&key[..]));
                    assert_eq!(Header::decode(&record.data), Some(header));
                    assert_eq!(place as u64, header.sequence % batch as u64);
                    assert!(load.filler.is_intact(&header, batch as u64, &record.data));
                }
            }
        }
    }
}
