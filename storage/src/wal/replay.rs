//! Reads one log file at the start of the process: its header, its commits in order, and the bytes behind the first
//! commit that is not intact.
//!
//! Used by recovery, which decides on the findings.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::BLOCK;
use super::encode::LoggedChange;
use super::format::{
    COMMIT_HEADER_BYTES, CommitHeader, FRAME_HEADER_BYTES, FileHeader, FrameHeader, Invalid,
};
use super::group::{Change, Slot};
use super::recovery::Reading;
use super::salvage::Mend;
use super::sync_point::{self, SYNC_POINTS};
use crate::blocks::BLOCK_BYTES;
use crate::disk::{Disk, DiskFile, Open};
use crate::wal::WalError;

/// Bytes read ahead.
const WINDOW_BYTES: u64 = 1024 * 1024;

/// A log file that is being replayed.
pub(super) struct ReplayFile {
    pub path: PathBuf,
    pub header: FileHeader,
    pub file: Arc<dyn DiskFile>,
    pub bytes: u64,
    /// The highest LSN that a sync point of the file names; none in version 1.
    pub sync_point: Option<u64>,
    /// Where the last intact commit ends.
    pub used: u64,
    /// The repair that the file needs before it can be opened without [`Reading::Mending`].
    pub mend: Option<Mend>,
    window: Vec<u8>,
    window_offset: u64,
}

/// The thing that stands where the next commit should begin.
pub(super) enum Next {
    /// An intact commit, and where the one after it begins.
    Commit { changes: Vec<LoggedChange>, end: u64 },
    /// No intact commit. `begun` when there are traces of one.
    End { begun: bool },
}

impl ReplayFile {
    pub(super) fn open(disk: &dyn Disk, path: &Path, seq: u64, reading: Reading) -> Result<Self, WalError> {
        let file = disk.open(path, Open::Read).map_err(WalError::at(path))?;
        let bytes = file.len().map_err(WalError::at(path))?;
        if bytes < BLOCK {
            return Err(WalError::damaged(path, 0, "the file is shorter than its header"));
        }
        let mut block = vec![0; BLOCK_BYTES];
        file.read_exact_at(&mut block, 0).map_err(WalError::at(path))?;
        let header = FileHeader::decode(&block).map_err(|invalid| match invalid {
            Invalid::Version => WalError::Newer { file: path.to_owned() },
            _ => WalError::damaged(path, 0, "the file's header is not intact"),
        })?;
        if header.seq != seq {
            return Err(WalError::damaged(path, 0, "the file's header is that of another file"));
        }
        let used = header.commits_at();
        let mut replay = Self {
            path: path.to_owned(),
            header,
            file,
            bytes,
            sync_point: None,
            used,
            mend: None,
            window: Vec::new(),
            window_offset: 0,
        };
        if let Some(made) = replay.header.file_bytes {
            let is_short = bytes < made;
            if is_short && reading == Reading::Strict {
                return Err(WalError::damaged(path, bytes, "the file is shorter than it was made"));
            }
            let named = replay.read_sync_points();
            if reading == Reading::Strict || (named.is_ok() && !is_short) {
                replay.sync_point = Some(named?);
            } else {
                let FileHeader { salt, first_lsn, .. } = replay.header;
                replay.sync_point = named.ok();
                replay.mend = Some(Mend { path: path.to_owned(), bytes: made, salt, first_lsn });
            }
        }
        Ok(replay)
    }

    fn read_sync_points(&mut self) -> Result<u64, WalError> {
        let salt = self.header.salt;
        let mut highest = None;
        for slot in 0..SYNC_POINTS {
            let block = self.fetch(sync_point::offset_of(slot), BLOCK)?;
            highest = highest.max(block.and_then(|block| sync_point::decode(block, salt)));
        }
        let why = "neither of the file's sync points is intact";
        highest.ok_or_else(|| WalError::damaged(&self.path, sync_point::offset_of(0), why))
    }

    /// The bytes `offset..offset + length`, or none when the file ends before.
    fn fetch(&mut self, offset: u64, length: u64) -> Result<Option<&[u8]>, WalError> {
        let Some(end) = offset.checked_add(length).filter(|end| *end <= self.bytes) else { return Ok(None) };
        let window_end = self.window_offset + self.window.len() as u64;
        if offset < self.window_offset || end > window_end {
            let ahead = length.max(WINDOW_BYTES).min(self.bytes - offset);
            self.window.resize(usize::try_from(ahead).expect("a part of a file in memory"), 0);
            self.window_offset = offset;
            self.file.read_exact_at(&mut self.window, offset).map_err(WalError::at(&self.path))?;
        }
        let start = usize::try_from(offset - self.window_offset).expect("inside the window");
        Ok(Some(&self.window[start..start + usize::try_from(length).expect("inside the window")]))
    }

    /// The commit with this LSN at this offset.
    pub(super) fn next(&mut self, offset: u64, lsn: u64) -> Result<Next, WalError> {
        let salt = self.header.salt;
        let Some(bytes) = self.fetch(offset, BLOCK)? else { return Ok(Next::End { begun: false }) };
        let header = match CommitHeader::decode(bytes, salt) {
            Ok(header) => header,
            Err(Invalid::Foreign) => return Ok(Next::End { begun: false }),
            Err(Invalid::Checksum) => return Ok(Next::End { begun: true }),
            Err(Invalid::Version) => return Err(WalError::Newer { file: self.path.clone() }),
        };
        if header.lsn != lsn {
            return Ok(Next::End { begun: true });
        }
        let frames_at = offset + COMMIT_HEADER_BYTES as u64;
        let seq = self.header.seq;
        let path = self.path.clone();
        let Some(frames) = self.fetch(frames_at, header.frames_bytes)? else {
            return Ok(Next::End { begun: true });
        };
        match parse_frames(frames, &header, seq, frames_at) {
            Ok(changes) => {
                let end = (frames_at + header.frames_bytes).next_multiple_of(BLOCK);
                Ok(Next::Commit { changes, end })
            }
            Err(Invalid::Version) => Err(WalError::Newer { file: path }),
            Err(_) => Ok(Next::End { begun: true }),
        }
    }

    /// Looks for later commits of this file from a commit on that is not intact. Returns the highest durable mark among
    /// them.
    pub(super) fn scan_behind(&mut self, offset: u64, lsn: u64) -> Result<Option<u64>, WalError> {
        let salt = self.header.salt;
        let mut durable_lsn = None;
        let mut at = offset;
        while let Some(bytes) = self.fetch(at, BLOCK)? {
            if let Ok(header) = CommitHeader::decode(bytes, salt)
                && header.lsn > lsn
            {
                durable_lsn = durable_lsn.max(Some(header.durable_lsn));
            }
            at += BLOCK;
        }
        Ok(durable_lsn)
    }
}

/// The frames of a commit; all of them are intact and fill it, or none counts.
fn parse_frames(
    frames: &[u8],
    header: &CommitHeader,
    file: u64,
    frames_at: u64,
) -> Result<Vec<LoggedChange>, Invalid> {
    let mut changes = Vec::new();
    let mut at = 0;
    while at < frames.len() {
        let (frame, _) = FrameHeader::decode(&frames[at..], header.salt)?;
        let offset = u32::try_from(frames_at + at as u64).map_err(|_| Invalid::Version)?;
        let payload_bytes = frame.payload_bytes;
        let slot = match frame.change {
            Change::Append(position) => Some(Slot { term: position.term, file, offset, payload_bytes }),
            _ => None,
        };
        changes.push(LoggedChange { group: frame.group, change: frame.change, slot });
        at += FRAME_HEADER_BYTES + payload_bytes as usize;
    }
    if changes.len() == header.frames as usize { Ok(changes) } else { Err(Invalid::Checksum) }
}
