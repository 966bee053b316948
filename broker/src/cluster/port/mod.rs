//! The cluster's port: the services that a node offers its peers and its operators, from start to stop.
//!
//! The port is served before the node has come to its cluster, because peers greet each other to form one. A
//! service takes the parts of the node that it needs from [`Running`], call by call.

mod administration_service;
mod execution;
mod peer_service;

use std::sync::Arc;
use std::time::Duration;

use tidelog_proto::cluster::cluster_server::ClusterServer;
use tidelog_proto::peer::peer_server;
use tokio::sync::{oneshot, watch};
use tonic::service::interceptor::InterceptedService;

use self::administration_service::AdministrationServer;
use self::peer_service::PeerServer;
use super::forming::Forming;
use super::peers::{self, Incoming, PEER_MESSAGE_BYTES_MAX, Peers, SmallMessages};
use crate::replication::{Groups, SegmentsAtStart};
use crate::service::Service;
use crate::shell::{OwnedTask, OwnerGone, Shell};

/// How long a stop waits for calls of peers.
const STOP_DEADLINE: Duration = Duration::from_secs(1);

/// The parts of the node that run already, while it starts.
#[derive(Clone, Default)]
pub struct Running {
    /// Once it votes and takes entries.
    pub groups: Option<Arc<Groups>>,
    /// Once it takes requests.
    pub service: Option<Arc<Service>>,
}

/// The cluster's port while it is served.
pub struct ClusterPort {
    stop: oneshot::Sender<()>,
    served: OwnedTask,
}

impl ClusterPort {
    /// Serves the port on these connections.
    pub fn serve(
        peers: &Arc<Peers>,
        forming: &Arc<Forming>,
        segments_at_start: &Arc<SegmentsAtStart>,
        running: watch::Receiver<Running>,
        incoming: Incoming,
        shell: &Shell,
    ) -> Self {
        let administration = ClusterServer::new(AdministrationServer::new(peers.clone(), running.clone()));
        let server = PeerServer::new(peers.clone(), forming.clone(), segments_at_start.clone(), running);
        let service = peer_server::PeerServer::new(server)
            .max_decoding_message_size(PEER_MESSAGE_BYTES_MAX)
            .max_encoding_message_size(PEER_MESSAGE_BYTES_MAX);
        let (stop, stopped) = oneshot::channel();
        let service = InterceptedService::new(SmallMessages(service), peers::check_certificate);
        let router = peers::server().add_service(service).add_service(administration);
        let own = shell.clone();
        let served = shell.spawn_owned("cluster port", async move {
            match peers::serve(router, incoming, async { drop(stopped.await) }).await {
                Ok(()) => OwnerGone,
                Err(error) => own.abort(&format!("the cluster's port is closed: {error}")),
            }
        });
        Self { stop, served }
    }

    /// Stops serving. Calls under way have deadlines of their own; calls that a peer has left open end with the
    /// process.
    pub async fn stop(self) {
        let _ = self.stop.send(());
        drop(tokio::time::timeout(STOP_DEADLINE, self.served.join()).await);
    }
}
