//! When certificates expire.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use rustls::pki_types::CertificateDer;
use x509_parser::parse_x509_certificate;

/// When the first certificate of a chain expires.
///
/// # Errors
/// The bytes cannot be read as a certificate, or are none.
pub(super) fn of_chain(chain: &[CertificateDer<'_>]) -> Result<SystemTime, String> {
    let mut first: Option<SystemTime> = None;
    for certificate in chain {
        let parsed = parse_x509_certificate(certificate);
        let (_, parsed) = parsed.map_err(|error| format!("a part of it is no certificate: {error}"))?;
        // Before 1970 is long ago, too.
        let seconds = u64::try_from(parsed.validity().not_after.timestamp()).unwrap_or_default();
        let expires = UNIX_EPOCH + Duration::from_secs(seconds);
        first = Some(first.map_or(expires, |first| first.min(expires)));
    }
    first.ok_or_else(|| "it holds no certificate".into())
}
