//! From a checkpoint and a directory to shards: sets aside segments that are newer than the checkpoint, finishes an
//! install that a crash interrupted, notes damage.
//!
//! Reads one list per directory and less than two frames per open segment; never a whole file.

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::path::Path;

use bytes::Bytes;

use super::given_up;
use super::set_aside::{set_aside, set_aside_stream};
use super::state::{ActiveSegment, ShardState};
use super::store::Shared;
use super::tail::Tail;
use super::{OpenCheckpoint, SegmentCheckpoint, ShardCheckpoint, ShardError, ShardKey};
use crate::disk::{Disk, DiskFile, Open};
use crate::segment::sealed::open_checked;
use crate::segment::tail::read_frames;
use crate::segment::{segment_path, shard_dir};
use crate::transfer::{self, FileNeed, length_of};

/// Makes sure that the directory of all streams is there and stays.
pub(super) fn create_root(disk: &dyn Disk, dir: &Path) -> Result<(), ShardError> {
    disk.create_dir_all(dir).map_err(|source| ShardError::io("create", dir, source))?;
    match dir.parent().filter(|parent| !parent.as_os_str().is_empty()) {
        Some(parent) => disk.sync_dir(parent).map_err(|source| ShardError::Io {
            action: "sync",
            path: parent.to_owned(),
            source,
        }),
        None => Ok(()),
    }
}

/// Sets aside the streams, shards and segments that the checkpoint does not list. Other people's names are left alone.
pub(super) fn set_aside_unknown(
    disk: &dyn Disk,
    dir: &Path,
    shards: &[ShardCheckpoint],
) -> Result<(), ShardError> {
    let mut known: BTreeMap<u64, BTreeMap<u32, &ShardCheckpoint>> = BTreeMap::new();
    for shard in shards {
        known.entry(shard.key.stream_uid).or_default().insert(shard.key.shard, shard);
    }
    for stream_uid in list(disk, dir, |name| name.parse::<u64>().ok())? {
        let known = known.remove(&stream_uid).unwrap_or_default();
        set_aside_stream(disk, dir, stream_uid, |shard| !known.contains_key(&shard))?;
        for checkpoint in known.values() {
            set_aside_unknown_segments(disk, dir, checkpoint)?;
        }
    }
    Ok(())
}

pub(super) fn set_aside_unknown_segments(
    disk: &dyn Disk,
    dir: &Path,
    checkpoint: &ShardCheckpoint,
) -> Result<(), ShardError> {
    let mut known: BTreeSet<u64> = checkpoint.segments.iter().map(|segment| segment.first_ordinal).collect();
    known.extend(checkpoint.open.iter().filter(|open| open.in_blocks() > 0).map(|open| open.first_ordinal));
    set_aside(disk, dir, checkpoint.key, |first_ordinal| !known.contains(&first_ordinal))
}

/// Names in a directory, none where there is no such directory.
pub(super) fn list<T>(
    disk: &dyn Disk,
    dir: &Path,
    parse: impl Fn(&str) -> Option<T>,
) -> Result<Vec<T>, ShardError> {
    match disk.list(dir) {
        Ok(names) => Ok(names.iter().filter_map(|name| parse(name)).collect()),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Vec::new()),
        Err(source) => Err(ShardError::io("list", dir, source)),
    }
}

/// Rebuilds a shard's state; the directory holds nothing newer any more. A staged file that is complete takes the
/// place of any other file first: an install was interrupted, and a file of the same length may be one whose bytes
/// were never synced and whose removal was not either.
pub(super) fn recover(shared: &Shared, checkpoint: ShardCheckpoint) -> Result<ShardState, ShardError> {
    let mut state = ShardState::new();
    state.next_ordinal = checkpoint.next_ordinal;
    state.last_time_ms = checkpoint.last_time_ms;
    state.trim_ordinal = checkpoint.trim_ordinal;
    state.kept_trim_ordinal = checkpoint.trim_ordinal;
    state.given_up = match given_up::load(&*shared.disk, &shared.dir, checkpoint.key) {
        Err(damage @ ShardError::Damaged { .. }) => {
            tracing::error!(%damage, "records that were given up are not known: reads of them fail again");
            Vec::new()
        }
        loaded => loaded?,
    };
    let mut needs = transfer::needs(&checkpoint).into_iter().peekable();
    for segment in &checkpoint.segments {
        let need = needs.next_if(|need| need.first_ordinal == segment.first_ordinal);
        let is_there = match need {
            Some(need) => ensure_sealed(shared, &need)?,
            None => keep_trimmed(shared, checkpoint.key, segment)?,
        };
        if is_there {
            state.sealed.push_back(*segment);
        }
    }
    if let Some(open) = checkpoint.open {
        let (segment, tail) = match recover_open(shared, checkpoint.key, &open, &state, needs.next()) {
            Err(damage @ ShardError::Damaged { .. }) if open.in_blocks() > 0 => {
                recover_damaged_open(shared, checkpoint.key, &open, &state, &damage)?
            }
            recovered => recovered?,
        };
        state.active.push_back(segment);
        state.tail = tail;
    }
    Ok(state)
}

/// Whether a sealed segment without readable records is there. It may be gone; a file of another length is not the
/// sealed file, and is set aside.
fn keep_trimmed(shared: &Shared, key: ShardKey, segment: &SegmentCheckpoint) -> Result<bool, ShardError> {
    let path = segment_path(&shared.dir, key, segment.first_ordinal);
    let length = length_of(&*shared.disk, &path)?;
    if length.is_some_and(|length| length != segment.file_bytes) {
        set_aside(&*shared.disk, &shared.dir, key, |first_ordinal| first_ordinal == segment.first_ordinal)?;
    }
    Ok(length == Some(segment.file_bytes))
}

/// Makes sure that a sealed segment with readable records is there in full, or notes the damage: it stops the readers
/// of these records, not the start.
fn ensure_sealed(shared: &Shared, need: &FileNeed) -> Result<bool, ShardError> {
    let path = segment_path(&shared.dir, need.key, need.first_ordinal);
    if shared.staging.place(&shared.dir, need)? {
        return Ok(true);
    }
    let length = length_of(&*shared.disk, &path)?;
    if length.is_some_and(|length| need.is_met_by(length)) {
        return Ok(true);
    }
    let damage = match length {
        Some(length) => ShardError::damaged(&path, length, "the sealed segment has another length"),
        None => ShardError::damaged(&path, 0, "the segment's file is missing"),
    };
    let next = if shared.options.is_repairable {
        "its damaged part is not served until a peer's copy has replaced it"
    } else {
        "reads fail there; restore the file from a backup, or give the records up by `tidelog segment give-up`"
    };
    tracing::error!(%damage, "a sealed segment is damaged: {next}");
    shared.damage.note_error(need.key, &damage);
    Ok(true)
}

/// The open segment from its file, or from the staged one, as [`recover`] says.
fn recover_open(
    shared: &Shared,
    key: ShardKey,
    open: &OpenCheckpoint,
    state: &ShardState,
    need: Option<FileNeed>,
) -> Result<(ActiveSegment, Tail), ShardError> {
    if let Some(need) = need {
        shared.staging.place(&shared.dir, &need)?;
    }
    recover_open_file(&*shared.disk, &shared.dir, key, open, state)
}

/// The open segment whose last frames cannot be told apart any more: it goes on behind them, and the damage is
/// noted. Its file is made as long as it was, so that new records are written where they belong. Where no node has
/// a copy it is sealed, so that no new record stands behind the damage.
fn recover_damaged_open(
    shared: &Shared,
    key: ShardKey,
    open: &OpenCheckpoint,
    state: &ShardState,
    damage: &ShardError,
) -> Result<(ActiveSegment, Tail), ShardError> {
    tracing::error!(%damage, "an open segment is damaged: its shard goes on behind the damage, and reads fail there");
    shared.damage.note_error(key, damage);
    let dir = shard_dir(&shared.dir, key);
    let path = segment_path(&shared.dir, key, open.first_ordinal);
    let written = open.in_blocks();
    let create = || {
        shared.disk.create_dir_all(&dir)?;
        let file = match shared.disk.open(&path, Open::Write) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => shared.disk.open(&path, Open::Create)?,
            opened => opened?,
        };
        if file.len()? < written {
            file.set_len(written)?;
        }
        file.sync_data()?;
        shared.disk.sync_dir(&dir)?;
        shared.disk.open(&path, Open::Read)
    };
    let file = create().map_err(|source| ShardError::io("extend", &path, source))?;
    let recovered = match recover_frames(Some(&*file), &path, key, open, state) {
        Err(ShardError::Damaged { .. }) => {
            let behind = OpenCheckpoint {
                tail_frame_offset: open.length,
                tail_frame_ordinal: state.next_ordinal,
                ..open.clone()
            };
            recover_frames(Some(&*file), &path, key, &behind, state)
        }
        recovered => recovered,
    };
    let (mut segment, tail) = recovered?;
    segment.sealed = !shared.options.is_repairable;
    Ok((segment, tail))
}

/// The open segments of these shards that cannot be recovered from their files, nor from staged ones: the store cannot
/// be opened before a peer's copies of them are staged.
pub(super) fn damaged_open(
    shared: &Shared,
    shards: &[ShardCheckpoint],
) -> Result<Vec<transfer::Wanted>, ShardError> {
    let mut damaged = Vec::new();
    for shard in shards {
        let Some(open) = &shard.open else { continue };
        let mut state = ShardState::new();
        state.next_ordinal = shard.next_ordinal;
        let need = transfer::needs(shard).into_iter().find(|need| need.first_ordinal == open.first_ordinal);
        match recover_open(shared, shard.key, open, &state, need.clone()) {
            Err(damage @ ShardError::Damaged { .. }) => {
                let Some(need) = need else { return Err(damage) };
                let from = shared.staging.staged_bytes(&need)?;
                damaged.push(transfer::Wanted { need, from });
            }
            recovered => drop(recovered?),
        }
    }
    Ok(damaged)
}

fn recover_open_file(
    disk: &dyn Disk,
    dir: &Path,
    key: ShardKey,
    open: &OpenCheckpoint,
    state: &ShardState,
) -> Result<(ActiveSegment, Tail), ShardError> {
    let path = segment_path(dir, key, open.first_ordinal);
    let written = open.in_blocks();
    let file = if written > 0 {
        truncate(disk, &path, written)?;
        Some(open_checked(disk, &path, key, open.first_ordinal).map_err(missing_is_damage)?)
    } else {
        None
    };
    recover_frames(file.as_deref(), &path, key, open, state)
}

/// An open segment from its file, whose header is not looked at.
fn recover_frames(
    file: Option<&dyn DiskFile>,
    path: &Path,
    key: ShardKey,
    open: &OpenCheckpoint,
    state: &ShardState,
) -> Result<(ActiveSegment, Tail), ShardError> {
    let written = open.in_blocks();
    let (index, frames, next_ordinal) = read_frames(file, path, key, open)?;
    let mut tail = Tail::default();
    frames.into_iter().for_each(|frame| tail.push(frame));
    let raw_bytes = open.tail_frame_offset.saturating_sub(written).min(open.length - written);
    if next_ordinal != state.next_ordinal {
        return Err(ShardError::damaged(
            path,
            open.length,
            "the segment does not reach the checkpoint's end",
        ));
    }
    let segment = ActiveSegment {
        first_ordinal: open.first_ordinal,
        first_time_ms: open.first_time_ms,
        last_time_ms: state.last_time_ms,
        next_ordinal,
        length: open.length,
        sealed: false,
        written,
        raw: if written > 0 { open.remainder.slice(..raw_bytes as usize) } else { Bytes::new() },
        index,
    };
    Ok((segment, tail))
}

/// Truncates a file that went on after the checkpoint; the log writes the same bytes again.
fn truncate(disk: &dyn Disk, path: &Path, bytes: u64) -> Result<(), ShardError> {
    let file = disk
        .open(path, Open::Write)
        .map_err(|source| missing_is_damage(ShardError::io("open", path, source)))?;
    let length = file.len().map_err(|source| ShardError::io("measure", path, source))?;
    if length < bytes {
        return Err(ShardError::damaged(
            path,
            length,
            "the open segment is shorter than the checkpoint says",
        ));
    }
    if length > bytes {
        file.set_len(bytes).map_err(|source| ShardError::io("cut", path, source))?;
    }
    Ok(())
}

fn missing_is_damage(error: ShardError) -> ShardError {
    match error {
        ShardError::Io { path, .. } if error.is_missing() => {
            ShardError::Damaged { path, offset: 0, reason: "the segment's file is missing" }
        }
        other => other,
    }
}
