//! The shards of this node, and their shared state: the disk, the open files and the accounts of memory.

use std::collections::{BTreeSet, HashMap};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, RwLock, Weak};

use super::damage::Damage;
use super::files::Files;
use super::state::{Borders, ShardState};
use super::{ShardCheckpoint, ShardError, ShardKey, ShardLog, recovery};
use crate::blocks::BLOCK_BYTES;
use crate::disk::Disk;
use crate::segment::{segment_path, shard_dir, stream_dir};
use crate::transfer::{self, FileNeed, Staging, Wanted, length_of};

/// Bytes of memory for the indexes of open segments by default: those of 512 full segments take 12 MiB.
pub const INDEX_BYTES_MAX: u64 = 16 << 20;

/// Sizes of a store. The first two decide where segments end, so they are the same on every replica and do not
/// change while a segment is open.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct StoreOptions {
    /// Most bytes of header and frames in a segment; a single longer frame still gets one. 64 MiB by default.
    pub segment_bytes: u64,
    /// A frame that much later than its segment's first starts a new one, in milliseconds. An hour by default.
    pub segment_age_ms: u64,
    /// Unflushed bytes at which a flush stops ([`ShardStore::unflushed_bytes`]). 16 MiB by default. The broker decides
    /// when a flush begins, and when appends wait for one: it looks at [`ShardStore::flushable_bytes`].
    pub flush_until_bytes: u64,
    /// Most flushed bytes kept in memory for readers over all shards, oldest dropped first. 32 MiB by default.
    pub tail_bytes_max: u64,
    /// Most segment files readers keep open. 512 by default.
    pub open_files_max: usize,
    /// Most segment files the flusher keeps open. 256 by default.
    pub write_files_max: usize,
    /// Most bytes of memory for the files readers keep open, their indexes in the first place.
    /// [`INDEX_BYTES_MAX`] by default.
    pub index_bytes_max: u64,
    /// Whether a peer has copies to repair from: damage is then listed ([`ShardStore::damaged`]) instead of being a
    /// reason not to open. False by default.
    pub is_repairable: bool,
}

impl Default for StoreOptions {
    fn default() -> StoreOptions {
        StoreOptions {
            segment_bytes: 64 * 1024 * 1024,
            segment_age_ms: 3_600_000,
            flush_until_bytes: 16 * 1024 * 1024,
            tail_bytes_max: 32 * 1024 * 1024,
            open_files_max: 512,
            write_files_max: 256,
            index_bytes_max: INDEX_BYTES_MAX,
            is_repairable: false,
        }
    }
}

/// The state that all shards of a node share.
pub(crate) struct Shared {
    pub disk: Arc<dyn Disk>,
    /// The directory of all streams: `data/shards`.
    pub dir: PathBuf,
    pub options: StoreOptions,
    pub files: Files,
    pub unflushed: AtomicU64,
    pub tail: AtomicU64,
    /// Shards that went from clean to dirty since the flusher last looked; each at most once.
    pub dirty: Mutex<Vec<Weak<ShardLog>>>,
    /// Files that are being pulled from a peer to catch up.
    pub staging: Arc<Staging>,
    /// Files that are being pulled from a peer to replace damaged ones.
    pub repairs: Arc<Staging>,
    pub damage: Damage,
    /// Held while a segment is written and booked, or replaced. Holds the replaced ones that the flusher may still
    /// have open.
    pub writing: Mutex<BTreeSet<(ShardKey, u64)>>,
    /// Transfers that read files.
    pins: AtomicUsize,
}

/// While it lives no file of the store is unlinked: a transfer reads them.
pub struct Pin(Arc<Shared>);

impl Drop for Pin {
    fn drop(&mut self) {
        self.0.pins.fetch_sub(1, Ordering::AcqRel);
    }
}

impl Shared {
    /// Makes the shared state; the siblings `transfer` and `repair` of `dir` belong to the store too.
    fn new(disk: Arc<dyn Disk>, dir: PathBuf, options: StoreOptions) -> Shared {
        Shared {
            staging: Arc::new(Staging::new(disk.clone(), dir.with_file_name("transfer"))),
            repairs: Arc::new(Staging::new(disk.clone(), dir.with_file_name("repair"))),
            disk,
            dir,
            options,
            files: Files::new(options.open_files_max, options.index_bytes_max),
            unflushed: AtomicU64::new(0),
            tail: AtomicU64::new(0),
            dirty: Mutex::default(),
            damage: Damage::default(),
            writing: Mutex::default(),
            pins: AtomicUsize::new(0),
        }
    }

    pub fn writing(&self) -> MutexGuard<'_, BTreeSet<(ShardKey, u64)>> {
        self.writing.lock().expect("no holder of the list panics")
    }

    /// Whether the file is in place in the length that is needed, and not known to be damaged.
    pub fn is_had(&self, need: &FileNeed) -> Result<bool, ShardError> {
        let path = segment_path(&self.dir, need.key, need.first_ordinal);
        let length = length_of(&*self.disk, &path)?;
        let is_damaged = self.damage.holds(need.key, need.first_ordinal);
        Ok(!is_damaged && length.is_some_and(|length| need.is_met_by(length)))
    }

    pub fn is_pinned(&self) -> bool {
        self.pins.load(Ordering::Acquire) > 0
    }

    pub fn borders(&self) -> Borders {
        let StoreOptions { segment_bytes, segment_age_ms, .. } = self.options;
        Borders { segment_bytes, segment_age_ms }
    }
}

/// The node's shards.
pub struct ShardStore {
    pub(crate) shared: Arc<Shared>,
    pub(super) shards: RwLock<HashMap<ShardKey, Arc<ShardLog>>>,
    /// Removed streams and shards whose directories wait for checkpoints without them; drained by the
    /// flusher.
    pub(crate) removed: Mutex<BTreeSet<Removed>>,
}

/// A stream that was taken out, or a single shard of one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Removed {
    Stream(u64),
    Shard(ShardKey),
}

impl Removed {
    /// Whether that shard is part of it.
    pub fn covers(&self, key: ShardKey) -> bool {
        match self {
            Removed::Stream(uid) => key.stream_uid == *uid,
            Removed::Shard(own) => key == *own,
        }
    }

    /// Returns its directory below that of all shards.
    pub fn dir(&self, shards: &Path) -> PathBuf {
        match self {
            Removed::Stream(uid) => stream_dir(shards, *uid),
            Removed::Shard(key) => shard_dir(shards, *key),
        }
    }
}

impl ShardStore {
    /// Brings the directory to the state of the checkpoint and opens its shards. Segments the checkpoint does not
    /// list are set aside (the log behind the checkpoint brings their records back), open segments are truncated to
    /// whole blocks. Finishes an install that a crash interrupted. Does not scan files. A file that is missing,
    /// short or does not go on where it must is listed in [`ShardStore::damaged`].
    ///
    /// # Errors
    /// [`ShardError::Damaged`] when the checkpoint contradicts itself; [`ShardError::Io`] when the operating system
    /// refuses.
    pub fn open(
        disk: Arc<dyn Disk>,
        dir: PathBuf,
        options: StoreOptions,
        shards: Vec<ShardCheckpoint>,
    ) -> Result<Arc<ShardStore>, ShardError> {
        recovery::create_root(&*disk, &dir)?;
        recovery::set_aside_unknown(&*disk, &dir, &shards)?;
        let shared = Arc::new(Shared::new(disk, dir, options));
        shared.repairs.clear()?;
        let mut logs = HashMap::with_capacity(shards.len());
        for checkpoint in shards {
            let key = checkpoint.key;
            let state = recovery::recover(&shared, checkpoint)?;
            logs.insert(key, ShardLog::new(key, shared.clone(), state));
        }
        Ok(Arc::new(ShardStore { shared, shards: RwLock::new(logs), removed: Mutex::default() }))
    }

    /// The open segments of a checkpoint whose files are damaged, so that [`ShardStore::open`] would list them, and
    /// where their copies are to be staged. Nothing else uses the directory meanwhile.
    ///
    /// # Errors
    /// [`ShardError::Damaged`] when the checkpoint contradicts itself; [`ShardError::Io`].
    pub fn damaged_open(
        disk: Arc<dyn Disk>,
        dir: PathBuf,
        shards: &[ShardCheckpoint],
    ) -> Result<(Vec<Wanted>, Arc<Staging>), ShardError> {
        let shared = Shared::new(disk, dir, StoreOptions::default());
        let damaged = recovery::damaged_open(&shared, shards)?;
        Ok((damaged, shared.staging.clone()))
    }

    /// The files that a manifest needs and that are neither here nor staged and verified.
    ///
    /// # Errors
    /// [`ShardError::Io`] when the operating system refuses.
    pub fn wanted(&self, manifest: &[ShardCheckpoint]) -> Result<Vec<Wanted>, ShardError> {
        let mut wanted = Vec::new();
        for need in manifest.iter().flat_map(transfer::needs) {
            if self.shared.is_had(&need)? || self.shared.staging.is_complete(&need) {
                continue;
            }
            let from = self.shared.staging.staged_bytes(&need)?.min(need.bytes);
            wanted.push(Wanted { need, from });
        }
        Ok(wanted)
    }

    /// Where the files that [`ShardStore::wanted`] lists are put.
    pub fn staging(&self) -> &Arc<Staging> {
        &self.shared.staging
    }

    /// Whether a transfer reads the files.
    pub fn is_pinned(&self) -> bool {
        self.shared.is_pinned()
    }

    /// Keeps every file of the store until the pin is dropped.
    pub fn pin(&self) -> Pin {
        self.shared.pins.fetch_add(1, Ordering::AcqRel);
        Pin(self.shared.clone())
    }

    /// The shard, created empty if it is not there yet.
    pub fn create(&self, key: ShardKey) -> Arc<ShardLog> {
        let mut removed = self.removed.lock().expect("no holder of the list panics");
        removed.remove(&Removed::Stream(key.stream_uid));
        removed.remove(&Removed::Shard(key));
        drop(removed);
        let mut shards = self.shards.write().expect("no holder of the registry panics");
        let new = || ShardLog::new(key, self.shared.clone(), ShardState::new());
        shards.entry(key).or_insert_with(new).clone()
    }

    /// The shard, if it is there.
    pub fn get(&self, key: ShardKey) -> Option<Arc<ShardLog>> {
        self.shards.read().expect("no holder of the registry panics").get(&key).cloned()
    }

    /// Arrival time of the newest record of all shards, in milliseconds since 1970; 0 when there was none.
    pub fn newest_time_ms(&self) -> u64 {
        let shards = self.shards.read().expect("no holder of the registry panics");
        shards.values().map(|log| log.state().last_time_ms).max().unwrap_or(0)
    }

    /// Takes a stream's shards out of memory. The files are unlinked by the flusher once no checkpoint that is
    /// kept lists them. Memory is given back when the last reader has let go.
    pub fn remove_stream(&self, stream_uid: u64) {
        let mut shards = self.shards.write().expect("no holder of the registry panics");
        shards.retain(|key, log| {
            let stays = key.stream_uid != stream_uid;
            if !stays {
                log.mark_removed();
            }
            stays
        });
        drop(shards);
        self.let_go(Removed::Stream(stream_uid));
    }

    /// Takes one shard out of memory, as [`ShardStore::remove_stream`] does all of a stream.
    pub fn remove_shard(&self, key: ShardKey) {
        let log = self.shards.write().expect("no holder of the registry panics").remove(&key);
        if let Some(log) = log {
            log.mark_removed();
        }
        self.let_go(Removed::Shard(key));
    }

    fn let_go(&self, part: Removed) {
        self.shared.files.forget_all(|key| part.covers(key));
        self.shared.damage.forget_all(|key| part.covers(key));
        self.removed.lock().expect("no holder of the list panics").insert(part);
    }

    /// Opens the shards of a manifest whose files are in place, instead of a group's old ones. Readers of an old
    /// one keep its state; shards that the group does not have any more are removed.
    ///
    /// # Errors
    /// As [`ShardStore::open`]; then the old ones stay.
    pub(crate) fn replace(
        &self,
        old: &[ShardKey],
        manifest: Vec<ShardCheckpoint>,
    ) -> Result<Vec<Arc<ShardLog>>, ShardError> {
        let mut logs = Vec::with_capacity(manifest.len());
        for checkpoint in manifest {
            recovery::set_aside_unknown_segments(&*self.shared.disk, &self.shared.dir, &checkpoint)?;
            let key = checkpoint.key;
            let state = recovery::recover(&self.shared, checkpoint)?;
            logs.push(ShardLog::new(key, self.shared.clone(), state));
        }
        let kept: BTreeSet<ShardKey> = logs.iter().map(|log| log.key()).collect();
        for key in old.iter().filter(|key| !kept.contains(key)) {
            self.remove_shard(*key);
        }
        let mut removed = self.removed.lock().expect("no holder of the list panics");
        removed.retain(|part| !kept.iter().any(|key| part.covers(*key)));
        drop(removed);
        let mut shards = self.shards.write().expect("no holder of the registry panics");
        for log in &logs {
            if let Some(replaced) = shards.insert(log.key(), log.clone()) {
                replaced.mark_removed();
            }
        }
        drop(shards);
        // A file that an old reader opened under a replaced name is not the one of that name any more.
        self.shared.files.forget_all(|key| kept.contains(&key));
        Ok(logs)
    }

    /// Bytes applied and not yet in written blocks of segment files, over all shards.
    pub fn unflushed_bytes(&self) -> u64 {
        self.shared.unflushed.load(Ordering::Relaxed)
    }

    /// Bytes that a flush can bring into files now, at least: [`ShardStore::unflushed_bytes`] without the last
    /// block's part of every shard, which stays in memory until it is full.
    pub fn flushable_bytes(&self) -> u64 {
        let shards = self.shards.read().expect("no holder of the registry panics").len() as u64;
        self.unflushed_bytes().saturating_sub(shards * BLOCK_BYTES as u64)
    }

    /// Bytes of memory that the files kept open for readers take, their indexes included.
    pub fn index_bytes(&self) -> u64 {
        self.shared.files.memory_bytes()
    }

    /// Bytes of flushed frames kept in memory for readers, over all shards.
    pub fn tail_bytes(&self) -> u64 {
        self.shared.tail.load(Ordering::Relaxed)
    }
}
