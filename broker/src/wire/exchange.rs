//! One HTTP exchange: the route a request takes, and the headers every answer carries.

use std::convert::Infallible;
use std::fmt;
use std::sync::Arc;

use bytes::Bytes;
use hyper::body::Incoming;
use hyper::header::{
    ACCESS_CONTROL_ALLOW_HEADERS, ACCESS_CONTROL_ALLOW_METHODS, ACCESS_CONTROL_ALLOW_ORIGIN,
    ACCESS_CONTROL_EXPOSE_HEADERS, ACCESS_CONTROL_MAX_AGE, ACCESS_CONTROL_REQUEST_HEADERS,
    ACCESS_CONTROL_REQUEST_METHOD, ALLOW, CONNECTION, CONTENT_LENGTH, CONTENT_TYPE, HeaderMap, HeaderName,
    HeaderValue, ORIGIN, VARY,
};
use hyper::{Method, Request, Response, StatusCode, Version};
use uuid::Uuid;

use super::answer_body::{AnswerBody, Sent};
use super::call::carry_out;
use super::client::Client;
use super::refusal::Refusal;
use super::request_log::RequestEntry;
use super::{Gateway, aws, grpc, kinesis, pages, tables};
use crate::room::Full;

/// Headers of an answer that scripts of other origins may read (AWS-recorded).
const EXPOSED_HEADERS: HeaderValue = HeaderValue::from_static(
    "x-amzn-RequestId,x-amzn-ErrorType,x-amz-request-id,x-amz-id-2,x-amzn-ErrorMessage,Date",
);
/// Seconds a browser may keep the answer to a preflight (AWS-recorded).
const PREFLIGHT_MAX_AGE: HeaderValue = HeaderValue::from_static("172800");
/// The methods that `POST /` and its preflight name to other methods.
const ALLOWED_METHODS: HeaderValue = HeaderValue::from_static("POST, OPTIONS");
/// The name of the refused thing when a connection has as many streams as fit.
const STREAMS: &str = "requests under way";
/// The name of the refused thing past the bound of connections.
const CONNECTIONS: &str = "connections";
pub(super) const REQUEST_ID: HeaderName = HeaderName::from_static("x-amzn-requestid");
const EXTENDED_REQUEST_ID: HeaderName = HeaderName::from_static("x-amz-id-2");
/// Random bytes behind an extended request id; 64 characters of base64.
const EXTENDED_REQUEST_ID_BYTES: usize = 48;

/// The client went away before its request was complete; there is no one to answer.
#[derive(Debug)]
pub(super) struct Disconnected;

impl fmt::Display for Disconnected {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("the client left in the middle of a request")
    }
}

impl std::error::Error for Disconnected {}

impl From<Infallible> for Disconnected {
    fn from(never: Infallible) -> Self {
        match never {}
    }
}

/// An answer before it has its common headers.
#[derive(Debug)]
pub(super) struct Answer {
    pub(super) status: StatusCode,
    pub(super) content_type: &'static str,
    pub(super) body: AnswerBody,
    /// An HTTP/1.1 connection ends with it, such as when the rest of the request was not read.
    pub(super) close: bool,
    /// Headers of this answer alone.
    pub(super) headers: Vec<(HeaderName, HeaderValue)>,
}

impl Answer {
    pub(super) fn new(status: StatusCode, content_type: &'static str, body: impl Into<AnswerBody>) -> Self {
        Self { status, content_type, body: body.into(), close: false, headers: Vec::new() }
    }

    pub(super) fn with(mut self, name: HeaderName, value: HeaderValue) -> Self {
        self.headers.push((name, value));
        self
    }

    fn into_response(self, version: Version, granted: Option<HeaderValue>) -> Response<AnswerBody> {
        let mut headers = HeaderMap::with_capacity(8 + self.headers.len());
        // Some protocols name the id in the body too.
        if self.headers.iter().all(|(name, _)| *name != REQUEST_ID) {
            headers.insert(REQUEST_ID, request_id());
        }
        headers.insert(EXTENDED_REQUEST_ID, extended_request_id());
        headers.insert(CONTENT_TYPE, HeaderValue::from_static(self.content_type));
        if let Some(length) = self.body.length() {
            headers.insert(CONTENT_LENGTH, HeaderValue::from(length));
        }
        if let Some(origin) = granted {
            headers.insert(ACCESS_CONTROL_ALLOW_ORIGIN, origin);
            headers.insert(ACCESS_CONTROL_EXPOSE_HEADERS, EXPOSED_HEADERS);
            headers.insert(VARY, HeaderValue::from_static("origin"));
        }
        if self.close && version < Version::HTTP_2 {
            headers.insert(CONNECTION, HeaderValue::from_static("close"));
        }
        headers.extend(self.headers);
        let mut response = Response::new(self.body);
        *response.status_mut() = self.status;
        *response.headers_mut() = headers;
        response
    }
}

/// Answers one request of a connection. A request of a web page or for a host that the broker does not answer is
/// refused before it runs.
///
/// # Errors
/// [`Disconnected`], which ends the connection.
pub(super) async fn answer(
    gateway: &Arc<Gateway>,
    client: &Arc<Client>,
    request: Request<Incoming>,
) -> Result<Response<Sent>, Disconnected> {
    match RequestEntry::begin(client, &request) {
        None => answer_request(gateway, client, request).await,
        Some(entry) => entry.follow(Box::pin(answer_request(gateway, client, request))).await,
    }
}

async fn answer_request(
    gateway: &Arc<Gateway>,
    client: &Arc<Client>,
    request: Request<Incoming>,
) -> Result<Response<Sent>, Disconnected> {
    let version = request.version();
    let exchange = client.begin();
    if let Some(refused) = refuse_audience(gateway, client, &request) {
        return Ok(refused.map(|body| Sent::new(body, exchange.ok(), version)));
    }
    if grpc::is_readable(request.headers()) && version >= Version::HTTP_2 {
        let mut response = match exchange.is_ok() {
            true => grpc::call(gateway, client, request).await,
            false => grpc::refuse(client),
        };
        response.headers_mut().insert(REQUEST_ID, request_id());
        return Ok(response.map(|body| Sent::new(body, exchange.ok(), version)));
    }
    let origin = request.headers().get(ORIGIN).cloned();
    let answer = match &exchange {
        Ok(_) => route(gateway, client, request).await?,
        Err(Full) => kinesis::refuse(request.headers(), STREAMS),
    };
    // An event stream began after its whole request had come.
    if answer.close && answer.body.length().is_some() {
        client.linger();
    }
    let granted = origin.map(|origin| gateway.audience.granted(origin));
    Ok(answer.into_response(version, granted).map(|body| Sent::new(body, exchange.ok(), version)))
}

/// The refusal of a request of a web page or for a host that the broker does not answer.
fn refuse_audience(
    gateway: &Gateway,
    client: &Client,
    request: &Request<Incoming>,
) -> Option<Response<AnswerBody>> {
    let admitted = gateway.audience.admit(request.uri(), request.headers(), client.interface);
    let refusal = admitted.err()?;
    client.linger();
    Some(refusal.answer().into_response(request.version(), None))
}

/// Answers the one request of a connection past the bound: with a page, or with a refusal.
///
/// # Errors
/// [`Disconnected`], which ends the connection.
pub(super) async fn answer_past_the_bound(
    gateway: &Arc<Gateway>,
    client: &Arc<Client>,
    request: Request<Incoming>,
) -> Result<Response<Sent>, Disconnected> {
    match RequestEntry::begin(client, &request) {
        None => answer_page_or_refuse(gateway, client, request).await,
        Some(entry) => entry.follow(Box::pin(answer_page_or_refuse(gateway, client, request))).await,
    }
}

async fn answer_page_or_refuse(
    gateway: &Arc<Gateway>,
    client: &Arc<Client>,
    request: Request<Incoming>,
) -> Result<Response<Sent>, Disconnected> {
    let (version, exchange) = (request.version(), client.begin());
    if let Some(refused) = refuse_audience(gateway, client, &request) {
        return Ok(refused.map(|body| Sent::new(body, exchange.ok(), version)));
    }
    let is_page = is_read(&request) && pages::is_page(request.uri().path());
    let answer = if is_page {
        route(gateway, client, request).await?
    } else {
        gateway.room.connections.note_refusal();
        client.linger();
        kinesis::refuse(request.headers(), CONNECTIONS)
    };
    Ok(answer.into_response(version, None).map(|body| Sent::new(body, exchange.ok(), version)))
}

fn is_read(request: &Request<Incoming>) -> bool {
    matches!(*request.method(), Method::GET | Method::HEAD)
}

async fn route(
    gateway: &Arc<Gateway>,
    client: &Arc<Client>,
    request: Request<Incoming>,
) -> Result<Answer, Disconnected> {
    let reading = is_read(&request);
    // Services that share the port with Kinesis, by the head alone.
    let service = aws::PortService::of(&request);
    if let Some(aws::PortService::Other(destination)) = service {
        let read_head = |gateway: &_, headers: &_| aws::ServiceCall::new(destination, gateway, headers);
        return carry_out(gateway, client, request, read_head).await;
    }
    match (request.method(), request.uri().path()) {
        _ if grpc::is_meant(request.headers()) => {
            let is_readable = grpc::is_readable(request.headers());
            Ok(if is_readable { Refusal::GrpcNeedsHttp2 } else { Refusal::GrpcFormUnknown }.answer())
        }
        _ if service == Some(aws::PortService::LeaseTables) => {
            carry_out(gateway, client, request, tables::TableCall::new).await
        }
        (&Method::POST, "/") => carry_out(gateway, client, request, kinesis::KinesisCall::new).await,
        (&Method::OPTIONS, _) => Ok(preflight(request.headers())),
        (_, "/health" | "/healthcheck" | "/_localstack/health") if reading => {
            Ok(pages::health(gateway).await)
        }
        (_, "/ready") if reading => Ok(pages::ready(gateway)),
        (_, "/livez") if reading => Ok(pages::livez(gateway)),
        (_, "/metrics") if reading => Ok(pages::metrics(gateway).await),
        (_, "/") => Ok(Refusal::MethodNotAllowed.answer().with(ALLOW, ALLOWED_METHODS)),
        (_, path) if pages::is_page(path) => {
            Ok(Refusal::MethodNotAllowed.answer().with(ALLOW, HeaderValue::from_static("GET, HEAD, OPTIONS")))
        }
        _ => Ok(aws::refuse_path(request.headers())),
    }
}

/// Answers the preflight of a browser that posts from another, allowed, origin: all it asks for is granted.
fn preflight(asked: &HeaderMap) -> Answer {
    let mut answer = Answer::new(StatusCode::OK, pages::JSON, Bytes::new())
        .with(ALLOW, ALLOWED_METHODS)
        .with(ACCESS_CONTROL_MAX_AGE, PREFLIGHT_MAX_AGE);
    if let Some(headers) = asked.get(ACCESS_CONTROL_REQUEST_HEADERS) {
        answer = answer.with(ACCESS_CONTROL_ALLOW_HEADERS, headers.clone());
    }
    if let Some(method) = asked.get(ACCESS_CONTROL_REQUEST_METHOD) {
        answer = answer.with(ACCESS_CONTROL_ALLOW_METHODS, method.clone());
    }
    answer
}

/// A new id of a request.
pub(super) fn request_id() -> HeaderValue {
    let mut text = [0; uuid::fmt::Hyphenated::LENGTH];
    let id = Uuid::new_v4().hyphenated().encode_lower(&mut text);
    HeaderValue::from_str(id).expect("a UUID is ASCII")
}

fn extended_request_id() -> HeaderValue {
    let mut random = [0; EXTENDED_REQUEST_ID_BYTES];
    rand::fill(&mut random);
    let id = base64_simd::STANDARD.encode_to_string(random);
    HeaderValue::try_from(id).expect("base64 is ASCII")
}
