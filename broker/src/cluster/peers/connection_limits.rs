//! Bounds of the cluster's port: connections at once, and the size of messages that carry no records.
//!
//! Invariant: a caller that has proved its role takes no more than its share of the connections, so that one node or
//! one administrator never keeps the others out. Without certificates callers cannot be told apart, and only the sum is
//! bounded.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard};
use std::task::{Context, Poll};

use http_body_util::Limited;
use hyper::Request;
use tonic::body::Body;
use tonic::codegen::Service;
use tonic::server::NamedService;

use super::Caller;

/// Connections that one node, or all administrators together, may have open. A node opens one for each lane, and
/// further ones while it believes that an older one is lost.
const OF_ONE_CALLER_MAX: usize = 32;

/// Bytes of a message that carries neither records, nor commands, nor whole requests of clients.
pub const SMALL_MESSAGE_BYTES_MAX: usize = 1 << 20;

/// Calls whose messages may be as large as an entry of a log.
const BULK: [&str; 6] = ["Append", "AppendOne", "InstallSnapshot", "Propose", "Put", "Execute"];

/// Connections that the cluster's port has open.
#[derive(Debug)]
pub struct ConnectionLimits {
    connections_max: usize,
    taken: Mutex<HashMap<Caller, usize>>,
}

/// One connection's place; given back when it is dropped.
#[derive(Debug)]
pub struct ConnectionPermit {
    connection_limits: Arc<ConnectionLimits>,
    caller: Caller,
}

impl ConnectionLimits {
    /// Limits for this many connections.
    pub fn new(connections_max: usize) -> Arc<Self> {
        Arc::new(Self { connections_max, taken: Mutex::default() })
    }

    /// A place for a connection of `caller`.
    ///
    /// # Errors
    /// A sentence for the log, when the port or the caller has all the connections that it may have.
    pub fn take(self: &Arc<Self>, caller: Caller) -> Result<ConnectionPermit, String> {
        let mut taken = self.taken();
        if taken.values().sum::<usize>() >= self.connections_max {
            return Err(format!(
                "the cluster's port has {} connections, which is the bound",
                self.connections_max
            ));
        }
        let own = taken.entry(caller).or_default();
        if let Caller::Proven(role) = caller
            && *own >= OF_ONE_CALLER_MAX
        {
            return Err(format!("{role} has {OF_ONE_CALLER_MAX} connections, which is the bound"));
        }
        *own += 1;
        Ok(ConnectionPermit { connection_limits: self.clone(), caller })
    }

    fn taken(&self) -> MutexGuard<'_, HashMap<Caller, usize>> {
        self.taken.lock().expect("no code panics while it holds this lock")
    }
}

impl Drop for ConnectionPermit {
    fn drop(&mut self) {
        let mut taken = self.connection_limits.taken();
        if let Some(own) = taken.get_mut(&self.caller) {
            *own -= 1;
            if *own == 0 {
                taken.remove(&self.caller);
            }
        }
    }
}

/// A service whose calls other than [`BULK`] have small messages.
#[derive(Clone, Debug)]
pub struct SmallMessages<S>(pub S);

impl<S: NamedService> NamedService for SmallMessages<S> {
    const NAME: &'static str = S::NAME;
}

impl<S: Service<Request<Body>>> Service<Request<Body>> for SmallMessages<S> {
    type Response = S::Response;
    type Error = S::Error;
    type Future = S::Future;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.0.poll_ready(context)
    }

    fn call(&mut self, request: Request<Body>) -> S::Future {
        let is_bulk = request.uri().path().rsplit_once('/').is_some_and(|(_, method)| BULK.contains(&method));
        self.0.call(match is_bulk {
            true => request,
            false => request.map(|body| Body::new(Limited::new(body, SMALL_MESSAGE_BYTES_MAX))),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tls::peer::Role;

    #[test]
    fn one_caller_leaves_places_for_the_others() {
        let connection_limits = ConnectionLimits::new(OF_ONE_CALLER_MAX + 2);
        let [first, second, administrator] =
            [Role::Node(1), Role::Node(2), Role::Administrator].map(Caller::Proven);
        let mut held: Vec<_> =
            (0..OF_ONE_CALLER_MAX).map(|_| connection_limits.take(first).unwrap()).collect();
        assert_eq!(
            connection_limits.take(first).unwrap_err(),
            "tidelog:node:1 has 32 connections, which is the bound"
        );
        let others = [second, administrator].map(|caller| connection_limits.take(caller).unwrap());
        let error = connection_limits.take(second).unwrap_err();
        assert_eq!(error, "the cluster's port has 34 connections, which is the bound");
        drop(held.pop());
        assert!(connection_limits.take(second).is_ok());
        drop((held, others));
        assert!(connection_limits.taken().is_empty());
    }
}
