//! Mutual TLS between the nodes of a cluster, and with its administrators: each side proves a certificate by the
//! cluster's authority, and the role in the cluster that its certificate names ([`Role`]). The dialling side also
//! checks that the certificate is good for the host and the node that it dialled.
//!
//! Invariants: no stream comes out of here whose far end has not proved its role; both ends are Tidelog, so it is
//! TLS 1.3 and `h2` or nothing; a handshake has a deadline. In TLS 1.3 the dialling side is done first: a refusal
//! of its certificate comes with its first read, as an error of the stream. The peers' connections are made by it.

use std::fmt;
use std::future::Future;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, RwLock};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use rustls::client::WebPkiServerVerifier;
use rustls::client::danger::ServerCertVerifier;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime};
use rustls::server::WebPkiClientVerifier;
use rustls::server::danger::ClientCertVerifier;
use rustls::version::TLS13;
use rustls::{CertificateError, ClientConfig, RootCertStore, ServerConfig};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::time::timeout;
use tokio_rustls::{TlsAcceptor, TlsConnector};

use super::files::{certificates, key, mismatch, refused};
use super::{HTTP2, TlsError, expiry, provider};
pub use role::{Own, Role};

/// A stream between nodes, decrypted and encrypted on its way.
pub type PeerStream<S> = tokio_rustls::TlsStream<S>;

/// How long a handshake may take.
const HANDSHAKE: Duration = Duration::from_secs(5);

/// A node's certificate, its key, and the authority that all nodes of the cluster are trusted by.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PeerCertificates {
    /// PEM: the node's certificate, for both ends of a connection, and the intermediate certificates up to the
    /// authority.
    pub certificate: PathBuf,
    /// PEM: its private key.
    pub key: PathBuf,
    /// PEM: the authorities by one of which every node's certificate has to be.
    pub ca: PathBuf,
}

/// Both ends of mutual TLS. Clones share them, also when they are reloaded.
#[derive(Clone)]
pub struct PeerTls {
    ends: Arc<RwLock<Ends>>,
    files: Arc<PeerCertificates>,
    own: Arc<Own>,
}

#[derive(Clone)]
struct Ends {
    acceptor: TlsAcceptor,
    connector: TlsConnector,
    expires: SystemTime,
}

impl fmt::Debug for PeerTls {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("PeerTls").field("ca", &self.files.ca).finish_non_exhaustive()
    }
}

impl PeerTls {
    /// Reads the files of a node, or of an administrator. The own certificate is judged as the other side will judge
    /// it: it has to be by the authority, good at `now`, good for the host at which other nodes dial, and name the
    /// role.
    ///
    /// # Errors
    /// When a file is missing or holds something else, when the key is not the certificate's, or when the other side
    /// would refuse the certificate.
    pub fn with_files(files: &PeerCertificates, own: Own, now: SystemTime) -> Result<Self, TlsError> {
        let ends = Ends::of_files(files, &own, now)?;
        Ok(Self { ends: Arc::new(RwLock::new(ends)), files: Arc::new(files.clone()), own: Arc::new(own) })
    }

    /// Reads the files again, for the connections from now on. On any error the files that were read before stay in
    /// use.
    ///
    /// # Errors
    /// As [`Self::with_files`].
    pub fn reload(&self, now: SystemTime) -> Result<(), TlsError> {
        let ends = Ends::of_files(&self.files, &self.own, now)?;
        *self.ends.write().expect("no code panics while it holds this lock") = ends;
        Ok(())
    }

    /// When the own certificate expires, or one that stands between it and its root.
    pub fn expires(&self) -> SystemTime {
        self.ends().expires
    }

    /// The file of the own certificate.
    pub fn certificate(&self) -> &Path {
        &self.files.certificate
    }

    fn ends(&self) -> Ends {
        self.ends.read().expect("no code panics while it holds this lock").clone()
    }

    /// Shakes hands with the side that dialled, and returns its role.
    ///
    /// # Errors
    /// When it proves no certificate by the authority, when the certificate names no role, or after five seconds.
    pub async fn accept<S>(&self, stream: S) -> io::Result<(PeerStream<S>, Role)>
    where
        S: AsyncRead + AsyncWrite + Unpin,
    {
        let stream = PeerStream::from(in_time(self.ends().acceptor.accept(stream)).await?);
        let role = role_of(&stream)?;
        Ok((stream, role))
    }

    /// Shakes hands with the node that was dialled at `host`: a name, or an address, with or without brackets. `node`
    /// is the id that it has to prove; without one any node of the cluster will do.
    ///
    /// # Errors
    /// When it proves no certificate by the authority that is good for `host` and names the node, or after five
    /// seconds.
    pub async fn connect<S>(&self, stream: S, host: &str, node: Option<u64>) -> io::Result<PeerStream<S>>
    where
        S: AsyncRead + AsyncWrite + Unpin,
    {
        let name = server_name(host).map_err(|error| io::Error::new(io::ErrorKind::InvalidInput, error))?;
        let stream = PeerStream::from(in_time(self.ends().connector.connect(name, stream)).await?);
        match (role_of(&stream)?, node) {
            (Role::Node(_), None) => Ok(stream),
            (Role::Node(id), Some(node)) if id == node => Ok(stream),
            (role, node) => {
                let wanted = node.map_or_else(|| "a node".to_owned(), |node| Role::Node(node).to_string());
                Err(unproven(format!("its certificate names {role}, where {wanted} is expected")))
            }
        }
    }
}

impl Ends {
    fn of_files(files: &PeerCertificates, own: &Own, now: SystemTime) -> Result<Self, TlsError> {
        let mut roots = RootCertStore::empty();
        for authority in certificates(&files.ca)? {
            roots
                .add(authority)
                .map_err(|error| refused(&files.ca, format!("it holds no authority: {error}")))?;
        }
        let trust = Trust::new(Arc::new(roots))
            .map_err(|reason| refused(&files.ca, format!("it holds no usable authority: {reason}")))?;
        let (chain, key) = (certificates(&files.certificate)?, key(&files.key)?);
        trust.judge(&chain, own.host(), now).map_err(|error| match error {
            rustls::Error::InvalidCertificate(CertificateError::UnknownIssuer) => {
                let reason = format!("it is not by an authority of {}", files.ca.display());
                refused(&files.certificate, reason)
            }
            rustls::Error::InvalidCertificate(reason) => {
                refused(&files.certificate, format!("other nodes would refuse it: {reason}"))
            }
            error => refused(&files.certificate, format!("other nodes would refuse it: {error}")),
        })?;
        own.check_role(&chain).map_err(|reason| refused(&files.certificate, reason))?;
        let unusable = |error| mismatch(&files.certificate, &files.key, &error);
        let expires = expiry::of_chain(&chain).map_err(|reason| refused(&files.certificate, reason))?;
        let acceptor = trust.acceptor(chain.clone(), key.clone_key()).map_err(unusable)?;
        let connector = trust.connector(chain, key).map_err(unusable)?;
        Ok(Self { acceptor, connector, expires })
    }
}

/// The role that the far end has proved.
fn role_of<S>(stream: &PeerStream<S>) -> io::Result<Role> {
    let certificate = stream.get_ref().1.peer_certificates().and_then(|chain| chain.first());
    certificate.and_then(Role::of).ok_or_else(|| {
        let reason = "its certificate is by the cluster's authority, but names no node and no administrator: it needs \
                      the URI name tidelog:node:ID, or tidelog:admin";
        unproven(reason.to_owned())
    })
}

fn unproven(reason: String) -> io::Error {
    io::Error::new(io::ErrorKind::PermissionDenied, reason)
}

/// Verifiers by which a node judges the certificates of the nodes that it dials and of those that dial it.
struct Trust {
    servers: Arc<WebPkiServerVerifier>,
    clients: Arc<dyn ClientCertVerifier>,
}

impl Trust {
    fn new(roots: Arc<RootCertStore>) -> Result<Self, rustls::server::VerifierBuilderError> {
        let servers = WebPkiServerVerifier::builder_with_provider(Arc::clone(&roots), provider()).build()?;
        let clients = WebPkiClientVerifier::builder_with_provider(roots, provider()).build()?;
        Ok(Self { servers, clients })
    }

    /// Judges this node's own certificate like the nodes at the far ends of its connections.
    fn judge(
        &self,
        chain: &[CertificateDer<'static>],
        own_host: Option<&str>,
        now: SystemTime,
    ) -> Result<(), rustls::Error> {
        let now = UnixTime::since_unix_epoch(now.duration_since(UNIX_EPOCH).unwrap_or_default());
        let Some((own, rest)) = chain.split_first() else {
            return Err(rustls::Error::NoCertificatesPresented);
        };
        self.clients.verify_client_cert(own, rest, now)?;
        if let Some(host) = own_host {
            let name = server_name(host).map_err(|error| rustls::Error::General(error.to_string()))?;
            self.servers.verify_server_cert(own, rest, &name, &[], now)?;
        }
        Ok(())
    }

    fn acceptor(
        &self,
        chain: Vec<CertificateDer<'static>>,
        key: PrivateKeyDer<'static>,
    ) -> Result<TlsAcceptor, rustls::Error> {
        let versions = ServerConfig::builder_with_provider(provider()).with_protocol_versions(&[&TLS13])?;
        let mut config =
            versions.with_client_cert_verifier(Arc::clone(&self.clients)).with_single_cert(chain, key)?;
        config.alpn_protocols = vec![HTTP2.to_vec()];
        Ok(Arc::new(config).into())
    }

    fn connector(
        &self,
        chain: Vec<CertificateDer<'static>>,
        key: PrivateKeyDer<'static>,
    ) -> Result<TlsConnector, rustls::Error> {
        let versions = ClientConfig::builder_with_provider(provider()).with_protocol_versions(&[&TLS13])?;
        let mut config =
            versions.with_webpki_verifier(Arc::clone(&self.servers)).with_client_auth_cert(chain, key)?;
        config.alpn_protocols = vec![HTTP2.to_vec()];
        Ok(Arc::new(config).into())
    }
}

/// The host as a certificate names it: IPv6 addresses without the brackets that a port asks for.
fn server_name(host: &str) -> Result<ServerName<'static>, rustls::pki_types::InvalidDnsNameError> {
    let bare = host.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')).unwrap_or(host);
    ServerName::try_from(bare.to_owned())
}

async fn in_time<T>(handshake: impl Future<Output = io::Result<T>>) -> io::Result<T> {
    timeout(HANDSHAKE, handshake).await.unwrap_or_else(|_| {
        let reason = format!("no TLS handshake within {} seconds", HANDSHAKE.as_secs());
        Err(io::Error::new(io::ErrorKind::TimedOut, reason))
    })
}

#[cfg(test)]
pub(crate) mod fixture;
mod role;
#[cfg(test)]
mod tests;
