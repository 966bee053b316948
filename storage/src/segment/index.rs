//! The sparse index of a segment: where to start looking for an ordinal or a time.
//!
//! Entry 0 is the segment's first frame; entry k is the frame that holds the file's byte k × 65,536. So the
//! number of entries follows from the length of the frames, and an entry from its frame alone: an index whose
//! beginning is not in memory (after recovery) goes on at its end and is completed when first needed.

use super::frame::FrameHeader;
use super::header::HEADER_BYTES;
use super::{u64_at, whole_blocks};

/// File bytes between two entries.
pub(crate) const INDEX_SPACING_BYTES: u64 = 65_536;
/// Bytes of one entry: ordinal, time, offset.
pub(crate) const ENTRY_BYTES: u64 = 24;

/// One frame's place.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct IndexEntry {
    /// The frame's first ordinal.
    pub ordinal: u64,
    /// The frame's time, in milliseconds since 1970.
    pub time_ms: u64,
    /// Where the frame's header starts in the file.
    pub offset: u64,
}

impl IndexEntry {
    /// The entry's bytes.
    pub fn encode(&self) -> [u8; ENTRY_BYTES as usize] {
        let mut bytes = [0; ENTRY_BYTES as usize];
        bytes[0..8].copy_from_slice(&self.ordinal.to_le_bytes());
        bytes[8..16].copy_from_slice(&self.time_ms.to_le_bytes());
        bytes[16..24].copy_from_slice(&self.offset.to_le_bytes());
        bytes
    }

    /// Entry `number` of an encoded index.
    pub fn decode(index: &[u8], number: usize) -> IndexEntry {
        let bytes = &index[number * ENTRY_BYTES as usize..][..ENTRY_BYTES as usize];
        IndexEntry { ordinal: u64_at(bytes, 0), time_ms: u64_at(bytes, 8), offset: u64_at(bytes, 16) }
    }
}

/// Entries in the index of a segment whose header and frames take `length` bytes.
pub(crate) fn entry_count(length: u64) -> u64 {
    1 + (length - 1) / INDEX_SPACING_BYTES
}

/// The target of a search.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Sought {
    /// The frame that holds this ordinal.
    Ordinal(u64),
    /// The first frame whose time is not below this one.
    Time(u64),
}

impl Sought {
    /// Whether the frame sought cannot stand before `entry`.
    pub fn is_at_or_behind(self, entry: &IndexEntry) -> bool {
        match self {
            Sought::Ordinal(ordinal) => entry.ordinal <= ordinal,
            Sought::Time(time_ms) => entry.time_ms < time_ms,
        }
    }
}

/// The last of `count` entries from which a forward scan meets the frame sought; the first when all are behind.
pub(crate) fn search(count: usize, entry: impl Fn(usize) -> IndexEntry, sought: Sought) -> IndexEntry {
    let (mut low, mut high) = (0, count);
    while low < high {
        let middle = low + (high - low) / 2;
        if sought.is_at_or_behind(&entry(middle)) {
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    entry(low.saturating_sub(1))
}

/// The index of a segment that is not yet sealed in its file.
#[derive(Debug)]
pub(crate) struct SparseIndex {
    /// Frames that start below this offset have no entries yet; the header's length when none is missing.
    missing_until: u64,
    /// At most [`entry_count`] of the segment's length.
    entries: Vec<IndexEntry>,
}

impl SparseIndex {
    /// The index of a segment whose frames below `offset` are known to the file only.
    pub fn starting_at(offset: u64) -> SparseIndex {
        SparseIndex { missing_until: offset, entries: Vec::new() }
    }

    /// Adds the entries of the frame at `offset`; frames come in order.
    pub fn add(&mut self, offset: u64, header: &FrameHeader) {
        let entry = IndexEntry { ordinal: header.first_ordinal, time_ms: header.time_ms, offset };
        self.fill(entry, offset + header.frame_bytes());
    }

    /// Adds the entries up to `end`, all of which lead to one frame, or to where damaged frames begin.
    pub fn fill(&mut self, entry: IndexEntry, end: u64) {
        if entry.offset == HEADER_BYTES {
            self.entries.push(entry);
        }
        let marks_before = |end: u64| (end - 1) / INDEX_SPACING_BYTES;
        self.entries.extend((marks_before(entry.offset)..marks_before(end)).map(|_| entry));
    }

    /// The entries there are, be they all or those of the last frames only.
    pub fn known(&self) -> &[IndexEntry] {
        &self.entries
    }

    /// Up to where the file must be scanned to complete the index; `None` when it is complete.
    pub fn missing_until(&self) -> Option<u64> {
        (self.missing_until > HEADER_BYTES).then_some(self.missing_until)
    }

    /// Completes the index with that of the frames below [`SparseIndex::missing_until`].
    pub fn complete(&mut self, mut beginning: SparseIndex) {
        if self.missing_until().is_some() {
            beginning.entries.append(&mut self.entries);
            *self = beginning;
        }
    }

    /// The entry to start from; the index is complete and not empty.
    pub fn search(&self, sought: Sought) -> IndexEntry {
        search(self.entries.len(), |number| self.entries[number], sought)
    }

    /// All entries of a complete index.
    pub fn entries(&self) -> &[IndexEntry] {
        assert!(self.missing_until().is_none(), "the index is used before it is complete");
        &self.entries
    }
}

/// Length of the sealed file of a segment whose header and frames take `length` bytes.
pub(crate) fn sealed_bytes(length: u64) -> u64 {
    let end = length + entry_count(length) * ENTRY_BYTES + super::footer::FOOTER_BYTES;
    whole_blocks(end + super::BLOCK_BYTES - 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn header(first_ordinal: u64, body_bytes: u32) -> FrameHeader {
        FrameHeader { body_bytes, count: 1, first_ordinal, time_ms: first_ordinal * 10, body_crc: 0 }
    }

    #[test]
    fn entries_follow_from_the_length_wherever_the_index_starts() {
        for sizes in [vec![10u32; 5000], vec![65_496; 9], vec![200_000, 1, 1, 70_000], vec![65_432, 24, 1]] {
            let mut whole = SparseIndex::starting_at(HEADER_BYTES);
            let mut late: Option<SparseIndex> = None;
            let mut early = SparseIndex::starting_at(HEADER_BYTES);
            let mut offset = HEADER_BYTES;
            for (number, size) in sizes.iter().enumerate() {
                let frame = header(number as u64 + 1, *size);
                if number == sizes.len() / 2 {
                    late = Some(SparseIndex::starting_at(offset));
                }
                whole.add(offset, &frame);
                late.as_mut().unwrap_or(&mut early).add(offset, &frame);
                offset += frame.frame_bytes();
            }
            let mut late = late.expect("every case has a middle");
            late.complete(early);
            assert_eq!(late.entries(), whole.entries());
            assert_eq!(whole.entries().len() as u64, entry_count(offset));
        }
    }

    #[test]
    fn a_search_ends_at_or_before_the_frame_sought() {
        let entries: Vec<_> =
            (0..9).map(|n| IndexEntry { ordinal: 1 + n * 5, time_ms: n / 2, offset: n }).collect();
        let find = |sought| search(entries.len(), |n| entries[n], sought).offset;
        assert_eq!(find(Sought::Ordinal(1)), 0);
        assert_eq!(find(Sought::Ordinal(5)), 0);
        assert_eq!(find(Sought::Ordinal(6)), 1);
        assert_eq!(find(Sought::Ordinal(1000)), 8);
        assert_eq!(find(Sought::Time(0)), 0);
        assert_eq!(find(Sought::Time(1)), 1);
        assert_eq!(find(Sought::Time(99)), 8);
    }
}
