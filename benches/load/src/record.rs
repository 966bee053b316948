//! The format of a record of the load: a header that says which one it is and when it was due, and bytes to
//! fill it up.
//!
//! ```text
//! run u32, producer u16, sequence u64, due u64 (ns since the run began), length u32, CRC-32 of these u32
//! filler: a piece of the run's pool that the record's place in its request decides
//! ```
//! Numbers are big endian. The header has a multiple of three bytes, and every piece begins at one: so the pool is
//! base64 once and for all, and a request is made by copying. A reader of a record compares every byte of it.

use base64_simd::{AsOut, STANDARD};
use rand::rngs::SmallRng;
use rand::{Rng, SeedableRng};

/// Bytes of the header, a multiple of 3.
pub const HEADER_BYTES: usize = 30;
/// Characters of the header as base64.
pub const HEADER_CHARACTERS: usize = HEADER_BYTES / 3 * 4;
const SUMMED_BYTES: usize = HEADER_BYTES - 4;
/// Pieces begin at so many places of the pool, so that neighbours differ.
const PLACES: usize = 64;
/// Bytes between two places; a multiple of 3.
const PLACE_BYTES: usize = 48;

/// The identity of a record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Header {
    /// Random; tells the records of this run from others in the stream.
    pub run: u32,
    /// The producer that sent it.
    pub producer: u16,
    /// The producer's request, times the records of a request, plus the place in it.
    pub sequence: u64,
    /// When it was to be sent, in nanoseconds since the run began.
    pub due_ns: u64,
    /// Bytes of the whole record.
    pub length: u32,
}

impl Header {
    /// Encodes the header as bytes, with their checksum.
    pub fn encode(&self) -> [u8; HEADER_BYTES] {
        let mut bytes = [0; HEADER_BYTES];
        bytes[0..4].copy_from_slice(&self.run.to_be_bytes());
        bytes[4..6].copy_from_slice(&self.producer.to_be_bytes());
        bytes[6..14].copy_from_slice(&self.sequence.to_be_bytes());
        bytes[14..22].copy_from_slice(&self.due_ns.to_be_bytes());
        bytes[22..26].copy_from_slice(&self.length.to_be_bytes());
        let sum = crc32fast::hash(&bytes[..SUMMED_BYTES]);
        bytes[SUMMED_BYTES..].copy_from_slice(&sum.to_be_bytes());
        bytes
    }

    /// `None` for bytes that are no header, or a damaged one.
    pub fn decode(bytes: &[u8]) -> Option<Self> {
        let bytes: &[u8; HEADER_BYTES] = bytes.first_chunk()?;
        if crc32fast::hash(&bytes[..SUMMED_BYTES]).to_be_bytes() != bytes[SUMMED_BYTES..] {
            return None;
        }
        let array = |from: usize| -> [u8; 8] { bytes[from..from + 8].try_into().expect("eight bytes") };
        let word = |from: usize| -> [u8; 4] { bytes[from..from + 4].try_into().expect("four bytes") };
        Some(Self {
            run: u32::from_be_bytes(word(0)),
            producer: u16::from_be_bytes([bytes[4], bytes[5]]),
            sequence: u64::from_be_bytes(array(6)),
            due_ns: u64::from_be_bytes(array(14)),
            length: u32::from_be_bytes(word(22)),
        })
    }

    /// Encodes the header like [`Self::encode`], in base64, into exactly [`HEADER_CHARACTERS`] bytes.
    pub fn encode_base64(&self, into: &mut [u8]) {
        let _ = STANDARD.encode(&self.encode(), into.as_out());
    }
}

/// The bytes that fill records up: random, so that no compression on the way flatters the result.
#[derive(Debug)]
pub struct Filler {
    bytes: Vec<u8>,
    text: Vec<u8>,
}

impl Filler {
    /// For records of up to `most` bytes. The same seed gives the same bytes.
    pub fn new(seed: u32, most: usize) -> Self {
        let length = (most + PLACES * PLACE_BYTES).next_multiple_of(3);
        let mut bytes = vec![0; length];
        SmallRng::seed_from_u64(seed.into()).fill_bytes(&mut bytes);
        let text = STANDARD.encode_to_string(&bytes).into_bytes();
        Self { bytes, text }
    }

    /// Returns the filler behind the header of a record of `length` bytes, at a place in its request.
    pub fn piece(&self, place: usize, length: usize) -> &[u8] {
        let from = Self::begin(place);
        &self.bytes[from..from + length - HEADER_BYTES]
    }

    /// Appends the filler that [`Self::piece`] returns, in base64.
    pub fn append_base64(&self, place: usize, length: usize, out: &mut Vec<u8>) {
        let (from, bytes) = (Self::begin(place), length - HEADER_BYTES);
        let whole = bytes / 3 * 3;
        out.extend_from_slice(&self.text[from / 3 * 4..(from + whole) / 3 * 4]);
        if bytes > whole {
            out.extend_from_slice(
                STANDARD.encode_to_string(&self.bytes[from + whole..from + bytes]).as_bytes(),
            );
        }
    }

    /// Whether these are the bytes that a record with this header was sent with.
    pub fn is_intact(&self, header: &Header, batch: u64, data: &[u8]) -> bool {
        let place = (header.sequence % batch) as usize;
        data.len() == header.length as usize
            && data.len() >= HEADER_BYTES
            && Self::begin(place) + data.len() - HEADER_BYTES <= self.bytes.len()
            && data[HEADER_BYTES..] == *self.piece(place, data.len())
    }

    fn begin(place: usize) -> usize {
        place % PLACES * PLACE_BYTES
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HEADER: Header =
        Header { run: 7, producer: 3, sequence: 1_002, due_ns: 5_000_000_000, length: 100 };

    #[test]
    fn a_header_is_read_as_written_and_damage_is_seen() {
        let bytes = HEADER.encode();
        assert_eq!(Header::decode(&bytes), Some(HEADER));
        for bit in 0..HEADER_BYTES * 8 {
            let mut damaged = bytes;
            damaged[bit / 8] ^= 1 << (bit % 8);
            assert_eq!(Header::decode(&damaged), None, "bit {bit}");
        }
        assert_eq!(Header::decode(&bytes[..HEADER_BYTES - 1]), None);
    }

    #[test]
    fn base64_in_pieces_is_base64_of_the_whole() {
        let filler = Filler::new(7, 300);
        for (place, length) in [(0, 30), (1, 31), (2, 32), (3, 33), (63, 300), (64, 299), (499, 100)] {
            let header = Header { sequence: place as u64, length: length as u32, ..HEADER };
            let whole = [&header.encode()[..], filler.piece(place, length)].concat();
            let mut text = vec![0; HEADER_CHARACTERS];
            header.encode_base64(&mut text);
            filler.append_base64(place, length, &mut text);
            assert_eq!(String::from_utf8(text).expect("text"), STANDARD.encode_to_string(&whole));
            assert!(filler.is_intact(&header, 500, &whole));
        }
    }

    #[test]
    fn a_record_with_other_bytes_is_not_intact() {
        let filler = Filler::new(7, 300);
        let whole = [&HEADER.encode()[..], filler.piece(2, 100)].concat();
        assert!(filler.is_intact(&HEADER, 500, &whole));
        assert!(!filler.is_intact(&HEADER, 500, &whole[..99]), "cut short");
        assert!(!filler.is_intact(&HEADER, 500, &[&whole[..], b"x"].concat()), "longer");
        assert!(!filler.is_intact(&Header { sequence: 1_003, ..HEADER }, 500, &whole), "another place");
        assert!(
            !filler.is_intact(&Header { length: 400_000, ..HEADER }, 500, &vec![0; 400_000]),
            "beyond the pool"
        );
        let mut flipped = whole;
        flipped[99] ^= 1;
        assert!(!filler.is_intact(&HEADER, 500, &flipped));
    }
}
