//! The seam between the log and the medium: the calls that storage makes to a file system, and nothing more.
//!
//! Two implementations: [`RealDisk`] (POSIX files) and [`SimDisk`], which keeps its files in memory, loses unsynced
//! writes, tears them, flips bits, fills up and fails to sync. One conformance suite tests all of them.
//! [`VolatileDisk`] is the first one with the syncs left out.

mod real;
mod sim;
mod volatile;

pub use real::RealDisk;
pub use sim::SimDisk;
pub use volatile::VolatileDisk;

use std::io;
use std::path::Path;
use std::sync::Arc;

/// How [`Disk::open`] treats the file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Open {
    /// An existing file, for reading only.
    Read,
    /// An existing file, for reading and writing through the page cache.
    Write,
    /// An existing file, only for writing whole aligned 4 KiB blocks, past the page cache where the file system
    /// can.
    WriteDirect,
    /// A new, empty file for reading and writing; an existing one of that name is emptied.
    Create,
}

/// Bytes of a file system.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Space {
    /// The size of the file system.
    pub total_bytes: u64,
    /// Bytes that an ordinary writer can still allocate.
    pub free_bytes: u64,
}

/// A directory tree that survives the process. Paths are absolute or relative to the process, as given.
pub trait Disk: Send + Sync + 'static {
    /// Creates a directory and its parents; an existing directory is fine. The new directories are durable on
    /// return.
    fn create_dir_all(&self, path: &Path) -> io::Result<()>;
    /// Names (not paths) of a directory's entries, sorted.
    fn list(&self, path: &Path) -> io::Result<Vec<String>>;
    /// Opens a file as `how` says.
    fn open(&self, path: &Path, how: Open) -> io::Result<Arc<dyn DiskFile>>;
    /// Renames within one file system; durable after [`Disk::sync_dir`] of the directory.
    fn rename(&self, from: &Path, to: &Path) -> io::Result<()>;
    /// Unlinks a file; durable after [`Disk::sync_dir`].
    fn remove_file(&self, path: &Path) -> io::Result<()>;
    /// Unlinks a directory and all below it; a missing one is fine.
    fn remove_dir_all(&self, path: &Path) -> io::Result<()>;
    /// Makes creations, renames and removals in a directory durable.
    fn sync_dir(&self, path: &Path) -> io::Result<()>;
    /// The space of the file system that holds `path`.
    fn space(&self, path: &Path) -> io::Result<Space>;
}

/// One open file. All access is positioned; a file handle may be shared between threads.
#[allow(
    clippy::len_without_is_empty,
    reason = "the length costs a system call and may fail; nobody asks for empty"
)]
pub trait DiskFile: Send + Sync {
    /// Fills `buffer` from `offset`; `UnexpectedEof` when the file ends before.
    fn read_exact_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<()>;
    /// Writes all of `buffer` at `offset`. With [`Open::WriteDirect`] the buffer's address and length and the
    /// offset are multiples of 4,096.
    fn write_all_at(&self, buffer: &[u8], offset: u64) -> io::Result<()>;
    /// Makes all completed writes durable (`fdatasync`). A failure is final: the caller must not retry.
    fn sync_data(&self) -> io::Result<()>;
    /// Bytes in the file.
    fn len(&self) -> io::Result<u64>;
    /// Names that lead to the file; 0 once it was unlinked.
    fn links(&self) -> io::Result<u64>;
    /// Cuts or extends (with a hole) the file.
    fn set_len(&self, bytes: u64) -> io::Result<()>;
}
