//! Reads a request body into one run of bytes, within bounds of size, time and memory.
//!
//! Memory is charged for bytes that have come, never for a length that is announced. The charge of the connection
//! covers the first [`PREPAID_BYTES`]; past them a step is charged before the next bytes are taken, so that a body
//! which waits for room leaves its bytes where they are.

use std::time::Duration;

use bytes::{Bytes, BytesMut};
use http_body_util::BodyExt;
use hyper::body::{Body as _, Incoming};
use tokio::time::{Instant, timeout, timeout_at};

use super::Gateway;
use super::client::Client;
use super::exchange::Disconnected;
use super::pace::Pace;
use super::refusal::Refusal;
use crate::room::{Charge, Full, SMALL_BYTES};

/// Bytes of a body that the charge of the connection covers.
pub(super) const PREPAID_BYTES: usize = 16 << 10;
/// Bytes that are charged ahead at least: the largest frame.
const STEP_MIN: usize = 64 << 10;
/// Bytes that are charged ahead at most.
const STEP_MAX: usize = 1 << 20;
/// The name of the class in refusals of bodies that find no room.
const BODIES: &str = "request bodies";
/// How long a body that has a part of the room waits for more.
pub(super) const ROOM_PATIENCE: Duration = Duration::from_secs(2);
/// How long a body that has no room yet waits for it.
const FIRST_PATIENCE: Duration = Duration::from_secs(10);
/// How much of a body that is refused for its size is read and thrown away, as a multiple of the bound: a client
/// that is disconnected in the middle of sending sees a broken connection and never the reason.
const DISCARD_FACTOR: usize = 3;

/// A complete body and its charge, until it is dropped.
#[derive(Debug)]
pub(super) struct Body {
    pub(super) bytes: Bytes,
    _charge: Option<Charge>,
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

impl From<Full> for Failure {
    fn from(_: Full) -> Self {
        Self::Refused(Refusal::NoRoom(BODIES))
    }
}

/// Reads the whole of `incoming`. A client that `waits` for a 100 before it sends a body is refused without it.
///
/// # Errors
/// When the body is too large, too slow or incomplete, or when there is no room for it.
pub(super) async fn read(
    gateway: &Gateway,
    client: &Client,
    mut incoming: Incoming,
    waits: bool,
) -> Result<Body, Failure> {
    let bytes_max = gateway.bounds.body_bytes_max;
    let announced = incoming.size_hint();
    if announced.lower() > bytes_max as u64 {
        if !waits {
            discard(gateway, &mut incoming).await;
        }
        return Err(Refusal::BodyTooLarge { bytes_max }.into());
    }
    if incoming.is_end_stream() {
        return Ok(Body { bytes: Bytes::new(), _charge: None });
    }
    let announced = announced.exact().and_then(|length| usize::try_from(length).ok());
    let is_small = announced.is_some_and(|length| length <= SMALL_BYTES);
    let now = Instant::now();
    let reading = Reading {
        gateway,
        charge: client.room.bodies.charge(&client.account, is_small),
        left: announced,
        pace: Pace::begin(now, gateway.bounds.pace),
        taken: 0,
        incoming,
    };
    match timeout_at(now + gateway.bounds.body, reading.collect()).await {
        Ok(outcome) => outcome,
        Err(_) => Err(Refusal::BodyLate.into()),
    }
}

/// A body that is being read.
struct Reading<'a> {
    gateway: &'a Gateway,
    incoming: Incoming,
    charge: Charge,
    /// Bytes that are still to come, where that was announced.
    left: Option<usize>,
    /// Bytes that have come.
    taken: usize,
    pace: Pace,
}

impl Reading<'_> {
    async fn collect(mut self) -> Result<Body, Failure> {
        let bytes_max = self.gateway.bounds.body_bytes_max;
        let Some(first) = self.next().await? else { return Ok(self.complete(Bytes::new())) };
        if self.taken > bytes_max {
            return Err(Refusal::BodyTooLarge { bytes_max }.into());
        }
        // A body that came as one frame is kept as it is.
        if self.left == Some(0) || self.incoming.is_end_stream() {
            if self.taken > PREPAID_BYTES {
                self.charge.grow(self.taken, ROOM_PATIENCE).await?;
            }
            return Ok(self.complete(first));
        }
        let mut bytes = BytesMut::with_capacity(first.len().max(self.left.unwrap_or(STEP_MIN).min(STEP_MAX)));
        bytes.extend_from_slice(&first);
        drop(first);
        loop {
            self.make_room().await?;
            let Some(part) = self.next().await? else { break };
            if self.taken > bytes_max {
                drop(bytes);
                discard(self.gateway, &mut self.incoming).await;
                return Err(Refusal::BodyTooLarge { bytes_max }.into());
            }
            bytes.extend_from_slice(&part);
        }
        if self.taken > PREPAID_BYTES {
            self.charge.shrink(self.taken);
        }
        Ok(self.complete(bytes.freeze()))
    }

    fn complete(self, bytes: Bytes) -> Body {
        Body { bytes, _charge: Some(self.charge) }
    }

    /// Charges a step ahead of the bytes that have come: as much as has come already, while there is as much room.
    async fn make_room(&mut self) -> Result<(), Full> {
        let left = self.left.unwrap_or(usize::MAX);
        let least = self.taken + left.min(STEP_MIN);
        if least <= PREPAID_BYTES || least <= self.charge.bytes() {
            return Ok(());
        }
        let ahead = self.taken + left.min(self.taken.clamp(STEP_MIN, STEP_MAX));
        if self.charge.try_grow(ahead) {
            return Ok(());
        }
        let patience = if self.charge.bytes() == 0 { FIRST_PATIENCE } else { ROOM_PATIENCE };
        self.charge.grow(least, patience).await?;
        self.pace.begin_anew(&self.charge);
        Ok(())
    }

    /// The next run of bytes; `None` at the end. Trailers are passed over.
    async fn next(&mut self) -> Result<Option<Bytes>, Failure> {
        let late = Instant::now() + self.gateway.bounds.stall;
        loop {
            match timeout_at(late.min(self.pace.ends), self.incoming.frame()).await {
                Err(_) if Instant::now() >= late || !self.pace.goes_on(&self.charge) => {
                    return Err(Refusal::BodyLate.into());
                }
                Err(_) => {}
                Ok(None) => return Ok(None),
                Ok(Some(Err(_))) => return Err(Failure::Left(Disconnected)),
                Ok(Some(Ok(frame))) => {
                    if let Ok(bytes) = frame.into_data() {
                        self.taken += bytes.len();
                        self.left = self.left.map(|left| left.saturating_sub(bytes.len()));
                        if !self.pace.takes(bytes.len(), &self.charge) {
                            return Err(Refusal::BodyLate.into());
                        }
                        return Ok(Some(bytes));
                    }
                }
            }
        }
    }
}

/// Reads on and keeps nothing, so that the refusal reaches a client that reads only after it has sent all.
async fn discard(gateway: &Gateway, incoming: &mut Incoming) {
    let mut left = gateway.bounds.body_bytes_max.saturating_mul(DISCARD_FACTOR);
    let reading = async {
        while let Some(Ok(frame)) = incoming.frame().await {
            left = left.saturating_sub(frame.data_ref().map_or(0, Bytes::len));
            if left == 0 {
                return;
            }
        }
    };
    // Whether all was read or time ran out, the refusal follows.
    drop(timeout(gateway.bounds.stall, reading).await);
}
