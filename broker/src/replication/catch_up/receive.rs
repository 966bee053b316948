//! The receiver's side of a transfer: it pulls the files that it lacks, verifies them, and installs the state.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use futures_util::stream::{self, BoxStream, StreamExt};
use openraft::alias::VoteOf;
use tidelog_proto::peer;
use tidelog_storage::checkpoint::GroupCheckpoint;
use tidelog_storage::transfer::Wanted;
use tokio::task::JoinSet;
use tokio::time::timeout;
use tonic::Status;

use super::CatchUp;
use super::pull::PullError;
use crate::replication::raft::machine::GroupSnapshot;
use crate::replication::raft::messages::{self, Malformed};
use crate::replication::types::config::TypeConfig;

/// How often the sender hears of progress.
const TELL_EVERY: Duration = Duration::from_secs(1);

/// A transfer as it was asked for.
struct Transfer {
    group: u8,
    vote: VoteOf<TypeConfig>,
    /// The node that sends it, and has the files.
    sender: u64,
    snapshot: GroupSnapshot,
}

/// How far a transfer is, in bytes.
#[derive(Default)]
struct Progress {
    pulled: Arc<AtomicU64>,
    wanted: AtomicU64,
}

impl Progress {
    fn message(&self) -> peer::InstallSnapshotProgress {
        peer::InstallSnapshotProgress {
            bytes_pulled: self.pulled.load(Ordering::Relaxed),
            bytes_wanted: self.wanted.load(Ordering::Relaxed),
            vote: None,
        }
    }
}

/// The error of a failed transfer. Bytes that were pulled are kept for the next attempt.
#[derive(Debug, thiserror::Error)]
enum TransferError {
    #[error(transparent)]
    Pull(#[from] PullError),
    #[error("replication has ended: {0}")]
    Ended(String),
    #[error("{0}")]
    Malformed(String),
}

impl TransferError {
    /// The sentence for the leader, which has no use for the places of this node's files.
    fn message_for_leader(&self) -> String {
        match self {
            Self::Pull(PullError::Shard(_)) => "the node cannot store a segment; its log says why".into(),
            Self::Ended(_) => "replication has ended on the node; its log says why".into(),
            Self::Pull(PullError::Peer { .. }) | Self::Malformed(_) => self.to_string(),
        }
    }
}

impl CatchUp {
    /// Takes a group's state from `caller`, its leader. Reports progress until the state is installed; dropping the
    /// receiver of the reports ends the transfer.
    pub fn take_state(
        self: &Arc<Self>,
        caller: u64,
        request: &peer::InstallSnapshotRequest,
    ) -> Result<BoxStream<'static, Result<peer::InstallSnapshotProgress, Status>>, Box<Status>> {
        let transfer = read(request)?;
        messages::check_sender(caller, &transfer.vote)?;
        let lock = self.receiving[usize::from(transfer.group)].clone();
        let Ok(lock) = lock.try_lock_owned() else {
            return Err(Box::new(Status::unavailable("the group is receiving a state already")));
        };
        let progress = Arc::new(Progress::default());
        let mut work = JoinSet::new();
        let (receiver, reports) = (self.clone(), progress.clone());
        work.spawn(async move {
            let _lock = lock;
            receiver.receive(transfer, &reports).await
        });
        // Dropped with the stream, which ends the work.
        let tell = move |work: Option<JoinSet<_>>| {
            let progress = progress.clone();
            async move {
                let mut work: JoinSet<Result<VoteOf<TypeConfig>, TransferError>> = work?;
                let last = match timeout(TELL_EVERY, work.join_next()).await {
                    Err(_) => return Some((Ok(progress.message()), Some(work))),
                    Ok(ended) => ended?,
                };
                let failed = |reason: String| Err(Status::aborted(reason));
                let message = match last {
                    Ok(Ok(vote)) => {
                        let vote = Some(messages::send_vote(&vote));
                        Ok(peer::InstallSnapshotProgress { vote, ..progress.message() })
                    }
                    Ok(Err(error)) => {
                        tracing::warn!(%error, "cannot take a group's state; its leader offers it again");
                        failed(error.message_for_leader())
                    }
                    Err(error) => failed(error.to_string()),
                };
                Some((message, None))
            }
        };
        Ok(stream::unfold(Some(work), tell).boxed())
    }

    async fn receive(
        &self,
        transfer: Transfer,
        progress: &Progress,
    ) -> Result<VoteOf<TypeConfig>, TransferError> {
        let Transfer { group, vote, sender, snapshot } = transfer;
        let puller = &self.puller;
        // The sender first: the others need not have written as far yet.
        let mut nodes = puller.others();
        nodes.retain(|node| *node != sender);
        nodes.insert(0, sender);
        let wanted = self.wanted(&snapshot).await?;
        let bytes: u64 = wanted.iter().map(|wanted| wanted.need.bytes - wanted.from).sum();
        progress.wanted.store(bytes, Ordering::Relaxed);
        tracing::info!(group, sender, files = wanted.len(), bytes, "catching up by files");
        for Wanted { need, .. } in wanted {
            puller.fetch(&nodes, &need, self.store.staging(), &progress.pulled).await?;
        }
        let meta = snapshot.meta(group).map_err(TransferError::Malformed)?;
        let state = openraft::Snapshot { meta, snapshot };
        let installed = self.rafts.of(group).install_full_snapshot(vote, state).await;
        let response = installed.map_err(|error| TransferError::Ended(error.to_string()))?;
        tracing::info!(group, "caught up");
        self.clear_staging(group).await?;
        Ok(response.vote)
    }

    /// Removes staged files that were not needed in the end, unless another group is receiving.
    async fn clear_staging(&self, group: u8) -> Result<(), PullError> {
        let others = self.receiving.iter().enumerate().filter(|(other, _)| *other != usize::from(group));
        let locks: Option<Vec<_>> = others.map(|(_, lock)| lock.clone().try_lock_owned().ok()).collect();
        let Some(locks) = locks else { return Ok(()) };
        let staging = self.store.staging().clone();
        self.puller
            .blocking(move || {
                let cleared = staging.clear();
                drop(locks);
                cleared
            })
            .await
    }

    async fn wanted(&self, snapshot: &GroupSnapshot) -> Result<Vec<Wanted>, PullError> {
        let (store, checkpoint) = (self.store.clone(), snapshot.0.clone());
        self.puller.blocking(move || store.wanted(&checkpoint.shards)).await
    }
}

fn read(request: &peer::InstallSnapshotRequest) -> Result<Transfer, Malformed> {
    let group = messages::group(request.group)?;
    let vote = messages::read_vote(request.vote.as_ref())?;
    let sender = request.vote.as_ref().map(|vote| vote.node).unwrap_or_default();
    let checkpoint = GroupCheckpoint::decode(&request.checkpoint);
    let checkpoint = checkpoint.map_err(|reason| Malformed(format!("a state that is damaged: {reason}")))?;
    let applied = request.applied.as_ref().map(|applied| (applied.term, applied.index));
    if checkpoint.group != group || checkpoint.applied != applied || applied.is_none() {
        return Err(Malformed("a state of another group or place".into()));
    }
    Ok(Transfer { group, vote, sender, snapshot: GroupSnapshot(Arc::new(checkpoint)) })
}
