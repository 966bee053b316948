//! The user's files of certificates and keys, in PEM form. Each refusal names the file and its fault.
//!
//! Used by [`super::Tls`] and [`super::peer`].

use std::path::Path;

use rustls::pki_types::pem::{self, PemObject};
use rustls::pki_types::{CertificateDer, PrivateKeyDer};

use super::TlsError;

pub(super) fn refused(path: &Path, reason: impl Into<String>) -> TlsError {
    TlsError::Refused { path: path.into(), reason: reason.into() }
}

/// The certificates of the file, at least one.
pub(super) fn certificates(path: &Path) -> Result<Vec<CertificateDer<'static>>, TlsError> {
    let text = read(path)?;
    let certificates = CertificateDer::pem_slice_iter(&text).collect::<Result<Vec<_>, _>>();
    let certificates = certificates.map_err(|error| refused(path, format!("not PEM: {error}")))?;
    if certificates.is_empty() {
        return Err(refused(path, "it holds no certificate in PEM form"));
    }
    Ok(certificates)
}

/// The private key of the file.
pub(super) fn key(path: &Path) -> Result<PrivateKeyDer<'static>, TlsError> {
    PrivateKeyDer::from_pem_slice(&read(path)?).map_err(|error| {
        let reason = match error {
            pem::Error::NoItemsFound => {
                "it holds no private key in PEM form (encrypted ones are not read)".into()
            }
            error => format!("not PEM: {error}"),
        };
        refused(path, reason)
    })
}

/// Why a certificate cannot be presented with a key.
pub(super) fn mismatch(certificate: &Path, key: &Path, error: &rustls::Error) -> TlsError {
    match error {
        rustls::Error::InconsistentKeys(_) => {
            refused(key, format!("it is not the key of the certificate in {}", certificate.display()))
        }
        error => refused(certificate, format!("not usable with the key: {error}")),
    }
}

fn read(path: &Path) -> Result<Vec<u8>, TlsError> {
    std::fs::read(path).map_err(|source| TlsError::File { path: path.into(), source })
}
