//! A handle on a simulated file. It holds the rules of its way of opening and dies with the crash after it.

use std::io::{self, ErrorKind};

use super::{SimDisk, State};
use crate::blocks::BLOCK_BYTES;
use crate::disk::{DiskFile, Open};

/// A handle on one file in one life of the disk.
pub(super) struct SimFile {
    disk: SimDisk,
    number: u64,
    how: Open,
    life: u64,
}

impl SimFile {
    pub(super) fn new(disk: SimDisk, number: u64, how: Open, life: u64) -> Self {
        Self { disk, number, how, life }
    }

    fn require_alive(&self, state: &State) -> io::Result<()> {
        if state.life != self.life {
            return Err(io::Error::other("the handle is from before the crash"));
        }
        state.require_power()
    }

    fn require_readable(&self) -> io::Result<()> {
        if self.how == Open::WriteDirect { Err(ErrorKind::PermissionDenied.into()) } else { Ok(()) }
    }

    fn require_writable(&self) -> io::Result<()> {
        if self.how == Open::Read { Err(ErrorKind::PermissionDenied.into()) } else { Ok(()) }
    }

    fn require_aligned(&self, buffer: &[u8], offset: u64) -> io::Result<()> {
        let aligned = buffer.as_ptr().addr().is_multiple_of(BLOCK_BYTES)
            && buffer.len().is_multiple_of(BLOCK_BYTES)
            && offset.is_multiple_of(BLOCK_BYTES as u64);
        if self.how == Open::WriteDirect && !aligned { Err(ErrorKind::InvalidInput.into()) } else { Ok(()) }
    }
}

/// Offsets of a simulated file fit memory.
fn in_memory(offset: u64) -> io::Result<usize> {
    usize::try_from(offset).map_err(|_| ErrorKind::InvalidInput.into())
}

impl DiskFile for SimFile {
    fn read_exact_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<()> {
        self.require_readable()?;
        let state = self.disk.lock();
        self.require_alive(&state)?;
        let start = in_memory(offset)?;
        let end = start.checked_add(buffer.len()).ok_or(ErrorKind::InvalidInput)?;
        let inode = &state.inodes[&self.number];
        if inode.is_unreadable(start..end) {
            return Err(io::Error::from_raw_os_error(rustix::io::Errno::IO.raw_os_error()));
        }
        buffer.copy_from_slice(inode.visible().get(start..end).ok_or(ErrorKind::UnexpectedEof)?);
        Ok(())
    }

    fn write_all_at(&self, buffer: &[u8], offset: u64) -> io::Result<()> {
        self.require_writable()?;
        self.require_aligned(buffer, offset)?;
        let mut state = self.disk.lock();
        self.require_alive(&state)?;
        state.change()?;
        let free = state.free_bytes();
        let inode = state.inodes.get_mut(&self.number).expect("an open file has an inode");
        let end_possible = (inode.visible().len() as u64).saturating_add(free);
        let fitting = end_possible.saturating_sub(offset).min(buffer.len() as u64);
        let fitting = usize::try_from(fitting).expect("at most the buffer's length");
        if fitting > 0 {
            inode.write(in_memory(offset)?, &buffer[..fitting]);
        }
        if fitting < buffer.len() { Err(ErrorKind::StorageFull.into()) } else { Ok(()) }
    }

    fn sync_data(&self) -> io::Result<()> {
        let mut state = self.disk.lock();
        self.require_alive(&state)?;
        state.change()?;
        let fails = std::mem::take(&mut state.sync_fails);
        let inode = state.inodes.get_mut(&self.number).expect("an open file has an inode");
        if fails {
            inode.fail_sync();
            return Err(io::Error::other("the simulated sync fails"));
        }
        inode.sync();
        Ok(())
    }

    fn len(&self) -> io::Result<u64> {
        let state = self.disk.lock();
        self.require_alive(&state)?;
        Ok(state.inodes[&self.number].visible().len() as u64)
    }

    fn links(&self) -> io::Result<u64> {
        let state = self.disk.lock();
        self.require_alive(&state)?;
        Ok(state.tree.visible_inodes().filter(|number| *number == self.number).count() as u64)
    }

    fn set_len(&self, bytes: u64) -> io::Result<()> {
        self.require_writable()?;
        let mut state = self.disk.lock();
        self.require_alive(&state)?;
        state.change()?;
        let free = state.free_bytes();
        let inode = state.inodes.get_mut(&self.number).expect("an open file has an inode");
        if bytes.saturating_sub(inode.visible().len() as u64) > free {
            return Err(ErrorKind::StorageFull.into());
        }
        inode.set_len(in_memory(bytes)?);
        Ok(())
    }
}
