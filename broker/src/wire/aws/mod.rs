//! Calls of AWS services beside Kinesis that come to the same port: CloudWatch's PutMetricData, STS's GetCallerIdentity,
//! and refusals in words for everything else.
//!
//! KCL and KPL make these calls, and a program that sets `AWS_ENDPOINT_URL` sends the broker the calls of all services.
//! The head of a request names the service ([`Destination::of`]), except for forms, whose body does. Every service is
//! answered in its own protocol ([`protocol`]), so that its SDK shows the sentence. Nothing here needs the node to have
//! started. [`super::exchange`] calls this.

mod destination;
mod inflate;
mod known;
mod protocol;
mod put_metric_data;
mod query;
mod refusal;
mod sts;
mod xml;

use bytes::Bytes;
use hyper::Request;
use hyper::body::Incoming;
use hyper::header::{CONTENT_ENCODING, CONTENT_TYPE, EXPECT, HeaderMap};
use tokio::time::Instant;

use super::client::Client;
use super::exchange::{Answer, Disconnected, request_id};
use super::refusal::Refusal;
use super::{Gateway, body, caller, kinesis};
use destination::{METRICS_VERSION, STS_VERSION};
use known::Service;
use protocol::{Protocol, Reply};
use refusal::Failure;

pub(super) use destination::Destination;

/// Carries out one call of a connection for a service beside Kinesis.
///
/// # Errors
/// [`Disconnected`] when the client left before its request was complete.
pub(super) async fn call(
    gateway: &Gateway,
    client: &Client,
    request: Request<Incoming>,
    destination: Destination,
) -> Result<Answer, Disconnected> {
    let (head, incoming) = request.into_parts();
    let waits = head.headers.contains_key(EXPECT);
    let reply = Reply::new(destination.protocol(), request_id());
    let body = match kinesis::read_body(gateway, client, incoming, waits).await {
        Ok(body) => body,
        Err(body::Failure::Refused(refusal)) => return Ok(reply.refused(refusal)),
        Err(body::Failure::Left(disconnected)) => return Err(disconnected),
    };
    let started = Instant::now();
    let inflated = match inflate::body(client, &head.headers, &body.bytes).await {
        Ok(inflated) => inflated,
        Err(failure) => return Ok(reply.failed(&failure, None)),
    };
    let place = Place { gateway, headers: &head.headers, reply };
    let (name, answer) = match destination {
        Destination::Metrics(protocol) => (
            PUT_METRIC_DATA,
            place.put_metrics(protocol.decode(&inflated).map_err(|_| refusal::unreadable(protocol))),
        ),
        Destination::Form => place.form(&inflated),
        Destination::Absent { service, operation, .. } => (UNKNOWN, place.absent(service, &operation)),
    };
    gateway.timing.of_call(name).record(answer.status, started.elapsed());
    Ok(answer)
}

/// Labels of the calls that are served, in the metric of request times.
pub(super) const TIMED: [&str; 2] = [PUT_METRIC_DATA, GET_CALLER_IDENTITY];
const PUT_METRIC_DATA: &str = "PutMetricData";
const GET_CALLER_IDENTITY: &str = "GetCallerIdentity";
/// No call has this name, so that the times of all others share a label.
const UNKNOWN: &str = "";

/// Refuses a request for a path that is not served. A request that is signed for another service learns the variable
/// that leads its client elsewhere.
pub(super) fn refuse_path(headers: &HeaderMap) -> Answer {
    let foreign = caller::service(headers).filter(|service| *service != "kinesis");
    let Some(service) = foreign.map(|scope| known::by_scope(scope).unwrap_or(&known::OTHER)) else {
        return Refusal::PathUnknown.answer();
    };
    let protocol = if service.scope == "s3" { Protocol::Xml } else { Protocol::Json };
    let failure = Failure { status: 404, ..refusal::absent(service, "") };
    Reply::new(protocol, request_id()).failed(&failure, Some(service))
}

/// The surroundings of one call.
struct Place<'a> {
    gateway: &'a Gateway,
    headers: &'a HeaderMap,
    reply: Reply,
}

impl Place<'_> {
    fn form(self, body: &Bytes) -> (&'static str, Answer) {
        let form = match query::Form::read(body) {
            Ok(form) => form,
            Err(failure) => return (UNKNOWN, self.reply.failed(&failure, None)),
        };
        let (action, version) = (form.text("Action"), form.text("Version"));
        match (action, version) {
            // The answer that AWS's Kinesis has for this.
            (None, _) => (UNKNOWN, Refusal::ContentTypeUnknown { targeted: false }.answer()),
            (Some(PUT_METRIC_DATA), Some(METRICS_VERSION)) => {
                (PUT_METRIC_DATA, self.put_metrics(Ok(form.document())))
            }
            (Some(GET_CALLER_IDENTITY), Some(STS_VERSION)) => (GET_CALLER_IDENTITY, self.identity()),
            (Some(action), version) => {
                let scope = || caller::service(self.headers).and_then(known::by_scope);
                let service = version.and_then(known::by_version).or_else(scope).unwrap_or(&known::OTHER);
                (UNKNOWN, self.absent(service, action))
            }
        }
    }

    fn put_metrics(self, input: Result<tidelog_proto::Document, Failure>) -> Answer {
        let caller = caller::of(self.headers, &self.gateway.account, &self.gateway.region);
        let done = input.and_then(|input| put_metric_data::run(&self.gateway.applications, &caller, &input));
        match done {
            Ok(()) => self.reply.empty("PutMetricData", &known::METRICS),
            Err(failure) => self.reply.failed(&failure, Some(&known::METRICS)),
        }
    }

    fn identity(self) -> Answer {
        let caller = caller::of(self.headers, &self.gateway.account, &self.gateway.region);
        self.reply.xml(sts::caller_identity(&caller.account, self.reply.request_id()))
    }

    fn absent(self, service: &'static Service, operation: &str) -> Answer {
        self.reply.failed(&refusal::absent(service, operation), Some(service))
    }
}

/// Whether the body is a form, whatever its charset.
fn is_form(headers: &HeaderMap) -> bool {
    let value = headers.get(CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
    let essence = value.split(';').next().unwrap_or_default().trim();
    essence.eq_ignore_ascii_case("application/x-www-form-urlencoded")
}

/// The encoding of the body, when it has one.
fn content_encoding(headers: &HeaderMap) -> Option<&[u8]> {
    let value = headers.get(CONTENT_ENCODING)?.as_bytes().trim_ascii();
    (!value.is_empty() && !value.eq_ignore_ascii_case(b"identity")).then_some(value)
}
