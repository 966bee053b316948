//! Checks of the stream and of the shards that are to be split or merged.

use crate::model::shard_id::ShardId;
use crate::model::stream::{Shard, Stream, StreamKey, StreamMode, StreamStatus};
use crate::ops::Fault;
use crate::ops::fault::{NotFound, Validation};

/// Whether the user may change the shards of the stream.
///
/// # Errors
/// [`Fault::ResourceInUse`] when it is not ACTIVE; [`Fault::Validation`] when its mode is ON_DEMAND.
pub fn check_stream(stream: &Stream, operation: &'static str) -> Result<(), Fault> {
    if stream.status != StreamStatus::Active {
        return Err(Fault::not_active(&stream.key, stream.status));
    }
    match stream.mode {
        StreamMode::Provisioned => Ok(()),
        StreamMode::OnDemand => Err(Fault::Validation(Validation::OnDemandShards {
            operation: operation.into(),
            stream: stream.key.name.to_string(),
        })),
    }
}

/// Reads a shard's id. An id that no shard can have is refused before its stream is looked for (recorded from AWS).
///
/// # Errors
/// [`Fault::ResourceNotFound`] with the id as it was sent.
pub fn parse(key: &StreamKey, id: &str) -> Result<ShardId, Fault> {
    ShardId::parse(id).ok_or_else(|| not_found(key, &id))
}

fn not_found(key: &StreamKey, id: &dyn std::fmt::Display) -> Fault {
    Fault::ResourceNotFound(NotFound::ShardText { key: key.clone(), id: id.to_string() })
}

/// The shard of that id, which must be open.
///
/// # Errors
/// [`Fault::ResourceNotFound`] when the stream has no such shard, [`Fault::InvalidArgument`] when it is closed.
pub fn find<'a>(stream: &'a Stream, id: &str) -> Result<&'a Shard, Fault> {
    let id = parse(&stream.key, id)?;
    let shard = stream.shard(id.0).ok_or_else(|| not_found(&stream.key, &id))?;
    match shard.closed_ms {
        None => Ok(shard),
        Some(_) => Err(Fault::shard_closed(&stream.key, ShardId(shard.index))),
    }
}
