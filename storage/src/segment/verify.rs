//! Verifies whole segment files by their checksums, with positioned reads only: a medium's error is an error here.
//!
//! Called for files that came from another node, before they are put in place, and by the scrub.

use std::path::Path;

use super::cursor::{FrameCursor, SCAN_BYTES};
use super::footer::{FOOTER_BYTES, Footer};
use super::header::HEADER_BYTES;
use super::sealed::open_checked;
use super::{ShardKey, whole_blocks};
use crate::disk::{Disk, DiskFile};
use crate::segment::ShardError;

/// Checks every frame from the header up to `end`, a frame's border, bodies included. Returns the ordinal behind them.
pub(crate) fn frames(
    file: &dyn DiskFile,
    path: &Path,
    (key, first_ordinal): (ShardKey, u64),
    end: u64,
) -> Result<u64, ShardError> {
    let mut cursor = FrameCursor::new(file, path, key, (HEADER_BYTES, end), SCAN_BYTES);
    let mut next_ordinal = first_ordinal;
    while let Some(header) = cursor.header()? {
        if header.first_ordinal != next_ordinal {
            return Err(cursor.damaged("the segment's first frame has another ordinal"));
        }
        cursor.body(&header)?;
        cursor.pass(&header);
        next_ordinal = header.next_ordinal();
    }
    Ok(next_ordinal)
}

/// Where the last frame ends that lies wholly within the first `bytes` of the file, and the ordinal behind it.
/// Checks all frames before. Later bytes are not looked at.
pub(crate) fn whole_frames(
    file: &dyn DiskFile,
    path: &Path,
    (key, first_ordinal): (ShardKey, u64),
    bytes: u64,
) -> Result<(u64, u64), ShardError> {
    let mut cursor = FrameCursor::new(file, path, key, (HEADER_BYTES, bytes.max(HEADER_BYTES)), SCAN_BYTES);
    let mut at = (HEADER_BYTES, first_ordinal);
    while let Some(header) = cursor.whole_header()? {
        if header.first_ordinal != at.1 {
            return Err(cursor.damaged("the frame's ordinal does not follow the frame before"));
        }
        cursor.body(&header)?;
        cursor.pass(&header);
        at = (cursor.offset(), header.next_ordinal());
    }
    Ok(at)
}

/// Checks a sealed segment of `file_bytes` from its first byte to its last. Returns the ordinal behind it.
pub(crate) fn sealed(
    disk: &dyn Disk,
    path: &Path,
    (key, first_ordinal): (ShardKey, u64),
    file_bytes: u64,
) -> Result<u64, ShardError> {
    let file = open_checked(disk, path, key, first_ordinal)?;
    let length = file.len().map_err(|source| ShardError::io("measure", path, source))?;
    if length != file_bytes || length < FOOTER_BYTES || whole_blocks(length) != length {
        return Err(ShardError::damaged(path, length, "the sealed segment has another length"));
    }
    let at_end = |reason| ShardError::damaged(path, length, reason);
    let footer_bytes = read(&*file, path, length - FOOTER_BYTES, FOOTER_BYTES)?;
    let footer = Footer::parse(&footer_bytes, length).map_err(at_end)?;
    let end = read(&*file, path, footer.index_offset, length - footer.index_offset)?;
    footer.check(key, &end).map_err(at_end)?;
    let next_ordinal = frames(&*file, path, (key, first_ordinal), footer.index_offset)?;
    if footer.first_ordinal != first_ordinal || footer.last_ordinal + 1 != next_ordinal {
        return Err(at_end("the segment's footer is another segment's"));
    }
    Ok(next_ordinal)
}

fn read(file: &dyn DiskFile, path: &Path, offset: u64, bytes: u64) -> Result<Vec<u8>, ShardError> {
    let mut buffer = vec![0; bytes as usize];
    let read = file.read_exact_at(&mut buffer, offset);
    read.map_err(|source| ShardError::from_read(source, path, offset))?;
    Ok(buffer)
}
