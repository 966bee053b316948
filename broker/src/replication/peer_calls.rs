//! The calls by which peers reach this node's groups.

use std::sync::Arc;

use futures_util::stream::{self, BoxStream, Stream, StreamExt};
use openraft::raft::StreamAppendError;
use tidelog_proto::peer;
use tonic::Status;

use super::leadership::leaders::{Leader, Leadership};
use super::leadership::membership::{Membership, MembershipChange, MembershipError};
use super::metadata::META_GROUP;
use super::proposals::Proposals;
use super::raft::Rafts;
use super::raft::messages::{self, Malformed};
use super::raft::promises::Promises;
use super::raft::replicated::Replicated;
use super::types::command::{self, LogCommand};
use super::types::config::{position, stored_vote};
use crate::clock::ClusterClock;
use crate::cluster::peers::{ClusterMember, Peers};

impl From<Malformed> for Box<Status> {
    fn from(error: Malformed) -> Self {
        Self::new(Status::invalid_argument(error.to_string()))
    }
}

type Answer<T> = Result<T, Box<Status>>;

fn ended<E: std::fmt::Display>(error: E) -> Box<Status> {
    // The reason may name files of this node, and ends the node by itself.
    tracing::debug!(%error, "replication has ended on this node; refusing a peer's call");
    Box::new(Status::unavailable("replication has ended on this node"))
}

/// Answers calls of peers to this node's groups.
pub struct PeerCalls {
    pub(super) rafts: Rafts,
    /// The promises of this node in each group.
    pub(super) promises: Vec<Arc<Promises>>,
    pub(super) replicated: Arc<Replicated>,
    pub(super) peers: Arc<Peers>,
    pub(super) clock: Arc<ClusterClock>,
    pub(super) leadership: Arc<Leadership>,
    pub(super) membership: Arc<Membership>,
    pub(super) proposals: Arc<Proposals>,
}

impl PeerCalls {
    /// Takes entries of one group from `caller`, its leader, in order, until the first request that fails. The answers
    /// begin before there is anything to answer.
    pub fn take_entries(
        self: &Arc<Self>,
        caller: u64,
        requests: impl Stream<Item = Result<peer::AppendRequest, Status>> + Send + 'static,
    ) -> BoxStream<'static, Result<peer::AppendResponse, Status>> {
        let calls = self.clone();
        let answers = async move {
            let mut requests = Box::pin(requests);
            match requests.next().await {
                None => stream::empty().boxed(),
                Some(Err(status)) => stream::iter([Err(status)]).boxed(),
                Some(Ok(first)) => match messages::group(first.group) {
                    Ok(group) => calls.answer_entries(caller, group, first, requests),
                    Err(error) => stream::iter([Err(*Box::<Status>::from(error))]).boxed(),
                },
            }
        };
        stream::once(answers).flatten().boxed()
    }

    fn answer_entries(
        &self,
        caller: u64,
        group: u8,
        first: peer::AppendRequest,
        rest: impl Stream<Item = Result<peer::AppendRequest, Status>> + Send + 'static,
    ) -> BoxStream<'static, Result<peer::AppendResponse, Status>> {
        // A request that makes no sense ends the stream like a broken connection; the leader begins another
        // one.
        let (replicated, promises) = (self.replicated.clone(), self.promises[usize::from(group)].clone());
        let read = move |request: Result<peer::AppendRequest, Status>| {
            let request = request.ok()?;
            replicated.set(group, request.replicated_index);
            let request = messages::read_append_request(request).and_then(|request| {
                messages::check_sender(caller, &request.vote)?;
                Ok(request)
            });
            let request = request.inspect_err(
                |error| crate::log_at_most_once_a_second!(error, %error, "a leader's entries are malformed; ending its stream"),
            );
            request.ok().inspect(|request| promises.check(request))
        };
        let requests = stream::iter([Ok(first)]).chain(rest).map(read);
        let requests = requests.take_while(|request| std::future::ready(request.is_some()));
        let requests = requests.map(|request| request.expect("the end of the stream was taken off"));
        let reluctance = self.leadership.watch_reluctance();
        let answers = self.rafts.of(group).clone().stream_append(requests);
        let answers = answers.map(move |answer| match answer {
            Ok(result) => {
                Ok(messages::send_append_result(&result, reluctance.borrow().clone().unwrap_or_default(), 0))
            }
            Err(fatal) => Err(*ended(fatal)),
        });
        answers.boxed()
    }

    /// Takes a heartbeat, or a few entries, of `caller`.
    pub async fn take_heartbeat(
        &self,
        caller: u64,
        request: peer::AppendRequest,
    ) -> Answer<peer::AppendResponse> {
        let group = messages::group(request.group)?;
        self.replicated.set(group, request.replicated_index);
        let times = (request.served_ms, request.retention_ms);
        let request = messages::read_append_request(request)?;
        messages::check_sender(caller, &request.vote)?;
        let promises = &self.promises[usize::from(group)];
        promises.check(&request);
        let (previous, leader) = (request.prev_log_id, stored_vote(&request.vote).node);
        let is_heartbeat = request.entries.is_empty();
        let last = request.entries.last().map(|entry| entry.log_id).or(previous);
        let answer = self.rafts.of(group).append_entries(request).await.map_err(ended)?;
        if answer.is_conflict() && previous.is_none() {
            return Err(Box::new(Status::internal("a conflict with nothing before")));
        }
        // The word of a node that is no member as far as this one knows does not end it for good: the leader notices
        // the loss as well.
        let is_member = || self.peers.members().contains_key(&leader);
        if let Some(missing) = previous.filter(|_| is_heartbeat && answer.is_conflict() && is_member()) {
            // openraft sends with each heartbeat the last position that this node has acknowledged to that leader.
            promises.end_after_loss(leader, position(&missing));
        }
        let result = answer.into_stream_result(previous, last);
        let clock = &self.clock;
        // A leader of an earlier term keeps the cluster's times no more.
        if group == META_GROUP && !matches!(result, Err(StreamAppendError::HigherVote(_))) {
            clock.note_leader(times.0, times.1);
        }
        let reluctance = self.leadership.reluctance().unwrap_or_default();
        let answer = messages::send_append_result(&result, reluctance, self.leadership.metadata_applied());
        let (served_ms, _) = clock.times_to_send();
        Ok(peer::AppendResponse { clock_ms: clock.wall_ms(), served_ms, ..answer })
    }

    /// Votes for `caller`, or does not.
    pub async fn vote(&self, caller: u64, request: peer::VoteRequest) -> Answer<peer::VoteResponse> {
        let group = messages::group(request.group)?;
        let request = messages::read_vote_request(&request)?;
        messages::check_sender(caller, &request.vote)?;
        let answer = self.rafts.of(group).vote(request).await;
        Ok(messages::send_vote_response(&answer.map_err(ended)?))
    }

    /// Says whether it would vote for `caller`.
    pub async fn pre_vote(&self, caller: u64, request: peer::VoteRequest) -> Answer<peer::VoteResponse> {
        let group = messages::group(request.group)?;
        let request = messages::read_vote_request(&request)?;
        messages::check_sender(caller, &request.vote)?;
        let answer = self.rafts.of(group).pre_vote(request).await;
        Ok(messages::send_vote_response(&answer.map_err(ended)?))
    }

    /// Takes a group over, if it is to.
    pub async fn take_over(
        &self,
        request: peer::TransferLeaderRequest,
    ) -> Answer<peer::TransferLeaderResponse> {
        let group = messages::group(request.group)?;
        let request = messages::read_transfer_request(&request)?;
        let answer = self.rafts.of(group).handle_transfer_leader(request).await.map_err(ended)?;
        let refusal = answer.err().map(|error| error.to_string()).unwrap_or_default();
        Ok(peer::TransferLeaderResponse { refusal })
    }

    /// Proposes for a peer.
    pub async fn propose(&self, request: peer::ProposeRequest) -> Answer<peer::ProposeResponse> {
        let group = messages::group(request.group)?;
        let command = command::decode(request.command).map_err(Malformed)?;
        let openraft::EntryPayload::Normal(command @ (LogCommand::Data(_) | LogCommand::Meta(_))) = command
        else {
            return Err(Malformed("a proposal that is no control command".into()).into());
        };
        Ok(messages::send_proposed(self.proposals.propose_here(group, command).await))
    }

    /// Says up to where a read has to wait.
    pub async fn read_index(&self, request: peer::ReadIndexRequest) -> Answer<peer::ReadIndexResponse> {
        let group = messages::group(request.group)?;
        Ok(match self.proposals.read_index_here(group).await {
            Ok(index) => peer::ReadIndexResponse { outcome: peer::Outcome::Applied.into(), index },
            Err(error) => peer::ReadIndexResponse { outcome: messages::outcome(error).into(), index: 0 },
        })
    }

    /// Changes members for a peer.
    pub async fn change_membership(
        &self,
        request: peer::ChangeMembershipRequest,
    ) -> Answer<peer::ChangeMembershipResponse> {
        let group = messages::group(request.group)?;
        let learner = |member: peer::Member| {
            (member.node, ClusterMember { address: member.address, incarnation: member.incarnation })
        };
        let change = MembershipChange {
            learners: request.learners.into_iter().map(learner).collect(),
            voters: request.voters.into_iter().collect(),
        };
        let (outcome, refusal) = match self.membership.change_here(group, &change).await {
            Ok(()) => (peer::Outcome::Applied, String::new()),
            Err(MembershipError::NoLeader(_)) => (peer::Outcome::NotProposed, String::new()),
            Err(error) => (peer::Outcome::Unknown, error.to_string()),
        };
        Ok(peer::ChangeMembershipResponse { outcome: outcome.into(), refusal })
    }

    /// Hands a group over for a peer.
    pub async fn hand_over(&self, request: peer::HandOverRequest) -> Answer<peer::HandOverResponse> {
        let group = messages::group(request.group)?;
        let is_done = match self.leadership.leader(group) {
            Leader::Here if request.to == self.peers.node() => true,
            Leader::Here => self.leadership.hand_over(group, request.to).await,
            Leader::At(node) => node == request.to,
            Leader::Unknown => false,
        };
        let outcome = if is_done { peer::Outcome::Applied } else { peer::Outcome::NotProposed };
        Ok(peer::HandOverResponse { outcome: outcome.into() })
    }
}
