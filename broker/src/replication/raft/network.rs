//! openraft's calls to a group's peers, over the cluster's connections.
//!
//! Heartbeats and votes have a connection of their own, which no entries hold up. Every call has a deadline; the stream
//! of entries has one for each of its answers. A peer that cannot be reached is an error, never a vote.

use std::collections::VecDeque;
use std::future::Future;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use futures_util::future::BoxFuture;
use futures_util::stream::{BoxStream, Stream, StreamExt};
use openraft::alias::{SnapshotOf, VoteOf};
use openraft::errors::{NetworkError, RPCError, ReplicationClosed, StreamingError, Unreachable};
use openraft::network::{RPCOption, stream_append_sequential, v2::RaftNetworkV2};
use openraft::raft::{
    AppendEntriesRequest, AppendEntriesResponse, SnapshotResponse, StreamAppendError, StreamAppendResult,
    VoteRequest, VoteResponse,
};
use openraft::raft::{TransferLeaderRequest, TransferLeaderResponse};
use openraft::{OptionalSend, RaftNetworkFactory};
use tidelog_proto::peer;
use tidelog_storage::shard::ShardStore;
use tokio::time::{Instant, timeout_at};
use tonic::Status;

use super::machine::GroupSnapshot;
use super::messages;
use super::messages::Malformed;
use super::progress::{FollowerPosition, ReplicationProgress};
use super::replicated::Replicated;
use super::send_snapshot::send;
use crate::clock::ClusterClock;
use crate::cluster::peers::{self, ClusterMember, Lane, Peers};
use crate::replication::metadata::META_GROUP;
use crate::replication::types::config::{TypeConfig, stored_vote};

/// How long the oldest entries under way may be unanswered: a follower's disk that takes longer is given up on.
const APPEND_DEADLINE: Duration = Duration::from_secs(10);

/// Makes the network of one group.
#[derive(Clone)]
pub struct GroupNetwork {
    pub group: u8,
    pub peers: Arc<Peers>,
    /// The store whose files a lagging peer pulls.
    pub store: Arc<ShardStore>,
    /// The replicated indexes that each follower gets with the entries.
    pub replicated: Arc<Replicated>,
    /// The positions that followers have confirmed.
    pub progress: Arc<ReplicationProgress>,
    /// The node's clock.
    pub clock: Arc<ClusterClock>,
}

/// One peer of one group.
pub struct PeerNetwork {
    group: u8,
    target: u64,
    peers: Arc<Peers>,
    store: Arc<ShardStore>,
    replicated: Arc<Replicated>,
    progress: Arc<ReplicationProgress>,
    clock: Arc<ClusterClock>,
    is_for_heartbeats: bool,
}

impl RaftNetworkFactory<TypeConfig> for GroupNetwork {
    type Network = PeerNetwork;

    async fn new_client(&mut self, target: u64, _node: &ClusterMember) -> PeerNetwork {
        PeerNetwork {
            group: self.group,
            target,
            peers: self.peers.clone(),
            store: self.store.clone(),
            replicated: self.replicated.clone(),
            progress: self.progress.clone(),
            clock: self.clock.clone(),
            is_for_heartbeats: false,
        }
    }

    // openraft sends each heartbeat as a stream of one.
    async fn new_heartbeat_client(&mut self, target: u64, node: &ClusterMember) -> PeerNetwork {
        PeerNetwork { is_for_heartbeats: true, ..self.new_client(target, node).await }
    }
}

impl PeerNetwork {
    async fn client(&self, lane: Lane) -> Result<peers::Client, Unreachable<TypeConfig>> {
        self.peers.client(self.target, lane).await.map_err(|error| Unreachable::new(&error))
    }

    /// A client of the peer, and the position of the process that it speaks to, in the term of this leader.
    async fn follower(
        &self,
        lane: Lane,
        vote: &VoteOf<TypeConfig>,
    ) -> Result<(peers::Client, Follower), Unreachable<TypeConfig>> {
        let client = self.peers.client_of_process(self.target, lane).await;
        let (client, process) = client.map_err(|error| Unreachable::new(&error))?;
        let position = self.progress.of(self.group, self.target, stored_vote(vote).term, process);
        Ok((client, Follower { group: self.group, node: self.target, position }))
    }

    fn request<T>(&self, message: T, option: &RPCOption) -> tonic::Request<T> {
        self.peers.request(self.target, message, Some(option.hard_ttl()))
    }
}

fn failed(status: &Status) -> RPCError<TypeConfig> {
    RPCError::Network(NetworkError::new(status))
}

fn malformed(error: &Malformed) -> RPCError<TypeConfig> {
    RPCError::Network(NetworkError::new(error))
}

impl RaftNetworkV2<TypeConfig> for PeerNetwork {
    type SnapshotData = GroupSnapshot;

    async fn append_entries(
        &mut self,
        request: AppendEntriesRequest<TypeConfig>,
        option: RPCOption,
    ) -> Result<AppendEntriesResponse<TypeConfig>, RPCError<TypeConfig>> {
        let (mut client, follower) = self.follower(Lane::Control, &request.vote).await?;
        let acknowledged = follower.position.acknowledged();
        let mut message = messages::append_request(self.group, &request, self.replicated.get(self.group));
        if self.group == META_GROUP {
            (message.served_ms, message.retention_ms) = self.clock.times_to_send();
        }
        let answer =
            client.append_one(self.request(message, &option)).await.map_err(|error| failed(&error))?;
        let answer = answer.into_inner();
        self.peers.set_reluctance(self.target, &answer.reluctance);
        self.clock.note_voter(self.target, answer.clock_ms, answer.served_ms);
        self.progress.set_metadata(self.target, answer.metadata_applied);
        let result = messages::append_response(&answer).map_err(|error| malformed(&error))?;
        follower.judge(&result, acknowledged)?;
        Ok(messages::one_append_response(&result))
    }

    fn stream_append<'s, S>(
        &'s mut self,
        mut input: S,
        option: RPCOption,
    ) -> BoxFuture<
        's,
        Result<
            BoxStream<'s, Result<StreamAppendResult<TypeConfig>, RPCError<TypeConfig>>>,
            RPCError<TypeConfig>,
        >,
    >
    where
        S: Stream<Item = AppendEntriesRequest<TypeConfig>> + OptionalSend + Unpin + 'static,
    {
        if self.is_for_heartbeats {
            return stream_append_sequential(self, input, option);
        }
        Box::pin(async move {
            // After a failure openraft waits before it gives the first request: a peer that refuses connections at
            // once must not be dialled before that, or it is dialled without a pause.
            let Some(first) = input.next().await else { return Ok(futures_util::stream::empty().boxed()) };
            let first_vote = first.vote;
            let input = futures_util::stream::iter([first]).chain(input);
            let (mut client, follower) = self.follower(Lane::Log, &first_vote).await?;
            let (group, replicated) = (self.group, self.replicated.clone());
            let sent = Arc::new(Mutex::new(VecDeque::new()));
            let (noted, position) = (sent.clone(), follower.position.clone());
            let requests = input.map(move |request| {
                note(&noted, position.acknowledged());
                messages::append_request(group, &request, replicated.get(group))
            });
            let call = client.append(self.peers.request(self.target, requests, None));
            let answers = tokio::time::timeout(APPEND_DEADLINE, call).await;
            let answers = answers.unwrap_or_else(|_| Err(Status::deadline_exceeded("no answer")));
            let answers = answers.map_err(|error| failed(&error))?.into_inner();
            let reading = Reading { answers, sent, follower };
            let read = futures_util::stream::unfold(Some(reading), next_answer);
            let read: BoxStream<'s, _> = Box::pin(read);
            Ok(read)
        })
    }

    async fn vote(
        &mut self,
        request: VoteRequest<TypeConfig>,
        option: RPCOption,
    ) -> Result<VoteResponse<TypeConfig>, RPCError<TypeConfig>> {
        let mut client = self.client(Lane::Control).await?;
        let message = messages::vote_request(self.group, &request);
        let answer = client.vote(self.request(message, &option)).await.map_err(|error| failed(&error))?;
        messages::vote_response(answer.into_inner()).map_err(|error| malformed(&error))
    }

    // openraft's default grants every pre-vote: an unreachable peer is an error, never a grant.
    async fn pre_vote(
        &mut self,
        request: VoteRequest<TypeConfig>,
        option: RPCOption,
    ) -> Result<VoteResponse<TypeConfig>, RPCError<TypeConfig>> {
        let mut client = self.client(Lane::Control).await?;
        let message = messages::vote_request(self.group, &request);
        let answer = client.pre_vote(self.request(message, &option)).await.map_err(|error| failed(&error))?;
        messages::vote_response(answer.into_inner()).map_err(|error| malformed(&error))
    }

    async fn full_snapshot(
        &mut self,
        vote: VoteOf<TypeConfig>,
        snapshot: SnapshotOf<TypeConfig, GroupSnapshot>,
        cancel: impl Future<Output = ReplicationClosed> + OptionalSend + 'static,
        _option: RPCOption,
    ) -> Result<SnapshotResponse<TypeConfig>, StreamingError<TypeConfig>> {
        send((self.group, self.target), (&self.peers, &self.store), vote, snapshot, cancel).await
    }

    async fn transfer_leader(
        &mut self,
        request: TransferLeaderRequest<TypeConfig>,
        option: RPCOption,
    ) -> Result<TransferLeaderResponse<TypeConfig>, RPCError<TypeConfig>> {
        let mut client = self.client(Lane::Control).await?;
        let message = messages::transfer_request(self.group, &request);
        let answer = client.transfer_leader(self.request(message, &option)).await;
        let answer = answer.map_err(|error| failed(&error))?.into_inner();
        match answer.refusal.as_str() {
            "" => Ok(Ok(())),
            refusal => Err(RPCError::Network(NetworkError::new(&std::io::Error::other(refusal.to_owned())))),
        }
    }
}

/// The process of a peer that follows this node in a group.
struct Follower {
    group: u8,
    node: u64,
    position: Arc<FollowerPosition>,
}

impl Follower {
    /// Takes note of an answer to a request that was sent when the peer had acknowledged the log up to `acknowledged`.
    ///
    /// # Errors
    /// When the peer lacks entries that it had acknowledged: openraft takes that for impossible, goes on from the
    /// wrong position in release builds and panics in others, so openraft never sees the answer. The peer finds out
    /// by the next heartbeat and ends itself.
    fn judge(
        &self,
        result: &StreamAppendResult<TypeConfig>,
        acknowledged: u64,
    ) -> Result<(), RPCError<TypeConfig>> {
        match result {
            Ok(Some(through)) => self.position.confirm(through.index),
            Err(StreamAppendError::Conflict(at)) if at.index <= acknowledged => {
                let lost = Lost { group: self.group, node: self.node, index: at.index, acknowledged };
                if self.position.note_loss() {
                    tracing::error!("{lost}; it counts for nothing until it is replaced");
                }
                return Err(RPCError::Network(NetworkError::new(&lost)));
            }
            Ok(None) | Err(_) => {}
        }
        Ok(())
    }
}

/// A follower has lost entries that it had acknowledged.
#[derive(Debug, thiserror::Error)]
#[error(
    "node {node} lacks entry {index} of group {group}, and had acknowledged the log up to {acknowledged}"
)]
struct Lost {
    group: u8,
    node: u64,
    index: u64,
    acknowledged: u64,
}

/// A request under way.
#[derive(Clone, Copy)]
struct Request {
    sent: Instant,
    /// The last index that the peer had acknowledged by then.
    acknowledged: u64,
}

/// The requests under way, oldest first.
type Sent = Arc<Mutex<VecDeque<Request>>>;

fn note(sent: &Sent, acknowledged: u64) {
    let request = Request { sent: Instant::now(), acknowledged };
    sent.lock().expect("no code panics while it holds this lock").push_back(request);
}

struct Reading {
    answers: tonic::Streaming<peer::AppendResponse>,
    sent: Sent,
    follower: Follower,
}

/// The next answer of a stream; it ends after the first that is not a success.
async fn next_answer(
    reading: Option<Reading>,
) -> Option<(Result<StreamAppendResult<TypeConfig>, RPCError<TypeConfig>>, Option<Reading>)> {
    let mut reading = reading?;
    let answer = loop {
        let oldest = reading.sent.lock().expect("no code panics while it holds this lock").front().copied();
        // With nothing under way there is nothing to be late; look again before anything could be.
        let due = oldest.map_or_else(Instant::now, |request| request.sent) + APPEND_DEADLINE;
        match timeout_at(due, reading.answers.message()).await {
            Ok(Ok(answer)) => break answer?,
            Ok(Err(status)) => return Some((Err(failed(&status)), None)),
            Err(_) if oldest.is_some() => {
                let late = Status::deadline_exceeded("entries are unanswered for too long");
                return Some((Err(failed(&late)), None));
            }
            Err(_) => {}
        }
    };
    let request = reading.sent.lock().expect("no code panics while it holds this lock").pop_front();
    let acknowledged = request.map_or(0, |request| request.acknowledged);
    let result = match messages::append_response(&answer) {
        Ok(result) => result,
        Err(error) => return Some((Err(malformed(&error)), None)),
    };
    if let Err(lost) = reading.follower.judge(&result, acknowledged) {
        return Some((Err(lost), None));
    }
    let goes_on = result.is_ok().then_some(reading);
    Some((Ok(result), goes_on))
}
