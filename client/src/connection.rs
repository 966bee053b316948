//! Connections to the broker: any node of a list, another one when that fails, TLS, deadlines, and the caller's
//! identity. Everything in this crate that talks gRPC goes through it.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tidelog_proto::v1::cluster_client::ClusterClient;
use tidelog_proto::v1::groups_client::GroupsClient;
use tidelog_proto::v1::records_client::RecordsClient;
use tidelog_proto::v1::streams_client::StreamsClient;
use tonic::codegen::http::Uri;
use tonic::metadata::{Ascii, MetadataValue};
#[cfg(feature = "tls")]
use tonic::transport::{Certificate, ClientTlsConfig};
use tonic::transport::{Channel, Endpoint};
use tonic::{Request, Response, Status};

use crate::error::{Error, Reason};

/// Bytes of the largest message, either way.
const MESSAGE_BYTES_MAX: usize = 16 << 20;

/// Long-lived calls on one connection; servers bound the calls of a connection, and these must not use them up.
const STREAMS_PER_CONNECTION: usize = 64;

/// Bytes that HTTP/2 buffers for one call before its reader takes them.
const STREAM_WINDOW_BYTES: u32 = 1 << 20;

/// Bytes that HTTP/2 buffers for all calls of a connection.
const CONNECTION_WINDOW_BYTES: u32 = 8 << 20;

/// A connection that is silent for so long is asked whether it is there, and has [`CONNECT_TIMEOUT`] to answer.
const KEEP_ALIVE_INTERVAL: Duration = Duration::from_secs(5);

/// The longest that making a connection takes.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(3);

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
    now: Mutex<Now>,
}

/// The node that is used now, and the connections to it.
#[derive(Debug, Default)]
struct Now {
    /// Counts the changes; modulo the number of nodes it is the node.
    changes: usize,
    calls: Option<Channel>,
    streams: Vec<(Channel, Arc<()>)>,
}

/// How to connect. Made by [`Connection::to`].
#[derive(Debug)]
pub struct ConnectionBuilder {
    nodes: Vec<String>,
    ca_pem: Option<Vec<u8>>,
    has_system_roots: bool,
    account: Option<String>,
    region: Option<String>,
    request_timeout: Duration,
}

impl Connection {
    /// The broker with these nodes, such as `http://127.0.0.1:4567`, or `https://…` for TLS. One suffices; with several
    /// the client goes to another when one fails.
    pub fn to<N: Into<String>>(nodes: impl IntoIterator<Item = N>) -> ConnectionBuilder {
        ConnectionBuilder {
            nodes: nodes.into_iter().map(Into::into).collect(),
            ca_pem: None,
            has_system_roots: false,
            account: None,
            region: None,
            request_timeout: Duration::from_secs(10),
        }
    }

    /// The node in use, for a call that is answered at once. Calls that this crate does not wrap are made with it.
    #[must_use]
    pub fn node(&self) -> Node {
        let mut now = self.now();
        let changes = now.changes;
        let channel = now.calls.get_or_insert_with(|| self.endpoint(changes).connect_lazy()).clone();
        Node { connection: self.clone(), changes, channel, _call: None }
    }

    /// The node in use, for a call whose messages go on and on.
    #[must_use]
    pub fn node_for_stream(&self) -> Node {
        let mut now = self.now();
        let changes = now.changes;
        let free = now.streams.iter().find(|(_, calls)| Arc::strong_count(calls) <= STREAMS_PER_CONNECTION);
        let (channel, calls) = free.cloned().unwrap_or_else(|| {
            let fresh = (self.endpoint(changes).connect_lazy(), Arc::new(()));
            now.streams.retain(|(_, calls)| Arc::strong_count(calls) > 1);
            now.streams.push(fresh.clone());
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
        let mut now = self.now();
        if now.changes == changes && self.inner.nodes.len() > 1 {
            *now = Now { changes: changes.wrapping_add(1), ..Now::default() };
            metrics::counter!(crate::metrics::NODE_CHANGES).increment(1);
            tracing::debug!(node = %self.endpoint(now.changes).uri(), "going on to another node");
        }
    }

    fn now(&self) -> MutexGuard<'_, Now> {
        self.inner.now.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl ConnectionBuilder {
    /// The CA that nodes are trusted by, in PEM, such as `tidelog ca` prints it. By default those of the system.
    #[must_use]
    pub fn ca_pem(mut self, pem: impl Into<Vec<u8>>) -> Self {
        self.ca_pem = Some(pem.into());
        self
    }

    /// Trusts the CAs of the system too, beside the one that is given.
    #[must_use]
    pub fn with_system_roots(mut self) -> Self {
        self.has_system_roots = true;
        self
    }

    /// The account whose streams are meant, 12 digits. By default the broker's.
    #[must_use]
    pub fn account(mut self, account: impl Into<String>) -> Self {
        self.account = Some(account.into());
        self
    }

    /// The region whose streams are meant. By default the broker's.
    #[must_use]
    pub fn region(mut self, region: impl Into<String>) -> Self {
        self.region = Some(region.into());
        self
    }

    /// How long one call may take: 100 ms to 5 minutes, by default 10 s.
    #[must_use]
    pub fn request_timeout(mut self, timeout: Duration) -> Self {
        self.request_timeout = timeout;
        self
    }

    /// The connection. Nothing is sent yet, so that a broker that is not there shows at the first call only.
    ///
    /// # Errors
    /// [`Reason::Invalid`]: no nodes, an address that is none, a CA that cannot be read, a value out of its bounds.
    pub fn build(self) -> Result<Connection, Error> {
        let bounds = Duration::from_millis(100)..=Duration::from_secs(300);
        if self.nodes.is_empty() || !bounds.contains(&self.request_timeout) {
            return Err(invalid(
                "at least one node, and a request timeout of 100 ms to 5 minutes, are needed",
            ));
        }
        let trust = self.trust();
        let nodes = self.nodes.iter().map(|node| endpoint(node, &trust)).collect::<Result<Vec<_>, _>>()?;
        let changes = rand::random_range(0..nodes.len());
        let inner = Inner {
            nodes,
            account: self.account.as_deref().map(metadata).transpose()?,
            region: self.region.as_deref().map(metadata).transpose()?,
            request_timeout: self.request_timeout,
            now: Mutex::new(Now { changes, ..Now::default() }),
        };
        Ok(Connection { inner: Arc::new(inner) })
    }
}

impl ConnectionBuilder {
    #[cfg(feature = "tls")]
    fn trust(&self) -> Trust {
        let mut tls = ClientTlsConfig::new();
        if self.has_system_roots || self.ca_pem.is_none() {
            tls = tls.with_native_roots();
        }
        match &self.ca_pem {
            Some(pem) => tls.ca_certificate(Certificate::from_pem(pem)),
            None => tls,
        }
    }

    #[cfg(not(feature = "tls"))]
    fn trust(&self) -> Trust {}
}

/// CAs that nodes are trusted by.
#[cfg(feature = "tls")]
type Trust = ClientTlsConfig;
/// Without TLS there is nothing to trust.
#[cfg(not(feature = "tls"))]
type Trust = ();

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

/// Whether an address names no port, or one from 1 to 65535: one above would be passed over without a word.
pub(crate) fn has_usable_port(uri: &Uri) -> bool {
    let names_port =
        uri.authority().is_some_and(|authority| authority.as_str().len() > authority.host().len());
    !names_port || uri.port_u16().is_some_and(|port| port > 0)
}

#[cfg(feature = "tls")]
fn secured(endpoint: Endpoint, trust: &Trust) -> Result<Endpoint, String> {
    endpoint.tls_config(trust.clone()).map_err(|error| error.to_string())
}

#[cfg(not(feature = "tls"))]
fn secured(_: Endpoint, (): &Trust) -> Result<Endpoint, String> {
    Err("https:// needs the feature `tls` of tidelog-client".into())
}

fn endpoint(node: &str, trust: &Trust) -> Result<Endpoint, Error> {
    let malformed = |error: &dyn std::fmt::Display| invalid(format!("node {node}: {error}"));
    let endpoint = Endpoint::from_shared(node.to_owned()).map_err(|error| malformed(&error))?;
    if !has_usable_port(endpoint.uri()) {
        return Err(malformed(&"a port is a number from 1 to 65535"));
    }
    let endpoint = match endpoint.uri().scheme_str() {
        Some("https") => secured(endpoint, trust).map_err(|error| malformed(&error))?,
        Some("http") => endpoint,
        _ => return Err(malformed(&"an address begins with http:// or https://")),
    };
    Ok(endpoint
        .connect_timeout(CONNECT_TIMEOUT)
        .initial_stream_window_size(STREAM_WINDOW_BYTES)
        .initial_connection_window_size(CONNECTION_WINDOW_BYTES)
        .http2_keep_alive_interval(KEEP_ALIVE_INTERVAL)
        .keep_alive_timeout(CONNECT_TIMEOUT)
        .tcp_nodelay(true))
}

fn metadata(value: &str) -> Result<MetadataValue<Ascii>, Error> {
    value.parse().map_err(|_| invalid(format!("account and region are plain ASCII, and {value:?} is not")))
}

fn invalid(message: impl Into<String>) -> Error {
    Error::new(Reason::Invalid, message)
}

#[cfg(test)]
mod tests;
