//! Reads a request body into one run of bytes, within bounds of size, time and memory.

use std::sync::Arc;

use bytes::{Bytes, BytesMut};
use http_body_util::BodyExt;
use hyper::body::{Body as _, Incoming};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::{Instant, timeout, timeout_at};

use super::Gateway;
use super::exchange::Disconnected;
use super::refusal::Refusal;

/// Room taken at once for a body of unknown length, bytes.
const STEP: usize = 1024 * 1024;
/// How much of a body that is refused for its size is read and thrown away, as a multiple of the bound: a client that
/// is cut off in the middle of sending sees a broken connection and never the reason.
const DISCARD_FACTOR: usize = 3;

/// A complete body and the room it takes until it is dropped.
#[derive(Debug)]
pub(super) struct Body {
    pub(super) bytes: Bytes,
    _room: Option<OwnedSemaphorePermit>,
}

/// Why there is no body.
#[derive(Debug)]
pub(super) enum Failure {
    /// To be answered.
    Refused(Refusal),
    /// Not to be answered.
    Left(Disconnected),
}

impl From<Refusal> for Failure {
    fn from(refusal: Refusal) -> Self {
        Self::Refused(refusal)
    }
}

/// Reads the whole of `incoming`. A client that `waits` for a 100 before it sends a body is refused without it.
///
/// # Errors
/// When the body is too large, too slow, or cut off, or when there is no room for it.
pub(super) async fn read(gateway: &Gateway, mut incoming: Incoming, waits: bool) -> Result<Body, Failure> {
    let bytes_max = gateway.bounds.body_bytes_max;
    let announced = incoming.size_hint();
    if announced.lower() > bytes_max as u64 {
        if !waits {
            discard(gateway, &mut incoming).await;
        }
        return Err(Refusal::BodyTooLarge { bytes_max }.into());
    }
    if incoming.is_end_stream() {
        return Ok(Body { bytes: Bytes::new(), _room: None });
    }
    let deadline = Instant::now() + gateway.bounds.body;
    match timeout_at(deadline, collect(gateway, incoming, announced.exact())).await {
        Ok(outcome) => outcome,
        Err(_) => Err(Refusal::BodyLate.into()),
    }
}

async fn collect(gateway: &Gateway, mut incoming: Incoming, exact: Option<u64>) -> Result<Body, Failure> {
    let bytes_max = gateway.bounds.body_bytes_max;
    let expected = exact.map_or(STEP.min(bytes_max), |length| usize::try_from(length).unwrap_or(bytes_max));
    let mut room = first_room(gateway, expected).await?;
    let Some(first) = next(gateway, &mut incoming).await? else {
        return Ok(Body { bytes: Bytes::new(), _room: Some(room) });
    };
    // A body that came as one frame is kept as it is.
    if exact == Some(first.len() as u64) || incoming.is_end_stream() {
        return fitting(first, bytes_max, room);
    }
    let mut bytes = BytesMut::with_capacity(expected.max(first.len()));
    let mut frame = Some(first);
    while let Some(part) = frame {
        let length = bytes.len() + part.len();
        if length > bytes_max {
            drop(bytes);
            discard(gateway, &mut incoming).await;
            return Err(Refusal::BodyTooLarge { bytes_max }.into());
        }
        while length > room.num_permits() {
            room.merge(further_room(&gateway.body_bytes)?);
        }
        bytes.extend_from_slice(&part);
        frame = next(gateway, &mut incoming).await?;
    }
    Ok(Body { bytes: bytes.freeze(), _room: Some(room) })
}

fn fitting(bytes: Bytes, bytes_max: usize, room: OwnedSemaphorePermit) -> Result<Body, Failure> {
    if bytes.len() > bytes_max {
        return Err(Refusal::BodyTooLarge { bytes_max }.into());
    }
    Ok(Body { bytes, _room: Some(room) })
}

/// Waits for room, at most as long as a stalled client is waited for.
async fn first_room(gateway: &Gateway, bytes: usize) -> Result<OwnedSemaphorePermit, Failure> {
    let permits = u32::try_from(bytes).map_err(|_| Refusal::Busy)?;
    let wait = Arc::clone(&gateway.body_bytes).acquire_many_owned(permits);
    match timeout(gateway.bounds.stall, wait).await {
        Ok(Ok(room)) => Ok(room),
        _ => Err(Refusal::Busy.into()),
    }
}

/// Does not wait: bodies that hold a part of the room and wait for the rest would block each other.
fn further_room(body_bytes: &Arc<Semaphore>) -> Result<OwnedSemaphorePermit, Failure> {
    Arc::clone(body_bytes).try_acquire_many_owned(STEP as u32).map_err(|_| Refusal::Busy.into())
}

/// The next run of bytes; `None` at the end. Trailers are passed over.
async fn next(gateway: &Gateway, incoming: &mut Incoming) -> Result<Option<Bytes>, Failure> {
    loop {
        match timeout(gateway.bounds.stall, incoming.frame()).await {
            Err(_) => return Err(Refusal::BodyLate.into()),
            Ok(None) => return Ok(None),
            Ok(Some(Err(_))) => return Err(Failure::Left(Disconnected)),
            Ok(Some(Ok(frame))) => {
                if let Ok(bytes) = frame.into_data() {
                    return Ok(Some(bytes));
                }
            }
        }
    }
}

/// Reads on and keeps nothing, so that the refusal reaches a client that reads only after it has sent all.
async fn discard(gateway: &Gateway, incoming: &mut Incoming) {
    let mut left = gateway.bounds.body_bytes_max.saturating_mul(DISCARD_FACTOR);
    let reading = async {
        while let Ok(Some(bytes)) = next(gateway, incoming).await {
            left = left.saturating_sub(bytes.len());
            if left == 0 {
                return;
            }
        }
    };
    // Whether all was read or time ran out, the refusal follows.
    drop(timeout(gateway.bounds.stall, reading).await);
}
