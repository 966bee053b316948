//! Segment files open for reading, and the indexes of the sealed ones: bounded in files and in bytes, the least
//! recently used one goes first.
//!
//! An index is read by a positioned read and kept as long as its file is open. A file that shrinks and a sector that
//! cannot be read are therefore errors of one read, never a signal.

use std::sync::{Arc, Mutex, MutexGuard};

use super::store::Shared;
use super::{SegmentCheckpoint, ShardError, ShardKey};
use crate::disk::{DiskFile, Open};
use crate::recent::Recent;
use crate::segment::sealed::{SealedSegment, open_checked};
use crate::segment::segment_path;

/// Bytes that an open file takes beside its index, at most: handle, path and its place in the maps.
const FILE_BYTES: u64 = 512;

/// A file is opened anew once it is sealed: only then does it have an index.
#[derive(Clone)]
enum OpenFile {
    Sealed(Arc<SealedSegment>),
    Active(Arc<dyn DiskFile>),
}

impl OpenFile {
    fn memory_bytes(&self) -> u64 {
        FILE_BYTES
            + match self {
                OpenFile::Sealed(sealed) => sealed.index_bytes(),
                OpenFile::Active(_) => 0,
            }
    }
}

/// The file, and whether as a sealed one.
type FileKey = (ShardKey, u64, bool);

/// The open files.
pub(crate) struct Files {
    files_max: usize,
    bytes_max: u64,
    open: Mutex<OpenFiles>,
}

#[derive(Default)]
struct OpenFiles {
    /// How often files were forgotten: one that was opened before the last time may be of a replaced name.
    forgotten: u64,
    /// Sum of [`OpenFile::memory_bytes`].
    bytes: u64,
    files: Recent<FileKey, OpenFile>,
}

impl Files {
    /// Keeps at most `files_max` files open, and at most `bytes_max` bytes of them in memory.
    pub fn new(files_max: usize, bytes_max: u64) -> Files {
        Files { files_max: files_max.max(1), bytes_max, open: Mutex::default() }
    }

    /// The sealed segment, which ends before `next_ordinal`; checked when it is opened. One whose end is damaged is
    /// noted, and gets its index from its frames as far as they are intact.
    pub fn sealed(
        &self,
        shared: &Shared,
        key: ShardKey,
        segment: &SegmentCheckpoint,
        next_ordinal: u64,
    ) -> Result<Arc<SealedSegment>, ShardError> {
        let file_key = (key, segment.first_ordinal, true);
        let (used, forgotten) = self.used(file_key);
        if let Some(OpenFile::Sealed(sealed)) = used {
            return Ok(sealed);
        }
        let (first, bytes) = (segment.first_ordinal, segment.file_bytes);
        let sealed = match SealedSegment::open(&*shared.disk, &shared.dir, key, first, bytes) {
            Err(damage @ ShardError::Damaged { .. }) => {
                shared.damage.note_error(key, &damage);
                SealedSegment::scan(&*shared.disk, &shared.dir, key, first..next_ordinal)?
            }
            opened => opened?,
        };
        let sealed = Arc::new(sealed);
        self.keep(file_key, OpenFile::Sealed(sealed.clone()), forgotten);
        Ok(sealed)
    }

    /// The file of a segment that may still be written; it holds at least one block. A damaged header is noted, and its
    /// frames are read all the same: each of them says whose it is.
    pub fn active(
        &self,
        shared: &Shared,
        key: ShardKey,
        first_ordinal: u64,
    ) -> Result<Arc<dyn DiskFile>, ShardError> {
        let file_key = (key, first_ordinal, false);
        let (used, forgotten) = self.used(file_key);
        if let Some(OpenFile::Active(file)) = used {
            return Ok(file);
        }
        let path = segment_path(&shared.dir, key, first_ordinal);
        let file = match open_checked(&*shared.disk, &path, key, first_ordinal) {
            Err(damage @ ShardError::Damaged { .. }) => {
                shared.damage.note_error(key, &damage);
                let file = shared.disk.open(&path, Open::Read);
                file.map_err(|source| ShardError::io("open", &path, source))?
            }
            opened => opened?,
        };
        self.keep(file_key, OpenFile::Active(file.clone()), forgotten);
        Ok(file)
    }

    /// Forgets a segment whose file was unlinked or replaced.
    pub fn forget(&self, key: ShardKey, first_ordinal: u64) {
        let mut open = self.open();
        open.forgotten += 1;
        let closed = [true, false].map(|is_sealed| open.files.remove(&(key, first_ordinal, is_sealed)));
        open.let_go(closed.iter().flatten());
    }

    /// Forgets all files of the shards that are meant.
    pub fn forget_all(&self, is_meant: impl Fn(ShardKey) -> bool) {
        let mut open = self.open();
        open.forgotten += 1;
        let closed = open.files.take_all(|file_key, _| is_meant(file_key.0));
        open.let_go(&closed);
    }

    /// Bytes of memory that the open files take.
    pub fn memory_bytes(&self) -> u64 {
        self.open().bytes
    }

    /// The file if it is open, and how often files were forgotten until now.
    fn used(&self, file_key: FileKey) -> (Option<OpenFile>, u64) {
        let mut open = self.open();
        let forgotten = open.forgotten;
        (open.files.get_mut(&file_key).cloned(), forgotten)
    }

    /// Keeps a file open, unless files were forgotten since it was about to be opened, or it alone is over the bound.
    fn keep(&self, file_key: FileKey, file: OpenFile, forgotten: u64) {
        let bytes = file.memory_bytes();
        let mut closed = Vec::new();
        let mut open = self.open();
        if open.forgotten != forgotten || bytes > self.bytes_max {
            return;
        }
        let replaced = open.files.insert(file_key, file);
        open.let_go(&replaced);
        open.bytes += bytes;
        closed.extend(replaced);
        while open.files.len() > self.files_max || open.bytes > self.bytes_max {
            let Some(oldest) = open.files.pop_oldest() else { break };
            open.let_go([&oldest]);
            closed.push(oldest);
        }
        drop(open);
        // Files are closed here, outside of the lock.
        drop(closed);
    }

    fn open(&self) -> MutexGuard<'_, OpenFiles> {
        self.open.lock().expect("no holder of the files panics")
    }
}

impl OpenFiles {
    /// Takes the bytes of files that are no longer kept out of the account.
    fn let_go<'a>(&mut self, files: impl IntoIterator<Item = &'a OpenFile>) {
        self.bytes -= files.into_iter().map(OpenFile::memory_bytes).sum::<u64>();
    }
}
