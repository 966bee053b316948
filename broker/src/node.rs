//! A node: its data directory's identity, its groups, its service, from start to stop.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::{fmt, io};

use tidelog_storage::Disk;
use tidelog_storage::disk::{Open, RealDisk};
use tokio::task::JoinHandle;

use crate::clock::Clock;
use crate::limits::{ControlLimits, ShardLimits};
use crate::replication::{Durability, GroupError, GroupThreads, Groups, GroupsConfig};
use crate::service::{Pace, Service, ServiceConfig, ServiceError, Transitions};

/// First line of the identity file; the number is the version of the data directory's format.
const IDENTITY_FORMAT: &str = "tidelog data directory, format 1";

/// What a node is started with.
pub struct NodeConfig {
    /// The data directory, which this process has locked.
    pub data_dir: PathBuf,
    /// Limits of every shard.
    pub limits: ShardLimits,
    /// Rates and quotas of the control plane.
    pub control_limits: ControlLimits,
    /// How long changes of streams and consumers take at least.
    pub transitions: Transitions,
    /// When an acknowledged record is on disk.
    pub durability: Durability,
    /// The times of subscriptions.
    pub pace: Pace,
    /// Where the time comes from.
    pub clock: Clock,
}

/// Why a node cannot start or stop. The message says what an operator can do.
#[derive(Debug, thiserror::Error)]
pub enum NodeError {
    /// The log, the checkpoints or the segments.
    #[error(transparent)]
    Groups(#[from] GroupError),
    /// The service above them.
    #[error(transparent)]
    Service(#[from] ServiceError),
    /// The data directory.
    #[error("{path}: {source}", path = path.display())]
    Directory {
        /// Where.
        path: PathBuf,
        /// What the file system said.
        source: io::Error,
    },
    /// The data directory is not one of this version.
    #[error("{path}: {reason}", path = path.display())]
    Identity {
        /// The identity file.
        path: PathBuf,
        /// What is wrong with it.
        reason: String,
    },
}

/// A running node.
pub struct Node {
    service: Arc<Service>,
    threads: GroupThreads,
    upkeep: JoinHandle<()>,
}

impl fmt::Debug for Node {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.debug_struct("Node").finish_non_exhaustive()
    }
}

impl Node {
    /// Recovers what the directory holds and starts to serve it.
    pub async fn start(config: NodeConfig) -> Result<Self, NodeError> {
        let disk: Arc<dyn Disk> = Arc::new(RealDisk);
        identify(&*disk, &config.data_dir)?;
        let groups_config = GroupsConfig { disk, directory: config.data_dir, durability: config.durability };
        let (groups, threads) = Groups::start(groups_config).await?;
        let service_config = ServiceConfig {
            limits: config.limits,
            control_limits: config.control_limits,
            transitions: config.transitions,
            pace: config.pace,
            clock: config.clock,
        };
        let service = Service::new(groups, service_config);
        let upkeep = service.start_upkeep().await?;
        Ok(Self { service, threads, upkeep })
    }

    /// The node's service.
    pub fn service(&self) -> Arc<Service> {
        self.service.clone()
    }

    /// Checkpoints and stops. Requests that still hold the service keep its threads alive until they end.
    pub async fn shutdown(self) -> Result<(), NodeError> {
        self.upkeep.abort();
        // An aborted task still has to let go of the service.
        drop(self.upkeep.await);
        let stopped = self.service.groups().shutdown().await;
        drop(self.service);
        let threads = self.threads;
        tokio::task::spawn_blocking(move || threads.join()).await.expect("a thread of the log panicked");
        Ok(stopped?)
    }
}

/// Reads the directory's identity, or gives a new directory one. The crc tells a damaged file from a foreign one.
fn identify(disk: &dyn Disk, directory: &Path) -> Result<(), NodeError> {
    let failed = |source| NodeError::Directory { path: directory.to_owned(), source };
    disk.create_dir_all(directory).map_err(failed)?;
    let path = directory.join("IDENTITY");
    let names = disk.list(directory).map_err(failed)?;
    if names.iter().any(|name| name == "IDENTITY") {
        let text = read(disk, &path).map_err(failed)?;
        return check_identity(&text).map_err(|reason| NodeError::Identity { path, reason });
    }
    if names.iter().any(|name| name == "wal" || name == "checkpoint" || name == "shards") {
        let reason =
            "missing, though the directory holds data: restore the file from a copy of this directory";
        return Err(NodeError::Identity { path, reason: reason.into() });
    }
    let body = format!(
        "{IDENTITY_FORMAT}\ncluster {}\nnode 1\nincarnation {}\n",
        uuid::Uuid::new_v4(),
        uuid::Uuid::new_v4()
    );
    let text = format!("{body}crc {:08x}\n", crc32fast::hash(body.as_bytes()));
    write(disk, directory, &path, text.as_bytes()).map_err(failed)
}

fn read(disk: &dyn Disk, path: &Path) -> io::Result<String> {
    let file = disk.open(path, Open::Read)?;
    let mut bytes = vec![0; usize::try_from(file.len()?.min(4_096)).expect("at most 4,096")];
    file.read_exact_at(&mut bytes, 0)?;
    String::from_utf8(bytes).map_err(io::Error::other)
}

fn write(disk: &dyn Disk, directory: &Path, path: &Path, bytes: &[u8]) -> io::Result<()> {
    let temporary = directory.join("IDENTITY.tmp");
    let file = disk.open(&temporary, Open::Create)?;
    file.write_all_at(bytes, 0)?;
    file.sync_data()?;
    disk.rename(&temporary, path)?;
    disk.sync_dir(directory)
}

fn check_identity(text: &str) -> Result<(), String> {
    let (body, crc) = text.rsplit_once("crc ").ok_or("not an identity file of Tidelog")?;
    if format!("{:08x}", crc32fast::hash(body.as_bytes())) != crc.strip_suffix('\n').unwrap_or_default() {
        return Err("damaged: its checksum does not match; restore it from a copy of this directory".into());
    }
    if body.lines().next() != Some(IDENTITY_FORMAT) {
        return Err(format!("written by another version ({:?})", body.lines().next().unwrap_or_default()));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_identity_is_kept_and_a_damaged_or_lost_one_refused() {
        let directory = tempfile::tempdir().expect("a directory");
        let disk = RealDisk;
        identify(&disk, directory.path()).expect("a new directory");
        let path = directory.path().join("IDENTITY");
        let text = std::fs::read_to_string(&path).expect("readable");
        identify(&disk, directory.path()).expect("the same directory");
        assert_eq!(std::fs::read_to_string(&path).expect("readable"), text);

        for index in 0..text.len() {
            let mut bytes = text.clone().into_bytes();
            bytes[index] ^= 1;
            std::fs::write(&path, bytes).expect("writable");
            assert!(identify(&disk, directory.path()).is_err(), "bit flip in byte {index}");
        }
        std::fs::remove_file(&path).expect("removable");
        std::fs::create_dir(directory.path().join("wal")).expect("writable");
        assert!(identify(&disk, directory.path()).is_err(), "data without an identity");
    }
}
