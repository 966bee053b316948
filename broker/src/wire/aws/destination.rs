//! Finds the service beside Kinesis that a request is for, by its head.

use hyper::header::HeaderValue;
use hyper::{Method, Request};

use super::known::{self, Service};
use super::protocol::Protocol;
use crate::wire::call::TARGET;
use crate::wire::kinesis::TARGET_PREFIX;
use crate::wire::tables;

/// CloudWatch's name in targets and paths.
const METRICS_TARGET: &str = "GraniteServiceVersion20100801";
/// Version of CloudWatch's API in forms.
pub(super) const METRICS_VERSION: &str = "2010-08-01";
/// Version of STS's API in forms.
pub(super) const STS_VERSION: &str = "2011-06-15";
/// Header by which a client names the protocol of a path `/service/…`.
const SMITHY_PROTOCOL: &str = "smithy-protocol";

/// A service that shares the port with Kinesis.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::wire) enum PortService {
    /// The lease tables, by DynamoDB's protocol.
    LeaseTables,
    /// Another service.
    Other(Destination),
}

/// Service and protocol of a request that is neither for Kinesis nor for lease tables.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::wire) enum Destination {
    /// CloudWatch's PutMetricData, in JSON or CBOR.
    Metrics(Protocol),
    /// A form, whose body names the service and the action.
    Form,
    /// An operation that is not served.
    Absent {
        /// The service that has it.
        service: &'static Service,
        /// The operation.
        operation: String,
        /// The form of the refusal.
        protocol: Protocol,
    },
}

impl PortService {
    /// The service that a request is for; `None` for one that is for Kinesis, or for a page.
    pub(in crate::wire) fn of<B>(request: &Request<B>) -> Option<Self> {
        if request.method() != Method::POST {
            return None;
        }
        let path = request.uri().path();
        if path == "/" {
            Self::of_root(request)
        } else {
            Destination::of_path(request, path).map(Self::Other)
        }
    }

    /// The service of a `POST /`. A target without a service is Kinesis's to refuse.
    fn of_root<B>(request: &Request<B>) -> Option<Self> {
        let headers = request.headers();
        let Some(target) = headers.get(TARGET) else {
            return super::is_form(headers).then_some(Self::Other(Destination::Form));
        };
        let target = target.to_str().ok()?;
        if target.starts_with(TARGET_PREFIX) {
            return None;
        }
        if target.starts_with(tables::TARGET_PREFIX) {
            return Some(Self::LeaseTables);
        }
        let (service, operation) = target.split_once('.')?;
        Some(Self::Other(Destination::named(service, operation, Protocol::Json)))
    }
}

impl Destination {
    /// The destination of a `POST /service/SERVICE/operation/OPERATION`.
    fn of_path<B>(request: &Request<B>, path: &str) -> Option<Self> {
        let (service, operation) = path.strip_prefix("/service/")?.split_once("/operation/")?;
        let named = request.headers().get(SMITHY_PROTOCOL).map(HeaderValue::as_bytes);
        let protocol = if named == Some(b"rpc-v2-cbor") { Protocol::Cbor } else { Protocol::Json };
        Some(Self::named(service, operation, protocol))
    }

    fn named(service: &str, operation: &str, protocol: Protocol) -> Self {
        if service == METRICS_TARGET && operation == super::PUT_METRIC_DATA {
            return Self::Metrics(protocol);
        }
        let service = known::by_target(service).unwrap_or(&known::OTHER);
        Self::Absent { service, operation: operation.to_owned(), protocol }
    }

    /// The protocol of the answer.
    pub(super) fn protocol(&self) -> Protocol {
        match self {
            Self::Metrics(protocol) | Self::Absent { protocol, .. } => *protocol,
            Self::Form => Protocol::Xml,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn destination(path: &str, headers: &[(&str, &str)]) -> Option<Destination> {
        let mut request = Request::post(path);
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        match PortService::of(&request.body(()).unwrap())? {
            PortService::Other(destination) => Some(destination),
            PortService::LeaseTables => panic!("lease tables have no destination"),
        }
    }

    #[test]
    fn calls_of_kinesis_and_pages_are_left_to_them() {
        for target in ["Kinesis_20131202.PutRecord", "PutRecord", ""] {
            assert_eq!(destination("/", &[(TARGET, target)]), None, "{target}");
        }
        let form = ("content-type", "application/x-www-form-urlencoded");
        assert_eq!(destination("/", &[(TARGET, "Kinesis_20131202.PutRecord"), form]), None);
        assert_eq!(destination("/", &[("content-type", "application/x-amz-json-1.1")]), None);
        assert_eq!(destination("/metrics", &[]), None);
        assert_eq!(PortService::of(&Request::get("/").body(()).unwrap()), None);
        let scan = Request::post("/").header(TARGET, "DynamoDB_20120810.Scan").body(()).unwrap();
        assert_eq!(PortService::of(&scan), Some(PortService::LeaseTables));
    }

    #[test]
    fn targets_paths_and_forms_name_the_service() {
        let target = |target| destination("/", &[(TARGET, target)]);
        let metrics = "GraniteServiceVersion20100801.PutMetricData";
        assert_eq!(target(metrics), Some(Destination::Metrics(Protocol::Json)));
        let path = "/service/GraniteServiceVersion20100801/operation/PutMetricData";
        let cbor = [("smithy-protocol", "rpc-v2-cbor")];
        assert_eq!(destination(path, &cbor), Some(Destination::Metrics(Protocol::Cbor)));
        let form = [("content-type", "application/x-www-form-urlencoded; charset=utf-8")];
        assert_eq!(destination("/", &form), Some(Destination::Form));
        for (named, variable) in [
            ("GraniteServiceVersion20100801.GetMetricData", "AWS_ENDPOINT_URL_CLOUDWATCH"),
            ("AmazonSQS.SendMessage", "AWS_ENDPOINT_URL_SQS"),
            ("Unheard_20260101.Of", "AWS_ENDPOINT_URL_<SERVICE>"),
        ] {
            let Some(Destination::Absent { service, .. }) = target(named) else { panic!("{named}") };
            assert_eq!(service.variable, variable, "{named}");
        }
    }
}
