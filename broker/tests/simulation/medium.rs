//! A node's disk as the run sees it: the simulated disk of `storage`, traced, its votes noted, and able to lie.
//!
//! A vote is read from the bytes that are written, by the layout of `storage/FORMAT.md`, so that the checks of
//! votes do not rest on the code that casts them.

use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tidelog_storage::Disk;
use tidelog_storage::disk::{DiskFile, Open, SimDisk, Space};

use crate::trace::Trace;

/// The writes that a planted disk reports as synced and has not synced.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Lie {
    /// Nothing of the write-ahead log.
    Log,
    /// Commits of the write-ahead log that hold nothing but votes, and the log's mark about them.
    Votes,
}

/// Votes of one node, by group and term, and contradictions among them.
#[derive(Debug, Default)]
pub struct Votes {
    /// The candidate of each vote.
    cast: BTreeMap<(u8, u64), u64>,
    /// The node that it has followed as elected: itself, the one it voted for, or the one that the others have elected.
    pub led_by: BTreeMap<(u8, u64), u64>,
    /// Votes given since someone last asked.
    pub fresh: u64,
    /// Each names two votes, or two leaders, of one group and term.
    pub contradictions: Vec<String>,
}

/// A disk; clones share it.
#[derive(Clone)]
pub struct Medium {
    node: u64,
    disk: SimDisk,
    trace: Arc<Trace>,
    votes: Arc<Mutex<Votes>>,
    lie: Option<Lie>,
    has_flipped: Arc<AtomicBool>,
}

impl Medium {
    /// An empty disk of that node.
    pub fn new(node: u64, seed: u64, trace: Arc<Trace>, lie: Option<Lie>) -> Self {
        Self {
            node,
            disk: SimDisk::new(seed),
            trace,
            votes: Arc::default(),
            lie,
            has_flipped: Arc::default(),
        }
    }

    /// The disk below, to do harm to.
    pub fn disk(&self) -> &SimDisk {
        &self.disk
    }

    /// Returns the node whose disk it is.
    pub fn node(&self) -> u64 {
        self.node
    }

    /// Remembers that a bit of it was flipped.
    pub fn note_flip(&self) {
        self.has_flipped.store(true, Ordering::Relaxed);
    }

    /// Whether a bit of it was flipped.
    pub fn has_flipped(&self) -> bool {
        self.has_flipped.load(Ordering::Relaxed)
    }

    /// The node's votes.
    pub fn votes(&self) -> MutexGuard<'_, Votes> {
        self.votes.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn note(&self, what: &str) {
        self.trace.note(&format!("disk {} {what}", self.node));
    }
}

impl Disk for Medium {
    fn create_dir_all(&self, path: &Path) -> io::Result<()> {
        self.disk.create_dir_all(path)
    }

    fn list(&self, path: &Path) -> io::Result<Vec<String>> {
        self.disk.list(path)
    }

    fn open(&self, path: &Path, how: Open) -> io::Result<Arc<dyn DiskFile>> {
        let file = self.disk.open(path, how)?;
        // By its directory: a file of the log begins its life under the name of a spare one.
        let is_mark = how == Open::Write && path.ends_with("wal.mark");
        let is_log = path.parent().is_some_and(|directory| directory.ends_with("wal"));
        let path = path.to_owned();
        Ok(Arc::new(Watched {
            medium: self.clone(),
            file,
            path,
            is_log,
            is_mark,
            unsynced: Mutex::new(Unsynced::Nothing),
            votes_written: Mutex::default(),
        }))
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        self.note(&format!("rename {} {}", from.display(), to.display()));
        self.disk.rename(from, to)
    }

    fn remove_file(&self, path: &Path) -> io::Result<()> {
        self.note(&format!("remove {}", path.display()));
        self.disk.remove_file(path)
    }

    fn remove_dir_all(&self, path: &Path) -> io::Result<()> {
        self.disk.remove_dir_all(path)
    }

    fn sync_dir(&self, path: &Path) -> io::Result<()> {
        self.disk.sync_dir(path)
    }

    fn space(&self, path: &Path) -> io::Result<Space> {
        self.disk.space(path)
    }
}

struct Watched {
    medium: Medium,
    file: Arc<dyn DiskFile>,
    path: PathBuf,
    is_log: bool,
    is_mark: bool,
    unsynced: Mutex<Unsynced>,
    /// Votes that no other node knows yet: only a sync makes them count.
    votes_written: Mutex<Vec<Frame>>,
}

/// The most that a handle has written since its last sync.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Unsynced {
    Nothing,
    Votes,
    Commits,
    More,
}

impl Watched {
    fn unsynced(&self) -> MutexGuard<'_, Unsynced> {
        self.unsynced.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn votes_written(&self) -> MutexGuard<'_, Vec<Frame>> {
        self.votes_written.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn is_lied_about(&self) -> bool {
        match self.medium.lie {
            Some(Lie::Log) => self.is_log && *self.unsynced() <= Unsynced::Commits,
            Some(Lie::Votes) => self.is_mark || self.is_log && *self.unsynced() == Unsynced::Votes,
            None => false,
        }
    }
}

impl DiskFile for Watched {
    fn read_exact_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<()> {
        self.file.read_exact_at(buffer, offset)
    }

    fn write_all_at(&self, buffer: &[u8], offset: u64) -> io::Result<()> {
        let done = self.file.write_all_at(buffer, offset);
        let (bytes, crc) = (buffer.len(), crc32fast::hash(buffer));
        let outcome = if done.is_ok() { "" } else { " failed" };
        self.medium.note(&format!("write {} {offset} {bytes} {crc:08x}{outcome}", self.path.display()));
        // A sync point rides along with a commit.
        if self.is_log && done.is_ok() && !buffer.starts_with(b"TSYN") {
            let frames = frames(buffer);
            let written = match &frames[..] {
                [] => Unsynced::More,
                frames if frames.iter().all(|frame| frame.kind == VOTE) => Unsynced::Votes,
                _ => Unsynced::Commits,
            };
            let before = *self.unsynced();
            *self.unsynced() = before.max(written);
            self.votes_written().extend(frames.into_iter().filter(|frame| frame.kind == VOTE));
        }
        done
    }

    fn sync_data(&self) -> io::Result<()> {
        if !self.is_lied_about() {
            *self.unsynced() = Unsynced::Nothing;
            self.file.sync_data()?;
        }
        let mut votes = self.medium.votes();
        for vote in self.votes_written().drain(..) {
            votes.note(&vote);
        }
        Ok(())
    }

    fn len(&self) -> io::Result<u64> {
        self.file.len()
    }

    fn links(&self) -> io::Result<u64> {
        self.file.links()
    }

    fn set_len(&self, bytes: u64) -> io::Result<()> {
        self.file.set_len(bytes)
    }
}

impl Votes {
    fn note(&mut self, vote: &Frame) {
        self.fresh += 1;
        let (group, term) = (vote.group, vote.term);
        let (book, what) =
            if vote.is_committed { (&mut self.led_by, "led by") } else { (&mut self.cast, "a vote for") };
        let before = *book.entry((group, term)).or_insert(vote.index);
        if before != vote.index {
            let words = format!("group {group} term {term}: {what} {before}, then {}", vote.index);
            self.contradictions.push(words);
        }
    }
}

const VOTE: u8 = 2;

/// A frame of a commit, without its payload; of a vote `index` is the node.
#[derive(Debug, PartialEq, Eq)]
struct Frame {
    kind: u8,
    group: u8,
    /// True for a vote that was won.
    is_committed: bool,
    term: u64,
    index: u64,
}

/// The frames of a commit; none of anything else.
fn frames(commit: &[u8]) -> Vec<Frame> {
    if !commit.starts_with(b"TCMT") {
        return Vec::new();
    }
    let word = |at: usize| u32::from_le_bytes(commit[at..at + 4].try_into().expect("four bytes"));
    let long = |at: usize| u64::from_le_bytes(commit[at..at + 8].try_into().expect("eight bytes"));
    let mut at = 64;
    let mut frames = Vec::new();
    for _ in 0..word(12) {
        frames.push(Frame {
            kind: commit[at + 9],
            group: commit[at + 10],
            is_committed: commit[at + 11] == 1,
            term: long(at + 16),
            index: long(at + 24),
        });
        at += 32 + word(at + 4) as usize;
    }
    frames
}
