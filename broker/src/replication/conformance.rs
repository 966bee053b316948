//! openraft's own suite for log stores and state machines, run on ours over real files.

use std::sync::Arc;

use openraft::StorageError;
use openraft::testing::log::{StoreBuilder, Suite};
use openraft::type_config::TypeConfigExt;
use tempfile::TempDir;
use tidelog_storage::Disk;
use tidelog_storage::disk::RealDisk;
use tidelog_storage::shard::{ShardStore, StoreOptions};
use tidelog_storage::wal::{Wal, WalOptions};

use super::data::state::DataState;
use super::raft::group_state::GroupState;
use super::raft::log_store::{LogStore, RecentBytes};
use super::raft::machine::Machine;
use super::types::config::TypeConfig;
use super::workers::flush_worker::{FlushConfig, FlushHandle};
use super::workers::wal_worker::{Durability, WalHandle};
use crate::clock::{Clock, ClusterClock};
use crate::shell::Shell;

struct Builder {
    group: u8,
}

impl Builder {
    fn open(&self) -> Result<(TempDir, LogStore, Machine), Box<dyn std::error::Error>> {
        let directory = tempfile::tempdir()?;
        let disk: Arc<dyn Disk> = Arc::new(RealDisk);
        let place = |name: &str| directory.path().join(name);
        for name in ["wal", "checkpoint", "shards"] {
            disk.create_dir_all(&place(name))?;
        }
        let options = WalOptions { file_bytes: 1 << 20, first_file_bytes: 1 << 16, sync_every_commit: true };
        let (wal, reader, _) = Wal::open(disk.clone(), &place("wal"), options)?;
        let (wal, _) = WalHandle::start(wal, Durability::Fsync, &Shell::Threads)?;
        let store = ShardStore::open(disk.clone(), place("shards"), StoreOptions::default(), Vec::new())?;
        let config = FlushConfig {
            unflushed_bytes_max: 64 << 20,
            flush_from_bytes: 24 << 20,
            disk,
            directory: place("checkpoint"),
            last_sequence: 0,
            wal: wal.clone(),
            groups: 1,
            shell: Shell::Threads,
            clock: ClusterClock::new(Clock::System),
            hold_free_bytes: 0,
        };
        let (flush, _) = FlushHandle::start(store.clone(), config)?;
        let log = LogStore::new(self.group, wal, reader, Shell::Threads, RecentBytes::default());
        let state = if self.group == 0 {
            GroupState::Meta { state: Default::default(), published: Default::default() }
        } else {
            GroupState::Data(DataState::new(store, Arc::default()))
        };
        let machine = Machine::restore(self.group, state, None, log.clone(), flush)?;
        Ok((directory, log, machine))
    }
}

impl StoreBuilder<TypeConfig, LogStore, Machine, TempDir> for Builder {
    async fn build(&self) -> Result<(TempDir, LogStore, Machine), StorageError<TypeConfig>> {
        self.open().map_err(|error| StorageError::read(TypeConfig::err_from_string(error.to_string())))
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_log_store_passes_openrafts_suite_as_the_metadata_group() {
    Suite::test_all(Builder { group: 0 }).await.expect("the suite passes");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_log_store_passes_openrafts_suite_as_a_data_group() {
    Suite::test_all(Builder { group: 3 }).await.expect("the suite passes");
}
