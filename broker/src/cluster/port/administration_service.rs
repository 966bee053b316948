//! The service of `cluster.proto` on the cluster's port: the calls of `tidelog cluster` to this node.
//!
//! A change goes on in a task of its own when its caller is gone, up to the end of the step it is in; a node that stops
//! ends it at once, and it goes on when it is asked for again.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;

use futures_util::future::{BoxFuture, FutureExt};
use futures_util::stream::{self, Stream};
use tidelog_proto::cluster::{
    AddNodeRequest, NodeAddress, Progress, RemoveNodeRequest, ReplaceNodeRequest, StatusRequest,
    StatusResponse, TransferLeaderRequest, cluster_server,
};
use tokio::sync::{mpsc, watch};
use tonic::{Request, Response, Status};

use super::Running;
use crate::cluster::administration::{Administration, AdministrationError, Teller};
use crate::cluster::peers::Peers;
use crate::shell::spawn_short;

/// Lines that wait for their reader.
const LINES_MAX: usize = 16;

/// The service of `cluster.proto` of one node.
pub struct AdministrationServer {
    peers: Arc<Peers>,
    running: watch::Receiver<Running>,
}

type Answer<T> = Result<Response<T>, Status>;
type Lines = Pin<Box<dyn Stream<Item = Result<Progress, Status>> + Send>>;
type Outcome = Result<String, AdministrationError>;

impl AdministrationServer {
    /// The service of the node of `peers`, as far as it is `running`.
    pub fn new(peers: Arc<Peers>, running: watch::Receiver<Running>) -> Self {
        Self { peers, running }
    }

    fn administration(&self) -> Result<Administration, Status> {
        if self.peers.identity().is_none() {
            return Err(Status::failed_precondition(format!(
                "node {} belongs to no cluster yet: either not all nodes of its --cluster are up, or it waits to be added; \
                 its log says which. To add it, ask a node of the cluster, with --at",
                self.peers.node()
            )));
        }
        let groups = self.running.borrow().groups.clone();
        let groups = groups.ok_or_else(|| Status::unavailable("this node is starting or stopping"))?;
        Ok(Administration::new(groups))
    }

    /// Runs `change` in a task and answers with its progress.
    fn carry_out(
        &self,
        change: impl FnOnce(Administration, Teller) -> BoxFuture<'static, Outcome>,
    ) -> Answer<Lines> {
        let (lines, told) = mpsc::channel(LINES_MAX);
        let changing = change(self.administration()?, Teller::new(lines));
        let mut running = self.running.clone();
        let stopped = async move {
            // Without a sender the node is gone altogether.
            drop(running.wait_for(|running| running.groups.is_none()).await);
        };
        let outcome = spawn_short(unless(stopped, changing));
        Ok(Response::new(lines_of(told, outcome)))
    }
}

async fn unless(stopped: impl Future<Output = ()>, changing: BoxFuture<'static, Outcome>) -> Outcome {
    tokio::select! {
        outcome = changing => outcome,
        () = stopped => Err(AdministrationError::NotNow("this node is stopping: ask another one".into())),
    }
}

/// The lines of progress, and then the outcome.
fn lines_of(told: mpsc::Receiver<String>, outcome: tokio::task::JoinHandle<Outcome>) -> Lines {
    let lines = stream::unfold(Some((told, outcome)), |state| async {
        let (mut told, outcome) = state?;
        if let Some(text) = told.recv().await {
            return Some((Ok(Progress { text, is_done: false }), Some((told, outcome))));
        }
        let last = match outcome.await {
            Ok(Ok(text)) => Ok(Progress { text, is_done: true }),
            Ok(Err(AdministrationError::Refused(reason))) => Err(Status::failed_precondition(reason)),
            Ok(Err(AdministrationError::NotNow(reason))) => Err(Status::unavailable(reason)),
            Err(_) => Err(Status::unavailable("the change was interrupted")),
        };
        Some((last, None))
    });
    Box::pin(lines)
}

fn node_of(node: Option<NodeAddress>) -> Result<NodeAddress, Status> {
    node.ok_or_else(|| Status::invalid_argument("no node is named"))
}

#[tonic::async_trait]
impl cluster_server::Cluster for AdministrationServer {
    type AddNodeStream = Lines;
    type RemoveNodeStream = Lines;
    type ReplaceNodeStream = Lines;
    type TransferLeaderStream = Lines;

    async fn status(&self, _request: Request<StatusRequest>) -> Answer<StatusResponse> {
        Ok(Response::new(self.administration()?.status().await))
    }

    async fn add_node(&self, request: Request<AddNodeRequest>) -> Answer<Lines> {
        let NodeAddress { id, address } = node_of(request.into_inner().node)?;
        self.carry_out(move |cluster, teller| async move { cluster.add(id, &address, &teller).await }.boxed())
    }

    async fn remove_node(&self, request: Request<RemoveNodeRequest>) -> Answer<Lines> {
        let id = request.into_inner().id;
        self.carry_out(move |cluster, teller| async move { cluster.remove(id, &teller).await }.boxed())
    }

    async fn replace_node(&self, request: Request<ReplaceNodeRequest>) -> Answer<Lines> {
        let ReplaceNodeRequest { old_id, new_node } = request.into_inner();
        let NodeAddress { id, address } = node_of(new_node)?;
        self.carry_out(move |cluster, teller| {
            async move { cluster.replace(old_id, id, &address, &teller).await }.boxed()
        })
    }

    async fn transfer_leader(&self, request: Request<TransferLeaderRequest>) -> Answer<Lines> {
        let TransferLeaderRequest { groups, to, from } = request.into_inner();
        let from = (from != 0).then_some(from);
        self.carry_out(move |cluster, teller| {
            async move { cluster.transfer(&groups, to, from, &teller).await }.boxed()
        })
    }
}
