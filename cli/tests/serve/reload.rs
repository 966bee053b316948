//! SIGHUP: certificates and the level of the log come anew from their files, and faulty ones are refused.

use std::io::Write;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use rcgen::{CertificateParams, DnType, KeyPair};
use rustix::process::Signal;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, ClientConnection, RootCertStore, StreamOwned};

use tidelog_testkit::process::Logged;

use crate::tidelog;

/// Writes a certificate for localhost that names itself so, and its key.
fn write_certificate(directory: &Path, name: &str, days: u64) -> Vec<u8> {
    let mut params = CertificateParams::new(vec!["localhost".into()]).unwrap();
    params.distinguished_name.push(DnType::CommonName, name);
    let now = std::time::SystemTime::now();
    params.not_before = (now - Duration::from_secs(3_600)).into();
    params.not_after = (now + Duration::from_secs(days * 86_400 + 3_600)).into();
    let key = KeyPair::generate().unwrap();
    let certificate = params.self_signed(&key).unwrap();
    std::fs::write(directory.join("own.pem"), certificate.pem()).unwrap();
    std::fs::write(directory.join("own.key"), key.serialize_pem()).unwrap();
    certificate.der().to_vec()
}

/// The certificate that a broker presents.
fn presented(address: SocketAddr, trust: &Path) -> Vec<u8> {
    let mut roots = RootCertStore::empty();
    roots.add(CertificateDer::from_pem_file(trust).unwrap()).unwrap();
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let versions = ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions();
    let config = versions.unwrap().with_root_certificates(roots).with_no_client_auth();
    let name = ServerName::try_from("localhost").unwrap();
    let connection = ClientConnection::new(Arc::new(config), name).unwrap();
    let mut stream = StreamOwned::new(connection, std::net::TcpStream::connect(address).unwrap());
    stream.write_all(b"GET /livez HTTP/1.1\r\n").unwrap();
    stream.conn.peer_certificates().unwrap()[0].to_vec()
}

#[test]
fn a_hangup_reloads_certificates_and_the_level_of_the_log() {
    let directory = tempfile::tempdir().unwrap();
    let path = |name: &str| directory.path().join(name);
    let first = write_certificate(directory.path(), "first", 300);
    std::fs::copy(path("own.pem"), path("first.pem")).unwrap();
    std::fs::write(path("settings.toml"), "log = \"info\"\n").unwrap();
    let mut command = tidelog();
    command.args(["--ephemeral", "--listen", "127.0.0.1:0", "--config"]).arg(path("settings.toml"));
    command.arg("--tls-certificate").arg(path("own.pem")).arg("--tls-key").arg(path("own.key"));
    let mut broker = Logged::start(&mut command);
    let address: SocketAddr = broker.running.address().parse().unwrap();
    assert_eq!(presented(address, &path("first.pem")), first);

    std::fs::write(path("own.pem"), "no certificate").unwrap();
    std::fs::write(path("settings.toml"), "log = \"tidelog=nonsense\"\n").unwrap();
    broker.hang_up();
    broker.wait_for("the certificate for clients is refused; the one before stays in use");
    broker.wait_for("stays as it was");
    assert_eq!(presented(address, &path("first.pem")), first, "what is wrong stays out");

    let second = write_certificate(directory.path(), "second", 20);
    std::fs::write(path("settings.toml"), "log = \"debug\"\n").unwrap();
    broker.hang_up();
    broker.wait_for("the certificate for clients is reloaded");
    let warning = broker.wait_for("the certificate for clients expires soon");
    assert!(warning.contains("days=20"), "{warning}");
    broker.wait_for("the level of the log is reloaded");
    assert_eq!(presented(address, &path("own.pem")), second);
    // A line of the level debug.
    broker.wait_for("DEBUG");
    broker.running.signal(Signal::TERM);
    assert_eq!(broker.running.child.wait().unwrap().code(), Some(0));
}
