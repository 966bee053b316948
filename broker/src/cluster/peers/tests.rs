//! Connections are shared, and a caller that is not polled holds up no other.

use std::sync::atomic::{AtomicUsize, Ordering};

use bytes::Bytes;
use futures_util::FutureExt;
use http_body_util::StreamBody;
use hyper::HeaderMap;
use hyper::body::Frame;
use hyper::header::{HeaderName, HeaderValue};
use prost::Message;
use tokio::io::{DuplexStream, duplex};
use tokio::sync::Semaphore;
use tokio::time::timeout;

use super::dialling::REDIAL_PAUSE;
use super::*;

/// Peers of node 1, where node 2 answers a dial once `gate` lets it; counts the dials.
fn peers(gate: &Arc<Semaphore>) -> (Arc<Peers>, Arc<AtomicUsize>) {
    let dials = Arc::new(AtomicUsize::new(0));
    let (gate, counted) = (gate.clone(), dials.clone());
    let dial: Dial = Arc::new(move |_| {
        let (gate, counted) = (gate.clone(), counted.clone());
        let dialling = async move {
            counted.fetch_add(1, Ordering::SeqCst);
            gate.acquire().await.expect("it is never closed").forget();
            let (near, far) = duplex(1 << 16);
            crate::shell::spawn_short(answer(far));
            Ok(Box::new(near) as BoxedIo)
        };
        dialling.boxed()
    });
    (Peers::new(1, BTreeMap::from([(2, "two".to_owned())]), dial), dials)
}

/// Answers every call as a greeting.
async fn answer(io: DuplexStream) {
    let service = hyper::service::service_fn(|_| async {
        let hello =
            peer::HelloResponse { node: 2, process: 7, ..peer::HelloResponse::default() }.encode_to_vec();
        let length = u32::try_from(hello.len()).expect("a short message").to_be_bytes();
        let message = Bytes::from([&[0][..], &length, &hello].concat());
        let is_well =
            HeaderMap::from_iter([(HeaderName::from_static("grpc-status"), HeaderValue::from_static("0"))]);
        let frames = [Frame::data(message), Frame::trailers(is_well)].map(Ok::<_, io::Error>);
        let body = StreamBody::new(futures_util::stream::iter(frames));
        let answer = hyper::Response::builder().header("content-type", "application/grpc");
        Ok::<_, io::Error>(answer.body(body).expect("an answer"))
    });
    let server = hyper::server::conn::http2::Builder::new(hyper_util::rt::TokioExecutor::new());
    drop(server.serve_connection(hyper_util::rt::TokioIo::new(io), service).await);
}

#[tokio::test]
async fn a_caller_that_is_not_polled_any_more_holds_up_no_other() {
    let gate = Arc::new(Semaphore::new(0));
    let (peers, dials) = peers(&gate);
    // Such as a PutStream whose client takes no answers: it has begun to dial when the polling ends.
    let mut unpolled = Box::pin(peers.client(2, Lane::Requests));
    assert!((&mut unpolled).now_or_never().is_none());
    gate.add_permits(1);
    let other = timeout(Duration::from_secs(10), peers.client(2, Lane::Requests)).await;
    assert!(other.expect("it waits for the dial, not for the other caller").is_ok());
    assert!(unpolled.await.is_ok());
    assert_eq!(peers.process_of(2), Some(7), "it has said which process it is");
    assert_eq!(dials.load(Ordering::SeqCst), 1, "they have one connection");
}

#[tokio::test(start_paused = true)]
async fn a_dial_that_failed_is_the_answer_for_a_moment() {
    let gate = Arc::new(Semaphore::new(0));
    let (peers, dials) = peers(&gate);
    let error = peers.client(2, Lane::Log).await.expect_err("nobody answers");
    assert_eq!(error.reason, "no connection in time");
    assert!(peers.client(2, Lane::Log).await.is_err());
    assert_eq!(dials.load(Ordering::SeqCst), 1);
    tokio::time::sleep(REDIAL_PAUSE).await;
    gate.add_permits(1);
    assert!(peers.client(2, Lane::Log).await.is_ok());
    assert_eq!(dials.load(Ordering::SeqCst), 2);
    assert!(peers.client(3, Lane::Log).await.is_err(), "it has no address");
}
