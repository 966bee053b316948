//! The 40 bytes in front of each body in a segment: the place and time that apply gave a sub-batch.
//!
//! The header has a checksum of its own, seeded with the shard's identity; the body's checksum is the one the
//! leader computed when it encoded the body, and has not changed since.

use super::{ShardKey, u32_at, u64_at};

/// Bytes of a frame's header; its body follows at once, and the next frame follows the body at once.
pub(crate) const FRAME_HEADER_BYTES: u64 = 40;
const FRAME_VERSION: u8 = 1;

/// A frame's header. All records of a frame share one arrival time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct FrameHeader {
    pub body_bytes: u32,
    /// Records in the body; at least one.
    pub count: u32,
    pub first_ordinal: u64,
    /// Milliseconds since 1970, never below the frame's before.
    pub time_ms: u64,
    pub body_crc: u32,
}

impl FrameHeader {
    /// Bytes of header and body.
    pub fn frame_bytes(&self) -> u64 {
        FRAME_HEADER_BYTES + u64::from(self.body_bytes)
    }

    /// The first ordinal behind this frame.
    pub fn next_ordinal(&self) -> u64 {
        self.first_ordinal + u64::from(self.count)
    }

    /// The header's bytes in a file of this shard.
    pub fn encode(&self, key: ShardKey) -> [u8; FRAME_HEADER_BYTES as usize] {
        let mut bytes = [0; FRAME_HEADER_BYTES as usize];
        bytes[4] = FRAME_VERSION;
        bytes[8..12].copy_from_slice(&self.body_bytes.to_le_bytes());
        bytes[12..16].copy_from_slice(&self.count.to_le_bytes());
        bytes[16..24].copy_from_slice(&self.first_ordinal.to_le_bytes());
        bytes[24..32].copy_from_slice(&self.time_ms.to_le_bytes());
        bytes[32..36].copy_from_slice(&self.body_crc.to_le_bytes());
        let checksum = checksum(key, &bytes);
        bytes[0..4].copy_from_slice(&checksum.to_le_bytes());
        bytes
    }

    /// Reads a header that was written for this shard; the error names its fault.
    pub fn decode(
        key: ShardKey,
        bytes: &[u8; FRAME_HEADER_BYTES as usize],
    ) -> Result<FrameHeader, &'static str> {
        if checksum(key, bytes) != u32_at(bytes, 0) {
            return Err("the checksum of the frame's header does not match");
        }
        // Byte 5 holds the flags; 6, 7 and 36 to 39 are zero. A set bit means bytes this version cannot place.
        if bytes[4] != FRAME_VERSION || bytes[5..8] != [0; 3] || bytes[36..40] != [0; 4] {
            return Err("the frame has a version or flags this program cannot read");
        }
        let header = FrameHeader {
            body_bytes: u32_at(bytes, 8),
            count: u32_at(bytes, 12),
            first_ordinal: u64_at(bytes, 16),
            time_ms: u64_at(bytes, 24),
            body_crc: u32_at(bytes, 32),
        };
        if header.count == 0 || header.first_ordinal.checked_add(u64::from(header.count)).is_none() {
            return Err("the frame's ordinals are impossible");
        }
        Ok(header)
    }
}

fn checksum(key: ShardKey, bytes: &[u8; FRAME_HEADER_BYTES as usize]) -> u32 {
    let mut hasher = key.checksum();
    hasher.update(&bytes[4..]);
    hasher.finalize()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_flipped_bit_and_every_other_shard_is_noticed() {
        let key = ShardKey { stream_uid: 5, shard: 0 };
        let header = FrameHeader { body_bytes: 17, count: 2, first_ordinal: 11, time_ms: 1_000, body_crc: 9 };
        let bytes = header.encode(key);
        assert_eq!(FrameHeader::decode(key, &bytes), Ok(header));
        assert!(FrameHeader::decode(ShardKey { shard: 1, ..key }, &bytes).is_err());
        for bit in 0..bytes.len() * 8 {
            let mut flipped = bytes;
            flipped[bit / 8] ^= 1 << (bit % 8);
            assert!(FrameHeader::decode(key, &flipped).is_err(), "bit {bit}");
        }
    }
}
