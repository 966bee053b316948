//! A server for tests that answers each call as the test says.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex};

use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Request, Response};
use hyper_util::rt::TokioIo;
use serde_json::Value;
use tokio::net::TcpListener;

use super::{Client, Credentials, Settings};

/// What the server does with a call.
pub(crate) enum Reply {
    /// Answers with a status and a body.
    Answer(u16, Value),
    /// Cuts the connection.
    HangUp,
}

impl Reply {
    pub(crate) fn exception(status: u16, name: &str, message: &str) -> Self {
        Self::Answer(status, serde_json::json!({ "__type": name, "message": message }))
    }
}

/// One call as it came.
#[derive(Clone, Debug)]
pub(crate) struct Call {
    pub(crate) operation: String,
    pub(crate) authorization: String,
    pub(crate) body: Value,
}

/// A running server and the calls that it has seen.
pub(crate) struct Fake {
    pub(crate) address: SocketAddr,
    calls: Arc<Mutex<Vec<Call>>>,
}

impl Fake {
    /// Serves until the runtime ends. `reply` is told how many calls came before.
    pub(crate) async fn start(reply: impl Fn(usize, &Call) -> Reply + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let address = listener.local_addr().expect("it is bound");
        let calls = Arc::new(Mutex::new(Vec::new()));
        let (seen, reply) = (calls.clone(), Arc::new(reply));
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let (seen, reply) = (seen.clone(), reply.clone());
                let service = service_fn(move |request| answered(request, seen.clone(), reply.clone()));
                tokio::spawn(http1::Builder::new().serve_connection(TokioIo::new(stream), service));
            }
        });
        Self { address, calls }
    }

    pub(crate) fn calls(&self) -> Vec<Call> {
        self.calls.lock().expect("no panic").clone()
    }

    pub(crate) fn client(&self) -> Client {
        client_of(self.address)
    }
}

pub(crate) fn client_of(address: SocketAddr) -> Client {
    let endpoint = format!("http://{address}").parse().expect("a URL");
    let credentials = Credentials::of_nobody();
    Client::new(Settings { endpoint, region: "us-east-1".into(), credentials, ca: None }).expect("no files")
}

async fn answered(
    request: Request<Incoming>,
    seen: Arc<Mutex<Vec<Call>>>,
    reply: Arc<impl Fn(usize, &Call) -> Reply>,
) -> Result<Response<Full<Bytes>>, std::io::Error> {
    let header = |name| {
        let value = request.headers().get(name).and_then(|value| value.to_str().ok());
        value.unwrap_or_default().to_owned()
    };
    let operation = header("x-amz-target").rsplit('.').next().unwrap_or_default().to_owned();
    let authorization = header("authorization");
    let body = request.into_body().collect().await.expect("a whole request").to_bytes();
    let call = Call { operation, authorization, body: serde_json::from_slice(&body).expect("JSON") };
    let before = {
        let mut seen = seen.lock().expect("no panic");
        seen.push(call.clone());
        seen.len() - 1
    };
    match reply(before, &call) {
        Reply::Answer(status, body) => {
            let body = if body.is_null() { Bytes::new() } else { body.to_string().into() };
            Ok(Response::builder().status(status).body(Full::new(body)).expect("a response"))
        }
        Reply::HangUp => Err(std::io::Error::other("hung up on purpose")),
    }
}
