//! The beginning of a log's files: the first one of a process behind the recovered ones, and each one after it.
//!
//! Called once by [`FoundWal::begin`], and by the writer when a file is full.

use std::collections::VecDeque;
use std::path::Path;
use std::sync::Arc;

use super::files::{LogFile, Shared, log_path};
use super::format::{COMMITS_AT, FileHeader};
use super::found::FoundWal;
use super::mark::{Mark, MarkFile, is_newer};
use super::sync_point::{self, SYNC_POINTS, SyncPoints};
use super::writer::{Current, Wal};
use super::{BLOCK, GROUPS, GroupId, SpareFiles, Vote, WalOp, WalOptions, WalReader};
use crate::blocks::Blocks;
use crate::disk::{Disk, Open};
use crate::wal::WalError;

impl Wal {
    /// Begins a new file behind the recovered ones, and the next life.
    pub(super) fn begin(
        found: FoundWal,
        options: WalOptions,
        salt_seed: u64,
    ) -> Result<(Self, WalReader), WalError> {
        for bytes in [options.file_bytes, options.first_file_bytes] {
            let bounded = (COMMITS_AT + BLOCK..=u64::from(u32::MAX)).contains(&bytes);
            assert!(bounded && bytes.is_multiple_of(BLOCK), "a log file has whole blocks and is below 4 GiB");
        }
        let FoundWal { disk, dir, recovered, mark } = found;
        disk.create_dir_all(&dir).map_err(WalError::at(&dir))?;
        // Names that only the page cache knows become durable before anything relies on them.
        disk.sync_dir(&dir).map_err(WalError::sync_at(&dir))?;
        if let Some(path) = &recovered.last_path {
            // The bytes that were read may be in the page cache only; the new file's header will vouch for
            // them.
            let last = disk.open(path, Open::Write).map_err(WalError::at(path))?;
            last.sync_data().map_err(WalError::sync_at(path))?;
        }
        let names = disk.list(&dir).map_err(WalError::at(&dir))?;
        let spares = SpareFiles::open(Arc::clone(&disk), &dir, &names, options.file_bytes)?;
        let shared = Arc::new(Shared::new(recovered.groups, recovered.files));
        let place = NewFile { seq: recovered.seq_next, salt: mix(salt_seed), first_lsn: recovered.lsn_next };
        let spare = spares.take_first(options.first_file_bytes)?;
        let file = begin_file(&*disk, &dir, &shared, &spare.path, place)?;
        spares.follow(file.bytes);
        let before = mark.as_ref().map(|mark| *mark.mark()).unwrap_or_default();
        let present = Mark {
            life: before.life + 1,
            synced_lsn: recovered.lsn_next - 1,
            file: file.seq,
            votes: newest_votes(&shared, &before),
            ..before
        };
        let mark = match mark {
            None => MarkFile::create(&*disk, &dir, present)?,
            Some(mut mark) => {
                mark.write(&*disk, present)?;
                mark
            }
        };
        shared.set_life(present.life);
        let mut wal = Self {
            disk,
            dir,
            options,
            shared: Arc::clone(&shared),
            spares,
            reserved: VecDeque::new(),
            sync_points: SyncPoints::of_new_file(recovered.lsn_next - 1),
            file,
            mark,
            buffer: Blocks::new(),
            salt_seed: mix(salt_seed),
            lsn_next: recovered.lsn_next,
            durable_lsn: recovered.lsn_next - 1,
            stopped: false,
        };
        wal.retire_files();
        wal.restore_votes(&present)?;
        Ok((wal, WalReader::new(shared)))
    }

    /// Puts the votes into the log that only the mark knows: the process ended between the mark and the commit.
    fn restore_votes(&mut self, mark: &Mark) -> Result<(), WalError> {
        let ops: Vec<WalOp> = (0..)
            .zip(mark.votes)
            .filter(|(group, vote)| *vote != self.shared.group(*group).record().vote)
            .filter_map(|(group, vote)| Some(WalOp::Vote { group, vote: vote? }))
            .collect();
        self.commit(&ops).map(drop)
    }
}

/// The identity of a file that begins.
pub(super) struct NewFile {
    pub seq: u64,
    pub salt: u64,
    pub first_lsn: u64,
}

/// Turns a spare file into the log's current one: header, sync, name, sync.
pub(super) fn begin_file(
    disk: &dyn Disk,
    dir: &Path,
    shared: &Shared,
    spare: &Path,
    NewFile { seq, salt, first_lsn }: NewFile,
) -> Result<Current, WalError> {
    let groups =
        std::array::from_fn(|group| shared.group(u8::try_from(group).expect("a few groups")).record());
    let file = disk.open(spare, Open::WriteDirect).map_err(WalError::at(spare))?;
    let bytes = file.len().map_err(WalError::at(spare))?;
    let mut blocks = Blocks::new();
    blocks.extend_from_slice(&FileHeader { file_bytes: Some(bytes), salt, seq, first_lsn, groups }.encode());
    for _ in 0..SYNC_POINTS {
        // The header vouches for every commit before the file's first one.
        blocks.extend_from_slice(&sync_point::encode(salt, first_lsn - 1));
    }
    file.write_all_at(blocks.as_slice(), 0).map_err(WalError::at(spare))?;
    file.sync_data().map_err(WalError::sync_at(spare))?;
    let reader = disk.open(spare, Open::Read).map_err(WalError::at(spare))?;
    let path = log_path(dir, seq);
    disk.rename(spare, &path).map_err(WalError::at(spare))?;
    disk.sync_dir(dir).map_err(WalError::sync_at(dir))?;
    let used = COMMITS_AT;
    shared.files_mut().insert(seq, LogFile { path: path.clone(), salt, bytes, used, reader, entries: 0 });
    Ok(Current { seq, salt, path, file, bytes, offset: COMMITS_AT })
}

/// The newest vote of each group, by the log and by the mark before.
fn newest_votes(shared: &Shared, before: &Mark) -> [Option<Vote>; GROUPS] {
    std::array::from_fn(|group| {
        let by_log = shared.group(GroupId::try_from(group).expect("a few groups")).record().vote;
        before.votes[group].filter(|vote| is_newer(*vote, by_log)).or(by_log)
    })
}

/// The next of a sequence of salts: a bijection of 64-bit numbers that scatters them.
pub(super) fn mix(seed: u64) -> u64 {
    let mut mixed = seed.wrapping_add(0x9E37_79B9_7F4A_7C15);
    mixed = (mixed ^ (mixed >> 33)).wrapping_mul(0xFF51_AFD7_ED55_8CCD);
    mixed = (mixed ^ (mixed >> 33)).wrapping_mul(0xC4CE_B9FE_1A85_EC53);
    mixed ^ (mixed >> 33)
}
