//! Connections to the broker: any node of a list, another one when that fails, TLS, deadlines, and the caller's
//! identity. Everything in this crate that talks gRPC goes through it.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tidelog_proto::v1::cluster_client::ClusterClient;
use tidelog_proto::v1::groups_client::GroupsClient;
use tidelog_proto::v1::records_client::RecordsClient;
use tidelog_proto::v1::streams_client::StreamsClient;
use tonic::metadata::{Ascii, MetadataValue};
use tonic::transport::{Channel, Endpoint};
use tonic::{Request, Response, Status};

use crate::error::Error;
pub use builder::ConnectionBuilder;

mod builder;

/// Bytes of the largest message, either way.
const MESSAGE_BYTES_MAX: usize = 16 << 20;

/// Long-lived calls on one connection; servers bound the calls of a connection, and these must not use them up.
const STREAMS_PER_CONNECTION: usize = 64;

/// A broker: one node or several of a cluster, of which any will do. Cheap to clone; clones share their connections.
#[derive(Clone, Debug)]
pub struct Connection {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    nodes: Vec<Endpoint>,
    account: Option<MetadataValue<Ascii>>,
    region: Option<MetadataValue<Ascii>>,
    request_timeout: Duration,
    in_use: Mutex<InUse>,
}

/// The node in use, and the connections to it.
#[derive(Debug, Default)]
struct InUse {
    /// Counts the changes of node; modulo the number of nodes it is the index of the node in use.
    changes: usize,
    calls: Option<Channel>,
    streams: Vec<(Channel, Arc<()>)>,
}

impl Connection {
    /// The broker with these nodes, such as `http://127.0.0.1:4567`, or `https://…` for TLS. One suffices; with several
    /// the client goes to another when one fails.
    pub fn to<N: Into<String>>(nodes: impl IntoIterator<Item = N>) -> ConnectionBuilder {
        ConnectionBuilder::new(nodes.into_iter().map(Into::into).collect())
    }

    /// The node in use, for a call that is answered at once. Calls that this crate does not wrap are made with it.
    #[must_use]
    pub fn node(&self) -> Node {
        let mut in_use = self.in_use();
        let changes = in_use.changes;
        let channel = in_use.calls.get_or_insert_with(|| self.endpoint(changes).connect_lazy()).clone();
        Node { connection: self.clone(), changes, channel, _call: None }
    }

    /// The node in use, for a call whose messages go on and on.
    #[must_use]
    pub fn node_for_stream(&self) -> Node {
        let mut in_use = self.in_use();
        let changes = in_use.changes;
        let free =
            in_use.streams.iter().find(|(_, calls)| Arc::strong_count(calls) <= STREAMS_PER_CONNECTION);
        let (channel, calls) = free.cloned().unwrap_or_else(|| {
            let fresh = (self.endpoint(changes).connect_lazy(), Arc::new(()));
            in_use.streams.retain(|(_, calls)| Arc::strong_count(calls) > 1);
            in_use.streams.push(fresh.clone());
            fresh
        });
        Node { connection: self.clone(), changes, channel, _call: Some(calls) }
    }

    /// How long a call may take.
    #[must_use]
    pub fn request_timeout(&self) -> Duration {
        self.inner.request_timeout
    }

    fn endpoint(&self, changes: usize) -> &Endpoint {
        &self.inner.nodes[changes % self.inner.nodes.len()]
    }

    /// Goes on to the next node, unless another caller has already.
    fn leave(&self, changes: usize) {
        let mut in_use = self.in_use();
        if in_use.changes == changes && self.inner.nodes.len() > 1 {
            *in_use = InUse { changes: changes.wrapping_add(1), ..InUse::default() };
            metrics::counter!(crate::metrics::NODE_CHANGES).increment(1);
            tracing::debug!(node = %self.endpoint(in_use.changes).uri(), "going on to another node");
        }
    }

    fn in_use(&self) -> MutexGuard<'_, InUse> {
        self.inner.in_use.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// One node, for one call.
///
/// ```no_run
/// # async fn example(connection: tidelog_client::Connection) -> Result<(), tidelog_client::Error> {
/// use tidelog_client::api::ListStreamsRequest;
///
/// let node = connection.node();
/// let request = node.request(ListStreamsRequest::default());
/// let page = node.answer(node.streams().list_streams(request)).await?;
/// # Ok(())
/// # }
/// ```
#[derive(Debug)]
pub struct Node {
    connection: Connection,
    changes: usize,
    channel: Channel,
    /// Held while a long-lived call goes on.
    _call: Option<Arc<()>>,
}

impl Node {
    /// Calls that write and read records.
    #[must_use]
    pub fn records(&self) -> RecordsClient<Channel> {
        RecordsClient::new(self.channel.clone())
            .max_decoding_message_size(MESSAGE_BYTES_MAX)
            .max_encoding_message_size(MESSAGE_BYTES_MAX)
    }

    /// Calls that manage streams.
    #[must_use]
    pub fn streams(&self) -> StreamsClient<Channel> {
        StreamsClient::new(self.channel.clone())
    }

    /// Calls of consumer groups.
    #[must_use]
    pub fn groups(&self) -> GroupsClient<Channel> {
        GroupsClient::new(self.channel.clone())
    }

    /// Calls about the cluster.
    #[must_use]
    pub fn cluster(&self) -> ClusterClient<Channel> {
        ClusterClient::new(self.channel.clone())
    }

    /// A request that names its caller.
    pub fn request<M>(&self, message: M) -> Request<M> {
        let mut request = Request::new(message);
        let inner = &self.connection.inner;
        for (name, value) in [("tidelog-account", &inner.account), ("tidelog-region", &inner.region)] {
            if let Some(value) = value {
                request.metadata_mut().insert(name, value.clone());
            }
        }
        request
    }

    /// Waits for the answer, or for the first message of many, as long as a call may take. A failure of the node leads
    /// to another node for the next call.
    ///
    /// # Errors
    /// The broker's refusal, or that no answer came in time.
    pub async fn answer<T>(
        &self,
        call: impl Future<Output = Result<Response<T>, Status>>,
    ) -> Result<T, Error> {
        self.answer_within(self.connection.request_timeout(), call).await
    }

    /// Waits as [`Self::answer`] does, for another time.
    ///
    /// # Errors
    /// As there.
    pub async fn answer_within<T>(
        &self,
        within: Duration,
        call: impl Future<Output = Result<Response<T>, Status>>,
    ) -> Result<T, Error> {
        let answer = match tokio::time::timeout(within, call).await {
            Ok(answer) => answer.map(Response::into_inner).map_err(Error::from),
            Err(_) => Err(Error::late(within)),
        };
        answer.inspect_err(|error| self.blame(error))
    }

    /// Takes note of a failure: one of the node leads to another node for the next call.
    pub fn blame(&self, error: &Error) {
        if error.is_of_node() {
            self.connection.leave(self.changes);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::Reason;

    #[test]
    fn bounds_and_addresses_are_checked() {
        let none: [&str; 0] = [];
        let cases = [
            Connection::to(none),
            Connection::to(["127.0.0.1:4567"]),
            Connection::to(["http://"]),
            Connection::to(["http://a:65536"]),
            Connection::to(["http://a"]).request_timeout(Duration::from_millis(99)),
            Connection::to(["https://a"]).ca_pem("no certificate").account("\u{7f}"),
        ];
        for case in cases {
            let named = format!("{case:?}");
            assert_eq!(case.build().expect_err(&named).reason(), Reason::Invalid, "{named}");
        }
    }

    #[tokio::test]
    async fn a_failed_node_is_left_once() {
        let connection =
            Connection::to(["http://127.0.0.1:1", "http://127.0.0.1:2"]).build().expect("is valid");
        let (one, same) = (connection.node(), connection.node());
        one.blame(&Error::new(Reason::Unavailable, ""));
        same.blame(&Error::new(Reason::Unavailable, ""));
        assert_eq!(connection.node().changes, one.changes + 1);
        connection.node().blame(&Error::new(Reason::Throttled, ""));
        assert_eq!(connection.node().changes, one.changes + 1);
    }

    #[tokio::test]
    async fn long_calls_are_spread_over_connections() {
        let connection = Connection::to(["http://127.0.0.1:1"]).build().expect("is valid");
        let held: Vec<Node> = (0..=STREAMS_PER_CONNECTION).map(|_| connection.node_for_stream()).collect();
        assert_eq!(connection.in_use().streams.len(), 2);
        drop(held);
        let _again = connection.node_for_stream();
        assert_eq!(connection.in_use().streams.len(), 2);
    }

    #[tokio::test]
    async fn nobody_there_means_that_nothing_was_done() {
        let connection = Connection::to(["http://127.0.0.1:1"]).build().expect("is valid");
        let node = connection.node();
        let request = node.request(tidelog_proto::v1::PutRequest::default());
        let failed = node.answer(node.records().put(request)).await.expect_err("nobody listens");
        assert_eq!(failed.reason(), Reason::Unavailable, "{failed}");
    }
}
