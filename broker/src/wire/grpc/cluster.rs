//! The service Cluster: how the broker and its cluster are, as this node sees it.

use std::sync::Arc;

use tidelog_proto::v1::cluster_status_response::Node;
use tidelog_proto::v1::{ClusterStatusRequest, ClusterStatusResponse, cluster_server};
use tonic::{Request, Response, Status};

use super::caller::Caller;
use crate::administration::Administration;

/// See the module.
pub(super) struct Cluster(pub(super) Caller);

#[tonic::async_trait]
impl cluster_server::Cluster for Cluster {
    async fn cluster_status(
        &self,
        _request: Request<ClusterStatusRequest>,
    ) -> Result<Response<ClusterStatusResponse>, Status> {
        let groups = self.0.service.groups().clone();
        let status = Administration::new(groups, Arc::default()).status().await;
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
}
