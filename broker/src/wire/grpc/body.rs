//! The body of a gRPC request as it comes: its bytes have a share of the room for all requests' bodies from their
//! arrival to their answer, its messages are bounded in size, and one that has begun has to come in time.

use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::Bytes;
use hyper::body::{Body, Frame, Incoming, SizeHint};
use tokio::time::{Instant, Sleep, sleep_until};
use tonic::Status;

use super::framing::PREFIX_BYTES;
use super::{MESSAGE_BYTES_MAX, status};
use crate::ops::Fault;
use crate::room::Charge;
use crate::wire::body::{PREPAID_BYTES, ROOM_PATIENCE};
use crate::wire::client::Client;
use crate::wire::pace::Pace;

/// The bytes that one call takes of the room for all requests' bodies. Clones are one share; it is given back
/// with the last. The charge of the connection covers the first [`PREPAID_BYTES`].
#[derive(Clone, Debug)]
pub(super) struct BodyRoom(Arc<Mutex<BodyCharge>>);

#[derive(Debug)]
struct BodyCharge {
    charge: Charge,
    /// Bytes that have come and are not answered.
    bytes: usize,
}

impl BodyCharge {
    /// Bytes that have to be charged when so many more are here.
    fn needed(&self, more: usize) -> usize {
        (self.bytes + more).saturating_sub(PREPAID_BYTES)
    }
}

impl BodyRoom {
    /// A share of nothing.
    pub(super) fn of(client: &Client) -> Self {
        let charge = client.room.bodies.charge(&client.account, false);
        Self(Arc::new(Mutex::new(BodyCharge { charge, bytes: 0 })))
    }

    /// Takes in bytes that have come, if there is room now.
    fn try_add(&self, bytes: usize) -> bool {
        let mut share = self.share();
        let needed = share.needed(bytes);
        let has_room = share.charge.try_grow(needed);
        if has_room {
            share.bytes += bytes;
        }
        has_room
    }

    /// Takes in bytes once there is room for them; false when there was none in time.
    async fn add(self, bytes: usize) -> bool {
        let (mut further, more) = {
            let share = self.share();
            (share.charge.sibling(), share.needed(bytes).saturating_sub(share.charge.bytes()))
        };
        if further.grow(more, ROOM_PATIENCE).await.is_err() {
            return false;
        }
        let mut share = self.share();
        share.charge.merge(further);
        share.bytes += bytes;
        true
    }

    /// Releases `bytes` of the charge, or all of it when it is smaller.
    pub(super) fn give_back(&self, bytes: usize) {
        let mut share = self.share();
        share.bytes = share.bytes.saturating_sub(bytes);
        let needed = share.needed(0);
        share.charge.shrink(needed);
    }

    fn share(&self) -> MutexGuard<'_, BodyCharge> {
        self.0.lock().expect("no code panics while it holds this lock")
    }
}

/// A message is longer than any may be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct TooLong {
    /// Bytes of the message.
    length: usize,
    /// Bytes gone over that belong to messages before it.
    before: usize,
}

/// How far the message that is coming has come.
#[derive(Debug, Default)]
struct Coming {
    prefix: Vec<u8>,
    /// Bytes of the message that are still to come.
    left: usize,
}

impl Coming {
    /// Goes over the next bytes.
    ///
    /// # Errors
    /// [`TooLong`], which nothing can follow.
    fn pass(&mut self, bytes: &[u8]) -> Result<(), TooLong> {
        let mut at = 0;
        while at < bytes.len() {
            let rest = &bytes[at..];
            if self.left > 0 {
                let taken = self.left.min(rest.len());
                self.left -= taken;
                at += taken;
                continue;
            }
            let head = &rest[..(PREFIX_BYTES - self.prefix.len()).min(rest.len())];
            self.prefix.extend_from_slice(head);
            if let [_flag, a, b, c, d] = *self.prefix {
                self.left = u32::from_be_bytes([a, b, c, d]) as usize;
                self.prefix.clear();
                if self.left > MESSAGE_BYTES_MAX {
                    return Err(TooLong { length: self.left, before: at });
                }
            }
            at += head.len();
        }
        Ok(())
    }

    fn is_between_messages(&self) -> bool {
        self.left == 0 && self.prefix.is_empty()
    }
}

type Waiting = Pin<Box<dyn Future<Output = bool> + Send>>;

/// The body of a gRPC request, charged to the class bodies.
pub(super) struct RequestBody {
    incoming: Incoming,
    room: BodyRoom,
    /// How long a client may leave a message unfinished.
    stall: Duration,
    coming: Coming,
    /// Bytes that have come and wait for their room.
    waiting: Option<(Bytes, Waiting)>,
    pace: Pace,
    late: Option<Pin<Box<Sleep>>>,
    /// The status that ends the body once the bytes before it are handed over.
    failure: Option<Status>,
}

impl RequestBody {
    pub(super) fn new(incoming: Incoming, room: BodyRoom, stall: Duration, pace: Duration) -> Self {
        Self {
            incoming,
            room,
            stall,
            coming: Coming::default(),
            waiting: None,
            pace: Pace::begin(Instant::now(), pace),
            late: None,
            failure: None,
        }
    }

    /// Takes in bytes that have come, and gives them on if there is room now.
    fn take(&mut self, mut bytes: Bytes) -> Option<Bytes> {
        self.late = None;
        if let Err(TooLong { length, before }) = self.coming.pass(&bytes) {
            let words = format!("A message has up to {MESSAGE_BYTES_MAX} bytes. This one has {length}.");
            self.failure = Some(status::invalid(words));
            bytes.truncate(before);
        }
        if !self.pace.takes(bytes.len(), &self.room.share().charge) {
            self.failure = Some(status::unavailable(LATE));
            bytes.clear();
        }
        if self.room.try_add(bytes.len()) {
            return Some(bytes);
        }
        let waiting = self.room.clone().add(bytes.len());
        self.waiting = Some((bytes, Box::pin(waiting)));
        None
    }

    /// Whether a message that has begun does not go on.
    fn is_late(&mut self, context: &mut Context<'_>) -> bool {
        if self.coming.is_between_messages() {
            return false;
        }
        let until = (Instant::now() + self.stall).min(self.pace.ends);
        let late = self.late.get_or_insert_with(|| Box::pin(sleep_until(until)));
        if late.as_mut().poll(context).is_pending() {
            return false;
        }
        let is_stalled = Instant::now() < self.pace.ends;
        if is_stalled || !self.pace.goes_on(&self.room.share().charge) {
            return true;
        }
        // Slow is well as long as nobody needs the room.
        self.late = None;
        self.is_late(context)
    }
}

impl Body for RequestBody {
    type Data = Bytes;
    type Error = Status;

    fn poll_frame(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Status>>> {
        let this = self.get_mut();
        loop {
            if let Some((bytes, waiting)) = &mut this.waiting {
                let has_room = ready!(waiting.as_mut().poll(context));
                let bytes = std::mem::take(bytes);
                this.waiting = None;
                if !has_room {
                    return Poll::Ready(Some(Err(status::of(Fault::no_room(false, BODIES)))));
                }
                this.pace.begin_anew(&this.room.share().charge);
                return Poll::Ready(Some(Ok(Frame::data(bytes))));
            }
            if let Some(status) = this.failure.take() {
                return Poll::Ready(Some(Err(status)));
            }
            match Pin::new(&mut this.incoming).poll_frame(context) {
                Poll::Ready(Some(Ok(frame))) => match frame.into_data() {
                    Ok(bytes) => {
                        if let Some(bytes) = this.take(bytes) {
                            return Poll::Ready(Some(Ok(Frame::data(bytes))));
                        }
                    }
                    Err(frame) => return Poll::Ready(Some(Ok(frame))),
                },
                Poll::Ready(Some(Err(_))) => {
                    return Poll::Ready(Some(Err(Status::cancelled("The client has left."))));
                }
                Poll::Ready(None) => return Poll::Ready(None),
                Poll::Pending if this.is_late(context) => {
                    return Poll::Ready(Some(Err(status::unavailable(LATE))));
                }
                Poll::Pending => return Poll::Pending,
            }
        }
    }

    fn is_end_stream(&self) -> bool {
        self.waiting.is_none() && self.failure.is_none() && self.incoming.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::default()
    }
}

const BODIES: &str = "request bodies";
const LATE: &str = "The rest of a message did not arrive in time.";

#[cfg(test)]
mod tests {
    use super::*;
    use crate::room::{Class, LARGEST_BODY_BYTES, Shares};

    #[test]
    fn messages_are_followed_however_they_are_cut() {
        let mut sent = Vec::new();
        for length in [0u32, 1, 300] {
            sent.push(0);
            sent.extend(length.to_be_bytes());
            sent.extend(vec![7; length as usize]);
        }
        for cut in 1..sent.len() {
            let mut coming = Coming::default();
            let mut passed = 0;
            for part in sent.chunks(cut) {
                coming.pass(part).unwrap();
                passed += part.len();
                let ends = [5, 11, 316].contains(&passed);
                assert_eq!(coming.is_between_messages(), ends, "{cut} {passed}");
            }
        }
        let prefix = |length: usize| [&[0][..], &u32::try_from(length).unwrap().to_be_bytes()].concat();
        let length = MESSAGE_BYTES_MAX + 1;
        let whole = [&prefix(2)[..], b"ab", &prefix(length)].concat();
        assert_eq!(Coming::default().pass(&whole), Err(TooLong { length, before: 7 }));
        let mut coming = Coming::default();
        assert_eq!(coming.pass(&whole[..9]), Ok(()));
        assert_eq!(coming.pass(&whole[9..]), Err(TooLong { length, before: 0 }));
        assert_eq!(Coming::default().pass(&prefix(MESSAGE_BYTES_MAX)), Ok(()));
    }

    #[tokio::test(start_paused = true)]
    async fn room_is_given_back_once_and_no_more_than_was_had() {
        let all = crate::room::Room::new(Shares::default().with(Class::Bodies, 32 << 20));
        let client = Client::open(&all, [127, 0, 0, 1].into(), crate::wire::Interface::Loopback).unwrap();
        let (room, used) = (BodyRoom::of(&client), || all.bodies.used());
        assert!(room.try_add(PREPAID_BYTES));
        assert_eq!(used(), 0);
        assert!(room.try_add(60) && room.clone().add(40).await);
        assert_eq!(used(), 100);
        room.give_back(20);
        assert_eq!(used(), 80);
        let clone = room.clone();
        drop(room);
        assert_eq!(used(), 80);
        // The call that finishes takes of the reserve, and another one waits in vain.
        assert!(clone.clone().add(10 << 20).await);
        assert!(used() > LARGEST_BODY_BYTES);
        assert!(!BodyRoom::of(&client).add(10 << 20).await);
        clone.give_back(1 << 30);
        assert_eq!(used(), 0);
        drop(clone);
        assert_eq!(used(), 0);
    }
}
