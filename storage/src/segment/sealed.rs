//! A sealed segment opened for reading: bodies by positioned reads, index and footer through a mapping.
//!
//! Records are never read through the mapping: a medium's error there would kill the process, where a
//! positioned read gives an error.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::footer::Footer;
use super::header::{self, HEADER_BYTES};
use super::index::{self, ENTRY_BYTES, IndexEntry, Sought};
use super::{ShardKey, segment_path};
use crate::disk::{Disk, DiskFile, Open};
use crate::shard::ShardError;

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
    pub footer: Footer,
    map: Box<dyn AsRef<[u8]> + Send + Sync>,
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
        let map = file.map().map_err(|source| ShardError::io("map", &path, source))?;
        let footer = Footer::decode(key, (*map).as_ref())
            .map_err(|reason| ShardError::damaged(&path, file_bytes, reason))?;
        if footer.first_ordinal != first_ordinal {
            return Err(ShardError::damaged(&path, file_bytes, "the segment's footer is another segment's"));
        }
        Ok(SealedSegment { file, path, footer, map })
    }

    /// The index entry from which a forward scan meets the frame sought.
    pub fn search(&self, sought: Sought) -> IndexEntry {
        let entries = self.footer.index((*self.map).as_ref());
        let count = entries.len() / ENTRY_BYTES as usize;
        index::search(count, |number| IndexEntry::decode(entries, number), sought)
    }
}
