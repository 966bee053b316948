//! The body of a gRPC request as it comes: its bytes have a share of the room for all requests' bodies from their arrival
//! to their answer, its messages are bounded in size, and one that has begun has to come in time.

use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::Bytes;
use hyper::body::{Body, Frame, Incoming, SizeHint};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::{Sleep, sleep, timeout};
use tonic::Status;

use super::framing::PREFIX_BYTES;
use super::{MESSAGE_BYTES_MAX, status};

/// The share of one call in the room for all requests' bodies. Clones are one share; it is given back with the last.
#[derive(Clone, Debug)]
pub(super) struct Room(Arc<Share>);

#[derive(Debug)]
struct Share {
    all: Arc<Semaphore>,
    bytes: AtomicUsize,
}

impl Room {
    /// A share of nothing.
    pub(super) fn of(all: &Arc<Semaphore>) -> Self {
        Self(Arc::new(Share { all: all.clone(), bytes: AtomicUsize::new(0) }))
    }

    fn add(&self, permit: OwnedSemaphorePermit) {
        self.0.bytes.fetch_add(permit.num_permits(), Ordering::Relaxed);
        permit.forget();
    }

    /// Gives back that many bytes, or all there are.
    pub(super) fn give_back(&self, bytes: usize) {
        let left = |held: usize| Some(held.saturating_sub(bytes));
        let held = self.0.bytes.fetch_update(Ordering::Relaxed, Ordering::Relaxed, left);
        self.0.all.add_permits(held.unwrap_or_default().min(bytes));
    }
}

impl Drop for Share {
    fn drop(&mut self) {
        self.all.add_permits(*self.bytes.get_mut());
    }
}

/// A message is longer than any may be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct TooLong {
    /// Its bytes.
    length: usize,
    /// Of the bytes gone over, those that belong to messages before it.
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

type Waiting = Pin<Box<dyn Future<Output = Option<OwnedSemaphorePermit>> + Send>>;

/// See the module.
pub(super) struct RequestBody {
    incoming: Incoming,
    room: Room,
    /// How long a client may leave a message unfinished.
    stall: Duration,
    coming: Coming,
    /// Bytes that have come and wait for their room.
    waiting: Option<(Bytes, Waiting)>,
    late: Option<Pin<Box<Sleep>>>,
    /// What it ends with once what came before is handed over.
    failure: Option<Status>,
}

impl RequestBody {
    pub(super) fn new(incoming: Incoming, room: Room, stall: Duration) -> Self {
        Self { incoming, room, stall, coming: Coming::default(), waiting: None, late: None, failure: None }
    }

    /// Takes in bytes that have come.
    fn take(&mut self, mut bytes: Bytes) {
        self.late = None;
        if let Err(TooLong { length, before }) = self.coming.pass(&bytes) {
            let words = format!("A message has up to {MESSAGE_BYTES_MAX} bytes. This one has {length}.");
            self.failure = Some(status::invalid(words));
            bytes.truncate(before);
        }
        let permits = u32::try_from(bytes.len()).expect("a frame has less");
        let room = self.room.0.all.clone().acquire_many_owned(permits);
        let stall = self.stall;
        let waiting = async move { timeout(stall, room).await.ok()?.ok() };
        self.waiting = Some((bytes, Box::pin(waiting)));
    }

    /// Whether a message that has begun does not go on.
    fn is_late(&mut self, context: &mut Context<'_>) -> bool {
        if self.coming.is_between_messages() {
            return false;
        }
        let stall = self.stall;
        self.late.get_or_insert_with(|| Box::pin(sleep(stall))).as_mut().poll(context).is_ready()
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
                let permit = ready!(waiting.as_mut().poll(context));
                let bytes = std::mem::take(bytes);
                this.waiting = None;
                let Some(permit) = permit else { return Poll::Ready(Some(Err(status::unavailable(BUSY)))) };
                this.room.add(permit);
                return Poll::Ready(Some(Ok(Frame::data(bytes))));
            }
            if let Some(status) = this.failure.take() {
                return Poll::Ready(Some(Err(status)));
            }
            match Pin::new(&mut this.incoming).poll_frame(context) {
                Poll::Ready(Some(Ok(frame))) => match frame.into_data() {
                    Ok(bytes) => this.take(bytes),
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

const BUSY: &str = "Too many request bodies are in flight; try again.";
const LATE: &str = "The rest of a message did not arrive in time.";

#[cfg(test)]
mod tests {
    use super::*;

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

    #[tokio::test]
    async fn room_is_given_back_once_and_no_more_than_was_had() {
        let all = Arc::new(Semaphore::new(100));
        let room = Room::of(&all);
        room.add(all.clone().acquire_many_owned(60).await.unwrap());
        assert_eq!(all.available_permits(), 40);
        room.give_back(20);
        assert_eq!(all.available_permits(), 60);
        let clone = room.clone();
        drop(room);
        assert_eq!(all.available_permits(), 60);
        clone.give_back(1_000);
        assert_eq!(all.available_permits(), 100);
        drop(clone);
        assert_eq!(all.available_permits(), 100);
    }
}
