//! A simulated file: its durable bytes, its visible bytes, and the changes between them in their order.
//!
//! Invariant: the durable bytes with all pending changes applied are the visible bytes, but for damage that was
//! planted and for changes whose sync failed (those stay visible and never become durable, as on Linux).

use std::ops::Range;

use super::random::Random;

/// The unit that a power loss keeps, loses or tears, in bytes.
const SECTOR_BYTES: usize = 512;

#[derive(Clone, Debug)]
enum Change {
    Write { offset: usize, bytes: Vec<u8> },
    SetLength(usize),
}

/// The effect of a crash on the unsynced changes of every file: drawn once per crash.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum CrashMode {
    LoseAll,
    KeepAll,
    /// Every sector of every write by its own choice.
    Mixed,
}

/// One file of the simulated disk.
#[derive(Clone, Debug, Default)]
pub(super) struct Inode {
    durable: Vec<u8>,
    visible: Vec<u8>,
    pending: Vec<Change>,
    /// Bytes that the medium cannot read any more; empty for a medium that is well.
    unreadable: Range<usize>,
}

impl Inode {
    pub(super) fn visible(&self) -> &[u8] {
        &self.visible
    }

    pub(super) fn set_unreadable(&mut self, range: Range<usize>) {
        self.unreadable = range;
    }

    /// Whether a read of these bytes meets one that the medium cannot read.
    pub(super) fn is_unreadable(&self, range: Range<usize>) -> bool {
        range.start < self.unreadable.end && self.unreadable.start < range.end
    }

    pub(super) fn write(&mut self, offset: usize, bytes: &[u8]) {
        write_into(&mut self.visible, offset, bytes);
        self.pending.push(Change::Write { offset, bytes: bytes.to_vec() });
    }

    pub(super) fn set_len(&mut self, bytes: usize) {
        self.visible.resize(bytes, 0);
        self.pending.push(Change::SetLength(bytes));
    }

    /// Makes all changes durable.
    pub(super) fn sync(&mut self) {
        for change in self.pending.drain(..) {
            match change {
                Change::Write { offset, bytes } => write_into(&mut self.durable, offset, &bytes),
                Change::SetLength(bytes) => self.durable.resize(bytes, 0),
            }
        }
    }

    /// Forgets the unsynced changes but leaves them visible: the state after a failed `fsync`.
    pub(super) fn fail_sync(&mut self) {
        self.pending.clear();
    }

    /// Flips one bit on the medium and in reads of it.
    pub(super) fn flip_bit(&mut self, bit: u64) {
        let byte = in_memory(bit / 8);
        for bytes in [&mut self.durable, &mut self.visible] {
            if let Some(byte) = bytes.get_mut(byte) {
                *byte ^= 1 << (bit % 8);
            }
        }
    }

    /// Ends the file after `bytes` bytes, on the medium and for every later read.
    pub(super) fn truncate(&mut self, bytes: u64) {
        self.damage(|stored| stored.truncate(in_memory(bytes)));
    }

    /// Zeroes the file from `offset` on, on the medium and for every later read.
    pub(super) fn zero_from(&mut self, offset: u64) {
        self.damage(|stored| {
            let at = in_memory(offset).min(stored.len());
            stored[at..].fill(0);
        });
    }

    /// Harms the durable and the visible bytes alike. Unsynced changes are settled before: a change that waits
    /// would write over the damage.
    fn damage(&mut self, harm: impl Fn(&mut Vec<u8>)) {
        self.sync();
        harm(&mut self.durable);
        harm(&mut self.visible);
    }

    /// Loses, keeps or tears unsynced writes; the remaining bytes are durable and visible.
    pub(super) fn crash(&mut self, mode: CrashMode, random: &mut Random) {
        match mode {
            CrashMode::LoseAll => self.pending.clear(),
            CrashMode::KeepAll => self.sync(),
            CrashMode::Mixed => {
                for change in std::mem::take(&mut self.pending) {
                    self.crash_change(&change, random);
                }
            }
        }
        self.visible.clone_from(&self.durable);
    }

    fn crash_change(&mut self, change: &Change, random: &mut Random) {
        match change {
            Change::SetLength(bytes) => {
                if random.below(2) == 0 {
                    self.durable.resize(*bytes, 0);
                }
            }
            Change::Write { offset, bytes } => {
                let mut at = 0;
                while at < bytes.len() {
                    let sector_end = ((offset + at) / SECTOR_BYTES + 1) * SECTOR_BYTES - offset;
                    let end = sector_end.min(bytes.len());
                    let kept = match random.below(8) {
                        0..4 => end - at,
                        4 => usize::try_from(random.below((end - at) as u64)).expect("a part of a sector"),
                        _ => 0,
                    };
                    if kept > 0 {
                        write_into(&mut self.durable, offset + at, &bytes[at..at + kept]);
                    }
                    at = end;
                }
            }
        }
    }
}

fn in_memory(offset: u64) -> usize {
    usize::try_from(offset).expect("a simulated file fits memory")
}

fn write_into(target: &mut Vec<u8>, offset: usize, bytes: &[u8]) {
    let end = offset + bytes.len();
    if target.len() < end {
        target.resize(end, 0);
    }
    target[offset..end].copy_from_slice(bytes);
}
