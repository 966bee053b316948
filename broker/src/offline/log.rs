//! The log: an operator decides that a node on its own goes on without the end of its log.
//!
//! It works on the data directory of a broker that is stopped, under its lock, and removes nothing. On a node of a
//! cluster it refuses: such a node may have lost entries that it acknowledged to its peers, and is replaced.

use std::fmt::Write as _;
use std::path::Path;
use std::sync::Arc;

use prost::Message;
use tidelog_proto::stored::{self, MetadataBounds, Quotas};
use tidelog_storage::RealDisk;

use crate::clock::cluster::instant;
use crate::clock::{Clock, ClusterClock};
use crate::cluster::forming::{self, FormingError};
use crate::cluster::identity::{self, IdentityError};
use crate::cluster::peers::Peers;
use crate::data_directory::{DataDirectory, DataDirectoryError, DataLocation};
use crate::replication::{
    Durability, GivingUp, GroupsConfig, META_GROUP, ReplicationError, SegmentsAtStart, ShardEnd, Shell, Sizes,
};
use crate::stage::Stage;

/// Why nothing was given up, or not all of it.
#[derive(Debug, thiserror::Error)]
pub enum LostLogError {
    /// The directory cannot be had alone.
    #[error(transparent)]
    Directory(#[from] DataDirectoryError),
    /// The directory's identity cannot be read.
    #[error(transparent)]
    Identity(#[from] IdentityError),
    /// The directory does not belong to a node on its own.
    #[error(transparent)]
    Forming(#[from] FormingError),
    /// The log or a checkpoint cannot be read, or the part that is left cannot be used.
    #[error("{0}")]
    Groups(#[from] ReplicationError),
    /// Nothing is to be done, or it must not be.
    #[error("{0}")]
    Refused(String),
}

fn refused<T>(reason: impl Into<String>) -> Result<T, LostLogError> {
    Err(LostLogError::Refused(reason.into()))
}

/// A directory whose log has lost its end, locked by this process.
pub struct Prepared {
    directory: DataDirectory,
    node: u64,
    giving_up: GivingUp,
}

impl Prepared {
    /// Looks at a directory, and changes nothing.
    ///
    /// # Errors
    /// [`LostLogError`], also when nothing is lost and for a node of a cluster.
    pub fn look(data: &Path) -> Result<Self, LostLogError> {
        if !identity::path(data).is_file() {
            return refused(format!("{} is no data directory of a broker", data.display()));
        }
        let directory = DataDirectory::open(&DataLocation::Directory(data.to_owned()))?;
        let history = identity::history(&RealDisk, data)?;
        let Some(identity) = identity::load(&RealDisk, data)? else {
            return refused(format!("{} belongs to no node", data.display()));
        };
        let giving_up = GivingUp::look(Arc::new(RealDisk), data, history)?;
        if history.in_cluster || members(&giving_up) > 1 {
            return refused(
                "this is a node of a cluster, which may have lost entries that it acknowledged to its peers: start it with an empty \
                 data directory under an id that was never used, and run `tidelog cluster replace OLD_ID NEW_ID=HOST:PORT`",
            );
        }
        let prepared = Self { directory, node: identity.node, giving_up };
        prepared.require_loss()?;
        Ok(prepared)
    }

    fn require_loss(&self) -> Result<(), LostLogError> {
        if self.giving_up.salvage().is_begun() {
            return Ok(());
        }
        if self.giving_up.loss().is_none() {
            return refused("the write-ahead log is intact: there is nothing to give up, start the broker");
        }
        if self.giving_up.lacks_checkpoint() {
            return refused(
                "the checkpoints are missing as well, and without one the records in the segments belong to nothing: put the \
                 directory `checkpoint` back from a copy",
            );
        }
        Ok(())
    }

    /// Describes the loss in sentences for an operator.
    ///
    /// # Errors
    /// [`LostLogError`] when a file cannot be looked at.
    pub fn words(&self) -> Result<String, LostLogError> {
        let salvage = self.giving_up.salvage();
        let mut words = String::new();
        let mut line = |text: &str| {
            let _ = writeln!(words, "{text}");
        };
        if salvage.is_begun() {
            line("Giving up the end of this log has begun before, and goes on.");
        }
        if let Some(loss) = self.giving_up.loss() {
            line(&format!("The damage: {loss}."));
        }
        let (end, known) = (salvage.found().end_lsn(), salvage.known_lsn());
        line(&format!("The log is intact up to commit {end}."));
        if known > end {
            line(&format!("The commits {} to {known}, at least, are lost.", end + 1));
        }
        match self.giving_up.checkpoint() {
            Some(checkpoint) => {
                let times = checkpoint.groups.iter().flat_map(|group| &group.shards);
                let newest_ms = times.map(|shard| shard.last_time_ms).max().unwrap_or(0);
                let newest = match newest_ms {
                    0 => "it holds no record".to_owned(),
                    newest_ms => format!("the newest record in it arrived at {}", instant(newest_ms)),
                };
                line(&format!(
                    "The newest checkpoint was made at commit {}; {newest}.",
                    checkpoint.durable_lsn
                ));
            }
            None => {
                line("There is no checkpoint: without one only the records that the log still has are left.");
            }
        }
        let truncated = salvage.truncated().map_err(ReplicationError::Wal)?;
        let bytes: u64 = truncated.iter().map(|file| file.bytes - file.from).sum();
        let lost = self.directory.path().join("lost");
        if bytes > 0 {
            line(&format!("{bytes} bytes of log files are given up and kept in {}:", lost.display()));
        }
        for file in &truncated {
            line(&format!("  {} from byte {} to {}", file.path.display(), file.from, file.bytes));
        }
        line(
            "Putting missing files back, or restoring the whole directory from a copy, loses nothing. Otherwise every record \
             of that part is lost; no sequence number is given out twice.",
        );
        Ok(words)
    }

    /// Moves the part that is given up out of the log's directory. No broker starts on the directory from then on,
    /// until [`Self::go_on_without`] is over.
    ///
    /// # Errors
    /// [`LostLogError`]; nothing is lost then.
    pub fn set_aside(&mut self) -> Result<(), LostLogError> {
        Ok(self.giving_up.set_aside(self.directory.path(), self.node)?)
    }

    /// Goes on without it. Returns where each open shard ends.
    ///
    /// # Errors
    /// [`LostLogError`]; the command can be run again.
    ///
    /// # Panics
    /// When nothing was set aside.
    pub async fn go_on_without(self) -> Result<Vec<ShardEnd>, LostLogError> {
        let data = self.directory.path();
        let (identity, founding) = forming::alone(&RealDisk, data)?;
        let peers = Peers::none(identity.node);
        peers.identify(identity);
        let shell = Shell::Threads;
        let config = GroupsConfig {
            disk: Arc::new(RealDisk),
            directory: data.to_owned(),
            durability: Durability::Fsync,
            shell: shell.clone(),
            sizes: Sizes::default(),
            metadata_bounds: MetadataBounds::default(),
            quotas: Quotas::default(),
            peers,
            clock: ClusterClock::new(Clock::System),
            segments_at_start: SegmentsAtStart::new(shell, Stage::default()),
        };
        let ends = Box::pin(self.giving_up.go_on_without(config, founding)).await?;
        drop(self.directory);
        Ok(ends)
    }
}

/// Members of the cluster by the newest checkpoint.
fn members(giving_up: &GivingUp) -> usize {
    let groups = giving_up.checkpoint().map(|checkpoint| &checkpoint.groups);
    let state = groups.and_then(|groups| groups.iter().find(|group| group.group == META_GROUP));
    let state = state.and_then(|group| stored::MetaState::decode(group.state.clone()).ok());
    state.and_then(|state| state.membership).map_or(0, |membership| membership.nodes.len())
}
