//! The settings of a connection, which are checked before anything is sent.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use tonic::codegen::http::Uri;
use tonic::metadata::{Ascii, MetadataValue};
use tonic::transport::Endpoint;
#[cfg(feature = "tls")]
use tonic::transport::{Certificate, ClientTlsConfig};

use super::{Connection, InUse, Inner};
use crate::error::{Error, Reason};

/// Bytes that HTTP/2 buffers for one call before its reader takes them.
const STREAM_WINDOW_BYTES: u32 = 1 << 20;

/// Bytes that HTTP/2 buffers for all calls of a connection.
const CONNECTION_WINDOW_BYTES: u32 = 8 << 20;

/// A connection that is silent for so long is asked whether it is there, and has [`CONNECT_TIMEOUT`] to answer.
const KEEP_ALIVE_INTERVAL: Duration = Duration::from_secs(5);

/// The longest that making a connection takes.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(3);

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

impl ConnectionBuilder {
    pub(super) fn new(nodes: Vec<String>) -> Self {
        Self {
            nodes,
            ca_pem: None,
            has_system_roots: false,
            account: None,
            region: None,
            request_timeout: Duration::from_secs(10),
        }
    }

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
            in_use: Mutex::new(InUse { changes, ..InUse::default() }),
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

/// Whether an address names no port, or one from 1 to 65535: one above would be passed over without a word.
fn has_usable_port(uri: &Uri) -> bool {
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
