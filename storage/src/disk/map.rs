//! Memory maps of files that will never change again: the one place of this crate with `unsafe` code.
//!
//! Called by the real disk only. The invariant that makes it sound is kept by the callers of
//! [`DiskFile::map`](super::DiskFile::map): a mapped file is never written, cut or recycled; it is at most unlinked.

use std::fs::File;
use std::io;

use memmap2::Mmap;

/// Maps the whole file for reading. An empty file gives an empty map.
#[allow(
    unsafe_code,
    reason = "a mapping of a file is unsafe by nature; the module's invariant makes it sound"
)]
pub(super) fn map_read_only(file: &File) -> io::Result<Mmap> {
    // SAFETY: the file is sealed: nothing in this program writes or cuts it while the map lives, and the data
    // directory belongs to this process alone.
    unsafe { Mmap::map(file) }
}
