//! POSIX files: the disk of a running broker.
//!
//! Owns no state. Called through [`Disk`] by the log, the segments and the checkpoints. Only the process's user may
//! read its files, with every umask: files 0600, directories 0700. It never follows a symbolic link in place of a
//! file, and always creates a new file: another file behind a link of that name keeps its contents.

use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{self, ErrorKind};
use std::os::unix::fs::{DirBuilderExt, FileExt, MetadataExt, OpenOptionsExt};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use rustix::fs::OFlags;
use rustix::io::Errno;

use super::{Disk, DiskFile, Open, Space};

/// The file systems of this machine.
#[derive(Clone, Copy, Debug, Default)]
pub struct RealDisk;

struct RealFile(File);

/// Permissions of a file that the broker creates.
const FILE_MODE: u32 = 0o600;
/// Permissions of a directory that the broker creates.
const DIRECTORY_MODE: u32 = 0o700;

/// Syncs that this process has asked for.
static SYNCS: AtomicU64 = AtomicU64::new(0);

impl RealDisk {
    /// How many syncs of files and directories this process has asked for, of all its disks together.
    #[must_use]
    pub fn syncs() -> u64 {
        SYNCS.load(Ordering::Relaxed)
    }
}

impl Disk for RealDisk {
    fn create_dir_all(&self, path: &Path) -> io::Result<()> {
        create_dirs(path, &|parent| self.sync_dir(parent))
    }

    fn list(&self, path: &Path) -> io::Result<Vec<String>> {
        let mut names = Vec::new();
        for entry in fs::read_dir(path)? {
            // A name that is not UTF-8 was not written by this program; it is shown, and matches nothing.
            names.push(entry?.file_name().to_string_lossy().into_owned());
        }
        names.sort();
        Ok(names)
    }

    fn open(&self, path: &Path, how: Open) -> io::Result<Arc<dyn DiskFile>> {
        let mut options = OpenOptions::new();
        options.custom_flags(flags(OFlags::NOFOLLOW)).mode(FILE_MODE);
        let file = match how {
            Open::Read => options.read(true).open(path),
            Open::Write => options.read(true).write(true).open(path),
            Open::Create => create_anew(path, options.read(true).write(true).create_new(true)),
            Open::WriteDirect => open_direct(path),
        };
        Ok(Arc::new(RealFile(file.map_err(name_a_link)?)))
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        fs::rename(from, to)
    }

    fn remove_file(&self, path: &Path) -> io::Result<()> {
        fs::remove_file(path)
    }

    fn remove_dir_all(&self, path: &Path) -> io::Result<()> {
        match fs::remove_dir_all(path) {
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(()),
            result => result,
        }
    }

    fn sync_dir(&self, path: &Path) -> io::Result<()> {
        // A relative path of one component has the empty path as its parent, which means this directory.
        let path = if path.as_os_str().is_empty() { Path::new(".") } else { path };
        SYNCS.fetch_add(1, Ordering::Relaxed);
        File::open(path)?.sync_all()
    }

    fn space(&self, path: &Path) -> io::Result<Space> {
        let found = rustix::fs::statvfs(path)?;
        let [total_bytes, free_bytes] =
            [found.f_blocks, found.f_bavail].map(|blocks| blocks.saturating_mul(found.f_frsize));
        Ok(Space { total_bytes, free_bytes })
    }
}

/// Creates a directory and its parents, and has the directory that holds each new one made durable by `sync`.
pub(super) fn create_dirs(path: &Path, sync: &dyn Fn(&Path) -> io::Result<()>) -> io::Result<()> {
    if path.as_os_str().is_empty() || path.is_dir() {
        return Ok(());
    }
    let parent = parent_of(path);
    create_dirs(parent, sync)?;
    match DirBuilder::new().mode(DIRECTORY_MODE).create(path) {
        Err(error) if error.kind() != ErrorKind::AlreadyExists => return Err(error),
        _ => {}
    }
    sync(parent)
}

fn parent_of(path: &Path) -> &Path {
    path.parent().unwrap_or(Path::new(""))
}

/// The flags as an argument of `open`.
fn flags(flags: OFlags) -> i32 {
    i32::try_from(flags.bits()).expect("a flag of open fits its argument")
}

/// Creates the file; an entry that has its name is unlinked first, a link rather than the file behind it.
fn create_anew(path: &Path, options: &OpenOptions) -> io::Result<File> {
    match options.open(path) {
        Err(error) if error.kind() == ErrorKind::AlreadyExists => {
            fs::remove_file(path)?;
            options.open(path)
        }
        result => result,
    }
}

/// Explains `ELOOP` for a file that must not be a link.
fn name_a_link(error: io::Error) -> io::Error {
    if error.raw_os_error() == Some(Errno::LOOP.raw_os_error()) {
        return io::Error::other("a symbolic link stands in place of the file; put the file itself there");
    }
    error
}

/// Opens for writing past the page cache; a file system without direct writes refuses the flag with `EINVAL`, and
/// then the file is opened without it.
fn open_direct(path: &Path) -> io::Result<File> {
    let direct = flags(OFlags::NOFOLLOW | OFlags::DIRECT);
    match OpenOptions::new().write(true).custom_flags(direct).open(path) {
        Err(error) if error.raw_os_error() == Some(Errno::INVAL.raw_os_error()) => {
            OpenOptions::new().write(true).custom_flags(flags(OFlags::NOFOLLOW)).open(path)
        }
        result => result,
    }
}

impl DiskFile for RealFile {
    fn read_exact_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<()> {
        self.0.read_exact_at(buffer, offset)
    }

    fn write_all_at(&self, buffer: &[u8], offset: u64) -> io::Result<()> {
        self.0.write_all_at(buffer, offset)
    }

    fn sync_data(&self) -> io::Result<()> {
        SYNCS.fetch_add(1, Ordering::Relaxed);
        self.0.sync_data()
    }

    fn len(&self) -> io::Result<u64> {
        Ok(self.0.metadata()?.len())
    }

    fn links(&self) -> io::Result<u64> {
        Ok(self.0.metadata()?.nlink())
    }

    fn set_len(&self, bytes: u64) -> io::Result<()> {
        self.0.set_len(bytes)
    }
}
