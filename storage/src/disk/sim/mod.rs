//! A disk in memory that can fail in every way that storage must survive, by seeded choice.
//!
//! Used by the tests of this crate and by simulations of the broker. It is stricter than a real disk: a new name is
//! gone after a crash unless its directory was synced, unsynced 512-byte sectors are lost and torn one by one, and a
//! handle opened before a crash is dead after it. Reading unsynced data sees it, as POSIX says.

mod damage;
mod file;
mod inode;
mod random;
mod tree;

use std::collections::{BTreeMap, BTreeSet};
use std::io::{self, ErrorKind};
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use file::SimFile;
use inode::{CrashMode, Inode};
use random::Random;
use tree::{Node, Tree};

use super::{Disk, DiskFile, Open, Space};

/// A simulated disk. A clone is another handle on the same disk.
#[derive(Clone, Debug)]
pub struct SimDisk {
    state: Arc<Mutex<State>>,
}

#[derive(Clone, Debug)]
struct State {
    tree: Tree,
    inodes: BTreeMap<u64, Inode>,
    inode_next: u64,
    random: Random,
    /// Bytes that the visible files may have together.
    capacity_bytes: u64,
    /// Crashes so far; a file handle belongs to the one it was opened in.
    life: u64,
    sync_fails: bool,
    /// Changing operations until the power goes.
    operations_left: Option<u64>,
}

impl SimDisk {
    /// An empty disk whose choices all follow from `seed`.
    #[must_use]
    pub fn new(seed: u64) -> Self {
        let state = State {
            tree: Tree::default(),
            inodes: BTreeMap::new(),
            inode_next: 0,
            random: Random::from_seed(seed),
            capacity_bytes: u64::MAX,
            life: 0,
            sync_fails: false,
            operations_left: None,
        };
        Self { state: Arc::new(Mutex::new(state)) }
    }

    /// Another disk with the same contents, unsynced changes, and choices ahead; from here on they are independent.
    #[must_use]
    pub fn fork(&self) -> Self {
        Self { state: Arc::new(Mutex::new(self.lock().clone())) }
    }

    /// The power goes and comes back: each unsynced sector and name is kept, torn or lost by choice, handles opened
    /// before are dead, and the power is on again. Capacity stays.
    pub fn crash(&self) {
        let mut guard = self.lock();
        let state = &mut *guard;
        state.life += 1;
        state.sync_fails = false;
        state.operations_left = None;
        let mode = match state.random.below(4) {
            0 => CrashMode::LoseAll,
            1 => CrashMode::KeepAll,
            _ => CrashMode::Mixed,
        };
        for inode in state.inodes.values_mut() {
            inode.crash(mode, &mut state.random);
        }
        state.tree.crash(&mut state.random, |random| match mode {
            CrashMode::LoseAll => false,
            CrashMode::KeepAll => true,
            CrashMode::Mixed => random.below(2) == 0,
        });
        let named: BTreeSet<u64> = state.tree.inodes().collect();
        state.inodes.retain(|number, _| named.contains(number));
    }

    /// Limits the bytes of all files together; growth beyond fails with [`ErrorKind::StorageFull`] after the part
    /// that fits. Holes count as bytes.
    pub fn set_capacity(&self, bytes: u64) {
        self.lock().capacity_bytes = bytes;
    }

    /// The next [`DiskFile::sync_data`] fails; the bytes that it should have made durable stay readable and are
    /// lost at the next crash, even if later syncs succeed.
    pub fn fail_next_sync(&self) {
        self.lock().sync_fails = true;
    }

    /// Allows `operations` more changes (writes, syncs, names); every operation after them fails until
    /// [`SimDisk::crash`].
    pub fn cut_power_after(&self, operations: u64) {
        self.lock().operations_left = Some(operations);
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        // A test that panicked while it held the lock has already failed; the state is plain data.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn file_number(&self, path: &Path) -> io::Result<u64> {
        match self.tree.get(path) {
            Some(Node::File(number)) => Ok(number),
            Some(Node::Directory) => Err(ErrorKind::IsADirectory.into()),
            None => Err(ErrorKind::NotFound.into()),
        }
    }

    fn require_directory(&self, path: &Path) -> io::Result<()> {
        if self.tree.is_directory(path) { Ok(()) } else { Err(ErrorKind::NotFound.into()) }
    }

    /// Counts a change against [`SimDisk::cut_power_after`].
    fn change(&mut self) -> io::Result<()> {
        match &mut self.operations_left {
            Some(0) => Err(io::Error::other("the power is off")),
            Some(left) => {
                *left -= 1;
                Ok(())
            }
            None => Ok(()),
        }
    }

    fn require_power(&self) -> io::Result<()> {
        if self.operations_left == Some(0) { Err(io::Error::other("the power is off")) } else { Ok(()) }
    }

    fn free_bytes(&self) -> u64 {
        if self.capacity_bytes == u64::MAX {
            return u64::MAX; // No need to look at every file.
        }
        let used: u64 =
            self.tree.visible_inodes().map(|number| self.inodes[&number].visible().len() as u64).sum();
        self.capacity_bytes.saturating_sub(used)
    }

    fn create_file(&mut self, path: &Path) -> io::Result<u64> {
        self.change()?;
        self.require_directory(path.parent().unwrap_or(Path::new("")))?;
        if self.tree.get(path).is_some() {
            let number = self.file_number(path)?;
            self.inodes.entry(number).or_default().set_len(0);
            return Ok(number);
        }
        let number = self.inode_next;
        self.inode_next += 1;
        self.inodes.insert(number, Inode::default());
        self.tree.create_file(path, number);
        Ok(number)
    }
}

impl Disk for SimDisk {
    fn create_dir_all(&self, path: &Path) -> io::Result<()> {
        let mut state = self.lock();
        state.change()?;
        if path.ancestors().any(|ancestor| matches!(state.tree.get(ancestor), Some(Node::File(_)))) {
            return Err(ErrorKind::NotADirectory.into());
        }
        state.tree.create_directory(path);
        Ok(())
    }

    fn list(&self, path: &Path) -> io::Result<Vec<String>> {
        let state = self.lock();
        state.require_power()?;
        state.require_directory(path)?;
        Ok(state.tree.names_in(path))
    }

    fn open(&self, path: &Path, how: Open) -> io::Result<Arc<dyn DiskFile>> {
        let mut state = self.lock();
        state.require_power()?;
        let number = if how == Open::Create { state.create_file(path)? } else { state.file_number(path)? };
        let life = state.life;
        Ok(Arc::new(SimFile::new(self.clone(), number, how, life)))
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        let mut state = self.lock();
        state.change()?;
        let number = state.file_number(from)?;
        state.require_directory(to.parent().unwrap_or(Path::new("")))?;
        if state.tree.get(to) == Some(Node::Directory) {
            return Err(ErrorKind::IsADirectory.into());
        }
        state.tree.rename(from, to, number);
        Ok(())
    }

    fn remove_file(&self, path: &Path) -> io::Result<()> {
        let mut state = self.lock();
        state.change()?;
        state.file_number(path)?;
        state.tree.remove(path);
        Ok(())
    }

    fn remove_dir_all(&self, path: &Path) -> io::Result<()> {
        let mut state = self.lock();
        state.change()?;
        state.tree.remove_tree(path);
        Ok(())
    }

    fn sync_dir(&self, path: &Path) -> io::Result<()> {
        let mut state = self.lock();
        state.change()?;
        state.require_directory(path)?;
        state.tree.sync(path);
        Ok(())
    }

    fn space(&self, path: &Path) -> io::Result<Space> {
        let state = self.lock();
        state.require_power()?;
        state.require_directory(path)?;
        Ok(Space { total_bytes: state.capacity_bytes, free_bytes: state.free_bytes() })
    }
}
