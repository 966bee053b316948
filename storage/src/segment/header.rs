//! The first 64 bytes of a segment file: the kind of the file and the shard whose records it holds.
//!
//! Fixed at the segment's creation. Checked whenever the file is opened for reading.

use super::{ShardKey, VERSION, u16_at, u32_at, u64_at};

/// Bytes of the header; the first frame starts behind it.
pub(crate) const HEADER_BYTES: u64 = 64;
const MAGIC: [u8; 8] = *b"TIDELSEG";
/// Bodies are stored as they came; compression would be another number here.
const CODEC_NONE: u16 = 0;

/// The header's bytes.
pub(crate) fn encode(key: ShardKey, first_ordinal: u64) -> [u8; HEADER_BYTES as usize] {
    let mut bytes = [0; HEADER_BYTES as usize];
    bytes[0..8].copy_from_slice(&MAGIC);
    bytes[8..10].copy_from_slice(&VERSION.to_le_bytes());
    bytes[10..12].copy_from_slice(&CODEC_NONE.to_le_bytes());
    bytes[12..16].copy_from_slice(&key.shard.to_le_bytes());
    bytes[16..24].copy_from_slice(&key.stream_uid.to_le_bytes());
    bytes[24..32].copy_from_slice(&first_ordinal.to_le_bytes());
    let checksum = crc32fast::hash(&bytes[..60]);
    bytes[60..64].copy_from_slice(&checksum.to_le_bytes());
    bytes
}

/// Accepts the header of exactly this segment; the error names its fault.
pub(crate) fn check(
    bytes: &[u8; HEADER_BYTES as usize],
    key: ShardKey,
    first_ordinal: u64,
) -> Result<(), &'static str> {
    if bytes[0..8] != MAGIC {
        return Err("the segment's header has another magic");
    }
    if crc32fast::hash(&bytes[..60]) != u32_at(bytes, 60) {
        return Err("the checksum of the segment's header does not match");
    }
    if u16_at(bytes, 8) != VERSION {
        return Err("the segment has a version this program cannot read");
    }
    if u16_at(bytes, 10) != CODEC_NONE {
        return Err("the segment has a codec this program does not know");
    }
    let owner = ShardKey { stream_uid: u64_at(bytes, 16), shard: u32_at(bytes, 12) };
    if owner != key || u64_at(bytes, 24) != first_ordinal {
        return Err("the segment belongs to another shard or place");
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_own_header_is_accepted() {
        let key = ShardKey { stream_uid: 1, shard: 2 };
        let bytes = encode(key, 9);
        assert_eq!(check(&bytes, key, 9), Ok(()));
        assert!(check(&bytes, key, 8).is_err());
        assert!(check(&bytes, ShardKey { shard: 3, ..key }, 9).is_err());
        for bit in 0..bytes.len() * 8 {
            let mut flipped = bytes;
            flipped[bit / 8] ^= 1 << (bit % 8);
            assert!(check(&flipped, key, 9).is_err(), "bit {bit}");
        }
    }
}
