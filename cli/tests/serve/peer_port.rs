//! The cluster's port: which certificates it takes for a node's, and how it refuses other callers.

use std::io::{BufRead, BufReader};
use std::net::TcpListener;
use std::path::PathBuf;
use std::process::{Command, Output};
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use rustls::{ClientConfig, RootCertStore};
use tempfile::TempDir;
use tidelog::cluster::peers::{BoxedIo, Destination, Lane, PeerConnection, tcp};
use tidelog::config::PeerCertificates;
use tidelog::tls::peer::{Own, PeerTls};
use tidelog_proto::peer::peer_client::PeerClient;
use tidelog_proto::peer::{AdoptRequest, HelloRequest, HelloResponse};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tonic::{Code, Status};

use tidelog_testkit::certificates::Authority;
use tidelog_testkit::process::{Logged, refused};

use crate::tidelog;

const PATIENCE: Duration = Duration::from_secs(60);

/// Two nodes, with the authority of their cluster and the certificates that it has issued.
struct Cluster {
    directory: TempDir,
    authority: Authority,
    addresses: [String; 2],
}

impl Cluster {
    fn new() -> Self {
        let (authority, directory) = (Authority::new("cluster"), tempfile::tempdir().unwrap());
        let held = [(); 2].map(|()| TcpListener::bind("127.0.0.1:0").unwrap());
        let addresses = held.map(|listener| listener.local_addr().unwrap().to_string());
        let cluster = Self { directory, authority, addresses };
        for (name, uri) in [
            ("node-1", Some("tidelog:node:1")),
            ("node-2", Some("tidelog:node:2")),
            ("admin", Some("tidelog:admin")),
            ("application", None),
        ] {
            cluster.issue(name, uri);
        }
        cluster
    }

    /// Writes a certificate for 127.0.0.1 that carries this URI name, and its key.
    fn issue(&self, name: &str, uri: Option<&str>) {
        self.authority.issue(name, uri.as_slice());
    }

    fn files(&self, name: &str) -> PeerCertificates {
        let issued = self.authority.issued(name);
        PeerCertificates { certificate: issued.certificate, key: issued.key, ca: self.authority.ca() }
    }

    /// The command of a node without certificates.
    fn bare(&self, node: u64) -> Command {
        let [one, two] = &self.addresses;
        let mut command = tidelog();
        command.args(["serve", "--listen", "127.0.0.1:0", "--cluster", &format!("1={one},2={two}")]);
        command.args(["--node-id", &node.to_string(), "--data"]).arg(self.data(node));
        command
    }

    fn node(&self, node: u64, certificate: &str) -> Command {
        let mut command = self.bare(node);
        self.present(&mut command, certificate);
        command
    }

    fn data(&self, node: u64) -> PathBuf {
        self.directory.path().join(format!("data-{node}"))
    }

    fn present(&self, command: &mut Command, certificate: &str) {
        let files = self.files(certificate);
        command.arg("--cluster-certificate").arg(files.certificate);
        command.arg("--cluster-key").arg(files.key).arg("--cluster-ca").arg(files.ca);
    }

    /// Runs `tidelog cluster status` with this certificate.
    fn status(&self, certificate: &str) -> Output {
        let mut command = tidelog();
        command.args(["cluster", "status", "--wait", "healthy", "--timeout", "60"]);
        command.args(["--output", "json", "--at", &self.addresses[0]]);
        self.present(&mut command, certificate);
        command.output().unwrap()
    }

    /// A connection to node 1 that presents this certificate.
    async fn connect(&self, certificate: &str, own: Own) -> PeerConnection {
        let tls = PeerTls::with_files(&self.files(certificate), own, SystemTime::now()).unwrap();
        let destination = Destination { node: Some(1), address: self.addresses[0].clone() };
        let io = tcp::dial(Some(tls))(destination).await.unwrap();
        PeerConnection::over(io, Lane::Control).await.unwrap()
    }

    /// A connection to node 1 that presents the certificate of node 2, if node 1 answers a greeting over it.
    async fn greet_as_second_node(&self) -> Option<PeerConnection> {
        let own = Own::Node { id: 2, host: None };
        let tls = PeerTls::with_files(&self.files("node-2"), own, SystemTime::now()).unwrap();
        let destination = Destination { node: Some(1), address: self.addresses[0].clone() };
        let io = tcp::dial(Some(tls))(destination).await.ok()?;
        let connection = PeerConnection::over(io, Lane::Control).await.ok()?;
        hello(connection.clone(), 2).await.ok().map(|_| connection)
    }

    /// Connects with a certificate that is no node's, and returns the certificate that node 1 presents.
    async fn connect_application(&self) -> (Vec<u8>, BoxedIo) {
        let files = self.files("application");
        let mut roots = RootCertStore::empty();
        roots.add(CertificateDer::from_pem_file(files.ca).unwrap()).unwrap();
        let chain = vec![CertificateDer::from_pem_file(files.certificate).unwrap()];
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let versions = ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions();
        let config = versions.unwrap().with_root_certificates(roots);
        let key = PrivateKeyDer::from_pem_file(files.key).unwrap();
        let mut config = config.with_client_auth_cert(chain, key).unwrap();
        config.alpn_protocols = vec![b"h2".to_vec()];
        let stream = TcpStream::connect(&self.addresses[0]).await.unwrap();
        let name = ServerName::try_from("127.0.0.1").unwrap();
        let stream = TlsConnector::from(Arc::new(config)).connect(name, stream).await.unwrap();
        let presented = stream.get_ref().1.peer_certificates().unwrap()[0].to_vec();
        (presented, Box::new(stream))
    }
}

/// Greets as node `node`.
async fn hello(connection: PeerConnection, node: u64) -> Result<HelloResponse, Status> {
    let mut client = PeerClient::with_origin(connection, hyper::Uri::from_static("http://peer"));
    let greeting = HelloRequest { node, ..HelloRequest::default() };
    client.hello(greeting).await.map(tonic::Response::into_inner)
}

/// Starts both nodes at once: neither is ready before the other.
fn start_both(cluster: &Cluster) -> [Logged; 2] {
    std::thread::scope(|scope| {
        let starting = [1, 2].map(|node| {
            let mut command = cluster.node(node, &format!("node-{node}"));
            scope.spawn(move || Logged::start(&mut command))
        });
        starting.map(|node| node.join().unwrap())
    })
}

#[tokio::test(flavor = "multi_thread")]
async fn each_certificate_is_valid_for_its_names() {
    let cluster = Cluster::new();
    let [first, second] = start_both(&cluster);

    let status = cluster.status("admin");
    assert!(status.status.success(), "{}", String::from_utf8_lossy(&status.stderr));
    let status: serde_json::Value = serde_json::from_slice(&status.stdout).unwrap();
    assert_eq!(status["nodes"].as_array().unwrap().len(), 2);
    let refused = cluster.status("application");
    let error = String::from_utf8(refused.stderr).unwrap();
    assert!(!refused.status.success() && error.contains("tidelog:admin"), "{error}");

    let second_node = || cluster.connect("node-2", Own::Node { id: 2, host: None });
    assert_eq!(hello(second_node().await, 2).await.unwrap().node, 1);
    let error = hello(second_node().await, 1).await.unwrap_err();
    assert_eq!(error.code(), Code::PermissionDenied, "{error}");
    assert!(error.message().contains("its certificate is that of node 2"), "{error}");
    let error = hello(cluster.connect("admin", Own::Administrator).await, 2).await.unwrap_err();
    assert_eq!(error.code(), Code::PermissionDenied, "{error}");
    assert!(error.message().contains("an administrator's certificate"), "{error}");
    let (_, io) = cluster.connect_application().await;
    let answered = match PeerConnection::over(io, Lane::Control).await {
        Ok(connection) => hello(connection, 2).await.is_ok(),
        Err(_) => false,
    };
    assert!(!answered, "an application is no node");
    let line = first.wait_for("a connection to the cluster's port is refused");
    assert!(line.contains("names no node and no administrator"), "{line}");
    drop(first);
    drop(second);
}

#[tokio::test(flavor = "multi_thread")]
async fn strangers_that_say_nothing_keep_no_node_out() {
    let cluster = Cluster::new();
    let [first, second] = start_both(&cluster);
    // 64 at a time have 5 s each: to wait for all of them would take 40 s.
    let mut strangers = Vec::new();
    for _ in 0..512 {
        strangers.push(TcpStream::connect(&cluster.addresses[0]).await.unwrap());
    }
    let began = Instant::now();
    assert!(cluster.greet_as_second_node().await.is_some());
    assert!(began.elapsed() < Duration::from_secs(20), "{:?}", began.elapsed());
    drop(first);
    drop(second);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_node_that_opens_connections_without_end_leaves_places_for_the_others() {
    let cluster = Cluster::new();
    let [first, second] = start_both(&cluster);
    let mut held = Vec::new();
    while let Some(connection) = cluster.greet_as_second_node().await {
        held.push(connection);
        assert!(held.len() <= 32, "there is no bound");
    }
    let line = first.wait_for("tidelog:node:2 has 32 connections, which is the bound");
    assert!(line.contains("WARN"), "{line}");
    // The connection is taken, although its calls are those of no node.
    let error = hello(cluster.connect("admin", Own::Administrator).await, 2).await.unwrap_err();
    assert_eq!(error.code(), Code::PermissionDenied, "{error}");
    drop(held);
    let ends = Instant::now() + PATIENCE;
    while cluster.greet_as_second_node().await.is_none() {
        assert!(Instant::now() < ends, "its places are not given back");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    drop(first);
    drop(second);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_hangup_reloads_the_certificate_for_other_nodes() {
    let cluster = Cluster::new();
    let [first, second] = start_both(&cluster);
    let (before, _) = cluster.connect_application().await;
    // Good for other nodes, but that of another node.
    cluster.issue("node-1", Some("tidelog:node:2"));
    first.hang_up();
    first.wait_for("the certificate for other nodes is refused; the one before stays in use");
    assert_eq!(cluster.connect_application().await.0, before);
    cluster.issue("node-1", Some("tidelog:node:1"));
    first.hang_up();
    first.wait_for("the certificate for other nodes is reloaded");
    assert_ne!(cluster.connect_application().await.0, before);
    let status = cluster.status("admin");
    assert!(status.status.success(), "{}", String::from_utf8_lossy(&status.stderr));
    drop(first);
    drop(second);
}

#[test]
fn a_node_with_the_certificate_of_another_does_not_start() {
    let cluster = Cluster::new();
    for (certificate, carries) in [
        ("node-2", "carries tidelog:node:2"),
        ("admin", "carries tidelog:admin"),
        ("application", "carries none"),
    ] {
        let (code, error) = refused(&mut cluster.node(1, certificate));
        assert_eq!(code, Some(1), "{error}");
        assert!(error.contains(carries) && error.contains("URI:tidelog:node:1"), "{error}");
    }
}

#[test]
fn without_certificates_only_loopback_addresses_are_listened_on() {
    let cluster = Cluster::new();
    let mut command = cluster.bare(1);
    command.args(["--cluster-listen", "0.0.0.0:0"]);
    let (code, error) = refused(&mut command);
    assert_eq!(code, Some(1), "{error}");
    assert!(error.contains("--cluster-certificate") && error.contains("--cluster-insecure"), "{error}");

    let mut child = command.arg("--cluster-insecure").spawn().unwrap();
    let lines = BufReader::new(child.stderr.take().unwrap()).lines();
    let said = lines.map_while(Result::ok).find(|line| line.contains("open to a network"));
    child.kill().unwrap();
    child.wait().unwrap();
    let line = said.expect("it says so");
    assert!(line.contains("ERROR"), "{line}");
}

/// A connection to the port of node 2, once it listens.
async fn reach(address: &str) -> PeerConnection {
    let ends = Instant::now() + PATIENCE;
    loop {
        let destination = Destination { node: None, address: address.to_owned() };
        match tcp::dial(None)(destination).await {
            Ok(io) => return PeerConnection::over(io, Lane::Control).await.unwrap(),
            Err(error) => assert!(Instant::now() < ends, "{error}"),
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stranger_gives_a_node_no_identity() {
    let cluster = Cluster::new();
    let mut child = cluster.bare(2).spawn().unwrap();
    let connection = reach(&cluster.addresses[1]).await;
    let mut client = PeerClient::with_origin(connection.clone(), hyper::Uri::from_static("http://peer"));
    let adopted = client.adopt(AdoptRequest { cluster: "a stranger's".into(), members: Vec::new() }).await;
    let error = adopted.unwrap_err();
    assert_eq!(error.code(), Code::FailedPrecondition, "{error}");
    let directory = cluster.directory.path().to_str().unwrap();
    assert!(!error.message().contains(directory), "{error}");
    assert_eq!(hello(connection.clone(), 1).await.unwrap().cluster, "");

    let greeting = HelloRequest { address: "a".repeat(2 << 20), ..HelloRequest::default() };
    let error = client.hello(greeting).await.unwrap_err();
    assert!(error.message().contains("length limit exceeded"), "{error}");
    assert!(hello(connection, 1).await.is_ok(), "the connection goes on");
    child.kill().unwrap();
    child.wait().unwrap();
}
