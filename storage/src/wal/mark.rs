//! The mark of a log: a small file beside the log's directory that says how far the log must reach.
//!
//! It is written, synced, at events that are rare: a vote, before the commit that holds it; a new log file, before its
//! first commit; a checkpoint; a start; a stop in order. So a missing log file and a lost vote are noticed exactly,
//! also when the whole directory of the log is gone. Two blocks take turns, so that one of them is always intact. Owned
//! by the log's writer.

use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::format::{put_u32, put_u64, u32_at, u64_at};
use super::{BLOCK, GROUPS, Vote};
use crate::blocks::BLOCK_BYTES;
use crate::disk::{Disk, DiskFile, Open};
use crate::wal::WalError;

const MAGIC: [u8; 8] = *b"TIDEMARK";
const VERSION: u32 = 1;
/// The version while the end of the log is given up: a program that does not know of this must not open the log.
const VERSION_GIVING_UP: u32 = 2;
const VOTES_AT: usize = 64;
const VOTE_BYTES: usize = 24;
/// Blocks that take turns.
const COPIES: u64 = 2;

const _: () = assert!(VOTES_AT + GROUPS * VOTE_BYTES <= BLOCK_BYTES, "all votes fit a block");

/// The minimum that a log must hold.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Mark {
    /// Starts of this directory, this one among them.
    pub life: u64,
    /// Everything up to this LSN was synced.
    pub synced_lsn: u64,
    /// The newest log file's sequence number.
    pub file: u64,
    /// The last vote of each group.
    pub votes: [Option<Vote>; GROUPS],
    /// The log's end is being given up: no broker opens the log before that is over.
    pub is_giving_up: bool,
}

impl Mark {
    fn encode(&self, generation: u64) -> [u8; BLOCK_BYTES] {
        let mut block = [0; BLOCK_BYTES];
        block[..8].copy_from_slice(&MAGIC);
        put_u32(&mut block, 12, if self.is_giving_up { VERSION_GIVING_UP } else { VERSION });
        put_u64(&mut block, 16, generation);
        put_u64(&mut block, 24, self.life);
        put_u64(&mut block, 32, self.synced_lsn);
        put_u64(&mut block, 40, self.file);
        put_u64(&mut block, 48, self.is_giving_up.into());
        for (group, vote) in self.votes.iter().enumerate() {
            let Some(vote) = vote else { continue };
            let at = VOTES_AT + group * VOTE_BYTES;
            put_u32(&mut block, at, 1 | u32::from(vote.committed) << 1);
            put_u64(&mut block, at + 8, vote.term);
            put_u64(&mut block, at + 16, vote.node);
        }
        let checksum = crc32fast::hash(&block[12..]);
        put_u32(&mut block, 8, checksum);
        block
    }

    /// The mark and its generation, when the block is intact.
    ///
    /// # Errors
    /// [`Newer`] for an intact one of a newer version.
    fn decode(block: &[u8]) -> Result<Option<(u64, Self)>, Newer> {
        if block[..8] != MAGIC || crc32fast::hash(&block[12..]) != u32_at(block, 8) {
            return Ok(None);
        }
        if ![VERSION, VERSION_GIVING_UP].contains(&u32_at(block, 12)) {
            return Err(Newer);
        }
        let votes = std::array::from_fn(|group| {
            let at = VOTES_AT + group * VOTE_BYTES;
            let bits = u32_at(block, at);
            let vote =
                Vote { term: u64_at(block, at + 8), node: u64_at(block, at + 16), committed: bits & 2 != 0 };
            (bits & 1 != 0).then_some(vote)
        });
        let (life, synced_lsn, file) = (u64_at(block, 24), u64_at(block, 32), u64_at(block, 40));
        let is_giving_up = u64_at(block, 48) != 0;
        Ok(Some((u64_at(block, 16), Self { life, synced_lsn, file, votes, is_giving_up })))
    }
}

/// A block is of a newer version of the program.
struct Newer;

/// Whether a vote came after another one of its group: a node votes once in a term.
pub(super) fn is_newer(vote: Vote, than: Option<Vote>) -> bool {
    than.is_none_or(|than| (vote.term, vote.committed) > (than.term, than.committed))
}

/// Where the mark of the log in `dir` stands.
pub(super) fn path_of(dir: &Path) -> PathBuf {
    let mut name = dir.file_name().unwrap_or_default().to_owned();
    name.push(".mark");
    dir.with_file_name(name)
}

/// The mark's file and its contents.
pub(super) struct MarkFile {
    path: PathBuf,
    /// The open file, once it is written to.
    file: Option<Arc<dyn DiskFile>>,
    generation: u64,
    mark: Mark,
}

impl MarkFile {
    /// Reads the mark of the log in `dir`; none when there is no such file.
    pub(super) fn read(disk: &dyn Disk, dir: &Path) -> Result<Option<Self>, WalError> {
        let path = path_of(dir);
        let file = match disk.open(&path, Open::Read) {
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
            opened => opened.map_err(WalError::at(&path))?,
        };
        if file.len().map_err(WalError::at(&path))? < COPIES * BLOCK {
            return Err(WalError::damaged(&path, 0, "the log's mark is shorter than it was made"));
        }
        let mut newest: Option<(u64, Mark)> = None;
        for copy in 0..COPIES {
            let mut block = vec![0; BLOCK_BYTES];
            file.read_exact_at(&mut block, copy * BLOCK).map_err(WalError::at(&path))?;
            let found = Mark::decode(&block).map_err(|Newer| WalError::Newer { file: path.clone() })?;
            if found.map(|(generation, _)| generation) > newest.map(|(generation, _)| generation) {
                newest = found;
            }
        }
        let Some((generation, mark)) = newest else {
            return Err(WalError::damaged(&path, 0, "neither block of the log's mark is intact"));
        };
        Ok(Some(Self { path, file: None, generation, mark }))
    }

    /// Makes the file of a log that had none.
    pub(super) fn create(disk: &dyn Disk, dir: &Path, mark: Mark) -> Result<Self, WalError> {
        let path = path_of(dir);
        let mut unfinished = path.clone().into_os_string();
        unfinished.push(".new");
        let unfinished = PathBuf::from(unfinished);
        let file = disk.open(&unfinished, Open::Create).map_err(WalError::at(&unfinished))?;
        for copy in 0..COPIES {
            file.write_all_at(&mark.encode(1), copy * BLOCK).map_err(WalError::at(&unfinished))?;
        }
        file.sync_data().map_err(WalError::sync_at(&unfinished))?;
        disk.rename(&unfinished, &path).map_err(WalError::at(&unfinished))?;
        let parent = path.parent().filter(|parent| !parent.as_os_str().is_empty());
        let parent = parent.unwrap_or_else(|| Path::new("."));
        disk.sync_dir(parent).map_err(WalError::sync_at(parent))?;
        Ok(Self { path, file: None, generation: 1, mark })
    }

    pub(super) fn mark(&self) -> &Mark {
        &self.mark
    }

    /// Writes and syncs a mark, also one that says nothing new: its return shows that the disk answers.
    pub(super) fn write(&mut self, disk: &dyn Disk, mark: Mark) -> Result<(), WalError> {
        let file = match &self.file {
            Some(file) => file,
            None => self.file.insert(disk.open(&self.path, Open::Write).map_err(WalError::at(&self.path))?),
        };
        let generation = self.generation + 1;
        file.write_all_at(&mark.encode(generation), generation % COPIES * BLOCK)
            .map_err(WalError::at(&self.path))?;
        file.sync_data().map_err(WalError::sync_at(&self.path))?;
        (self.generation, self.mark) = (generation, mark);
        Ok(())
    }
}
