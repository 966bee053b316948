//! Certificates of a cluster, made for tests.

use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, DistinguishedName, DnType, IsCa, KeyPair, SanType,
};
use tempfile::TempDir;

use crate::tls::peer::PeerCertificates;

/// An authority and the directory of its files.
pub(crate) struct Authority {
    pub(crate) issuer: CertifiedIssuer<'static, KeyPair>,
    directory: TempDir,
}

impl Authority {
    /// An authority of that name.
    pub(crate) fn new(name: &str) -> Self {
        let mut params = CertificateParams::default();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.distinguished_name = DistinguishedName::new();
        params.distinguished_name.push(DnType::CommonName, name);
        let issuer = CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap();
        let directory = tempfile::tempdir().unwrap();
        std::fs::write(directory.path().join("ca.pem"), issuer.pem()).unwrap();
        Self { issuer, directory }
    }

    /// Files of node 1, which is dialled at `host` or at 127.0.0.1.
    pub(crate) fn node(&self, host: &str) -> PeerCertificates {
        self.named(host, &["tidelog:node:1"])
    }

    /// Files with a certificate for `host` and 127.0.0.1 that carries these URI names.
    pub(crate) fn named(&self, host: &str, uris: &[&str]) -> PeerCertificates {
        let mut params = CertificateParams::new([host.to_owned()]).unwrap();
        params.subject_alt_names.push(SanType::IpAddress([127, 0, 0, 1].into()));
        params.subject_alt_names.extend(uris.iter().map(|uri| SanType::URI((*uri).try_into().unwrap())));
        let key = KeyPair::generate().unwrap();
        let certificate = params.signed_by(&key, &self.issuer).unwrap();
        let [certificate_path, key_path] =
            ["pem", "key"].map(|end| self.directory.path().join(format!("{host}.{end}")));
        std::fs::write(&certificate_path, certificate.pem()).unwrap();
        std::fs::write(&key_path, key.serialize_pem()).unwrap();
        let ca = self.directory.path().join("ca.pem");
        PeerCertificates { certificate: certificate_path, key: key_path, ca }
    }
}
