//! The gRPC API (`proto/tidelog/v1`) on the port of the Kinesis protocol.
//!
//! ```text
//! exchange ──► grpc::call ──► tonic's routes ──► streams, records, cluster ──► crate::ops
//!              (deadline, room,                  groups ─────────────────────► crate::service
//!               panics)                          (messages, status)
//!                 └────────► put, put_stream (framing, acknowledgements) ────► crate::ops
//! ```
//! A service is one file and one line of [`Api::new`]. Invariants: the promises of the wire hold for these calls
//! too. The bytes of requests have their share of the room for all bodies (`body.rs`), answers are handed over in
//! frames whose taking is watched (`answer.rs`), a panicking call is INTERNAL, and a stop ends every stream with
//! UNAVAILABLE.

mod acknowledgements;
mod answer;
mod applications;
mod body;
mod caller;
pub mod check;
mod cluster;
mod framing;
mod groups;
mod health;
mod messages;
mod put;
mod put_stream;
mod records;
mod sources;
mod status;
mod streams;
mod subscribe;
mod timeout;

use std::panic::AssertUnwindSafe;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use futures_util::{FutureExt, Stream};
use hyper::body::Incoming;
use hyper::header::{CONTENT_TYPE, HeaderMap};
use hyper::{Request, Response, StatusCode};
use tidelog_proto::v1::DESCRIPTOR_SET;
use tidelog_proto::v1::cluster_server::ClusterServer;
use tidelog_proto::v1::groups_server::GroupsServer;
use tidelog_proto::v1::records_server::RecordsServer;
use tidelog_proto::v1::streams_server::StreamsServer;
use tokio::sync::watch;
use tokio::time::Instant;
use tonic::codegen::Service as _;
use tonic::service::Routes;
use tonic::{Code, Status};
use tonic_health::pb::health_server::HealthServer;
use tonic_types::StatusExt;

use super::answer_body::AnswerBody;
use super::client::Client;
use super::{Gateway, Open};
use crate::ops::Fault;
use crate::room::AnswerRoom;
use crate::service::Service;
pub(super) use answer::Answer;
use body::{BodyRoom, RequestBody};
use caller::Caller;

/// Bytes of one message, in either direction.
pub(super) const MESSAGE_BYTES_MAX: usize = 16 << 20;
/// The name of the refused thing when a connection has as many calls under way as fit.
const CALLS: &str = "calls under way";
/// How the content type of every gRPC request begins.
const CONTENT_TYPE_PREFIX: &str = "application/grpc";
/// The ending that a content type may have: the messages are protobuf, which is the default.
const PROTOBUF: &str = "+proto";

/// How the paths begin of calls that wait for the start of the node: checks of its health and of the cluster do not.
const SERVICES_THAT_WAIT: [&str; 3] = ["/tidelog.v1.Groups/", "/tidelog.v1.Records/", "/tidelog.v1.Streams/"];

/// The answer of a call that returns a stream of messages.
type Messages<T> = Pin<Box<dyn Stream<Item = Result<T, Status>> + Send>>;

/// The services behind the port, built once.
#[derive(Clone)]
pub(super) struct Api {
    routes: Routes,
    caller: Caller,
}

impl Api {
    /// The API over `service`, with the account and region of callers that name none.
    pub(super) fn new(
        service: &Arc<Service>,
        account: &Arc<str>,
        region: &Arc<str>,
        stopping: watch::Receiver<bool>,
    ) -> Self {
        let caller = Caller { service: service.clone(), account: account.clone(), region: region.clone() };
        let streams = StreamsServer::new(streams::Streams(caller.clone()))
            .max_decoding_message_size(MESSAGE_BYTES_MAX)
            .max_encoding_message_size(MESSAGE_BYTES_MAX);
        let records = RecordsServer::new(records::Records(caller.clone()))
            .max_decoding_message_size(MESSAGE_BYTES_MAX)
            .max_encoding_message_size(MESSAGE_BYTES_MAX);
        let groups = GroupsServer::new(groups::Groups(caller.clone()))
            .max_decoding_message_size(MESSAGE_BYTES_MAX)
            .max_encoding_message_size(MESSAGE_BYTES_MAX);
        let reflection = || {
            tonic_reflection::server::Builder::configure()
                .register_encoded_file_descriptor_set(DESCRIPTOR_SET)
                .register_encoded_file_descriptor_set(tonic_health::pb::FILE_DESCRIPTOR_SET)
        };
        let sound = "the descriptors were made by the build";
        let routes = Routes::new(streams)
            .add_service(records)
            .add_service(groups)
            .add_service(ClusterServer::new(cluster::Cluster(caller.clone())))
            .add_service(HealthServer::new(health::Health::new(service.clone(), stopping)))
            .add_service(reflection().build_v1().expect(sound))
            // Most tools still ask for v1alpha.
            .add_service(reflection().build_v1alpha().expect(sound))
            .prepare();
        Self { routes, caller }
    }
}

/// Whether a request with these headers is meant for this API.
pub(super) fn is_meant(headers: &HeaderMap) -> bool {
    form(headers).is_some()
}

/// Whether its messages are written as they are read here.
pub(super) fn is_readable(headers: &HeaderMap) -> bool {
    let form = form(headers).and_then(|form| form.split(';').next()).map(str::trim_end);
    matches!(form, Some("" | PROTOBUF))
}

/// The rest of a content type of gRPC, behind the common beginning.
fn form(headers: &HeaderMap) -> Option<&str> {
    headers.get(CONTENT_TYPE)?.to_str().ok()?.strip_prefix(CONTENT_TYPE_PREFIX)
}

/// Carries out one call.
pub(super) async fn call(
    gateway: &Gateway,
    client: &Client,
    request: Request<Incoming>,
) -> Response<AnswerBody> {
    let started = Instant::now();
    let timing = gateway.timing.of_call(request.uri().path().strip_prefix('/').unwrap_or_default());
    let deadline = timeout::of(request.headers());
    let deadline_at = deadline.map(|deadline| Instant::now() + deadline);
    let room = BodyRoom::of(client);
    let mut request =
        request.map(|body| RequestBody::new(body, room.clone(), gateway.bounds.stall, gateway.bounds.pace));
    request.extensions_mut().insert(client.account.clone());
    let ends_itself = request.uri().path() == put_stream::PATH;
    let has_own_room = ends_itself || records::GIVING_RECORDS.contains(&request.uri().path());
    // A call with a deadline keeps half of it for its answer.
    let patience = match SERVICES_THAT_WAIT.iter().any(|prefix| request.uri().path().starts_with(prefix)) {
        true => deadline.map_or(gateway.bounds.request, |deadline| deadline / 2),
        false => Duration::ZERO,
    };
    let open = gateway.opened(patience).await;
    let beginning = async {
        let Some(Open { api, .. }) = open else {
            return Err(status::unavailable(gateway.stage.current()));
        };
        if ends_itself {
            return put_stream::begin(&api.caller, gateway.stopping.clone(), request, room.clone());
        }
        if request.uri().path() == put::PATH {
            return put::answer(&api.caller, request).await;
        }
        let Ok(response) = api.routes.clone().call(request).await;
        Ok(response)
    };
    // Without a deadline of the client's a call has as long as any other to come with its request and to be answered.
    let patience = gateway.bounds.body + gateway.bounds.request;
    let left = deadline.map_or(patience, |deadline| deadline.min(patience)).saturating_sub(started.elapsed());
    let outcome = begun(beginning, left).await;
    let response = outcome.unwrap_or_else(|status| match deadline {
        Some(deadline) if status.code() == Code::Internal && started.elapsed() >= deadline => {
            timeout::passed().into_http()
        }
        _ => status.into_http(),
    });
    timing.record(http_status(response.headers()), started.elapsed());
    let stopping = (!ends_itself).then(|| gateway.stopping.clone());
    response.map(|body| {
        let answer = Answer::new(body, room, deadline_at, stopping);
        let answer = match has_own_room {
            true => answer,
            false => {
                answer.charged(AnswerRoom::new(&client.room.answers, &client.account), gateway.bounds.pace)
            }
        };
        AnswerBody::Grpc(Box::new(answer))
    })
}

/// The answer to a call for which there is no room beside those that are under way on its connection.
pub(super) fn refuse(client: &Client) -> Response<AnswerBody> {
    let response = status::of(Fault::no_room(false, CALLS)).into_http::<tonic::body::Body>();
    response.map(|body| AnswerBody::Grpc(Box::new(Answer::new(body, BodyRoom::of(client), None, None))))
}

/// Returns the answer of a call, or a status when the call panics or has none within `patience`.
async fn begun(
    beginning: impl Future<Output = Result<Response<tonic::body::Body>, Status>>,
    patience: Duration,
) -> Result<Response<tonic::body::Body>, Status> {
    match tokio::time::timeout(patience, AssertUnwindSafe(beginning).catch_unwind()).await {
        Ok(Ok(outcome)) => outcome,
        Ok(Err(_panic)) => {
            crate::log_at_most_once_a_second!(error, "a call panicked; it is answered with INTERNAL");
            Err(status::unknown_outcome())
        }
        Err(_) => Err(status::unknown_outcome()),
    }
}

/// The error of a call whose headers or trailers these are: the status that it is counted by, and the reason; `None`
/// for a call that has not failed.
pub(super) fn failed(headers: &HeaderMap) -> Option<(u16, String)> {
    let status = Status::from_header_map(headers).filter(|status| status.code() != Code::Ok)?;
    let reason =
        status.get_details_error_info().map_or_else(|| format!("{:?}", status.code()), |info| info.reason);
    Some((http_status(headers).as_u16(), reason))
}

/// How a call is counted: by the status with which the Kinesis protocol would answer it.
fn http_status(headers: &HeaderMap) -> StatusCode {
    match Status::from_header_map(headers).map_or(Code::Ok, |status| status.code()) {
        Code::Ok => StatusCode::OK,
        Code::Internal | Code::Unavailable | Code::Unknown | Code::DataLoss | Code::DeadlineExceeded => {
            StatusCode::INTERNAL_SERVER_ERROR
        }
        _ => StatusCode::BAD_REQUEST,
    }
}

#[cfg(test)]
mod tests {
    use hyper::header::HeaderValue;

    use super::*;

    #[test]
    fn the_content_type_decides_on_codec_and_refusal() {
        for (content_type, expected) in [
            ("application/grpc", (true, true)),
            ("application/grpc+proto", (true, true)),
            ("application/grpc;charset=utf-8", (true, true)),
            ("application/grpc+json", (true, false)),
            ("application/grpc-web", (true, false)),
            ("application/json", (false, false)),
        ] {
            let mut headers = HeaderMap::new();
            headers.insert(CONTENT_TYPE, HeaderValue::from_static(content_type));
            assert_eq!((is_meant(&headers), is_readable(&headers)), expected, "{content_type}");
        }
        assert!(!is_meant(&HeaderMap::new()));
    }
}
