//! An endpoint of the Kinesis protocol that answers each call as the test says: for clients that must bear failures.

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

/// The server's reaction to a call.
pub enum Reply {
    /// Answers with a status and a body.
    Answer(u16, Value),
    /// Cuts the connection.
    HangUp,
}

impl Reply {
    /// An exception of the protocol by its name.
    #[must_use]
    pub fn exception(status: u16, name: &str, message: &str) -> Self {
        Self::Answer(status, serde_json::json!({ "__type": name, "message": message }))
    }
}

/// One call as it came.
#[derive(Clone, Debug)]
pub struct Call {
    /// Name of the operation, such as `PutRecord`.
    pub operation: String,
    /// The header of that name.
    pub authorization: String,
    /// The request.
    pub body: Value,
}

/// A running server and the calls that it has seen.
pub struct Fake {
    /// Where it listens, on the loopback interface.
    pub address: SocketAddr,
    calls: Arc<Mutex<Vec<Call>>>,
}

impl Fake {
    /// Serves until the runtime ends. `reply` gets the number of calls before.
    ///
    /// # Panics
    /// Without a free port, and in the server's task when a call is not JSON.
    pub async fn start(reply: impl Fn(usize, &Call) -> Reply + Send + Sync + 'static) -> Self {
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

    /// The calls so far.
    ///
    /// # Panics
    /// After a panic of the server.
    #[must_use]
    pub fn calls(&self) -> Vec<Call> {
        self.calls.lock().expect("no panic").clone()
    }
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
