//! The edge to clients: connections, plain or by TLS, HTTP/1.1 and HTTP/2, and the way from a request to an operation
//! and back.
//!
//! ```text
//! accept ──► connection ──► exchange ──► call ──► kinesis ──► crate::ops::dispatch
//!            (first bytes)  (routes,     (body, ├► tables (lease tables)
//!                            headers)    time)  └► aws (CloudWatch, STS, refusals for other services)
//! ```
//! Invariants: every accepted request gets an answer or a closed connection within bounded time; connections, bytes
//! of request bodies and every wait are bounded by [`Bounds`]; a panicking operation is a 500, never a silent
//! connection. The server starts it; it calls the operations and nothing else of the broker.

pub mod accept;
mod answer_body;
mod audience;
mod aws;
mod body;
mod bounds;
mod call;
mod caller;
mod charged;
mod client;
mod connection;
mod exchange;
pub mod faults;
mod form;
pub mod grpc;
mod kinesis;
mod pace;
mod pages;
mod refusal;
mod request_log;
mod stall;
mod tables;
mod timing;
mod transport;

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use metrics::Gauge;
use tokio::sync::{Semaphore, SetOnce, watch};
use tokio::time::{Instant, sleep, sleep_until};

pub use audience::{AllowedOrigins, Audience, Interface};
pub use bounds::Bounds;

use crate::observability::CONNECTIONS;
use crate::observability::applications::ApplicationMetrics;
use crate::room::Room;
use crate::service::Service;
use crate::shell::Shell;
use crate::stage::Stage;
use crate::tls::Tls;
use timing::Timing;

/// The state that all connections share.
pub struct Gateway {
    /// The services, once the node has started.
    open: SetOnce<Open>,
    /// When the start of the node began.
    closed_at: Instant,
    /// The step that the node's start waits for.
    stage: Stage,
    shell: Shell,
    account: Arc<str>,
    region: Arc<str>,
    audience: Audience,
    tls: Option<Tls>,
    bounds: Bounds,
    connections: Arc<Semaphore>,
    /// Places past the bound of connections.
    slots_past_the_bound: Arc<Semaphore>,
    connections_open: Gauge,
    room: Arc<Room>,
    timing: Timing,
    pages: pages::Pages,
    applications: ApplicationMetrics,
    /// Ends event streams, which would last longer than any drain.
    stopping: watch::Receiver<bool>,
    /// Whether `/ready` answers that the node is stopping, although it still serves.
    is_leaving: AtomicBool,
}

/// The services behind a gateway.
struct Open {
    service: Arc<Service>,
    api: grpc::Api,
}

impl Gateway {
    /// A gateway in front of `service`, as [`Self::closed`] and opened.
    pub fn new(
        service: Arc<Service>,
        account: Arc<str>,
        region: Arc<str>,
        audience: Audience,
        tls: Option<Tls>,
        bounds: Bounds,
        stopping: watch::Receiver<bool>,
    ) -> Arc<Self> {
        let starting = (service.groups().shell().clone(), Stage::default());
        let gateway = Self::closed(starting, account, region, audience, tls, bounds, stopping);
        gateway.open(service);
        gateway
    }

    /// Serves by `service` from now on.
    pub fn open(&self, service: Arc<Service>) {
        service.answer_peers_from(&self.room.answers);
        self.room.add_events(service.event_pools());
        let api = grpc::Api::new(&service, &self.account, &self.region, self.stopping.clone());
        // A gateway is opened once.
        let _ = self.open.set(Open { service, api });
    }

    /// Returns when the stop that has begun leaves no more time for requests that are still coming.
    async fn no_time_for_bodies(&self) {
        let mut stopping = self.stopping.clone();
        // Without a sender the server is gone.
        let _ = stopping.wait_for(|stop| *stop).await;
        sleep(self.bounds.drain / 4).await;
    }

    /// Waits for the end of the node's start; `None` when the start takes longer than a request waits for it, or than
    /// `patience`, and when the node stops instead.
    async fn opened(&self, patience: Duration) -> Option<&Open> {
        // Requests to a node that serves come here one by one: they set no timer.
        if let Some(open) = self.open.get() {
            return Some(open);
        }
        let ends = (self.closed_at + self.bounds.start).min(Instant::now() + patience);
        let mut stopping = self.stopping.clone();
        tokio::select! {
            biased;
            open = self.open.wait() => Some(open),
            () = sleep_until(ends) => None,
            _ = stopping.wait_for(|stop| *stop) => None,
        }
    }

    /// Has `/ready` answer that the node is stopping; everything is served as before.
    pub fn leave(&self) {
        self.is_leaving.store(true, Ordering::Relaxed);
    }

    /// Whether the node stops, or is about to.
    fn is_leaving(&self) -> bool {
        self.is_leaving.load(Ordering::Relaxed) || *self.stopping.borrow()
    }

    /// Returns the service; `None` while the node starts.
    fn service(&self) -> Option<&Arc<Service>> {
        self.open.get().map(|open| &open.service)
    }

    /// A gateway in front of a node that is starting, with the account and region of callers that name none: it
    /// serves the pages of operators, and refuses operations with the step of `stage`, until it is opened. Its
    /// event streams end once `stopping` is true. Without `tls`, TLS is not spoken.
    pub fn closed(
        (shell, stage): (Shell, Stage),
        account: Arc<str>,
        region: Arc<str>,
        audience: Audience,
        tls: Option<Tls>,
        bounds: Bounds,
        stopping: watch::Receiver<bool>,
    ) -> Arc<Self> {
        Arc::new(Self {
            open: SetOnce::new(),
            closed_at: Instant::now(),
            stage,
            shell,
            audience,
            tls,
            connections: Arc::new(Semaphore::new(bounds.connections_max)),
            slots_past_the_bound: Arc::new(Semaphore::new(bounds::PAST_THE_BOUND_MAX)),
            connections_open: metrics::gauge!(CONNECTIONS),
            room: Room::new(bounds.memory),
            timing: Timing::default(),
            pages: pages::Pages::default(),
            applications: ApplicationMetrics::new(account.clone(), region.clone()),
            account,
            region,
            bounds,
            stopping,
            is_leaving: AtomicBool::default(),
        })
    }
}

impl fmt::Debug for Gateway {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("Gateway").field("bounds", &self.bounds).finish_non_exhaustive()
    }
}
