//! grpc.health.v1: whether this node serves. It does while it knows of a leader of the metadata and does not stop.

use std::sync::Arc;

use futures_util::stream::{self, Stream, StreamExt};
use tidelog_proto::v1;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, watch};
use tonic::{Request, Response, Status};
use tonic_health::pb::health_check_response::ServingStatus;
use tonic_health::pb::{HealthCheckRequest, HealthCheckResponse, health_server};

use super::{Messages, status};
use crate::replication::{Leader, META_GROUP};
use crate::service::Service;

/// Services that a health check may name; the empty name stands for all of them.
const SERVICES: [&str; 5] = [
    "",
    v1::streams_server::SERVICE_NAME,
    v1::records_server::SERVICE_NAME,
    v1::groups_server::SERVICE_NAME,
    v1::cluster_server::SERVICE_NAME,
];

/// Watches of one node, which last as long as their clients like; some 10 KiB each.
const WATCHES_MAX: usize = 1_024;

/// The health service of this node.
pub(super) struct Health {
    service: Arc<Service>,
    stopping: watch::Receiver<bool>,
    watches: Arc<Semaphore>,
}

impl Health {
    /// Reports the health of that service, until `stopping` is true.
    pub(super) fn new(service: Arc<Service>, stopping: watch::Receiver<bool>) -> Self {
        Self { service, stopping, watches: Arc::new(Semaphore::new(WATCHES_MAX)) }
    }
}

/// A watch that counts until it is dropped.
fn counted(
    statuses: impl Stream<Item = Result<HealthCheckResponse, Status>> + Send + 'static,
    watch: OwnedSemaphorePermit,
) -> Messages<HealthCheckResponse> {
    statuses
        .inspect(move |_| {
            let _watch = &watch;
        })
        .boxed()
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
        let serving = serving(self.service.groups().leadership().leader(META_GROUP), *self.stopping.borrow());
        Ok(Response::new(response(serving)))
    }

    type WatchStream = Messages<HealthCheckResponse>;

    async fn watch(
        &self,
        request: Request<HealthCheckRequest>,
    ) -> Result<Response<Self::WatchStream>, Status> {
        let watch = self.watches.clone().try_acquire_owned();
        let watch =
            watch.map_err(|_| status::unavailable("This node has as many health watches as it can."))?;
        if !SERVICES.contains(&&*request.into_inner().service) {
            let unknown = stream::iter([Ok(response(ServingStatus::ServiceUnknown))]);
            return Ok(Response::new(counted(unknown.chain(stream::pending()), watch)));
        }
        let (leaders, stopping) = (self.service.groups().leadership().watch_leaders(), self.stopping.clone());
        let statuses =
            stream::unfold((leaders, stopping, None), |(mut leaders, mut stopping, reported)| async move {
                loop {
                    let leader = leaders.borrow_and_update()[usize::from(META_GROUP)];
                    let status = serving(leader, *stopping.borrow_and_update());
                    if reported != Some(status) {
                        return Some((Ok(response(status)), (leaders, stopping, Some(status))));
                    }
                    tokio::select! {
                        changed = leaders.changed() => changed.ok()?,
                        changed = stopping.changed() => changed.ok()?,
                    }
                }
            });
        Ok(Response::new(counted(statuses, watch)))
    }
}
