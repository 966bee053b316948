//! Certificates made for a test, by an authority of its own.

use std::path::PathBuf;

use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, DnType, IsCa, KeyPair, SanType};
use tempfile::TempDir;

/// An authority and the directory of its files, which is removed with it.
pub struct Authority {
    issuer: CertifiedIssuer<'static, KeyPair>,
    directory: TempDir,
}

/// Files of a certificate that an [`Authority`] has issued.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Issued {
    /// The certificate, in PEM form.
    pub certificate: PathBuf,
    /// The private key of the certificate, in PEM form.
    pub key: PathBuf,
}

impl Authority {
    /// An authority of that name.
    ///
    /// # Panics
    /// Without a directory for temporary files.
    #[must_use]
    pub fn new(name: &str) -> Self {
        let mut params = CertificateParams::default();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.distinguished_name.push(DnType::CommonName, name);
        let issuer =
            CertifiedIssuer::self_signed(params, KeyPair::generate().expect("a key")).expect("an issuer");
        let directory = tempfile::tempdir().expect("a directory");
        std::fs::write(directory.path().join("ca.pem"), issuer.pem()).expect("room");
        Self { issuer, directory }
    }

    /// The authority's own certificate, in PEM form.
    #[must_use]
    pub fn ca(&self) -> PathBuf {
        self.directory.path().join("ca.pem")
    }

    /// Issues a certificate for 127.0.0.1 that carries these URI names. One of the same `name` is replaced.
    ///
    /// # Panics
    /// When a URI is none.
    pub fn issue(&self, name: &str, uris: &[&str]) -> Issued {
        let mut params = CertificateParams::default();
        params.distinguished_name.push(DnType::CommonName, name);
        params.subject_alt_names.push(SanType::IpAddress([127, 0, 0, 1].into()));
        params
            .subject_alt_names
            .extend(uris.iter().map(|uri| SanType::URI((*uri).try_into().expect("a URI"))));
        let key = KeyPair::generate().expect("a key");
        let certificate = params.signed_by(&key, &self.issuer).expect("a certificate");
        let issued = self.issued(name);
        std::fs::write(&issued.certificate, certificate.pem()).expect("room");
        std::fs::write(&issued.key, key.serialize_pem()).expect("room");
        issued
    }

    /// Files of the certificate of that name.
    #[must_use]
    pub fn issued(&self, name: &str) -> Issued {
        let [certificate, key] =
            ["pem", "key"].map(|end| self.directory.path().join(format!("{name}.{end}")));
        Issued { certificate, key }
    }
}
