//! Calls of AWS services beside Kinesis that come to the same port: CloudWatch's PutMetricData, STS's
//! GetCallerIdentity, and refusals in words for everything else.
//!
//! KCL and KPL make these calls, and a program that sets `AWS_ENDPOINT_URL` sends the broker the calls of all services.
//! The head of a request names the service ([`PortService::of`]), except for forms, whose body does. Every service is
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
use hyper::header::{CONTENT_TYPE, HeaderMap};

use super::Gateway;
use super::call::ProtocolCall;
use super::caller::{self, Caller};
use super::client::Client;
use super::exchange::{Answer, request_id};
use super::refusal::Refusal;
use super::timing::OperationTiming;
use crate::observability::requests;
use destination::{METRICS_VERSION, STS_VERSION};
use inflate::Encoding;
use known::Service;
use protocol::{Protocol, Reply};
use refusal::Failure;

pub(super) use destination::{Destination, PortService};

/// A call for a service beside Kinesis, as far as its head says.
pub(super) struct ServiceCall {
    destination: Destination,
    encoding: Encoding,
    caller: Caller,
    /// The service that the request is signed for, where it is a known one.
    signed_for: Option<&'static Service>,
    reply: Reply,
}

impl ServiceCall {
    /// The call of a request with these headers for `destination`.
    pub(super) fn new(destination: Destination, gateway: &Gateway, headers: &HeaderMap) -> Self {
        Self {
            encoding: Encoding::of(headers),
            caller: caller::of(headers, &gateway.account, &gateway.region),
            signed_for: caller::service(headers).and_then(known::by_scope),
            reply: Reply::new(destination.protocol(), request_id()),
            destination,
        }
    }
}

impl ProtocolCall for ServiceCall {
    fn refuse(&self, refusal: Refusal) -> Answer {
        self.reply.refused(refusal)
    }

    async fn run<'g>(
        self,
        gateway: &'g Gateway,
        client: &Client,
        body: &Bytes,
    ) -> (Answer, Option<&'g OperationTiming>) {
        let inflated = match inflate::body(client, self.encoding, body).await {
            Ok(inflated) => inflated,
            Err(failure) => return (self.reply.failed(&failure, None), None),
        };
        let (name, answer) = match &self.destination {
            Destination::Metrics(protocol) => {
                let input = protocol.decode(&inflated).map_err(|_| refusal::unreadable(*protocol));
                (PUT_METRIC_DATA, self.put_metrics(gateway, input))
            }
            Destination::Form => self.form(gateway, &inflated),
            Destination::Absent { service, operation, .. } => (UNKNOWN, self.absent(service, operation)),
        };
        (answer, Some(gateway.timing.of_call(name)))
    }
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

impl ServiceCall {
    fn form(&self, gateway: &Gateway, body: &Bytes) -> (&'static str, Answer) {
        let form = match query::Form::read(body) {
            Ok(form) => form,
            Err(failure) => return (UNKNOWN, self.reply.failed(&failure, None)),
        };
        let (action, version) = (form.text("Action"), form.text("Version"));
        if let Some(action) = action {
            requests::note_operation(action);
        }
        match (action, version) {
            // The answer that AWS's Kinesis has for this.
            (None, _) => (UNKNOWN, Refusal::ContentTypeUnknown { targeted: false }.answer()),
            (Some(PUT_METRIC_DATA), Some(METRICS_VERSION)) => {
                (PUT_METRIC_DATA, self.put_metrics(gateway, Ok(form.document())))
            }
            (Some(GET_CALLER_IDENTITY), Some(STS_VERSION)) => (GET_CALLER_IDENTITY, self.identity()),
            (Some(action), version) => {
                let named = version.and_then(known::by_version);
                let service = named.or(self.signed_for).unwrap_or(&known::OTHER);
                (UNKNOWN, self.absent(service, action))
            }
        }
    }

    fn put_metrics(&self, gateway: &Gateway, input: Result<tidelog_proto::Document, Failure>) -> Answer {
        let done = input.and_then(|input| put_metric_data::run(&gateway.applications, &self.caller, &input));
        match done {
            Ok(()) => self.reply.empty("PutMetricData", &known::METRICS),
            Err(failure) => self.reply.failed(&failure, Some(&known::METRICS)),
        }
    }

    fn identity(&self) -> Answer {
        self.reply.xml(sts::caller_identity(&self.caller.account, self.reply.request_id()))
    }

    fn absent(&self, service: &'static Service, operation: &str) -> Answer {
        self.reply.failed(&refusal::absent(service, operation), Some(service))
    }
}

/// Whether the body is a form, whatever its charset.
fn is_form(headers: &HeaderMap) -> bool {
    let value = headers.get(CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
    let essence = value.split(';').next().unwrap_or_default().trim();
    essence.eq_ignore_ascii_case("application/x-www-form-urlencoded")
}
