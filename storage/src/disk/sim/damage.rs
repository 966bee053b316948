//! Damage to the bytes that a simulated disk has stored: bits that flip, files that are lost, cut or zeroed, and a
//! disk that is put back to an older copy of itself.
//!
//! All of it changes the medium at once, as a failing device or an operator with the wrong copy does: a later crash
//! brings nothing back.

use std::ops::Range;
use std::path::Path;

use super::{Inode, SimDisk};

impl SimDisk {
    /// Flips the bit at `offset_bits` of a file, on the medium and for every later read.
    ///
    /// # Panics
    /// When there is no such file or the file ends before.
    pub fn flip_bit(&self, path: &Path, offset_bits: u64) {
        self.damage(path, |inode| {
            assert!(offset_bits / 8 < inode.visible().len() as u64, "the flipped bit lies inside the file");
            inode.flip_bit(offset_bits);
        });
    }

    /// The medium can no longer read these bytes of a file: each read that touches one of them fails with `EIO`. An
    /// empty range makes the whole file readable again.
    ///
    /// # Panics
    /// When there is no such file.
    pub fn make_unreadable(&self, path: &Path, range: Range<usize>) {
        self.damage(path, |inode| inode.set_unreadable(range));
    }

    /// Loses a file with its name. Handles that are open go on reading the old contents.
    ///
    /// # Panics
    /// When there is no such file.
    pub fn lose_file(&self, path: &Path) {
        let mut state = self.lock();
        state.file_number(path).expect("only an existing file is lost");
        state.tree.lose(path);
    }

    /// Cuts a file to its first `bytes` bytes.
    ///
    /// # Panics
    /// When there is no such file or the file is shorter than that.
    pub fn truncate(&self, path: &Path, bytes: u64) {
        self.damage(path, |inode| {
            assert!(bytes <= inode.visible().len() as u64, "a cut makes no file longer");
            inode.truncate(bytes);
        });
    }

    /// Turns every byte of a file from `offset` on into zero. Its length stays.
    ///
    /// # Panics
    /// When there is no such file.
    pub fn zero_from(&self, path: &Path, offset: u64) {
        self.damage(path, |inode| inode.zero_from(offset));
    }

    /// Replaces all files by those of an older [`SimDisk::fork`], like an operator that puts back a copy. Handles
    /// that were opened before are dead. Capacity, choices ahead and planned failures stay.
    pub fn roll_back(&self, copy: &SimDisk) {
        let copy = copy.fork();
        let copy = copy.lock();
        let mut state = self.lock();
        state.life += 1;
        state.tree.clone_from(&copy.tree);
        state.inodes.clone_from(&copy.inodes);
        state.inode_next = state.inode_next.max(copy.inode_next);
    }

    fn damage(&self, path: &Path, harm: impl FnOnce(&mut Inode)) {
        let mut state = self.lock();
        let number = state.file_number(path).expect("only an existing file is damaged");
        harm(state.inodes.get_mut(&number).expect("a named file has an inode"));
    }
}
