//! A sealed segment opened for reading: everything comes by positioned reads, so that a medium's error is an error of
//! one read. Index and footer are read once, when the segment is opened.

use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::cursor::{FrameCursor, SCAN_BYTES};
use super::footer::{FOOTER_BYTES, Footer, end_bytes_max};
use super::header::{self, HEADER_BYTES};
use super::index::{self, ENTRY_BYTES, IndexEntry, Sought, SparseIndex};
use super::{ShardKey, segment_path};
use crate::disk::{Disk, DiskFile, Open};
use crate::segment::ShardError;

/// Opens a segment for reading and checks its header. The file holds at least one block.
pub(crate) fn open_checked(
    disk: &dyn Disk,
    path: &Path,
    key: ShardKey,
    first_ordinal: u64,
) -> Result<Arc<dyn DiskFile>, ShardError> {
    let file = disk.open(path, Open::Read).map_err(|source| ShardError::io("open", path, source))?;
    let mut bytes = [0; HEADER_BYTES as usize];
    file.read_exact_at(&mut bytes, 0).map_err(|source| ShardError::from_read(source, path, 0))?;
    header::check(&bytes, key, first_ordinal).map_err(|reason| ShardError::damaged(path, 0, reason))?;
    Ok(file)
}

/// An open sealed segment.
pub(crate) struct SealedSegment {
    pub file: Arc<dyn DiskFile>,
    pub path: PathBuf,
    /// Where the frames end that the index leads to.
    pub frames_end: u64,
    /// The ordinal behind them.
    pub end_ordinal: u64,
    index: Box<[u8]>,
}

impl SealedSegment {
    /// Opens the segment of `file_bytes` and checks header, index and footer.
    pub fn open(
        disk: &dyn Disk,
        shards: &Path,
        key: ShardKey,
        first_ordinal: u64,
        file_bytes: u64,
    ) -> Result<SealedSegment, ShardError> {
        let path = segment_path(shards, key, first_ordinal);
        let file = open_checked(disk, &path, key, first_ordinal)?;
        let length = file.len().map_err(|source| ShardError::io("measure", &path, source))?;
        if length != file_bytes {
            return Err(ShardError::damaged(&path, length, "the sealed segment has another length"));
        }
        let (footer, index) = read_end(&*file, &path, key, file_bytes)?;
        if footer.first_ordinal != first_ordinal {
            return Err(ShardError::damaged(&path, file_bytes, "the segment's footer is another segment's"));
        }
        let (frames_end, end_ordinal) = (footer.index_offset, footer.last_ordinal + 1);
        Ok(SealedSegment { file, path, frames_end, end_ordinal, index })
    }

    /// Opens a segment of these ordinals whose header, index or footer is damaged: makes an index of the frames that
    /// stand before the first damaged one.
    pub fn scan(
        disk: &dyn Disk,
        shards: &Path,
        key: ShardKey,
        ordinals: Range<u64>,
    ) -> Result<SealedSegment, ShardError> {
        let path = segment_path(shards, key, ordinals.start);
        let file = disk.open(&path, Open::Read).map_err(|source| ShardError::io("open", &path, source))?;
        let length = file.len().map_err(|source| ShardError::io("measure", &path, source))?;
        let mut found = SparseIndex::starting_at(HEADER_BYTES);
        let mut cursor =
            FrameCursor::new(&*file, &path, key, (HEADER_BYTES, length.max(HEADER_BYTES)), SCAN_BYTES);
        let mut end_ordinal = ordinals.start;
        while end_ordinal < ordinals.end {
            match cursor.header() {
                Ok(Some(header)) if header.first_ordinal == end_ordinal => {
                    found.add(cursor.offset(), &header);
                    cursor.pass(&header);
                    end_ordinal = header.next_ordinal();
                }
                Ok(_) | Err(ShardError::Damaged { .. }) => break,
                Err(error) => return Err(error),
            }
        }
        let frames_end = cursor.offset();
        if end_ordinal == ordinals.start {
            return Err(ShardError::damaged(&path, frames_end, "the segment's first frame is damaged"));
        }
        let index = found.entries().iter().flat_map(IndexEntry::encode).collect();
        Ok(SealedSegment { file, path, frames_end, end_ordinal, index })
    }

    /// The index entry from which a forward scan meets the frame sought.
    pub fn search(&self, sought: Sought) -> IndexEntry {
        let count = self.index.len() / ENTRY_BYTES as usize;
        index::search(count, |number| IndexEntry::decode(&self.index, number), sought)
    }

    /// All entries of the index.
    pub fn entries(&self) -> Vec<IndexEntry> {
        let count = self.index.len() / ENTRY_BYTES as usize;
        (0..count).map(|number| IndexEntry::decode(&self.index, number)).collect()
    }

    /// Bytes of the index, which are in memory as long as the segment is open.
    pub fn index_bytes(&self) -> u64 {
        self.index.len() as u64
    }
}

/// Reads the end of a sealed file of `length` at once and checks it. Returns the footer and the index.
fn read_end(
    file: &dyn DiskFile,
    path: &Path,
    key: ShardKey,
    length: u64,
) -> Result<(Footer, Box<[u8]>), ShardError> {
    let damaged = |reason| ShardError::damaged(path, length, reason);
    let bytes = length.min(end_bytes_max(length));
    let start = length - bytes;
    let mut end = vec![0; bytes as usize];
    file.read_exact_at(&mut end, start).map_err(|source| ShardError::from_read(source, path, start))?;
    let footer_at = end.len().checked_sub(FOOTER_BYTES as usize);
    let footer_at = footer_at.ok_or_else(|| damaged("the sealed segment is shorter than its footer"))?;
    let footer = Footer::parse(&end[footer_at..], length).map_err(damaged)?;
    let end = &end[(footer.index_offset - start) as usize..];
    footer.check(key, end).map_err(damaged)?;
    Ok((footer, end[..footer.index_bytes() as usize].into()))
}
