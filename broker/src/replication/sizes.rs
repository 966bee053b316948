//! Sizes of the files under the groups, and the bounds that go with them. Defaults are what a broker runs with.

use tidelog_storage::shard::StoreOptions;

use super::catch_up::WholePace;

const WAL_FILE_BYTES: u64 = 128 << 20;
const WAL_FIRST_FILE_BYTES: u64 = 4 << 20;

/// How large files grow, and when puts are refused because of it.
#[derive(Clone, Copy, Debug)]
pub struct Sizes {
    /// Bytes of a file of the write-ahead log.
    pub wal_file_bytes: u64,
    /// Bytes of one that is made at the start.
    pub wal_first_file_bytes: u64,
    /// Live bytes of the write-ahead log past which puts are refused until a checkpoint has freed some.
    pub wal_live_bytes_max: u64,
    /// The same with other nodes, whose absence the log bridges: half of it is kept for those that lag.
    pub wal_live_bytes_max_in_cluster: u64,
    /// Bytes that stay free on the disk for votes, trims, membership and checkpoints.
    pub reserved_bytes: u64,
    /// Of segments and what is held of them in memory.
    pub store: StoreOptions,
    /// How files are kept whole.
    pub whole_pace: WholePace,
}

impl Sizes {
    /// These sizes with at most so many segment files open for reading, and half as many for writing.
    #[must_use]
    pub fn with_open_files(mut self, files: usize) -> Self {
        self.store.open_files_max = files.max(1);
        self.store.write_files_max = (files / 2).max(1);
        self
    }
}

impl Default for Sizes {
    fn default() -> Self {
        Self {
            wal_file_bytes: WAL_FILE_BYTES,
            wal_first_file_bytes: WAL_FIRST_FILE_BYTES,
            wal_live_bytes_max: 1 << 30,
            wal_live_bytes_max_in_cluster: 4 << 30,
            // Two log files and 64 MiB.
            reserved_bytes: 2 * WAL_FILE_BYTES + (64 << 20),
            store: StoreOptions::default(),
            whole_pace: WholePace::default(),
        }
    }
}
