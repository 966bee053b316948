//! The two sync points of a log file: blocks that say up to which LSN the log was synced.
//!
//! One is written beside a commit now and then, in turns, and becomes durable by that commit's own sync. A file
//! whose commits end before the higher one has lost its end, also where every byte behind the loss is zero.
//! Invariant: a sync point names only commits that were synced before it was written, and is not written before the
//! one before it is durable, so that one of the two is always intact.

use std::time::Duration;

use super::BLOCK;
use super::format::{put_u32, put_u64, u32_at, u64_at};
use crate::blocks::{BLOCK_BYTES, Blocks};

const MAGIC: [u8; 4] = *b"TSYN";
const VERSION: u32 = 1;

/// Sync points of a file.
pub(super) const SYNC_POINTS: u64 = 2;
/// The least time between two sync points, unless many bytes are written.
const EVERY: Duration = Duration::from_millis(10);
/// Bytes of commits after which a sync point is due at once.
const EVERY_BYTES: u64 = 1024 * 1024;

/// Where the sync point of this slot, 0 or 1, stands in its file.
pub(super) fn offset_of(slot: u64) -> u64 {
    (1 + slot) * BLOCK
}

/// The block of a sync point.
pub(super) fn encode(salt: u64, synced_lsn: u64) -> [u8; BLOCK_BYTES] {
    let mut block = [0; BLOCK_BYTES];
    block[..4].copy_from_slice(&MAGIC);
    put_u32(&mut block, 8, VERSION);
    put_u64(&mut block, 16, salt);
    put_u64(&mut block, 24, synced_lsn);
    let checksum = crc32fast::hash(&block[8..]);
    put_u32(&mut block, 4, checksum);
    block
}

/// The LSN that a block names, when it is an intact sync point of this use of the file.
pub(super) fn decode(block: &[u8], salt: u64) -> Option<u64> {
    let is_intact = block[..4] == MAGIC
        && crc32fast::hash(&block[8..BLOCK_BYTES]) == u32_at(block, 4)
        && u32_at(block, 8) == VERSION
        && u64_at(block, 16) == salt;
    is_intact.then(|| u64_at(block, 24))
}

/// When the current file's next sync point is written, and where.
pub(super) struct SyncPoints {
    /// The LSN that the newest one names.
    named_lsn: u64,
    /// The newest one is durable once the log is synced up to this LSN.
    durable_with: u64,
    /// The slot of the next one.
    slot: u64,
    bytes_since: u64,
    written_at: Option<Duration>,
    buffer: Blocks,
}

impl SyncPoints {
    /// Sync points of a new file, in which both name the commits that were synced before it.
    pub(super) fn of_new_file(synced_lsn: u64) -> Self {
        Self {
            named_lsn: synced_lsn,
            durable_with: synced_lsn,
            slot: 0,
            bytes_since: 0,
            written_at: None,
            buffer: Blocks::new(),
        }
    }

    /// Whether a sync point that names `synced_lsn` is to be written. Without a time it is as soon as it says more than
    /// the one before.
    pub(super) fn is_due(&self, synced_lsn: u64, now: Option<Duration>) -> bool {
        let says_more = synced_lsn > self.named_lsn && synced_lsn >= self.durable_with;
        let has_waited = match (self.written_at, now) {
            (Some(written_at), Some(now)) => now.saturating_sub(written_at) >= EVERY,
            _ => true,
        };
        says_more && (has_waited || self.bytes_since >= EVERY_BYTES)
    }

    /// The block of the next sync point, and its offset.
    pub(super) fn block(&mut self, salt: u64, synced_lsn: u64) -> (&[u8], u64) {
        self.buffer.clear();
        self.buffer.extend_from_slice(&encode(salt, synced_lsn));
        (self.buffer.as_slice(), offset_of(self.slot))
    }

    /// Notes that the block was written beside the commit `beside_lsn`, whose sync makes it durable.
    pub(super) fn written(&mut self, synced_lsn: u64, beside_lsn: u64, now: Option<Duration>) {
        self.named_lsn = synced_lsn;
        self.durable_with = beside_lsn;
        self.slot = (self.slot + 1) % SYNC_POINTS;
        self.bytes_since = 0;
        self.written_at = now;
    }

    /// Counts the bytes of a commit.
    pub(super) fn count(&mut self, bytes: u64) {
        self.bytes_since += bytes;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_block_of_another_use_or_with_a_flipped_bit_is_none() {
        let block = encode(7, 41);
        assert_eq!(decode(&block, 7), Some(41));
        assert_eq!(decode(&block, 8), None);
        for bit in 0..32 * 8 {
            let mut flipped = block;
            flipped[bit / 8] ^= 1 << (bit % 8);
            assert_eq!(decode(&flipped, 7), None, "bit {bit}");
        }
    }

    #[test]
    fn a_sync_point_waits_for_ten_milliseconds_or_a_mebibyte_and_for_the_one_before() {
        let at = |ms| Some(Duration::from_millis(ms));
        let mut points = SyncPoints::of_new_file(5);
        assert!(!points.is_due(5, at(0)), "it would say nothing new");
        assert!(points.is_due(6, at(0)));
        points.written(6, 7, at(0));
        assert!(!points.is_due(6, at(50)), "the one before is not durable yet");
        assert!(!points.is_due(7, at(9)));
        assert!(points.is_due(7, at(10)));
        points.count(EVERY_BYTES);
        assert!(points.is_due(7, at(1)));
        assert_eq!(points.block(1, 7).1, 2 * BLOCK);
        points.written(7, 8, at(1));
        assert_eq!(points.block(1, 9).1, BLOCK, "the places take turns");
    }
}
