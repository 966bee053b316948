//! Turns operations into the bytes of a commit in the pooled buffer, with one copy of each payload.
//!
//! Used by the writer, which writes the buffer as it is.

use super::format::{COMMIT_HEADER_BYTES, CommitHeader, FRAME_HEADER_BYTES, FrameHeader, frame_checksum};
use super::group::{Change, Slot};
use super::{GroupId, LogPosition, WalOp};
use crate::blocks::Blocks;

/// Bytes that are copied and summed at a time, few enough to stay in the processor's cache.
const COPY_BYTES: usize = 32 * 1024;

/// A change and, for an appended entry, where it stands once the commit is written.
pub(super) struct LoggedChange {
    pub group: GroupId,
    pub change: Change,
    pub slot: Option<Slot>,
}

/// The location of a commit in the log.
pub(super) struct CommitLocation {
    /// The sequence number of the file.
    pub file: u64,
    pub salt: u64,
    /// Where the commit begins in the file, in bytes.
    pub offset: u64,
    pub lsn: u64,
    pub durable_lsn: u64,
}

pub(super) fn change_of(op: &WalOp) -> Change {
    match op {
        WalOp::Append { position, .. } => Change::Append(*position),
        WalOp::Vote { vote, .. } => Change::Vote(*vote),
        WalOp::Truncate { after, .. } => Change::Truncate(*after),
        WalOp::Purge { upto, .. } => Change::Purge(*upto),
        WalOp::Committed { position, .. } => Change::Committed(*position),
    }
}

/// Bytes of the operation's payload.
pub(super) fn payload_bytes(op: &WalOp) -> u64 {
    match op {
        WalOp::Append { payload, .. } => payload.iter().map(|part| part.len() as u64).sum(),
        _ => 0,
    }
}

/// Bytes of the operation's frame.
pub(super) fn frame_bytes(op: &WalOp) -> u64 {
    FRAME_HEADER_BYTES as u64 + payload_bytes(op)
}

/// Fills the buffer with one commit of all `ops`, padded to whole blocks.
pub(super) fn encode_commit(
    buffer: &mut Blocks,
    ops: &[WalOp],
    location: &CommitLocation,
) -> Vec<LoggedChange> {
    buffer.clear();
    buffer.extend_from_slice(&[0; COMMIT_HEADER_BYTES]);
    let changes = ops.iter().map(|op| encode_frame(buffer, op, location)).collect();
    let header = CommitHeader {
        salt: location.salt,
        lsn: location.lsn,
        durable_lsn: location.durable_lsn,
        frames_bytes: (buffer.len() - COMMIT_HEADER_BYTES) as u64,
        frames: u32::try_from(ops.len()).expect("a commit's frames are bounded by its bytes"),
    };
    buffer.overwrite(0, &header.encode());
    buffer.pad_to_block();
    changes
}

fn encode_frame(buffer: &mut Blocks, op: &WalOp, location: &CommitLocation) -> LoggedChange {
    let payload_bytes = u32::try_from(payload_bytes(op)).expect("an entry's size was checked");
    let change = change_of(op);
    let group = op.group();
    let header = FrameHeader { group, change, payload_bytes }.encode();
    let frame_at = buffer.len();
    let mut checksum = frame_checksum(location.salt);
    checksum.update(&header[4..]);
    buffer.extend_from_slice(&header);
    if let WalOp::Append { payload, .. } = op {
        for chunk in payload.iter().flat_map(|part| part.chunks(COPY_BYTES)) {
            checksum.update(chunk);
            buffer.extend_from_slice(chunk);
        }
    }
    buffer.overwrite(frame_at, &checksum.finalize().to_le_bytes());
    let offset = u32::try_from(location.offset + frame_at as u64).expect("a log file is smaller than 4 GiB");
    let slot = match change {
        Change::Append(LogPosition { term, .. }) => {
            Some(Slot { term, file: location.file, offset, payload_bytes })
        }
        _ => None,
    };
    LoggedChange { group, change, slot }
}
