//! The names of a simulated disk: the visible tree, the durable tree, and the unsynced changes between them.
//!
//! A rename is one change, kept or lost as a whole; different changes are kept or lost independently of each other,
//! which is more than most file systems lose and all that POSIX promises. Directories are durable when created.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use super::random::Random;

/// The object that a name stands for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Node {
    Directory,
    /// A file, by the number of its inode.
    File(u64),
}

#[derive(Clone, Debug)]
enum Change {
    Create { path: PathBuf, inode: u64 },
    Remove { path: PathBuf },
    Rename { from: PathBuf, to: PathBuf, inode: u64 },
}

/// The directory tree.
#[derive(Clone, Debug, Default)]
pub(super) struct Tree {
    visible: BTreeMap<PathBuf, Node>,
    durable: BTreeMap<PathBuf, Node>,
    pending: Vec<Change>,
}

impl Tree {
    pub(super) fn get(&self, path: &Path) -> Option<Node> {
        self.visible.get(path).copied()
    }

    /// The file numbers that a visible or a durable name leads to.
    pub(super) fn inodes(&self) -> impl Iterator<Item = u64> + '_ {
        self.visible.values().chain(self.durable.values()).filter_map(|node| match node {
            Node::File(inode) => Some(*inode),
            Node::Directory => None,
        })
    }

    /// The file numbers that a visible name leads to.
    pub(super) fn visible_inodes(&self) -> impl Iterator<Item = u64> + '_ {
        self.visible.values().filter_map(|node| match node {
            Node::File(inode) => Some(*inode),
            Node::Directory => None,
        })
    }

    /// True for a directory, and for the roots that always are: the empty path and `/`.
    pub(super) fn is_directory(&self, path: &Path) -> bool {
        path.parent().is_none() || self.get(path) == Some(Node::Directory)
    }

    pub(super) fn names_in(&self, directory: &Path) -> Vec<String> {
        self.visible
            .keys()
            .filter(|path| path.parent() == Some(directory))
            .filter_map(|path| path.file_name())
            .map(|name| name.to_string_lossy().into_owned())
            .collect()
    }

    pub(super) fn create_directory(&mut self, path: &Path) {
        for ancestor in path.ancestors().filter(|ancestor| ancestor.parent().is_some()) {
            self.visible.insert(ancestor.to_owned(), Node::Directory);
            self.durable.insert(ancestor.to_owned(), Node::Directory);
            self.pending.retain(|change| !matches!(change, Change::Remove { path } if path == ancestor));
        }
    }

    pub(super) fn create_file(&mut self, path: &Path, inode: u64) {
        self.visible.insert(path.to_owned(), Node::File(inode));
        self.pending.push(Change::Create { path: path.to_owned(), inode });
    }

    pub(super) fn remove(&mut self, path: &Path) {
        self.visible.remove(path);
        self.pending.push(Change::Remove { path: path.to_owned() });
    }

    /// Removes a directory and all below it, the deepest names first.
    pub(super) fn remove_tree(&mut self, path: &Path) {
        let doomed: Vec<PathBuf> =
            self.visible.keys().filter(|name| name.starts_with(path)).cloned().collect();
        for name in doomed.iter().rev() {
            self.remove(name);
        }
    }

    pub(super) fn rename(&mut self, from: &Path, to: &Path, inode: u64) {
        self.visible.remove(from);
        self.visible.insert(to.to_owned(), Node::File(inode));
        self.pending.push(Change::Rename { from: from.to_owned(), to: to.to_owned(), inode });
    }

    /// Loses a name on the medium too: no crash brings it back, nor the name that its file had before.
    pub(super) fn lose(&mut self, path: &Path) {
        self.visible.remove(path);
        self.durable.remove(path);
        for change in std::mem::take(&mut self.pending) {
            match change {
                Change::Create { path: ref to, .. } if to == path => {}
                Change::Rename { ref from, ref to, inode } if to == path => {
                    if self.durable.get(from) == Some(&Node::File(inode)) {
                        self.durable.remove(from);
                    }
                }
                other => self.pending.push(other),
            }
        }
    }

    /// Makes the changes that touch this directory durable.
    pub(super) fn sync(&mut self, directory: &Path) {
        let (ripe, rest) =
            std::mem::take(&mut self.pending).into_iter().partition(|change| change.touches(directory));
        self.pending = rest;
        let ripe: Vec<Change> = ripe;
        for change in &ripe {
            self.apply(change);
        }
    }

    /// Loses or keeps each unsynced change by the choice of `keep`.
    pub(super) fn crash(&mut self, random: &mut Random, keep: impl Fn(&mut Random) -> bool) {
        for change in std::mem::take(&mut self.pending) {
            if keep(random) {
                self.apply(&change);
            }
        }
        let directories = self.durable.clone();
        self.durable.retain(|path, _| {
            path.ancestors().skip(1).all(|ancestor| {
                ancestor.parent().is_none() || directories.get(ancestor) == Some(&Node::Directory)
            })
        });
        self.visible.clone_from(&self.durable);
    }

    fn apply(&mut self, change: &Change) {
        match change {
            Change::Create { path, inode } => {
                self.durable.insert(path.clone(), Node::File(*inode));
            }
            Change::Remove { path } => {
                self.durable.remove(path);
            }
            Change::Rename { from, to, inode } => {
                if self.durable.get(from) == Some(&Node::File(*inode)) {
                    self.durable.remove(from);
                }
                self.durable.insert(to.clone(), Node::File(*inode));
            }
        }
    }
}

impl Change {
    fn touches(&self, directory: &Path) -> bool {
        let inside = |path: &Path| path.parent() == Some(directory);
        match self {
            Change::Create { path, .. } | Change::Remove { path } => inside(path),
            Change::Rename { from, to, .. } => inside(from) || inside(to),
        }
    }
}
