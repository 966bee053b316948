//! Handshakes over a pipe in memory, with certificates made for each test.

use std::path::Path;

use tokio::io::{AsyncReadExt, AsyncWriteExt, duplex};

use super::fixture::Authority;
use super::*;
use crate::clock::machine_time;

const NODE_1: Own = Own::Node { id: 1, host: None };

impl PeerTls {
    /// Replaces the connector by which the node dials.
    fn with_connector(&self, connector: TlsConnector) -> Self {
        Self { ends: Arc::new(RwLock::new(Ends { connector, ..self.ends() })), ..self.clone() }
    }

    /// Replaces the acceptor by which the node takes connections.
    fn with_acceptor(&self, acceptor: TlsAcceptor) -> Self {
        Self { ends: Arc::new(RwLock::new(Ends { acceptor, ..self.ends() })), ..self.clone() }
    }
}

fn tls(files: &PeerCertificates) -> PeerTls {
    PeerTls::with_files(files, NODE_1, machine_time()).unwrap()
}

/// Shakes hands and sends one byte each way. Returns the first error of the dialling side, or of the accepting one.
async fn meet(dialling: &PeerTls, host: &str, accepting: &PeerTls) -> (io::Result<()>, io::Result<()>) {
    let (near, far) = duplex(4_096);
    let dial = async {
        let mut stream = dialling.connect(near, host, Some(1)).await?;
        stream.write_u8(7).await?;
        assert_eq!(stream.read_u8().await?, 8);
        Ok(())
    };
    let accept = async {
        let (mut stream, role) = accepting.accept(far).await?;
        assert_eq!(role, Role::Node(1));
        assert_eq!(stream.get_ref().1.alpn_protocol(), Some(HTTP2));
        assert_eq!(stream.read_u8().await?, 7);
        stream.write_u8(8).await?;
        stream.flush().await
    };
    tokio::join!(dial, accept)
}

#[tokio::test]
async fn nodes_of_one_authority_talk() {
    let authority = Authority::new("one");
    let [a, b] = ["a.test", "b.test"].map(|host| tls(&authority.node(host)));
    for host in ["b.test", "127.0.0.1"] {
        let (dialled, accepted) = meet(&a, host, &b).await;
        dialled.unwrap();
        accepted.unwrap();
    }
}

#[tokio::test]
async fn callers_that_a_certificate_does_not_prove_are_refused() {
    let [ours, theirs] = ["ours", "theirs"].map(Authority::new);
    let [a, b] = ["a.test", "b.test"].map(|host| tls(&ours.node(host)));
    let foreign = tls(&theirs.node("b.test"));
    // Trusts ours, but its own certificate is of another authority.
    let liar = a.with_connector(connector(&ours, &theirs.node("a.test")));
    for (name, dialling, host, accepting, part) in [
        ("another node of the cluster", &a, "c.test", &b, "not valid for name"),
        ("a server of a foreign authority", &a, "b.test", &foreign, "UnknownIssuer"),
        ("a client of a foreign authority", &liar, "b.test", &b, "UnknownCA"),
    ] {
        let (dialled, accepted) = meet(dialling, host, accepting).await;
        let error = dialled.unwrap_err().to_string();
        assert!(error.contains(part), "{name}: {error}");
        assert!(accepted.is_err(), "{name}");
    }
}

/// A connector that trusts `trusted` and presents the certificate of `presented`.
fn connector(trusted: &Authority, presented: &PeerCertificates) -> TlsConnector {
    let mut roots = RootCertStore::empty();
    roots.add(trusted.issuer.der().clone()).unwrap();
    let (chain, key) = (certificates(&presented.certificate).unwrap(), key(&presented.key).unwrap());
    Trust::new(Arc::new(roots)).unwrap().connector(chain, key).unwrap()
}

#[tokio::test]
async fn a_client_without_a_certificate_is_refused() {
    let authority = Authority::new("one");
    let accepting = tls(&authority.node("b.test"));
    let mut roots = RootCertStore::empty();
    roots.add(authority.issuer.der().clone()).unwrap();
    let config = ClientConfig::builder_with_provider(provider())
        .with_protocol_versions(&[&TLS13])
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth();
    let bare = accepting.with_connector(Arc::new(config).into());
    let (dialled, accepted) = meet(&bare, "b.test", &accepting).await;
    assert!(accepted.unwrap_err().to_string().contains("no certificates"));
    assert!(dialled.unwrap_err().to_string().contains("CertificateRequired"));
}

#[tokio::test(start_paused = true)]
async fn a_silent_far_end_is_given_up() {
    let authority = Authority::new("one");
    let a = tls(&authority.node("a.test"));
    let [(near, _far), (other, _end)] = [duplex(4_096), duplex(4_096)];
    let (dialled, accepted) = tokio::join!(a.connect(near, "b.test", None), a.accept(other));
    for outcome in [dialled.map(drop), accepted.map(drop)] {
        assert_eq!(outcome.unwrap_err().kind(), io::ErrorKind::TimedOut);
    }
}

#[test]
fn files_that_others_would_refuse_are_refused_at_the_start() {
    let [ours, theirs] = ["ours", "theirs"].map(Authority::new);
    let (good, other) = (ours.node("a.test"), ours.node("b.test"));
    let foreign = theirs.node("a.test");
    let day = Duration::from_secs(86_400);
    let now = machine_time();
    let refusal = |files: PeerCertificates, host: &str, now| match PeerTls::with_files(
        &files,
        Own::Node { id: 1, host: Some(host.to_owned()) },
        now,
    ) {
        Ok(_) => "taken".to_owned(),
        Err(error) => error.to_string(),
    };
    assert_eq!(refusal(good.clone(), "a.test", now), "taken");
    let with = |certificate: &Path, key: &Path, ca: &Path| PeerCertificates {
        certificate: certificate.into(),
        key: key.into(),
        ca: ca.into(),
    };
    let gone = Path::new("/no/such/file.pem");
    for (files, host, now, part) in [
        (
            with(&good.certificate, &other.key, &good.ca),
            "a.test",
            now,
            "it is not the key of the certificate in",
        ),
        (with(&good.certificate, &good.key, &foreign.ca), "a.test", now, "it is not by an authority of"),
        (with(&good.certificate, &good.key, &good.key), "a.test", now, "it holds no certificate"),
        (with(gone, &good.key, &good.ca), "a.test", now, "/no/such/file.pem: No such file"),
        (good.clone(), "c.test", now, "not valid for name \"c.test\""),
        (good.clone(), "a.test", now + day * 1_000_000, "other nodes would refuse it: certificate expired"),
    ] {
        let error = refusal(files, host, now);
        assert!(error.contains(part), "{error}");
    }
}

#[tokio::test]
async fn a_certificate_has_to_name_the_node_that_is_dialled() {
    let authority = Authority::new("one");
    let node = tls(&authority.node("a.test"));
    let admin = authority.named("admin", &["tidelog:admin"]);
    let admin = PeerTls::with_files(&admin, Own::Administrator, machine_time()).unwrap();
    // Certificates of the cluster's authority that other programs hold, or that name two nodes.
    let [application, both] = [vec![], vec!["tidelog:node:1", "tidelog:node:2"]].map(|uris| {
        let files = authority.named("app.test", &uris);
        node.with_connector(connector(&authority, &files)).with_acceptor(acceptor(&authority, &files))
    });
    let shake = async |dialling: &PeerTls, host: &str, expected: Option<u64>, accepting: &PeerTls| {
        let (near, far) = duplex(4_096);
        let (dialled, accepted) = tokio::join!(dialling.connect(near, host, expected), accepting.accept(far));
        let text = |error: io::Error| error.to_string();
        (dialled.map(drop).map_err(text), accepted.map(|(_, role)| role).map_err(text))
    };
    let (dialled, accepted) = shake(&admin, "127.0.0.1", None, &node).await;
    assert_eq!((dialled, accepted), (Ok(()), Ok(Role::Administrator)));
    assert_eq!(shake(&node, "127.0.0.1", Some(1), &node).await.1, Ok(Role::Node(1)));

    let error = shake(&admin, "127.0.0.1", Some(2), &node).await.0.unwrap_err();
    assert!(error.contains("names tidelog:node:1, where tidelog:node:2 is expected"), "{error}");
    let error = shake(&node, "127.0.0.1", None, &admin).await.0.unwrap_err();
    assert!(error.contains("names tidelog:admin, where a node is expected"), "{error}");
    for stranger in [&application, &both] {
        let error = shake(stranger, "127.0.0.1", None, &node).await.1.unwrap_err();
        assert!(error.contains("names no node and no administrator"), "{error}");
        let error = shake(&node, "127.0.0.1", None, stranger).await.0.unwrap_err();
        assert!(error.contains("names no node and no administrator"), "{error}");
    }
}

fn acceptor(trusted: &Authority, presented: &PeerCertificates) -> TlsAcceptor {
    let mut roots = RootCertStore::empty();
    roots.add(trusted.issuer.der().clone()).unwrap();
    let (chain, key) = (certificates(&presented.certificate).unwrap(), key(&presented.key).unwrap());
    Trust::new(Arc::new(roots)).unwrap().acceptor(chain, key).unwrap()
}

#[test]
fn a_node_whose_certificate_lacks_its_name_does_not_start() {
    let authority = Authority::new("one");
    for (uris, found) in [
        (vec![], "none"),
        (vec!["tidelog:node:2"], "tidelog:node:2"),
        (vec!["tidelog:admin"], "tidelog:admin"),
    ] {
        let files = authority.named("a.test", &uris);
        let error = PeerTls::with_files(&files, NODE_1, machine_time()).unwrap_err().to_string();
        let expected = format!("it has to carry the URI name tidelog:node:1 and carries {found}");
        assert!(error.contains(&expected) && error.contains("URI:tidelog:node:1"), "{error}");
    }
}
