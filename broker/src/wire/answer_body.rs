//! The body of an answer: complete, or the messages of an event stream, as they come.
//!
//! Either is handed over in frames, so that a client that takes nothing of them is seen (`stall.rs`). A large answer is
//! charged and ends once all of it is taken (`charged.rs`). Nobody watches the only frame of a small one once HTTP/2
//! has it: it keeps its request under way instead, so that its connection has one stream less.
//!
//! An event stream is pulled: the next message is made when the connection can take it, so that a slow client holds at
//! most the messages that are on their way to it, for a bounded time. It ends when its operation ends it, when the
//! broker stops, and with a message of its own when it fails; in the middle of a message when it is over and its client
//! goes on to take little. A client that goes away drops it.

use std::convert::Infallible;
use std::fmt;
use std::panic::AssertUnwindSafe;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::Bytes;
use futures_util::{FutureExt, Stream, StreamExt};
use hyper::Version;
use hyper::body::{Body, Frame, SizeHint};
use tokio::sync::watch;
use tokio::time::sleep;

use super::charged::ChargedBytes;
use super::client::Exchange;
use super::request_log::RequestEntry;
use super::stall::{self, End};
use super::{faults, grpc};
use crate::ops::{Events, Fault};
use crate::room::Charge;

/// Bytes handed over at a time. A client that takes as much is one that takes something. Nearly every answer fits one
/// frame, also that of 500 records put.
pub(super) const FRAME_BYTES_MAX: usize = 64 << 10;

/// The body of an answer: complete, or a stream of messages.
pub(super) enum AnswerBody {
    /// The rest of the answer; empty once all was taken.
    Complete(Bytes),
    /// The rest of one that has a part of the memory for answers.
    Charged(ChargedBytes),
    /// The rest of the part that is being handed over, and the further ones; the event that ends it in any case,
    /// until it is handed to the task.
    Events(Bytes, Pin<Box<dyn Stream<Item = Bytes> + Send>>, Option<End>),
    /// The answer of a gRPC call; its status comes as trailers.
    Grpc(Box<grpc::Answer>),
}

impl AnswerBody {
    /// The messages of `events` until `stopping` is true. A failure or a panic becomes the last message. Once they are
    /// over, the client has `stall` to take its rest.
    pub(super) fn events(events: Events, stall: Duration, mut stopping: watch::Receiver<bool>) -> Self {
        let Events { messages, over } = events;
        let end = async move {
            over.await;
            sleep(stall).await;
        };
        let stop = async move { drop(stopping.wait_for(|stop| *stop).await) };
        let message = |event| match event {
            Ok(Ok(message)) => message,
            Ok(Err(fault)) => faults::message(&fault),
            Err(_panic) => {
                crate::log_at_most_once_a_second!(error, "an event stream panicked; ending it with an error");
                faults::message(&Fault::Internal)
            }
        };
        let messages = AssertUnwindSafe(messages).catch_unwind().map(message);
        let messages = Box::pin(messages.take_until(stop.boxed()));
        Self::Events(Bytes::new(), messages, Some(Box::pin(end)))
    }

    /// A complete answer under its charge, whose client's pace counts over `window`.
    pub(super) fn charged(bytes: Bytes, charge: Charge, window: Duration) -> Self {
        Self::Charged(ChargedBytes::new(bytes, charge, window))
    }

    /// Bytes, when they are known.
    pub(super) fn length(&self) -> Option<usize> {
        match self {
            Self::Complete(bytes) => Some(bytes.len()),
            Self::Charged(bytes) => Some(bytes.len()),
            Self::Events(..) | Self::Grpc(_) => None,
        }
    }
}

impl<T: Into<Bytes>> From<T> for AnswerBody {
    fn from(bytes: T) -> Self {
        Self::Complete(bytes.into())
    }
}

impl fmt::Debug for AnswerBody {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Complete(bytes) => formatter.debug_tuple("Complete").field(bytes).finish(),
            Self::Charged(bytes) => formatter.debug_tuple("Charged").field(&bytes.len()).finish(),
            Self::Events(..) => formatter.write_str("Events"),
            Self::Grpc(_) => formatter.write_str("Grpc"),
        }
    }
}

impl Body for AnswerBody {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        let next = match self.get_mut() {
            Self::Complete(rest) if rest.is_empty() => None,
            Self::Complete(rest) => {
                let frame = rest.split_to(rest.len().min(FRAME_BYTES_MAX));
                if frame.len() == FRAME_BYTES_MAX && rest.len() <= FRAME_BYTES_MAX {
                    // On its own, so that the last frame does not keep the whole answer.
                    *rest = Bytes::copy_from_slice(rest);
                }
                stall::note(true);
                Some(frame)
            }
            Self::Events(rest, messages, end) => {
                if let Some(end) = end.take() {
                    stall::end_by(end);
                }
                stall::note(false);
                if rest.is_empty() {
                    let Poll::Ready(next) = messages.as_mut().poll_next(context) else {
                        return Poll::Pending;
                    };
                    *rest = next.unwrap_or_default();
                }
                let frame = rest.split_to(rest.len().min(FRAME_BYTES_MAX));
                stall::note(true);
                (!frame.is_empty()).then_some(frame)
            }
            Self::Charged(bytes) => {
                return bytes.poll_frame(context).map(|frame| frame.map(|bytes| Ok(Frame::data(bytes))));
            }
            Self::Grpc(answer) => return answer.poll_frame(context).map(|frame| frame.map(Ok)),
        };
        Poll::Ready(next.map(|bytes| Ok(Frame::data(bytes))))
    }

    fn is_end_stream(&self) -> bool {
        match self {
            Self::Grpc(answer) => answer.is_end_stream(),
            Self::Charged(bytes) => bytes.is_taken(),
            Self::Complete(_) | Self::Events(..) => self.length() == Some(0),
        }
    }

    fn size_hint(&self) -> SizeHint {
        self.length().map_or_else(SizeHint::default, |length| SizeHint::with_exact(length as u64))
    }
}

/// Bytes of a frame that keeps its request under way until HTTP/2 has sent it. HTTP/2 keeps the last frame of an
/// answer for its client when the body is gone; smaller ones weigh little beside the state that it keeps of a
/// stream anyway.
const KEEPING_FRAME_BYTES: usize = 1 << 10;

/// The body of an answer and the request that it belongs to, which is under way until it is dropped, and over HTTP/2
/// until its large frames are.
#[derive(Debug)]
pub(super) struct Sent {
    body: AnswerBody,
    exchange: Option<Exchange>,
    /// The exchange once frames share it.
    shared: Option<Arc<Exchange>>,
    is_http2: bool,
    /// The entry of the request log, if the request has one.
    entry: Option<Box<RequestEntry>>,
}

/// A frame that keeps its request under way.
struct KeepingFrame {
    bytes: Bytes,
    _exchange: Arc<Exchange>,
}

impl AsRef<[u8]> for KeepingFrame {
    fn as_ref(&self) -> &[u8] {
        &self.bytes
    }
}

impl Sent {
    pub(super) fn new(body: AnswerBody, exchange: Option<Exchange>, version: Version) -> Self {
        Self { body, exchange, shared: None, is_http2: version == Version::HTTP_2, entry: None }
    }

    /// Goes on with the entry of the request log until the answer is taken or dropped.
    pub(super) fn logged(self, entry: Box<RequestEntry>) -> Self {
        Self { entry: Some(entry), ..self }
    }

    /// The bytes of an answer that is complete.
    pub(super) fn complete(&self) -> Option<&Bytes> {
        match &self.body {
            AnswerBody::Complete(bytes) => Some(bytes),
            AnswerBody::Charged(_) | AnswerBody::Events(..) | AnswerBody::Grpc(_) => None,
        }
    }

    fn keep(&mut self, bytes: Bytes) -> Bytes {
        if !self.is_http2 || bytes.len() < KEEPING_FRAME_BYTES {
            return bytes;
        }
        if let Some(exchange) = self.exchange.take() {
            self.shared = Some(Arc::new(exchange));
        }
        match &self.shared {
            Some(exchange) => Bytes::from_owner(KeepingFrame { bytes, _exchange: exchange.clone() }),
            None => bytes,
        }
    }
}

impl Body for Sent {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        let this = self.get_mut();
        let mut poll = || Pin::new(&mut this.body).poll_frame(context);
        let frame = match &mut this.entry {
            None => ready!(poll()),
            Some(entry) => {
                let frame = ready!(entry.note_within(poll));
                entry.note_frame(
                    frame.as_ref().and_then(|frame| frame.as_ref().ok()),
                    this.body.is_end_stream(),
                );
                frame
            }
        };
        Poll::Ready(frame.map(|frame| frame.map(|frame| frame.map_data(|bytes| this.keep(bytes)))))
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

#[cfg(test)]
mod tests {
    use futures_util::stream;
    use http_body_util::BodyExt;
    use tidelog_proto::event_stream;

    use super::*;

    fn exception(mut bytes: Bytes) -> (String, String) {
        let message = event_stream::decode(&mut bytes).unwrap().unwrap();
        assert_eq!(message.header(":message-type"), Some("exception"));
        let payload = String::from_utf8(message.payload.to_vec()).unwrap();
        (message.header(":exception-type").unwrap().to_owned(), payload)
    }

    type Messages = Pin<Box<dyn Stream<Item = Result<Bytes, Fault>> + Send>>;

    fn events(messages: Messages, stopping: watch::Receiver<bool>) -> AnswerBody {
        let over = Box::pin(std::future::pending());
        AnswerBody::events(Events { messages, over }, Duration::ZERO, stopping)
    }

    async fn frame(body: &mut AnswerBody) -> Bytes {
        body.frame().await.unwrap().unwrap().into_data().unwrap()
    }

    #[tokio::test]
    async fn a_failure_and_a_panic_are_reported_in_the_stream_and_end_it() {
        let gone = Fault::ResourceNotFound(crate::ops::fault::NotFound::DeletedStream);
        let failing = stream::iter([Ok(Bytes::from_static(b"one")), Err(gone)]).boxed();
        let panicking = stream::once(async { panic!("planted") }).boxed();
        let (_stop, stopping) = watch::channel(false);
        let mut body = events(failing, stopping.clone());
        assert_eq!(frame(&mut body).await, "one");
        let told = exception(frame(&mut body).await);
        assert_eq!(
            told,
            ("ResourceNotFoundException".to_owned(), r#"{"message":"The stream was deleted."}"#.to_owned())
        );
        assert!(body.frame().await.is_none());
        let mut body = events(panicking, stopping);
        assert_eq!(exception(frame(&mut body).await).0, "InternalFailureException");
        assert!(body.frame().await.is_none());
    }

    #[tokio::test]
    async fn a_stopping_broker_ends_a_stream_that_waits() {
        let (stop, stopping) = watch::channel(false);
        let mut body = events(stream::pending().boxed(), stopping);
        assert!(body.frame().now_or_never().is_none());
        stop.send_replace(true);
        assert!(body.frame().await.is_none());
    }

    #[tokio::test]
    async fn a_complete_body_is_frames_of_known_length() {
        const MAX: usize = FRAME_BYTES_MAX;
        for (length, expected) in [
            (0, vec![]),
            (3, vec![3]),
            (MAX, vec![MAX]),
            (MAX + 1, vec![MAX, 1]),
            (3 * MAX, vec![MAX; 3]),
            (3 * MAX + 7, vec![MAX, MAX, MAX, 7]),
        ] {
            let whole = (0..length).map(|at| at as u8).collect::<Vec<_>>();
            let mut body = AnswerBody::from(whole.clone());
            let (mut lengths, mut taken) = (Vec::new(), Vec::new());
            while !body.is_end_stream() {
                assert_eq!(body.size_hint().exact(), Some((length - taken.len()) as u64));
                let frame = frame(&mut body).await;
                lengths.push(frame.len());
                taken.extend_from_slice(&frame);
            }
            assert!(body.frame().await.is_none());
            assert_eq!(lengths, expected);
            assert!(taken == whole, "{length}");
        }
    }

    #[tokio::test]
    async fn the_last_frame_does_not_keep_a_large_answer() {
        let whole = Bytes::from(vec![b'x'; 5 * FRAME_BYTES_MAX / 2]);
        let mut body = AnswerBody::from(whole.clone());
        for _ in 0..2 {
            frame(&mut body).await;
        }
        let last = frame(&mut body).await;
        assert_eq!(last.len(), FRAME_BYTES_MAX / 2);
        assert!(whole.is_unique() && body.is_end_stream());
    }
}
