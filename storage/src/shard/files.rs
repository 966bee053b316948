//! Segment files open for reading: the least recently used one is closed at the bound.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};

use super::store::Shared;
use super::{SegmentCheckpoint, ShardError, ShardKey};
use crate::disk::DiskFile;
use crate::segment::sealed::{SealedSegment, open_checked};
use crate::segment::segment_path;

/// A file is opened anew once it is sealed: only then may it be mapped.
#[derive(Clone)]
enum OpenFile {
    Sealed(Arc<SealedSegment>),
    Active(Arc<dyn DiskFile>),
}

/// Which file, and whether as a sealed one.
type FileKey = (ShardKey, u64, bool);

/// The open files, each with when it was last used.
pub(crate) struct Files {
    open_files_max: usize,
    open: Mutex<LastUsed>,
}

/// How often a file was used, and for each open one, as which use it was used last.
#[derive(Default)]
struct LastUsed {
    uses: u64,
    /// How often files were forgotten: one that was opened before the last time may be of a replaced name.
    forgotten: u64,
    files: HashMap<FileKey, (u64, OpenFile)>,
}

impl Files {
    pub fn new(open_files_max: usize) -> Files {
        Files { open_files_max: open_files_max.max(1), open: Mutex::default() }
    }

    /// The sealed segment, checked when it is opened.
    pub fn sealed(
        &self,
        shared: &Shared,
        key: ShardKey,
        segment: &SegmentCheckpoint,
    ) -> Result<Arc<SealedSegment>, ShardError> {
        let file_key = (key, segment.first_ordinal, true);
        if let Some(OpenFile::Sealed(sealed)) = self.used(file_key) {
            return Ok(sealed);
        }
        let forgotten = self.forgotten();
        let (first, bytes) = (segment.first_ordinal, segment.file_bytes);
        let sealed = Arc::new(SealedSegment::open(&*shared.disk, &shared.dir, key, first, bytes)?);
        self.keep(file_key, OpenFile::Sealed(sealed.clone()), forgotten);
        Ok(sealed)
    }

    /// The file of a segment that may still be written; it holds at least one block.
    pub fn active(
        &self,
        shared: &Shared,
        key: ShardKey,
        first_ordinal: u64,
    ) -> Result<Arc<dyn DiskFile>, ShardError> {
        let file_key = (key, first_ordinal, false);
        if let Some(OpenFile::Active(file)) = self.used(file_key) {
            return Ok(file);
        }
        let forgotten = self.forgotten();
        let path = segment_path(&shared.dir, key, first_ordinal);
        let file = open_checked(&*shared.disk, &path, key, first_ordinal)?;
        self.keep(file_key, OpenFile::Active(file.clone()), forgotten);
        Ok(file)
    }

    /// Forgets a segment whose file was unlinked or replaced.
    pub fn forget(&self, key: ShardKey, first_ordinal: u64) {
        let mut open = self.open.lock().expect("no holder of the files panics");
        open.forgotten += 1;
        open.files.remove(&(key, first_ordinal, true));
        open.files.remove(&(key, first_ordinal, false));
    }

    /// Forgets all files of the shards that are meant.
    pub fn forget_all(&self, is_meant: impl Fn(ShardKey) -> bool) {
        let mut open = self.open.lock().expect("no holder of the files panics");
        open.forgotten += 1;
        open.files.retain(|file_key, _| !is_meant(file_key.0));
    }

    fn used(&self, file_key: FileKey) -> Option<OpenFile> {
        let mut open = self.open.lock().expect("no holder of the files panics");
        open.uses += 1;
        let now = open.uses;
        open.files.get_mut(&file_key).map(|(used, file)| {
            *used = now;
            file.clone()
        })
    }

    fn forgotten(&self) -> u64 {
        self.open.lock().expect("no holder of the files panics").forgotten
    }

    /// Keeps a file open, unless files were forgotten since it was about to be opened.
    fn keep(&self, file_key: FileKey, file: OpenFile, forgotten: u64) {
        let mut open = self.open.lock().expect("no holder of the files panics");
        if open.forgotten != forgotten {
            return;
        }
        if open.files.len() >= self.open_files_max {
            let oldest = open.files.iter().min_by_key(|(_, (used, _))| *used).map(|(file_key, _)| *file_key);
            oldest.map(|oldest| open.files.remove(&oldest));
        }
        open.uses += 1;
        let now = open.uses;
        open.files.insert(file_key, (now, file));
    }
}
