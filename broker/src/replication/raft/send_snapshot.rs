//! The leader's side of a transfer: it hands the manifest over and watches the receiver's progress.
//!
//! While it lasts nothing is unlinked here, because the receiver pulls files, nor is the log purged behind the
//! manifest.

use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use openraft::alias::{SnapshotOf, VoteOf};
use openraft::errors::{ReplicationClosed, StreamingError, Unreachable};
use openraft::raft::SnapshotResponse;
use tidelog_proto::peer;
use tidelog_storage::shard::ShardStore;
use tokio::time::{Instant, timeout, timeout_at};

use super::machine::GroupSnapshot;
use super::messages::{read_vote, send_log_id, send_vote};
use crate::cluster::peers::{Lane, Peers};
use crate::replication::types::config::TypeConfig;

/// How long a transfer may stand still before it is given up. Longer than a slow disk takes for a write, shorter than
/// anybody wants to wait for a peer that is gone.
pub const PROGRESS_DEADLINE: Duration = Duration::from_secs(10);
/// How long a node that has every file may take to install a state: it writes a checkpoint.
const INSTALL_DEADLINE: Duration = Duration::from_secs(60);

/// Hands a group's state to `target`; returns when it is installed there, or `cancel` is ready. openraft tries again
/// after a pause, with the newest state then.
pub async fn send(
    (group, target): (u8, u64),
    (peers, store): (&Peers, &Arc<ShardStore>),
    vote: VoteOf<TypeConfig>,
    snapshot: SnapshotOf<TypeConfig, GroupSnapshot>,
    cancel: impl Future<Output = ReplicationClosed>,
) -> Result<SnapshotResponse<TypeConfig>, StreamingError<TypeConfig>> {
    let _pin = store.pin();
    let message = peer::InstallSnapshotRequest {
        group: group.into(),
        vote: Some(send_vote(&vote)),
        applied: snapshot.meta.last_log_id.as_ref().map(send_log_id),
        checkpoint: snapshot.snapshot.0.encode(),
    };
    tracing::info!(group, target, state = ?snapshot.meta.last_log_id, "handing a group's state to a node that lags");
    tokio::select! {
        closed = cancel => Err(closed.into()),
        sent = hand_over(target, peers, message) => match sent {
            Ok(vote) => Ok(SnapshotResponse::new(vote)),
            Err(reason) => {
                tracing::warn!(group, target, reason, "a group's state was not installed");
                Err(Unreachable::<TypeConfig>::new(&std::io::Error::other(reason)).into())
            }
        },
    }
}

/// Sends a snapshot, and returns the receiver's vote once it has installed the state.
async fn hand_over(
    target: u64,
    peers: &Peers,
    message: peer::InstallSnapshotRequest,
) -> Result<VoteOf<TypeConfig>, String> {
    let group = message.group;
    let late = |_| "no progress for too long".to_owned();
    let mut client = peers.client(target, Lane::Files).await.map_err(|error| error.to_string())?;
    let call = client.install_snapshot(peers.request(target, message, None));
    let progress = timeout(PROGRESS_DEADLINE, call).await.map_err(late)?;
    let mut progress = progress.map_err(|status| status.message().to_owned())?.into_inner();
    let (mut pulled, mut due) = (None, Instant::now() + PROGRESS_DEADLINE);
    loop {
        let told = timeout_at(due, progress.message()).await.map_err(late)?;
        let told = told.map_err(|status| status.message().to_owned())?;
        let peer::InstallSnapshotProgress { bytes_pulled, bytes_wanted, vote } =
            told.ok_or("the answer ended before its last message")?;
        if let Some(vote) = vote {
            return read_vote(Some(&vote)).map_err(|error| error.to_string());
        }
        if pulled.is_none_or(|pulled| bytes_pulled > pulled) {
            pulled = Some(bytes_pulled);
            // With every file there, only the installation is left.
            let is_all = bytes_pulled >= bytes_wanted;
            due = Instant::now() + if is_all { INSTALL_DEADLINE } else { PROGRESS_DEADLINE };
        }
        tracing::debug!(group, target, bytes_pulled, bytes_wanted, "a node is catching up");
    }
}
