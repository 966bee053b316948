//! TLS on the port of plain HTTP: clients that trust the broker's CA alone, and others.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use hyper::client::conn::{http1, http2};
use hyper::{Request, Version};
use hyper_util::rt::{TokioExecutor, TokioIo};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, RootCertStore};
use tidelog::clock::Clock;
use tidelog::config::{CertificateFiles, DataLocation};
use tidelog::server::Server;
use tidelog::tls::authority::exported;
use tidelog::wire::Bounds;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use crate::broker::{Broker, NO_STREAMS, PATIENCE, config, post};

/// A connection by TLS, of a client that trusts the certificate in that file alone and calls the broker by `name`.
async fn connect(
    broker: &Broker,
    trust: &Path,
    name: &str,
    protocols: &[&[u8]],
) -> std::io::Result<TlsStream<TcpStream>> {
    let mut roots = RootCertStore::empty();
    roots.add(CertificateDer::from_pem_file(trust).unwrap()).unwrap();
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let versions =
        ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions().unwrap();
    let mut config = versions.with_root_certificates(roots).with_no_client_auth();
    config.alpn_protocols = protocols.iter().map(|protocol| protocol.to_vec()).collect();
    let stream = TcpStream::connect(broker.address()).await.unwrap();
    let name = ServerName::try_from(name.to_owned()).unwrap();
    timeout(PATIENCE, TlsConnector::from(Arc::new(config)).connect(name, stream))
        .await
        .expect("a handshake in time")
}

/// The version and the body of the answer to a ListStreams.
async fn listed(stream: TlsStream<TcpStream>, with_http2: bool) -> (Version, String) {
    let request = Request::post("https://localhost/")
        .header("host", "localhost")
        .header("x-amz-target", "Kinesis_20131202.ListStreams")
        .header("content-type", "application/x-amz-json-1.1")
        .body(Full::new(Bytes::from_static(b"{}")))
        .unwrap();
    let answer = if with_http2 {
        let (mut sender, connection) =
            http2::handshake(TokioExecutor::new(), TokioIo::new(stream)).await.unwrap();
        tokio::spawn(connection);
        sender.send_request(request).await.unwrap()
    } else {
        let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await.unwrap();
        tokio::spawn(connection);
        sender.send_request(request).await.unwrap()
    };
    let version = answer.version();
    let body = answer.into_body().collect().await.unwrap().to_bytes();
    (version, String::from_utf8(body.to_vec()).unwrap())
}

#[tokio::test]
async fn plain_and_tls_share_a_port_and_alpn_chooses_the_protocol() {
    let broker = Broker::start().await;
    let trust = broker.server.trust().to_path_buf();
    let cases = [
        ("h2 http/1.1", Some("h2"), true),
        ("http/1.1", Some("http/1.1"), false),
        ("h2", Some("h2"), true),
        // Without ALPN the first bytes tell.
        ("", None, false),
        ("", None, true),
    ];
    for (offered, agreed, with_http2) in cases {
        let (offered, agreed) =
            (offered.split_whitespace().map(str::as_bytes).collect::<Vec<_>>(), agreed.map(str::as_bytes));
        let stream = connect(&broker, &trust, "localhost", &offered).await.unwrap();
        assert_eq!(stream.get_ref().1.alpn_protocol(), agreed, "{offered:?}");
        let (version, body) = listed(stream, with_http2).await;
        assert_eq!(version, if with_http2 { Version::HTTP_2 } else { Version::HTTP_11 });
        assert!(body.contains(NO_STREAMS), "{body}");
        broker.assert_well().await;
    }
    let refused = connect(&broker, &trust, "localhost", &[b"http/3"]).await.unwrap_err();
    assert!(refused.to_string().contains("NoApplicationProtocol"), "{refused}");
    broker.stop().await;
}

#[tokio::test]
async fn the_certificate_is_good_for_the_names_that_clients_use_and_for_no_other() {
    let broker = Broker::start().await;
    let trust = broker.server.trust().to_path_buf();
    let machine = rustix::system::uname().nodename().to_string_lossy().into_owned();
    let names = [
        "localhost",
        "127.0.0.1",
        "::1",
        "kinesis.us-east-1.amazonaws.com",
        "kinesis.eu-central-1.amazonaws.com",
        "000000000000.data-kinesis.us-east-1.amazonaws.com",
        "000000000000.control-kinesis.us-east-1.amazonaws.com",
        "dynamodb.us-east-1.amazonaws.com",
        "monitoring.eu-central-1.amazonaws.com",
        "sts.us-east-1.amazonaws.com",
        "sts.amazonaws.com",
        &machine,
    ];
    for name in names.into_iter().filter(|name| ServerName::try_from(*name).is_ok()) {
        assert!(connect(&broker, &trust, name, &[]).await.is_ok(), "{name}");
    }
    for name in ["example.com", "s3.us-east-1.amazonaws.com", "192.0.2.1"] {
        assert!(connect(&broker, &trust, name, &[]).await.is_err(), "{name}");
    }
    broker.stop().await;
}

#[tokio::test]
async fn a_large_body_passes() {
    let broker = Broker::start().await;
    let trust = broker.server.trust().to_path_buf();
    let mut stream = connect(&broker, &trust, "localhost", &[b"http/1.1"]).await.unwrap();
    let body = format!("{}{{}}", " ".repeat(12 << 20));
    stream.write_all(post("ListStreams", &body).as_bytes()).await.unwrap();
    // The session may still hold the last records of the body when the write returns.
    stream.flush().await.unwrap();
    let mut answer = vec![0; 4_096];
    let count = timeout(PATIENCE, stream.read(&mut answer)).await.unwrap().unwrap();
    assert!(answer[..count].starts_with(b"HTTP/1.1 200 OK"), "{}", String::from_utf8_lossy(&answer));
    broker.stop().await;
}

#[tokio::test]
async fn a_connection_without_a_handshake_is_closed_and_harms_no_other() {
    let broker = Broker::start().await;
    let record = |length: &[u8]| [b"\x16\x03\x01".as_slice(), length, &[0xff; 600]].concat();
    for garbage in [record(b"\x02\x00"), record(b"\xff\xff"), record(b"\x00\x00"), b"\x16\x03".repeat(900)] {
        let mut stream = TcpStream::connect(broker.address()).await.unwrap();
        stream.write_all(&garbage).await.unwrap();
        let mut rest = Vec::new();
        let end = timeout(PATIENCE, stream.read_to_end(&mut rest)).await.expect("the connection is closed");
        // At most an alert record comes back.
        assert!(end.is_err() || rest.is_empty() || rest[0] == 0x15, "{rest:?}");
    }
    broker.assert_well().await;
    broker.stop().await;
}

#[tokio::test]
async fn a_handshake_that_stalls_is_cut() {
    let bounds = Bounds { first_bytes: Duration::from_millis(300), ..Bounds::default() };
    let broker = Broker::start_with(bounds).await;
    for begun in
        [b"\x16".as_slice(), b"\x16\x03", b"\x16\x03\x01\x02\x00", b"\x16\x03\x01\x00\x10\x01\x00\x00"]
    {
        let mut client = broker.client().await;
        client.stream.write_all(begun).await.unwrap();
        client.assert_closed(PATIENCE).await;
    }
    // A client that agreed on HTTP/2 and does not begin it either.
    let trust = broker.server.trust().to_path_buf();
    let mut stream = connect(&broker, &trust, "localhost", &[b"h2"]).await.unwrap();
    let mut rest = Vec::new();
    let end = timeout(PATIENCE, stream.read_to_end(&mut rest)).await.expect("the connection is closed");
    assert!(end.is_err() || rest.is_empty(), "{rest:?}");
    broker.assert_well().await;
    broker.stop().await;
}

#[tokio::test]
async fn a_client_by_tls_that_takes_no_answer_is_cut() {
    let bounds = Bounds { stall: Duration::from_millis(300), ..Bounds::default() };
    let broker = Broker::start_with(bounds).await;
    let trust = broker.server.trust().to_path_buf();
    let mut stream = connect(&broker, &trust, "localhost", &[b"http/1.1"]).await.unwrap();
    let metrics = "GET /metrics HTTP/1.1\r\nHost: localhost\r\n\r\n".repeat(100);
    let flood = async { while stream.write_all(metrics.as_bytes()).await.is_ok() {} };
    timeout(PATIENCE, flood).await.expect("a connection that takes nothing is cut");
    broker.assert_well().await;
    broker.stop().await;
}

#[tokio::test]
async fn the_authority_survives_a_restart_and_files_of_ones_own_take_its_place() {
    let directory = tempfile::tempdir().unwrap();
    let mut config = config(DataLocation::Directory(directory.path().join("data")));
    let start = |config| async move { Server::start(&config, Bounds::default(), Clock::System).await };
    let first = start(config.clone()).await.unwrap();
    let trust = first.trust().to_path_buf();
    let text = std::fs::read_to_string(&trust).unwrap();
    first.shutdown().await.unwrap();
    let broker = Broker { server: start(config.clone()).await.unwrap(), directory };
    assert_eq!(std::fs::read_to_string(broker.server.trust()).unwrap(), text);
    assert!(connect(&broker, &trust, "localhost", &[]).await.is_ok());
    timeout(PATIENCE, broker.server.shutdown()).await.unwrap().unwrap();

    let own = Own::for_name("broker.example");
    config.certificate = Some(own.files());
    let broker = Broker { server: start(config.clone()).await.unwrap(), directory: broker.directory };
    let stream = connect(&broker, &own.files().certificate, "broker.example", &[b"h2"]).await.unwrap();
    assert!(listed(stream, true).await.1.contains(NO_STREAMS));
    assert!(connect(&broker, &trust, "localhost", &[]).await.is_err(), "the broker's own CA is not used");
    timeout(PATIENCE, broker.server.shutdown()).await.unwrap().unwrap();

    let other = Own::for_name("other.example");
    config.certificate = Some(CertificateFiles { key: other.files().key, ..own.files() });
    let error = start(config).await.unwrap_err().to_string();
    assert!(error.contains("is not the key of the certificate") && error.contains("key.pem"), "{error}");
}

/// A self-signed certificate of the user's.
struct Own(tempfile::TempDir);

impl Own {
    fn for_name(name: &str) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let made = rcgen::generate_simple_self_signed([name.to_owned()]).unwrap();
        std::fs::write(directory.path().join("certificate.pem"), made.cert.pem()).unwrap();
        std::fs::write(directory.path().join("key.pem"), made.signing_key.serialize_pem()).unwrap();
        Self(directory)
    }

    fn files(&self) -> CertificateFiles {
        let path = |name| self.0.path().join(name);
        CertificateFiles { certificate: path("certificate.pem"), key: path("key.pem") }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_authority_is_exported_before_at_and_after_the_first_start() {
    let directory = tempfile::tempdir().unwrap();
    let data = directory.path().join("data");
    let export = || exported(&DataLocation::Directory(data.clone()));
    let before = export().unwrap();
    assert!(before.starts_with("-----BEGIN CERTIFICATE-----\n"), "{before}");
    let printed = directory.path().join("ca.pem");
    std::fs::write(&printed, &before).unwrap();

    let config = config(DataLocation::Directory(data.clone()));
    let server = Server::start(&config, Bounds::default(), Clock::System).await.unwrap();
    let broker = Broker { server, directory };
    assert!(connect(&broker, &printed, "localhost", &[]).await.is_ok());
    assert_eq!(export().unwrap(), before, "while the broker holds the directory");
    broker.stop().await;
}
