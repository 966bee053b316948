//! Messages of a call as they stand in its bodies: a flag and a length before each, the status behind the last.
//!
//! For a call whose messages are worth taking from the connection without a copy, where one comes in one frame; tonic
//! does the same for all others.

use std::convert::Infallible;
use std::future::poll_fn;
use std::pin::Pin;

use bytes::{Bytes, BytesMut};
use futures_util::FutureExt;
use futures_util::stream::{self, Stream, StreamExt};
use http_body_util::StreamBody;
use hyper::Response;
use hyper::body::{Body, Frame};
use hyper::header::{CONTENT_TYPE, HeaderMap, HeaderValue};
use tonic::Status;
use tonic::metadata::MetadataValue;

use super::status;

/// Bytes before every message: a flag and the message's length.
pub(super) const PREFIX_BYTES: usize = 5;
/// Headers that tell how messages are encoded, and how they would be read.
const ENCODING: &str = "grpc-encoding";
const ACCEPT_ENCODING: &str = "grpc-accept-encoding";
const IDENTITY: &str = "identity";
/// The flag of a message as it is.
const PLAIN: u8 = 0;
/// Bytes of a frame that is not filled up with further messages. Clients bound the frames that they have not read,
/// most of all small ones.
const FRAME_BYTES_MIN: usize = 16 << 10;

/// Takes messages out of a request's body.
pub(super) struct MessageReader<B> {
    body: B,
    /// The rest of the frame that came last.
    frame: Bytes,
    /// The beginning of the message that is coming, out of the frames before: frames themselves are not kept,
    /// because a small one takes much more memory than its bytes.
    partial: BytesMut,
    /// The length of the message that is coming, once its prefix has come.
    length: Option<usize>,
}

impl<B: Body<Data = Bytes, Error = Status> + Unpin> MessageReader<B> {
    pub(super) fn new(body: B) -> Self {
        Self { body, frame: Bytes::new(), partial: BytesMut::new(), length: None }
    }

    /// The next message, or `None` behind the last. It shares the bytes of the frame it came in, if that is one.
    /// Nothing is lost when the future is dropped.
    ///
    /// # Errors
    /// The body's, and those of messages that no client may send.
    pub(super) async fn next(&mut self) -> Result<Option<Bytes>, Status> {
        loop {
            if self.length.is_none()
                && let Some(prefix) = self.take(PREFIX_BYTES)
            {
                if prefix[0] != PLAIN {
                    return Err(status::invalid(
                        "A message is not as it is, and nothing says how it is encoded.",
                    ));
                }
                self.length = Some(u32::from_be_bytes([prefix[1], prefix[2], prefix[3], prefix[4]]) as usize);
            }
            if let Some(length) = self.length
                && let Some(message) = self.take(length)
            {
                self.length = None;
                return Ok(Some(message));
            }
            match poll_fn(|context| Pin::new(&mut self.body).poll_frame(context)).await {
                Some(Ok(frame)) => {
                    // Trailers say nothing that is needed.
                    if let Ok(data) = frame.into_data() {
                        self.frame = data;
                    }
                }
                Some(Err(status)) => return Err(status),
                None if self.partial.is_empty() && self.length.is_none() => return Ok(None),
                None => return Err(status::invalid("The last message is incomplete.")),
            }
        }
    }

    /// Takes so many bytes once all of them have come. Until then the bytes that have come are put aside.
    fn take(&mut self, length: usize) -> Option<Bytes> {
        if self.partial.is_empty() && self.frame.len() >= length {
            return Some(self.frame.split_to(length));
        }
        let part = self.frame.split_to(self.frame.len().min(length - self.partial.len()));
        self.partial.extend_from_slice(&part);
        (self.partial.len() == length).then(|| self.partial.split().freeze())
    }
}

/// Messages are read as they are.
///
/// # Errors
/// UNIMPLEMENTED, with the encodings that would be accepted, for a request that announces another one.
pub(super) fn check_encoding(headers: &HeaderMap) -> Result<(), Status> {
    match headers.get(ENCODING) {
        Some(encoding) if encoding != IDENTITY => {
            let words = format!("Messages are not read in the encoding {encoding:?}.");
            let mut refused = Status::unimplemented(words);
            refused.metadata_mut().insert(ACCEPT_ENCODING, MetadataValue::from_static(IDENTITY));
            Err(refused)
        }
        _ => Ok(()),
    }
}

/// Puts the prefix in front of a message, which stands behind [`PREFIX_BYTES`] bytes of room for it.
pub(super) fn framed(mut message: Vec<u8>) -> Bytes {
    let length = u32::try_from(message.len() - PREFIX_BYTES).expect("a message is much shorter");
    message[0] = PLAIN;
    message[1..PREFIX_BYTES].copy_from_slice(&length.to_be_bytes());
    message.into()
}

/// The response of framed messages; its status is OK, or that of the first failure.
pub(super) fn response(
    messages: impl Stream<Item = Result<Bytes, Status>> + Send + Unpin + 'static,
) -> Response<tonic::body::Body> {
    let frames = stream::unfold(Some((messages, None)), |state| async move {
        let (mut messages, status) = state?;
        let (frame, state) = match or_next(status, &mut messages).await {
            Ok(message) => {
                let (data, status) = filled(message, &mut messages);
                (Frame::data(data), Some((messages, status)))
            }
            Err(status) => (Frame::trailers(trailers(&status)), None),
        };
        Some((Ok::<_, Infallible>(frame), state))
    });
    let mut response = Response::new(tonic::body::Body::new(StreamBody::new(frames)));
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/grpc"));
    response
}

/// The next message, or the status that ends them.
async fn or_next(
    status: Option<Status>,
    messages: &mut (impl Stream<Item = Result<Bytes, Status>> + Unpin),
) -> Result<Bytes, Status> {
    match status {
        Some(status) => Err(status),
        None => messages.next().await.unwrap_or_else(|| Err(Status::ok(""))),
    }
}

/// A message and those behind it that are ready, and the status that ends them if it is ready too.
fn filled(
    message: Bytes,
    messages: &mut (impl Stream<Item = Result<Bytes, Status>> + Unpin),
) -> (Bytes, Option<Status>) {
    let mut data = BytesMut::from(message);
    while data.len() < FRAME_BYTES_MIN {
        match or_next(None, messages).now_or_never() {
            Some(Ok(message)) => data.extend_from_slice(&message),
            Some(Err(status)) => return (data.freeze(), Some(status)),
            None => break,
        }
    }
    (data.freeze(), None)
}

/// A status as it stands behind the messages.
pub(super) fn trailers(status: &Status) -> HeaderMap {
    let mut trailers = HeaderMap::new();
    if let Err(error) = status.add_header(&mut trailers) {
        crate::log_at_most_once_a_second!(error, %error, "a status cannot be encoded as headers; the call ends without one");
    }
    trailers
}

#[cfg(test)]
mod tests {
    use tonic::Code;

    use super::*;

    fn sent(messages: &[&[u8]]) -> Vec<u8> {
        let framed = |message: &&[u8]| framed([&[0; PREFIX_BYTES], *message].concat()).to_vec();
        messages.iter().flat_map(framed).collect()
    }

    async fn read(bytes: &[u8], cut: usize) -> (Vec<Bytes>, Option<Code>) {
        let frames: Vec<_> =
            bytes.chunks(cut).map(|part| Ok(Frame::data(Bytes::copy_from_slice(part)))).collect();
        let mut reader = MessageReader::new(StreamBody::new(stream::iter(frames)));
        let mut messages = Vec::new();
        loop {
            match reader.next().await {
                Ok(Some(message)) => messages.push(message),
                Ok(None) => return (messages, None),
                Err(status) => return (messages, Some(status.code())),
            }
        }
    }

    #[tokio::test]
    async fn messages_are_read_however_they_are_cut() {
        let messages: [&[u8]; 4] = [b"", b"a", &[7; 300], b"bc"];
        let bytes = sent(&messages);
        for cut in 1..=bytes.len() {
            assert_eq!(read(&bytes, cut).await, (messages.map(Bytes::from_static).to_vec(), None), "{cut}");
        }
        assert_eq!(read(&[], 1).await, (vec![], None));
    }

    #[tokio::test]
    async fn a_response_has_its_messages_in_few_frames_and_their_status() {
        let later = || stream::once(tokio::task::yield_now()).map(|()| Ok(Bytes::from_static(b"later")));
        let small = |count: usize| stream::iter(vec![Ok(Bytes::from_static(b"small")); count]);
        let refused = || stream::iter([Err(Status::aborted("why"))]);
        let large =
            || stream::iter([Ok(Bytes::from(vec![0; FRAME_BYTES_MIN])), Ok(Bytes::from_static(b"small"))]);
        for (messages, sizes, code) in [
            (small(0).boxed(), vec![], Code::Ok),
            (small(100).boxed(), vec![500], Code::Ok),
            (small(2).chain(later()).chain(small(1)).boxed(), vec![10, 10], Code::Ok),
            (small(2).chain(refused()).boxed(), vec![10], Code::Aborted),
            (refused().chain(small(2)).boxed(), vec![], Code::Aborted),
            (large().boxed(), vec![FRAME_BYTES_MIN, 5], Code::Ok),
        ] {
            let mut body = response(messages).into_body();
            let mut taken = Vec::new();
            let status = loop {
                let frame = poll_fn(|context| Pin::new(&mut body).poll_frame(context)).await;
                match frame.expect("a status comes first").unwrap().into_data() {
                    Ok(data) => taken.push(data.len()),
                    Err(frame) => break Status::from_header_map(&frame.into_trailers().unwrap()).unwrap(),
                }
            };
            assert_eq!((taken, status.code()), (sizes, code));
        }
    }

    #[tokio::test]
    async fn a_message_that_cannot_be_read_is_refused() {
        let bytes = sent(&[b"first", b"second"]);
        for end in [11, 14, bytes.len() - 1] {
            let (messages, code) = read(&bytes[..end], 4).await;
            assert_eq!((messages.len(), code), (1, Some(Code::InvalidArgument)), "{end}");
        }
        let compressed = [&sent(&[b"first"])[..], &[1, 0, 0, 0, 1, 9]].concat();
        let (messages, code) = read(&compressed, 100).await;
        assert_eq!((messages.len(), code), (1, Some(Code::InvalidArgument)));
    }
}
