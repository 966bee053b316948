//! Walks the frames of a segment file by positioned reads, checking every header and every body it hands out.

use bytes::Bytes;

use super::ShardKey;
use super::frame::{FRAME_HEADER_BYTES, FrameHeader};
use crate::disk::DiskFile;
use crate::segment::ShardError;
use std::path::Path;

/// Bytes read at once when records are wanted.
pub(crate) const READ_BYTES: u64 = 256 * 1024;
/// Bytes read at once when a long stretch of headers is scanned.
pub(crate) const SCAN_BYTES: u64 = 1024 * 1024;

/// A position between two frames.
pub(crate) struct FrameCursor<'a> {
    pub file: &'a dyn DiskFile,
    pub path: &'a Path,
    pub key: ShardKey,
    /// Where the next frame's header starts.
    offset: u64,
    /// Where the frames that may be read end; a frame's border.
    end: u64,
    /// First ordinal of the frame before which the cursor stands, once that is known.
    ordinal: Option<u64>,
    read_bytes: u64,
    window: Bytes,
    window_start: u64,
}

impl<'a> FrameCursor<'a> {
    /// Stands before the frame at `offset`; frames end at `end`.
    pub fn new(
        file: &'a dyn DiskFile,
        path: &'a Path,
        key: ShardKey,
        (offset, end): (u64, u64),
        read_bytes: u64,
    ) -> FrameCursor<'a> {
        let window = Bytes::new();
        FrameCursor { file, path, key, offset, end, ordinal: None, read_bytes, window, window_start: offset }
    }

    /// Where the next frame's header starts.
    pub fn offset(&self) -> u64 {
        self.offset
    }

    /// The next frame's header, without moving; `None` at the end.
    pub fn header(&mut self) -> Result<Option<FrameHeader>, ShardError> {
        if self.offset == self.end {
            return Ok(None);
        }
        if self.end - self.offset < FRAME_HEADER_BYTES {
            return Err(self.damaged("a frame's header reaches beyond the end of the frames"));
        }
        let header = self.decode()?;
        if header.frame_bytes() > self.end - self.offset {
            return Err(self.damaged("the frame's body reaches beyond the end of the frames"));
        }
        Ok(Some(header))
    }

    /// The next frame's header, without moving; `None` where no whole frame follows before the end.
    pub fn whole_header(&mut self) -> Result<Option<FrameHeader>, ShardError> {
        if self.end - self.offset < FRAME_HEADER_BYTES {
            return Ok(None);
        }
        let header = self.decode()?;
        Ok((header.frame_bytes() <= self.end - self.offset).then_some(header))
    }

    fn decode(&mut self) -> Result<FrameHeader, ShardError> {
        let window = self.bytes_at(self.offset, FRAME_HEADER_BYTES)?;
        let mut bytes = [0; FRAME_HEADER_BYTES as usize];
        bytes.copy_from_slice(&window);
        let header = FrameHeader::decode(self.key, &bytes).map_err(|reason| self.damaged(reason))?;
        if self.ordinal.is_some_and(|ordinal| ordinal != header.first_ordinal) {
            return Err(self.damaged("the frame's ordinal does not follow the frame before"));
        }
        Ok(header)
    }

    /// The body of the frame whose header [`FrameCursor::header`] just gave.
    pub fn body(&mut self, header: &FrameHeader) -> Result<Bytes, ShardError> {
        let body = self.bytes_at(self.offset + FRAME_HEADER_BYTES, u64::from(header.body_bytes))?;
        if crc32fast::hash(&body) != header.body_crc {
            return Err(self.damaged("the checksum of the frame's body does not match"));
        }
        Ok(body)
    }

    /// Passes over the frame whose header [`FrameCursor::header`] just gave.
    pub fn pass(&mut self, header: &FrameHeader) {
        self.offset += header.frame_bytes();
        self.ordinal = Some(header.next_ordinal());
    }

    /// An error that names this file and the next frame's offset.
    pub fn damaged(&self, reason: &'static str) -> ShardError {
        ShardError::Damaged { path: self.path.to_owned(), offset: self.offset, reason }
    }

    fn bytes_at(&mut self, at: u64, bytes: u64) -> Result<Bytes, ShardError> {
        let window_end = self.window_start + self.window.len() as u64;
        if at < self.window_start || at + bytes > window_end {
            self.window = self.read(at, bytes)?;
            self.window_start = at;
        }
        let start = (at - self.window_start) as usize;
        Ok(self.window.slice(start..start + bytes as usize))
    }

    /// Reads ahead; at the file's end, or at a sector that cannot be read, reads no more than the caller asks for.
    fn read(&self, at: u64, bytes: u64) -> Result<Bytes, ShardError> {
        let ahead = bytes.max(self.read_bytes).min(self.end - at);
        let mut buffer = vec![0; ahead as usize];
        let mut read = self.file.read_exact_at(&mut buffer, at);
        if read.is_err() && bytes < ahead {
            buffer.truncate(bytes as usize);
            read = self.file.read_exact_at(&mut buffer, at);
        }
        read.map_err(|source| ShardError::from_read(source, self.path, at))?;
        Ok(buffer.into())
    }
}
