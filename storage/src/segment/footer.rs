//! The end of a sealed segment: sparse index, zeros up to a block's end, and the footer as the last 64 bytes.
//!
//! One checksum, seeded with the shard's identity, covers all of it.

use super::index::{ENTRY_BYTES, IndexEntry, entry_count, sealed_bytes};
use super::{BLOCK_BYTES, ShardKey, VERSION, u16_at, u32_at, u64_at};

/// Bytes of the footer, the last of the file.
pub(crate) const FOOTER_BYTES: u64 = 64;
const MAGIC: [u8; 8] = *b"TIDELEND";
/// Where the checksum stands in the footer; it covers everything from the index up to itself.
const CHECKSUM_AT: usize = 52;

/// The footer of a sealed segment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Footer {
    /// Where the index starts, which is where the frames end.
    pub index_offset: u64,
    pub first_ordinal: u64,
    pub last_ordinal: u64,
    pub first_time_ms: u64,
    pub last_time_ms: u64,
}

impl Footer {
    /// Index, padding and footer: all bytes of the sealed file from `index_offset` on.
    pub fn encode_end(&self, key: ShardKey, entries: &[IndexEntry]) -> Vec<u8> {
        assert_eq!(entries.len() as u64, entry_count(self.index_offset), "the index has gaps");
        let end_bytes = (sealed_bytes(self.index_offset) - self.index_offset) as usize;
        let mut out = Vec::with_capacity(end_bytes);
        for entry in entries {
            out.extend_from_slice(&entry.encode());
        }
        out.resize(end_bytes - FOOTER_BYTES as usize, 0);
        out.extend_from_slice(&self.index_offset.to_le_bytes());
        out.extend_from_slice(&(entries.len() as u32).to_le_bytes());
        out.extend_from_slice(&[0; 4]);
        for value in [self.first_ordinal, self.last_ordinal, self.first_time_ms, self.last_time_ms] {
            out.extend_from_slice(&value.to_le_bytes());
        }
        out.extend_from_slice(&VERSION.to_le_bytes());
        out.extend_from_slice(&[0; 2]);
        let mut hasher = key.checksum();
        hasher.update(&out);
        out.extend_from_slice(&hasher.finalize().to_le_bytes());
        out.extend_from_slice(&MAGIC);
        out
    }

    /// Reads the 64 bytes of the footer of a file of `file_bytes`; its checksum is not looked at.
    pub fn parse(bytes: &[u8], file_bytes: u64) -> Result<Footer, &'static str> {
        if bytes[56..64] != MAGIC {
            return Err("the segment's footer has another magic");
        }
        let footer = Footer {
            index_offset: u64_at(bytes, 0),
            first_ordinal: u64_at(bytes, 16),
            last_ordinal: u64_at(bytes, 24),
            first_time_ms: u64_at(bytes, 32),
            last_time_ms: u64_at(bytes, 40),
        };
        let footer_at = file_bytes - FOOTER_BYTES;
        if !(super::header::HEADER_BYTES + 1..footer_at).contains(&footer.index_offset)
            || sealed_bytes(footer.index_offset) != file_bytes
            || u64::from(u32_at(bytes, 8)) != entry_count(footer.index_offset)
        {
            return Err("the lengths in the segment's footer do not fit the file");
        }
        Ok(footer)
    }

    /// Checks index, padding and footer: all bytes of the file from [`Footer::index_offset`] on.
    pub fn check(&self, key: ShardKey, end: &[u8]) -> Result<(), &'static str> {
        let footer = &end[end.len() - FOOTER_BYTES as usize..];
        let mut hasher = key.checksum();
        hasher.update(&end[..end.len() - FOOTER_BYTES as usize + CHECKSUM_AT]);
        if hasher.finalize() != u32_at(footer, CHECKSUM_AT) {
            return Err("the checksum of the segment's index and footer does not match");
        }
        if u16_at(footer, 48) != VERSION {
            return Err("the segment has a version this program cannot read");
        }
        Ok(())
    }

    /// Bytes of the index.
    pub fn index_bytes(&self) -> u64 {
        entry_count(self.index_offset) * ENTRY_BYTES
    }
}

/// Most bytes that index, padding and footer of a sealed file of `file_bytes` can take: the frames are shorter than the
/// file, so they have no more entries than its length would.
pub(crate) fn end_bytes_max(file_bytes: u64) -> u64 {
    entry_count(file_bytes.max(1)) * ENTRY_BYTES + BLOCK_BYTES + FOOTER_BYTES
}
