//! Put: one message of records. As in a PutStream, data of one that comes in one frame goes from there to the
//! write-ahead log's encoding, without a copy in between.

use bytes::Bytes;
use futures_util::stream;
use hyper::{Request, Response};
use prost::encoding::{DecodeContext, decode_key, skip_field};
use prost::{DecodeError, Message};
use tidelog_proto::v1::{PutRequest, PutResponse};
use tonic::Status;
use tonic::metadata::MetadataMap;

use super::body::RequestBody;
use super::caller::Caller;
use super::framing::{self, MessageReader, PREFIX_BYTES};
use super::{messages, records, status};
use crate::ops::native;

/// Where the call is found.
pub(super) const PATH: &str = "/tidelog.v1.Records/Put";

/// The field of the records in a PutRequest and a PutStreamRequest.
const RECORDS_FIELD: u32 = 2;

/// Carries out the call.
///
/// # Errors
/// As records.proto has them.
pub(super) async fn answer(
    caller: &Caller,
    request: Request<RequestBody>,
) -> Result<Response<tonic::body::Body>, Status> {
    let (head, body) = request.into_parts();
    framing::check_encoding(&head.headers)?;
    let call = caller.call(&MetadataMap::from_headers(head.headers))?;
    let message = MessageReader::new(body).next().await?;
    let message = message.ok_or_else(|| status::invalid("A Put has one message."))?;
    let PutRequest { stream, records, producer } = read(&message)?;
    let stamp = records::stamp(producer)?;
    let entries = messages::entries(&records);
    let results = native::put(&caller.service, &call, &stream, entries, stamp.as_ref(), None).await;
    let results = messages::results(&results.map_err(status::of)?);
    let mut response = vec![0; PREFIX_BYTES];
    PutResponse { results }.encode(&mut response).expect("a vector grows");
    Ok(framing::response(stream::iter([Ok(framing::framed(response))])))
}

/// Reads a message of records. They are counted first: millions of empty ones take little room in a message, and much
/// once they are read.
///
/// # Errors
/// INVALID_ARGUMENT for bytes that are no such message, or for too many records.
pub(super) fn read<M: Message + Default>(message: &Bytes) -> Result<M, Status> {
    let unreadable = |error| status::invalid(format!("The message cannot be read: {error}."));
    native::check_count_max(count(message).map_err(unreadable)?).map_err(status::of)?;
    M::decode(message.clone()).map_err(unreadable)
}

pub(super) fn count(mut message: &[u8]) -> Result<usize, DecodeError> {
    let mut count = 0;
    while !message.is_empty() {
        let (field, wire_type) = decode_key(&mut message)?;
        skip_field(wire_type, field, &mut message, DecodeContext::default())?;
        count += usize::from(field == RECORDS_FIELD);
    }
    Ok(count)
}
