//! grpc.health.v1: whether this node serves. It does while it knows of a leader of the metadata and does not stop.

use std::sync::Arc;

use futures_util::StreamExt;
use futures_util::stream;
use tidelog_proto::v1;
use tokio::sync::watch;
use tonic::{Request, Response, Status};
use tonic_health::pb::health_check_response::ServingStatus;
use tonic_health::pb::{HealthCheckRequest, HealthCheckResponse, health_server};

use super::Messages;
use crate::replication::{Leader, META_GROUP};
use crate::service::Service;

/// What can be asked about; the empty name stands for all of it.
const SERVICES: [&str; 5] = [
    "",
    v1::streams_server::SERVICE_NAME,
    v1::records_server::SERVICE_NAME,
    v1::groups_server::SERVICE_NAME,
    v1::cluster_server::SERVICE_NAME,
];

/// See the module.
pub(super) struct Health {
    pub(super) service: Arc<Service>,
    pub(super) stopping: watch::Receiver<bool>,
}

fn serving(leader: Leader, is_stopping: bool) -> ServingStatus {
    if leader == Leader::Unknown || is_stopping { ServingStatus::NotServing } else { ServingStatus::Serving }
}

fn response(status: ServingStatus) -> HealthCheckResponse {
    HealthCheckResponse { status: status.into() }
}

#[tonic::async_trait]
impl health_server::Health for Health {
    async fn check(
        &self,
        request: Request<HealthCheckRequest>,
    ) -> Result<Response<HealthCheckResponse>, Status> {
        let service = request.into_inner().service;
        if !SERVICES.contains(&&*service) {
            return Err(Status::not_found(format!("There is no service {service}.")));
        }
        let status = serving(self.service.groups().leader(META_GROUP), *self.stopping.borrow());
        Ok(Response::new(response(status)))
    }

    type WatchStream = Messages<HealthCheckResponse>;

    async fn watch(
        &self,
        request: Request<HealthCheckRequest>,
    ) -> Result<Response<Self::WatchStream>, Status> {
        if !SERVICES.contains(&&*request.into_inner().service) {
            let unknown = stream::iter([Ok(response(ServingStatus::ServiceUnknown))]);
            return Ok(Response::new(unknown.chain(stream::pending()).boxed()));
        }
        let (leaders, stopping) = (self.service.groups().watch_leaders(), self.stopping.clone());
        let told =
            stream::unfold((leaders, stopping, None), |(mut leaders, mut stopping, told)| async move {
                loop {
                    let leader = leaders.borrow_and_update()[usize::from(META_GROUP)];
                    let status = serving(leader, *stopping.borrow_and_update());
                    if told != Some(status) {
                        return Some((Ok(response(status)), (leaders, stopping, Some(status))));
                    }
                    tokio::select! {
                        changed = leaders.changed() => changed.ok()?,
                        changed = stopping.changed() => changed.ok()?,
                    }
                }
            });
        Ok(Response::new(told.boxed()))
    }
}
