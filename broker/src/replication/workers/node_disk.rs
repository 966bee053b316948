//! The node's disk as its workers find it: full or slow, how much is free, and how much the log takes.

use std::io;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use tidelog_storage::Disk;
use tidelog_storage::disk::RealDisk;
use tidelog_storage::disk::Space;
use tidelog_storage::wal::WalReader;
use tokio::time::sleep;

use super::flush_worker::FlushHandle;
use super::log_bound::LogBound;
use super::wal_worker::WalHandle;

/// A commit that takes longer is a sign of a disk that delays every request that waits for this node.
const COMMIT_MAX: Duration = Duration::from_secs(1);

/// Pause between two looks whether the disk is full.
const FULL_LOOK: Duration = Duration::from_millis(500);

/// A state of the disk that keeps the node from taking records.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DiskTrouble {
    /// A write found no space.
    Full,
    /// The write-ahead log has been at its bound for too long.
    LogAtBound,
}

/// The node's disk.
pub struct NodeDisk {
    disk: Arc<dyn Disk>,
    directory: PathBuf,
    reserved_bytes: u64,
    wal: WalHandle,
    reader: WalReader,
    flush: FlushHandle,
    log_bound: Arc<LogBound>,
}

impl NodeDisk {
    /// The disk of that data directory, of which `reserved_bytes` stay free.
    pub fn new(
        (disk, directory): (Arc<dyn Disk>, PathBuf),
        reserved_bytes: u64,
        (wal, reader): (WalHandle, WalReader),
        flush: FlushHandle,
        log_bound: Arc<LogBound>,
    ) -> Self {
        Self { disk, directory, reserved_bytes, wal, reader, flush, log_bound }
    }

    /// Why puts have to be refused right now, if they have to. Takes no lock.
    pub fn trouble_of_puts(&self) -> Option<DiskTrouble> {
        if self.waits_for_space() {
            return Some(DiskTrouble::Full);
        }
        self.log_bound.refuses().then_some(DiskTrouble::LogAtBound)
    }

    /// True while a write of the node waits for space.
    pub fn waits_for_space(&self) -> bool {
        self.wal.disk_full() || self.flush.disk_full()
    }

    /// True while a commit takes so long that it delays every request that waits for this node.
    pub fn is_slow(&self) -> bool {
        self.wal.committing_for() > COMMIT_MAX
    }

    /// Waits until a sync of the log that begins now is done, or the disk is found full.
    ///
    /// # Errors
    /// When the log has stopped.
    pub async fn round_trip(&self) -> io::Result<()> {
        let full = async {
            while !self.waits_for_space() {
                sleep(FULL_LOOK).await;
            }
        };
        tokio::select! {
            synced = self.wal.sync_and_mark() => synced.map(drop),
            () = full => Ok(()),
        }
    }

    /// The bound of the write-ahead log.
    pub fn log_bound(&self) -> &LogBound {
        &self.log_bound
    }

    /// Bytes that the files of the write-ahead log take on the disk.
    pub fn wal_allocated_bytes(&self) -> u64 {
        self.reader.allocated_bytes()
    }

    /// Bytes written to the log since the process started.
    pub fn wal_written_bytes(&self) -> u64 {
        self.wal.written_bytes()
    }

    /// Syncs of files and directories since the process started.
    pub fn syncs(&self) -> u64 {
        RealDisk::syncs()
    }

    /// Whether the disk still has more free space than the reserve that the broker needs to go on. Asks the disk.
    pub fn has_space(&self) -> bool {
        self.space().is_none_or(|space| space.free_bytes > self.reserved_bytes)
    }

    /// The space of the disk; `None` when the disk does not report it. Asks the disk.
    pub fn space(&self) -> Option<Space> {
        let space = self.disk.space(&self.directory);
        space.inspect_err(
            |error| crate::log_at_most_once_a_second!(warn, %error, "cannot find out how much space is free on the disk; asking again"),
        )
        .ok()
    }

    /// Bytes of the disk that stay free.
    pub fn reserved_bytes(&self) -> u64 {
        self.reserved_bytes
    }

    /// A file of the write-ahead log that somebody else has unlinked; `None` when all are there.
    ///
    /// # Errors
    /// When the operating system does not say.
    pub fn unlinked_log_file(&self) -> io::Result<Option<PathBuf>> {
        self.reader.unlinked_file()
    }

    /// Prepares the end of the process: no write waits any more for space on a full disk, every further commit is
    /// synced, and records that would wait for the log's bound are refused.
    pub fn hurry(&self) {
        self.wal.hurry();
        self.flush.hurry();
        self.log_bound.refuse(true);
    }

    /// Stops the flush worker.
    pub async fn stop_flushing(&self) {
        self.flush.stop().await;
    }

    /// Syncs the log, and has every further commit synced: the process is ending.
    ///
    /// # Errors
    /// When the log has stopped, as on a full disk.
    pub async fn sync_for_good(&self) -> io::Result<()> {
        self.wal.hurry();
        self.wal.sync_and_mark().await.map(drop)
    }
}
