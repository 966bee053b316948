//! TLS: the server's certificate and the handshake. No other module names rustls or rcgen.
//!
//! The certificate is the user's own, or one that the data directory's [`authority`] issues anew at every start and
//! that lives in memory only, so its names and dates are always fresh. The wire hands over streams whose first bytes
//! are a TLS handshake's and gets them back decrypted.

pub mod authority;
mod expiry;
mod files;
pub mod hashed;
mod names;
pub mod peer;

use std::fmt;
use std::io;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::{Arc, RwLock};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use rustls::client::WebPkiServerVerifier;
use rustls::client::danger::ServerCertVerifier;
use rustls::crypto::{CryptoProvider, ring};
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime};
use rustls::{RootCertStore, ServerConfig};
use tidelog_storage::Disk;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio_rustls::TlsAcceptor;

use authority::{Authority, Issued};
pub use names::Names;

/// A stream that is decrypted and encrypted on its way.
pub type SecureStream<S> = tokio_rustls::server::TlsStream<S>;

const HTTP2: &[u8] = b"h2";
const HTTP1: &[u8] = b"http/1.1";

/// A certificate chain and its key, as files of the user's.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CertificateFiles {
    /// PEM: the server's certificate, and the intermediate certificates up to its root.
    pub certificate: PathBuf,
    /// PEM: its private key.
    pub key: PathBuf,
}

/// Whether a handshake failed because the other end sent a message that is not one of TLS.
pub fn is_foreign_message(error: &io::Error) -> bool {
    let source = error.get_ref().and_then(|source| source.downcast_ref());
    matches!(source, Some(rustls::Error::InvalidMessage(_)))
}

/// Why TLS cannot be served.
#[derive(Debug, thiserror::Error)]
pub enum TlsError {
    /// A file cannot be read or written.
    #[error("{}: {source}", path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// The error of the file system.
        source: io::Error,
    },
    /// A file of the data directory does not have the bytes that were written.
    #[error(
        "{}: {reason}; restore the file from a copy of the data directory, or remove the whole directory {} to have a \
         new CA made, which clients then have to be given",
        path.display(),
        path.parent().unwrap_or(path).display()
    )]
    Damaged {
        /// The file.
        path: PathBuf,
        /// The fault of the file.
        reason: String,
    },
    /// A file of the user's own is wrong.
    #[error("{}: {reason}", path.display())]
    Refused {
        /// The file.
        path: PathBuf,
        /// The fault of the file.
        reason: String,
    },
    /// No certificate could be made.
    #[error("cannot make a certificate: {0}")]
    NotMade(String),
}

impl TlsError {
    fn damaged(path: &Path, found: &str) -> Self {
        Self::Damaged { path: path.into(), reason: format!("damaged: it holds {found}") }
    }
}

/// The protocol that client and server agreed on in their handshake (RFC 7301).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Agreed {
    /// `h2`.
    Http2,
    /// `http/1.1`.
    Http1,
    /// The client named none.
    Nothing,
}

/// The certificate that a broker presents to clients that connect by TLS. Clones share it, also when it is
/// reloaded.
#[derive(Clone)]
pub struct Tls {
    presented: Arc<RwLock<Presented>>,
    source: Arc<Source>,
    trust: PathBuf,
}

struct Presented {
    acceptor: TlsAcceptor,
    expires: SystemTime,
}

/// Where the certificate comes from, each time it is reloaded.
enum Source {
    Files(CertificateFiles),
    Authority { authority: Box<Authority>, region: String, listening: Vec<SocketAddr> },
}

impl fmt::Debug for Tls {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("Tls").field("trust", &self.trust).finish_non_exhaustive()
    }
}

impl Presented {
    fn of_files(files: &CertificateFiles) -> Result<Self, TlsError> {
        let (chain, key) = (files::certificates(&files.certificate)?, files::key(&files.key)?);
        let expires =
            expiry::of_chain(&chain).map_err(|reason| files::refused(&files.certificate, reason))?;
        let acceptor =
            acceptor(chain, key).map_err(|error| files::mismatch(&files.certificate, &files.key, &error))?;
        Ok(Self { acceptor, expires })
    }

    fn of_authority(
        authority: &Authority,
        region: &str,
        listening: &[SocketAddr],
        now: SystemTime,
    ) -> Result<Self, TlsError> {
        let names = Names::of_this_machine(region, listening);
        let issued = authority.issue(&names, now).map_err(|error| TlsError::NotMade(error.to_string()))?;
        verify(authority, &issued, now).map_err(|error| TlsError::Damaged {
            path: authority.path.clone(),
            reason: format!("a certificate under it does not verify: {error}"),
        })?;
        let chain = vec![issued.certificate];
        let expires = expiry::of_chain(&chain).map_err(TlsError::NotMade)?;
        let acceptor = acceptor(chain, issued.key);
        let acceptor = acceptor.map_err(|error| TlsError::NotMade(error.to_string()))?;
        Ok(Self { acceptor, expires })
    }
}

impl Tls {
    /// With the user's own certificate.
    ///
    /// # Errors
    /// When a file is unreadable or holds something else, or the key is not the certificate's.
    pub fn with_files(files: &CertificateFiles) -> Result<Self, TlsError> {
        let presented = Presented::of_files(files)?;
        Ok(Self::presenting(presented, Source::Files(files.clone()), files.certificate.clone()))
    }

    fn presenting(presented: Presented, source: Source, trust: PathBuf) -> Self {
        Self { presented: Arc::new(RwLock::new(presented)), source: Arc::new(source), trust }
    }

    /// Reads the user's files again, or issues another certificate, for the handshakes from now on. No session of a
    /// certificate before is resumed. On any error the certificate before stays.
    ///
    /// # Errors
    /// As [`Self::with_files`] and [`Self::with_authority`].
    pub fn reload(&self, now: SystemTime) -> Result<(), TlsError> {
        let presented = match &*self.source {
            Source::Files(files) => Presented::of_files(files)?,
            Source::Authority { authority, region, listening } => {
                Presented::of_authority(authority, region, listening, now)?
            }
        };
        *self.presented.write().expect("no code panics while it holds this lock") = presented;
        Ok(())
    }

    /// Whether the data directory's authority issues the certificate, as often as one is wanted.
    pub fn is_of_authority(&self) -> bool {
        matches!(*self.source, Source::Authority { .. })
    }

    /// When the certificate that is presented expires, or one that stands between it and its root.
    pub fn expires(&self) -> SystemTime {
        self.presented.read().expect("no code panics while it holds this lock").expires
    }

    /// With a certificate of the data directory's authority, for a broker in `region` that listens on `listening`.
    /// Checked as a client would that trusts the authority.
    ///
    /// # Errors
    /// When the authority is damaged, or cannot be made.
    pub fn with_authority(
        disk: &dyn Disk,
        data: &Path,
        region: &str,
        listening: &[SocketAddr],
        now: SystemTime,
    ) -> Result<Self, TlsError> {
        let authority = Authority::open(disk, data, now)?;
        let presented = Presented::of_authority(&authority, region, listening, now)?;
        let (trust, region, listening) = (authority.path.clone(), region.to_owned(), listening.to_vec());
        Ok(Self::presenting(
            presented,
            Source::Authority { authority: Box::new(authority), region, listening },
            trust,
        ))
    }

    /// The file that clients are to trust, or whose issuer they are to trust.
    pub fn trust(&self) -> &Path {
        &self.trust
    }

    /// Shakes hands with the client behind `stream`.
    ///
    /// # Errors
    /// When the client's bytes are no handshake, or there is nothing in common.
    pub async fn accept<S>(&self, stream: S) -> io::Result<(SecureStream<S>, Agreed)>
    where
        S: AsyncRead + AsyncWrite + Unpin,
    {
        let acceptor =
            self.presented.read().expect("no code panics while it holds this lock").acceptor.clone();
        let stream = acceptor.accept(stream).await?;
        let agreed = match stream.get_ref().1.alpn_protocol() {
            Some(HTTP2) => Agreed::Http2,
            Some(_) => Agreed::Http1,
            None => Agreed::Nothing,
        };
        Ok((stream, agreed))
    }
}

fn provider() -> Arc<CryptoProvider> {
    Arc::new(ring::default_provider())
}

fn acceptor(
    chain: Vec<CertificateDer<'static>>,
    key: PrivateKeyDer<'static>,
) -> Result<TlsAcceptor, rustls::Error> {
    let versions = ServerConfig::builder_with_provider(provider()).with_safe_default_protocol_versions()?;
    let mut config = versions.with_no_client_auth().with_single_cert(chain, key)?;
    config.alpn_protocols = vec![HTTP2.to_vec(), HTTP1.to_vec()];
    Ok(Arc::new(config).into())
}

/// Judges the certificate like a client whose only root is the authority.
fn verify(authority: &Authority, issued: &Issued, now: SystemTime) -> Result<(), Box<dyn std::error::Error>> {
    let mut roots = RootCertStore::empty();
    roots.add(authority.certificate.clone())?;
    let verifier = WebPkiServerVerifier::builder_with_provider(Arc::new(roots), provider()).build()?;
    let since: Duration = now.duration_since(UNIX_EPOCH).unwrap_or_default();
    for name in ["localhost", "127.0.0.1"] {
        let (name, now) = (ServerName::try_from(name)?, UnixTime::since_unix_epoch(since));
        verifier.verify_server_cert(&issued.certificate, &[], &name, &[], now)?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use tidelog_storage::disk::RealDisk;

    use super::*;
    use crate::clock::machine_time;

    #[test]
    fn a_certificate_of_another_authority_is_damage() {
        let now = machine_time();
        let [one, other] = [tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap()];
        for data in [&one, &other] {
            Tls::with_authority(&RealDisk, data.path(), "us-east-1", &[], now).unwrap();
        }
        std::fs::copy(one.path().join("tls/ca.pem"), other.path().join("tls/ca.pem")).unwrap();
        let error =
            Tls::with_authority(&RealDisk, other.path(), "us-east-1", &[], now).unwrap_err().to_string();
        assert!(error.contains("tls/ca.pem: a certificate under it does not verify"), "{error}");
    }

    #[test]
    fn files_that_do_not_go_together_are_refused() {
        let [one, other] = [tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap()];
        let [mine, yours] = [&one, &other].map(|data| {
            Tls::with_authority(&RealDisk, data.path(), "us-east-1", &[], machine_time()).unwrap();
            data.path().join("tls")
        });
        let files = |certificate: &str, key: PathBuf| {
            Tls::with_files(&CertificateFiles { certificate: mine.join(certificate), key })
                .map(drop)
                .map_err(|error| error.to_string())
        };
        assert_eq!(files("ca.pem", mine.join("ca.key")), Ok(()));
        for (certificate, key, part) in [
            ("ca.pem", yours.join("ca.key"), "is not the key of the certificate"),
            ("ca.key", mine.join("ca.key"), "holds no certificate"),
            ("ca.pem", mine.join("ca.pem"), "holds no private key"),
            ("gone", mine.join("ca.key"), "gone: No such file"),
        ] {
            let error = files(certificate, key).unwrap_err();
            assert!(error.contains(part), "{error}");
        }
    }
}
