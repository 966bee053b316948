//! Records that an operator has given up: a shard's ranges of ordinals that reads pass over.
//!
//! They stand in the file `given-up` beside the shard's segments, which it changes nothing of: without the file the
//! records are read again, if they can be. Written only by [`give_up`], while no broker runs; read when a shard is
//! opened.

use std::io;
use std::ops::Range;
use std::path::{Path, PathBuf};

use super::{ShardError, ShardKey};
use crate::disk::{Disk, Open};
use crate::segment::{shard_dir, u32_at, u64_at};

const MAGIC: [u8; 8] = *b"TIDELGIV";
const VERSION: u32 = 1;
/// Bytes of magic, version and number of ranges.
const HEAD_BYTES: usize = 16;
const RANGE_BYTES: usize = 16;
/// Most ranges of a shard.
const RANGES_MAX: usize = 10_000;

fn path_of(shards: &Path, key: ShardKey) -> PathBuf {
    shard_dir(shards, key).join("given-up")
}

/// Adds a range to those that reads of a shard pass over, durably. Returns all of them. The caller holds the data
/// directory alone, and has asked an operator.
///
/// # Errors
/// [`ShardError::Damaged`] when the file that is there is; [`ShardError::Io`] and [`ShardError::NoSpace`].
pub fn give_up(
    disk: &dyn Disk,
    shards: &Path,
    key: ShardKey,
    range: Range<u64>,
) -> Result<Vec<Range<u64>>, ShardError> {
    let path = path_of(shards, key);
    let mut ranges = load(disk, shards, key)?;
    ranges.push(range);
    let ranges = merged(ranges);
    if ranges.len() > RANGES_MAX {
        return Err(ShardError::damaged(&path, 0, "the shard has too many ranges that were given up"));
    }
    let dir = shard_dir(shards, key);
    disk.create_dir_all(&dir).map_err(|source| ShardError::io("create", &dir, source))?;
    let unfinished = path.with_extension("new");
    let file = disk.open(&unfinished, Open::Create);
    let file = file.map_err(|source| ShardError::io("create", &unfinished, source))?;
    let written = file.write_all_at(&encode(key, &ranges), 0);
    written.map_err(|source| ShardError::io("write", &unfinished, source))?;
    let sync = |source| ShardError::Io { action: "sync", path: unfinished.clone(), source };
    file.sync_data().map_err(sync)?;
    disk.rename(&unfinished, &path).map_err(|source| ShardError::io("rename", &unfinished, source))?;
    disk.sync_dir(&dir).map_err(sync)?;
    Ok(ranges)
}

/// The ranges of a shard, in their order; none where there is no file.
pub(super) fn load(disk: &dyn Disk, shards: &Path, key: ShardKey) -> Result<Vec<Range<u64>>, ShardError> {
    let path = path_of(shards, key);
    let file = match disk.open(&path, Open::Read) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        opened => opened.map_err(|source| ShardError::io("open", &path, source))?,
    };
    let length = file.len().map_err(|source| ShardError::io("measure", &path, source))?;
    let bytes_max = HEAD_BYTES + RANGES_MAX * RANGE_BYTES + 4;
    if length > bytes_max as u64 {
        return Err(ShardError::damaged(&path, length, "the file is too long"));
    }
    let mut bytes = vec![0; length as usize];
    file.read_exact_at(&mut bytes, 0).map_err(|source| ShardError::from_read(source, &path, 0))?;
    decode(key, &bytes).ok_or_else(|| ShardError::damaged(&path, 0, "its checksum or version does not match"))
}

fn encode(key: ShardKey, ranges: &[Range<u64>]) -> Vec<u8> {
    let mut bytes = MAGIC.to_vec();
    bytes.extend_from_slice(&VERSION.to_le_bytes());
    bytes.extend_from_slice(&(ranges.len() as u32).to_le_bytes());
    for range in ranges {
        bytes.extend_from_slice(&range.start.to_le_bytes());
        bytes.extend_from_slice(&range.end.to_le_bytes());
    }
    let mut hasher = key.checksum();
    hasher.update(&bytes);
    bytes.extend_from_slice(&hasher.finalize().to_le_bytes());
    bytes
}

fn decode(key: ShardKey, bytes: &[u8]) -> Option<Vec<Range<u64>>> {
    let end = bytes.len().checked_sub(4).filter(|end| *end >= HEAD_BYTES)?;
    let mut hasher = key.checksum();
    hasher.update(&bytes[..end]);
    let count = u32_at(bytes, 12) as usize;
    let is_sound = bytes[..8] == MAGIC
        && u32_at(bytes, 8) == VERSION
        && hasher.finalize() == u32_at(bytes, end)
        && end == HEAD_BYTES + count * RANGE_BYTES;
    let ranges = bytes[HEAD_BYTES..end].chunks_exact(RANGE_BYTES);
    is_sound.then(|| ranges.map(|range| u64_at(range, 0)..u64_at(range, 8)).collect())
}

/// Merges ranges of ordinals into ranges in their order that do not touch each other.
pub(super) fn merged(mut ranges: Vec<Range<u64>>) -> Vec<Range<u64>> {
    ranges.sort_unstable_by_key(|range| range.start);
    let mut merged: Vec<Range<u64>> = Vec::with_capacity(ranges.len());
    for range in ranges.into_iter().filter(|range| !range.is_empty()) {
        match merged.last_mut() {
            Some(last) if range.start <= last.end => last.end = last.end.max(range.end),
            _ => merged.push(range),
        }
    }
    merged
}

/// The ordinals of `ranges` that are in none of `others`, which are in their order and do not touch each other.
pub(super) fn without(ranges: &[Range<u64>], others: &[Range<u64>]) -> Vec<Range<u64>> {
    let mut left = Vec::new();
    for range in ranges {
        let mut start = range.start;
        for other in others.iter().filter(|other| other.end > range.start && other.start < range.end) {
            left.push(start..other.start.max(start));
            start = start.max(other.end);
        }
        left.push(start..range.end.max(start));
    }
    merged(left)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_flipped_bit_and_every_other_shard_is_noticed() {
        let key = ShardKey { stream_uid: 5, shard: 0 };
        let ranges = vec![3..9, 20..21];
        let bytes = encode(key, &ranges);
        assert_eq!(decode(key, &bytes), Some(ranges));
        assert_eq!(decode(ShardKey { shard: 1, ..key }, &bytes), None);
        for bit in 0..bytes.len() * 8 {
            let mut flipped = bytes.clone();
            flipped[bit / 8] ^= 1 << (bit % 8);
            assert_eq!(decode(key, &flipped), None, "bit {bit}");
        }
        for length in 0..bytes.len() {
            assert_eq!(decode(key, &bytes[..length]), None);
        }
    }

    #[test]
    fn ranges_are_merged_and_taken_out_of_others() {
        assert_eq!(merged(vec![5..9, 1..3, 3..4, 7..7, 8..12]), [1..4, 5..12]);
        assert_eq!(without(&[1..10, 20..30], &[3..5, 8..22, 30..40]), [1..3, 5..8, 22..30]);
        assert_eq!(without(&[1..10, 12..14], &[0..10, 12..20]), []);
        assert_eq!(without(&[1..10, 12..14], &[]), [1..10, 12..14]);
    }
}
