//! The part of the service Groups about applications of the Kinesis Client Library (KCL).
//!
//! Members of requests are checked and turned into the domain's types here; the service does the rest.

use tidelog_proto::v1::describe_application_response::{FoundBy, Leader, Lease, Worker};
use tidelog_proto::v1::{
    DeleteApplicationRequest, DeleteApplicationResponse, DescribeApplicationRequest,
    DescribeApplicationResponse, ExportApplicationRequest, ExportApplicationResponse,
    ImportApplicationRequest, ImportApplicationResponse, LeaseChange as LeaseChangeMessage,
    ListApplicationsRequest, ListApplicationsResponse, ResetApplicationRequest, ResetApplicationResponse,
};
use tidelog_tables::{Item, Owner, application_of};
use tonic::metadata::MetadataMap;
use tonic::{Code, Request, Response, Status};

use super::MESSAGE_BYTES_MAX;
use super::caller::Caller;
use super::groups::group_begin;
use super::status;
use crate::model::stream::StreamKey;
use crate::ops::{Fault, native};
use crate::service::{
    ApplicationDescription, ApplicationError, FoundStream, LeaseChange, LeaseDescription, NewApplication,
    ServiceError,
};

type Answer<T> = Result<Response<T>, Status>;

/// Bytes that an answer has beside its leases.
const ANSWER_BYTES_LEFT: usize = 1 << 20;

/// The caller, and the stream that it has named.
struct Asked {
    owner: Owner,
    stream: Option<StreamKey>,
}

fn asked(caller: &Caller, metadata: &MetadataMap, stream: &str) -> Result<Asked, Status> {
    let call = caller.call(metadata)?;
    let key = match stream {
        "" => None,
        text => Some(native::stream_key(&call, text).map_err(status::of)?),
    };
    Ok(Asked { owner: Owner::new(&call.account, &call.region), stream: key })
}

impl Asked {
    /// The status of a call that has come to nothing.
    fn failed(&self, error: ApplicationError) -> Status {
        let words = error.to_string();
        match error {
            ApplicationError::NoSuchApplication(_) => {
                status::with_reason(Code::NotFound, "GROUP_NOT_FOUND", words)
            }
            ApplicationError::Running { .. } | ApplicationError::Overtaken => {
                status::with_reason(Code::FailedPrecondition, "IN_USE", words)
            }
            ApplicationError::Exists(_) => status::with_reason(Code::AlreadyExists, "IN_USE", words),
            ApplicationError::NotKnownYet { .. } | ApplicationError::NoLeader => status::unavailable(words),
            ApplicationError::NotWatched => status::with_reason(Code::ResourceExhausted, "QUOTA", words),
            ApplicationError::OutOfRange(_) => status::with_reason(Code::OutOfRange, "OUT_OF_RANGE", words),
            ApplicationError::NoStream(_)
            | ApplicationError::OtherStream { .. }
            | ApplicationError::Invalid(_)
            | ApplicationError::Refused(_) => status::invalid(words),
            ApplicationError::Off => status::with_reason(Code::Unimplemented, "UNIMPLEMENTED", words),
            ApplicationError::Service(error) => match (&self.stream, error) {
                (Some(key), error) => status::of(Fault::of_stream(error, key)),
                (None, ServiceError::StreamGone) => {
                    let words = "The stream of the application does not exist.";
                    status::with_reason(Code::NotFound, "STREAM_NOT_FOUND", words)
                }
                (None, ServiceError::Unavailable(unavailable)) => {
                    status::unavailable(unavailable.to_string())
                }
                (None, _) => status::unknown_outcome(),
            },
        }
    }
}

fn refused(refusal: Option<ApplicationError>) -> String {
    refusal.map(|refusal| refusal.to_string()).unwrap_or_default()
}

pub(super) async fn list(
    caller: &Caller,
    request: &Request<ListApplicationsRequest>,
) -> Answer<ListApplicationsResponse> {
    let asked = asked(caller, request.metadata(), "")?;
    let applications = caller.service.list_applications(&asked.owner).await;
    let applications = applications.map_err(|error| asked.failed(error))?;
    Ok(Response::new(ListApplicationsResponse { applications }))
}

pub(super) async fn describe(
    caller: &Caller,
    request: &Request<DescribeApplicationRequest>,
) -> Answer<DescribeApplicationResponse> {
    let message = request.get_ref();
    let asked = asked(caller, request.metadata(), &message.stream)?;
    let described =
        caller.service.describe_application(&asked.owner, &message.application, asked.stream.as_ref()).await;
    let described = described.map_err(|error| asked.failed(error))?;
    Ok(Response::new(description(described)))
}

pub(super) async fn reset(
    caller: &Caller,
    request: &Request<ResetApplicationRequest>,
) -> Answer<ResetApplicationResponse> {
    let message = request.get_ref();
    if message.to.is_none() {
        return Err(status::invalid("`to` is needed: trim horizon, latest or a timestamp."));
    }
    let to = group_begin(message.to.as_ref())?;
    let asked = asked(caller, request.metadata(), &message.stream)?;
    let (owner, stream) = (&asked.owner, asked.stream.as_ref());
    let reset =
        caller.service.reset_application(owner, &message.application, stream, to, message.dry_run).await;
    let reset = reset.map_err(|error| asked.failed(error))?;
    Ok(Response::new(ResetApplicationResponse {
        streams: reset.streams,
        changes: reset.changes.into_iter().map(change).collect(),
        refusal: refused(reset.refusal),
    }))
}

pub(super) async fn delete(
    caller: &Caller,
    request: &Request<DeleteApplicationRequest>,
) -> Answer<DeleteApplicationResponse> {
    let message = request.get_ref();
    let asked = asked(caller, request.metadata(), "")?;
    let deleted =
        caller.service.delete_application(&asked.owner, &message.application, message.dry_run).await;
    let (tables, refusal) = deleted.map_err(|error| asked.failed(error))?;
    Ok(Response::new(DeleteApplicationResponse { tables, refusal: refused(refusal) }))
}

pub(super) async fn export(
    caller: &Caller,
    request: &Request<ExportApplicationRequest>,
) -> Answer<ExportApplicationResponse> {
    let asked = asked(caller, request.metadata(), "")?;
    let items = caller.service.export_application(&asked.owner, &request.get_ref().application).await;
    let items = items.map_err(|error| asked.failed(error))?;
    let json = |item: &Item| String::from_utf8(item.to_json()).expect("JSON is text");
    let leases: Vec<String> = items.iter().map(json).collect();
    if leases.iter().map(String::len).sum::<usize>() > MESSAGE_BYTES_MAX - ANSWER_BYTES_LEFT {
        let words =
            "The leases are too many for one answer: export the table with Scan of the DynamoDB protocol.";
        return Err(status::with_reason(Code::ResourceExhausted, "QUOTA", words));
    }
    Ok(Response::new(ExportApplicationResponse { leases }))
}

pub(super) async fn import(
    caller: &Caller,
    request: &Request<ImportApplicationRequest>,
) -> Answer<ImportApplicationResponse> {
    let message = request.get_ref();
    let asked = asked(caller, request.metadata(), &message.stream)?;
    let name = asked.owner.table_name(&message.application, "CreateTable");
    let name = name.map_err(|fault| status::invalid(fault.to_string()))?;
    if application_of(&name) != &*name {
        return Err(status::invalid(format!(
            "{name} is the name of a table that KCL 3 keeps beside its leases."
        )));
    }
    let item = |(at, json): (usize, &String)| {
        let read = Item::from_json(json.as_bytes());
        read.map_err(|fault| status::invalid(format!("Item {} of `leases`: {fault}", at + 1)))
    };
    let items = message.leases.iter().enumerate().map(item).collect::<Result<Vec<_>, _>>()?;
    let new = NewApplication {
        name: &name,
        stream: asked.stream.as_ref(),
        items: &items,
        may_replace: message.replace,
        is_trial: message.dry_run,
    };
    let imported = caller.service.import_application(&asked.owner, new).await;
    let imported = imported.map_err(|error| asked.failed(error))?;
    let change = |(lease, to)| LeaseChangeMessage { lease, from: String::new(), to };
    Ok(Response::new(ImportApplicationResponse {
        stream: imported.stream.unwrap_or_default(),
        is_by_time: imported.is_by_time,
        changes: imported.leases.into_iter().map(change).collect(),
        refusal: refused(imported.refusal),
    }))
}

fn change(change: LeaseChange) -> LeaseChangeMessage {
    let LeaseChange { lease, from, to } = change;
    LeaseChangeMessage { lease, from: from.unwrap_or_default(), to: to.unwrap_or_default() }
}

fn found(stream: &FoundStream) -> (FoundBy, Vec<String>) {
    match stream {
        FoundStream::Named(name) => (FoundBy::Request, vec![name.clone()]),
        FoundStream::InLeases(names) => (FoundBy::Leases, names.iter().cloned().collect()),
        FoundStream::Consumer(name) => (FoundBy::Consumer, vec![name.clone()]),
        FoundStream::Shards(name) => (FoundBy::Shards, vec![name.clone()]),
        FoundStream::Ambiguous(names) => (FoundBy::Ambiguous, names.clone()),
        FoundStream::Conflicting(names) => (FoundBy::Conflicting, names.clone()),
        FoundStream::Unknown => (FoundBy::Unknown, Vec::new()),
    }
}

fn description(described: ApplicationDescription) -> DescribeApplicationResponse {
    let (found_by, streams) = found(&described.stream);
    let one = described.stream.one().unwrap_or_default().to_owned();
    let lease = |own: LeaseDescription| Lease {
        is_finished: own.lease.is_ended(),
        stream: own.lease.stream_name().unwrap_or(&one).to_owned(),
        shard_id: own.lease.shard.into(),
        worker: own.lease.owner.map(String::from).unwrap_or_default(),
        checkpoint: own.lease.checkpoint.into(),
        sub_sequence_number: own.lease.sub_sequence_number,
        counter: own.lease.counter,
        parents: own.lease.parents.iter().map(ToString::to_string).collect(),
        lease: own.lease.key.into(),
        is_of_other_stream: own.is_of_other_stream,
        records_behind: own.records_behind,
        millis_behind: own.millis_behind,
        moved_ms: own.moved_ms,
        checkpoint_still_ms: own.checkpoint_still_ms,
    };
    let workers = described.workers.into_iter().map(|own| Worker {
        name: own.name,
        is_alive: own.is_alive,
        leases: own.leases,
        renewed_ms: own.renewed_ms,
    });
    DescribeApplicationResponse {
        found_by: found_by.into(),
        streams,
        tables: described.tables,
        workers: workers.collect(),
        leases: described.leases.into_iter().map(lease).collect(),
        leader: described.lock.map(|lock| Leader {
            worker: lock.worker,
            silent_ms: lock.still_ms,
            lock_ms: lock.duration_ms,
        }),
        watched_ms: described.watched_ms,
        owner_moves: described.owner_moves,
    }
}
