//! The bytes of segment files: names, header, frames, sparse index and footer. No state, no policy.
//!
//! A segment is a function of the applied log alone, so sealed segments are byte-identical on every replica.
//! `FORMAT.md` specifies these bytes; a change of them here raises [`VERSION`]. Called by [`crate::shard`]
//! (reading, recovery) and [`crate::flusher`] (writing).

mod checkpoint;
pub(crate) mod cursor;
mod error;
pub(crate) mod footer;
pub(crate) mod frame;
pub(crate) mod header;
pub(crate) mod index;
pub(crate) mod sealed;
pub(crate) mod tail;
pub(crate) mod verify;

use std::path::{Path, PathBuf};

pub use checkpoint::{OpenCheckpoint, SegmentCheckpoint};
pub use error::ShardError;

/// Version of the segment format that is written; nothing older exists.
pub(crate) const VERSION: u16 = 1;
/// Files are written in whole blocks of this many bytes, which every device and `O_DIRECT` accept.
pub(crate) const BLOCK_BYTES: u64 = 4_096;

/// The shard that a frame, a file or a snapshot belongs to. Stream uids are never reused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ShardKey {
    /// The stream's identity, unique over its namesakes.
    pub stream_uid: u64,
    /// The shard's index within its stream.
    pub shard: u32,
}

impl ShardKey {
    /// A hasher that has taken in the shard's identity: bytes of another shard never pass for this one's.
    pub(crate) fn checksum(self) -> crc32fast::Hasher {
        let mut hasher = crc32fast::Hasher::new();
        hasher.update(&self.stream_uid.to_le_bytes());
        hasher.update(&self.shard.to_le_bytes());
        hasher
    }
}

/// The greatest multiple of [`BLOCK_BYTES`] that is not above `bytes`.
pub(crate) fn whole_blocks(bytes: u64) -> u64 {
    bytes - bytes % BLOCK_BYTES
}

/// Directory of all shards of a stream, below `data/shards`.
pub(crate) fn stream_dir(shards: &Path, stream_uid: u64) -> PathBuf {
    shards.join(stream_uid.to_string())
}

/// Directory of one shard's segments.
pub(crate) fn shard_dir(shards: &Path, key: ShardKey) -> PathBuf {
    stream_dir(shards, key.stream_uid).join(key.shard.to_string())
}

/// Path of the segment that starts at `first_ordinal`.
pub(crate) fn segment_path(shards: &Path, key: ShardKey, first_ordinal: u64) -> PathBuf {
    shard_dir(shards, key).join(format!("{first_ordinal:020}.seg"))
}

/// The first ordinal in a segment's file name; `None` for a name that is not a segment's.
pub(crate) fn parse_segment_name(name: &str) -> Option<u64> {
    let digits = name.strip_suffix(".seg")?;
    (digits.len() == 20 && digits.bytes().all(|byte| byte.is_ascii_digit())).then(|| digits.parse().ok())?
}

/// Reads a little-endian `u16`; the offset is within the slice by construction of the caller.
pub(crate) fn u16_at(bytes: &[u8], offset: usize) -> u16 {
    u16::from_le_bytes([bytes[offset], bytes[offset + 1]])
}

/// Reads a little-endian `u32`, as [`u16_at`].
pub(crate) fn u32_at(bytes: &[u8], offset: usize) -> u32 {
    let mut value = [0; 4];
    value.copy_from_slice(&bytes[offset..offset + 4]);
    u32::from_le_bytes(value)
}

/// Reads a little-endian `u64`, as [`u16_at`].
pub(crate) fn u64_at(bytes: &[u8], offset: usize) -> u64 {
    let mut value = [0; 8];
    value.copy_from_slice(&bytes[offset..offset + 8]);
    u64::from_le_bytes(value)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_segments_are_distinguished_from_others() {
        let key = ShardKey { stream_uid: 7, shard: 3 };
        let path = segment_path(Path::new("shards"), key, 42);
        assert_eq!(path, Path::new("shards/7/3/00000000000000000042.seg"));
        assert_eq!(parse_segment_name("00000000000000000042.seg"), Some(42));
        for name in ["42.seg", "00000000000000000042", "0000000000000000004x.seg", "99999999999999999999.seg"]
        {
            assert_eq!(parse_segment_name(name), None, "{name}");
        }
    }
}
