//! A disk without durability, for data that goes with its process: nothing is ever synced.
//!
//! After a crash of the machine its files may hold anything, and nobody may read them. Everything else is as on
//! [`RealDisk`].

use std::io;
use std::path::Path;
use std::sync::Arc;

use super::real::create_dirs;
use super::{Disk, DiskFile, Open, RealDisk, Space};

/// The file systems of this machine, with every sync left out.
#[derive(Clone, Copy, Debug, Default)]
pub struct VolatileDisk;

struct VolatileFile(Arc<dyn DiskFile>);

impl Disk for VolatileDisk {
    fn create_dir_all(&self, path: &Path) -> io::Result<()> {
        create_dirs(path, &|_| Ok(()))
    }

    fn list(&self, path: &Path) -> io::Result<Vec<String>> {
        RealDisk.list(path)
    }

    fn open(&self, path: &Path, how: Open) -> io::Result<Arc<dyn DiskFile>> {
        Ok(Arc::new(VolatileFile(RealDisk.open(path, how)?)))
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        RealDisk.rename(from, to)
    }

    fn remove_file(&self, path: &Path) -> io::Result<()> {
        RealDisk.remove_file(path)
    }

    fn remove_dir_all(&self, path: &Path) -> io::Result<()> {
        RealDisk.remove_dir_all(path)
    }

    fn sync_dir(&self, _: &Path) -> io::Result<()> {
        Ok(())
    }

    fn space(&self, path: &Path) -> io::Result<Space> {
        RealDisk.space(path)
    }
}

impl DiskFile for VolatileFile {
    fn read_exact_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<()> {
        self.0.read_exact_at(buffer, offset)
    }

    fn write_all_at(&self, buffer: &[u8], offset: u64) -> io::Result<()> {
        self.0.write_all_at(buffer, offset)
    }

    fn sync_data(&self) -> io::Result<()> {
        Ok(())
    }

    fn len(&self) -> io::Result<u64> {
        self.0.len()
    }

    fn links(&self) -> io::Result<u64> {
        self.0.links()
    }

    fn set_len(&self, bytes: u64) -> io::Result<()> {
        self.0.set_len(bytes)
    }
}
