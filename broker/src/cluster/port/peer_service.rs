//! The service of `peer.proto`, by which this node answers its peers on the cluster's port.
//!
//! Every call but a greeting is admitted first. As long as the node is on its way to its cluster, or recovering, it
//! answers greetings, and gives peers that cannot start without it bytes of segments; nothing else.

use std::pin::Pin;
use std::sync::Arc;

use futures_util::{FutureExt, Stream, StreamExt, stream};
use tidelog_proto::peer::{self, peer_server};
use tokio::sync::{mpsc, watch};
use tokio::task::JoinSet;
use tonic::{Request, Response, Status, Streaming};

use super::{Running, execution};
use crate::cluster::forming::{Forming, FormingError, founding};
use crate::cluster::peers::{FORMAT, Peers, check_name, superseded, taken_out};
use crate::replication::{Groups, SegmentsAtStart, StalledFollower};
use crate::service::{self, LinkQueues, OwnTask, Reader};

/// Puts of one stream of a peer that may be under way, or answered and not sent yet; further ones wait.
const PUTS_AT_A_TIME: usize = 1_024;

/// The service of `peer.proto` of one node.
pub struct PeerServer {
    peers: Arc<Peers>,
    forming: Arc<Forming>,
    segments_at_start: Arc<SegmentsAtStart>,
    running: watch::Receiver<Running>,
}

type Answer<T> = Result<Response<T>, Status>;
type Messages<T> = Pin<Box<dyn Stream<Item = Result<T, Status>> + Send>>;

impl PeerServer {
    /// The service of the node that `forming` leads to its cluster.
    pub fn new(
        peers: Arc<Peers>,
        forming: Arc<Forming>,
        segments_at_start: Arc<SegmentsAtStart>,
        running: watch::Receiver<Running>,
    ) -> Self {
        Self { peers, forming, segments_at_start, running }
    }

    fn groups<T>(&self, request: &Request<T>) -> Result<Arc<Groups>, Status> {
        self.called(request).map(|(_, groups)| groups)
    }

    /// Reads the node that calls, and the groups that it calls.
    fn called<T>(&self, request: &Request<T>) -> Result<(u64, Arc<Groups>), Status> {
        let caller = self.peers.admit(request.metadata()).map_err(|status| *status)?;
        let groups = self.running.borrow().groups.clone();
        Ok((caller, groups.ok_or_else(|| Status::unavailable("this node is starting"))?))
    }

    /// Ends a stream when the node stops. A peer that leads keeps its stream of entries open for as long as it likes:
    /// until then its connection would not close, and the log's threads would not be let go.
    fn while_running<T: 'static>(
        &self,
        messages: impl Stream<Item = Result<T, Status>> + Send + 'static,
    ) -> Messages<T> {
        let mut running = self.running.clone();
        let stopped = async move { drop(running.wait_for(|running| running.groups.is_none()).await) };
        Box::pin(messages.take_until(stopped))
    }
}

fn stalled_follower(follower: StalledFollower) -> peer::StalledFollower {
    peer::StalledFollower {
        node: follower.node,
        group: follower.group.into(),
        millis: follower.duration.as_millis() as u64,
    }
}

fn answer<T>(answer: Result<T, Box<Status>>) -> Answer<T> {
    answer.map(Response::new).map_err(|status| *status)
}

/// The puts of one stream of a peer, while they are under way. They are taken, and carried out, whether the peer takes
/// answers or not: they wait for memory and for turns that the puts of everybody wait for.
struct PutsOfPeer {
    running: watch::Receiver<Running>,
    queues: Arc<LinkQueues>,
}

impl PutsOfPeer {
    /// Until the stream ends, or nobody takes the answers any more.
    async fn take(
        self,
        mut puts: Streaming<peer::PutRequest>,
        answers: mpsc::Sender<Result<peer::PutResponse, Status>>,
    ) {
        let mut in_flight = JoinSet::new();
        loop {
            // There is a place for each answer before its put is taken.
            let Ok(place) = answers.clone().reserve_owned().await else { return };
            while in_flight.try_join_next().is_some() {}
            let put = match puts.message().await {
                Ok(Some(put)) => put,
                Ok(None) => break,
                Err(status) => {
                    place.send(Err(status));
                    break;
                }
            };
            let service = self.running.borrow().service.clone();
            let Some(service) = service else {
                place.send(Ok(self.queues.refuse(&put)));
                continue;
            };
            // Order of waiting: records of peers, then bytes in flight, then the log. None of them waits for another
            // node.
            let share = service.appender().share_of_received(&put).await;
            let queues = self.queues.clone();
            let receiving = async move {
                let answer = service.appender().receive_for(put, &queues).await;
                drop(share);
                answer
            };
            let mut receiving = receiving.boxed();
            // It is begun here: puts stand in their queues in the order in which they come. (tokio's mutex is taken in
            // the order of first polls since 1.54, also by a task that has used up its budget.)
            match (&mut receiving).now_or_never() {
                Some(answer) => drop(place.send(Ok(answer))),
                None => drop(in_flight.spawn(async move { drop(place.send(Ok(receiving.await))) })),
            }
        }
        while in_flight.join_next().await.is_some() {}
    }
}

#[tonic::async_trait]
impl peer_server::Peer for PeerServer {
    async fn hello(&self, request: Request<peer::HelloRequest>) -> Answer<peer::HelloResponse> {
        let caller = request.get_ref().node;
        check_name(request.extensions(), Some(&caller.to_string()))?;
        let lives = &request.get_ref().lives;
        // The lives of this cluster say nothing of another one's node of that id.
        let is_superseded = !lives.is_empty()
            && self.peers.is_of_own_cluster(request.metadata())
            && !self.peers.may_follow(caller, lives);
        let groups = self.running.borrow().groups.clone();
        let status = groups.iter().flat_map(|groups| groups.membership().status()).next();
        let members = status.iter().flat_map(|status| {
            status.members.iter().map(|(node, member)| peer::Member {
                node: *node,
                address: member.address.clone(),
                incarnation: member.incarnation.clone(),
                is_voter: status.voters.contains(node),
            })
        });
        let was_taken_out = groups.as_ref().is_some_and(|groups| {
            groups.catalog().used_nodes.contains(&caller) && !self.peers.members().contains_key(&caller)
        });
        Ok(Response::new(peer::HelloResponse {
            refusal: match (was_taken_out, is_superseded) {
                (true, _) => taken_out(caller),
                (false, true) => superseded(caller),
                (false, false) => String::new(),
            },
            is_superseded,
            lives: self.peers.lives().to_string(),
            node: self.peers.node(),
            incarnation: self.forming.incarnation().to_owned(),
            cluster: self.peers.identity().map(|identity| identity.cluster).unwrap_or_default(),
            version: env!("CARGO_PKG_VERSION").to_owned(),
            format: FORMAT,
            members: members.collect(),
            founding: founding(self.peers.configured()),
            process: self.peers.process(),
            stalled_followers: groups
                .iter()
                .flat_map(|groups| groups.leadership().stalled_followers())
                .map(stalled_follower)
                .collect(),
            is_changing_members: groups.as_ref().is_some_and(|groups| groups.membership().is_changing()),
            reluctance: groups
                .as_ref()
                .and_then(|groups| groups.leadership().reluctance())
                .unwrap_or_default(),
            clock_ms: groups.as_ref().map_or(0, |groups| groups.clock().wall_ms()),
            newest_ms: groups.as_ref().map_or(0, |groups| groups.newest_time_ms()),
            clock_trouble: groups.and_then(|groups| groups.clock().trouble()).unwrap_or_default(),
        }))
    }

    async fn adopt(&self, request: Request<peer::AdoptRequest>) -> Answer<peer::AdoptResponse> {
        match self.forming.adopt(&request.into_inner().cluster).await {
            Ok(()) => Ok(Response::new(peer::AdoptResponse {})),
            Err(FormingError::Refused(reason)) => Err(Status::failed_precondition(reason)),
            Err(FormingError::Identity(error)) => {
                tracing::error!(%error, "cannot write the identity that the cluster gives this node");
                Err(Status::internal("this node cannot write its identity; its log says why"))
            }
        }
    }

    type AppendStream = Messages<peer::AppendResponse>;

    async fn append(&self, request: Request<Streaming<peer::AppendRequest>>) -> Answer<Self::AppendStream> {
        let (caller, groups) = self.called(&request)?;
        let entries = self.while_running(request.into_inner());
        Ok(Response::new(groups.peer_calls().take_entries(caller, entries)))
    }

    async fn append_one(&self, request: Request<peer::AppendRequest>) -> Answer<peer::AppendResponse> {
        let (caller, groups) = self.called(&request)?;
        answer(groups.peer_calls().take_heartbeat(caller, request.into_inner()).await)
    }

    async fn vote(&self, request: Request<peer::VoteRequest>) -> Answer<peer::VoteResponse> {
        let (caller, groups) = self.called(&request)?;
        answer(groups.peer_calls().vote(caller, request.into_inner()).await)
    }

    async fn pre_vote(&self, request: Request<peer::VoteRequest>) -> Answer<peer::VoteResponse> {
        let (caller, groups) = self.called(&request)?;
        answer(groups.peer_calls().pre_vote(caller, request.into_inner()).await)
    }

    async fn transfer_leader(
        &self,
        request: Request<peer::TransferLeaderRequest>,
    ) -> Answer<peer::TransferLeaderResponse> {
        let groups = self.groups(&request)?;
        answer(groups.peer_calls().take_over(request.into_inner()).await)
    }

    type InstallSnapshotStream = Messages<peer::InstallSnapshotProgress>;

    async fn install_snapshot(
        &self,
        request: Request<peer::InstallSnapshotRequest>,
    ) -> Answer<Self::InstallSnapshotStream> {
        let (caller, groups) = self.called(&request)?;
        let progress =
            groups.catch_up().take_state(caller, &request.into_inner()).map_err(|status| *status)?;
        Ok(Response::new(self.while_running(progress)))
    }

    type PullSegmentStream = Messages<peer::SegmentPiece>;

    async fn pull_segment(
        &self,
        request: Request<peer::PullSegmentRequest>,
    ) -> Answer<Self::PullSegmentStream> {
        self.peers.admit(request.metadata()).map_err(|status| *status)?;
        let groups = self.running.borrow().groups.clone();
        Ok(Response::new(match groups {
            Some(groups) => self.while_running(groups.catch_up().give_segment(request.get_ref())),
            None => self.segments_at_start.give_segment(request.get_ref())?,
        }))
    }

    async fn propose(&self, request: Request<peer::ProposeRequest>) -> Answer<peer::ProposeResponse> {
        let groups = self.groups(&request)?;
        answer(groups.peer_calls().propose(request.into_inner()).await)
    }

    type PutStream = Messages<peer::PutResponse>;

    async fn put(&self, request: Request<Streaming<peer::PutRequest>>) -> Answer<Self::PutStream> {
        self.groups(&request)?;
        let puts = PutsOfPeer { running: self.running.clone(), queues: Arc::default() };
        let (answers, receiver) = mpsc::channel(PUTS_AT_A_TIME);
        let taking = OwnTask::start(puts.take(request.into_inner(), answers));
        let answers = stream::unfold((receiver, taking), |(mut receiver, taking)| async move {
            let answer = receiver.recv().await?;
            Some((answer, (receiver, taking)))
        });
        Ok(Response::new(self.while_running(answers)))
    }

    async fn read_index(&self, request: Request<peer::ReadIndexRequest>) -> Answer<peer::ReadIndexResponse> {
        let groups = self.groups(&request)?;
        answer(groups.peer_calls().read_index(request.into_inner()).await)
    }

    async fn change_membership(
        &self,
        request: Request<peer::ChangeMembershipRequest>,
    ) -> Answer<peer::ChangeMembershipResponse> {
        let groups = self.groups(&request)?;
        answer(groups.peer_calls().change_membership(request.into_inner()).await)
    }

    async fn hand_over(&self, request: Request<peer::HandOverRequest>) -> Answer<peer::HandOverResponse> {
        let groups = self.groups(&request)?;
        answer(groups.peer_calls().hand_over(request.into_inner()).await)
    }

    async fn count_demand(
        &self,
        request: Request<peer::CountDemandRequest>,
    ) -> Answer<peer::CountDemandResponse> {
        self.groups(&request)?;
        let service = self.running.borrow().service.clone();
        let service = service.ok_or_else(|| Status::unavailable("this node is starting"))?;
        let demand = service.demand_here(&request.into_inner().stream_uids);
        Ok(Response::new(service::send_demand(demand)))
    }

    async fn behind(&self, request: Request<peer::BehindRequest>) -> Answer<peer::BehindResponse> {
        self.groups(&request)?;
        let service = self.running.borrow().service.clone();
        let service = service.ok_or_else(|| Status::unavailable("this node is starting"))?;
        Ok(Response::new(service.behind_for(request.into_inner()).await))
    }

    async fn watched_leases(
        &self,
        request: Request<peer::WatchedLeasesRequest>,
    ) -> Answer<peer::WatchedLeasesResponse> {
        self.groups(&request)?;
        let service = self.running.borrow().service.clone();
        let service = service.ok_or_else(|| Status::unavailable("this node is starting"))?;
        Ok(Response::new(service.watched_for(request.get_ref())))
    }

    type ExecuteStream = Messages<peer::ExecuteResponse>;

    async fn execute(&self, request: Request<peer::ExecuteRequest>) -> Answer<Self::ExecuteStream> {
        let node = self.peers.admit(request.metadata()).map_err(|status| *status)?;
        self.groups(&request)?;
        let service = self.running.borrow().service.clone();
        let request = request.into_inner();
        let reader = Reader::relayed(node, request.connection);
        let answer = reader.scope(execution::execute(service, request).boxed()).await;
        Ok(Response::new(self.while_running(answer)))
    }
}
