//! The frames at the end of an open segment that are not wholly in the blocks of its file: their rest stands in the
//! checkpoint.

use std::path::Path;

use bytes::Bytes;

use super::frame::{FRAME_HEADER_BYTES, FrameHeader};
use super::index::SparseIndex;
use super::{OpenCheckpoint, ShardError, ShardKey};
use crate::disk::DiskFile;

/// A frame and its place.
#[derive(Clone, Debug)]
pub(crate) struct TailFrame {
    /// First ordinal of the segment the frame belongs to.
    pub segment: u64,
    /// Where the frame's header starts in that segment's file.
    pub offset: u64,
    pub header: FrameHeader,
    pub body: Bytes,
}

impl TailFrame {
    /// Where the frame ends in its file.
    pub fn end(&self) -> u64 {
        self.offset + self.header.frame_bytes()
    }

    /// Appends those bytes of the frame that lie in `from..to` of the file.
    pub fn put_range(&self, key: ShardKey, (from, to): (u64, u64), mut put: impl FnMut(&[u8])) {
        let header = self.header.encode(key);
        let within = |start: u64, bytes: &[u8]| {
            let clamp = |at: u64| at.saturating_sub(start).min(bytes.len() as u64) as usize;
            clamp(from)..clamp(to)
        };
        put(&header[within(self.offset, &header)]);
        put(&self.body[within(self.offset + FRAME_HEADER_BYTES, &self.body)]);
    }
}

/// Checks the frames of an open segment that are not wholly in its blocks: the file's end and the remainder.
pub(crate) fn read_tail(
    file: &dyn DiskFile,
    path: &Path,
    key: ShardKey,
    open: &OpenCheckpoint,
) -> Result<(), ShardError> {
    read_frames(Some(file), path, key, open).map(drop)
}

/// The frames that are not wholly in the file's blocks, their index, and the ordinal behind them. Without blocks there
/// is no file.
pub(crate) fn read_frames(
    file: Option<&dyn DiskFile>,
    path: &Path,
    key: ShardKey,
    open: &OpenCheckpoint,
) -> Result<(SparseIndex, Vec<TailFrame>, u64), ShardError> {
    let written = open.in_blocks();
    let known = open.tail_frame_offset <= open.length && open.length - written == open.remainder.len() as u64;
    if !known {
        return Err(ShardError::damaged(path, open.length, "the checkpoint contradicts itself"));
    }
    let mut bytes = vec![0; written.saturating_sub(open.tail_frame_offset) as usize];
    if let Some(file) = file {
        let read = file.read_exact_at(&mut bytes, open.tail_frame_offset.min(written));
        read.map_err(|source| ShardError::from_read(source, path, open.tail_frame_offset))?;
    }
    bytes.extend_from_slice(&open.remainder[open.tail_frame_offset.saturating_sub(written) as usize..]);
    let mut index = SparseIndex::starting_at(open.tail_frame_offset);
    let mut tail = Vec::new();
    let mut next_ordinal = open.tail_frame_ordinal;
    let mut rest = Bytes::from(bytes);
    while !rest.is_empty() {
        let offset = open.length - rest.len() as u64;
        let (header, body) =
            split_frame(key, &mut rest).map_err(|reason| ShardError::damaged(path, offset, reason))?;
        if header.first_ordinal != next_ordinal {
            return Err(ShardError::damaged(
                path,
                offset,
                "the frame's ordinal does not follow the frame before",
            ));
        }
        next_ordinal = header.next_ordinal();
        index.add(offset, &header);
        tail.push(TailFrame { segment: open.first_ordinal, offset, header, body });
    }
    Ok((index, tail, next_ordinal))
}

fn split_frame(key: ShardKey, rest: &mut Bytes) -> Result<(FrameHeader, Bytes), &'static str> {
    const TORN: &str = "the last frame is torn";
    let bytes = rest.first_chunk::<{ FRAME_HEADER_BYTES as usize }>().ok_or(TORN)?;
    let header = FrameHeader::decode(key, bytes)?;
    if (rest.len() as u64) < header.frame_bytes() {
        return Err(TORN);
    }
    let mut frame = rest.split_to(header.frame_bytes() as usize);
    let body = frame.split_off(FRAME_HEADER_BYTES as usize);
    if crc32fast::hash(&body) != header.body_crc {
        return Err("the checksum of the frame's body does not match");
    }
    Ok((header, body))
}
