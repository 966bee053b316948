//! One HTTP/1.1 connection of a producer, without a pool around it: every layer between a request and the socket is
//! part of the measurement.

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use bytes::{Bytes, BytesMut};
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::client::conn::http1::{Builder, SendRequest};
use hyper::header::{AUTHORIZATION, CONTENT_TYPE, HOST, HeaderMap, HeaderValue};
use hyper::{Method, Request, Response, Uri};
use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder};
use hyper_util::client::legacy::connect::HttpConnector;
use tokio::time::timeout;
use tonic::codegen::Service;

use tidelog_kinesis::{Settings, SettingsError, Signer, tcp_connector, tls};

/// Bytes that are read or written at once: a request of 500 records of 1 KiB is two thirds of it.
const BUFFER_BYTES: usize = 1 << 20;
/// Has the form of a signature, so that an endpoint finds a region in it, and is none.
const NO_SIGNATURE: &str = "0000000000000000000000000000000000000000000000000000000000000000";

/// Where connections go.
#[derive(Debug)]
pub struct Target {
    endpoint: Uri,
    connector: HttpsConnector<HttpConnector>,
    headers: HeaderMap,
    signer: Option<Signer>,
}

impl Target {
    /// By those settings. An unsigned request carries account and region in the form of a signature.
    ///
    /// # Errors
    /// When the certificates to trust cannot be read.
    pub fn new(settings: &Settings, is_signed: bool) -> Result<Self, SettingsError> {
        let connector = HttpsConnectorBuilder::new()
            .with_tls_config(tls(settings)?)
            .https_or_http()
            .enable_http1()
            .wrap_connector(tcp_connector());
        let mut headers = HeaderMap::new();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/x-amz-json-1.1"));
        let authority = settings.endpoint.authority().map_or("", |authority| authority.as_str());
        let text = |text: &str| HeaderValue::from_str(text).map_err(|_| SettingsError::Endpoint(text.into()));
        headers.insert(HOST, text(authority)?);
        let signer = is_signed.then(|| Signer::new(&settings.credentials, &settings.region));
        if !is_signed {
            let (key, region) = (&settings.credentials.access_key_id, &settings.region);
            let scope = format!("{key}/20000101/{region}/kinesis/aws4_request");
            let names = "SignedHeaders=content-type;host;x-amz-date;x-amz-target";
            headers.insert(
                AUTHORIZATION,
                text(&format!("AWS4-HMAC-SHA256 Credential={scope}, {names}, Signature={NO_SIGNATURE}"))?,
            );
            headers.insert("x-amz-date", HeaderValue::from_static("20000101T000000Z"));
        }
        Ok(Self { endpoint: settings.endpoint.clone(), connector, headers, signer })
    }

    fn request(&self, operation: &str, body: Bytes) -> Result<Request<Full<Bytes>>, String> {
        let target = format!("Kinesis_20131202.{operation}");
        let mut request = Request::new(body);
        *request.method_mut() = Method::POST;
        *request.headers_mut() = self.headers.clone();
        request
            .headers_mut()
            .insert("x-amz-target", HeaderValue::from_str(&target).map_err(|error| error.to_string())?);
        if let Some(signer) = &self.signer {
            *request.uri_mut() = self.endpoint.clone();
            #[expect(clippy::disallowed_methods, reason = "a signature has the machine's time")]
            let now = SystemTime::now();
            signer.sign(&mut request, now)?;
        }
        *request.uri_mut() = Uri::from_static("/");
        Ok(request.map(Full::new))
    }
}

/// The outcome of a request.
#[derive(Debug)]
pub enum Exchange<T> {
    /// Status and body.
    Answered(u16, T),
    /// There was no connection: certainly nothing was done.
    NotSent(String),
    /// No answer came: it may have been done.
    Broken(String),
}

/// A connection, which is made when it is needed and made again when it is lost. One request at a time.
#[derive(Debug)]
pub struct Connection {
    target: Arc<Target>,
    sender: Option<SendRequest<Full<Bytes>>>,
    /// For an answer.
    deadline: Duration,
}

impl Connection {
    /// Connects at the first request. An answer is waited for as long as `deadline`.
    pub fn new(target: Arc<Target>, deadline: Duration) -> Self {
        Self { target, sender: None, deadline }
    }

    /// Connects, so that the first request need not.
    ///
    /// # Errors
    /// The reason in words.
    pub async fn open(&mut self) -> Result<(), String> {
        if let Some(sender) = &mut self.sender
            && sender.ready().await.is_ok()
        {
            return Ok(());
        }
        // It is cloned ready: neither of the connectors has anything to wait for before a call.
        let mut connector = self.target.connector.clone();
        let stream =
            connector.call(self.target.endpoint.clone()).await.map_err(|error| error_text(error.as_ref()))?;
        let handshake = Builder::new().max_buf_size(BUFFER_BYTES).handshake(stream).await;
        let (sender, connection) = handshake.map_err(|error| error_text(&error))?;
        tokio::spawn(async move {
            // The caller that waits for an answer sees how it ended.
            let _ = connection.await;
        });
        self.sender = Some(sender);
        Ok(())
    }

    /// Sends the request and reads the whole answer.
    pub async fn exchange(&mut self, operation: &str, body: Bytes) -> Exchange<Bytes> {
        let deadline = self.deadline;
        let exchange = timeout(deadline, async {
            match self.send(operation, body).await {
                Exchange::Answered(status, answer) => match collect(answer.into_body()).await {
                    Ok(body) => Exchange::Answered(status, body),
                    Err(error) => Exchange::Broken(error_text(&error)),
                },
                Exchange::NotSent(error) => Exchange::NotSent(error),
                Exchange::Broken(error) => Exchange::Broken(error),
            }
        });
        let exchange = exchange.await.unwrap_or_else(|_| {
            Exchange::Broken(format!("no answer within {} seconds", deadline.as_secs_f64()))
        });
        if !matches!(exchange, Exchange::Answered(..)) {
            self.sender = None;
        }
        exchange
    }

    /// Sends the request, and hands out the answer as it begins.
    pub async fn send(&mut self, operation: &str, body: Bytes) -> Exchange<Response<Incoming>> {
        // A connection that the endpoint closes just now has not heard the request: then there is another attempt.
        for is_last in [false, true] {
            if let Err(error) = self.open().await {
                return Exchange::NotSent(error);
            }
            let request = match self.target.request(operation, body.clone()) {
                Ok(request) => request,
                Err(error) => return Exchange::NotSent(error),
            };
            let sender = self.sender.as_mut().expect("it has just been opened");
            match sender.send_request(request).await {
                Ok(answer) => return Exchange::Answered(answer.status().as_u16(), answer),
                Err(error) if error.is_canceled() && !is_last => self.sender = None,
                Err(error) if error.is_canceled() => return Exchange::NotSent(error_text(&error)),
                Err(error) => return Exchange::Broken(error_text(&error)),
            }
        }
        unreachable!("the last attempt returns")
    }
}

/// The whole body; in one piece as it came where it can be.
async fn collect(mut body: Incoming) -> Result<Bytes, hyper::Error> {
    let (mut first, mut joined) = (Bytes::new(), BytesMut::new());
    while let Some(frame) = body.frame().await {
        let Ok(data) = frame?.into_data() else { continue };
        if first.is_empty() && joined.is_empty() {
            first = data;
        } else {
            joined.extend_from_slice(&std::mem::take(&mut first));
            joined.extend_from_slice(&data);
        }
    }
    Ok(if joined.is_empty() { first } else { joined.freeze() })
}

/// The innermost reason, which is the one that says something.
pub fn error_text(error: &(dyn std::error::Error + 'static)) -> String {
    let mut innermost = error;
    while let Some(source) = innermost.source() {
        innermost = source;
    }
    innermost.to_string()
}
