//! The service Cluster: how the broker and its cluster are, as this node sees it.

use tidelog_proto::v1::cluster_status_response::Node;
use tidelog_proto::v1::{
    AcceptClocksRequest, ClockStatusRequest, ClockStatusResponse, ClusterStatusRequest,
    ClusterStatusResponse, clock_status_response, cluster_server,
};
use tonic::{Code, Request, Response, Status};

use super::caller::Caller;
use super::status::{UNAVAILABLE, with_reason};
use crate::cluster::administration::{Administration, Clocks};

/// The service Cluster for one caller.
pub(super) struct Cluster(pub(super) Caller);

#[tonic::async_trait]
impl cluster_server::Cluster for Cluster {
    async fn cluster_status(
        &self,
        _request: Request<ClusterStatusRequest>,
    ) -> Result<Response<ClusterStatusResponse>, Status> {
        let groups = self.0.service.groups().clone();
        let status = Administration::new(groups).status().await;
        let node = |node: tidelog_proto::cluster::NodeStatus| Node {
            id: node.id,
            address: node.address,
            is_voter: node.is_voter,
            is_reachable: node.is_reachable,
            version: node.version,
            reluctance: node.reluctance,
        };
        Ok(Response::new(ClusterStatusResponse {
            cluster: status.cluster,
            node: status.node,
            nodes: status.nodes.into_iter().map(node).collect(),
            leaders: status.groups.iter().map(|group| group.leader).collect(),
        }))
    }

    async fn clock_status(
        &self,
        _request: Request<ClockStatusRequest>,
    ) -> Result<Response<ClockStatusResponse>, Status> {
        Ok(Response::new(self.written(self.clocks().await)))
    }

    async fn accept_clocks(
        &self,
        _request: Request<AcceptClocksRequest>,
    ) -> Result<Response<ClockStatusResponse>, Status> {
        let unavailable = |words: String| with_reason(Code::Unavailable, UNAVAILABLE, words);
        let clocks = self.clocks().await;
        let Some(median_ms) = clocks.median_ms else {
            return Err(unavailable(
                "The clocks of a majority of the voters are not known, or cannot be right.".into(),
            ));
        };
        let accepted = self.0.service.accept_clocks(median_ms, clocks.newest_ms).await;
        accepted.map_err(|error| unavailable(error.to_string()))?;
        Ok(Response::new(self.written(clocks)))
    }
}

impl Cluster {
    async fn clocks(&self) -> Clocks {
        Administration::new(self.0.service.groups().clone()).clocks().await
    }

    fn written(&self, clocks: Clocks) -> ClockStatusResponse {
        let clock = self.0.service.groups().clock();
        let node = |node: tidelog_proto::cluster::NodeStatus| clock_status_response::Node {
            id: node.id,
            is_voter: node.is_voter,
            clock_ms: Some(node.clock_ms).filter(|clock_ms| *clock_ms > 0),
            trouble: node.clock_trouble,
        };
        ClockStatusResponse {
            median_ms: clocks.median_ms,
            nodes: clocks.nodes.into_iter().map(node).collect(),
            served_ms: clock.served_ms(),
            retention_ms: clock.retention_ms(),
        }
    }
}
