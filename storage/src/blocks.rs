//! A growable byte buffer at addresses that direct writes accept.
//!
//! Invariant: the bytes start at an address that is a multiple of 4,096. Used by the log and the segment writers,
//! each of which keeps one and reuses it.

use bytemuck::{Pod, Zeroable};

/// The unit of all writes of the log and the segments, in bytes; no medium in use has larger physical sectors.
pub const BLOCK_BYTES: usize = 4096;

#[derive(Clone, Copy, Pod, Zeroable)]
#[repr(C, align(4096))]
struct Block([u8; BLOCK_BYTES]);

/// Bytes in aligned 4 KiB blocks. Grows as needed and keeps its memory when cleared.
#[derive(Default)]
pub struct Blocks {
    blocks: Vec<Block>,
    len: usize,
}

impl Blocks {
    /// An empty buffer without memory.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// An empty buffer with room for `bytes`, rounded up to whole blocks.
    #[must_use]
    pub fn with_capacity(bytes: usize) -> Self {
        Self { blocks: Vec::with_capacity(bytes.div_ceil(BLOCK_BYTES)), len: 0 }
    }

    /// Bytes in the buffer.
    #[must_use]
    pub fn len(&self) -> usize {
        self.len
    }

    /// True when no byte is in the buffer.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Appends bytes.
    pub fn extend_from_slice(&mut self, bytes: &[u8]) {
        let end = self.len + bytes.len();
        self.reach(end);
        self.bytes_mut()[end - bytes.len()..end].copy_from_slice(bytes);
        self.len = end;
    }

    /// Appends zeros up to the next block border; nothing at a border.
    pub fn pad_to_block(&mut self) {
        let end = self.len.next_multiple_of(BLOCK_BYTES);
        let start = self.len;
        // The last block is there already: the buffer reaches to whole blocks. It may hold bytes of an earlier use.
        self.bytes_mut()[start..end].fill(0);
        self.len = end;
    }

    /// Overwrites bytes that are in the buffer already.
    ///
    /// # Panics
    /// When `offset` and the length of `bytes` reach past [`Blocks::len`].
    pub fn overwrite(&mut self, offset: usize, bytes: &[u8]) {
        assert!(offset + bytes.len() <= self.len, "only written bytes are overwritten");
        self.bytes_mut()[offset..offset + bytes.len()].copy_from_slice(bytes);
    }

    /// Removes all bytes and keeps the memory.
    pub fn clear(&mut self) {
        self.len = 0;
    }

    /// The leading whole blocks: all bytes when the buffer ends at a block border.
    #[must_use]
    pub fn as_slice(&self) -> &[u8] {
        &self.bytes()[..self.whole_bytes()]
    }

    /// The bytes behind the last whole block, fewer than 4,096.
    #[must_use]
    pub fn remainder(&self) -> &[u8] {
        &self.bytes()[self.whole_bytes()..self.len]
    }

    /// Removes the leading whole blocks; the remainder moves to the front.
    pub fn drain_whole_blocks(&mut self) {
        let whole = self.whole_bytes();
        let end = self.len;
        self.bytes_mut().copy_within(whole..end, 0);
        self.len = end - whole;
    }

    fn whole_bytes(&self) -> usize {
        self.len - self.len % BLOCK_BYTES
    }

    /// Adds blocks until `bytes` fit.
    fn reach(&mut self, bytes: usize) {
        let blocks = bytes.div_ceil(BLOCK_BYTES);
        if blocks > self.blocks.len() {
            self.blocks.resize(blocks, Block::zeroed());
        }
    }

    fn bytes(&self) -> &[u8] {
        bytemuck::cast_slice(&self.blocks)
    }

    fn bytes_mut(&mut self) -> &mut [u8] {
        bytemuck::cast_slice_mut(&mut self.blocks)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pads_with_zeros_over_an_earlier_use() {
        let mut blocks = Blocks::new();
        blocks.extend_from_slice(&[7; 2 * BLOCK_BYTES]);
        blocks.clear();
        blocks.extend_from_slice(b"abc");
        assert_eq!(blocks.as_slice(), b"");
        assert_eq!(blocks.remainder(), b"abc");
        blocks.pad_to_block();
        assert_eq!(blocks.len(), BLOCK_BYTES);
        assert_eq!(&blocks.as_slice()[..3], b"abc");
        assert!(blocks.as_slice()[3..].iter().all(|byte| *byte == 0));
        blocks.pad_to_block();
        assert_eq!(blocks.len(), BLOCK_BYTES);
    }

    #[test]
    fn drains_whole_blocks_and_keeps_the_remainder() {
        let mut blocks = Blocks::with_capacity(1);
        for byte in 0..10_000_u32 {
            blocks.extend_from_slice(&[u8::try_from(byte % 251).expect("below 251")]);
        }
        assert_eq!(blocks.as_slice().len(), 2 * BLOCK_BYTES);
        assert!(blocks.as_slice().as_ptr().addr().is_multiple_of(BLOCK_BYTES));
        blocks.drain_whole_blocks();
        assert_eq!(blocks.len(), 10_000 - 2 * BLOCK_BYTES);
        assert_eq!(u32::from(blocks.remainder()[0]), 8192 % 251);
        blocks.overwrite(0, &[255]);
        assert_eq!(blocks.remainder()[0], 255);
    }
}
