//! Segments that no checkpoint lists: set aside at a start or an install, never removed because a list lacks them.
//!
//! They wait in `set-aside`, beside the directory of the shards, under the names they had. The log behind the
//! checkpoint brings their records back. They go when it has ([`ShardStore::discard_set_aside`]); a segment whose
//! records it does not bring back stays, because it may be the last copy, also when other records have taken their
//! place.

use std::io;
use std::path::{Path, PathBuf};

use super::recovery::list;
use super::store::Shared;
use super::{ReadLimit, ShardError, ShardKey, ShardLog, ShardStore};
use crate::disk::Disk;
use crate::record::{Record, RecordRef};
use crate::segment::cursor::{FrameCursor, SCAN_BYTES};
use crate::segment::frame::FrameHeader;
use crate::segment::header::HEADER_BYTES;
use crate::segment::sealed::open_checked;
use crate::segment::{parse_segment_name, segment_path, shard_dir, stream_dir};
use crate::transfer::length_of;

/// Where the segments wait that a checkpoint in `shards` does not list.
pub(super) fn dir_beside(shards: &Path) -> PathBuf {
    shards.with_file_name("set-aside")
}

/// Sets aside, durably, the segments of a shard that `is_meant` selects.
pub(super) fn set_aside(
    disk: &dyn Disk,
    shards: &Path,
    key: ShardKey,
    is_meant: impl Fn(u64) -> bool,
) -> Result<(), ShardError> {
    let from = shard_dir(shards, key);
    let names = list(disk, &from, parse_segment_name)?;
    let meant: Vec<u64> = names.into_iter().filter(|first_ordinal| is_meant(*first_ordinal)).collect();
    if meant.is_empty() {
        return Ok(());
    }
    let aside = dir_beside(shards);
    let to = shard_dir(&aside, key);
    disk.create_dir_all(&to).map_err(|source| ShardError::io("create", &to, source))?;
    for first_ordinal in meant {
        let (path, place) =
            (segment_path(shards, key, first_ordinal), segment_path(&aside, key, first_ordinal));
        // The longer one of two files from the same ordinal has all bytes of the other.
        if length_of(disk, &place)? > length_of(disk, &path)? {
            disk.remove_file(&path).map_err(|source| ShardError::io("remove", &path, source))?;
            continue;
        }
        tracing::warn!(
            path = %path.display(),
            "the newest checkpoint does not list this segment: it is set aside until the log has brought its records back"
        );
        disk.rename(&path, &place).map_err(|source| ShardError::io("set aside", &path, source))?;
    }
    sync_dir(disk, &to)?;
    sync_dir(disk, &from)
}

/// Sets aside the segments of a stream's shards that `is_meant` selects, and removes the directories that are empty
/// then.
pub(super) fn set_aside_stream(
    disk: &dyn Disk,
    shards: &Path,
    stream_uid: u64,
    is_meant: impl Fn(u32) -> bool,
) -> Result<(), ShardError> {
    let stream = stream_dir(shards, stream_uid);
    for shard in list(disk, &stream, |name| name.parse::<u32>().ok())? {
        if is_meant(shard) {
            let key = ShardKey { stream_uid, shard };
            set_aside(disk, shards, key, |_| true)?;
            remove_if_empty(disk, &shard_dir(shards, key))?;
        }
    }
    remove_if_empty(disk, &stream)
}

fn sync_dir(disk: &dyn Disk, dir: &Path) -> Result<(), ShardError> {
    disk.sync_dir(dir).map_err(|source| ShardError::Io { action: "sync", path: dir.to_owned(), source })
}

fn remove_if_empty(disk: &dyn Disk, dir: &Path) -> Result<(), ShardError> {
    if list(disk, dir, |name| Some(name.to_owned()))?.is_empty() {
        disk.remove_dir_all(dir).map_err(|source| ShardError::io("remove", dir, source))?;
    }
    Ok(())
}

impl ShardStore {
    /// Removes the segments that were set aside and whose records the shards have again, and those of streams that are
    /// gone: `is_known` says whether the metadata has ever given out a stream's uid. To be called when both kept
    /// checkpoints were made after the log had been replayed. Returns the segments that stay, because nothing has
    /// brought their records back.
    ///
    /// # Errors
    /// [`ShardError::Io`] when the operating system refuses; the rest goes another time.
    pub fn discard_set_aside(
        &self,
        is_known: impl Fn(u64) -> bool,
    ) -> Result<Vec<(ShardKey, u64)>, ShardError> {
        let (disk, aside) = (&*self.shared.disk, dir_beside(&self.shared.dir));
        let mut kept = Vec::new();
        for stream_uid in list(disk, &aside, |name| name.parse::<u64>().ok())? {
            let stream = stream_dir(&aside, stream_uid);
            for shard in list(disk, &stream, |name| name.parse::<u32>().ok())? {
                let key = ShardKey { stream_uid, shard };
                let dir = shard_dir(&aside, key);
                for first_ordinal in list(disk, &dir, parse_segment_name)? {
                    let may_go = match self.get(key) {
                        Some(log) => match last_frame(&self.shared, &aside, key, first_ordinal)? {
                            Some(last) => has_again(&log, &last),
                            None => true,
                        },
                        None => is_known(stream_uid),
                    };
                    if !may_go {
                        kept.push((key, first_ordinal));
                        continue;
                    }
                    let path = segment_path(&aside, key, first_ordinal);
                    disk.remove_file(&path).map_err(|source| ShardError::io("remove", &path, source))?;
                }
                remove_if_empty(disk, &dir)?;
            }
            remove_if_empty(disk, &stream)?;
        }
        Ok(kept)
    }
}

/// The last intact frame of a segment that was set aside; `None` when nothing in it can be read, so that it holds
/// no record that could be brought back.
fn last_frame(
    shared: &Shared,
    aside: &Path,
    key: ShardKey,
    first_ordinal: u64,
) -> Result<Option<FrameHeader>, ShardError> {
    let path = segment_path(aside, key, first_ordinal);
    let read = || {
        let file = open_checked(&*shared.disk, &path, key, first_ordinal)?;
        let length = file.len().map_err(|source| ShardError::io("measure", &path, source))?;
        let mut cursor =
            FrameCursor::new(&*file, &path, key, (HEADER_BYTES, length.max(HEADER_BYTES)), SCAN_BYTES);
        let mut last: Option<FrameHeader> = None;
        loop {
            let next_ordinal = last.map_or(first_ordinal, |last| last.next_ordinal());
            match cursor.whole_header() {
                Ok(Some(header)) if header.first_ordinal == next_ordinal => {
                    cursor.pass(&header);
                    last = Some(header);
                }
                // Index and footer of a sealed one are no frames: the last frame ends before them.
                Ok(_) | Err(ShardError::Damaged { .. }) => return Ok(last),
                Err(error) => return Err(error),
            }
        }
    };
    match read() {
        Err(ShardError::Damaged { .. }) => Ok(None),
        Err(ShardError::Io { source, .. }) if source.kind() == io::ErrorKind::UnexpectedEof => Ok(None),
        found => found,
    }
}

/// Whether a shard has the records up to that frame, and not others in their place, or has trimmed them since. A log
/// that brings the last frame back has brought back those before it.
fn has_again(log: &ShardLog, last: &FrameHeader) -> bool {
    let (untrimmed, readable) = (log.untrimmed(), log.bounds());
    if untrimmed.next_ordinal < last.next_ordinal() {
        return false;
    }
    if readable.first_ordinal > last.first_ordinal {
        return untrimmed.first_ordinal >= last.next_ordinal();
    }
    let limit = ReadLimit { records: last.count as usize, bytes: last.body_bytes as usize };
    let Ok(batch) = log.read(last.first_ordinal, limit) else { return false };
    let mut body = Vec::with_capacity(last.body_bytes as usize);
    for read in &batch.records {
        let Record { partition_key, data } = &read.record;
        RecordRef { key: partition_key.as_deref(), data }.encode(&mut body);
    }
    batch.records.iter().all(|read| read.time_ms == last.time_ms) && crc32fast::hash(&body) == last.body_crc
}
