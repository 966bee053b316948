//! Segments: an operator decides that reads pass over records that cannot be read any more.
//!
//! It works on the data directory of a broker that is stopped, under its lock, and deletes nothing. On a node of a
//! cluster a peer's copy replaces a damaged segment, so the operator has to say that no node has an intact one.

use std::path::PathBuf;

use prost::Message;
use tidelog_proto::stored;
use tidelog_storage::RealDisk;
use tidelog_storage::checkpoint::{self, CheckpointError, GroupCheckpoint};
use tidelog_storage::shard::{self, ShardError, ShardKey};

use crate::data_directory::{DataDirectory, DataDirectoryError, DataLocation};
use crate::replication::META_GROUP;

/// The records that are given up.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GiveUp {
    /// The data directory.
    pub data: PathBuf,
    /// Name of the stream.
    pub stream: String,
    /// The stream's account, where several accounts have a stream of that name.
    pub account: Option<String>,
    /// The stream's region, where several regions have a stream of that name.
    pub region: Option<String>,
    /// Index of the shard.
    pub shard: u32,
    /// The first record, counted from 1.
    pub first: u64,
    /// The last record.
    pub last: u64,
    /// Whether the operator has made sure that no node of the cluster has an intact copy.
    pub has_no_copy: bool,
}

/// Why nothing was given up.
#[derive(Debug, thiserror::Error)]
pub enum GiveUpError {
    /// The directory cannot be had alone.
    #[error(transparent)]
    Directory(#[from] DataDirectoryError),
    /// The directory's checkpoints cannot be read.
    #[error(transparent)]
    Checkpoint(#[from] CheckpointError),
    /// The range cannot be written down.
    #[error(transparent)]
    Shard(#[from] ShardError),
    /// The directory does not have the named records, or must not lose them.
    #[error("{0}")]
    Refused(String),
}

fn refused<T>(reason: impl Into<String>) -> Result<T, GiveUpError> {
    Err(GiveUpError::Refused(reason.into()))
}

/// Makes reads skip the records from the next start on. Returns a report for the operator.
///
/// # Errors
/// [`GiveUpError`]; nothing has changed then.
pub fn give_up(wanted: &GiveUp) -> Result<String, GiveUpError> {
    let shards = wanted.data.join("shards");
    if !shards.is_dir() {
        return refused(format!("{} is no data directory of a broker", wanted.data.display()));
    }
    let _lock = DataDirectory::open(&DataLocation::Directory(wanted.data.clone()))?;
    let Some(loaded) = checkpoint::load(&RealDisk, &wanted.data.join("checkpoint"))? else {
        return refused(
            "the directory has no checkpoint yet, so that no segment is in use: start and stop the broker",
        );
    };
    let groups = loaded.checkpoint.groups;
    let key = ShardKey { stream_uid: stream_of(&groups, wanted)?, shard: wanted.shard };
    let known = groups.iter().flat_map(|group| &group.shards).find(|shard| shard.key == key);
    let Some(known) = known else {
        return refused(format!("the stream {} has no shard {} here", wanted.stream, wanted.shard));
    };
    let last = known.next_ordinal - 1;
    if wanted.first < 1 || wanted.first > wanted.last || wanted.last > last {
        return refused(format!(
            "--first {} --last {}: the shard's records at the newest checkpoint are 1 to {last}",
            wanted.first, wanted.last
        ));
    }
    shard::give_up(&RealDisk, &shards, key, wanted.first..wanted.last + 1)?;
    Ok(format!(
        "Reads of shard {} of {} pass over the records {} to {} from the next start on. Nothing was deleted: without the \
         file {}/{}/{}/given-up they are read again.",
        wanted.shard,
        wanted.stream,
        wanted.first,
        wanted.last,
        shards.display(),
        key.stream_uid,
        key.shard
    ))
}

/// The uid of the stream that is meant, unless a peer may have an intact copy of it.
fn stream_of(groups: &[GroupCheckpoint], wanted: &GiveUp) -> Result<u64, GiveUpError> {
    let state = groups.iter().find(|group| group.group == META_GROUP).map(|group| group.state.clone());
    let Ok(meta) = stored::MetaState::decode(state.unwrap_or_default()) else {
        return refused("the newest checkpoint's metadata cannot be read");
    };
    let in_cluster = meta.membership.as_ref().is_some_and(|membership| membership.nodes.len() > 1);
    if in_cluster && !wanted.has_no_copy {
        return refused(
            "this is a node of a cluster: start it, and a peer's copy replaces the damaged segment. If /health of every node \
             names these records, no node has an intact copy: give them up on each node with --no-copy-left",
        );
    }
    let is_meant = |name: &&stored::StreamName| {
        name.name == wanted.stream
            && wanted.account.as_ref().is_none_or(|account| *account == name.account)
            && wanted.region.as_ref().is_none_or(|region| *region == name.region)
    };
    let streams = meta.streams.iter().filter(|stream| stream.name.as_ref().filter(is_meant).is_some());
    match streams.collect::<Vec<_>>()[..] {
        [stream] => Ok(stream.uid),
        [] => refused(format!("there is no stream {} in this directory", wanted.stream)),
        _ => refused(format!(
            "several streams are named {}: say which by --account and --region",
            wanted.stream
        )),
    }
}
