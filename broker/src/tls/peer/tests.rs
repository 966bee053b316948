//! Handshakes over a pipe in memory, with certificates made for each test.

use std::path::Path;

use tokio::io::{AsyncReadExt, AsyncWriteExt, duplex};

use super::fixture::Authority;
use super::*;

fn tls(files: &PeerCertificates) -> PeerTls {
    PeerTls::with_files(files, None, SystemTime::now()).unwrap()
}

/// Shakes hands and sends one byte each way. The first error of the one who dials, or of the one who accepts.
async fn meet(dialling: &PeerTls, host: &str, accepting: &PeerTls) -> (io::Result<()>, io::Result<()>) {
    let (near, far) = duplex(4_096);
    let dial = async {
        let mut stream = dialling.connect(near, host).await?;
        stream.write_u8(7).await?;
        assert_eq!(stream.read_u8().await?, 8);
        Ok(())
    };
    let accept = async {
        let mut stream = accepting.accept(far).await?;
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
async fn whom_the_certificate_does_not_prove_is_refused() {
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
    let (dialled, accepted) = tokio::join!(a.connect(near, "b.test"), a.accept(other));
    for outcome in [dialled, accepted] {
        assert_eq!(outcome.unwrap_err().kind(), io::ErrorKind::TimedOut);
    }
}

#[test]
fn files_that_others_would_refuse_are_refused_at_the_start() {
    let [ours, theirs] = ["ours", "theirs"].map(Authority::new);
    let (good, other) = (ours.node("a.test"), ours.node("b.test"));
    let foreign = theirs.node("a.test");
    let day = Duration::from_secs(86_400);
    let now = SystemTime::now();
    let refusal = |files: PeerCertificates, host, now| match PeerTls::with_files(&files, Some(host), now) {
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
