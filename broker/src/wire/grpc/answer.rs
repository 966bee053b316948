//! The body of a gRPC answer: messages as they come, and the status as trailers.
//!
//! Messages are handed over in frames that are small enough that a client which takes nothing is seen
//! (`wire/stall.rs`), and the next message is made when the connection can take it. An answer that has begun to
//! give messages ends with its status when the client's time has passed, when the broker stops, and when it panics.
//!
//! The only message of an answer is charged to the class answers, unless it is small, until the transport has taken it
//! (`wire/charged.rs`). Calls that give records have their room elsewhere (`subscribe.rs`, `records.rs`).

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::Bytes;
use hyper::body::{Body as _, Frame};
use tokio::sync::watch;
use tokio::time::{Instant, sleep_until};
use tonic::Status;
use tonic::body::Body;

use super::body::BodyRoom;
use super::framing::trailers;
use super::{status, timeout};
use crate::ops::Fault;
use crate::room::{AnswerRoom, Full};
use crate::wire::answer_body::FRAME_BYTES_MAX;
use crate::wire::charged::ChargedBytes;
use crate::wire::kinesis::ANSWERS;
use crate::wire::stall;

/// Frames of data after which an answer is one of many messages: a single message has one.
const FRAMES_OF_ONE: u32 = 1;

/// The body of a gRPC answer.
pub(in crate::wire) struct Answer {
    body: Body,
    /// The rest of the frame that is being handed over.
    rest: Bytes,
    /// The room for its message; without it none is charged.
    answers: Option<AnswerRoom>,
    /// Over which time the pace of a client that takes a charged message counts.
    pace: Duration,
    /// The message that is being handed over, under its charge.
    charged: Option<ChargedBytes>,
    /// Frames of the body so far.
    frames: u32,
    is_over: bool,
    /// Ends with why the answer has to end early.
    cut: Pin<Box<dyn Future<Output = Status> + Send>>,
    /// The request's share of the room, until the request is answered.
    _room: BodyRoom,
}

impl Answer {
    /// Makes an answer of that body, which ends at `deadline` if there is one and once `stopping` is true.
    pub(super) fn new(
        body: Body,
        room: BodyRoom,
        deadline: Option<Instant>,
        stopping: Option<watch::Receiver<bool>>,
    ) -> Self {
        let late = async move {
            match deadline {
                Some(deadline) => sleep_until(deadline).await,
                None => std::future::pending().await,
            }
        };
        let stopped = async move {
            match stopping {
                Some(mut stopping) => drop(stopping.wait_for(|stop| *stop).await),
                None => std::future::pending().await,
            }
        };
        let cut = async move {
            tokio::select! {
                () = late => timeout::passed(),
                () = stopped => stopping_node(),
            }
        };
        Self {
            body,
            rest: Bytes::new(),
            answers: None,
            pace: Duration::ZERO,
            charged: None,
            frames: 0,
            is_over: false,
            cut: Box::pin(cut),
            _room: room,
        }
    }

    /// Charges its only message to the class answers; the client's pace counts over `pace`.
    pub(super) fn charged(self, answers: AnswerRoom, pace: Duration) -> Self {
        Self { answers: Some(answers), pace, ..self }
    }

    pub(in crate::wire) fn is_end_stream(&self) -> bool {
        self.is_over || (self.rest.is_empty() && self.charged.is_none() && self.body.is_end_stream())
    }

    pub(in crate::wire) fn poll_frame(&mut self, context: &mut Context<'_>) -> Poll<Option<Frame<Bytes>>> {
        if let Some(charged) = &mut self.charged {
            match ready!(charged.poll_frame(context)) {
                Some(piece) => return Poll::Ready(Some(Frame::data(piece))),
                None => self.charged = None,
            }
        }
        stall::note(false);
        loop {
            if !self.rest.is_empty() {
                stall::note(true);
                return Poll::Ready(Some(Frame::data(self.piece())));
            }
            if self.is_over {
                return Poll::Ready(None);
            }
            // The only message of an answer is given with its status, however late.
            if self.frames > FRAMES_OF_ONE
                && let Poll::Ready(status) = self.cut.as_mut().poll(context)
            {
                return self.end(&status);
            }
            let polled = catch_unwind(AssertUnwindSafe(|| Pin::new(&mut self.body).poll_frame(context)));
            match polled {
                Ok(Poll::Ready(Some(Ok(frame)))) => match frame.into_data() {
                    Ok(bytes) => {
                        self.frames = self.frames.saturating_add(1);
                        match self.answers.take().map(|answers| answers.take(bytes.len())) {
                            Some(Ok(Some(charge))) => {
                                self.charged = Some(ChargedBytes::new(bytes, charge, self.pace));
                                return self.poll_frame(context);
                            }
                            Some(Err(Full)) => return self.end(&status::of(Fault::no_room(false, ANSWERS))),
                            None | Some(Ok(None)) => self.rest = bytes,
                        }
                    }
                    Err(trailers) => {
                        self.is_over = true;
                        return Poll::Ready(Some(trailers));
                    }
                },
                Ok(Poll::Ready(Some(Err(status)))) => return self.end(&status),
                Ok(Poll::Ready(None)) => self.is_over = true,
                Ok(Poll::Pending) => match self.cut.as_mut().poll(context) {
                    Poll::Ready(status) => return self.end(&status),
                    Poll::Pending => return Poll::Pending,
                },
                Err(_panic) => {
                    crate::log_at_most_once_a_second!(
                        error,
                        "an answer panicked; ending its call with INTERNAL"
                    );
                    return self.end(&status::unknown_outcome());
                }
            }
        }
    }

    /// The next piece of the frame. The last piece is a copy, so that it does not keep the whole frame in memory.
    fn piece(&mut self) -> Bytes {
        let piece = self.rest.split_to(self.rest.len().min(FRAME_BYTES_MAX));
        if piece.len() == FRAME_BYTES_MAX && self.rest.len() <= FRAME_BYTES_MAX {
            self.rest = Bytes::copy_from_slice(&self.rest);
        }
        piece
    }

    fn end(&mut self, status: &Status) -> Poll<Option<Frame<Bytes>>> {
        self.is_over = true;
        // Dropping the body at once frees the state that makes its messages.
        self.body = Body::empty();
        Poll::Ready(Some(Frame::trailers(trailers(status))))
    }
}

/// The status of a call that ends because the broker stops.
pub(super) fn stopping_node() -> Status {
    status::unavailable("This node is stopping.")
}

#[cfg(test)]
mod tests {
    use futures_util::stream::{self, StreamExt};
    use http_body_util::StreamBody;
    use tonic::Code;

    use super::*;
    use crate::room::{Class, Shares};
    use crate::wire::client::Client;

    const MIB: usize = 1 << 20;

    type Frames = Vec<Result<Frame<Bytes>, Status>>;

    fn answer(
        frames: impl futures_util::Stream<Item = Result<Frame<Bytes>, Status>> + Send + 'static,
        deadline: Option<Instant>,
        stopping: watch::Receiver<bool>,
    ) -> Answer {
        let client = Client::open(
            &crate::room::Room::new(Shares::default()),
            [127, 0, 0, 1].into(),
            crate::wire::Interface::Loopback,
        )
        .unwrap();
        Answer::new(Body::new(StreamBody::new(frames)), BodyRoom::of(&client), deadline, Some(stopping))
    }

    /// Bytes of all frames of data, how many these are, and the status.
    async fn taken(mut answer: Answer) -> (usize, usize, Option<Status>) {
        let (mut bytes, mut frames, mut status) = (0, 0, None);
        while let Some(frame) = std::future::poll_fn(|context| answer.poll_frame(context)).await {
            match frame.into_data() {
                Ok(data) => {
                    assert!(data.len() <= FRAME_BYTES_MAX);
                    (bytes, frames) = (bytes + data.len(), frames + 1);
                }
                Err(frame) => status = Status::from_header_map(&frame.into_trailers().unwrap()),
            }
        }
        (bytes, frames, status)
    }

    fn data(bytes: usize) -> Result<Frame<Bytes>, Status> {
        Ok(Frame::data(vec![0; bytes].into()))
    }

    #[tokio::test]
    async fn large_messages_are_handed_over_in_pieces() {
        let (_stop, stopping) = watch::channel(false);
        let frames: Frames = vec![data(FRAME_BYTES_MAX * 2 + 1), data(1), Err(Status::aborted("why"))];
        let (bytes, frames, status) = taken(answer(stream::iter(frames), None, stopping)).await;
        assert_eq!((bytes, frames), (FRAME_BYTES_MAX * 2 + 2, 4));
        assert_eq!(status.unwrap().code(), Code::Aborted);
    }

    #[tokio::test]
    async fn the_only_message_is_charged_until_the_transport_has_taken_it() {
        let room = crate::room::Room::new(Shares::default());
        let account = crate::room::Account::detached();
        let answers = AnswerRoom::new(&room.answers, &account);
        let (_stop, stopping) = watch::channel(false);
        let one = || -> Frames { vec![data(MIB), Ok(Frame::trailers(trailers(&Status::ok(""))))] };
        let charged = |answers| {
            let answer = answer(stream::iter(one()), None, stopping.clone());
            answer.charged(answers, Duration::from_secs(10))
        };
        let mut answer = charged(answers.clone());
        let first = std::future::poll_fn(|context| answer.poll_frame(context)).await.unwrap();
        assert_eq!(room.answers.used(), MIB);
        drop(first);
        let (bytes, _, status) = taken(answer).await;
        assert_eq!((bytes, status.unwrap().code()), (MIB - FRAME_BYTES_MAX, Code::Ok));
        assert_eq!(room.answers.used(), 0);
        // Without room there is no message.
        let full = crate::room::Room::new(Shares::default().with(Class::Answers, 0));
        let answers = AnswerRoom::new(&full.answers, &account);
        let _reserve = answers.take(MIB).unwrap();
        let (bytes, _, status) = taken(charged(answers)).await;
        assert_eq!((bytes, status.unwrap().code()), (0, Code::Unavailable));
        assert_eq!(full.answers.refusals(), 1);
    }

    #[tokio::test(start_paused = true)]
    async fn time_a_stop_and_a_panic_end_an_answer_with_their_status() {
        let (stop, stopping) = watch::channel(false);
        let endless = || stream::repeat_with(|| data(1)).boxed();
        let quiet = || stream::iter([data(1)]).chain(stream::pending()).boxed();
        let soon = Instant::now() + Duration::from_secs(5);
        let panicking = stream::iter([data(1)]).chain(stream::poll_fn(|_| panic!("planted")));
        assert_eq!(taken(answer(panicking, None, stopping.clone())).await.2.unwrap().code(), Code::Internal);
        let late = taken(answer(quiet(), Some(soon), stopping.clone())).await;
        assert_eq!((late.0, late.2.unwrap().code()), (1, Code::DeadlineExceeded));
        let (_, _, status) = taken(answer(endless(), Some(Instant::now()), stopping.clone())).await;
        assert_eq!(status.unwrap().code(), Code::DeadlineExceeded);
        stop.send_replace(true);
        for frames in [endless(), quiet()] {
            let (_, _, status) = taken(answer(frames, None, stopping.clone())).await;
            assert_eq!(status.unwrap().code(), Code::Unavailable);
        }
        // The only message of an answer is delivered even after the deadline.
        let one: Frames = vec![data(1), Ok(Frame::trailers(trailers(&Status::ok(""))))];
        let (bytes, _, status) = taken(answer(stream::iter(one), Some(Instant::now()), stopping)).await;
        assert_eq!((bytes, status.unwrap().code()), (1, Code::Ok));
    }
}
