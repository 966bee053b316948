//! The bytes of a checkpoint file, as `FORMAT.md` specifies them.

use bytes::{Buf, BufMut, Bytes};

use super::{Checkpoint, GroupCheckpoint};
use crate::checkpoint::ShardCheckpoint;
use crate::segment::{OpenCheckpoint, SegmentCheckpoint, ShardKey};

const MAGIC: [u8; 8] = *b"TIDELCKP";
const VERSION: u16 = 2;
/// The version before, which says nothing of the log.
const VERSION_BEFORE: u16 = 1;
/// Magic, version, two zero bytes, number of groups, sequence, file length, checksum of these 32 bytes.
const HEADER_BYTES: usize = 36;
/// Checksum over everything between the header and itself.
const TRAILER_BYTES: usize = 4;

const DAMAGED_LENGTHS: Undecodable = Undecodable::Damaged("its parts do not fit its length");

/// Why bytes are not a checkpoint.
#[derive(Debug)]
pub(super) enum Undecodable {
    /// The bytes differ from those that were written.
    Damaged(&'static str),
    /// The bytes are intact, of another version.
    Version(u16),
}

/// The file's bytes.
pub(super) fn encode(sequence: u64, durable_lsn: u64, groups: &[GroupCheckpoint]) -> Vec<u8> {
    let mut out = vec![0; HEADER_BYTES];
    out.put_u64_le(durable_lsn);
    for group in groups {
        encode_group(&mut out, group);
    }
    let checksum = crc32fast::hash(&out[HEADER_BYTES..]);
    out.put_u32_le(checksum);
    let file_bytes = out.len() as u64;
    let mut header = &mut out[..HEADER_BYTES];
    header.put_slice(&MAGIC);
    header.put_u16_le(VERSION);
    header.put_u16_le(0);
    header.put_u32_le(count(groups.len()));
    header.put_u64_le(sequence);
    header.put_u64_le(file_bytes);
    let checksum = crc32fast::hash(&out[..HEADER_BYTES - 4]);
    out[HEADER_BYTES - 4..HEADER_BYTES].copy_from_slice(&checksum.to_le_bytes());
    out
}

fn encode_group(out: &mut Vec<u8>, group: &GroupCheckpoint) {
    out.put_u8(group.group);
    out.put_u8(u8::from(group.applied.is_some()));
    let (term, index) = group.applied.unwrap_or_default();
    out.put_u64_le(term);
    out.put_u64_le(index);
    out.put_u32_le(count(group.state.len()));
    out.put_slice(&group.state);
    out.put_u32_le(count(group.shards.len()));
    for shard in &group.shards {
        encode_shard(out, shard);
    }
}

fn encode_shard(out: &mut Vec<u8>, shard: &ShardCheckpoint) {
    out.put_u64_le(shard.key.stream_uid);
    out.put_u32_le(shard.key.shard);
    out.put_u64_le(shard.next_ordinal);
    out.put_u64_le(shard.last_time_ms);
    out.put_u64_le(shard.trim_ordinal);
    out.put_u32_le(count(shard.segments.len()));
    for segment in &shard.segments {
        out.put_u64_le(segment.first_ordinal);
        out.put_u64_le(segment.file_bytes);
        out.put_u64_le(segment.first_time_ms);
    }
    out.put_u8(u8::from(shard.open.is_some()));
    if let Some(open) = &shard.open {
        let OpenCheckpoint { first_ordinal, first_time_ms, length, .. } = *open;
        for value in [first_ordinal, first_time_ms, length, open.tail_frame_offset, open.tail_frame_ordinal] {
            out.put_u64_le(value);
        }
        out.put_u32_le(count(open.remainder.len()));
        out.put_slice(&open.remainder);
    }
}

fn count(number: usize) -> u32 {
    u32::try_from(number).expect("no part of a checkpoint has four thousand million pieces")
}

/// Reads a file's bytes back; state and remainders are slices of them.
pub(super) fn decode(file: &Bytes) -> Result<Checkpoint, Undecodable> {
    if file.len() < HEADER_BYTES + TRAILER_BYTES {
        return Err(Undecodable::Damaged("it is shorter than a checkpoint can be"));
    }
    let mut header = file.slice(..HEADER_BYTES);
    if header[..8] != MAGIC {
        return Err(Undecodable::Damaged("it has another magic"));
    }
    if crc32fast::hash(&header[..HEADER_BYTES - 4]).to_le_bytes() != header[HEADER_BYTES - 4..] {
        return Err(Undecodable::Damaged("the checksum of its header does not match"));
    }
    header.advance(MAGIC.len());
    let version = header.get_u16_le();
    let _zero = header.get_u16_le();
    let groups = header.get_u32_le();
    let sequence = header.get_u64_le();
    if version != VERSION && version != VERSION_BEFORE {
        return Err(Undecodable::Version(version));
    }
    if header.get_u64_le() != file.len() as u64 {
        return Err(Undecodable::Damaged("it has another length than it says"));
    }
    let payload = file.slice(HEADER_BYTES..file.len() - TRAILER_BYTES);
    if crc32fast::hash(&payload).to_le_bytes() != file[file.len() - TRAILER_BYTES..] {
        return Err(Undecodable::Damaged("its checksum does not match"));
    }
    let mut parts = Parts(payload);
    let durable_lsn = if version == VERSION { parts.u64()? } else { 0 };
    let groups = parts.many(groups, Parts::group)?;
    if parts.0.has_remaining() {
        return Err(DAMAGED_LENGTHS);
    }
    Ok(Checkpoint { sequence, durable_lsn, groups })
}

/// The bytes that are left to decode.
struct Parts(Bytes);

impl Parts {
    fn u8(&mut self) -> Result<u8, Undecodable> {
        self.0.try_get_u8().map_err(|_| DAMAGED_LENGTHS)
    }

    fn u32(&mut self) -> Result<u32, Undecodable> {
        self.0.try_get_u32_le().map_err(|_| DAMAGED_LENGTHS)
    }

    fn u64(&mut self) -> Result<u64, Undecodable> {
        self.0.try_get_u64_le().map_err(|_| DAMAGED_LENGTHS)
    }

    fn flag(&mut self) -> Result<bool, Undecodable> {
        match self.u8()? {
            0 => Ok(false),
            1 => Ok(true),
            _ => Err(Undecodable::Damaged("a flag is neither 0 nor 1")),
        }
    }

    fn bytes(&mut self) -> Result<Bytes, Undecodable> {
        let length = self.u32()? as usize;
        if length > self.0.len() {
            return Err(DAMAGED_LENGTHS);
        }
        Ok(self.0.split_to(length))
    }

    /// Reads `count` parts. Reserves nothing for them: each takes at least a byte, so the bytes bound them.
    fn many<T>(
        &mut self,
        count: u32,
        part: impl Fn(&mut Parts) -> Result<T, Undecodable>,
    ) -> Result<Vec<T>, Undecodable> {
        (0..count).map(|_| part(self)).collect()
    }

    fn group(&mut self) -> Result<GroupCheckpoint, Undecodable> {
        let group = self.u8()?;
        let has_applied = self.flag()?;
        let applied = (self.u64()?, self.u64()?);
        let state = self.bytes()?;
        let shards = self.u32()?;
        let shards = self.many(shards, Parts::shard)?;
        Ok(GroupCheckpoint { group, applied: has_applied.then_some(applied), state, shards })
    }

    fn shard(&mut self) -> Result<ShardCheckpoint, Undecodable> {
        let key = ShardKey { stream_uid: self.u64()?, shard: self.u32()? };
        let (next_ordinal, last_time_ms, trim_ordinal) = (self.u64()?, self.u64()?, self.u64()?);
        let segments = self.u32()?;
        let segments = self.many(segments, Parts::segment)?;
        let open = if self.flag()? { Some(self.open()?) } else { None };
        Ok(ShardCheckpoint { key, next_ordinal, last_time_ms, trim_ordinal, segments, open })
    }

    fn segment(&mut self) -> Result<SegmentCheckpoint, Undecodable> {
        Ok(SegmentCheckpoint {
            first_ordinal: self.u64()?,
            file_bytes: self.u64()?,
            first_time_ms: self.u64()?,
        })
    }

    fn open(&mut self) -> Result<OpenCheckpoint, Undecodable> {
        Ok(OpenCheckpoint {
            first_ordinal: self.u64()?,
            first_time_ms: self.u64()?,
            length: self.u64()?,
            tail_frame_offset: self.u64()?,
            tail_frame_ordinal: self.u64()?,
            remainder: self.bytes()?,
        })
    }
}
