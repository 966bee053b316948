//! The bytes of file headers, commit headers and frames, as `FORMAT.md` specifies them. Pure functions.
//!
//! Called by the writer, the reader and recovery. All integers are little-endian.

use super::group::{Change, GroupRecord};
use super::{BLOCK, GROUPS, GroupId, LogPosition, Vote};
use crate::blocks::BLOCK_BYTES;

/// The version of files that this code writes. It reads the one before as well.
const FILE_VERSION: u32 = 2;
const FILE_VERSION_BEFORE: u32 = 1;
/// The version of commits and frames that this code writes and reads.
const VERSION: u32 = 1;
pub(super) const COMMIT_HEADER_BYTES: usize = 64;
pub(super) const FRAME_HEADER_BYTES: usize = 32;

const FILE_MAGIC: [u8; 8] = *b"TIDEWAL\n";
const COMMIT_MAGIC: [u8; 4] = *b"TCMT";
const GROUPS_AT: usize = 48;
const GROUP_BYTES: usize = 96;
const FILE_BYTES_AT: usize = GROUPS_AT + GROUPS * GROUP_BYTES;

const _: () = assert!(FILE_BYTES_AT + 8 <= BLOCK_BYTES, "all fields fit the first block");

/// Where the commits of a new file begin: behind the header and the two sync points.
pub(super) const COMMITS_AT: u64 = 3 * BLOCK;

/// The first block of a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct FileHeader {
    /// The length that the file was made with, in bytes; none in version 1, which has no sync points either.
    pub file_bytes: Option<u64>,
    pub salt: u64,
    pub seq: u64,
    /// The LSN of the file's first commit. All commits before it are durable.
    pub first_lsn: u64,
    pub groups: [GroupRecord; GROUPS],
}

/// The first bytes of a commit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct CommitHeader {
    pub salt: u64,
    pub lsn: u64,
    /// All commits up to this LSN were durable when this one was written.
    pub durable_lsn: u64,
    /// Bytes of the frames.
    pub frames_bytes: u64,
    pub frames: u32,
}

/// The first bytes of a frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct FrameHeader {
    pub group: GroupId,
    pub change: Change,
    pub payload_bytes: u32,
}

/// The fault of bytes that were read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Invalid {
    /// Other bytes, or bytes of another use of the file.
    Foreign,
    /// The right mark, but the checksum does not match.
    Checksum,
    /// Intact and written by a newer version of the program.
    Version,
}

pub(super) fn u32_at(bytes: &[u8], at: usize) -> u32 {
    u32::from_le_bytes(bytes[at..at + 4].try_into().expect("four bytes"))
}

pub(super) fn u64_at(bytes: &[u8], at: usize) -> u64 {
    u64::from_le_bytes(bytes[at..at + 8].try_into().expect("eight bytes"))
}

pub(super) fn put_u32(bytes: &mut [u8], at: usize, value: u32) {
    bytes[at..at + 4].copy_from_slice(&value.to_le_bytes());
}

pub(super) fn put_u64(bytes: &mut [u8], at: usize, value: u64) {
    bytes[at..at + 8].copy_from_slice(&value.to_le_bytes());
}

fn position_at(bytes: &[u8], at: usize) -> LogPosition {
    LogPosition { term: u64_at(bytes, at), index: u64_at(bytes, at + 8) }
}

fn put_position(bytes: &mut [u8], at: usize, position: LogPosition) {
    put_u64(bytes, at, position.term);
    put_u64(bytes, at + 8, position.index);
}

impl FileHeader {
    pub(super) fn encode(&self) -> [u8; BLOCK_BYTES] {
        let mut block = [0; BLOCK_BYTES];
        block[..8].copy_from_slice(&FILE_MAGIC);
        put_u32(&mut block, 12, if self.file_bytes.is_some() { FILE_VERSION } else { FILE_VERSION_BEFORE });
        put_u64(&mut block, 16, self.salt);
        put_u64(&mut block, 24, self.seq);
        put_u64(&mut block, 32, self.first_lsn);
        put_u32(&mut block, 40, u32::try_from(GROUPS).expect("a few groups"));
        for (group, record) in self.groups.iter().enumerate() {
            let at = GROUPS_AT + group * GROUP_BYTES;
            encode_group(&mut block[at..at + GROUP_BYTES], record);
        }
        put_u64(&mut block, FILE_BYTES_AT, self.file_bytes.unwrap_or_default());
        let checksum = crc32fast::hash(&block[12..]);
        put_u32(&mut block, 8, checksum);
        block
    }

    pub(super) fn decode(block: &[u8]) -> Result<Self, Invalid> {
        if block[..8] != FILE_MAGIC {
            return Err(Invalid::Foreign);
        }
        if crc32fast::hash(&block[12..BLOCK_BYTES]) != u32_at(block, 8) {
            return Err(Invalid::Checksum);
        }
        let file_bytes = match u32_at(block, 12) {
            FILE_VERSION => Some(u64_at(block, FILE_BYTES_AT)),
            FILE_VERSION_BEFORE => None,
            _ => return Err(Invalid::Version),
        };
        if u32_at(block, 40) as usize != GROUPS {
            return Err(Invalid::Version);
        }
        let groups = std::array::from_fn(|group| {
            let at = GROUPS_AT + group * GROUP_BYTES;
            decode_group(&block[at..at + GROUP_BYTES])
        });
        let (salt, seq, first_lsn) = (u64_at(block, 16), u64_at(block, 24), u64_at(block, 32));
        Ok(Self { file_bytes, salt, seq, first_lsn, groups })
    }

    /// Where the file's commits begin, in bytes.
    pub(super) fn commits_at(&self) -> u64 {
        if self.file_bytes.is_some() { COMMITS_AT } else { BLOCK }
    }
}

fn encode_group(bytes: &mut [u8], record: &GroupRecord) {
    let mut flags = 0;
    if let Some(vote) = record.vote {
        flags |= 1 | u32::from(vote.committed) << 1;
        put_u64(bytes, 8, vote.term);
        put_u64(bytes, 16, vote.node);
    }
    if let Some(purged) = record.purged {
        flags |= 1 << 2;
        put_position(bytes, 24, purged);
    }
    if let Some(first) = record.first {
        flags |= 1 << 3;
        put_u64(bytes, 40, first);
    }
    if let Some(last) = record.last {
        flags |= 1 << 4;
        put_position(bytes, 48, last);
    }
    if let Some(committed) = record.committed {
        flags |= 1 << 5;
        put_position(bytes, 64, committed);
    }
    put_u32(bytes, 0, flags);
}

fn decode_group(bytes: &[u8]) -> GroupRecord {
    let flags = u32_at(bytes, 0);
    let has = |bit: u32| flags & (1 << bit) != 0;
    GroupRecord {
        vote: has(0).then(|| Vote { term: u64_at(bytes, 8), node: u64_at(bytes, 16), committed: has(1) }),
        purged: has(2).then(|| position_at(bytes, 24)),
        first: has(3).then(|| u64_at(bytes, 40)),
        last: has(4).then(|| position_at(bytes, 48)),
        committed: has(5).then(|| position_at(bytes, 64)),
    }
}

impl CommitHeader {
    pub(super) fn encode(&self) -> [u8; COMMIT_HEADER_BYTES] {
        let mut bytes = [0; COMMIT_HEADER_BYTES];
        bytes[..4].copy_from_slice(&COMMIT_MAGIC);
        put_u32(&mut bytes, 8, VERSION);
        put_u32(&mut bytes, 12, self.frames);
        put_u64(&mut bytes, 16, self.salt);
        put_u64(&mut bytes, 24, self.lsn);
        put_u64(&mut bytes, 32, self.durable_lsn);
        put_u64(&mut bytes, 40, self.frames_bytes);
        let checksum = crc32fast::hash(&bytes[8..]);
        put_u32(&mut bytes, 4, checksum);
        bytes
    }

    /// The commit header at the start of a block, when it belongs to the use of the file with this salt.
    pub(super) fn decode(bytes: &[u8], salt: u64) -> Result<Self, Invalid> {
        if bytes[..4] != COMMIT_MAGIC && u64_at(bytes, 16) != salt {
            return Err(Invalid::Foreign);
        }
        let intact =
            bytes[..4] == COMMIT_MAGIC && crc32fast::hash(&bytes[8..COMMIT_HEADER_BYTES]) == u32_at(bytes, 4);
        if u64_at(bytes, 16) != salt {
            return Err(Invalid::Foreign);
        }
        if !intact {
            return Err(Invalid::Checksum);
        }
        if u32_at(bytes, 8) != VERSION {
            return Err(Invalid::Version);
        }
        Ok(Self {
            salt,
            lsn: u64_at(bytes, 24),
            durable_lsn: u64_at(bytes, 32),
            frames_bytes: u64_at(bytes, 40),
            frames: u32_at(bytes, 12),
        })
    }
}

/// A checksum of a frame, begun with the salt of its file so that no other use of the file has valid frames.
pub(super) fn frame_checksum(salt: u64) -> crc32fast::Hasher {
    let mut checksum = crc32fast::Hasher::new();
    checksum.update(&salt.to_le_bytes());
    checksum
}

impl FrameHeader {
    /// The header without its checksum, which fills the first four bytes.
    pub(super) fn encode(&self) -> [u8; FRAME_HEADER_BYTES] {
        let mut bytes = [0; FRAME_HEADER_BYTES];
        put_u32(&mut bytes, 4, self.payload_bytes);
        let (kind, flags, fields) = match self.change {
            Change::Append(position) => (1, 0, position),
            Change::Vote(vote) => {
                (2, u8::from(vote.committed), LogPosition { term: vote.term, index: vote.node })
            }
            Change::Truncate(None) => (3, 1, LogPosition { term: 0, index: 0 }),
            Change::Truncate(Some(after)) => (3, 0, after),
            Change::Purge(upto) => (4, 0, upto),
            Change::Committed(position) => (5, 0, position),
        };
        bytes[8] = u8::try_from(VERSION).expect("a small version");
        bytes[9] = kind;
        bytes[10] = self.group;
        bytes[11] = flags;
        put_position(&mut bytes, 16, fields);
        bytes
    }

    /// The frame at the start of `bytes`, its checksum verified, and its payload.
    pub(super) fn decode(bytes: &[u8], salt: u64) -> Result<(Self, &[u8]), Invalid> {
        let header = bytes.get(..FRAME_HEADER_BYTES).ok_or(Invalid::Foreign)?;
        let payload_bytes = u32_at(header, 4);
        let end = FRAME_HEADER_BYTES + payload_bytes as usize;
        let rest = bytes.get(4..end).ok_or(Invalid::Foreign)?;
        let mut checksum = frame_checksum(salt);
        checksum.update(rest);
        if checksum.finalize() != u32_at(header, 0) {
            return Err(Invalid::Checksum);
        }
        let change = decode_change(header).ok_or(Invalid::Version)?;
        let group = header[10];
        if usize::from(group) >= GROUPS {
            return Err(Invalid::Version);
        }
        Ok((Self { group, change, payload_bytes }, &bytes[FRAME_HEADER_BYTES..end]))
    }
}

fn decode_change(header: &[u8]) -> Option<Change> {
    if u32::from(header[8]) != VERSION {
        return None;
    }
    let fields = position_at(header, 16);
    let flagged = header[11] == 1;
    Some(match header[9] {
        1 => Change::Append(fields),
        2 => Change::Vote(Vote { term: fields.term, node: fields.index, committed: flagged }),
        3 if flagged => Change::Truncate(None),
        3 => Change::Truncate(Some(fields)),
        4 => Change::Purge(fields),
        5 => Change::Committed(fields),
        _ => return None,
    })
}
