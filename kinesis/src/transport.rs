//! Connections: HTTP/1.1 in the clear, HTTP/2 or HTTP/1.1 by TLS, pooled by hyper.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http_body_util::Full;
use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::{TokioExecutor, TokioTimer};
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
use rustls::{ClientConfig, RootCertStore};

use super::{Settings, SettingsError};

/// How long a connection may take to come about.
const CONNECT_DEADLINE: Duration = Duration::from_secs(5);
/// How long a connection is kept without a call; below the 60 s after which most servers and balancers cut it.
const IDLE_MAX: Duration = Duration::from_secs(50);

/// The pool of connections to one endpoint.
pub type Transport = Client<HttpsConnector<HttpConnector>, Full<Bytes>>;

/// Makes the TCP connections below HTTP or TLS: without delay, within 5 seconds.
pub fn tcp_connector() -> HttpConnector {
    let mut connector = HttpConnector::new();
    connector.enforce_http(false);
    connector.set_nodelay(true);
    connector.set_connect_timeout(Some(CONNECT_DEADLINE));
    connector
}

/// Connections for these settings. Connects to nothing yet.
///
/// # Errors
/// When the certificates to trust cannot be read.
pub fn transport(settings: &Settings) -> Result<Transport, SettingsError> {
    let connector = HttpsConnectorBuilder::new()
        .with_tls_config(tls(settings)?)
        .https_or_http()
        .enable_all_versions()
        .wrap_connector(tcp_connector());
    Ok(Client::builder(TokioExecutor::new())
        .pool_idle_timeout(IDLE_MAX)
        .pool_timer(TokioTimer::new())
        .timer(TokioTimer::new())
        // Whether a call may be made twice is decided by the operation.
        .retry_canceled_requests(false)
        .build(connector))
}

/// TLS for these settings, without a word on HTTP's version.
///
/// # Errors
/// When the certificates to trust cannot be read.
pub fn tls(settings: &Settings) -> Result<ClientConfig, SettingsError> {
    let roots = match settings.endpoint.scheme_str() {
        Some("https") => roots(settings.ca.as_deref())?,
        // Never used, and the system's certificates take a while to read.
        _ => RootCertStore::empty(),
    };
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions();
    let config = config.map_err(|error| SettingsError::Tls(error.to_string()))?;
    Ok(config.with_root_certificates(roots).with_no_client_auth())
}

/// The system's certificates and those of the file.
fn roots(ca: Option<&Path>) -> Result<RootCertStore, SettingsError> {
    let mut roots = RootCertStore::empty();
    // Certificates that cannot be used are passed over: a system's store has odd ones.
    roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
    if let Some(path) = ca {
        let wrong = |reason: String| SettingsError::Certificates { path: path.into(), reason };
        let text = std::fs::read(path).map_err(|error| wrong(error.to_string()))?;
        let own = CertificateDer::pem_slice_iter(&text).collect::<Result<Vec<_>, _>>();
        let own = own.map_err(|error| wrong(format!("not PEM: {error}")))?;
        if own.is_empty() {
            return Err(wrong("it holds no certificate in PEM form".into()));
        }
        for certificate in own {
            roots.add(certificate).map_err(|error| wrong(error.to_string()))?;
        }
    }
    if roots.is_empty() {
        return Err(SettingsError::Tls(
            "the system has no certificates to trust; name some with --ca".into(),
        ));
    }
    Ok(roots)
}
